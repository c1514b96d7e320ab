using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Catalog;

/// <summary>How a method comes to its sparse network: what it needs at its largest.</summary>
/// <remarks>The axes of this file follow Liu and Wang, "Ten Lessons We Have Learned in the New 'Sparseland': A Short Handbook for Sparse Neural Network Researchers", 2023.</remarks>
public enum TrainingPath
{
    /// <summary>Starts dense and becomes sparse while it is trained, or in rounds: memory and compute of the dense network are needed.</summary>
    DenseToSparse,

    /// <summary>Trained sparse from the first step; dense weights are never trained.</summary>
    SparseToSparse,

    /// <summary>Acts on a trained network; training it again is a choice.</summary>
    PostTraining,
}

/// <summary>The smallest thing that is removed as a whole.</summary>
public enum Granularity
{
    /// <summary>Single weights anywhere.</summary>
    Unstructured,

    /// <summary>N of every M consecutive inputs stay.</summary>
    NofM,

    /// <summary>Tiles of a matrix.</summary>
    Block,

    /// <summary>Rows of a matrix, as a mask.</summary>
    Row,

    /// <summary>Columns of a matrix, as a mask.</summary>
    Column,

    /// <summary>Channels, filters and hidden units; the graph becomes smaller.</summary>
    Channel,

    /// <summary>Attention heads.</summary>
    Head,

    /// <summary>Layers or residual blocks.</summary>
    Layer,

    /// <summary>Tokens or patches.</summary>
    Token,

    /// <summary>Edges of a graph.</summary>
    Edge,

    /// <summary>Samples of a data set.</summary>
    Data,
}

/// <summary>What decides about what stays.</summary>
public enum MaskSource
{
    /// <summary>Magnitudes or norms of weights.</summary>
    Magnitude,

    /// <summary>Gradients, alone or times weights.</summary>
    Gradient,

    /// <summary>Second derivatives.</summary>
    Hessian,

    /// <summary>What flows through the layer.</summary>
    Activation,

    /// <summary>Scores that are learned.</summary>
    LearnedScores,

    /// <summary>Chance, with exact counts.</summary>
    Random,

    /// <summary>Change of the network's output or loss when a part is left out.</summary>
    Output,

    /// <summary>Shapes of the network alone.</summary>
    Architecture,
}

/// <summary>What becomes sparse.</summary>
public enum SparseObject
{
    /// <summary>Weights.</summary>
    Weights,

    /// <summary>Activations.</summary>
    Activations,

    /// <summary>The attention pattern.</summary>
    Attention,

    /// <summary>Tokens.</summary>
    Tokens,

    /// <summary>Gradients.</summary>
    Gradients,

    /// <summary>Training data.</summary>
    Data,
}

/// <summary>How connections move while a network is trained.</summary>
/// <param name="Drops">What goes.</param>
/// <param name="Grows">What comes.</param>
/// <param name="When">How often.</param>
/// <param name="Until">Until when.</param>
public sealed record Connectivity(string Drops, string Grows, string When, string Until);

/// <summary>Words for the values of the taxonomy.</summary>
public static class TaxonomyText
{
    /// <summary>The word for a granularity, as in tables and JSON.</summary>
    public static string Label(this Granularity granularity) => granularity == Granularity.NofM ? "N:M" : granularity.ToString().ToLowerInvariant();

    /// <summary>The words for a path.</summary>
    public static string Label(this TrainingPath path) => path switch { TrainingPath.DenseToSparse => "dense to sparse", TrainingPath.SparseToSparse => "sparse to sparse", _ => "post-training" };

    /// <summary>The words for a mask source.</summary>
    public static string Label(this MaskSource source) => source == MaskSource.LearnedScores ? "learned scores" : source.ToString().ToLowerInvariant();

    /// <summary>The words for what a method needs, with commas between.</summary>
    public static string Label(this CriterionNeeds needs) => needs == CriterionNeeds.None
        ? "nothing but the weights"
        : string.Join(", ", Enum.GetValues<CriterionNeeds>().Where(n => n != CriterionNeeds.None && needs.HasFlag(n)).Select(n => n switch
        {
            CriterionNeeds.InputNorms => "norms of the layers' inputs",
            CriterionNeeds.DenseGradients => "gradients of removed weights as well",
            CriterionNeeds.Network => "a network that can be run",
            CriterionNeeds.Retraining => "trainings of its own",
            _ => n.ToString().ToLowerInvariant(),
        }));

    /// <summary>The granularity of a pattern.</summary>
    public static Granularity ToGranularity(this SparsityPattern pattern) => pattern.Kind switch
    {
        SparsityKind.NofM => Granularity.NofM,
        SparsityKind.Block => Granularity.Block,
        SparsityKind.Row => Granularity.Row,
        SparsityKind.Column => Granularity.Column,
        _ => Granularity.Unstructured,
    };
}

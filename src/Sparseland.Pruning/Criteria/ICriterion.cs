using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Criteria;

/// <summary>What a criterion has to be given.</summary>
[Flags]
public enum CriterionNeeds
{
    /// <summary>The weights alone.</summary>
    None = 0,

    /// <summary>Inputs of the model, without labels.</summary>
    Data = 1,

    /// <summary>Labels.</summary>
    Labels = 2,

    /// <summary>Gradients of the loss.</summary>
    Gradients = 4,

    /// <summary>Norms of each layer's inputs.</summary>
    InputNorms = 8,

    /// <summary>Gradients at removed entries as well: backward passes of dense cost.</summary>
    DenseGradients = 16,

    /// <summary>The network itself, to be run on inputs that the criterion makes up.</summary>
    Network = 32,

    /// <summary>At least one whole training of its own.</summary>
    Retraining = 64,
}

/// <summary>Among which weights scores are compared.</summary>
public enum ComparisonGroup
{
    /// <summary>All layers together.</summary>
    Global,

    /// <summary>The weights of one layer.</summary>
    Layer,

    /// <summary>The weights of one output (one row of [outputs, inputs]).</summary>
    Row,
}

/// <summary>A layer with what criteria look at; arrays are in the weight's own order and must not be written.</summary>
/// <param name="Layer">The layer.</param>
/// <param name="Weights">The values.</param>
public sealed record ScoreInput(PrunableLayer Layer, float[] Weights)
{
    /// <summary>The gradient of the loss with respect to the weights, dense; null when it was not computed.</summary>
    public float[]? Gradient { get; init; }

    /// <summary>Euclidean norm of each input over all calibration samples, one per column of [outputs, inputs]; null when it was not collected.</summary>
    public float[]? InputNorms { get; init; }

    /// <summary>Seed of random criteria.</summary>
    public long Seed { get; init; }
}

/// <summary>How much does each weight matter? Higher scores are kept.</summary>
public interface ICriterion
{
    /// <summary>Stable name.</summary>
    string Id { get; }

    /// <summary>What <see cref="ScoreInput"/> must hold.</summary>
    CriterionNeeds Needs { get; }

    /// <summary>Among which weights the paper compares the scores.</summary>
    ComparisonGroup Group { get; }

    /// <summary>One score per weight, in the weight's own order.</summary>
    /// <exception cref="ArgumentException">Something that the criterion needs is missing.</exception>
    float[] Score(ScoreInput input);
}

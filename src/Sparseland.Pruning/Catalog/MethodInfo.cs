using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Catalog;

/// <summary>What a method is built from.</summary>
/// <param name="Settings">What every method is told.</param>
/// <param name="Arguments">Values of the method's own parameters.</param>
/// <param name="TotalSteps">Steps of the training run; 0 for one-shot methods.</param>
public sealed record MethodRequest(PruningSettings Settings, MethodArguments Arguments, long TotalSteps);

/// <summary>A method of the catalogue.</summary>
/// <param name="Id">Stable id, as on the command line.</param>
/// <param name="Title">Name for people.</param>
/// <param name="Paper">Authors, title, venue, year.</param>
/// <param name="Section">Section, equation or algorithm that it implements.</param>
/// <param name="Stage">When it acts.</param>
/// <param name="Granularities">In what shapes it removes: unstructured, N:M, block, channel ...</param>
/// <param name="Needs">What it needs besides weights.</param>
/// <param name="Description">One sentence.</param>
/// <param name="Parameters">Its own parameters.</param>
/// <param name="Create">Builds it.</param>
public sealed record MethodInfo(
    string Id, string Title, string Paper, string Section, PruningStage Stage, IReadOnlyList<string> Granularities, CriterionNeeds Needs, string Description,
    IReadOnlyList<MethodParameter> Parameters, Func<MethodRequest, Sparsifier> Create)
{
    /// <summary>The policy that the paper uses, where nothing else is asked for.</summary>
    public LayerPolicy DefaultPolicy { get; init; } = new();

    /// <summary>The pattern where nothing else is asked for.</summary>
    public SparsityPattern DefaultPattern { get; init; } = SparsityPattern.Unstructured;

    /// <summary>The sparsity where nothing else is asked for.</summary>
    public double DefaultSparsity { get; init; } = 0.5;

    /// <summary>Whether a pattern is among <see cref="Granularities"/>.</summary>
    public bool Allows(SparsityPattern pattern) => Granularities.Contains(Granularity(pattern)) || (Granularities.Contains("channel") && pattern.Kind == SparsityKind.Unstructured);

    /// <summary>Whether it makes the graph smaller instead of setting masks.</summary>
    public bool IsStructured => Granularities.Contains("channel");

    /// <summary>Builds the method.</summary>
    /// <exception cref="PruningException">A parameter is unknown or out of range, or the pattern is not possible.</exception>
    public Sparsifier Build(PruningSettings settings, IReadOnlyDictionary<string, string>? arguments = null, long totalSteps = 0)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (!Allows(settings.Pattern))
            throw new PruningException("SL4009", $"'{Id}' cannot remove weights in the pattern {settings.Pattern}") { Try = "one of: " + string.Join(", ", Granularities) };
        return Create(new MethodRequest(settings, new MethodArguments(Id, Parameters, arguments), totalSteps));
    }

    /// <summary>The word for a pattern's family.</summary>
    public static string Granularity(SparsityPattern pattern) => pattern.Kind switch { SparsityKind.NofM => "N:M", SparsityKind.Unstructured => "unstructured", _ => pattern.Kind.ToString().ToLowerInvariant() };
}

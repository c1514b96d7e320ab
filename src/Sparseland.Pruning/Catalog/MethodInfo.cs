using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Catalog;

/// <summary>What a method is built from.</summary>
/// <param name="Settings">What every method is told.</param>
/// <param name="Arguments">Values of the method's own parameters.</param>
/// <param name="TotalSteps">Steps of the training run; 0 for one-shot methods.</param>
public sealed record MethodRequest(PruningSettings Settings, MethodArguments Arguments, long TotalSteps)
{
    /// <summary>The allocation that the values name, for methods with <see cref="SharedParameters.Allocations"/>.</summary>
    internal IAllocation Allocation => AllocationCatalog.Create(Arguments.Choice("allocation"), Arguments.Number("power"), Arguments.Number("classifier"));

    /// <summary>The steps of the run, for methods that act while a network is trained.</summary>
    /// <exception cref="PruningException">SL4005: there is no training run.</exception>
    public long RequireRun(string id) => TotalSteps >= 1
        ? TotalSteps
        : throw new PruningException("SL4005", $"the method '{id}' acts while a network is trained; there is no training run") { Try = "sparseland train with this method, or give the number of epochs" };
}

/// <summary>A method of the catalogue: command line, recipes and documentation are made from it. Stands in the method's own file.</summary>
public sealed record MethodInfo
{
    /// <summary>Stable id, as on the command line.</summary>
    public required string Id { get; init; }

    /// <summary>Name for people.</summary>
    public required string Title { get; init; }

    /// <summary>Authors, title, venue, year.</summary>
    public required string Paper { get; init; }

    /// <summary>Section, equation or algorithm that it implements.</summary>
    public required string Section { get; init; }

    /// <summary>One sentence.</summary>
    public required string Description { get; init; }

    /// <summary>When it acts.</summary>
    public required PruningStage Stage { get; init; }

    /// <summary>How it comes to its sparse network.</summary>
    public required TrainingPath Path { get; init; }

    /// <summary>In what shapes it removes.</summary>
    public required IReadOnlyList<Granularity> Granularities { get; init; }

    /// <summary>What decides about what stays.</summary>
    public required MaskSource MaskSource { get; init; }

    /// <summary>What it needs besides weights.</summary>
    public required CriterionNeeds Needs { get; init; }

    /// <summary>Builds it.</summary>
    public required Func<MethodRequest, Sparsifier> Create { get; init; }

    /// <summary>Its own parameters.</summary>
    public IReadOnlyList<MethodParameter> Parameters { get; init; } = [];

    /// <summary>How connections move; null = masks never gain a weight.</summary>
    public Connectivity? Connectivity { get; init; }

    /// <summary>What becomes sparse.</summary>
    public SparseObject Object { get; init; } = SparseObject.Weights;

    /// <summary>The policy that the paper uses, where nothing else is asked for.</summary>
    public LayerPolicy DefaultPolicy { get; init; } = new();

    /// <summary>The pattern where nothing else is asked for.</summary>
    public SparsityPattern DefaultPattern { get; init; } = SparsityPattern.Unstructured;

    /// <summary>Whether the run's optimizer changes anything; a method that only learns scores leaves all weights and biases as they are.</summary>
    public bool TrainsWeights { get; init; } = true;

    /// <summary>The sparsity where nothing else is asked for.</summary>
    public double DefaultSparsity { get; init; } = 0.5;

    /// <summary>Whether a pattern is among <see cref="Granularities"/>.</summary>
    public bool Allows(SparsityPattern pattern) => Granularities.Contains(pattern.ToGranularity()) || (IsStructured && pattern.Kind == SparsityKind.Unstructured);

    /// <summary>Whether it makes the graph smaller instead of setting masks.</summary>
    public bool IsStructured => Granularities.All(g => g is Granularity.Channel or Granularity.Head or Granularity.Layer);

    /// <summary>Builds the method.</summary>
    /// <exception cref="PruningException">A parameter is unknown, out of range or without effect beside the others, or the pattern is not possible.</exception>
    public Sparsifier Build(PruningSettings settings, IReadOnlyDictionary<string, string>? arguments = null, long totalSteps = 0)
    {
        ArgumentNullException.ThrowIfNull(settings);
        if (!Allows(settings.Pattern))
            throw new PruningException("SL4009", $"'{Id}' cannot remove weights in the pattern {settings.Pattern}") { Try = "one of: " + string.Join(", ", Granularities.Select(g => g.Label())) };
        var values = new MethodArguments(Id, Parameters, arguments);
        values.RequireConsistent(settings.Pattern);
        return Create(new MethodRequest(settings, values, totalSteps));
    }
}

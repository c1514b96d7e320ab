using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Layers;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning;

/// <summary>What every method is told.</summary>
public sealed record PruningSettings
{
    private readonly double _sparsity = 0.5;

    /// <summary>Share of the weights of the pruned layers that is removed, 0 to below 1. Ignored where the pattern fixes it (N:M).</summary>
    /// <exception cref="PruningException">SL4002: not in that range.</exception>
    public double Sparsity
    {
        get => _sparsity;
        init => _sparsity = value is >= 0 and < 1
            ? value
            : throw new PruningException("SL4002", $"a sparsity of {value * 100:0.##} % cannot be reached: it is the share of the weights that is removed, 0 % to below 100 %") { Try = "for example 90 % or 0.9" };
    }

    /// <summary>Share that is kept.</summary>
    public double Density => 1 - Sparsity;

    /// <summary>In what shape weights may be removed.</summary>
    public SparsityPattern Pattern { get; init; } = SparsityPattern.Unstructured;

    /// <summary>Which layers may be touched.</summary>
    public LayerPolicy Policy { get; init; } = new();

    /// <summary>Floors and ceilings per layer.</summary>
    public LayerBounds Bounds { get; init; } = new();

    /// <summary>Seed of everything random.</summary>
    public long Seed { get; init; }
}

/// <summary>What a method may use besides the weights.</summary>
public sealed record PruningContext
{
    /// <summary>Samples for gradients or calibration; null when there are none.</summary>
    public BatchLoader? Data { get; init; }

    /// <summary>The loss for gradients.</summary>
    public LossFunction Loss { get; init; } = TrainingLoss.CrossEntropy();

    /// <summary>Feeds graphs with several inputs; null feeds the batch to the only one.</summary>
    public Func<Batch, IReadOnlyDictionary<string, Training.ModelValue>>? Feed { get; init; }

    /// <summary>Types that fix sizes which the graph leaves open, for counting multiply-accumulates; null counts them as 1.</summary>
    public IReadOnlyDictionary<string, Model.Graph.TensorType>? InputTypes { get; init; }

    /// <summary>Reports what is being done.</summary>
    public IProgress<PruningProgress>? Progress { get; init; }

    /// <summary>Stops between layers.</summary>
    public CancellationToken Cancellation { get; init; }
}

/// <summary>A report from a method.</summary>
/// <param name="Done">Units of work done.</param>
/// <param name="Total">Units of work in all.</param>
/// <param name="What">What is being done.</param>
public sealed record PruningProgress(int Done, int Total, string What);

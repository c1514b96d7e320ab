using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Probing;

namespace Sparseland.Pruning.Allocations;

/// <summary>How many weights a layer may lose and must keep (R22).</summary>
/// <remarks>
/// Layer sparsity stays within [<see cref="MinSparsity"/>, 1 - floor], where the floor on the kept share is <see cref="FloorFactor"/> times the
/// target density, and at least <see cref="MinKeep"/> weights. The minimum-keep guard [A7] of "Is Complexity Required for Neural Network Pruning?" (2022),
/// with a floor that moves with the target.
/// </remarks>
public sealed record LayerBounds
{
    /// <summary>No layer keeps less than this share of the target density; 0 switches the floor off.</summary>
    public double FloorFactor { get; init; } = 0.2;

    /// <summary>No layer keeps fewer weights than this (layers that have fewer stay dense).</summary>
    public int MinKeep { get; init; } = 16;

    /// <summary>No layer keeps a larger share than this: 1 lets small layers stay dense.</summary>
    public double MaxDensity { get; init; } = 1;

    /// <summary>The smallest sparsity of a layer: 1 - <see cref="MaxDensity"/>.</summary>
    public double MinSparsity => 1 - MaxDensity;

    /// <summary>Without bounds.</summary>
    public static LayerBounds None { get; } = new() { FloorFactor = 0, MinKeep = 0 };

    /// <summary>Fewest weights that a layer keeps.</summary>
    public int Floor(int length, double density) => (int)Math.Min(length, Math.Max(MinKeep, Math.Ceiling(FloorFactor * density * length - 1e-9)));

    /// <summary>Most weights that a layer keeps; never below the floor.</summary>
    public int Ceiling(int length, double density) => Math.Max(Floor(length, density), (int)Math.Floor(MaxDensity * length + 1e-9));
}

/// <summary>What an allocation decides from.</summary>
/// <param name="Layers">The layers that are pruned.</param>
/// <param name="Density">Share of all their weights that is kept, 0 to 1.</param>
public sealed record AllocationRequest(IReadOnlyList<PrunableLayer> Layers, double Density)
{
    /// <summary>Floors and ceilings per layer.</summary>
    public LayerBounds Bounds { get; init; } = LayerBounds.None;

    /// <summary>Scores per layer; needed by allocations that rank globally.</summary>
    public IReadOnlyList<float[]>? Scores { get; init; }

    /// <summary>Weights per layer; needed by LAMP.</summary>
    public IReadOnlyList<float[]>? Weights { get; init; }

    /// <summary>Entries that are still there; null = all.</summary>
    public IReadOnlyList<bool[]?>? Alive { get; init; }

    /// <summary>Runs the network, for allocations that measure something; null when there is no network to run.</summary>
    public NetworkProbe? Probe { get; init; }

    /// <summary>Seed of allocations that draw something.</summary>
    public long Seed { get; init; }

    /// <summary>Entries that may be kept in layer <paramref name="layer"/>.</summary>
    public int AliveCount(int layer) => Alive?[layer] is { } alive ? alive.AsSpan().Count(true) : Layers[layer].Length;

    /// <summary>Number of weights that are kept in all layers together.</summary>
    public long Keep => Selection.ExactSelection.Count(Density, Layers.Sum(l => (long)l.Length));
}

/// <summary>How many weights each layer keeps.</summary>
/// <param name="Keep">Kept weights per layer.</param>
/// <param name="Warnings">Layers that had to be protected, and the like; sentences for people.</param>
public sealed record AllocationResult(IReadOnlyList<int> Keep, IReadOnlyList<string> Warnings);

/// <summary>How much from each layer? The counts add up exactly to the target.</summary>
public interface IAllocation
{
    /// <summary>Stable name.</summary>
    string Id { get; }

    /// <summary>What it has to be given besides shapes, scores and weights; with anything but None, <see cref="AllocationRequest.Probe"/> is there.</summary>
    Criteria.CriterionNeeds Needs => Criteria.CriterionNeeds.None;

    /// <summary>Decides.</summary>
    /// <exception cref="PruningException">SL4004: the target cannot be reached within the bounds; the nearest that can is named.</exception>
    AllocationResult Allocate(AllocationRequest request);
}

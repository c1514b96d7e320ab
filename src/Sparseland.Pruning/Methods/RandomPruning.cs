using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Methods;

/// <summary>A random mask with exact counts per layer: the baseline that every criterion before training must beat.</summary>
/// <remarks>Liu et al., "The Unreasonable Effectiveness of Random Pruning: Return of the Most Naive Baseline for Sparse Training", ICLR 2022, section 3. Weights are not rescaled. The allocations
/// that run the network (a criterion's ratios) need data; those from shapes need nothing.</remarks>
public static class RandomPruning
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "random",
        Title = "Random pruning",
        Paper = "Liu et al.: The Unreasonable Effectiveness of Random Pruning, ICLR 2022",
        Section = "section 3",
        Description = "removes weights at random, with exact counts: the baseline",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.AnyMask,
        MaskSource = MaskSource.Random,
        Needs = CriterionNeeds.None,
        Parameters = [.. SharedParameters.MeasuredAllocations],
        Create = r => new ScoredPruning("random", PruningStage.Before, r.Settings, new RandomCriterion(), r.Allocation),
    };
}

using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Methods;

/// <summary>Magnitude pruning in one go: one threshold for the whole network by default, with a floor per layer.</summary>
/// <remarks>
/// With the global allocation the baseline of "Is Complexity Required for Neural Network Pruning? A Case Study on Global Magnitude Pruning" (2022), section 3, its minimum threshold in
/// the exact form of <see cref="GlobalAllocation"/>; with an N:M pattern the mask of Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, section 3.
/// </remarks>
public static class MagnitudePruning
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "magnitude",
        Title = "Global magnitude pruning",
        Paper = "Gupta, Camci, Keneta, Vaidyanathan, Kanodia, Foo, Wu and Lin: Is Complexity Required for Neural Network Pruning? A Case Study on Global Magnitude Pruning, 2022",
        Section = "section 3",
        Description = "removes the smallest weights of a trained network in one go, with a floor per layer",
        Stage = PruningStage.After,
        Path = TrainingPath.PostTraining,
        Granularities = SharedParameters.AnyMask,
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.None,
        Parameters = [.. SharedParameters.Allocations],
        Create = r => new ScoredPruning("magnitude", PruningStage.After, r.Settings, new MagnitudeCriterion(), r.Allocation),
    };
}

using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Methods;

/// <summary>FORCE and Iter-SNIP: SNIP again and again at the network that the masks so far leave; with FORCE removed weights can come back.</summary>
/// <remarks>
/// de Jorge, Sanyal, Behl, Torr, Rogez and Dokania, "Progressive Skeletonization: Trimming more fat from a network at initialization", ICLR 2021, section 4, equation 6 and algorithm 1. Density d^(t/T)
/// after round t of T (60 in the documented runs of the authors' code). FORCE scores |theta g(theta m)| with the weights before pruning, Iter-SNIP |(theta m) g(theta m)|.
/// </remarks>
public static class ForcePruning
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "force",
        Title = "FORCE",
        Paper = "de Jorge, Sanyal, Behl, Torr, Rogez and Dokania: Progressive Skeletonization: Trimming more fat from a network at initialization, ICLR 2021",
        Section = "section 4, equation 6, algorithm 1",
        Description = "prunes an untrained network in rounds by the loss's reaction at the network that is left; removed weights can come back on the way",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.AnyMask,
        MaskSource = MaskSource.Gradient,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients,
        Parameters =
        [
            .. SharedParameters.Allocations,
            SharedParameters.Rounds with { Default = "60" },
            SharedParameters.Batches,
            new("revival", ParameterType.Switch, "true", "whether a removed weight can come back in a later round (FORCE) or not (Iter-SNIP)"),
        ],
        DefaultSparsity = 0.95,
        Create = r => new ScoredPruning("force", PruningStage.Before, r.Settings, new LayerwiseScoring(new SnipCriterion(), r.Arguments.Int("batches"), masked: !r.Arguments.Switch("revival")),
            r.Allocation, new ScoringRounds(r.Arguments.Int("rounds")) { Revival = r.Arguments.Switch("revival") }),
    };
}

using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Methods;

/// <summary>SNIP: one score from one gradient of the untrained network.</summary>
/// <remarks>
/// Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019, section 4. The mask is applied to the network's own initial weights, which are
/// also what is scored (some implementations draw others for scoring).
/// </remarks>
public static class SnipPruning
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "snip",
        Title = "SNIP",
        Paper = "Lee, Ajanthan and Torr: SNIP: Single-shot Network Pruning based on Connection Sensitivity, ICLR 2019",
        Section = "section 4, equation 6",
        Description = "removes the weights of an untrained network to which the loss reacts least",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.AnyMask,
        MaskSource = MaskSource.Gradient,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients,
        Parameters = [.. SharedParameters.Allocations, SharedParameters.Batches],
        DefaultSparsity = 0.9,
        Create = r => new ScoredPruning("snip", PruningStage.Before, r.Settings, new SnipCriterion(), r.Allocation, r.Arguments.Int("batches")),
    };
}

using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Methods;

/// <summary>SynFlow: prunes before training in many rounds by the flow through each weight, without data.</summary>
/// <remarks>
/// Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS 2020, algorithm 1; density d^(t/n) after round t of n = 100. The flow
/// of a layer equals the flow of every other layer (no biases), so a layer never empties while rounds remove little; in one round a wide layer does.
/// </remarks>
public static class SynFlowPruning
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "synflow",
        Title = "SynFlow",
        Paper = "Tanaka, Kunin, Yamins and Ganguli: Pruning neural networks without any data by iteratively conserving synaptic flow, NeurIPS 2020",
        Section = "section 5, equation 8, algorithm 1",
        Description = "removes, without any data, the weights of an untrained network through which least flows, in many rounds",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.AnyMask,
        MaskSource = MaskSource.Gradient,
        Needs = CriterionNeeds.Network,
        Parameters = [.. SharedParameters.Allocations, SharedParameters.Rounds],
        DefaultSparsity = 0.9,
        Create = r => new ScoredPruning("synflow", PruningStage.Before, r.Settings, new SynFlowCriterion(), r.Allocation, new ScoringRounds(r.Arguments.Int("rounds"))),
    };
}

using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Regrowth;
using Sparseland.Pruning.Schedules;

namespace Sparseland.Pruning.Methods;

/// <summary>Static sparse training: random masks that never change.</summary>
/// <remarks>The baseline of Evci et al., "Rigging the Lottery", ICML 2020, section 4.</remarks>
public static class StaticTraining
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "static",
        Title = "Static sparse training",
        Paper = "Evci et al.: Rigging the Lottery, ICML 2020 (baseline)",
        Section = "section 4",
        Description = "trains a random sparse network whose masks never change",
        Stage = PruningStage.During,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Random,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels,
        Parameters = [.. SharedParameters.ShapeAllocations],
        DefaultSparsity = 0.9,
        Create = r => new DynamicSparseTraining("static", r.Settings, r.Allocation, new CosineDrop(0, 1, 1), new RandomRegrowth(), false),
    };
}

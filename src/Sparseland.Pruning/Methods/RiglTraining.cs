using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Regrowth;

namespace Sparseland.Pruning.Methods;

/// <summary>RigL: <see cref="DynamicSparseTraining"/> that grows where the dense gradient is largest.</summary>
/// <remarks>Evci, Gale, Menick, Castro and Elsen, "Rigging the Lottery: Making All Tickets Winners", ICML 2020, section 3 and algorithm 1.</remarks>
public static class RiglTraining
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "rigl",
        Title = "RigL",
        Paper = "Evci, Gale, Menick, Castro and Elsen: Rigging the Lottery: Making All Tickets Winners, ICML 2020",
        Section = "section 3, algorithm 1",
        Description = "trains sparse from the first step; small weights move to where the dense gradient is largest",
        Stage = PruningStage.During,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Connectivity = new Connectivity("smallest magnitudes of each layer", "largest dense gradients, from zero", "every interval, a share that falls along a cosine", "a share of the run, 75 % by default"),
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients,
        Parameters = DynamicSparseTraining.Parameters,
        DefaultSparsity = 0.9,
        Create = r => DynamicSparseTraining.Of("rigl", r, new GradientRegrowth(), replacesUpdate: true),
    };
}

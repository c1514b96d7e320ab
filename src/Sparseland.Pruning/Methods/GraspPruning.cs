using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Methods;

/// <summary>GraSP: removes before training what hinders the flow of gradients most.</summary>
/// <remarks>Wang, Zhang and Grosse, "Picking Winning Tickets Before Training by Preserving Gradient Flow", ICLR 2020, section 4 and algorithm 1; see <see cref="GraspCriterion"/>.</remarks>
public static class GraspPruning
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "grasp",
        Title = "GraSP",
        Paper = "Wang, Zhang and Grosse: Picking Winning Tickets Before Training by Preserving Gradient Flow, ICLR 2020",
        Section = "section 4, equation 8, algorithm 1",
        Description = "removes the weights of an untrained network without which its gradient stays largest",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = SharedParameters.AnyMask,
        MaskSource = MaskSource.Hessian,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients,
        Parameters =
        [
            .. SharedParameters.Allocations,
            new("samples", ParameterType.Integer, "25", "samples of each class") { Min = 2, Max = 100_000 },
            new("temperature", ParameterType.Number, "200", "what logits are divided by") { Min = 1e-3, Max = 1e6 },
            new("relus", ParameterType.Choice, "fixed", "what ReLUs do within the step over which the change of the gradient is taken: keep their pattern, as in double backpropagation, or switch") { Choices = ["fixed", "free"] },
        ],
        DefaultSparsity = 0.9,
        Create = r => new ScoredPruning("grasp", PruningStage.Before, r.Settings, new GraspCriterion(r.Arguments.Int("samples"), r.Arguments.Number("temperature"), r.Arguments.Choice("relus") == "free"), r.Allocation),
    };
}

using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Methods;

/// <summary>Magnitude pruning whose layer sparsities are found together from measured output distortions.</summary>
/// <remarks>
/// Xu et al., "Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks", ICCV 2023, sections 3.1 to 3.3: <see cref="RateDistortionAllocation"/>. One round; the paper's iterative form is
/// several calls with training between them, which stay nested.
/// </remarks>
public static class RateDistortionPruning
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "rd",
        Title = "Rate-distortion layer-adaptive pruning",
        Paper = "Xu, Wang, Geng, Wu, Li and Lin: Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks, ICCV 2023",
        Section = "sections 3.1 to 3.3",
        Description = "removes the smallest weights; how many of each layer is found by dynamic programming over measured changes of the output",
        Stage = PruningStage.After,
        Path = TrainingPath.PostTraining,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.Data | CriterionNeeds.Network,
        Parameters =
        [
            new("samples", ParameterType.Integer, "1024", "calibration samples; one pass over them for each layer and grid point") { Min = 1, Max = 1_000_000 },
            new("distortion", ParameterType.Choice, "worst", "largest or mean squared change of the outputs over samples") { Choices = ["worst", "mean"] },
            new("fine", ParameterType.Switch, "false", "cut the last two per cent of the grid into tenths, for sparsities above 98 %"),
        ],
        DefaultSparsity = 0.9,
        Create = r => new ScoredPruning("rd", PruningStage.After, r.Settings, new MagnitudeCriterion(),
            new RateDistortionAllocation(r.Arguments.Int("samples"), r.Arguments.Choice("distortion") == "mean" ? DistortionNorm.Mean : DistortionNorm.Worst, r.Arguments.Switch("fine"))),
    };
}

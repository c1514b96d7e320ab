using Sparseland.Model;
using Sparseland.Reproductions.Papers;

namespace Sparseland.Reproductions;

/// <summary>Every reproduction, as an explicit list: one line here, one file below <c>Papers</c>.</summary>
public static class ReproductionCatalog
{
    /// <summary>All reproductions in the order in which they are listed.</summary>
    public static IReadOnlyList<IReproduction> All { get; } =
    [
        new Allocations(),
        new PruningAtInitialisation(),
        new DynamicTraining(),
        new LotteryTickets(),
        new Rewinding(),
        new RewindingAccuracy(),
        new GradualMagnitude(),
        new GlobalMagnitude(),
        new Regeneration(),
        new RateDistortion(),
        new Jackpots(),
        new BilevelMasks(),
        new ModelSoups(),
        new ParameterEfficientRetraining(),
        new ParameterEfficientRetrainingOfText(),
        new WakingUnits(),
        new Cropping(),
        new LayerTickets(),
        new RandomArchitectures(),
        new SoftShrinkage(),
        new SuperResolution(),
        new RandomMasks(),
        new RandomMasksBeyondAccuracy(),
        new SparsityPerspective(),
        new EssentialWeights(),
        new EssentialWeightsOfText(),
        new RegimesOfPruning(),
        new OraclePruning(),
        new RobustnessLottery(),
        new FairComparison(),
    ];

    /// <summary>The reproduction of that id.</summary>
    /// <exception cref="SparselandException">SL6001: there is none; the ids are listed.</exception>
    public static IReproduction Get(string id) => All.FirstOrDefault(r => string.Equals(r.Id, id, StringComparison.OrdinalIgnoreCase))
        ?? throw new SparselandException("SL6001", $"there is no reproduction '{id}'") { Try = "one of " + string.Join(", ", All.Select(r => r.Id)) };
}

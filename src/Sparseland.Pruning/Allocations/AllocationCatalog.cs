using Sparseland.Pruning.Criteria;

namespace Sparseland.Pruning.Allocations;

/// <summary>Every allocation by name: one line here, one file for the allocation, one test.</summary>
public static class AllocationCatalog
{
    private static readonly (string Id, bool FromShapes, Func<double, double, IAllocation> Create)[] s_all =
    [
        ("global", false, (_, _) => new GlobalAllocation()),
        ("uniform", true, (_, _) => new UniformAllocation()),
        ("uniform+", true, (_, _) => new UniformPlusAllocation()),
        ("erk", true, (p, _) => new ErdosRenyiAllocation(power: p)),
        ("er", true, (p, _) => new ErdosRenyiAllocation(kernel: false, power: p)),
        ("erk+", true, (p, c) => new ErdosRenyiPlusAllocation(c, p)),
        ("log-density", true, (_, _) => new LogDensityAllocation()),
        ("lamp", false, (_, _) => new LampAllocation()),
        ("snip-ratio", false, (_, _) => new RatioAllocation("snip-ratio", new LayerwiseScoring(new SnipCriterion()))),
        ("grasp-ratio", false, (_, _) => new RatioAllocation("grasp-ratio", new GraspCriterion())),
    ];

    /// <summary>All names.</summary>
    public static IReadOnlyList<string> Ids { get; } = [.. s_all.Select(a => a.Id)];

    /// <summary>Names of those that need nothing but scores, weights and shapes.</summary>
    public static IReadOnlyList<string> WeightIds { get; } = [.. s_all.Where(a => a.Create(1, 1).Needs == CriterionNeeds.None).Select(a => a.Id)];

    /// <summary>Names of those that run the network.</summary>
    public static IReadOnlyList<string> MeasuringIds { get; } = [.. s_all.Where(a => a.Create(1, 1).Needs != CriterionNeeds.None).Select(a => a.Id)];

    /// <summary>Names of those that need shapes alone.</summary>
    public static IReadOnlyList<string> ShapeIds { get; } = ["erk", .. s_all.Where(a => a.FromShapes && a.Id != "erk").Select(a => a.Id)];

    /// <summary>The allocation of that name.</summary>
    /// <param name="id">The name.</param>
    /// <param name="power">Exponent of Erdős-Rényi densities; others do not use it.</param>
    /// <param name="classifier">Density of the last layer with erk+; others do not use it.</param>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static IAllocation Create(string id, double power = 1, double classifier = 1) =>
        (Array.Find(s_all, a => a.Id == id).Create ?? throw new ArgumentException($"There is no allocation '{id}'.", nameof(id)))(power, classifier);
}

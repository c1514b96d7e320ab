using Sparseland.Pruning.Allocations;

namespace Sparseland.Pruning.Catalog;

/// <summary>Parameters and shapes that many methods have, spelled the same in all of them.</summary>
internal static class SharedParameters
{
    /// <summary>Every shape that masks can have.</summary>
    public static readonly Granularity[] AnyMask = [Granularity.Unstructured, Granularity.NofM, Granularity.Block, Granularity.Row, Granularity.Column];

    /// <summary>Single weights alone.</summary>
    public static readonly Granularity[] SingleWeights = [Granularity.Unstructured];

    private static readonly MethodParameter s_allocation = new("allocation", ParameterType.Choice, "global", "how the budget is shared out among the layers") { Choices = AllocationCatalog.WeightIds, OpenCounts = true };

    private static readonly MethodParameter[] s_densities =
    [
        new("power", ParameterType.Number, "1", "exponent that softens the differences between layers; 0 is the uniform share") { Min = 0, Max = 4, Only = new("allocation", "erk", "er", "erk+") },
        new("classifier", ParameterType.Share, "1", "share of its weights that the last layer keeps") { Min = 1e-6, Max = 1, Only = new("allocation", "erk+") },
    ];

    /// <summary>Allocations from scores or shapes.</summary>
    public static readonly MethodParameter[] Allocations = [s_allocation, .. s_densities];

    /// <summary>Allocations from shapes alone, for methods that have no scores yet.</summary>
    public static readonly MethodParameter[] ShapeAllocations = [s_allocation with { Default = "erk", Choices = AllocationCatalog.ShapeIds }, .. s_densities];

    /// <summary>Allocations from shapes or from a criterion's own mask.</summary>
    public static readonly MethodParameter[] MeasuredAllocations = [ShapeAllocations[0] with { Choices = [.. AllocationCatalog.ShapeIds, .. AllocationCatalog.MeasuringIds] }, .. s_densities];

    /// <summary>Batches of a gradient.</summary>
    public static readonly MethodParameter Batches = new("batches", ParameterType.Integer, "1", "batches over which gradients are averaged") { Min = 1, Max = 10_000 };

    /// <summary>Steps between mask updates.</summary>
    public static readonly MethodParameter Interval = new("interval", ParameterType.Integer, "100", "steps between mask updates") { Min = 1, Max = 1_000_000 };

    /// <summary>Rounds of scoring.</summary>
    public static readonly MethodParameter Rounds = new("rounds", ParameterType.Integer, "100", "rounds of scoring; the density falls by the same factor in each") { Min = 1, Max = 100_000, OpenCounts = true };
}

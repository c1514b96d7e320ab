using Sparseland.Pruning.Allocations;

namespace Sparseland.Pruning.Catalog;

/// <summary>Parameters and shapes that many methods have, spelled the same in all of them.</summary>
internal static class SharedParameters
{
    /// <summary>Every shape that masks can have.</summary>
    public static readonly Granularity[] AnyMask = [Granularity.Unstructured, Granularity.NofM, Granularity.Block, Granularity.Row, Granularity.Column];

    /// <summary>Single weights alone.</summary>
    public static readonly Granularity[] SingleWeights = [Granularity.Unstructured];

    /// <summary>Allocations from scores or shapes.</summary>
    public static readonly MethodParameter Allocation = new("allocation", ParameterType.Choice, "global", "how the budget is shared out among the layers") { Choices = AllocationCatalog.WeightIds };

    /// <summary>Allocations from shapes alone, for methods that have no scores yet.</summary>
    public static readonly MethodParameter ShapeAllocation = Allocation with { Default = "erk", Choices = AllocationCatalog.ShapeIds };

    /// <summary>Batches of a gradient.</summary>
    public static readonly MethodParameter Batches = new("batches", ParameterType.Integer, "1", "batches over which gradients are averaged") { Min = 1, Max = 10_000 };

    /// <summary>Steps between mask updates.</summary>
    public static readonly MethodParameter Interval = new("interval", ParameterType.Integer, "100", "steps between mask updates") { Min = 1, Max = 1_000_000 };

    /// <summary>Rounds of scoring.</summary>
    public static readonly MethodParameter Rounds = new("rounds", ParameterType.Integer, "100", "rounds of scoring; the density falls by the same factor in each") { Min = 1, Max = 100_000 };
}

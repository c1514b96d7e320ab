using Sparseland.Kernels.Sparse;

namespace Sparseland.Runtime.Tests;

/// <summary>Options whose plans depend on no clock.</summary>
internal static class PlannedOptions
{
    /// <summary>Sparse kernels everywhere, whatever they cost: what the tests of equality want.</summary>
    /// <remarks>Points of 1 would leave some layers to be timed (see <see cref="SessionOptions.AutoTune"/>); two sessions may then choose otherwise and sum in another order.</remarks>
    public static SessionOptions AlwaysSparse { get; } = new()
    {
        BreakEven = new BreakEvenTable(Enum.GetValues<KernelKind>().Select(k => new BreakEven(k, 0, BreakEven.MostDensity)), "tests"),
    };
}

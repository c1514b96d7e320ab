using System.Runtime.Intrinsics.X86;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Tests;

[Collection(nameof(MeasuringCollection))]
public class WideUnitsTests
{
    /// <summary>Half units take twice as long and whole ones as long: nothing lies in between, whatever runs beside.</summary>
    [SkippableFact]
    public void Times_of_both_widths_are_equal_or_differ_by_two()
    {
        Skip.IfNot(Avx512F.IsSupported);
        double ratio = WideUnits.Ratio();
        Assert.True(Math.Abs(ratio - 1) < 0.3 || Math.Abs(ratio - 2) < 0.3, $"{ratio:0.00}");
        Assert.Equal(ratio < 1.5, WideUnits.AreWhole);
    }

    [Fact]
    public void Without_512_bits_there_are_none() => Assert.True(Avx512F.IsSupported || !WideUnits.AreWhole);
}

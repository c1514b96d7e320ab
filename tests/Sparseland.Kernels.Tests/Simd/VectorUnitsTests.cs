using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Tests.Simd;

public class VectorUnitsTests
{
    /// <summary>Half units take twice as long and whole ones as long: where the processor says which, the clock says the same.</summary>
    [SkippableFact]
    public void The_clock_says_what_the_processor_says()
    {
        Skip.IfNot(Avx512F.IsSupported && Fma.IsSupported);
        double ratio = VectorUnits.Ratio();
        Assert.True(Math.Abs(ratio - 1) < 0.4 || Math.Abs(ratio - 2) < 0.4, $"{ratio:0.00}");
        Assert.Equal(VectorUnits.Said() ?? VectorUnits.AreFullWidth, ratio < 1.5);
        Assert.Equal(ratio < 1.5, VectorUnits.AreFullWidth);
    }

    [Fact]
    public void Without_512_bits_they_are_not() => Assert.True(Avx512F.IsSupported || !VectorUnits.AreFullWidth);
}

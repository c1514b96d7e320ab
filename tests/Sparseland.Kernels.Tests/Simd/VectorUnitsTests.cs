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

    /// <summary>Cores of one make that have AVX2 and no AVX-512: Excavator, Zen and Zen+ do operations of 256 bits in two halves, Zen 2 and 3 do not; no core does that has AVX-512.</summary>
    [Fact]
    public void Halves_of_256_bits_are_those_of_the_first_cores_with_AVX2_of_one_make()
    {
        ProcessorIdentity cores = ProcessorIdentity.Current;
        bool couldBe = Avx2.IsSupported && cores is { Vendor: "AuthenticAMD", Family: 21 } or { Vendor: "AuthenticAMD", Family: 23, Model: < 0x30 };
        Assert.True(couldBe || !VectorUnits.AreHalf256, $"{cores}");
        // Virtual machines may leave it empty, and then say nothing of 512 bits either.
        if (couldBe) Assert.Equal(VectorUnits.Said() is not null, VectorUnits.AreHalf256);
    }
}

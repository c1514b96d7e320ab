using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;

namespace Sparseland.Kernels.Tests.Simd;

public class LevelTests
{
    /// <summary>The checks run all tests of kernels again with parts of the processor switched off: a switch that has another name in a later runtime would do nothing, unseen.</summary>
    [Fact]
    public void What_the_environment_switches_off_is_off()
    {
        if (IsOff("DOTNET_EnableAVX2"))
        {
            Assert.False(Avx2.IsSupported);
            Assert.True(SimdSupport.Hardware <= SimdLevel.Vector128, $"{SimdSupport.Hardware} without AVX2");
        }
        if (IsOff("DOTNET_EnableAVX512"))
        {
            Assert.False(Avx512F.IsSupported);
            Assert.True(SimdSupport.Hardware <= SimdLevel.Vector256, $"{SimdSupport.Hardware} without AVX-512");
        }
        if (IsOff(CompiledKernels.EnvironmentVariable)) Assert.False(CompiledKernels.AreUsed);

        static bool IsOff(string name) => Environment.GetEnvironmentVariable(name) == "0";
    }

    [Theory]
    [InlineData(null, SimdLevel.Vector512, SimdLevel.Vector512)]
    [InlineData("scalar", SimdLevel.Vector512, SimdLevel.Scalar)]
    [InlineData("256", SimdLevel.Vector128, SimdLevel.Vector128)]
    public void A_level_can_be_lowered_and_not_raised(string? requested, SimdLevel hardware, SimdLevel expected) => Assert.Equal(expected, SimdSupport.Choose(requested, hardware));

    [Fact]
    public void A_level_that_is_none_is_refused()
    {
        Assert.Equal(SimdLevel.Vector256, SimdSupport.Choose(" ", SimdLevel.Vector256));
        foreach (string bad in new[] { "1024", "64", "avx2", "-1", "256 512", "0x100" })
            Assert.Contains($"SPARSELAND_SIMD is '{bad}'; expected scalar, 128, 256 or 512.", Assert.Throws<ArgumentException>(() => SimdSupport.Choose(bad, SimdLevel.Vector512)).Message);
    }
}

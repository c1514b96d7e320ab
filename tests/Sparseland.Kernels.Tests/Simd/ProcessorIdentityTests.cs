using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Tests.Simd;

public class ProcessorIdentityTests
{
    [Theory]
    // EPYC of the fifth, fourth and third generation, Ryzen 2700, Sapphire Rapids, Cascade Lake, and one that does not say an extended family.
    [InlineData(0x00B00F21, 26, 2)]
    [InlineData(0x00A10F11, 25, 0x11)]
    [InlineData(0x00A00F11, 25, 1)]
    [InlineData(0x00800F82, 23, 8)]
    [InlineData(0x000806F8, 6, 0x8F)]
    [InlineData(0x00050657, 6, 0x55)]
    [InlineData(0x00000543, 5, 4)]
    public void Extended_numbers_of_a_signature_are_added(int signature, int family, int model) => Assert.Equal((family, model), ProcessorIdentity.Numbers(signature));

    [Theory]
    [InlineData("AuthenticAMD", 26, 0x02, 1, "Zen 5")]
    [InlineData("AuthenticAMD", 26, 0x11, 0, "Zen 5")]
    [InlineData("AuthenticAMD", 25, 0x11, 1, "Zen 4")]
    [InlineData("AuthenticAMD", 25, 0xA0, 2, "Zen 4")]
    [InlineData("AuthenticAMD", 25, 0x01, 1, "Zen 3")]
    [InlineData("AuthenticAMD", 23, 0x31, 0, "Zen 2")]
    [InlineData("AuthenticAMD", 99, 0x01, 0, null)]
    [InlineData("GenuineIntel", 6, 0x8F, 8, "Sapphire Rapids")]
    [InlineData("GenuineIntel", 6, 0x55, 7, "Cascade Lake")]
    [InlineData("GenuineIntel", 6, 0x55, 4, "Skylake-X")]
    [InlineData("GenuineIntel", 15, 0x8F, 8, null)]
    [InlineData("", 26, 2, 0, null)]
    public void Generations_are_told_by_their_numbers(string vendor, int family, int model, int stepping, string? cores) =>
        Assert.Equal(cores, new ProcessorIdentity("x", vendor, family, model, stepping).Microarchitecture);

    [Fact]
    public void Two_generations_of_one_name_are_called_differently()
    {
        string zen4 = new ProcessorIdentity("AMD EPYC", "AuthenticAMD", 25, 0x11, 1).ToString(), zen5 = new ProcessorIdentity("AMD EPYC", "AuthenticAMD", 26, 2, 1).ToString();
        Assert.Equal("AMD EPYC, Zen 5 (family 26, model 2)", zen5);
        Assert.NotEqual(zen4, zen5);
        Assert.Equal("Arm64", new ProcessorIdentity("Arm64", "", 0, 0, 0).ToString());
    }

    [Fact]
    public void Caches_are_ways_times_sets_times_lines()
    {
        // 12 ways of 64 lines of 64 bytes, data, first level; 8 ways of 2048, unified, second; instructions; the end.
        Assert.Equal((1, 48L << 10), ProcessorIdentity.Cache((0x21, 11 << 22 | 63, 63, 0)));
        Assert.Equal((2, 1L << 20), ProcessorIdentity.Cache((0x43, 7 << 22 | 63, 2047, 0)));
        Assert.Equal(0, ProcessorIdentity.Cache((0x22, 7 << 22 | 63, 63, 0))!.Value.Level);
        Assert.Null(ProcessorIdentity.Cache(default));
    }

    [Fact]
    public void This_machine_has_a_name_and_caches_that_grow()
    {
        Assert.NotEqual("", ProcessorIdentity.Current.Name);
        (int l1, int l2, int l3) = ProcessorIdentity.CacheBytes;
        if (!X86Base.IsSupported) return;
        Assert.True(ProcessorIdentity.Current.Family > 0);
        Assert.InRange(l1, 0, 1 << 20);
        Assert.True(l2 == 0 || l2 > l1);
        Assert.True(l3 == 0 || l3 > l2);
    }
}

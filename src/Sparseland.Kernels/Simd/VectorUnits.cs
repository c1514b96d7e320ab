using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Simd;

/// <summary>What the machine says of its vector units, where instruction sets do not tell.</summary>
internal static class VectorUnits
{
    private const int Largest = unchecked((int)0x80000000), OptimizationIdentifiers = unchecked((int)0x8000001A), FullWidth = 3;

    /// <summary>Whether data paths are 512 bits wide: two multiply-adds and two loads of 512 bits a cycle, not one.</summary>
    /// <remarks>AMD says so (Fn8000_001A, FP512: Zen 5, not Zen 4); where nothing is said it is false.</remarks>
    public static bool AreFullWidth { get; } = X86Base.IsSupported && (uint)X86Base.CpuId(Largest, 0).Eax is >= 0x8000001Au and < 0x90000000u
        && (X86Base.CpuId(OptimizationIdentifiers, 0).Eax >> FullWidth & 1) != 0;
}

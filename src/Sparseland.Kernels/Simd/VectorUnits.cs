using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Simd;

/// <summary>Whether this processor's vector units take 512 bits at once, which its instruction sets do not tell.</summary>
/// <remarks>
/// Some do every operation of 512 bits in two halves (Zen 4), others at once (Zen 5, most servers with AVX-512). With whole units dense products are twice as fast, and sparse ones that wait for code, inputs or outputs are not:
/// break-even points, the order of compiled products and what is asked for ahead depend on it. AMD says it (CPUID Fn8000_001A, FP512). Elsewhere two loops are timed once a process, in some fifty microseconds; their times are equal or
/// differ by two, so the best of several decides whatever else runs.
/// </remarks>
public static class VectorUnits
{
    private const int LargestLeaf = unchecked((int)0x80000000), PerformanceLeaf = unchecked((int)0x8000001A), FullWidth256Bit = 2, FullWidthBit = 3;

    private const int Trials = 24, Rounds = 256;

    // Between one and two.
    private const double Half = 1.5;

    /// <summary>Whether they do; false without AVX-512 and fused multiply-adds.</summary>
    public static bool AreFullWidth { get; } = Avx512F.IsSupported && Fma.IsSupported && (Said() ?? Ratio() < Half);

    /// <summary>
    /// Whether they do operations of 256 bits in two halves: the first cores with AVX2 of one make (Zen 1), which say so. Others take 256 bits at once, also those that say only that they take 512 (Zen 5 leaves the lesser bit empty).
    /// </summary>
    public static bool AreHalf256 { get; } = Avx2.IsSupported && Said(FullWidth256Bit) == false && Said(FullWidthBit) == false;

    /// <summary>What CPUID says of a width; null where it says nothing: other makes, and virtual machines that leave the leaf empty.</summary>
    internal static bool? Said(int bit = FullWidthBit)
    {
        if (!X86Base.IsSupported || ProcessorIdentity.Current.Vendor != "AuthenticAMD" || (uint)X86Base.CpuId(LargestLeaf, 0).Eax is < unchecked((uint)PerformanceLeaf) or >= 0x90000000u) return null;
        int says = X86Base.CpuId(PerformanceLeaf, 0).Eax;
        return says == 0 ? null : (says >> bit & 1) != 0;
    }

    /// <summary>Time of multiply-adds with 512 bits over that of as many with 256; only with AVX-512.</summary>
    internal static double Ratio()
    {
        long wide = long.MaxValue, narrow = long.MaxValue;
        for (int i = 0; i < Trials; i++)
        {
            long start = Stopwatch.GetTimestamp();
            Wide();
            long middle = Stopwatch.GetTimestamp();
            Narrow();
            wide = Math.Min(wide, middle - start);
            narrow = Math.Min(narrow, Stopwatch.GetTimestamp() - middle);
        }
        return (double)wide / Math.Max(1, narrow);
    }

    // Twelve sums: more than a latency of four or five cycles times two units.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Wide()
    {
        Vector512<float> x = Vector512<float>.One, a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
        for (int n = 0; n < Rounds; n++)
        {
            a = Avx512F.FusedMultiplyAdd(x, x, a);
            b = Avx512F.FusedMultiplyAdd(x, x, b);
            c = Avx512F.FusedMultiplyAdd(x, x, c);
            d = Avx512F.FusedMultiplyAdd(x, x, d);
            e = Avx512F.FusedMultiplyAdd(x, x, e);
            f = Avx512F.FusedMultiplyAdd(x, x, f);
            g = Avx512F.FusedMultiplyAdd(x, x, g);
            h = Avx512F.FusedMultiplyAdd(x, x, h);
            i = Avx512F.FusedMultiplyAdd(x, x, i);
            j = Avx512F.FusedMultiplyAdd(x, x, j);
            k = Avx512F.FusedMultiplyAdd(x, x, k);
            l = Avx512F.FusedMultiplyAdd(x, x, l);
        }
        return (a + b + c + d + e + f + (g + h + i + j + k + l)).ToScalar();
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static float Narrow()
    {
        Vector256<float> x = Vector256<float>.One, a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
        for (int n = 0; n < Rounds; n++)
        {
            a = Fma.MultiplyAdd(x, x, a);
            b = Fma.MultiplyAdd(x, x, b);
            c = Fma.MultiplyAdd(x, x, c);
            d = Fma.MultiplyAdd(x, x, d);
            e = Fma.MultiplyAdd(x, x, e);
            f = Fma.MultiplyAdd(x, x, f);
            g = Fma.MultiplyAdd(x, x, g);
            h = Fma.MultiplyAdd(x, x, h);
            i = Fma.MultiplyAdd(x, x, i);
            j = Fma.MultiplyAdd(x, x, j);
            k = Fma.MultiplyAdd(x, x, k);
            l = Fma.MultiplyAdd(x, x, l);
        }
        return (a + b + c + d + e + f + (g + h + i + j + k + l)).ToScalar();
    }
}

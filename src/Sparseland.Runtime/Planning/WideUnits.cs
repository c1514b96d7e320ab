using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Runtime.Planning;

/// <summary>Whether this processor starts as many multiply-adds of 512 bits a cycle as of 256 bits.</summary>
/// <remarks>
/// Some do each in two halves (Zen 4), others at once (Zen 5, most servers with AVX-512), and CPUID says which for AMD alone. It decides what built-in break-even points hold: with whole units dense products are twice as fast, and sparse
/// ones that wait for code, inputs or outputs are not. Both loops are timed once a process, in some fifty microseconds; their times are equal or differ by two, so the best of several decides whatever else runs.
/// </remarks>
internal static class WideUnits
{
    private const int Trials = 24, Rounds = 256;

    // Between one and two.
    private const double Half = 1.5;

    private static readonly Lazy<bool> s_areWhole = new(() => Avx512F.IsSupported && Fma.IsSupported && Ratio() < Half);

    /// <summary>Whether it does; false without AVX-512.</summary>
    public static bool AreWhole => s_areWhole.Value;

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

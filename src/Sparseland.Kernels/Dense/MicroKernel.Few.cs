using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// The tiles of one to four rows, for what is left of a matrix whose rows are no multiple of a tile's: computed as whole tiles, two rows cost what eight do. They have two panels of columns, because the two registers of one would
// leave fewer than the eight sums that hide what a multiply-add takes (four cycles, two a cycle). Zen 5, one thread, packed 512 x 512 (128 columns in brackets): 2 rows 21 to 9.5 us (6.4 to 1.5),
// 4 rows 21 to 11 (6.5 to 2.6), 7 rows 22 to 20 (6.5 to 4.4), 10 rows 42 to 27 (11.5 to 7.2). Zeros behind few rows of a panel, written one by one, had been a good part.
internal static unsafe partial class MicroKernel
{
    /// <summary>The most rows of a tile of two panels: four times four sums where there are 32 registers, two where there are 16.</summary>
    public static int RowsOfPairs<V>() where V : unmanaged, IVector<V> => V.Count == 16 ? 4 : 2;

    /// <summary>Up to four rows (<see cref="RowsOfPairs"/>) times two panels of columns, overwriting c, whose rows are two panels long.</summary>
    /// <param name="rows">How many rows are wanted.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="a">The first value of the first row; in a panel or where the matrix is.</param>
    /// <param name="distance">From one row to the next.</param>
    /// <param name="next">From one value of a row to the next.</param>
    /// <param name="b0">The first panel of columns; its rows are <paramref name="stride0"/> apart.</param>
    /// <param name="stride0">Distance of rows in b0.</param>
    /// <param name="b1">The second.</param>
    /// <param name="stride1">Distance of rows in b1.</param>
    /// <param name="c">Receives the sums.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RunPair<V>(int rows, int k, float* a, nint distance, nint next, float* b0, nint stride0, float* b1, nint stride1, float* c) where V : unmanaged, IVector<V>
    {
        switch (rows)
        {
            case 1: Pair1<V>(k, a, next, b0, stride0, b1, stride1, c); break;
            case 2: Pair2<V>(k, a, distance, next, b0, stride0, b1, stride1, c); break;
            case 3: Pair3<V>(k, a, distance, next, b0, stride0, b1, stride1, c); break;
            default: Pair4<V>(k, a, distance, next, b0, stride0, b1, stride1, c); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Pair1<V>(int k, float* a, nint next, float* b0, nint stride0, float* b1, nint stride1, float* c) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V w = V.Broadcast(*a);
            V.Accumulate(ref s0, w, V.Load(b0)); V.Accumulate(ref s1, w, V.Load(b0 + V.Count));
            V.Accumulate(ref s2, w, V.Load(b1)); V.Accumulate(ref s3, w, V.Load(b1 + V.Count));
            a += next;
            b0 += stride0;
            b1 += stride1;
        }
        V.Store(s0, c); V.Store(s1, c + V.Count); V.Store(s2, c + (2 * V.Count)); V.Store(s3, c + (3 * V.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Pair2<V>(int k, float* a, nint distance, nint next, float* b0, nint stride0, float* b1, nint stride1, float* c) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s01 = V.Zero, s02 = V.Zero, s03 = V.Zero, s10 = V.Zero, s11 = V.Zero, s12 = V.Zero, s13 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b0), x1 = V.Load(b0 + V.Count), x2 = V.Load(b1), x3 = V.Load(b1 + V.Count), w;
            w = V.Broadcast(a[0]); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1); V.Accumulate(ref s02, w, x2); V.Accumulate(ref s03, w, x3);
            w = V.Broadcast(a[distance]); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1); V.Accumulate(ref s12, w, x2); V.Accumulate(ref s13, w, x3);
            a += next;
            b0 += stride0;
            b1 += stride1;
        }
        V.Store(s00, c); V.Store(s01, c + V.Count); V.Store(s02, c + (2 * V.Count)); V.Store(s03, c + (3 * V.Count));
        c += 4 * V.Count;
        V.Store(s10, c); V.Store(s11, c + V.Count); V.Store(s12, c + (2 * V.Count)); V.Store(s13, c + (3 * V.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Pair3<V>(int k, float* a, nint distance, nint next, float* b0, nint stride0, float* b1, nint stride1, float* c) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s01 = V.Zero, s02 = V.Zero, s03 = V.Zero, s10 = V.Zero, s11 = V.Zero, s12 = V.Zero, s13 = V.Zero, s20 = V.Zero, s21 = V.Zero, s22 = V.Zero, s23 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b0), x1 = V.Load(b0 + V.Count), x2 = V.Load(b1), x3 = V.Load(b1 + V.Count), w;
            w = V.Broadcast(a[0]); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1); V.Accumulate(ref s02, w, x2); V.Accumulate(ref s03, w, x3);
            w = V.Broadcast(a[distance]); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1); V.Accumulate(ref s12, w, x2); V.Accumulate(ref s13, w, x3);
            w = V.Broadcast(a[2 * distance]); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1); V.Accumulate(ref s22, w, x2); V.Accumulate(ref s23, w, x3);
            a += next;
            b0 += stride0;
            b1 += stride1;
        }
        V.Store(s00, c); V.Store(s01, c + V.Count); V.Store(s02, c + (2 * V.Count)); V.Store(s03, c + (3 * V.Count));
        c += 4 * V.Count;
        V.Store(s10, c); V.Store(s11, c + V.Count); V.Store(s12, c + (2 * V.Count)); V.Store(s13, c + (3 * V.Count));
        c += 4 * V.Count;
        V.Store(s20, c); V.Store(s21, c + V.Count); V.Store(s22, c + (2 * V.Count)); V.Store(s23, c + (3 * V.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Pair4<V>(int k, float* a, nint distance, nint next, float* b0, nint stride0, float* b1, nint stride1, float* c) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s01 = V.Zero, s02 = V.Zero, s03 = V.Zero, s10 = V.Zero, s11 = V.Zero, s12 = V.Zero, s13 = V.Zero;
        V s20 = V.Zero, s21 = V.Zero, s22 = V.Zero, s23 = V.Zero, s30 = V.Zero, s31 = V.Zero, s32 = V.Zero, s33 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b0), x1 = V.Load(b0 + V.Count), x2 = V.Load(b1), x3 = V.Load(b1 + V.Count), w;
            w = V.Broadcast(a[0]); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1); V.Accumulate(ref s02, w, x2); V.Accumulate(ref s03, w, x3);
            w = V.Broadcast(a[distance]); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1); V.Accumulate(ref s12, w, x2); V.Accumulate(ref s13, w, x3);
            w = V.Broadcast(a[2 * distance]); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1); V.Accumulate(ref s22, w, x2); V.Accumulate(ref s23, w, x3);
            w = V.Broadcast(a[3 * distance]); V.Accumulate(ref s30, w, x0); V.Accumulate(ref s31, w, x1); V.Accumulate(ref s32, w, x2); V.Accumulate(ref s33, w, x3);
            a += next;
            b0 += stride0;
            b1 += stride1;
        }
        V.Store(s00, c); V.Store(s01, c + V.Count); V.Store(s02, c + (2 * V.Count)); V.Store(s03, c + (3 * V.Count));
        c += 4 * V.Count;
        V.Store(s10, c); V.Store(s11, c + V.Count); V.Store(s12, c + (2 * V.Count)); V.Store(s13, c + (3 * V.Count));
        c += 4 * V.Count;
        V.Store(s20, c); V.Store(s21, c + V.Count); V.Store(s22, c + (2 * V.Count)); V.Store(s23, c + (3 * V.Count));
        c += 4 * V.Count;
        V.Store(s30, c); V.Store(s31, c + V.Count); V.Store(s32, c + (2 * V.Count)); V.Store(s33, c + (3 * V.Count));
    }
}

using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>The innermost loop of the matrix product: a tile of rows x two registers that stays in registers over k.</summary>
/// <remarks>
/// After Van Zee, van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS Functionality", section 4.
/// 8 rows on 512 bits (32 registers: 16 sums, 2 for b, 1 for a) and 6 rows below (16 registers: 12 + 2 + 1). More rows
/// would save loads, but the loads are not the bottleneck, and 8 divides the usual numbers of channels.
/// Every sum starts at zero and takes its products in the order of k, so that all widths give the same bits.
/// </remarks>
internal static unsafe class MicroKernel
{
    /// <summary>Rows of a tile at width <typeparamref name="V"/>.</summary>
    public static int Rows<V>() where V : unmanaged, IVector<V> => V.Count == 16 ? 8 : 6;

    /// <summary>Columns of a tile at width <typeparamref name="V"/>.</summary>
    public static int Columns<V>() where V : unmanaged, IVector<V> => 2 * V.Count;

    /// <summary>
    /// c [rows, columns] = or += a [k, rows] (packed) times b: row p of b starts at b + p * stride.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run<V>(int k, float* a, float* b, nint stride, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V>
    {
        if (V.Count == 16) Run8<V>(k, a, b, stride, c, ldc, accumulate);
        else Run6<V>(k, a, b, stride, c, ldc, accumulate);
    }

    /// <summary>
    /// As <see cref="Run"/>, where row p of b is read at b0 + offsets[p] and b1 + offsets[p] (one register each) and the
    /// tile's two registers per row go to c0 and c1.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RunOffsets<V>(int k, float* a, float* b0, float* b1, nint* offsets, float* c0, float* c1, nint ldc) where V : unmanaged, IVector<V>
    {
        if (V.Count == 16) Offsets8<V>(k, a, b0, b1, offsets, c0, c1, ldc);
        else Offsets6<V>(k, a, b0, b1, offsets, c0, c1, ldc);
    }

    /// <summary>As <see cref="Run"/> for the first row of a panel only, overwriting c; row p of a is read at a + p * step.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunOneRow<V>(int k, float* a, int step, float* b, nint stride, float* c) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V w = V.Broadcast(*a);
            s0 = V.MultiplyAdd(w, V.Load(b), s0);
            s1 = V.MultiplyAdd(w, V.Load(b + V.Count), s1);
            a += step;
            b += stride;
        }
        V.Store(s0, c);
        V.Store(s1, c + V.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Put<V>(V x, float* c, bool accumulate) where V : unmanaged, IVector<V> =>
        V.Store(accumulate ? V.Add(V.Load(c), x) : x, c);

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Run8<V>(int k, float* a, float* b, nint stride, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero, s60 = V.Zero, s70 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero, s61 = V.Zero, s71 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b), x1 = V.Load(b + V.Count), w;
            w = V.Broadcast(a[0]); s00 = V.MultiplyAdd(w, x0, s00); s01 = V.MultiplyAdd(w, x1, s01);
            w = V.Broadcast(a[1]); s10 = V.MultiplyAdd(w, x0, s10); s11 = V.MultiplyAdd(w, x1, s11);
            w = V.Broadcast(a[2]); s20 = V.MultiplyAdd(w, x0, s20); s21 = V.MultiplyAdd(w, x1, s21);
            w = V.Broadcast(a[3]); s30 = V.MultiplyAdd(w, x0, s30); s31 = V.MultiplyAdd(w, x1, s31);
            w = V.Broadcast(a[4]); s40 = V.MultiplyAdd(w, x0, s40); s41 = V.MultiplyAdd(w, x1, s41);
            w = V.Broadcast(a[5]); s50 = V.MultiplyAdd(w, x0, s50); s51 = V.MultiplyAdd(w, x1, s51);
            w = V.Broadcast(a[6]); s60 = V.MultiplyAdd(w, x0, s60); s61 = V.MultiplyAdd(w, x1, s61);
            w = V.Broadcast(a[7]); s70 = V.MultiplyAdd(w, x0, s70); s71 = V.MultiplyAdd(w, x1, s71);
            a += 8;
            b += stride;
        }
        Put(s00, c, accumulate); Put(s01, c + V.Count, accumulate); c += ldc;
        Put(s10, c, accumulate); Put(s11, c + V.Count, accumulate); c += ldc;
        Put(s20, c, accumulate); Put(s21, c + V.Count, accumulate); c += ldc;
        Put(s30, c, accumulate); Put(s31, c + V.Count, accumulate); c += ldc;
        Put(s40, c, accumulate); Put(s41, c + V.Count, accumulate); c += ldc;
        Put(s50, c, accumulate); Put(s51, c + V.Count, accumulate); c += ldc;
        Put(s60, c, accumulate); Put(s61, c + V.Count, accumulate); c += ldc;
        Put(s70, c, accumulate); Put(s71, c + V.Count, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Run6<V>(int k, float* a, float* b, nint stride, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b), x1 = V.Load(b + V.Count), w;
            w = V.Broadcast(a[0]); s00 = V.MultiplyAdd(w, x0, s00); s01 = V.MultiplyAdd(w, x1, s01);
            w = V.Broadcast(a[1]); s10 = V.MultiplyAdd(w, x0, s10); s11 = V.MultiplyAdd(w, x1, s11);
            w = V.Broadcast(a[2]); s20 = V.MultiplyAdd(w, x0, s20); s21 = V.MultiplyAdd(w, x1, s21);
            w = V.Broadcast(a[3]); s30 = V.MultiplyAdd(w, x0, s30); s31 = V.MultiplyAdd(w, x1, s31);
            w = V.Broadcast(a[4]); s40 = V.MultiplyAdd(w, x0, s40); s41 = V.MultiplyAdd(w, x1, s41);
            w = V.Broadcast(a[5]); s50 = V.MultiplyAdd(w, x0, s50); s51 = V.MultiplyAdd(w, x1, s51);
            a += 6;
            b += stride;
        }
        Put(s00, c, accumulate); Put(s01, c + V.Count, accumulate); c += ldc;
        Put(s10, c, accumulate); Put(s11, c + V.Count, accumulate); c += ldc;
        Put(s20, c, accumulate); Put(s21, c + V.Count, accumulate); c += ldc;
        Put(s30, c, accumulate); Put(s31, c + V.Count, accumulate); c += ldc;
        Put(s40, c, accumulate); Put(s41, c + V.Count, accumulate); c += ldc;
        Put(s50, c, accumulate); Put(s51, c + V.Count, accumulate);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Offsets8<V>(int k, float* a, float* b0, float* b1, nint* offsets, float* c0, float* c1, nint ldc) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero, s60 = V.Zero, s70 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero, s61 = V.Zero, s71 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            nint at = offsets[p];
            V x0 = V.Load(b0 + at), x1 = V.Load(b1 + at), w;
            w = V.Broadcast(a[0]); s00 = V.MultiplyAdd(w, x0, s00); s01 = V.MultiplyAdd(w, x1, s01);
            w = V.Broadcast(a[1]); s10 = V.MultiplyAdd(w, x0, s10); s11 = V.MultiplyAdd(w, x1, s11);
            w = V.Broadcast(a[2]); s20 = V.MultiplyAdd(w, x0, s20); s21 = V.MultiplyAdd(w, x1, s21);
            w = V.Broadcast(a[3]); s30 = V.MultiplyAdd(w, x0, s30); s31 = V.MultiplyAdd(w, x1, s31);
            w = V.Broadcast(a[4]); s40 = V.MultiplyAdd(w, x0, s40); s41 = V.MultiplyAdd(w, x1, s41);
            w = V.Broadcast(a[5]); s50 = V.MultiplyAdd(w, x0, s50); s51 = V.MultiplyAdd(w, x1, s51);
            w = V.Broadcast(a[6]); s60 = V.MultiplyAdd(w, x0, s60); s61 = V.MultiplyAdd(w, x1, s61);
            w = V.Broadcast(a[7]); s70 = V.MultiplyAdd(w, x0, s70); s71 = V.MultiplyAdd(w, x1, s71);
            a += 8;
        }
        V.Store(s00, c0); V.Store(s01, c1); c0 += ldc; c1 += ldc;
        V.Store(s10, c0); V.Store(s11, c1); c0 += ldc; c1 += ldc;
        V.Store(s20, c0); V.Store(s21, c1); c0 += ldc; c1 += ldc;
        V.Store(s30, c0); V.Store(s31, c1); c0 += ldc; c1 += ldc;
        V.Store(s40, c0); V.Store(s41, c1); c0 += ldc; c1 += ldc;
        V.Store(s50, c0); V.Store(s51, c1); c0 += ldc; c1 += ldc;
        V.Store(s60, c0); V.Store(s61, c1); c0 += ldc; c1 += ldc;
        V.Store(s70, c0); V.Store(s71, c1);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Offsets6<V>(int k, float* a, float* b0, float* b1, nint* offsets, float* c0, float* c1, nint ldc) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            nint at = offsets[p];
            V x0 = V.Load(b0 + at), x1 = V.Load(b1 + at), w;
            w = V.Broadcast(a[0]); s00 = V.MultiplyAdd(w, x0, s00); s01 = V.MultiplyAdd(w, x1, s01);
            w = V.Broadcast(a[1]); s10 = V.MultiplyAdd(w, x0, s10); s11 = V.MultiplyAdd(w, x1, s11);
            w = V.Broadcast(a[2]); s20 = V.MultiplyAdd(w, x0, s20); s21 = V.MultiplyAdd(w, x1, s21);
            w = V.Broadcast(a[3]); s30 = V.MultiplyAdd(w, x0, s30); s31 = V.MultiplyAdd(w, x1, s31);
            w = V.Broadcast(a[4]); s40 = V.MultiplyAdd(w, x0, s40); s41 = V.MultiplyAdd(w, x1, s41);
            w = V.Broadcast(a[5]); s50 = V.MultiplyAdd(w, x0, s50); s51 = V.MultiplyAdd(w, x1, s51);
            a += 6;
        }
        V.Store(s00, c0); V.Store(s01, c1); c0 += ldc; c1 += ldc;
        V.Store(s10, c0); V.Store(s11, c1); c0 += ldc; c1 += ldc;
        V.Store(s20, c0); V.Store(s21, c1); c0 += ldc; c1 += ldc;
        V.Store(s30, c0); V.Store(s31, c1); c0 += ldc; c1 += ldc;
        V.Store(s40, c0); V.Store(s41, c1); c0 += ldc; c1 += ldc;
        V.Store(s50, c0); V.Store(s51, c1);
    }
}

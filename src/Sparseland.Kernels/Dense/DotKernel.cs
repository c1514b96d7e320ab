using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Products of rows that are contiguous along the summed dimension: 16 partial sums each, folded in one order.</summary>
internal static unsafe class DotKernel
{
    /// <summary>The most rows of x that <see cref="Run"/> takes.</summary>
    public const int MaxRows = 4;

    /// <summary>The most rows of y that <see cref="Run"/> takes.</summary>
    public const int MaxColumns = 6;

    /// <summary>
    /// sums [rows, columns, 16] += lanes of x[i] * y[j] over <paramref name="length"/> elements; element t goes to lane t % 16.
    /// </summary>
    /// <param name="rows">1 to 4.</param>
    /// <param name="columns">1 to 6.</param>
    /// <param name="length">Elements of each row.</param>
    /// <param name="x">Row i starts at x + i * ldx.</param>
    /// <param name="ldx">Distance of the rows of x.</param>
    /// <param name="y">Row j starts at y + offsets[j].</param>
    /// <param name="offsets">Where the rows of y start.</param>
    /// <param name="sums">rows * columns * 16 floats, row-major with 16 lanes innermost.</param>
    public static void Run<V>(int rows, int columns, int length, float* x, nint ldx, float* y, nint* offsets, float* sums) where V : unmanaged, IVector<V>
    {
        int whole = length & ~(Lanes.Count - 1);
        if (whole > 0)
        {
            if (rows == 4 && columns == 6) Whole(whole, x, ldx, y, offsets, sums);
            else
            {
                for (int i = 0; i < rows; i++)
                {
                    int j = 0;
                    for (; j + 4 <= columns; j += 4) Whole1x4<V>(whole, x + (i * ldx), y, offsets + j, sums + (((i * columns) + j) * Lanes.Count));
                    for (; j < columns; j++) Whole1x1<V>(whole, x + (i * ldx), y + offsets[j], sums + (((i * columns) + j) * Lanes.Count));
                }
            }
        }
        int rest = length - whole;
        if (rest == 0) return;
        float* s = sums;
        for (int i = 0; i < rows; i++)
        {
            float* xi = x + (i * ldx) + whole;
            for (int j = 0; j < columns; j++)
            {
                float* yj = y + offsets[j] + whole;
                for (int t = 0; t < rest; t++) s[t] = MathF.FusedMultiplyAdd(xi[t], yj[t], s[t]);
                s += Lanes.Count;
            }
        }

        static void Whole(int whole, float* x, nint ldx, float* y, nint* offsets, float* sums)
        {
            for (int lane = 0; lane < Lanes.Count; lane += V.Count)
            {
                if (V.Count == 16)
                {
                    Whole4x6<V>(whole, x + lane, ldx, y + lane, offsets, sums + lane);
                }
                else
                {
                    // 16 registers: a quarter of the tile at a time.
                    for (int i = 0; i < 4; i += 2)
                    {
                        for (int j = 0; j < 6; j += 3) Whole2x3<V>(whole, x + lane + (i * ldx), ldx, y + lane, offsets + j, sums + lane + (((i * 6) + j) * Lanes.Count));
                    }
                }
            }
        }
    }

    /// <summary>The sum of 16 lanes in the order of <see cref="Lanes.Fold"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Fold(float* lanes)
    {
        Vector128<float> eight0 = Vector128.Load(lanes) + Vector128.Load(lanes + 8);
        Vector128<float> eight1 = Vector128.Load(lanes + 4) + Vector128.Load(lanes + 12);
        Vector128<float> four = eight0 + eight1;
        return (four[0] + four[2]) + (four[1] + four[3]);
    }

    /// <summary>Four times <see cref="Fold"/>, of 16 lanes each that follow each other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void FoldFour(float* lanes, float* sums)
    {
        if (!Sse.IsSupported)
        {
            for (int i = 0; i < 4; i++) sums[i] = Fold(lanes + (Lanes.Count * i));
            return;
        }
        Vector128<float> a = Fours(lanes), b = Fours(lanes + 16), c = Fours(lanes + 32), d = Fours(lanes + 48);
        Vector128<float> ab = Sse.MoveLowToHigh(a, b) + Sse.MoveHighToLow(b, a), cd = Sse.MoveLowToHigh(c, d) + Sse.MoveHighToLow(d, c);
        (Sse.Shuffle(ab, cd, 0b10_00_10_00) + Sse.Shuffle(ab, cd, 0b11_01_11_01)).Store(sums);

        static Vector128<float> Fours(float* x) => (Vector128.Load(x) + Vector128.Load(x + 8)) + (Vector128.Load(x + 4) + Vector128.Load(x + 12));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Whole4x6<V>(int length, float* x, nint ldx, float* y, nint* offsets, float* sums) where V : unmanaged, IVector<V>
    {
        V s00 = V.Load(sums + 0), s01 = V.Load(sums + 16), s02 = V.Load(sums + 32), s03 = V.Load(sums + 48), s04 = V.Load(sums + 64), s05 = V.Load(sums + 80);
        V s10 = V.Load(sums + 96), s11 = V.Load(sums + 112), s12 = V.Load(sums + 128), s13 = V.Load(sums + 144), s14 = V.Load(sums + 160), s15 = V.Load(sums + 176);
        V s20 = V.Load(sums + 192), s21 = V.Load(sums + 208), s22 = V.Load(sums + 224), s23 = V.Load(sums + 240), s24 = V.Load(sums + 256), s25 = V.Load(sums + 272);
        V s30 = V.Load(sums + 288), s31 = V.Load(sums + 304), s32 = V.Load(sums + 320), s33 = V.Load(sums + 336), s34 = V.Load(sums + 352), s35 = V.Load(sums + 368);
        float* y0 = y + offsets[0];
        float* y1 = y + offsets[1];
        float* y2 = y + offsets[2];
        float* y3 = y + offsets[3];
        float* y4 = y + offsets[4];
        float* y5 = y + offsets[5];
        for (nint t = 0; t < length; t += Lanes.Count)
        {
            V x0 = V.Load(x + t), x1 = V.Load(x + ldx + t), x2 = V.Load(x + (2 * ldx) + t), x3 = V.Load(x + (3 * ldx) + t), w;
            w = V.Load(y0 + t); V.Accumulate(ref s00, x0, w); V.Accumulate(ref s10, x1, w); V.Accumulate(ref s20, x2, w); V.Accumulate(ref s30, x3, w);
            w = V.Load(y1 + t); V.Accumulate(ref s01, x0, w); V.Accumulate(ref s11, x1, w); V.Accumulate(ref s21, x2, w); V.Accumulate(ref s31, x3, w);
            w = V.Load(y2 + t); V.Accumulate(ref s02, x0, w); V.Accumulate(ref s12, x1, w); V.Accumulate(ref s22, x2, w); V.Accumulate(ref s32, x3, w);
            w = V.Load(y3 + t); V.Accumulate(ref s03, x0, w); V.Accumulate(ref s13, x1, w); V.Accumulate(ref s23, x2, w); V.Accumulate(ref s33, x3, w);
            w = V.Load(y4 + t); V.Accumulate(ref s04, x0, w); V.Accumulate(ref s14, x1, w); V.Accumulate(ref s24, x2, w); V.Accumulate(ref s34, x3, w);
            w = V.Load(y5 + t); V.Accumulate(ref s05, x0, w); V.Accumulate(ref s15, x1, w); V.Accumulate(ref s25, x2, w); V.Accumulate(ref s35, x3, w);
        }
        V.Store(s00, sums + 0); V.Store(s01, sums + 16); V.Store(s02, sums + 32); V.Store(s03, sums + 48); V.Store(s04, sums + 64); V.Store(s05, sums + 80);
        V.Store(s10, sums + 96); V.Store(s11, sums + 112); V.Store(s12, sums + 128); V.Store(s13, sums + 144); V.Store(s14, sums + 160); V.Store(s15, sums + 176);
        V.Store(s20, sums + 192); V.Store(s21, sums + 208); V.Store(s22, sums + 224); V.Store(s23, sums + 240); V.Store(s24, sums + 256); V.Store(s25, sums + 272);
        V.Store(s30, sums + 288); V.Store(s31, sums + 304); V.Store(s32, sums + 320); V.Store(s33, sums + 336); V.Store(s34, sums + 352); V.Store(s35, sums + 368);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Whole2x3<V>(int length, float* x, nint ldx, float* y, nint* offsets, float* sums) where V : unmanaged, IVector<V>
    {
        V s00 = V.Load(sums + 0), s01 = V.Load(sums + 16), s02 = V.Load(sums + 32);
        V s10 = V.Load(sums + 96), s11 = V.Load(sums + 112), s12 = V.Load(sums + 128);
        float* y0 = y + offsets[0];
        float* y1 = y + offsets[1];
        float* y2 = y + offsets[2];
        for (nint t = 0; t < length; t += Lanes.Count)
        {
            V x0 = V.Load(x + t), x1 = V.Load(x + ldx + t), w;
            w = V.Load(y0 + t); V.Accumulate(ref s00, x0, w); V.Accumulate(ref s10, x1, w);
            w = V.Load(y1 + t); V.Accumulate(ref s01, x0, w); V.Accumulate(ref s11, x1, w);
            w = V.Load(y2 + t); V.Accumulate(ref s02, x0, w); V.Accumulate(ref s12, x1, w);
        }
        V.Store(s00, sums + 0); V.Store(s01, sums + 16); V.Store(s02, sums + 32);
        V.Store(s10, sums + 96); V.Store(s11, sums + 112); V.Store(s12, sums + 128);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Whole1x4<V>(int length, float* x, float* y, nint* offsets, float* sums) where V : unmanaged, IVector<V>
    {
        for (int lane = 0; lane < Lanes.Count; lane += V.Count)
        {
            float* s = sums + lane;
            float* y0 = y + offsets[0] + lane;
            float* y1 = y + offsets[1] + lane;
            float* y2 = y + offsets[2] + lane;
            float* y3 = y + offsets[3] + lane;
            V s0 = V.Load(s), s1 = V.Load(s + Lanes.Count), s2 = V.Load(s + (2 * Lanes.Count)), s3 = V.Load(s + (3 * Lanes.Count));
            for (nint t = 0; t < length; t += Lanes.Count)
            {
                V w = V.Load(x + lane + t);
                V.Accumulate(ref s0, w, V.Load(y0 + t));
                V.Accumulate(ref s1, w, V.Load(y1 + t));
                V.Accumulate(ref s2, w, V.Load(y2 + t));
                V.Accumulate(ref s3, w, V.Load(y3 + t));
            }
            V.Store(s0, s);
            V.Store(s1, s + Lanes.Count);
            V.Store(s2, s + (2 * Lanes.Count));
            V.Store(s3, s + (3 * Lanes.Count));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Whole1x1<V>(int length, float* x, float* y, float* sums) where V : unmanaged, IVector<V>
    {
        for (int lane = 0; lane < Lanes.Count; lane += V.Count)
        {
            V s = V.Load(sums + lane);
            for (nint t = lane; t < length; t += Lanes.Count) V.Accumulate(ref s, V.Load(x + t), V.Load(y + t));
            V.Store(s, sums + lane);
        }
    }
}

using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps;

/// <summary>The inner loops of every product of a sparse matrix with something dense.</summary>
/// <remarks>
/// As in Elsen et al., "Fast Sparse ConvNets" (2019), section 3: the dense dimension lies along the registers, each stored
/// value is broadcast once and meets 1 to 8 registers of one input row, and sums stay in registers for the whole row.
/// Eight sums hide the latency of the multiply-add and leave room on machines with 16 registers.
/// </remarks>
internal static unsafe class RowKernel
{
    /// <summary>Widest tile in registers.</summary>
    public const int MaxVectors = 8;

    /// <summary>
    /// destination[p] = clamp(bias + initial[p] + sum over j of values[j] * x[columns[j] * stride + p]), p in the tile.
    /// </summary>
    /// <param name="columns">Which rows of x.</param>
    /// <param name="values">The values that multiply them.</param>
    /// <param name="count">How many.</param>
    /// <param name="stride">Distance of the rows of x.</param>
    /// <param name="x">First element of the tile in row 0.</param>
    /// <param name="initial">Values to start from (a residual), or null. May equal destination.</param>
    /// <param name="destination">Whole registers are written.</param>
    /// <param name="bias">Added to every element.</param>
    /// <param name="low">Lower clamp; used with high unless both are infinite.</param>
    /// <param name="high">Upper clamp.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Row<V, N>(int* columns, float* values, int count, nint stride, float* x, float* initial, float* destination, float bias, float low, float high)
        where V : unmanaged, IVector<V> where N : struct, ITileWidth
    {
        V a0, a1, a2, a3, a4, a5, a6, a7;
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = V.Broadcast(bias);
        if (initial != null)
        {
            a0 = V.Add(a0, V.Load(initial));
            if (N.Vectors > 1) a1 = V.Add(a1, V.Load(initial + V.Count));
            if (N.Vectors > 2) a2 = V.Add(a2, V.Load(initial + 2 * V.Count));
            if (N.Vectors > 3) a3 = V.Add(a3, V.Load(initial + 3 * V.Count));
            if (N.Vectors > 4) a4 = V.Add(a4, V.Load(initial + 4 * V.Count));
            if (N.Vectors > 5) a5 = V.Add(a5, V.Load(initial + 5 * V.Count));
            if (N.Vectors > 6) a6 = V.Add(a6, V.Load(initial + 6 * V.Count));
            if (N.Vectors > 7) a7 = V.Add(a7, V.Load(initial + 7 * V.Count));
        }
        for (int j = 0; j < count; j++)
        {
            float* p = x + columns[j] * stride;
            V v = V.Broadcast(values[j]);
            V.Accumulate(ref a0, v, V.Load(p));
            if (N.Vectors > 1) V.Accumulate(ref a1, v, V.Load(p + V.Count));
            if (N.Vectors > 2) V.Accumulate(ref a2, v, V.Load(p + 2 * V.Count));
            if (N.Vectors > 3) V.Accumulate(ref a3, v, V.Load(p + 3 * V.Count));
            if (N.Vectors > 4) V.Accumulate(ref a4, v, V.Load(p + 4 * V.Count));
            if (N.Vectors > 5) V.Accumulate(ref a5, v, V.Load(p + 5 * V.Count));
            if (N.Vectors > 6) V.Accumulate(ref a6, v, V.Load(p + 6 * V.Count));
            if (N.Vectors > 7) V.Accumulate(ref a7, v, V.Load(p + 7 * V.Count));
        }
        if (!float.IsNegativeInfinity(low) || !float.IsPositiveInfinity(high))
        {
            V lo = V.Broadcast(low), hi = V.Broadcast(high), zero = V.Broadcast(new Clamp(low, high).Zero);
            a0 = Clamp.Bounded(a0, lo, hi, zero);
            if (N.Vectors > 1) a1 = Clamp.Bounded(a1, lo, hi, zero);
            if (N.Vectors > 2) a2 = Clamp.Bounded(a2, lo, hi, zero);
            if (N.Vectors > 3) a3 = Clamp.Bounded(a3, lo, hi, zero);
            if (N.Vectors > 4) a4 = Clamp.Bounded(a4, lo, hi, zero);
            if (N.Vectors > 5) a5 = Clamp.Bounded(a5, lo, hi, zero);
            if (N.Vectors > 6) a6 = Clamp.Bounded(a6, lo, hi, zero);
            if (N.Vectors > 7) a7 = Clamp.Bounded(a7, lo, hi, zero);
        }
        V.Store(a0, destination);
        if (N.Vectors > 1) V.Store(a1, destination + V.Count);
        if (N.Vectors > 2) V.Store(a2, destination + 2 * V.Count);
        if (N.Vectors > 3) V.Store(a3, destination + 3 * V.Count);
        if (N.Vectors > 4) V.Store(a4, destination + 4 * V.Count);
        if (N.Vectors > 5) V.Store(a5, destination + 5 * V.Count);
        if (N.Vectors > 6) V.Store(a6, destination + 6 * V.Count);
        if (N.Vectors > 7) V.Store(a7, destination + 7 * V.Count);
    }

    /// <summary>
    /// sums[j] += dot(a, b + columns[j] * stride) over <paramref name="length"/> elements for all j: 16 partial sums
    /// each (element t goes to t % 16), folded once at the end.
    /// </summary>
    public static void Dots<V>(float* a, float* b, int* columns, int count, nint stride, int length, float* sums) where V : unmanaged, IVector<V>
    {
        float* lanes = stackalloc float[8 * Lanes.Count];
        int whole = length & ~(Lanes.Count - 1);
        for (int j = 0; j < count; j += 8)
        {
            int n = Math.Min(8, count - j);
            for (int lane = 0; lane < Lanes.Count; lane += V.Count)
            {
                int i = 0;
                if (n == 8)
                {
                    Dots8<V>(a + lane, b + lane, columns + j, stride, whole, lanes + lane);
                    i = 8;
                }
                for (; i + 4 <= n; i += 4) Dots4<V>(a + lane, b + lane, columns + j + i, stride, whole, lanes + i * Lanes.Count + lane);
                for (; i < n; i++) Dots1<V>(a + lane, b + lane + columns[j + i] * stride, whole, lanes + i * Lanes.Count + lane);
            }
            for (int i = 0; i < n; i++)
            {
                float* partial = lanes + i * Lanes.Count;
                float* bi = b + columns[j + i] * stride;
                for (int t = whole; t < length; t++) partial[t - whole] = MathF.FusedMultiplyAdd(a[t], bi[t], partial[t - whole]);
                sums[j + i] += DotKernel.Fold(partial);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Dots8<V>(float* a, float* b, int* columns, nint stride, int length, float* lanes) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero, s4 = V.Zero, s5 = V.Zero, s6 = V.Zero, s7 = V.Zero;
        float* b0 = b + columns[0] * stride, b1 = b + columns[1] * stride, b2 = b + columns[2] * stride, b3 = b + columns[3] * stride;
        float* b4 = b + columns[4] * stride, b5 = b + columns[5] * stride, b6 = b + columns[6] * stride, b7 = b + columns[7] * stride;
        for (nint t = 0; t < length; t += Lanes.Count)
        {
            V x = V.Load(a + t);
            V.Accumulate(ref s0, x, V.Load(b0 + t));
            V.Accumulate(ref s1, x, V.Load(b1 + t));
            V.Accumulate(ref s2, x, V.Load(b2 + t));
            V.Accumulate(ref s3, x, V.Load(b3 + t));
            V.Accumulate(ref s4, x, V.Load(b4 + t));
            V.Accumulate(ref s5, x, V.Load(b5 + t));
            V.Accumulate(ref s6, x, V.Load(b6 + t));
            V.Accumulate(ref s7, x, V.Load(b7 + t));
        }
        V.Store(s0, lanes);
        V.Store(s1, lanes + Lanes.Count);
        V.Store(s2, lanes + 2 * Lanes.Count);
        V.Store(s3, lanes + 3 * Lanes.Count);
        V.Store(s4, lanes + 4 * Lanes.Count);
        V.Store(s5, lanes + 5 * Lanes.Count);
        V.Store(s6, lanes + 6 * Lanes.Count);
        V.Store(s7, lanes + 7 * Lanes.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Dots4<V>(float* a, float* b, int* columns, nint stride, int length, float* lanes) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
        float* b0 = b + columns[0] * stride, b1 = b + columns[1] * stride, b2 = b + columns[2] * stride, b3 = b + columns[3] * stride;
        for (nint t = 0; t < length; t += Lanes.Count)
        {
            V x = V.Load(a + t);
            V.Accumulate(ref s0, x, V.Load(b0 + t));
            V.Accumulate(ref s1, x, V.Load(b1 + t));
            V.Accumulate(ref s2, x, V.Load(b2 + t));
            V.Accumulate(ref s3, x, V.Load(b3 + t));
        }
        V.Store(s0, lanes);
        V.Store(s1, lanes + Lanes.Count);
        V.Store(s2, lanes + 2 * Lanes.Count);
        V.Store(s3, lanes + 3 * Lanes.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Dots1<V>(float* a, float* b, int length, float* lanes) where V : unmanaged, IVector<V>
    {
        V s = V.Zero;
        for (nint t = 0; t < length; t += Lanes.Count) V.Accumulate(ref s, V.Load(a + t), V.Load(b + t));
        V.Store(s, lanes);
    }
}

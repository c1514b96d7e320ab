using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps;

/// <summary>How many rows a block kernel computes together: a constant that the JIT specialises for.</summary>
internal interface IRowCount
{
    /// <summary>1 to 4.</summary>
    static abstract int Rows { get; }
}

internal readonly struct Rows1 : IRowCount { public static int Rows => 1; }

internal readonly struct Rows2 : IRowCount { public static int Rows => 2; }

internal readonly struct Rows3 : IRowCount { public static int Rows => 3; }

internal readonly struct Rows4 : IRowCount { public static int Rows => 4; }

/// <summary>The inner loop for tiles: 1 to 4 rows by 1, 2 or 4 registers, each register of the input is loaded once for all rows.</summary>
internal static unsafe class BlockKernel
{
    /// <summary>Widest tile in registers: 16 sums on 32 registers, 8 on 16.</summary>
    public static int MaxVectors<V>() where V : unmanaged, IVector<V> => V.Count == 16 ? 4 : 2;

    /// <summary>Rows r0 .. r0+R-1 of one row of tiles; see <see cref="RowKernel.Row"/> for the epilogue.</summary>
    /// <param name="blocks">Columns of tiles.</param>
    /// <param name="count">How many tiles.</param>
    /// <param name="blockColumns">Columns of a tile.</param>
    /// <param name="depth">Rows of x: columns of a tile beyond it are padding and skipped.</param>
    /// <param name="values">Value of the first row in column 0 of tile 0.</param>
    /// <param name="blockRows">Distance of the columns in values.</param>
    /// <param name="x">First element of the tile in row 0.</param>
    /// <param name="stride">Distance of the rows of x.</param>
    /// <param name="start">[R, N * V.Count] values to start from (bias and residual), overwritten by the results.</param>
    /// <param name="ld">Distance of the rows in start.</param>
    /// <param name="low">Lower clamp.</param>
    /// <param name="high">Upper clamp.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Rows<V, R, N>(int* blocks, int count, int blockColumns, int depth, float* values, int blockRows, float* x, nint stride, float* start, nint ld, float low, float high)
        where V : unmanaged, IVector<V> where R : struct, IRowCount where N : struct, ITileWidth
    {
        V a00 = Get<V>(start), a01 = default, a02 = default, a03 = default, a10 = default, a11 = default, a12 = default, a13 = default;
        V a20 = default, a21 = default, a22 = default, a23 = default, a30 = default, a31 = default, a32 = default, a33 = default;
        if (N.Vectors > 1) a01 = Get<V>(start + V.Count);
        if (N.Vectors > 2) a02 = Get<V>(start + 2 * V.Count);
        if (N.Vectors > 3) a03 = Get<V>(start + 3 * V.Count);
        if (R.Rows > 1)
        {
            a10 = Get<V>(start + ld);
            if (N.Vectors > 1) a11 = Get<V>(start + ld + V.Count);
            if (N.Vectors > 2) a12 = Get<V>(start + ld + 2 * V.Count);
            if (N.Vectors > 3) a13 = Get<V>(start + ld + 3 * V.Count);
        }
        if (R.Rows > 2)
        {
            a20 = Get<V>(start + 2 * ld);
            if (N.Vectors > 1) a21 = Get<V>(start + 2 * ld + V.Count);
            if (N.Vectors > 2) a22 = Get<V>(start + 2 * ld + 2 * V.Count);
            if (N.Vectors > 3) a23 = Get<V>(start + 2 * ld + 3 * V.Count);
        }
        if (R.Rows > 3)
        {
            a30 = Get<V>(start + 3 * ld);
            if (N.Vectors > 1) a31 = Get<V>(start + 3 * ld + V.Count);
            if (N.Vectors > 2) a32 = Get<V>(start + 3 * ld + 2 * V.Count);
            if (N.Vectors > 3) a33 = Get<V>(start + 3 * ld + 3 * V.Count);
        }
        for (int b = 0; b < count; b++)
        {
            int column = blocks[b] * blockColumns;
            int inside = Math.Min(blockColumns, depth - column);
            float* p = x + column * stride;
            float* v = values + (nint)b * blockColumns * blockRows;
            for (int c = 0; c < inside; c++, p += stride, v += blockRows)
            {
                V x0 = V.Load(p), x1 = default, x2 = default, x3 = default;
                if (N.Vectors > 1) x1 = V.Load(p + V.Count);
                if (N.Vectors > 2) x2 = V.Load(p + 2 * V.Count);
                if (N.Vectors > 3) x3 = V.Load(p + 3 * V.Count);
                V w = V.Broadcast(v[0]);
                V.Accumulate(ref a00, w, x0);
                if (N.Vectors > 1) V.Accumulate(ref a01, w, x1);
                if (N.Vectors > 2) V.Accumulate(ref a02, w, x2);
                if (N.Vectors > 3) V.Accumulate(ref a03, w, x3);
                if (R.Rows > 1)
                {
                    w = V.Broadcast(v[1]);
                    V.Accumulate(ref a10, w, x0);
                    if (N.Vectors > 1) V.Accumulate(ref a11, w, x1);
                    if (N.Vectors > 2) V.Accumulate(ref a12, w, x2);
                    if (N.Vectors > 3) V.Accumulate(ref a13, w, x3);
                }
                if (R.Rows > 2)
                {
                    w = V.Broadcast(v[2]);
                    V.Accumulate(ref a20, w, x0);
                    if (N.Vectors > 1) V.Accumulate(ref a21, w, x1);
                    if (N.Vectors > 2) V.Accumulate(ref a22, w, x2);
                    if (N.Vectors > 3) V.Accumulate(ref a23, w, x3);
                }
                if (R.Rows > 3)
                {
                    w = V.Broadcast(v[3]);
                    V.Accumulate(ref a30, w, x0);
                    if (N.Vectors > 1) V.Accumulate(ref a31, w, x1);
                    if (N.Vectors > 2) V.Accumulate(ref a32, w, x2);
                    if (N.Vectors > 3) V.Accumulate(ref a33, w, x3);
                }
            }
        }
        V.Store(a00, start);
        if (N.Vectors > 1) V.Store(a01, start + V.Count);
        if (N.Vectors > 2) V.Store(a02, start + 2 * V.Count);
        if (N.Vectors > 3) V.Store(a03, start + 3 * V.Count);
        if (R.Rows > 1)
        {
            V.Store(a10, start + ld);
            if (N.Vectors > 1) V.Store(a11, start + ld + V.Count);
            if (N.Vectors > 2) V.Store(a12, start + ld + 2 * V.Count);
            if (N.Vectors > 3) V.Store(a13, start + ld + 3 * V.Count);
        }
        if (R.Rows > 2)
        {
            V.Store(a20, start + 2 * ld);
            if (N.Vectors > 1) V.Store(a21, start + 2 * ld + V.Count);
            if (N.Vectors > 2) V.Store(a22, start + 2 * ld + 2 * V.Count);
            if (N.Vectors > 3) V.Store(a23, start + 2 * ld + 3 * V.Count);
        }
        if (R.Rows > 3)
        {
            V.Store(a30, start + 3 * ld);
            if (N.Vectors > 1) V.Store(a31, start + 3 * ld + V.Count);
            if (N.Vectors > 2) V.Store(a32, start + 3 * ld + 2 * V.Count);
            if (N.Vectors > 3) V.Store(a33, start + 3 * ld + 3 * V.Count);
        }
        if (float.IsNegativeInfinity(low) && float.IsPositiveInfinity(high)) return;
        V lo = V.Broadcast(low), hi = V.Broadcast(high), zero = V.Broadcast(new Clamp(low, high).Zero);
        for (int r = 0; r < R.Rows; r++)
        {
            for (int i = 0; i < N.Vectors; i++)
            {
                float* at = start + r * ld + i * V.Count;
                V.Store(Clamp.Bounded(V.Load(at), lo, hi, zero), at);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Get<V>(float* p) where V : unmanaged, IVector<V> => V.Load(p);
}

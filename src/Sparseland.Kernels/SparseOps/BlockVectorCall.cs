using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>y = clamp(W x + bias) with W in r x c tiles: the rows of a tile lie along the registers.</summary>
/// <remarks>Column t of a row of tiles (counted over stored tiles) joins partial sum t % 4, to hide the latency of the multiply-add.</remarks>
internal unsafe struct BlockVectorCall : ILevelWork
{
    private const int Chains = 4;

    public int Rows, Columns, BlockRows, BlockColumns, GridRows;
    public int* RowPointers;
    public int* BlockIndices;
    public float* Values;
    public float* X;
    public float* Y;
    public float* Bias;
    public Clamp Clamp;

    public readonly void Run<V>() where V : unmanaged, IVector<V>
    {
        if (Rows == 0) return;
        long stored = (long)RowPointers[GridRows] * BlockRows * BlockColumns;
        int parts = (int)Math.Clamp(stored / (32 * 1024), 1, Math.Min(32, GridRows));
        int* boundaries = stackalloc int[parts + 1];
        RowPartition.Fill(RowPointers, GridRows, new Span<int>(boundaries, parts + 1));
        WorkPool.Run(parts, new Parts<V> { Call = this, Boundaries = boundaries });
    }

    private struct Parts<V> : IParts where V : unmanaged, IVector<V>
    {
        public BlockVectorCall Call;
        public int* Boundaries;

        public readonly void Run(int part)
        {
            for (int br = Boundaries[part]; br < Boundaries[part + 1]; br++)
            {
                int inside = Math.Min(Call.BlockRows, Call.Rows - br * Call.BlockRows);
                int r = 0;
                for (; r + 16 <= inside && V.Count >= 16; r += 16) Piece<V>(br, r);
                if (V.Count >= 8)
                {
                    for (; r + 8 <= inside; r += 8) Piece<V256>(br, r);
                }
                if (V.Count >= 4)
                {
                    for (; r + 4 <= inside; r += 4) Piece<V128>(br, r);
                }
                for (; r < inside; r++) Piece<V1>(br, r);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
        private readonly void Piece<W>(int blockRow, int inBlock) where W : unmanaged, IVector<W>
        {
            W s0 = W.Zero, s1 = W.Zero, s2 = W.Zero, s3 = W.Zero;
            int first = Call.RowPointers[blockRow], end = Call.RowPointers[blockRow + 1], t = 0;
            int height = Call.BlockRows, width = Call.BlockColumns;
            if (width == 1)
            {
                float* v = Call.Values + (nint)first * height + inBlock;
                int b = first;
                for (; b + Chains <= end; b += Chains, v += Chains * height)
                {
                    s0 = W.MultiplyAdd(W.Load(v), W.Broadcast(Call.X[Call.BlockIndices[b]]), s0);
                    s1 = W.MultiplyAdd(W.Load(v + height), W.Broadcast(Call.X[Call.BlockIndices[b + 1]]), s1);
                    s2 = W.MultiplyAdd(W.Load(v + 2 * height), W.Broadcast(Call.X[Call.BlockIndices[b + 2]]), s2);
                    s3 = W.MultiplyAdd(W.Load(v + 3 * height), W.Broadcast(Call.X[Call.BlockIndices[b + 3]]), s3);
                }
                for (; b < end; b++, v += height, t++) Add(v, Call.X[Call.BlockIndices[b]], t, ref s0, ref s1, ref s2, ref s3);
            }
            else
            {
                for (int b = first; b < end; b++)
                {
                    int column = Call.BlockIndices[b] * width, count = Math.Min(width, Call.Columns - column);
                    float* v = Call.Values + (nint)b * height * width + inBlock;
                    for (int c = 0; c < count; c++, v += height, t++) Add(v, Call.X[column + c], t, ref s0, ref s1, ref s2, ref s3);
                }
            }
            W sum = W.Add(W.Add(s0, s1), W.Add(s2, s3));
            int row = blockRow * height + inBlock;
            if (Call.Bias != null) sum = W.Add(sum, W.Load(Call.Bias + row));
            if (!Call.Clamp.IsNone) sum = W.Min(W.Max(sum, W.Broadcast(Call.Clamp.Low)), W.Broadcast(Call.Clamp.High));
            W.Store(sum, Call.Y + row);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Add<W>(float* v, float x, int t, ref W s0, ref W s1, ref W s2, ref W s3) where W : unmanaged, IVector<W>
        {
            W product = W.Load(v), factor = W.Broadcast(x);
            switch (t & (Chains - 1))
            {
                case 0: s0 = W.MultiplyAdd(product, factor, s0); break;
                case 1: s1 = W.MultiplyAdd(product, factor, s1); break;
                case 2: s2 = W.MultiplyAdd(product, factor, s2); break;
                default: s3 = W.MultiplyAdd(product, factor, s3); break;
            }
        }
    }
}

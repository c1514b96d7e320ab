using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Y [batch, rows] = clamp(bias + residual + X [batch, depth] W^T) with W [rows, depth] in compressed rows.</summary>
/// <remarks>
/// The batch lies along the registers, as in <see cref="SpmmCall"/>: a tile of X is transposed once, and 16 rows of
/// results at a time are transposed back.
/// </remarks>
internal unsafe struct SparseLinearCall : ILevelWork
{
    private const int RowsAtATime = 16;

    public int Rows, Depth, Batch;
    public int* RowPointers;
    public int* Columns;
    public float* Values;
    public float* X;
    public float* Y;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    public readonly void Run<V>() where V : unmanaged, IVector<V>
    {
        if (Rows == 0 || Batch == 0) return;
        var tiling = new Tiling(Batch, V.Count, SpmmCall.MaxVectors(Depth, V.Count));
        int blocks = RowPartition.Blocks(Rows, RowPointers[Rows], tiling.Tiles, tiling.Tile(0).Width);
        int* boundaries = stackalloc int[blocks + 1];
        RowPartition.Fill(RowPointers, Rows, new Span<int>(boundaries, blocks + 1));
        WorkPool.Run(tiling.Tiles * blocks, new Parts<V> { Call = this, Tiling = tiling, Blocks = blocks, Boundaries = boundaries });
    }

    private struct Parts<V> : IParts where V : unmanaged, IVector<V>
    {
        public SparseLinearCall Call;
        public Tiling Tiling;
        public int Blocks;
        public int* Boundaries;

        public readonly void Run(int part)
        {
            (int start, int vectors, int width) = Tiling.Tile(part / Blocks);
            int block = part % Blocks;
            Tiling.Dispatch(vectors, new TileRows<V> { Call = Call, Start = start, Width = width, First = Boundaries[block], End = Boundaries[block + 1] });
        }
    }

    private struct TileRows<V> : ITileWork where V : unmanaged, IVector<V>
    {
        public SparseLinearCall Call;
        public int Start, Width, First, End;

        public readonly void Run<N>() where N : struct, ITileWidth
        {
            int full = N.Vectors * V.Count;
            using Scratch.Buffer packed = Scratch.Rent((long)Call.Depth * full);
            if (Width < full) new Span<float>(packed.Pointer, Call.Depth * full).Clear();
            Transposition.Copy(Call.X + (nint)Start * Call.Depth, Call.Depth, Width, Call.Depth, packed.Pointer, full);
            float* tile = stackalloc float[RowsAtATime * full];
            for (int r0 = First; r0 < End; r0 += RowsAtATime)
            {
                int rows = Math.Min(RowsAtATime, End - r0);
                if (Call.Residual != null)
                    Transposition.Copy(Call.Residual + (nint)Start * Call.Rows + r0, Call.Rows, Width, rows, tile, full);
                for (int i = 0; i < rows; i++)
                {
                    int j = Call.RowPointers[r0 + i], count = Call.RowPointers[r0 + i + 1] - j;
                    float* row = tile + i * full;
                    RowKernel.Row<V, N>(Call.Columns + j, Call.Values + j, count, full, packed.Pointer, Call.Residual == null ? null : row, row,
                        Call.Bias == null ? 0f : Call.Bias[r0 + i], Call.Clamp.Low, Call.Clamp.High);
                }
                Transposition.Copy(tile, full, rows, Width, Call.Y + (nint)Start * Call.Rows + r0, Call.Rows);
            }
        }
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>C [rows, n] = clamp(bias + residual + W B) with W in r x c tiles (see <see cref="Sparse.BlockCsrMatrix"/>).</summary>
internal unsafe struct BlockSpmmCall : ILevelWork
{
    public int Rows, Depth, N, BlockRows, BlockColumns, GridRows;
    public int* RowPointers;
    public int* Columns;
    public float* Values;
    public float* B;
    public float* C;
    public float* Bias;
    public float* Residual;
    public Clamp Clamp;

    public readonly void Run<V>() where V : unmanaged, IVector<V>
    {
        if (Rows == 0 || N == 0) return;
        // Several kernel tiles share one packed tile of the input.
        int most = BlockKernel.MaxVectors<V>() * Math.Max(1, SpmmCall.MaxVectors(Depth, V.Count) / BlockKernel.MaxVectors<V>());
        var tiling = new Tiling(N, V.Count, most);
        long stored = (long)RowPointers[GridRows] * BlockRows * BlockColumns;
        int blocks = Math.Min(GridRows, RowPartition.Blocks(Rows, stored, tiling.Tiles, tiling.Tile(0).Width));
        int* boundaries = stackalloc int[blocks + 1];
        RowPartition.Fill(RowPointers, GridRows, new Span<int>(boundaries, blocks + 1));
        WorkPool.Run(tiling.Tiles * blocks, new Parts<V> { Call = this, Tiling = tiling, Blocks = blocks, Boundaries = boundaries });
    }

    private struct Parts<V> : IParts where V : unmanaged, IVector<V>
    {
        public BlockSpmmCall Call;
        public Tiling Tiling;
        public int Blocks;
        public int* Boundaries;

        public readonly void Run(int part)
        {
            (int start, int vectors, int width) = Tiling.Tile(part / Blocks);
            int first = Boundaries[part % Blocks], end = Boundaries[part % Blocks + 1];
            int full = vectors * V.Count;
            using Scratch.Buffer packed = Scratch.Rent((long)Call.Depth * full);
            for (int k = 0; k < Call.Depth; k++)
            {
                var to = new Span<float>(packed.Pointer + (nint)k * full, full);
                new ReadOnlySpan<float>(Call.B + (nint)k * Call.N + start, width).CopyTo(to);
                to[width..].Clear();
            }
            float* tile = stackalloc float[4 * 4 * V.Count];
            for (int br = first; br < end; br++)
            {
                int inside = Math.Min(Call.BlockRows, Call.Rows - br * Call.BlockRows);
                for (int r = 0; r < inside; r += 4)
                {
                    int rows = Math.Min(4, inside - r);
                    for (int v = 0; v < vectors;)
                    {
                        int take = vectors - v >= 4 && V.Count == 16 ? 4 : vectors - v >= 2 ? 2 : 1;
                        int width0 = Math.Clamp(width - v * V.Count, 0, take * V.Count);
                        Square(br, br * Call.BlockRows + r, r, rows, take, packed.Pointer + v * V.Count, full, start + v * V.Count, width0, tile);
                        v += take;
                    }
                }
            }
        }

        private readonly void Square(int blockRow, int row, int inBlock, int rows, int vectors, float* x, nint stride, int column, int width, float* tile)
        {
            int full = vectors * V.Count;
            for (int i = 0; i < rows; i++)
            {
                var start = new Span<float>(tile + i * full, full);
                start.Fill(Call.Bias == null ? 0f : Call.Bias[row + i]);
                if (Call.Residual == null) continue;
                float* residual = Call.Residual + (nint)(row + i) * Call.N + column;
                for (int t = 0; t < width; t++) start[t] += residual[t];
            }
            int first = Call.RowPointers[blockRow], count = Call.RowPointers[blockRow + 1] - first;
            float* values = Call.Values + (nint)first * Call.BlockRows * Call.BlockColumns + inBlock;
            switch (rows)
            {
                case 4: Width<Rows4>(vectors, first, count, values, x, stride, tile, full); break;
                case 3: Width<Rows3>(vectors, first, count, values, x, stride, tile, full); break;
                case 2: Width<Rows2>(vectors, first, count, values, x, stride, tile, full); break;
                default: Width<Rows1>(vectors, first, count, values, x, stride, tile, full); break;
            }
            for (int i = 0; i < rows; i++)
                new ReadOnlySpan<float>(tile + i * full, width).CopyTo(new Span<float>(Call.C + (nint)(row + i) * Call.N + column, width));
        }

        private readonly void Width<R>(int vectors, int first, int count, float* values, float* x, nint stride, float* tile, int full) where R : struct, IRowCount
        {
            int* columns = Call.Columns + first;
            switch (vectors)
            {
                case 4: BlockKernel.Rows<V, R, Width4>(columns, count, Call.BlockColumns, Call.Depth, values, Call.BlockRows, x, stride, tile, full, Call.Clamp.Low, Call.Clamp.High); break;
                case 2: BlockKernel.Rows<V, R, Width2>(columns, count, Call.BlockColumns, Call.Depth, values, Call.BlockRows, x, stride, tile, full, Call.Clamp.Low, Call.Clamp.High); break;
                default: BlockKernel.Rows<V, R, Width1>(columns, count, Call.BlockColumns, Call.Depth, values, Call.BlockRows, x, stride, tile, full, Call.Clamp.Low, Call.Clamp.High); break;
            }
        }
    }
}

using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>C [rows, n] = clamp(bias + residual + W [rows, depth] B [depth, n]) with W in compressed rows, row-major B and C.</summary>
internal unsafe struct SpmmCall : ILevelWork
{
    public int Rows, Depth, N;
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
        var tiling = new Tiling(N, V.Count, MaxVectors(Depth, V.Count));
        int blocks = RowPartition.Blocks(Rows, RowPointers[Rows], tiling.Tiles, tiling.Tile(0).Width);
        int* boundaries = stackalloc int[blocks + 1];
        RowPartition.Fill(RowPointers, Rows, new Span<int>(boundaries, blocks + 1));
        WorkPool.Run(tiling.Tiles * blocks, new Parts<V> { Call = this, Tiling = tiling, Blocks = blocks, Boundaries = boundaries });
    }

    /// <summary>Tiles narrow when the depth grows, so that a tile of the input stays in a near cache level.</summary>
    /// <remarks>
    /// Measured (Zen 4, one thread, 16 weights of 64 to 2304 columns at 80 to 95 % zeros, times beside 8 registers). Registers of 256 bits: 8 are best, 6 take 1.07 to 1.38, 4 take 0.95 to 1.55 (below 1 only
    /// above 600 columns). Registers of 512 bits, where no code may be written: below 200 columns 8 are best (6: 1.12, 4: 1.34); from 330 to 600 6 take 0.89 to 1.02; above 600 6 take 0.82, 4 take 0.80.
    /// </remarks>
    public static int MaxVectors(int depth, int lanes)
    {
        const int ShortDepth = 200, LongDepth = 600;
        if (lanes == 16) return depth < ShortDepth ? RowKernel.MaxVectors : depth < LongDepth ? 6 : 4;
        const int CacheFloats = 128 * 1024;
        int fits = CacheFloats / Math.Max(depth, 1) / lanes;
        return Math.Clamp(fits, Math.Max(1, Math.Min(RowKernel.MaxVectors, 64 / lanes)), RowKernel.MaxVectors);
    }

    private struct Parts<V> : IParts where V : unmanaged, IVector<V>
    {
        public SpmmCall Call;
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
        public SpmmCall Call;
        public int Start, Width, First, End;

        public readonly void Run<N>() where N : struct, ITileWidth
        {
            int full = N.Vectors * V.Count;
            bool partial = Width < full;
            long stored = Call.RowPointers[End] - Call.RowPointers[First];
            // A packed tile is aligned and free of the cache-set conflicts that strides of a power of two bring.
            bool pack = partial || stored >= 4L * Call.Depth;
            if (!pack)
            {
                Rows<N>(Call.B + Start, Call.N, full, false);
                return;
            }
            using Scratch.Buffer packed = Scratch.Rent((long)Call.Depth * full);
            for (int k = 0; k < Call.Depth; k++)
            {
                var to = new Span<float>(packed.Pointer + (nint)k * full, full);
                new ReadOnlySpan<float>(Call.B + (nint)k * Call.N + Start, Width).CopyTo(to);
                if (partial) to[Width..].Clear();
            }
            Rows<N>(packed.Pointer, full, full, partial);
        }

        private readonly void Rows<N>(float* x, nint stride, int full, bool partial) where N : struct, ITileWidth
        {
            float* tile = stackalloc float[full];
            for (int r = First; r < End; r++)
            {
                int j = Call.RowPointers[r], count = Call.RowPointers[r + 1] - j;
                float* destination = Call.C + (nint)r * Call.N + Start;
                float* initial = Call.Residual == null ? null : Call.Residual + (nint)r * Call.N + Start;
                float bias = Call.Bias == null ? 0f : Call.Bias[r];
                if (!partial)
                {
                    RowKernel.Row<V, N>(Call.Columns + j, Call.Values + j, count, stride, x, initial, destination, bias, Call.Clamp.Low, Call.Clamp.High);
                    continue;
                }
                if (initial != null)
                {
                    Unsafe.CopyBlockUnaligned(tile, initial, (uint)Width * sizeof(float));
                    initial = tile;
                }
                RowKernel.Row<V, N>(Call.Columns + j, Call.Values + j, count, stride, x, initial, tile, bias, Call.Clamp.Low, Call.Clamp.High);
                Unsafe.CopyBlockUnaligned(destination, tile, (uint)Width * sizeof(float));
            }
        }
    }
}

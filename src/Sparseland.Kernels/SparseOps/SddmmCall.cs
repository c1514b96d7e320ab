using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>values[j] = (or +=) dot(A[row of j, :], B[column of j, :]) for every stored entry j; A [rows, n], B [depth, n].</summary>
/// <remarks>
/// Rows of B are taken in blocks that stay in the second cache level while all rows of A pass by: for 2048 x 2048 weights and
/// 128 images all of B would fill it. First-level blocks would leave four entries of a row together where eight hide the latency of the sums.
/// </remarks>
internal unsafe struct SddmmCall : ILevelWork
{
    // Long rows are taken in pieces; each piece is folded apart.
    private const int Piece = 512;
    private const int BlockFloats = 96 * 1024;

    public int Rows, N;
    public int* RowPointers;
    public int* Columns;
    public float* A;
    public nint Lda;
    public float* B;
    public nint Ldb;
    public float* Values;
    public bool Accumulate;

    public readonly void Run<V>() where V : unmanaged, IVector<V>
    {
        int stored = RowPointers[Rows];
        if (stored == 0) return;
        // Each part reads all of B, so there are no more than balance the threads.
        int blocks = (int)Math.Clamp((long)stored * Math.Max(N, 1) / (16 * 1024), 1, Math.Min(Math.Clamp(4 * WorkPool.Threads, 8, 32), Math.Max(1, Rows / 4)));
        int* boundaries = stackalloc int[blocks + 1];
        RowPartition.Fill(RowPointers, Rows, new Span<int>(boundaries, blocks + 1));
        WorkPool.Run(blocks, new Parts<V> { Call = this, Boundaries = boundaries });
    }

    private struct Parts<V> : IParts where V : unmanaged, IVector<V>
    {
        public SddmmCall Call;
        public int* Boundaries;

        public readonly void Run(int part)
        {
            int first = Boundaries[part], end = Boundaries[part + 1];
            int from = Call.RowPointers[first];
            if (!Call.Accumulate) new Span<float>(Call.Values + from, Call.RowPointers[end] - from).Clear();
            int width = BlockFloats / Math.Clamp(Call.N, 16, Piece);
            using Scratch.Buffer places = Scratch.Rent(end - first);
            var next = (int*)places.Pointer;
            for (int n = 0; n < Call.N; n += Piece)
            {
                int length = Math.Min(Piece, Call.N - n);
                for (int r = first; r < end; r++) next[r - first] = Call.RowPointers[r];
                bool more = true;
                for (int limit = width; more; limit += width)
                {
                    more = false;
                    for (int r = first; r < end; r++)
                    {
                        int j = next[r - first], stop = Call.RowPointers[r + 1], to = j;
                        while (to < stop && Call.Columns[to] < limit) to++;
                        more |= to < stop;
                        if (to == j) continue;
                        next[r - first] = to;
                        DotRows.Add<V>(Call.A + (r * Call.Lda) + n, Call.B + n, Call.Columns + j, to - j, Call.Ldb, length, Call.Values + j);
                    }
                }
            }
        }
    }
}

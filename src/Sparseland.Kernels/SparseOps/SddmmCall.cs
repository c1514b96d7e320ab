using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>values[j] = (or +=) dot(A[row of j, :], B[column of j, :]) for every stored entry j; A [rows, n], B [depth, n].</summary>
internal unsafe struct SddmmCall : ILevelWork
{
    // Long rows are taken in pieces that leave the rows of B in the second cache level; each piece is folded apart.
    private const int Piece = 512;

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
        int blocks = (int)Math.Clamp((long)stored * Math.Max(N, 1) / (16 * 1024), 1, Math.Min(32, Math.Max(1, Rows / 4)));
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
            for (int n = 0; n < Call.N; n += Piece)
            {
                int length = Math.Min(Piece, Call.N - n);
                for (int r = first; r < end; r++)
                {
                    int j = Call.RowPointers[r], count = Call.RowPointers[r + 1] - j;
                    RowKernel.Dots<V>(Call.A + r * Call.Lda + n, Call.B + n, Call.Columns + j, count, Call.Ldb, length, Call.Values + j);
                }
            }
        }
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Sparse matrix times one vector: y [rows] = clamp(w x [columns] + bias). For bit-masks see <see cref="Gemv"/>.</summary>
/// <remarks>
/// Each row keeps 16 partial sums on every instruction set, folded in one order. Which sum an entry joins belongs to the
/// format: for CSR its place in the row. So formats agree within rounding, and
/// each format gives the same bits on every instruction set and for every number of threads. Stored entries alone take part.
/// </remarks>
public static unsafe class SpMV
{
    private const int StoredPerPart = 32 * 1024;

    // Rows side by side hide the latency of each row's chain of multiply-adds.
    private const int RowsAtATime = 4;

    /// <summary>y = clamp(w x + bias) from compressed rows.</summary>
    /// <param name="w">The sparse matrix.</param>
    /// <param name="x">[columns].</param>
    /// <param name="y">[rows]; must not overlap x.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Multiply(CsrMatrix w, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        Check(w.Rows, w.Columns, x, y, bias);
        fixed (int* rows = w.RowPointers, columns = w.ColumnIndices)
        fixed (float* values = w.Values, px = x, py = y, pBias = bias)
        {
            Run(w.Rows, rows, new CsrRows { RowPointers = rows, Columns = columns, Values = values, X = px, Wide = IsWide }, py, pBias, activation);
        }
    }

    /// <summary>y = w x from compressed rows.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(CsrMatrix w, ReadOnlySpan<float> x, Span<float> y) => Multiply(w, x, y, default, Clamp.None);

    /// <summary>y = clamp(w x + bias) from r x c tiles; zeros inside stored tiles take part.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(BlockCsrMatrix w, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        Check(w.Rows, w.Columns, x, y, bias);
        fixed (int* rows = w.RowPointers, columns = w.ColumnIndices)
        fixed (float* values = w.Values, px = x, py = y, pBias = bias)
        {
            SimdDispatch.Run(new BlockVectorCall
            {
                Rows = w.Rows,
                Columns = w.Columns,
                BlockRows = w.BlockRows,
                BlockColumns = w.BlockColumns,
                GridRows = w.GridRows,
                RowPointers = rows,
                BlockIndices = columns,
                Values = values,
                X = px,
                Y = py,
                Bias = pBias,
                Clamp = activation,
            });
        }
    }

    /// <summary>y = w x from r x c tiles.</summary>
    /// <inheritdoc cref="Multiply(CsrMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(BlockCsrMatrix w, ReadOnlySpan<float> x, Span<float> y) => Multiply(w, x, y, default, Clamp.None);

    private static bool IsWide => SimdDispatch.Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported;

    private static void Check(int rows, int columns, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias)
    {
        PreparedSpMM.Check(x.Length, 1, columns, nameof(x));
        PreparedSpMM.Check(y.Length, 1, rows, nameof(y));
        PreparedSpMM.CheckOptional(bias.Length, rows, nameof(bias));
    }

    private static void Run<TRows>(int rows, int* rowPointers, TRows kernel, float* y, float* bias, Clamp clamp) where TRows : struct, IRowSums
    {
        if (rows == 0) return;
        int parts = (int)Math.Clamp((rowPointers[rows] + 2L * rows) / StoredPerPart, 1, 32);
        int* boundaries = stackalloc int[parts + 1];
        RowPartition.Fill(rowPointers, rows, new Span<int>(boundaries, parts + 1));
        WorkPool.Run(parts, new Parts<TRows> { Kernel = kernel, Boundaries = boundaries, Y = y, Bias = bias, Clamp = clamp });
    }

    /// <summary>One row's product as 16 partial sums.</summary>
    private interface IRowSums
    {
        /// <summary>Rows row .. row + count - 1 (1 to <see cref="RowsAtATime"/>), 16 lanes each.</summary>
        void Rows(int row, int count, float* lanes);
    }

    private struct Parts<TRows> : IParts where TRows : struct, IRowSums
    {
        public TRows Kernel;
        public int* Boundaries;
        public float* Y;
        public float* Bias;
        public Clamp Clamp;

        public readonly void Run(int part)
        {
            float* lanes = stackalloc float[RowsAtATime * Lanes.Count];
            bool clamped = !Clamp.IsNone;
            for (int r = Boundaries[part], end = Boundaries[part + 1]; r < end;)
            {
                int count = Math.Min(RowsAtATime, end - r);
                Kernel.Rows(r, count, lanes);
                for (int i = 0; i < count; i++, r++)
                {
                    float sum = DotKernel.Fold(lanes + i * Lanes.Count);
                    if (Bias != null) sum += Bias[r];
                    Y[r] = clamped ? MathF.Min(MathF.Max(sum, Clamp.Low), Clamp.High) : sum;
                }
            }
        }
    }

    private struct CsrRows : IRowSums
    {
        public int* RowPointers;
        public int* Columns;
        public float* Values;
        public float* X;
        public bool Wide;

        public readonly void Rows(int row, int count, float* lanes)
        {
            for (int i = 0; i < count; i++) Row(row + i, lanes + i * Lanes.Count);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Row(int row, float* lanes)
        {
            int j = RowPointers[row], end = RowPointers[row + 1];
            if (Wide && Avx2.IsSupported && Fma.IsSupported)
            {
                Vector256<float> a = Vector256<float>.Zero, b = a;
                for (; j + 16 <= end; j += 16)
                {
                    a = Fma.MultiplyAdd(Vector256.Load(Values + j), Avx2.GatherVector256(X, Vector256.Load(Columns + j), 4), a);
                    b = Fma.MultiplyAdd(Vector256.Load(Values + j + 8), Avx2.GatherVector256(X, Vector256.Load(Columns + j + 8), 4), b);
                }
                a.Store(lanes);
                b.Store(lanes + 8);
            }
            else
            {
                new Span<float>(lanes, Lanes.Count).Clear();
                for (; j + 16 <= end; j += 16)
                {
                    for (int t = 0; t < 16; t++) lanes[t] = MathF.FusedMultiplyAdd(Values[j + t], X[Columns[j + t]], lanes[t]);
                }
            }
            for (int t = 0; j < end; j++, t++) lanes[t] = MathF.FusedMultiplyAdd(Values[j], X[Columns[j]], lanes[t]);
        }
    }
}

using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>Dense matrix products in single precision, row-major.</summary>
/// <remarks>
/// Results are the same bits on every instruction set and for every number of threads (they may differ between shapes:
/// thin products sum in another order than large ones). Outputs must not overlap inputs.
/// </remarks>
public static unsafe partial class Gemm
{
    /// <summary>c [m, n] = alpha op(a) [m, k] op(b) [k, n] + beta c.</summary>
    /// <param name="transA">Whether a is stored [k, m].</param>
    /// <param name="transB">Whether b is stored [n, k].</param>
    /// <param name="m">Rows of c, at least 0.</param>
    /// <param name="n">Columns of c, at least 0.</param>
    /// <param name="k">Inner dimension, at least 0.</param>
    /// <param name="alpha">Factor of the product; 0 leaves a and b unread.</param>
    /// <param name="a">Left operand.</param>
    /// <param name="lda">Distance of rows in a.</param>
    /// <param name="b">Right operand.</param>
    /// <param name="ldb">Distance of rows in b.</param>
    /// <param name="beta">Factor of what c holds; 0 overwrites it, NaN included.</param>
    /// <param name="c">Result.</param>
    /// <param name="ldc">Distance of rows in c.</param>
    /// <exception cref="ArgumentException">A size is negative, a row distance is below the row length, or a span is too short.</exception>
    public static void Multiply(bool transA, bool transB, int m, int n, int k, float alpha, ReadOnlySpan<float> a, int lda,
        ReadOnlySpan<float> b, int ldb, float beta, Span<float> c, int ldc) =>
        Multiply(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, default, default, Clamp.None);

    /// <summary>c [m, n] = clamp(alpha op(a) op(b) + beta c + rowBias + columnBias).</summary>
    /// <inheritdoc cref="Multiply(bool, bool, int, int, int, float, ReadOnlySpan{float}, int, ReadOnlySpan{float}, int, float, Span{float}, int)"/>
    /// <param name="transA">Whether a is stored [k, m].</param>
    /// <param name="transB">Whether b is stored [n, k].</param>
    /// <param name="m">Rows of c, at least 0.</param>
    /// <param name="n">Columns of c, at least 0.</param>
    /// <param name="k">Inner dimension, at least 0.</param>
    /// <param name="alpha">Factor of the product; 0 leaves a and b unread.</param>
    /// <param name="a">Left operand.</param>
    /// <param name="lda">Distance of rows in a.</param>
    /// <param name="b">Right operand.</param>
    /// <param name="ldb">Distance of rows in b.</param>
    /// <param name="beta">Factor of what c holds; 0 overwrites it, NaN included.</param>
    /// <param name="c">Result.</param>
    /// <param name="ldc">Distance of rows in c.</param>
    /// <param name="rowBias">[m], added to each row, or empty.</param>
    /// <param name="columnBias">[n], added to each column, or empty.</param>
    /// <param name="activation">Applied last.</param>
    public static void Multiply(bool transA, bool transB, int m, int n, int k, float alpha, ReadOnlySpan<float> a, int lda,
        ReadOnlySpan<float> b, int ldb, float beta, Span<float> c, int ldc,
        ReadOnlySpan<float> rowBias, ReadOnlySpan<float> columnBias, Clamp activation)
    {
        Check(a.Length, transA ? k : m, transA ? m : k, lda, nameof(a));
        Check(b.Length, transB ? n : k, transB ? k : n, ldb, nameof(b));
        Check(c.Length, m, n, ldc, nameof(c));
        CheckBias(rowBias, m, nameof(rowBias));
        CheckBias(columnBias, n, nameof(columnBias));
        fixed (float* pa = a, pb = b, pc = c, pr = rowBias, pq = columnBias)
        {
            SimdDispatch.Run(new GemmCall
            {
                TransA = transA,
                TransB = transB,
                M = m,
                N = n,
                K = k,
                Alpha = alpha,
                Beta = beta,
                A = pa,
                Lda = lda,
                B = pb,
                Ldb = ldb,
                C = pc,
                Ldc = ldc,
                Epilogue = new GemmEpilogue { RowBias = pr, ColumnBias = pq, Clamp = activation },
            });
        }
    }

    /// <summary>c [m, n] = clamp(a [m, k] op(b) [k, n] + beta c + rowBias + columnBias) with a prepared left operand (weights of a convolution).</summary>
    /// <param name="a">The prepared left operand.</param>
    /// <param name="transB">Whether b is stored [n, k].</param>
    /// <param name="n">Columns of c, at least 0.</param>
    /// <param name="b">Right operand.</param>
    /// <param name="ldb">Distance of rows in b.</param>
    /// <param name="beta">Factor of what c holds; 0 overwrites it.</param>
    /// <param name="c">Result.</param>
    /// <param name="ldc">Distance of rows in c.</param>
    /// <param name="rowBias">[m] or empty.</param>
    /// <param name="columnBias">[n] or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">The operand was prepared for the other side, a size is negative or a span too short.</exception>
    public static void Multiply(PackedMatrix a, bool transB, int n, ReadOnlySpan<float> b, int ldb, float beta, Span<float> c, int ldc,
        ReadOnlySpan<float> rowBias, ReadOnlySpan<float> columnBias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(a);
        if (!a.IsLeft) throw new ArgumentException("The operand was prepared as a right operand.", nameof(a));
        int m = a.Rows, k = a.Columns;
        Check(b.Length, transB ? n : k, transB ? k : n, ldb, nameof(b));
        Check(c.Length, m, n, ldc, nameof(c));
        CheckBias(rowBias, m, nameof(rowBias));
        CheckBias(columnBias, n, nameof(columnBias));
        fixed (float* pb = b, pc = c, pr = rowBias, pq = columnBias)
        {
            using (SimdDispatch.Force(a.Level))
            {
                SimdDispatch.Run(new GemmCall
                {
                    TransB = transB,
                    M = m,
                    N = n,
                    K = k,
                    Alpha = 1f,
                    Beta = beta,
                    PackedA = a.Pointer,
                    B = pb,
                    Ldb = ldb,
                    C = pc,
                    Ldc = ldc,
                    Epilogue = new GemmEpilogue { RowBias = pr, ColumnBias = pq, Clamp = activation },
                });
            }
        }
        GC.KeepAlive(a);
    }

    /// <summary>c [m, n] = clamp(op(a) [m, k] b [k, n] + beta c + rowBias + columnBias) with a prepared right operand (weights of a linear layer).</summary>
    /// <param name="transA">Whether a is stored [k, m].</param>
    /// <param name="m">Rows of c, at least 0.</param>
    /// <param name="a">Left operand.</param>
    /// <param name="lda">Distance of rows in a.</param>
    /// <param name="b">The prepared right operand.</param>
    /// <param name="beta">Factor of what c holds; 0 overwrites it.</param>
    /// <param name="c">Result.</param>
    /// <param name="ldc">Distance of rows in c.</param>
    /// <param name="rowBias">[m] or empty.</param>
    /// <param name="columnBias">[n] or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">The operand was prepared for the other side, a size is negative or a span too short.</exception>
    public static void Multiply(bool transA, int m, ReadOnlySpan<float> a, int lda, PackedMatrix b, float beta, Span<float> c, int ldc,
        ReadOnlySpan<float> rowBias, ReadOnlySpan<float> columnBias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(b);
        if (b.IsLeft) throw new ArgumentException("The operand was prepared as a left operand.", nameof(b));
        int k = b.Rows, n = b.Columns;
        Check(a.Length, transA ? k : m, transA ? m : k, lda, nameof(a));
        Check(c.Length, m, n, ldc, nameof(c));
        CheckBias(rowBias, m, nameof(rowBias));
        CheckBias(columnBias, n, nameof(columnBias));
        fixed (float* pa = a, pc = c, pr = rowBias, pq = columnBias)
        {
            using (SimdDispatch.Force(b.Level))
            {
                SimdDispatch.Run(new GemmCall
                {
                    TransA = transA,
                    M = m,
                    N = n,
                    K = k,
                    Alpha = 1f,
                    Beta = beta,
                    A = pa,
                    Lda = lda,
                    PackedB = b.Pointer,
                    C = pc,
                    Ldc = ldc,
                    Epilogue = new GemmEpilogue { RowBias = pr, ColumnBias = pq, Clamp = activation },
                });
            }
        }
        GC.KeepAlive(b);
    }

    /// <summary>c[i] [m, n] = alpha op(a[i]) op(b[i]) + beta c[i] for i in 0 .. batch-1, matrices dense within themselves.</summary>
    /// <param name="batch">Number of products, at least 0.</param>
    /// <param name="transA">Whether each a is stored [k, m].</param>
    /// <param name="transB">Whether each b is stored [n, k].</param>
    /// <param name="m">Rows of each c.</param>
    /// <param name="n">Columns of each c.</param>
    /// <param name="k">Inner dimension.</param>
    /// <param name="alpha">Factor of the products.</param>
    /// <param name="a">Left operands.</param>
    /// <param name="strideA">Distance between them; 0 uses one for all.</param>
    /// <param name="b">Right operands.</param>
    /// <param name="strideB">Distance between them; 0 uses one for all.</param>
    /// <param name="beta">Factor of what c holds; 0 overwrites it.</param>
    /// <param name="c">Results.</param>
    /// <param name="strideC">Distance between them, at least m * n when batch is above 1.</param>
    /// <exception cref="ArgumentException">A size or stride is negative, results overlap, or a span is too short.</exception>
    public static void MultiplyBatched(int batch, bool transA, bool transB, int m, int n, int k, float alpha,
        ReadOnlySpan<float> a, long strideA, ReadOnlySpan<float> b, long strideB, float beta, Span<float> c, long strideC)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        if (batch == 0) return;
        CheckBatch(a.Length, batch, strideA, m, k, nameof(a));
        CheckBatch(b.Length, batch, strideB, k, n, nameof(b));
        CheckBatch(c.Length, batch, strideC, m, n, nameof(c));
        if (batch > 1 && strideC < (long)m * n) throw new ArgumentException($"Results of {m} x {n} overlap at a distance of {strideC}.", nameof(strideC));
        fixed (float* pa = a, pb = b, pc = c)
        {
            var call = new GemmCall
            {
                TransA = transA,
                TransB = transB,
                M = m,
                N = n,
                K = k,
                Alpha = alpha,
                Beta = beta,
                A = pa,
                Lda = transA ? m : k,
                B = pb,
                Ldb = transB ? k : n,
                C = pc,
                Ldc = n,
                Epilogue = new GemmEpilogue { Clamp = Clamp.None },
            };
            SimdDispatch.Run(new BatchWork { Call = call, Batch = batch, StrideA = (nint)strideA, StrideB = (nint)strideB, StrideC = (nint)strideC });
        }
    }

    /// <summary>y = alpha op(a) x + beta y for a [m, n] row-major.</summary>
    /// <param name="transposed">False: x [n], y [m]. True: x [m], y [n].</param>
    /// <param name="m">Rows of a as stored, at least 0.</param>
    /// <param name="n">Columns of a as stored, at least 0.</param>
    /// <param name="alpha">Factor of the product.</param>
    /// <param name="a">Matrix.</param>
    /// <param name="lda">Distance of rows in a.</param>
    /// <param name="x">Vector.</param>
    /// <param name="beta">Factor of what y holds; 0 overwrites it.</param>
    /// <param name="y">Result.</param>
    /// <exception cref="ArgumentException">A size is negative or a span is too short.</exception>
    public static void MultiplyVector(bool transposed, int m, int n, float alpha, ReadOnlySpan<float> a, int lda, ReadOnlySpan<float> x, float beta, Span<float> y)
    {
        Check(a.Length, m, n, lda, nameof(a));
        int inner = transposed ? m : n, outer = transposed ? n : m;
        Multiply(false, !transposed, 1, outer, inner, alpha, x, Math.Max(inner, 1), a, lda, beta, y, Math.Max(outer, 1));
    }

    /// <summary>Throws unless a span of <paramref name="length"/> holds rows x columns with row distance ld.</summary>
    internal static void Check(int length, int rows, int columns, int ld, string name)
    {
        if (rows < 0 || columns < 0) throw new ArgumentException($"'{name}' is {rows} x {columns}; sizes cannot be negative.", name);
        if (rows == 0 || columns == 0) return;
        if (ld < columns && rows > 1) throw new ArgumentException($"'{name}' has rows of {columns} at a distance of {ld}.", name);
        long needed = ((long)(rows - 1) * ld) + columns;
        if (length < needed) throw new ArgumentException($"'{name}' is {rows} x {columns} with row distance {ld} and needs {needed} values; it has {length}.", name);
    }

    private static void CheckBias(ReadOnlySpan<float> bias, int count, string name)
    {
        if (!bias.IsEmpty && bias.Length < count) throw new ArgumentException($"'{name}' needs {count} values; it has {bias.Length}.", name);
    }

    private static void CheckBatch(int length, int batch, long stride, int rows, int columns, string name)
    {
        if (rows < 0 || columns < 0) throw new ArgumentException($"'{name}' is {rows} x {columns}; sizes cannot be negative.", name);
        ArgumentOutOfRangeException.ThrowIfNegative(stride, name);
        Int128 needed = ((Int128)(batch - 1) * stride) + ((long)rows * columns);
        if (length < needed) throw new ArgumentException($"'{name}' needs {needed} values; it has {length}.", name);
    }

    private struct BatchWork : ILevelWork
    {
        public GemmCall Call;
        public int Batch;
        public nint StrideA, StrideB, StrideC;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            var parts = new BatchParts<V>(this);
            long each = (long)Call.M * Call.N * Call.K;
            // Few large products use the threads inside each of them; bits are the same either way.
            if (Batch > 1 && each * Batch >= 1 << 19 && (Batch >= 8 || each < 1 << 22)) WorkPool.Run(Batch, parts);
            else
            {
                for (int i = 0; i < Batch; i++) parts.Run(i);
            }
        }
    }

    private readonly struct BatchParts<V>(BatchWork work) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            GemmCall call = work.Call;
            call.A += part * work.StrideA;
            call.B += part * work.StrideB;
            call.C += part * work.StrideC;
            GemmDriver.Run<V>(call);
        }
    }
}

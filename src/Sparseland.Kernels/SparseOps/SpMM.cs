using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Sparse matrix times dense matrix, for a matrix that is used once; a weight that is used often is better prepared (<see cref="PreparedSpMM"/>).</summary>
/// <remarks>
/// Stored entries alone take part. Each output element is the sum of its row's products in column order, rounded once per
/// product, on every instruction set and for every number of threads.
/// </remarks>
public static unsafe partial class SpMM
{
    /// <summary>c [rows, n] = w b [columns, n].</summary>
    /// <param name="w">The sparse matrix.</param>
    /// <param name="b">[columns, n], row-major.</param>
    /// <param name="n">Columns of b and c, at least 0.</param>
    /// <param name="c">[rows, n]; must not overlap b.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Multiply(CsrMatrix w, ReadOnlySpan<float> b, int n, Span<float> c)
    {
        ArgumentNullException.ThrowIfNull(w);
        PreparedSpMM.Check(b.Length, w.Columns, n, nameof(b));
        PreparedSpMM.Check(c.Length, w.Rows, n, nameof(c));
        fixed (int* rows = w.RowPointers, columns = w.ColumnIndices)
        fixed (float* values = w.Values, pb = b, pc = c)
        {
            SimdDispatch.Run(new SpmmCall
            {
                Rows = w.Rows,
                Depth = w.Columns,
                N = n,
                RowPointers = rows,
                Columns = columns,
                Values = values,
                B = pb,
                C = pc,
                Clamp = Clamp.None,
            });
        }
    }

    /// <summary>c [rows, n] = w b [columns, n]. Zeros inside stored tiles take part.</summary>
    /// <inheritdoc cref="Multiply(BlockCsrMatrix, ReadOnlySpan{float}, int, Span{float}, ReadOnlySpan{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(BlockCsrMatrix w, ReadOnlySpan<float> b, int n, Span<float> c) => Multiply(w, b, n, c, default, default, Clamp.None);

    /// <summary>c [rows, n] = clamp(w b [columns, n] + bias + residual). Zeros inside stored tiles take part.</summary>
    /// <param name="w">The sparse matrix.</param>
    /// <param name="b">[columns, n], row-major.</param>
    /// <param name="n">Columns of b and c, at least 0.</param>
    /// <param name="c">[rows, n]; must not overlap b.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="residual">[rows, n], or empty; may be c itself.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Multiply(BlockCsrMatrix w, ReadOnlySpan<float> b, int n, Span<float> c, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        PreparedSpMM.Check(b.Length, w.Columns, n, nameof(b));
        PreparedSpMM.Check(c.Length, w.Rows, n, nameof(c));
        PreparedSpMM.CheckOptional(bias.Length, w.Rows, nameof(bias));
        PreparedSpMM.CheckOptional(residual.Length, c.Length, nameof(residual));
        fixed (int* rows = w.RowPointers, columns = w.ColumnIndices)
        fixed (float* values = w.Values, pb = b, pc = c, pBias = bias, pResidual = residual)
        {
            SimdDispatch.Run(new BlockSpmmCall
            {
                Rows = w.Rows,
                Depth = w.Columns,
                N = n,
                BlockRows = w.BlockRows,
                BlockColumns = w.BlockColumns,
                GridRows = w.GridRows,
                RowPointers = rows,
                Columns = columns,
                Values = values,
                B = pb,
                C = pc,
                Bias = pBias,
                Residual = pResidual,
                Clamp = activation,
            });
        }
    }

    /// <summary>c [columns, n] = w^T b [rows, n]. Transposes the structure first; see <see cref="PreparedSpMM.MultiplyTransposed"/>.</summary>
    /// <param name="w">The sparse matrix.</param>
    /// <param name="b">[rows, n], row-major.</param>
    /// <param name="n">Columns of b and c, at least 0.</param>
    /// <param name="c">[columns, n]; must not overlap b.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void MultiplyTransposed(CsrMatrix w, ReadOnlySpan<float> b, int n, Span<float> c)
    {
        ArgumentNullException.ThrowIfNull(w);
        Multiply(w.Transpose(), b, n, c);
    }

    /// <summary>y [batch, rows] = x [batch, columns] w^T: a linear layer.</summary>
    /// <param name="x">[batch, columns], row-major.</param>
    /// <param name="batch">Rows of x and y, at least 0.</param>
    /// <param name="w">The sparse matrix.</param>
    /// <param name="y">[batch, rows]; must not overlap x.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Linear(ReadOnlySpan<float> x, int batch, CsrMatrix w, Span<float> y)
    {
        ArgumentNullException.ThrowIfNull(w);
        PreparedSpMM.Check(x.Length, batch, w.Columns, nameof(x));
        PreparedSpMM.Check(y.Length, batch, w.Rows, nameof(y));
        fixed (int* rows = w.RowPointers, columns = w.ColumnIndices)
        fixed (float* values = w.Values, px = x, py = y)
        {
            SimdDispatch.Run(new SparseLinearCall
            {
                Rows = w.Rows,
                Depth = w.Columns,
                Batch = batch,
                RowPointers = rows,
                Columns = columns,
                Values = values,
                X = px,
                Y = py,
                Clamp = Clamp.None,
            });
        }
    }

    /// <summary>y [batch, rows] = clamp(x [batch, columns] w^T + bias + residual): a linear layer of tiles. Zeros inside stored tiles take part.</summary>
    /// <param name="x">[batch, columns], row-major.</param>
    /// <param name="batch">Rows of x and y, at least 0.</param>
    /// <param name="w">The sparse matrix.</param>
    /// <param name="y">[batch, rows]; must not overlap x.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="residual">[batch, rows], or empty; may be y itself.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Linear(ReadOnlySpan<float> x, int batch, BlockCsrMatrix w, Span<float> y, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        PreparedSpMM.Check(x.Length, batch, w.Columns, nameof(x));
        PreparedSpMM.Check(y.Length, batch, w.Rows, nameof(y));
        PreparedSpMM.CheckOptional(bias.Length, w.Rows, nameof(bias));
        PreparedSpMM.CheckOptional(residual.Length, y.Length, nameof(residual));
        if (batch == 0) return;
        if (batch == 1 && residual.IsEmpty)
        {
            SpMV.Multiply(w, x, y, bias, activation);
            return;
        }
        // The kernels want the batch along the registers.
        using Scratch.Buffer xt = Scratch.Rent(x.Length), yt = Scratch.Rent(y.Length);
        fixed (float* px = x, py = y, pr = residual)
        {
            Transposition.Copy(px, w.Columns, batch, w.Columns, xt.Pointer, batch);
            if (pr != null) Transposition.Copy(pr, w.Rows, batch, w.Rows, yt.Pointer, batch);
            var result = new Span<float>(yt.Pointer, y.Length);
            Multiply(w, new ReadOnlySpan<float>(xt.Pointer, x.Length), batch, result, bias, pr != null ? result : default, activation);
            Transposition.Copy(yt.Pointer, batch, w.Rows, batch, py, w.Rows);
        }
    }

    /// <summary>The product sampled at the structure of a sparse matrix (SDDMM): values[j] = dot(a[row of j, :], b[column of j, :]).</summary>
    /// <param name="structure">Which entries of a b^T are wanted.</param>
    /// <param name="a">[rows, n], row-major.</param>
    /// <param name="b">[columns, n], row-major.</param>
    /// <param name="n">Length of the summed dimension.</param>
    /// <param name="values">One result per stored entry, in row order.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Sampled(CsrMatrix structure, ReadOnlySpan<float> a, ReadOnlySpan<float> b, int n, Span<float> values)
    {
        ArgumentNullException.ThrowIfNull(structure);
        PreparedSpMM.Check(a.Length, structure.Rows, n, nameof(a));
        PreparedSpMM.Check(b.Length, structure.Columns, n, nameof(b));
        if (values.Length != structure.StoredCount) throw new ArgumentException($"{values.Length} results for {structure.StoredCount} stored entries.", nameof(values));
        fixed (int* rows = structure.RowPointers, columns = structure.ColumnIndices)
        fixed (float* pa = a, pb = b, pv = values)
        {
            SimdDispatch.Run(new SddmmCall { Rows = structure.Rows, N = n, RowPointers = rows, Columns = columns, A = pa, Lda = n, B = pb, Ldb = n, Values = pv });
        }
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps.Compiled;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A sparse weight W [rows, columns] ready for products in every direction that inference and training need.</summary>
/// <remarks>
/// The structure is prepared once; values are updated in place (<see cref="SetValues"/>), which is what a training step
/// does. Costs are proportional to the stored values. Stored entries alone take part: an infinity in the input that
/// meets only removed weights does not reach the output. Results are the same bits on every instruction set and for
/// every number of threads. Products may run at the same time on several threads, updates may not.
/// </remarks>
public sealed unsafe class PreparedSpMM
{
    private readonly int[] _rowPointers;
    private readonly int[] _columns;
    private readonly float[] _values;
    private readonly Lock _gate = new();
    private readonly bool _compileOnReuse;
    private readonly CompiledOnce _compiled;
    private readonly TiledOnce _tiled = new();
    private long _version;
    private Transposed? _transposed;

    // The matrix as tiles, while its values are still these: faster where nothing is compiled.
    private BlockCsrMatrix? _tiles;

    /// <summary>Prepares a matrix; it is copied.</summary>
    /// <param name="weight">The matrix.</param>
    /// <param name="compileOnReuse">Whether machine code is written only when the structure is used with second values, or for the fourth time with the same: it does not pay for masks that change in every step of a training.</param>
    public PreparedSpMM(CsrMatrix weight, bool compileOnReuse = false)
    {
        ArgumentNullException.ThrowIfNull(weight);
        _compileOnReuse = compileOnReuse;
        _compiled = new CompiledOnce(compileOnReuse);
        Rows = weight.Rows;
        Columns = weight.Columns;
        _rowPointers = weight.RowPointers.ToArray();
        _columns = weight.ColumnIndices.ToArray();
        _values = weight.Values.ToArray();
    }

    /// <summary>Prepares a matrix of tiles; it is copied. Zeros inside stored tiles are stored.</summary>
    public PreparedSpMM(BlockCsrMatrix weight) : this((weight ?? throw new ArgumentNullException(nameof(weight))).ToCsr()) => _tiles = weight;

    /// <summary>Rows of W: output features.</summary>
    public int Rows { get; }

    /// <summary>Columns of W: input features.</summary>
    public int Columns { get; }

    /// <summary>Number of stored values.</summary>
    public int StoredCount => _values.Length;

    /// <summary>The stored values in row order.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>Bytes of structure, values and machine code as prepared so far; grows with the first products of each kind.</summary>
    public long PreparedBytes => 4L * (_rowPointers.Length + _columns.Length + _values.Length) + _compiled.Bytes + _tiled.Bytes
        + (_transposed is { } t ? 4L * (t.Pointers.Length + t.Indices.Length + t.Source.Length + (t.Values?.Length ?? 0)) + t.Compiled.Bytes : 0);

    /// <summary>Where each row starts; Rows + 1 entries.</summary>
    public ReadOnlySpan<int> RowPointers => _rowPointers;

    /// <summary>The column of each stored value.</summary>
    public ReadOnlySpan<int> ColumnIndices => _columns;

    /// <summary>Replaces the stored values, in row order.</summary>
    /// <exception cref="ArgumentException">Not <see cref="StoredCount"/> values.</exception>
    public void SetValues(ReadOnlySpan<float> values)
    {
        if (values.Length != StoredCount) throw new ArgumentException($"{values.Length} values for {StoredCount} stored entries.", nameof(values));
        values.CopyTo(_values);
        Changed();
    }

    /// <summary>Reads the stored entries out of a dense weight.</summary>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public void SetValuesFromDense(ReadOnlySpan<float> dense)
    {
        CsrMatrix.RequireLength(dense.Length, Rows, Columns, nameof(dense));
        for (int r = 0; r < Rows; r++)
        {
            ReadOnlySpan<float> row = dense.Slice(r * Columns, Columns);
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++) _values[j] = row[_columns[j]];
        }
        Changed();
    }

    /// <summary>Writes packed numbers (a gradient in row order) to their places in a dense matrix; other places become zero.</summary>
    /// <param name="packed"><see cref="StoredCount"/> numbers.</param>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void Scatter(ReadOnlySpan<float> packed, Span<float> dense)
    {
        if (packed.Length != StoredCount) throw new ArgumentException($"{packed.Length} values for {StoredCount} stored entries.", nameof(packed));
        CsrMatrix.RequireLength(dense.Length, Rows, Columns, nameof(dense));
        dense.Clear();
        for (int r = 0; r < Rows; r++)
        {
            Span<float> row = dense.Slice(r * Columns, Columns);
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++) row[_columns[j]] = packed[j];
        }
    }

    /// <summary>c [rows, n] = W b [columns, n].</summary>
    /// <inheritdoc cref="Multiply(ReadOnlySpan{float}, int, Span{float}, ReadOnlySpan{float}, ReadOnlySpan{float}, Clamp)"/>
    public void Multiply(ReadOnlySpan<float> b, int n, Span<float> c) => Multiply(b, n, c, default, default, Clamp.None);

    /// <summary>c [rows, n] = clamp(W b [columns, n] + bias + residual).</summary>
    /// <param name="b">[columns, n], row-major.</param>
    /// <param name="n">Columns of b and c, at least 0.</param>
    /// <param name="c">[rows, n]; must not overlap b.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="residual">[rows, n], or empty; may be c itself, which then accumulates.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void Multiply(ReadOnlySpan<float> b, int n, Span<float> c, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation)
    {
        Check(b.Length, Columns, n, nameof(b));
        Check(c.Length, Rows, n, nameof(c));
        CheckOptional(bias.Length, Rows, nameof(bias));
        CheckOptional(residual.Length, c.Length, nameof(residual));
        TiledMatrix? tiled = GetTiled(n, byBlocks: true);
        CodedMatrix? compiled = tiled is null ? GetCompiled(n) : null;
        if (tiled is null && compiled is null && _tiles is { } tiles)
        {
            SpMM.Multiply(tiles, b, n, c, bias, residual, activation);
            return;
        }
        fixed (int* rows = _rowPointers, columns = _columns)
        fixed (float* values = _values, pb = b, pc = c, pBias = bias, pResidual = residual)
        {
            if (tiled is not null)
            {
                new TiledProduct { Matrix = tiled, Input = pb, InputStride = n, Columns = n, Output = pc, OutputStride = n, Bias = pBias, Residual = pResidual, Clamp = activation }.Run();
                return;
            }
            if (compiled is not null)
            {
                RunCompiled(compiled, pb, n, pc, pBias, pResidual, activation);
                return;
            }
            SimdDispatch.Run(new SpmmCall
            {
                Rows = Rows,
                Depth = Columns,
                N = n,
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

    /// <summary>c [columns, n] = W^T b [rows, n]: the gradient of the input of <see cref="Multiply(ReadOnlySpan{float}, int, Span{float})"/>.</summary>
    /// <param name="b">[rows, n], row-major.</param>
    /// <param name="n">Columns of b and c, at least 0.</param>
    /// <param name="c">[columns, n]; must not overlap b.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void MultiplyTransposed(ReadOnlySpan<float> b, int n, Span<float> c)
    {
        Check(b.Length, Rows, n, nameof(b));
        Check(c.Length, Columns, n, nameof(c));
        Transposed t = GetTransposed();
        CodedMatrix? compiled = GetCompiled(t, n);
        fixed (int* rows = t.Pointers, columns = t.Indices)
        fixed (float* values = compiled is null ? ValuesOf(t) : null, pb = b, pc = c)
        {
            if (compiled is not null)
            {
                RunCompiled(compiled, pb, n, pc, null, null, Clamp.None);
                return;
            }
            SimdDispatch.Run(new SpmmCall
            {
                Rows = Columns,
                Depth = Rows,
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

    /// <summary>gradient[j] = sum over n of dc[row of j, n] * b[column of j, n]: the gradient of the stored values of <see cref="Multiply(ReadOnlySpan{float}, int, Span{float})"/>.</summary>
    /// <param name="b">[columns, n], the input.</param>
    /// <param name="dc">[rows, n], the gradient of the output.</param>
    /// <param name="n">Columns of both.</param>
    /// <param name="gradient"><see cref="StoredCount"/> numbers in row order.</param>
    /// <param name="accumulate">Whether to add to what gradient holds.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void WeightGradient(ReadOnlySpan<float> b, ReadOnlySpan<float> dc, int n, Span<float> gradient, bool accumulate = false)
    {
        Check(b.Length, Columns, n, nameof(b));
        Check(dc.Length, Rows, n, nameof(dc));
        if (gradient.Length != StoredCount) throw new ArgumentException($"{gradient.Length} numbers for {StoredCount} stored entries.", nameof(gradient));
        fixed (int* rows = _rowPointers, columns = _columns)
        fixed (float* pb = b, pc = dc, values = gradient)
        {
            SimdDispatch.Run(new SddmmCall
            {
                Rows = Rows,
                N = n,
                RowPointers = rows,
                Columns = columns,
                A = pc,
                Lda = n,
                B = pb,
                Ldb = n,
                Values = values,
                Accumulate = accumulate,
            });
        }
    }

    /// <summary>y [batch, rows] = x [batch, columns] W^T: a linear layer.</summary>
    /// <inheritdoc cref="Linear(ReadOnlySpan{float}, int, Span{float}, ReadOnlySpan{float}, ReadOnlySpan{float}, Clamp)"/>
    public void Linear(ReadOnlySpan<float> x, int batch, Span<float> y) => Linear(x, batch, y, default, default, Clamp.None);

    /// <summary>y [batch, rows] = clamp(x [batch, columns] W^T + bias + residual): a linear layer.</summary>
    /// <param name="x">[batch, columns], row-major.</param>
    /// <param name="batch">Rows of x and y, at least 0.</param>
    /// <param name="y">[batch, rows]; must not overlap x.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="residual">[batch, rows], or empty; may be y itself.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void Linear(ReadOnlySpan<float> x, int batch, Span<float> y, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation)
    {
        Check(x.Length, batch, Columns, nameof(x));
        Check(y.Length, batch, Rows, nameof(y));
        CheckOptional(bias.Length, Rows, nameof(bias));
        CheckOptional(residual.Length, y.Length, nameof(residual));
        TiledMatrix? tiled = GetTiled(batch, byBlocks: false);
        CodedMatrix? compiled = tiled is null ? GetCompiled(batch) : null;
        if (tiled is null && compiled is null && _tiles is { } tiles)
        {
            SpMM.Linear(x, batch, tiles, y, bias, residual, activation);
            return;
        }
        fixed (int* rows = _rowPointers, columns = _columns)
        fixed (float* values = _values, px = x, py = y, pBias = bias, pResidual = residual)
        {
            if (tiled is not null)
            {
                new TiledLinear { Matrix = tiled, Input = px, Batch = batch, Output = py, Bias = pBias, Residual = pResidual, Clamp = activation }.Run();
                return;
            }
            if (compiled is not null)
            {
                RunTurned(compiled, px, Columns, batch, py, Rows, pBias, pResidual, activation);
                return;
            }
            SimdDispatch.Run(new SparseLinearCall
            {
                Rows = Rows,
                Depth = Columns,
                Batch = batch,
                RowPointers = rows,
                Columns = columns,
                Values = values,
                X = px,
                Y = py,
                Bias = pBias,
                Residual = pResidual,
                Clamp = activation,
            });
        }
    }

    /// <summary>How a linear layer is computed on this machine; what it needs is prepared as by the first product.</summary>
    /// <param name="batch">Rows of x, at least 0.</param>
    public SparseForm LinearFormOf(int batch) => GetTiled(batch, byBlocks: false) is not null ? SparseForm.Tiles : GetCompiled(batch)?.Form ?? SparseForm.Loops;

    /// <summary>dx [batch, columns] = dy [batch, rows] W: the gradient of the input of a linear layer.</summary>
    /// <param name="dy">[batch, rows], the gradient of the output.</param>
    /// <param name="batch">Rows of both.</param>
    /// <param name="dx">[batch, columns]; must not overlap dy.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void LinearInputGradient(ReadOnlySpan<float> dy, int batch, Span<float> dx)
    {
        Check(dy.Length, batch, Rows, nameof(dy));
        Check(dx.Length, batch, Columns, nameof(dx));
        Transposed t = GetTransposed();
        CodedMatrix? compiled = GetCompiled(t, batch);
        fixed (int* rows = t.Pointers, columns = t.Indices)
        fixed (float* values = compiled is null ? ValuesOf(t) : null, px = dy, py = dx)
        {
            if (compiled is not null)
            {
                RunTurned(compiled, px, Rows, batch, py, Columns, null, null, Clamp.None);
                return;
            }
            SimdDispatch.Run(new SparseLinearCall
            {
                Rows = Columns,
                Depth = Rows,
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

    /// <summary>gradient[j] = sum over the batch of dy[i, row of j] * x[i, column of j]: the gradient of a linear layer's stored values.</summary>
    /// <param name="x">[batch, columns], the input.</param>
    /// <param name="dy">[batch, rows], the gradient of the output.</param>
    /// <param name="batch">Rows of both.</param>
    /// <param name="gradient"><see cref="StoredCount"/> numbers in row order.</param>
    /// <param name="accumulate">Whether to add to what gradient holds.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void LinearWeightGradient(ReadOnlySpan<float> x, ReadOnlySpan<float> dy, int batch, Span<float> gradient, bool accumulate = false)
    {
        Check(x.Length, batch, Columns, nameof(x));
        Check(dy.Length, batch, Rows, nameof(dy));
        if (gradient.Length != StoredCount) throw new ArgumentException($"{gradient.Length} numbers for {StoredCount} stored entries.", nameof(gradient));
        if (batch == 0)
        {
            if (!accumulate) gradient.Clear();
            return;
        }
        // Sums run over the batch: both operands are transposed so that it is contiguous.
        int ld = (batch + 15) & ~15;
        using Scratch.Buffer xt = Scratch.Rent((long)Columns * ld);
        using Scratch.Buffer dyt = Scratch.Rent((long)Rows * ld);
        fixed (int* rows = _rowPointers, columns = _columns)
        fixed (float* px = x, pdy = dy, values = gradient)
        {
            TransposeInParts(px, batch, Columns, xt.Pointer, ld);
            TransposeInParts(pdy, batch, Rows, dyt.Pointer, ld);
            SimdDispatch.Run(new SddmmCall
            {
                Rows = Rows,
                N = batch,
                RowPointers = rows,
                Columns = columns,
                A = dyt.Pointer,
                Lda = ld,
                B = xt.Pointer,
                Ldb = ld,
                Values = values,
                Accumulate = accumulate,
            });
        }
    }

    /// <summary>The stored entries as a matrix of their own.</summary>
    public CsrMatrix ToCsr() => new(Rows, Columns, (int[])_rowPointers.Clone(), (int[])_columns.Clone(), (float[])_values.Clone());

    internal static void Check(int length, int rows, int columns, string name)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows, name);
        ArgumentOutOfRangeException.ThrowIfNegative(columns, name);
        if (length != (long)rows * columns) throw new ArgumentException($"{length} elements; expected [{rows}, {columns}].", name);
    }

    internal static void CheckOptional(int length, int expected, string name)
    {
        if (length != 0 && length != expected) throw new ArgumentException($"{length} elements; expected {expected} or none.", name);
    }

    private void Changed()
    {
        _version++;
        _tiles = null;
    }

    private static void TransposeInParts(float* from, int rows, int columns, float* to, nint ldto)
    {
        const int Block = 64;
        WorkPool.Run((columns + Block - 1) / Block, new TransposeParts { From = from, Rows = rows, Columns = columns, To = to, Ldto = ldto, Block = Block });
    }

    // One column is a matrix times a vector, which other kernels are for. Linear layers turn their inputs, so blocks are not for them.
    private TiledMatrix? GetTiled(int n, bool byBlocks) => n > 1 && _tiled.Get(Rows, Columns, _rowPointers, _columns, _values, _version, byBlocks) is { } tiled && TiledProduct.Pays(tiled, n) ? tiled : null;

    private CodedMatrix? GetCompiled(int n) => n < 2 ? null : _compiled.Get(Rows, Columns, _rowPointers, _columns, _values, _version, n);

    private CodedMatrix? GetCompiled(Transposed t, int n)
    {
        CodedMatrix? compiled = n < 2 ? null : t.Compiled.Get(Columns, Rows, t.Pointers, t.Indices, _values, _version, n, source: t.Source);
        if (compiled is not null && !t.IsCompiled)
        {
            lock (_gate)
            {
                // Loops that ran before there was code have left theirs, and may be at them still. Those that run after it (for one column) keep theirs.
                t.Values = null;
                t.IsCompiled = true;
            }
        }
        return compiled;
    }

    private static void RunCompiled(CodedMatrix matrix, float* b, int n, float* c, float* bias, float* residual, Clamp clamp) => new CompiledProduct<LineSource>
    {
        Matrix = matrix,
        Source = new LineSource { Base = b, Stride = n, Columns = n, Lines = matrix.Lines },
        Columns = n,
        Output = c,
        RowStride = n,
        Bias = bias,
        Residual = residual,
        Clamp = clamp,
    }.Run();

    private static void RunTurned(CodedMatrix matrix, float* x, int depth, int batch, float* y, int rows, float* bias, float* residual, Clamp clamp) => new CompiledProduct<TurnedSource>
    {
        Matrix = matrix,
        Source = new TurnedSource { Base = x, Stride = depth, Columns = batch, Lines = matrix.Lines },
        Columns = batch,
        Output = y,
        RowStride = rows,
        Turned = true,
        Bias = bias,
        Residual = residual,
        Clamp = clamp,
    }.Run();

    private Transposed GetTransposed()
    {
        lock (_gate)
        {
            if (_transposed is null)
            {
                var source = new int[StoredCount];
                (int[] pointers, int[] indices) = new CsrMatrix(Rows, Columns, _rowPointers, _columns, _values).TransposeStructure(source);
                _transposed = new Transposed(pointers, indices, source, new CompiledOnce(_compileOnReuse));
            }
            return _transposed;
        }
    }

    // The values in the order of the transposed rows, which loops need; code takes them over from the matrix itself.
    private float[] ValuesOf(Transposed t)
    {
        lock (_gate)
        {
            if (t.Values is { } values && t.Version == _version) return values;
            values = t.Values ??= new float[StoredCount];
            for (int i = 0; i < t.Source.Length; i++) values[i] = _values[t.Source[i]];
            t.Version = _version;
            return values;
        }
    }

    private struct TransposeParts : IParts
    {
        public float* From, To;
        public int Rows, Columns, Block;
        public nint Ldto;

        public readonly void Run(int part)
        {
            int c = part * Block;
            Transposition.Copy(From + c, Columns, Rows, Math.Min(Block, Columns - c), To + c * Ldto, Ldto);
        }
    }

    private sealed class Transposed(int[] pointers, int[] indices, int[] source, CompiledOnce compiled)
    {
        public int[] Pointers { get; } = pointers;

        public int[] Indices { get; } = indices;

        public int[] Source { get; } = source;

        public CompiledOnce Compiled => compiled;

        /// <summary>Values in this order; null until loops need them.</summary>
        public float[]? Values { get; set; }

        /// <summary>Whether there is code, which has values of its own.</summary>
        public bool IsCompiled { get; set; }

        /// <summary>Which values these are.</summary>
        public long Version { get; set; } = -1;
    }
}

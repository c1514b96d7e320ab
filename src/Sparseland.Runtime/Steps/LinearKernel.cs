using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A prepared weight of a linear layer and the product with it.</summary>
internal abstract class LinearKernel(int inputs, int outputs)
{
    public int Inputs { get; } = inputs;

    public int Outputs { get; } = outputs;

    /// <summary>What runs for so many rows of x, as the plan prints it.</summary>
    public abstract string NameFor(int rows);

    /// <summary>Bytes of the prepared weight so far: code is written when it is first needed.</summary>
    public abstract long Bytes { get; }

    /// <summary>y [rows, Outputs] = clamp(x [rows, Inputs] w + bias + residual); residual [rows, Outputs] or empty.</summary>
    public abstract void Multiply(ReadOnlySpan<float> x, int rows, Span<float> y, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp clamp);

    /// <summary>Whether unstructured weights meet one vector in windows; elsewhere compressed rows are faster.</summary>
    public static bool UsesWindows => PreparedSpMV.IsFast(ValueKind.Float32);

    /// <summary>Chooses the kernel for a weight.</summary>
    /// <param name="weight">[Inputs, Outputs], or [Outputs, Inputs] when transposed.</param>
    /// <param name="transposed">Whether the weight is stored [Outputs, Inputs].</param>
    /// <param name="rows">Rows of x.</param>
    /// <param name="context">The plan in the making.</param>
    /// <param name="input">The name of x.</param>
    public static KernelChoice<LinearKernel> Choose(Weight weight, bool transposed, int rows, StepContext context, string input)
    {
        int inputs = transposed ? weight.Shape[1] : weight.Shape[0], outputs = transposed ? weight.Shape[0] : weight.Shape[1];
        if (CompactLinear.TryChoose(weight, transposed, rows, context) is { } compact) return compact;
        WeightMatrix matrix = context.Prepared.Matrix(weight, !transposed);
        var candidates = new List<Candidate<LinearKernel>> { new(KernelKind.Dense, 1, Key(KernelKind.Dense), () => new DenseLinear(weight, transposed, inputs, outputs), "") };
        bool full = matrix.Density >= KernelChooser.Full, byColumns = full && rows == 1 && ColumnLinear.Suits(outputs, input, context);
        if (byColumns)
        {
            candidates.Add(new(KernelKind.Columns, SparseCost.HalfOfColumns, Key(KernelKind.Columns), () => ColumnLinear.Of(weight, transposed), "behind a rectifier columns beside zeros are skipped, "));
        }
        else if (!full && rows > 1)
        {
            candidates.Add(new(KernelKind.Csr, SparseCost.OfLinear(matrix.Density, inputs, Math.Max(1, outputs), rows), Key(KernelKind.Csr), () => new CsrLinear(matrix.Csr), matrix.Note));
            if (matrix.BlockRows > 1) candidates.Add(new(KernelKind.Block, SparseCost.OfLinear(matrix.Density, inputs, Math.Max(1, outputs), rows, matrix.BlockRows), Key(KernelKind.Block), () => new BlockLinear(matrix), Tiles()));
        }
        else if (!full)
        {
            candidates.Add(new(KernelKind.CsrVector, UsesWindows ? SparseCost.OfWindows(matrix.WindowBytes, outputs, inputs) : matrix.Density, Key(KernelKind.CsrVector), () => new CsrVector(matrix.Csr), matrix.Note));
            candidates.Add(new(KernelKind.BitmaskVector, SparseCost.OfBitmask(matrix.Density), Key(KernelKind.BitmaskVector), () => new BitmaskVector(matrix.Csr), matrix.Note));
            if (matrix.BlockRows > 1) candidates.Add(new(KernelKind.BlockVector, matrix.Density, Key(KernelKind.BlockVector), () => new BlockVector(matrix), Tiles()));
        }
        // A weight that fits the caches comes from memory where the model does not. One vector meets no code, and what is stored for it counts as no more bytes than the dense weight; columns are measured as the only weight.
        long own = (long)inputs * outputs * sizeof(float);
        (long ofDense, long ofStored) = byColumns ? (own, own) : SparseCost.BytesToReach(own, context.WeightBytes, rows > 1 ? matrix.Density : 0, SparseCost.LastCacheBytes);
        var rules = new KernelRules(Work(ofDense)) { Stored = Work(ofStored), FarText = " of weights from memory" };
        return KernelChooser.Choose(candidates, rules, matrix.Density, (long)rows * inputs * outputs, context, kernel =>
        {
            var x = new float[rows * inputs];
            Array.Fill(x, 0.5f);
            // What a rectifier is expected to leave.
            var random = new Random(1);
            for (int i = 0; byColumns && i < x.Length; i++) x[i] *= random.Next(2);
            var y = new float[rows * outputs];
            return () => kernel.Multiply(x, rows, y, default, default, Clamp.None);
        });

        KernelWork Work(long bytes) => new(rows > 1 ? rows : bytes) { BlockRows = matrix.BlockRows, WeightBytes = rows > 1 ? bytes : 0 };

        string Key(KernelKind kind) => $"{weight.Name}|linear|{transposed}|{kind}";

        string Tiles() => $"{matrix.BlockRows}x1 tiles, ";
    }

    private sealed class DenseLinear(Weight weight, bool transposed, int inputs, int outputs) : LinearKernel(inputs, outputs)
    {
        private readonly PackedMatrix _weight = PackedMatrix.Right(transposed, inputs, outputs, weight.Read().Span<float>(), transposed ? inputs : outputs);

        public override string NameFor(int rows) => "dense packed GEMM";

        public override long Bytes => _weight.Bytes;

        public override void Multiply(ReadOnlySpan<float> x, int rows, Span<float> y, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp clamp)
        {
            if (!residual.IsEmpty) residual.CopyTo(y);
            Gemm.Multiply(false, rows, x, Inputs, _weight, residual.IsEmpty ? 0 : 1, y, Outputs, default, bias, clamp);
        }
    }

    /// <summary>What stands before the name of a product with many rows; null for loops.</summary>
    private static string? Form(PreparedSpMM weight, int rows) => weight.LinearFormOf(rows) switch { SparseForm.Compiled => "compiled ", SparseForm.Counted => "counted ", SparseForm.Tiles => "tiled ", _ => null };

    private sealed class CsrLinear(CsrMatrix weight) : LinearKernel(weight.Columns, weight.Rows)
    {
        private readonly PreparedSpMM _weight = new(weight);

        public override string NameFor(int rows) => $"{Form(_weight, rows) ?? "CSR "}SpMM";

        public override long Bytes => _weight.PreparedBytes;

        public override void Multiply(ReadOnlySpan<float> x, int rows, Span<float> y, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp clamp) =>
            _weight.Linear(x, rows, y, bias, residual, clamp);
    }

    private sealed class BlockLinear(WeightMatrix matrix) : LinearKernel(matrix.Columns, matrix.Rows)
    {
        private readonly PreparedSpMM _weight = new(matrix.ToBlocks());

        public override string NameFor(int rows) => $"{Form(_weight, rows)}{matrix.BlockRows}x1 block SpMM";

        public override long Bytes => _weight.PreparedBytes;

        public override void Multiply(ReadOnlySpan<float> x, int rows, Span<float> y, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp clamp) =>
            _weight.Linear(x, rows, y, bias, residual, clamp);
    }

    /// <summary>Formats that multiply one vector; a residual is added before the clamp.</summary>
    internal abstract class VectorKernel(int inputs, int outputs) : LinearKernel(inputs, outputs)
    {
        /// <summary>As the plan prints it.</summary>
        protected abstract string Name { get; }

        public sealed override string NameFor(int rows) => Name;

        public override void Multiply(ReadOnlySpan<float> x, int rows, Span<float> y, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp clamp)
        {
            for (int r = 0; r < rows; r++)
            {
                Span<float> to = y.Slice(r * Outputs, Outputs);
                ReadOnlySpan<float> from = x.Slice(r * Inputs, Inputs);
                if (residual.IsEmpty)
                {
                    Product(from, to, bias, clamp);
                    continue;
                }
                ReadOnlySpan<float> add = residual.Slice(r * Outputs, Outputs);
                Product(from, to, bias, Clamp.None);
                for (int i = 0; i < to.Length; i++) to[i] = MathF.Min(MathF.Max(to[i] + add[i], clamp.Low), clamp.High);
            }
        }

        protected abstract void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp);
    }

    private sealed class CsrVector(CsrMatrix weight) : VectorKernel(weight.Columns, weight.Rows)
    {
        private readonly PreparedSpMV? _prepared = UsesWindows ? new PreparedSpMV(weight) : null;

        // Windows have a copy of their own.
        private readonly CsrMatrix? _rows = UsesWindows ? null : weight;

        protected override string Name => _prepared is null ? "CSR SpMV" : "windowed SpMV";

        public override long Bytes => _prepared?.Bytes ?? 4L * (_rows!.RowPointers.Length + 2L * _rows.StoredCount);

        protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp)
        {
            if (_prepared is null) SpMV.Multiply(_rows!, x, y, bias, clamp);
            else _prepared.Multiply(x, y, bias, clamp);
        }
    }

    /// <summary>The rows of a block lie along a register.</summary>
    private sealed class BlockVector(WeightMatrix matrix) : VectorKernel(matrix.Columns, matrix.Rows)
    {
        private readonly BlockCsrMatrix _weight = matrix.ToBlocks();

        protected override string Name => $"{matrix.BlockRows}x1 block SpMV";

        public override long Bytes => 4L * (_weight.StoredCount + _weight.BlockCount + _weight.RowPointers.Length);

        protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => SpMV.Multiply(_weight, x, y, bias, clamp);
    }

    private sealed class BitmaskVector(CsrMatrix weight) : VectorKernel(weight.Columns, weight.Rows)
    {
        private readonly CompactMatrix _weight = Encode(weight);

        protected override string Name => "bit-mask SpMV";

        public override long Bytes => _weight.ByteCount;

        protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => Gemv.Multiply(_weight, x, y, bias, clamp);

        private static CompactMatrix Encode(CsrMatrix csr)
        {
            var dense = new float[checked(csr.Rows * csr.Columns)];
            csr.ToDense(dense);
            return CompactMatrix.FromMask(csr.ToMask(), dense, csr.Rows, csr.Columns, ValueKind.Float32);
        }
    }
}

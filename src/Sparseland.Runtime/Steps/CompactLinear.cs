using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A linear layer whose weight is held in 16, 8 or 4 bits, against one vector after the other.</summary>
/// <remarks>Integers take this path for many rows of input too, so that a sequence gives the same numbers whole and token by token.</remarks>
internal static class CompactLinear
{
    /// <summary>The kernel for a weight that is stored in few bits; null when it is not, or when its singles serve better.</summary>
    public static KernelChoice<LinearKernel>? TryChoose(Weight weight, bool transposed, int rows, StepContext context)
    {
        if (weight.Storage.Matrix is not { } stored || stored.Kind == ValueKind.Float32) return null;
        // bfloat16 widens exactly: products with many rows are those of the singles.
        if (stored.Kind == ValueKind.BFloat16 && rows > 1) return null;
        // A mask that was changed after loading.
        if (stored.StoredCount != (weight.Mask?.KeptCount ?? (stored.HasMask ? stored.StoredCount : weight.Length))) return null;
        // One choice for a session, also where kernels are timed: forms add up in orders of their own.
        return context.Prepared.Get(Key("choice"), Choose);

        string Key(string form) => $"{weight.Name}|compact|{transposed}|{form}";

        KernelChoice<LinearKernel> Choose()
        {
            CompactWeight prepared = context.Prepared.Get(Key("weight"), () => new CompactWeight(stored, transposed));
            int outputs = transposed ? stored.Rows : stored.Columns, inputs = transposed ? stored.Columns : stored.Rows;
            var candidates = new List<Candidate<LinearKernel>> { new(KernelKind.Dense, 1, Key("dense"), () => new Rows(prepared.Full()), "") };
            if (stored.HasMask)
            {
                candidates.Add(new(KernelKind.BitmaskVector, SparseCost.OfFewBits(stored.Density), Key("mask"), () => new Rows(prepared.Masked), ""));
                if (PreparedSpMV.IsFast(stored.Kind) && PreparedSpMV.Fits(prepared.Masked))
                    candidates.Add(new(KernelKind.CsrVector, SparseCost.OfWindows(prepared.WindowBytes, outputs, inputs, stored.Kind), Key("windows"), () => new Windows(prepared.Masked), ""));
            }
            var rules = new KernelRules(new KernelWork(context.CompactBytes) { Values = stored.Kind, Columns = inputs }, $" of {stored.Kind.ShortName()} in rows of {inputs}, {context.CompactBytes / 1e6:0.0} MB of few bits in the model");
            return KernelChooser.Choose(candidates, rules, stored.Density, weight.Length, context, kernel =>
            {
                var x = new float[inputs];
                Array.Fill(x, 0.5f);
                var y = new float[outputs];
                return () => kernel.Multiply(x, 1, y, default, default, Clamp.None);
            });
        }
    }

    /// <summary>A weight [outputs, inputs], and what its forms cost; found once for all plans of a session.</summary>
    private sealed class CompactWeight
    {
        private readonly CompactMatrix _stored;
        private readonly bool _transposed;
        private readonly Lazy<CompactMatrix> _masked;
        private readonly Lazy<long> _windowBytes;

        public CompactWeight(CompactMatrix stored, bool transposed)
        {
            (_stored, _transposed) = (stored, transposed);
            _masked = new Lazy<CompactMatrix>(() => transposed ? stored : Turned(stored, masked: true));
            _windowBytes = new Lazy<long>(() => PreparedSpMV.CountBytes(Masked));
        }

        /// <summary>With its mask: the matrix in the file where that is [outputs, inputs].</summary>
        public CompactMatrix Masked => _masked.Value;

        /// <summary>See <see cref="PreparedSpMV.CountBytes(CompactMatrix)"/>.</summary>
        public long WindowBytes => _windowBytes.Value;

        /// <summary>With a value for every entry.</summary>
        public CompactMatrix Full() => _transposed ? _stored.WithoutMask() : Turned(_stored, masked: false);

        private static CompactMatrix Turned(CompactMatrix stored, bool masked)
        {
            int rows = stored.Rows, columns = stored.Columns;
            var dense = new float[checked(rows * columns)];
            stored.ToDense(dense);
            var turned = new float[dense.Length];
            Permute.Transpose(dense, turned, 1, rows, columns);
            if (!masked) return CompactMatrix.FromDense(turned, columns, rows, stored.Kind);
            Mask mask = stored.ToMask();
            var kept = new bool[dense.Length];
            for (int r = 0; r < rows; r++)
            {
                for (int c = 0; c < columns; c++) kept[(c * rows) + r] = mask[(r * columns) + c];
            }
            return CompactMatrix.FromMask(Mask.FromFlags([columns, rows], kept), turned, columns, rows, stored.Kind);
        }
    }

    /// <summary>Row after row, with or without a mask.</summary>
    private sealed class Rows(CompactMatrix weight) : LinearKernel.VectorKernel(weight.Columns, weight.Rows)
    {
        protected override string Name => $"{weight.Kind.ShortName()} {(weight.HasMask ? "bit-mask" : "dense")} GEMV";

        public override long Bytes => weight.ByteCount;

        protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => Gemv.Multiply(weight, x, y, bias, clamp);
    }

    private sealed class Windows(CompactMatrix weight) : LinearKernel.VectorKernel(weight.Columns, weight.Rows)
    {
        private readonly PreparedSpMV _weight = new(weight);

        protected override string Name => $"{_weight.Kind.ShortName()} windowed SpMV";

        public override long Bytes => _weight.Bytes;

        protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => _weight.Multiply(x, y, bias, clamp);
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A linear layer whose weight is held in 16, 8 or 4 bits, against one vector after the other.</summary>
/// <remarks>Integers take this path for many rows of input too, so that a sequence gives the same numbers whole and token by token.</remarks>
internal sealed class CompactLinear : LinearKernel.VectorKernel
{
    // bfloat16 in windows is faster than under its mask up to this density (figure gemv).
    private const double WindowsUpTo = 0.3;

    private readonly CompactMatrix _weight;
    private readonly PreparedSpMV? _windows;

    private CompactLinear(CompactMatrix weight) : base(weight.Columns, weight.Rows)
    {
        _weight = weight;
        if (FitsWindows(weight)) _windows = new PreparedSpMV(Csr(weight), ValueKind.BFloat16);
    }

    public override string Name => _windows is null ? $"{_weight.Kind.ShortName()} {(_weight.HasMask ? "bit-mask" : "dense")} GEMV" : "bf16 windowed SpMV";

    protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp)
    {
        if (_windows is null) Gemv.Multiply(_weight, x, y, bias, clamp);
        else _windows.Multiply(x, y, bias, clamp);
    }

    /// <summary>The kernel for a weight that is stored in few bits; null when it is not, or when its singles serve better.</summary>
    public static KernelChoice<LinearKernel>? TryChoose(Weight weight, bool transposed, int rows, StepContext context)
    {
        if (weight.Storage.Matrix is not { } stored || stored.Kind == ValueKind.Float32) return null;
        // bfloat16 widens exactly: products with many rows are those of the singles.
        if (stored.Kind == ValueKind.BFloat16 && rows > 1) return null;
        // A mask that was changed after loading.
        if (stored.StoredCount != (weight.Mask?.KeptCount ?? (stored.HasMask ? stored.StoredCount : weight.Length))) return null;
        if (stored.HasMask && context.Options.AutoTune && !context.Options.ForceDense) return Timed(stored, weight, transposed, context);
        int columns = transposed ? stored.Columns : stored.Rows;
        BreakEvenTable table = context.Options.BreakEven;
        double density = stored.Density, cost = Cost(stored, transposed), breakEven = table.For(KernelKind.BitmaskVector, context.CompactBytes, stored.Kind, columns);
        bool masked = stored.HasMask && !context.Options.ForceDense && table.Speedup(KernelKind.BitmaskVector, context.CompactBytes, cost, stored.Kind, columns) >= BreakEvenTable.Margin;
        string reason = !stored.HasMask ? ""
            : context.Options.ForceDense ? "dense was asked for"
            : $"density {density:0.000}, cost {cost:0.000} {(masked ? "" : "not ")}below break-even {breakEven:0.00} / {BreakEvenTable.Margin} of {stored.Kind.ShortName()} in rows of {columns}, {context.CompactBytes / 1e6:0.0} MB of few bits in the model ({table.Origin})";
        return new KernelChoice<LinearKernel>(Prepare(stored, weight, transposed, masked, context), masked ? KernelKind.BitmaskVector : KernelKind.Dense, density, reason);
    }

    private static bool FitsWindows(CompactMatrix weight) => weight.HasMask && weight.Kind == ValueKind.BFloat16 && weight.Density <= WindowsUpTo && UsesWindows;

    private static CsrMatrix Csr(CompactMatrix weight)
    {
        var dense = new float[weight.Rows * weight.Columns];
        weight.ToDense(dense);
        return CsrMatrix.FromMask(weight.ToMask(), dense, weight.Rows, weight.Columns);
    }

    // Windows cost their places, whose price in dense work is that of the mask's cost or less.
    private static double Cost(CompactMatrix weight, bool transposed)
    {
        if (!FitsWindows(weight)) return SparseCost.OfFewBits(weight.Density);
        CompactMatrix oriented = Oriented(weight, transposed, masked: true);
        return SparseCost.OfWindows(PreparedSpMV.CountSteps(Csr(oriented)), oriented.Rows, oriented.Columns);
    }

    // All values and the mask, in turn.
    private static KernelChoice<LinearKernel> Timed(CompactMatrix stored, Weight weight, bool transposed, StepContext context)
    {
        LinearKernel[] kernels = [Prepare(stored, weight, transposed, masked: false, context), Prepare(stored, weight, transposed, masked: true, context)];
        var x = new float[kernels[0].Inputs];
        Array.Fill(x, 0.5f);
        var y = new float[kernels[0].Outputs];
        double[] times = KernelTimer.Best(KernelChooser.TuningMilliseconds, [.. kernels.Select(k => (Action)(() => k.Multiply(x, 1, y, default, default, Clamp.None)))]);
        // Within noise all values stay.
        bool masked = times[1] < times[0] / 1.05;
        KernelKind kind = masked ? KernelKind.BitmaskVector : KernelKind.Dense;
        return new KernelChoice<LinearKernel>(kernels[masked ? 1 : 0], kind, stored.Density, $"timed: {KernelKind.Dense} {times[0]:0} us, {KernelKind.BitmaskVector} {times[1]:0} us");
    }

    private static LinearKernel Prepare(CompactMatrix stored, Weight weight, bool transposed, bool masked, StepContext context) =>
        context.Prepared.Get<LinearKernel>($"{weight.Name}|compact|{transposed}|{masked}", () => new CompactLinear(Oriented(stored, transposed, masked)));

    /// <summary>The matrix [outputs, inputs], with or without its mask: the one in the file where it is that.</summary>
    private static CompactMatrix Oriented(CompactMatrix stored, bool transposed, bool masked)
    {
        if (transposed) return masked ? stored : stored.WithoutMask();
        int rows = stored.Rows, columns = stored.Columns;
        var dense = new float[rows * columns];
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

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
    // Rows of 4-bit values with fewer columns spend their time on scales and sums: at 768 columns and 10 % density the mask took 1.2 times as long as all values in a model of 98 million weights.
    private const int ShortRow = 2048;

    private readonly CompactMatrix _weight;

    private CompactLinear(CompactMatrix weight) : base(weight.Columns, weight.Rows) => _weight = weight;

    public override string Name => $"{_weight.Kind.ShortName()} {(_weight.HasMask ? "bit-mask" : "dense")} GEMV";

    protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => Gemv.Multiply(_weight, x, y, bias, clamp);

    /// <summary>The kernel for a weight that is stored in few bits; null when it is not, or when its singles serve better.</summary>
    public static KernelChoice<LinearKernel>? TryChoose(Weight weight, bool transposed, int rows, StepContext context)
    {
        if (weight.Storage.Matrix is not { } stored || stored.Kind == ValueKind.Float32) return null;
        // bfloat16 widens exactly: products with many rows are those of the singles.
        if (stored.Kind == ValueKind.BFloat16 && rows > 1) return null;
        // A mask that was changed after loading.
        if (stored.StoredCount != (weight.Mask?.KeptCount ?? (stored.HasMask ? stored.StoredCount : weight.Length))) return null;
        double density = stored.Density, breakEven = BreakEven(stored.Kind);
        int columns = transposed ? stored.Columns : stored.Rows;
        bool isShort = stored.Kind == ValueKind.Int4 && columns < ShortRow;
        if (stored.HasMask && context.Options.AutoTune && !context.Options.ForceDense) return Timed(stored, weight, transposed, context);
        bool masked = stored.HasMask && UsesWindows && !isShort && density <= breakEven && !context.Options.ForceDense;
        string reason = !stored.HasMask ? ""
            : masked ? $"density {density:0.000} below break-even {breakEven:0.00}"
            : context.Options.ForceDense ? "dense was asked for"
            : !UsesWindows ? "masks over values of few bits are taken where they were measured, with 512-bit registers"
            : isShort ? $"rows of {columns} columns are too short for a mask over 4-bit values"
            : $"density {density:0.000} is not below break-even {breakEven:0.00}";
        return new KernelChoice<LinearKernel>(Prepare(stored, weight, transposed, masked, context), masked ? KernelKind.BitmaskVector : KernelKind.Dense, density, reason);
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

    /// <summary>Below which density the bit-mask is taken over all values of the same type.</summary>
    /// <remarks>
    /// From the figure <c>gemv</c> on one machine (Zen 4, AVX-512), matrices of 4096 x 4096 in memory, one thread and two: at 50 % density int8 is 1.2 times and bfloat16 1.3 to 1.4 times as fast as dense,
    /// int4 0.95 times; at 30 % int4 is 1.4 times, in rows of 2048 columns or more. Elsewhere nothing was measured and all values are taken. The table of break-even points knows single precision only; <see cref="SessionOptions.AutoTune"/> times both.
    /// </remarks>
    private static double BreakEven(ValueKind kind) => kind == ValueKind.Int4 ? 0.3 : 0.5;

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

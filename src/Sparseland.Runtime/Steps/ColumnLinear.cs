using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A full linear layer against one vector behind a rectifier, stored by columns: those beside zeros are not read.</summary>
internal sealed class ColumnLinear : LinearKernel.VectorKernel
{
    // Smaller weights stay in a core's second cache, where what skipping costs shows; memory is what it saves.
    private const long LeastBytes = 4 << 20;

    private readonly float[] _columns;

    private ColumnLinear(float[] columns, int inputs, int outputs) : base(inputs, outputs) => _columns = columns;

    public override string Name => "dense GEMV by columns";

    protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => ColumnGemv.Multiply(_columns, x, 0, y, bias, clamp);

    /// <summary>The kernel for a weight without zeros whose input has some; null for any other.</summary>
    public static KernelChoice<LinearKernel>? TryChoose(Weight weight, bool transposed, double density, StepContext context, string input)
    {
        if (density < 0.95 || context.Options.ForceDense || (long)weight.Length * sizeof(float) < LeastBytes || !context.IsRectified(input)) return null;
        LinearKernel kernel = context.Prepared.Get<LinearKernel>($"{weight.Name}|columns|{transposed}", () =>
        {
            int inputs = weight.Shape[transposed ? 1 : 0], outputs = weight.Shape[transposed ? 0 : 1];
            float[] values = weight.Read().Array<float>();
            if (!transposed) return new ColumnLinear(values, inputs, outputs);
            var columns = new float[values.Length];
            Permute.Transpose(values, columns, 1, outputs, inputs);
            return new ColumnLinear(columns, inputs, outputs);
        });
        return new KernelChoice<LinearKernel>(kernel, KernelKind.Dense, density, "behind a rectifier: columns beside zeros are skipped");
    }
}

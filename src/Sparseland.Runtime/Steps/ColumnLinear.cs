using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A full linear layer against one vector behind a rectifier, stored by columns: those beside zeros are not read.</summary>
internal sealed class ColumnLinear : LinearKernel.VectorKernel
{
    // As in the smallest layer that break-even points are measured with. Fewer are one part for one thread, and short runs of memory.
    private const int LeastOutputs = 512;

    private readonly ReadOnlyMemory<float> _columns;

    private ColumnLinear(ReadOnlyMemory<float> columns, int inputs, int outputs) : base(inputs, outputs)
    {
        _columns = columns;
        LargePages.Ask(columns.Span);
    }

    protected override string Name => "dense GEMV by columns";

    public override long Bytes => (long)_columns.Length * sizeof(float);

    protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => ColumnGemv.Multiply(_columns.Span, x, 0, y, bias, clamp);

    /// <summary>Whether a full weight's columns may be worth skipping.</summary>
    public static bool Suits(int outputs, string input, StepContext context) => outputs >= LeastOutputs && context.IsRectified(input);

    /// <summary>Prepares a weight [inputs, outputs], or [outputs, inputs] when transposed.</summary>
    public static LinearKernel Of(Weight weight, bool transposed)
    {
        int inputs = weight.Shape[transposed ? 1 : 0], outputs = weight.Shape[transposed ? 0 : 1];
        float[] values = weight.Read().Array<float>();
        if (!transposed) return new ColumnLinear(values, inputs, outputs);
        Memory<float> columns = LineMemory.Allocate<float>(values.Length);
        Permute.Transpose(values, columns.Span, 1, outputs, inputs);
        return new ColumnLinear(columns, inputs, outputs);
    }
}

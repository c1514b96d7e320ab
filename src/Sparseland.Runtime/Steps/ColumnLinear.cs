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

    private readonly PreparedColumns _columns;

    private ColumnLinear(PreparedColumns columns) : base(columns.Inputs, columns.Outputs) => _columns = columns;

    protected override string Name => "dense GEMV by columns";

    public override long Bytes => _columns.Bytes;

    protected override void Product(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp clamp) => _columns.Multiply(x, 0, y, bias, clamp);

    /// <summary>Whether a full weight's columns may be worth skipping.</summary>
    public static bool Suits(int outputs, string input, StepContext context) => outputs >= LeastOutputs && context.IsRectified(input);

    /// <summary>Prepares a weight [inputs, outputs], or [outputs, inputs] when transposed.</summary>
    public static LinearKernel Of(Weight weight, bool transposed)
    {
        int inputs = weight.Shape[transposed ? 1 : 0], outputs = weight.Shape[transposed ? 0 : 1];
        float[] values = weight.Read().Array<float>();
        return new ColumnLinear(transposed ? PreparedColumns.FromRows(values, outputs, inputs) : PreparedColumns.FromColumns(values, inputs, outputs));
    }
}

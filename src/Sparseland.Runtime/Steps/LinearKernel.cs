using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Steps;

/// <summary>A prepared weight of a linear layer and the product with it.</summary>
internal abstract class LinearKernel(int inputs, int outputs, double density)
{
    public int Inputs { get; } = inputs;

    public int Outputs { get; } = outputs;

    /// <summary>Kept fraction of the weight.</summary>
    public double Density { get; } = density;

    /// <summary>As the plan prints it.</summary>
    public abstract string Name { get; }

    /// <summary>Why this kernel was chosen.</summary>
    public string Reason { get; protected init; } = "";

    /// <summary>y [rows, Outputs] = clamp(x [rows, Inputs] w + bias + beta y).</summary>
    public abstract void Multiply(ReadOnlySpan<float> x, int rows, Span<float> y, ReadOnlySpan<float> bias, float beta, Clamp clamp);

    /// <summary>Chooses the kernel for a weight.</summary>
    /// <param name="weight">[Inputs, Outputs], or [Outputs, Inputs] when transposed.</param>
    /// <param name="transposed">Whether the weight is stored [Outputs, Inputs].</param>
    /// <param name="rows">Rows of x.</param>
    /// <param name="options">The session's options.</param>
    public static LinearKernel Choose(Weight weight, bool transposed, int rows, SessionOptions options) => new DenseLinearKernel(weight, transposed);

    private sealed class DenseLinearKernel : LinearKernel
    {
        private readonly PackedMatrix _weight;

        public DenseLinearKernel(Weight weight, bool transposed)
            : base(transposed ? weight.Shape[1] : weight.Shape[0], transposed ? weight.Shape[0] : weight.Shape[1], weight.Read().NonZeros().Density)
        {
            _weight = PackedMatrix.Right(transposed, Inputs, Outputs, weight.Read().Span<float>(), transposed ? Inputs : Outputs);
        }

        public override string Name => "dense packed GEMM";

        public override void Multiply(ReadOnlySpan<float> x, int rows, Span<float> y, ReadOnlySpan<float> bias, float beta, Clamp clamp) =>
            Gemm.Multiply(false, rows, x, Inputs, _weight, beta, y, Outputs, default, bias, clamp);
    }
}

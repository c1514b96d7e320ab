using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Steps;

/// <summary>A prepared convolution weight and the convolution with it.</summary>
internal abstract class ConvolutionKernel(Convolution2D geometry, double density)
{
    public Convolution2D Geometry { get; } = geometry;

    /// <summary>Kept fraction of the weight.</summary>
    public double Density { get; } = density;

    /// <summary>As the plan prints it.</summary>
    public abstract string Name { get; }

    /// <summary>Why this kernel was chosen.</summary>
    public string Reason { get; protected init; } = "";

    /// <summary>output = clamp(weight * input + bias + residual).</summary>
    public abstract void Forward(ReadOnlySpan<float> input, ReadOnlySpan<float> bias, Span<float> output, Clamp clamp, ReadOnlySpan<float> residual);

    /// <summary>Chooses the kernel for a weight [outChannels, inChannels / groups, kernelHeight, kernelWidth].</summary>
    public static ConvolutionKernel Choose(Weight weight, Convolution2D geometry, SessionOptions options) => new DenseConvolutionKernel(weight, geometry);

    private sealed class DenseConvolutionKernel(Weight weight, Convolution2D geometry)
        : ConvolutionKernel(geometry, weight.Read().NonZeros().Density)
    {
        private readonly PackedConvolution _weight = geometry.Pack(weight.Read().Span<float>());

        public override string Name => "dense packed convolution";

        public override void Forward(ReadOnlySpan<float> input, ReadOnlySpan<float> bias, Span<float> output, Clamp clamp, ReadOnlySpan<float> residual) =>
            Geometry.Forward(input, _weight, bias, output, clamp.IsNone ? null : clamp, residual);
    }
}

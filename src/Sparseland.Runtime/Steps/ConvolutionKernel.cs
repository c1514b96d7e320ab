using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A prepared convolution weight and the convolution with it.</summary>
internal abstract class ConvolutionKernel
{
    /// <summary>As the plan prints it.</summary>
    public abstract string Name { get; }

    /// <summary>Whether planes may lie apart, and whether they may where there is no residual.</summary>
    public abstract bool TakesSpacing { get; }

    public abstract bool TakesSpacingAlone { get; }

    /// <summary>output = clamp(weight * input + bias + residual).</summary>
    public abstract void Forward(in Convolution2D geometry, ReadOnlySpan<float> input, ReadOnlySpan<float> bias, Span<float> output, Clamp clamp, ReadOnlySpan<float> residual, PlaneSpacing spacing);

    /// <summary>Chooses the kernel for a weight [outChannels, inChannels / groups, kernelHeight, kernelWidth].</summary>
    public static KernelChoice<ConvolutionKernel> Choose(Weight weight, Convolution2D geometry, StepContext context)
    {
        WeightMatrix matrix = context.Prepared.Matrix(weight, transposed: false);
        // The batch and the image size do not enter the sparse weight; the dense one is packed for its geometry.
        Convolution2D g = geometry;
        string layer = $"{g.StrideY},{g.StrideX},{g.PadTop},{g.PadLeft},{g.PadBottom},{g.PadRight},{g.DilationY},{g.DilationX},{g.Groups}";
        long pixels = (long)geometry.OutHeight * geometry.OutWidth;
        bool depthwise = geometry.HasDepthwiseKernel;
        double cost = depthwise
            ? SparseCost.OfDepthwise(matrix.Density)
            : SparseCost.Of(matrix.Density, Math.Max(1, geometry.OutChannels / Math.Max(1, geometry.Groups)), pixels);
        Candidate<ConvolutionKernel>[] candidates =
        [
            new(KernelKind.Dense, 1, $"{weight.Name}|dense|{layer}|{g.Batch},{g.Height},{g.Width}", () => new DenseConvolution(weight, geometry), ""),
            new(depthwise ? KernelKind.Depthwise : KernelKind.Convolution, cost, $"{weight.Name}|sparse|{layer}", () => new SparseConvolution(matrix.Csr, geometry), ""),
        ];
        return KernelChooser.Choose(candidates, new KernelRules(pixels), matrix.Density, geometry.MultiplyAdds, context, kernel =>
        {
            var x = new float[geometry.InputLength];
            Array.Fill(x, 0.5f);
            var y = new float[geometry.OutputLength];
            return () => kernel.Forward(geometry, x, default, y, Clamp.None, default, PlaneSpacing.None);
        });
    }

    private sealed class DenseConvolution(Weight weight, Convolution2D geometry) : ConvolutionKernel
    {
        private readonly PackedConvolution _weight = geometry.Pack(weight.Read().Span<float>());

        public override string Name => "dense packed convolution";

        public override bool TakesSpacing => false;

        public override bool TakesSpacingAlone => _weight.TakesSpacing;

        public override void Forward(in Convolution2D geometry, ReadOnlySpan<float> input, ReadOnlySpan<float> bias, Span<float> output, Clamp clamp, ReadOnlySpan<float> residual, PlaneSpacing spacing) =>
            geometry.Forward(input, _weight, bias, output, clamp.IsNone ? null : clamp, residual, spacing);
    }

    private sealed class SparseConvolution(CsrMatrix weight, Convolution2D geometry) : ConvolutionKernel
    {
        private readonly PreparedSparseConvolution _weight = new(new SparseConvolutionShape(geometry.InChannels, geometry.OutChannels, geometry.KernelHeight, geometry.KernelWidth)
        {
            StrideHeight = geometry.StrideY,
            StrideWidth = geometry.StrideX,
            DilationHeight = geometry.DilationY,
            DilationWidth = geometry.DilationX,
            PadTop = geometry.PadTop,
            PadLeft = geometry.PadLeft,
            PadBottom = geometry.PadBottom,
            PadRight = geometry.PadRight,
            Groups = geometry.Groups,
        }, weight);

        public override string Name => "sparse convolution";

        public override bool TakesSpacing => true;

        public override bool TakesSpacingAlone => true;

        public override void Forward(in Convolution2D geometry, ReadOnlySpan<float> input, ReadOnlySpan<float> bias, Span<float> output, Clamp clamp, ReadOnlySpan<float> residual, PlaneSpacing spacing) =>
            _weight.Forward(input, geometry.Batch, geometry.Height, geometry.Width, output, bias, residual, clamp, spacing);
    }
}

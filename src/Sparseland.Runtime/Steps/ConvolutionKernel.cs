using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A prepared convolution weight and the convolution with it.</summary>
internal abstract class ConvolutionKernel
{
    /// <summary>What runs for images of a geometry, as the plan prints it.</summary>
    public abstract string NameFor(in Convolution2D geometry);

    /// <summary>Bytes of the prepared weight so far: code is written when it is first needed.</summary>
    public abstract long Bytes { get; }

    /// <summary>Whether planes may lie apart, and whether they may where there is no residual.</summary>
    public abstract bool TakesSpacing { get; }

    public abstract bool TakesSpacingAlone { get; }

    /// <summary>Whether input or output of a single image without residual may lie in halves.</summary>
    public abstract bool TakesHalves(in Convolution2D geometry, bool isInput);

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
        SparseConvolutionShape shape = ShapeOf(geometry);
        (KernelKind kind, double cost) = KindAndCost(geometry, shape, matrix.Density, matrix.BlockRows);
        Candidate<ConvolutionKernel>[] candidates =
        [
            new(KernelKind.Dense, 1, $"{weight.Name}|dense|{layer}|{g.Batch},{g.Height},{g.Width}", () => new DenseConvolution(weight, geometry), ""),
            new(kind, cost, $"{weight.Name}|sparse|{layer}", () => new SparseConvolution(matrix.Csr, shape), kind == KernelKind.ConvolutionBlock ? $"{matrix.BlockRows}x1 blocks, " : matrix.Note),
        ];
        if (!PreparedSparseConvolution.Fits(shape, geometry.Height, geometry.Width)) candidates = candidates[..1];
        return KernelChooser.Choose(candidates, new KernelRules(new KernelWork(pixels) { BlockRows = matrix.BlockRows, Images = geometry.Batch, Columns = shape.WeightsPerOutput }, RulesText(kind, geometry), Uncertainty(kind, geometry)), matrix.Density, geometry.MultiplyAdds, context, kernel =>
        {
            var x = new float[geometry.InputLength];
            Array.Fill(x, 0.5f);
            var y = new float[geometry.OutputLength];
            return () => kernel.Forward(geometry, x, default, y, Clamp.None, default, PlaneSpacing.None);
        });
    }

    /// <summary>Which rules a sparse convolution has, and what it is expected to cost.</summary>
    public static (KernelKind Kind, double Cost) KindAndCost(in Convolution2D geometry, SparseConvolutionShape shape, double density, int blockRows)
    {
        long pixels = (long)geometry.OutHeight * geometry.OutWidth;
        int outputs = Math.Max(1, geometry.OutChannels / Math.Max(1, geometry.Groups));
        if (geometry.HasDepthwiseKernel) return (KernelKind.Depthwise, SparseCost.OfDepthwise(density));
        if (blockRows > 1 && outputs % blockRows == 0 && PreparedSparseConvolution.HasTiles(shape)) return (KernelKind.ConvolutionBlock, SparseCost.Of(density, outputs, pixels, blockRows));
        if (geometry.Groups > 1) return (KernelKind.Grouped, SparseCost.OfGroups(density, outputs, Math.Max(1, shape.WeightsPerOutput), geometry.KernelHeight * geometry.KernelWidth, geometry.StrideY * geometry.StrideX));
        return (PreparedSparseConvolution.ReadsImage(shape) ? KernelKind.Pointwise : KernelKind.Convolution, SparseCost.Of(density, outputs, pixels, weights: (long)outputs * shape.WeightsPerOutput));
    }

    // How far rules may be from the truth, which no class of shapes foretells better. Groups: the dense kernel wastes registers on few outputs. Blocks with strides: what laying out images costs depends on how many inputs an output has
    // (Zen 4, 3 x 3, 512 to 64 channels of 14 x 14 with stride 2, 8 x 1 blocks at a density of 0.2: 1.1 to 1.7 times the dense time, where rules expect a quarter of it).
    // Batches of images of few pixels: dense kernels fill their registers with them anyhow or not at all (3x3, 64 to 64 channels, 9 images of 4 x 4 pixels: 58 GFLOP/s of 216, where a neighbour of its class has three times that; Zen 5).
    private static double Uncertainty(KernelKind kind, in Convolution2D geometry)
    {
        const long fewPixels = 16;
        if (kind == KernelKind.Depthwise) return 1;
        if (geometry.Groups > 1 || (kind == KernelKind.ConvolutionBlock && geometry.StrideY * geometry.StrideX > 1)) return 5;
        return geometry.Batch > 1 && (long)geometry.OutHeight * geometry.OutWidth <= fewPixels ? 3 : 1;
    }

    private static string RulesText(KernelKind kind, in Convolution2D geometry) =>
        $" of {kind switch { KernelKind.Depthwise => "depthwise", KernelKind.ConvolutionBlock => "block", KernelKind.Grouped => $"grouped ({geometry.Groups})", KernelKind.Pointwise => "1x1", _ => $"{geometry.KernelHeight}x{geometry.KernelWidth}" }} convolutions{(geometry.Batch > 1 ? $" of {geometry.Batch} images" : "")}";

    private static SparseConvolutionShape ShapeOf(in Convolution2D geometry) => new(geometry.InChannels, geometry.OutChannels, geometry.KernelHeight, geometry.KernelWidth)
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
    };

    private sealed class DenseConvolution(Weight weight, Convolution2D geometry) : ConvolutionKernel
    {
        private readonly PackedConvolution _weight = geometry.Pack(weight.Read().Span<float>());

        public override string NameFor(in Convolution2D geometry) => "dense packed convolution";

        public override long Bytes => _weight.Bytes;

        public override bool TakesSpacing => false;

        public override bool TakesSpacingAlone => _weight.TakesSpacing;

        public override bool TakesHalves(in Convolution2D geometry, bool isInput) => _weight.TakesHalves;

        public override void Forward(in Convolution2D geometry, ReadOnlySpan<float> input, ReadOnlySpan<float> bias, Span<float> output, Clamp clamp, ReadOnlySpan<float> residual, PlaneSpacing spacing) =>
            geometry.Forward(input, _weight, bias, output, clamp.IsNone ? null : clamp, residual, spacing);
    }

    private sealed class SparseConvolution(CsrMatrix weight, SparseConvolutionShape shape) : ConvolutionKernel
    {
        private readonly PreparedSparseConvolution _weight = new(shape, weight);

        public override string NameFor(in Convolution2D geometry) => _weight.FormOf(geometry.Batch, geometry.Height, geometry.Width) switch
        {
            SparseForm.Compiled => "compiled sparse convolution",
            SparseForm.Counted => "counted sparse convolution",
            SparseForm.Shifted => "shifted sparse convolution",
            SparseForm.Tiles => "tiled sparse convolution",
            SparseForm.Depthwise => "depthwise sparse convolution",
            _ => "sparse convolution",
        };

        public override long Bytes => _weight.PreparedBytes;

        public override bool TakesSpacing => true;

        public override bool TakesSpacingAlone => true;

        public override bool TakesHalves(in Convolution2D geometry, bool isInput) => _weight.TakesHalves(geometry.Height, geometry.Width, isInput);

        public override void Forward(in Convolution2D geometry, ReadOnlySpan<float> input, ReadOnlySpan<float> bias, Span<float> output, Clamp clamp, ReadOnlySpan<float> residual, PlaneSpacing spacing) =>
            _weight.Forward(input, geometry.Batch, geometry.Height, geometry.Width, output, bias, residual, clamp, spacing);
    }
}

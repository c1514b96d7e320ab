using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <content>Which kernel runs.</content>
public sealed partial class PreparedSparseConvolution
{
    /// <summary>Whether blocks of a convolution of this kind would be multiplied as tiles on this machine. They are where a weight has them, that is, where whole blocks of 4 or more outputs of a group are kept or removed, and where results have more pixels than a register has lanes (16, or 8 with AVX2): both this does not look at.</summary>
    /// <param name="shape">The convolution.</param>
    public static bool HasTiles(SparseConvolutionShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        return TileCode.IsUsable && shape.Groups < shape.OutChannels;
    }

    /// <summary>Whether a convolution reads images where they are: 1 x 1, without stride and padding.</summary>
    /// <param name="shape">The convolution.</param>
    public static bool ReadsImage(SparseConvolutionShape shape)
    {
        ArgumentNullException.ThrowIfNull(shape);
        return shape is { KernelHeight: 1, KernelWidth: 1, StrideHeight: 1, StrideWidth: 1, PadTop: 0, PadLeft: 0, PadBottom: 0, PadRight: 0 };
    }

    /// <summary>How forward passes without a residual are computed on this machine (with one, a depthwise convolution runs as the others do); what they need is prepared as by the first of them.</summary>
    /// <param name="batch">Images, at least 0.</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Columns of an image.</param>
    public SparseForm FormOf(int batch, int height, int width)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        if (IsDepthwise(batch, height, width) is not null) return SparseForm.Depthwise;
        ConvolutionPlan plan = GetPlan(height, width);
        if (GetTiled(plan) is not null) return SparseForm.Tiles;
        bool sharesImages = batch >= BatchWorthSharing;
        if (sharesImages && plan.Forward.GetShiftedRows(plan.Input) is not null) return SparseForm.Shifted;
        return plan.Forward.GetCompiled(_version, sharesImages ? plan.Input : null)?.Form ?? SparseForm.Loops;
    }

    /// <summary>The geometry for the kernel of depthwise convolutions; null where that does not fit.</summary>
    private Convolution2D? IsDepthwise(int batch, int height, int width)
    {
        SparseConvolutionShape s = Shape;
        if (s.Groups != s.InChannels || height < 0 || width < 0 || batch < 0) return null;
        var geometry = new Convolution2D(batch, s.InChannels, height, width, s.OutChannels, s.KernelHeight, s.KernelWidth)
        {
            StrideY = s.StrideHeight,
            StrideX = s.StrideWidth,
            DilationY = s.DilationHeight,
            DilationX = s.DilationWidth,
            PadTop = s.PadTop,
            PadLeft = s.PadLeft,
            PadBottom = s.PadBottom,
            PadRight = s.PadRight,
            Groups = s.Groups,
        };
        return DepthwiseKernel.Fits(geometry) ? geometry : null;
    }
}

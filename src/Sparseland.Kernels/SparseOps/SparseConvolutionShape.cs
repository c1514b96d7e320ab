using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Everything about a 2-D convolution except the image size; weights [outChannels, inChannels/groups, kernelHeight, kernelWidth].</summary>
/// <param name="InChannels">Channels of the input.</param>
/// <param name="OutChannels">Channels of the output.</param>
/// <param name="KernelHeight">Rows of the kernel.</param>
/// <param name="KernelWidth">Columns of the kernel.</param>
public sealed record SparseConvolutionShape(int InChannels, int OutChannels, int KernelHeight, int KernelWidth)
{
    /// <summary>Vertical step between outputs.</summary>
    public int StrideHeight { get; init; } = 1;

    /// <summary>Horizontal step between outputs.</summary>
    public int StrideWidth { get; init; } = 1;

    /// <summary>Vertical distance of kernel taps.</summary>
    public int DilationHeight { get; init; } = 1;

    /// <summary>Horizontal distance of kernel taps.</summary>
    public int DilationWidth { get; init; } = 1;

    /// <summary>Zero rows above the image; negative crops.</summary>
    public int PadTop { get; init; }

    /// <summary>Zero columns left of the image; negative crops.</summary>
    public int PadLeft { get; init; }

    /// <summary>Zero rows below the image; negative crops.</summary>
    public int PadBottom { get; init; }

    /// <summary>Zero columns right of the image; negative crops.</summary>
    public int PadRight { get; init; }

    /// <summary>Groups: group g of the outputs sees group g of the inputs only.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Weights of one output channel: inChannels/groups * kernelHeight * kernelWidth.</summary>
    public int WeightsPerOutput => InChannels / Groups * KernelHeight * KernelWidth;

    /// <summary>Rows of the output for an image of <paramref name="height"/> rows; 0 when the kernel does not fit.</summary>
    public int OutHeight(int height) => Out((long)height + PadTop + PadBottom, KernelHeight, DilationHeight, StrideHeight);

    /// <summary>Columns of the output for an image of <paramref name="width"/> columns; 0 when the kernel does not fit.</summary>
    public int OutWidth(int width) => Out((long)width + PadLeft + PadRight, KernelWidth, DilationWidth, StrideWidth);

    /// <summary>Throws unless all sizes are positive and no larger than <see cref="Convolution2D.LargestSide"/>, and groups divide both channel counts.</summary>
    /// <exception cref="ArgumentException">A size is out of range.</exception>
    public void Validate()
    {
        if (InChannels < 1 || OutChannels < 1 || KernelHeight < 1 || KernelWidth < 1 || StrideHeight < 1 || StrideWidth < 1 || DilationHeight < 1 || DilationWidth < 1 || Groups < 1)
            throw new ArgumentException($"Channels, kernel, strides, dilations and groups are at least 1: {this}.");
        if (InChannels % Groups != 0 || OutChannels % Groups != 0)
            throw new ArgumentException($"{Groups} groups do not divide {InChannels} input and {OutChannels} output channels.");
        if ((long)(InChannels / Groups) * KernelHeight * KernelWidth > int.MaxValue) throw new ArgumentException($"The weights of one output are more than an array holds: {this}.");
        RequireSides(1, 1);
    }

    /// <summary>Throws unless images of this size are small enough for shifts in 32 bits.</summary>
    /// <exception cref="ArgumentException">They are not.</exception>
    internal void RequireImage(int height, int width)
    {
        RequireSides(height, width);
        Convolution2D.RequirePlane(Convolution2D.RequirePlane(1, Side(height, PadTop, PadBottom, KernelHeight, DilationHeight)), Side(width, PadLeft, PadRight, KernelWidth, DilationWidth));
    }

    private void RequireSides(int height, int width)
    {
        Convolution2D.RequireSides(height, KernelHeight, StrideHeight, DilationHeight, PadTop, PadBottom);
        Convolution2D.RequireSides(width, KernelWidth, StrideWidth, DilationWidth, PadLeft, PadRight);
    }

    // Planes are as long as taps reach even where no window fits.
    private static int Side(int size, int before, int after, int kernel, int dilation) => Math.Max(Math.Max(size, size + before + after), (kernel - 1) * dilation + 1);

    private static int Out(long padded, int kernel, int dilation, int stride)
    {
        long reach = (long)(kernel - 1) * dilation + 1;
        return padded < reach ? 0 : checked((int)((padded - reach) / stride + 1));
    }
}

namespace Sparseland.Kernels.SparseOps;

/// <summary>The weight gradient of a sparse convolution over a batch: sums over images, in groups of units of images that lie side by side.</summary>
internal unsafe struct WeightGradientWork
{
    public ConvolutionPlan Plan;
    public SparseConvolutionShape Shape;

    /// <summary>Images of the call, and how many lie side by side.</summary>
    public int Batch, Images;

    /// <summary>Units of images, and the groups in which they are summed.</summary>
    public int Units, Groups;

    /// <summary>The weight's structure: [outChannels + 1], [stored].</summary>
    public int* RowPointers, Columns;

    /// <summary>Number of stored weights.</summary>
    public int Stored;

    /// <summary>[batch, channels, height, width] of the layer.</summary>
    public float* Input, OutputGradient;

    /// <summary>[groups, stored]; overwritten.</summary>
    public float* Sums;

    /// <summary>What is read of a unit.</summary>
    public readonly (PlaneRequests Input, PlaneRequests Gradient) PlanesOf(int unit)
    {
        int first = unit * Images, images = Math.Min(Images, Batch - first), input = Plan.Height * Plan.Width, gradient = Plan.OutHeight * Plan.OutWidth;
        return (new PlaneRequests { First = Input + ((nint)first * Shape.InChannels * input), Stride = input, Planes = images * Shape.InChannels, Count = input },
            new PlaneRequests { First = OutputGradient + ((nint)first * Shape.OutChannels * gradient), Stride = gradient, Planes = images * Shape.OutChannels, Count = gradient });
    }
}

using System.Numerics.Tensors;

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

    /// <summary>Computes the sums of a group that are NaN once more, from the products of the definition alone: zeros of padding and of gaps between rows may have met what is not finite.</summary>
    /// <param name="group">Which group.</param>
    /// <param name="sums">[stored], as the group's products gave them.</param>
    public readonly void LeaveOutZeros(int group, float* sums)
    {
        if (!TensorPrimitives.IsNaNAny<float>(new ReadOnlySpan<float>(sums, Stored))) return;
        int first = (int)((long)group * Units / Groups) * Images, end = Math.Min((int)((long)(group + 1) * Units / Groups) * Images, Batch);
        for (int o = 0; o < Shape.OutChannels; o++)
        {
            for (int j = RowPointers[o]; j < RowPointers[o + 1]; j++)
            {
                if (float.IsNaN(sums[j])) sums[j] = Sum(o, Columns[j], first, end);
            }
        }
    }

    // A sum that is NaN stays so: the rest of it is not looked at.
    private readonly float Sum(int output, int column, int firstImage, int endImage)
    {
        int taps = Shape.KernelHeight * Shape.KernelWidth, tap = column % taps, channel = (output / (Shape.OutChannels / Shape.Groups) * (Shape.InChannels / Shape.Groups)) + (column / taps);
        int down = (tap / Shape.KernelWidth * Shape.DilationHeight) - Shape.PadTop, across = (tap % Shape.KernelWidth * Shape.DilationWidth) - Shape.PadLeft;
        float sum = 0;
        for (int image = firstImage; image < endImage; image++)
        {
            float* from = Input + ((((nint)image * Shape.InChannels) + channel) * Plan.Height * Plan.Width), gradient = OutputGradient + ((((nint)image * Shape.OutChannels) + output) * Plan.OutHeight * Plan.OutWidth);
            for (int y = 0; y < Plan.OutHeight && !float.IsNaN(sum); y++)
            {
                int row = (y * Shape.StrideHeight) + down;
                if ((uint)row >= (uint)Plan.Height) continue;
                for (int x = 0; x < Plan.OutWidth; x++)
                {
                    int pixel = (x * Shape.StrideWidth) + across;
                    if ((uint)pixel < (uint)Plan.Width) sum += gradient[((nint)y * Plan.OutWidth) + x] * from[((nint)row * Plan.Width) + pixel];
                }
            }
        }
        return sum;
    }
}

using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <content>Input gradients beside weights that are not finite.</content>
public sealed unsafe partial class PreparedSparseConvolution
{
    /// <summary>
    /// Computes pixels that are NaN once more, from the products of the definition alone: the gradient of the output has zeros around it, which give NaN with a weight that is not finite though no output is
    /// there that the weight takes the pixel to. A part is a channel of an image.
    /// </summary>
    private struct FiniteEdgeParts : IParts
    {
        public ConvolutionPlan Plan;
        public SparseConvolutionShape Shape;
        public int[] Columns;
        public float* OutputGradient, InputGradient;

        public readonly void Run(int part)
        {
            float* channel = InputGradient + (nint)part * Plan.Height * Plan.Width, gradient = OutputGradient + (nint)(part / Shape.InChannels) * Shape.OutChannels * Plan.OutHeight * Plan.OutWidth;
            for (int y = 0; y < Plan.Height; y++)
            {
                for (int x = 0; x < Plan.Width; x++, channel++)
                {
                    if (float.IsNaN(*channel)) *channel = Pixel(part % Shape.InChannels, y, x, gradient);
                }
            }
        }

        private readonly float Pixel(int channel, int y, int x, float* gradient)
        {
            // Passes are the phases of the stride that the image has.
            ConvolutionPass pass = Plan.Backward[(y % Shape.StrideHeight * Math.Min(Shape.StrideWidth, Plan.Width)) + (x % Shape.StrideWidth)];
            int taps = Shape.KernelHeight * Shape.KernelWidth;
            float sum = 0;
            for (int i = pass.RowPointers[channel]; i < pass.RowPointers[channel + 1] && !float.IsNaN(sum); i++)
            {
                int tap = Columns[pass.Source![i]] % taps, down = y + Shape.PadTop - (tap / Shape.KernelWidth * Shape.DilationHeight), across = x + Shape.PadLeft - (tap % Shape.KernelWidth * Shape.DilationWidth);
                // The phase has the taps alone whose distance the strides divide.
                int row = down / Shape.StrideHeight, column = across / Shape.StrideWidth, output = pass.Offsets[i] / Plan.OutputGradient!.PlaneStride;
                if ((uint)row < (uint)Plan.OutHeight && (uint)column < (uint)Plan.OutWidth) sum += pass.Values[i] * gradient[((nint)output * Plan.OutHeight + row) * Plan.OutWidth + column];
            }
            return sum;
        }
    }
}

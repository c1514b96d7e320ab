using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

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

    /// <summary>What is read of a unit, to be asked for in so many steps while the one before it is multiplied.</summary>
    public readonly Ahead AheadOf(int unit, long steps)
    {
        int first = unit * Images, images = Math.Min(Images, Batch - first);
        nint input = (nint)Shape.InChannels * Plan.Height * Plan.Width, gradient = (nint)Shape.OutChannels * Plan.OutHeight * Plan.OutWidth;
        return new Ahead(Input + (first * input), images * input, OutputGradient + (first * gradient), images * gradient, steps);
    }

    /// <summary>Lines of a unit's input and gradient that are asked for before they are read: dots wait for no memory, and copies for little else.</summary>
    public struct Ahead
    {
        private readonly nint _inputStep, _gradientStep;
        private readonly float* _inputEnd, _gradientEnd;
        private float* _input, _gradient;

        public Ahead(float* input, nint inputs, float* gradient, nint gradients, long steps)
        {
            (_inputStep, _gradientStep) = (Step(inputs, steps), Step(gradients, steps));
            _input = input;
            _gradient = gradient;
            _inputEnd = input + inputs;
            _gradientEnd = gradient + gradients;
        }

        /// <summary>Takes a step.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Ask()
        {
            Ask(ref _input, _inputStep, _inputEnd);
            Ask(ref _gradient, _gradientStep, _gradientEnd);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Ask(ref float* at, nint step, float* end)
        {
            float* stop = end - at < step ? end : at + step;
            for (; at < stop; at += Lanes.Count) Sse.Prefetch1(at);
        }

        // Whole lines.
        private static nint Step(nint floats, long steps) => (nint)((floats + (steps * Lanes.Count) - 1) / (steps * Lanes.Count)) * Lanes.Count;
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

public sealed unsafe partial class PreparedSparseConvolution
{
    /// <summary>The gradient of the stored weights: gradient[j] = sum over images and pixels of outputGradient * the input that weight j meets.</summary>
    /// <remarks>
    /// Images are summed in at most 16 groups that depend on the batch alone, and the groups in order. A NaN or infinity in
    /// an image may reach the gradients of weights that do not meet it.
    /// </remarks>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="outputGradient">[batch, outChannels, outHeight, outWidth].</param>
    /// <param name="batch">Images, at least 0.</param>
    /// <param name="height">Rows of an input image.</param>
    /// <param name="width">Columns of an input image.</param>
    /// <param name="gradient"><see cref="StoredCount"/> numbers in stored order.</param>
    /// <param name="accumulate">Whether to add to what gradient holds.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void WeightGradient(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, int batch, int height, int width, Span<float> gradient, bool accumulate = false)
    {
        ConvolutionPlan plan = GetPlan(height, width);
        CheckImages(input.Length, batch, Shape.InChannels, height, width, nameof(input));
        CheckImages(outputGradient.Length, batch, Shape.OutChannels, plan.OutHeight, plan.OutWidth, nameof(outputGradient));
        if (gradient.Length != StoredCount) throw new ArgumentException($"{gradient.Length} numbers for {StoredCount} stored entries.", nameof(gradient));
        if (!accumulate) gradient.Clear();
        if (StoredCount == 0 || outputGradient.IsEmpty) return;
        const int MostGroups = 16;
        int groups = Math.Min(batch, MostGroups);
        using Scratch.Buffer sums = Scratch.Rent((long)groups * StoredCount);
        fixed (int* rows = plan.Forward.RowPointers, offsets = plan.Forward.Offsets)
        fixed (float* pi = input, pg = outputGradient)
        {
            SimdDispatch.Run(new WeightGradientCall
            {
                Plan = plan,
                Shape = Shape,
                Batch = batch,
                Groups = groups,
                RowPointers = rows,
                Offsets = offsets,
                Stored = StoredCount,
                Input = pi,
                OutputGradient = pg,
                Sums = sums.Pointer,
            });
        }
        for (int g = 0; g < groups; g++)
        {
            var part = new ReadOnlySpan<float>(sums.Pointer + (nint)g * StoredCount, StoredCount);
            System.Numerics.Tensors.TensorPrimitives.Add(gradient, part, gradient);
        }
    }

    private struct WeightGradientCall : ILevelWork
    {
        public ConvolutionPlan Plan;
        public SparseConvolutionShape Shape;
        public int Batch, Groups, Stored;
        public int* RowPointers;
        public int* Offsets;
        public float* Input;
        public float* OutputGradient;
        public float* Sums;

        public readonly void Run<V>() where V : unmanaged, IVector<V> => WorkPool.Run(Groups, new GroupParts<V> { Call = this });

        private struct GroupParts<V> : IParts where V : unmanaged, IVector<V>
        {
            public WeightGradientCall Call;

            public readonly void Run(int group)
            {
                ConvolutionPlan plan = Call.Plan;
                SparseConvolutionShape shape = Call.Shape;
                ConvolutionPass pass = plan.Forward;
                int positions = pass.Positions, first = (int)((long)group * Call.Batch / Call.Groups), end = (int)((long)(group + 1) * Call.Batch / Call.Groups);
                float* sums = Call.Sums + (nint)group * Call.Stored;
                new Span<float>(sums, Call.Stored).Clear();
                using Scratch.Buffer planes = Scratch.Rent(plan.Input.TotalLength);
                // One channel of the output's gradient along the flat plane, zero between rows.
                int whole = (positions + Lanes.Count - 1) / Lanes.Count * Lanes.Count;
                using Scratch.Buffer flat = Scratch.Rent(whole);
                new Span<float>(flat.Pointer, whole).Clear();
                plan.Input.ClearEnd(planes.Pointer);
                for (int image = first; image < end; image++)
                {
                    float* from = Call.Input + (nint)image * shape.InChannels * plan.Height * plan.Width;
                    for (int p = 0; p < plan.Input.Planes; p++) plan.Input.Fill(p, from, planes.Pointer);
                    for (int o = 0; o < shape.OutChannels; o++)
                    {
                        int j = Call.RowPointers[o], count = Call.RowPointers[o + 1] - j;
                        if (count == 0) continue;
                        float* channel = Call.OutputGradient + ((nint)image * shape.OutChannels + o) * plan.OutHeight * plan.OutWidth;
                        for (int row = 0; row < plan.OutHeight; row++)
                            new ReadOnlySpan<float>(channel + (nint)row * plan.OutWidth, plan.OutWidth).CopyTo(new Span<float>(flat.Pointer + (nint)row * pass.RowStride, plan.OutWidth));
                        RowKernel.Dots<V>(flat.Pointer, planes.Pointer, Call.Offsets + j, count, 1, whole, sums + j);
                    }
                }
            }
        }
    }
}

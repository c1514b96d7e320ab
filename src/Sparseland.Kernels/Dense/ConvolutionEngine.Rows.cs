using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// Depthwise convolutions.
internal static unsafe partial class ConvolutionEngine
{
    // Depthwise: four registers of one output row at a time over the flat plane, then the grid rows are picked out.
    private static void RowByRow<V>(in Unit unit) where V : unmanaged, IVector<V>
    {
        ref readonly ConvolutionJob job = ref unit.Job;
        PlanarSpec spec = job.Spec;
        int length = spec.FlatLength, depth = spec.Depth;
        using Scratch.Buffer flat = Scratch.Rent(length + (4 * V.Count));
        for (int row = 0; row < job.Rows; row++)
        {
            float* weights = job.Weights + (unit.Group * job.WeightsPerGroup) + ((nint)row * depth);
            if (spec.InPlace) FlatExact<V>(depth, weights, unit.Planes, unit.Offsets, length, flat.Pointer);
            else Flat<V>(depth, weights, unit.Planes, unit.Offsets, length, flat.Pointer);
            float bias = job.Bias == null ? 0f : job.Bias[(unit.Group * job.Rows) + row];
            for (int i = 0; i < spec.GridHeight; i++)
            {
                nint to = unit.OutChannel(0, row) + spec.OutOffset(i, 0);
                Finish<V>(flat.Pointer + ((nint)i * spec.Pitch), job.Output + to, spec.OutStepX, job.Residual == null ? null : job.Residual + to,
                    spec.GridWidth, bias, job.Bias != null, job.Clamp, accumulate: false);
            }
        }
    }

    // Reads and writes up to four registers behind the end.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Flat<V>(int depth, float* weights, float* planes, nint* offsets, int length, float* target) where V : unmanaged, IVector<V>
    {
        for (int q = 0; q < length; q += 4 * V.Count)
        {
            V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
            for (int k = 0; k < depth; k++)
            {
                V w = V.Broadcast(weights[k]);
                float* b = planes + offsets[k] + q;
                V.Accumulate(ref s0, w, V.Load(b));
                V.Accumulate(ref s1, w, V.Load(b + V.Count));
                V.Accumulate(ref s2, w, V.Load(b + (2 * V.Count)));
                V.Accumulate(ref s3, w, V.Load(b + (3 * V.Count)));
            }
            V.Store(s0, target + q);
            V.Store(s1, target + q + V.Count);
            V.Store(s2, target + q + (2 * V.Count));
            V.Store(s3, target + q + (3 * V.Count));
        }
    }

    // The same sums for planes that end where the caller's memory ends.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FlatExact<V>(int depth, float* weights, float* planes, nint* offsets, int length, float* target) where V : unmanaged, IVector<V>
    {
        int whole = length / (4 * V.Count) * (4 * V.Count);
        Flat<V>(depth, weights, planes, offsets, whole, target);
        for (int q = whole; q < length; q++)
        {
            float sum = 0f;
            for (int k = 0; k < depth; k++) sum = MathF.FusedMultiplyAdd(weights[k], planes[offsets[k] + q], sum);
            target[q] = sum;
        }
    }
}

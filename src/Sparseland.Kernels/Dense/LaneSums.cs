using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Sums over contiguous values with 16 partial sums (see ADR 2).</summary>
internal static unsafe class LaneSums
{
    /// <summary>lanes [16] += values, value t to lane t % 16.</summary>
    public static void Add<V>(float* values, int count, float* lanes) where V : unmanaged, IVector<V>
    {
        int whole = count & ~(Lanes.Count - 1);
        for (int lane = 0; lane < Lanes.Count; lane += V.Count)
        {
            V s = V.Load(lanes + lane);
            for (nint t = lane; t < whole; t += Lanes.Count) s = V.Add(s, V.Load(values + t));
            V.Store(s, lanes + lane);
        }
        for (int t = whole; t < count; t++) lanes[t - whole] += values[t];
    }

    /// <summary>The sum of contiguous values.</summary>
    public static float Sum<V>(float* values, int count) where V : unmanaged, IVector<V>
    {
        float* lanes = stackalloc float[Lanes.Count];
        new Span<float>(lanes, Lanes.Count).Clear();
        Add<V>(values, count, lanes);
        return DotKernel.Fold(lanes);
    }
}

using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Sums over contiguous values with 16 partial sums (see ADR 2).</summary>
internal static unsafe class LaneSums
{
    /// <summary>lanes [16] += values, value t to lane t % 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
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

    /// <summary>The largest of at least one contiguous value; NaN when one of them is.</summary>
    public static float Max<V>(float* values, int count) where V : unmanaged, IVector<V>
    {
        int t = 0;
        float largest = float.NegativeInfinity;
        if (count >= V.Count)
        {
            V m = V.Load(values);
            for (t = V.Count; t + V.Count <= count; t += V.Count) m = V.Max(m, V.Load(values + t));
            float* lanes = stackalloc float[Lanes.Count];
            V.Store(m, lanes);
            for (int width = V.Count / 2; width > 0; width /= 2)
            {
                for (int i = 0; i < width; i++) lanes[i] = MathF.Max(lanes[i], lanes[i + width]);
            }
            largest = lanes[0];
        }
        for (; t < count; t++) largest = MathF.Max(largest, values[t]);
        return largest;
    }

    /// <summary>lanes [16] += (x - center)^2, value t to lane t % 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddSquares<V>(float* x, int count, float center, float* lanes) where V : unmanaged, IVector<V>
    {
        int whole = count & ~(Lanes.Count - 1);
        V c = V.Broadcast(center);
        for (int lane = 0; lane < Lanes.Count; lane += V.Count)
        {
            V s = V.Load(lanes + lane);
            for (nint t = lane; t < whole; t += Lanes.Count)
            {
                V d = V.Subtract(V.Load(x + t), c);
                V.Accumulate(ref s, d, d);
            }
            V.Store(s, lanes + lane);
        }
        for (int t = whole; t < count; t++) lanes[t - whole] = MathF.FusedMultiplyAdd(x[t] - center, x[t] - center, lanes[t - whole]);
    }

    /// <summary>lanes [16] += x * (y - center), value t to lane t % 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddProducts<V>(float* x, float* y, int count, float center, float* lanes) where V : unmanaged, IVector<V>
    {
        int whole = count & ~(Lanes.Count - 1);
        V c = V.Broadcast(center);
        for (int lane = 0; lane < Lanes.Count; lane += V.Count)
        {
            V s = V.Load(lanes + lane);
            for (nint t = lane; t < whole; t += Lanes.Count) V.Accumulate(ref s, V.Load(x + t), V.Subtract(V.Load(y + t), c));
            V.Store(s, lanes + lane);
        }
        for (int t = whole; t < count; t++) lanes[t - whole] = MathF.FusedMultiplyAdd(x[t], y[t] - center, lanes[t - whole]);
    }

    /// <summary>The sum of squares of differences from <paramref name="center"/>.</summary>
    public static float Squares<V>(float* x, int count, float center) where V : unmanaged, IVector<V>
    {
        float* lanes = stackalloc float[Lanes.Count];
        new Span<float>(lanes, Lanes.Count).Clear();
        AddSquares<V>(x, count, center, lanes);
        return DotKernel.Fold(lanes);
    }

    /// <summary>The sum of products.</summary>
    public static float Dot<V>(float* x, float* y, int count) where V : unmanaged, IVector<V>
    {
        float* lanes = stackalloc float[Lanes.Count];
        new Span<float>(lanes, Lanes.Count).Clear();
        AddProducts<V>(x, y, count, 0f, lanes);
        return DotKernel.Fold(lanes);
    }
}

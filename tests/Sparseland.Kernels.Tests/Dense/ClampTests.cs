using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class ClampTests
{
    private static readonly float[] s_values = [float.NaN, float.NegativeInfinity, -7f, -1f, -float.Epsilon, -0f, 0f, float.Epsilon, 1f, 6f, 6.5f, float.MaxValue, float.PositiveInfinity, -6f, 3f, -float.NaN];

    public static IEnumerable<object[]> Bounds()
    {
        float[] bounds = [float.NaN, float.NegativeInfinity, -1f, -0f, 0f, 1f, 6f, float.PositiveInfinity];
        foreach (float low in bounds)
        {
            foreach (float high in bounds) yield return [low, high];
        }
    }

    [Theory]
    [MemberData(nameof(Bounds))]
    public void RegistersAreBoundedAsNumbersAre(float low, float high)
    {
        var clamp = new Clamp(low, high);
        float[] y = SameEverywhere(() =>
        {
            float[] x = [.. s_values];
            SimdDispatch.Run(new Work(clamp, x));
            return x;
        }, $"{clamp}");
        for (int i = 0; i < y.Length; i++)
        {
            float expected = MathF.Min(MathF.Max(s_values[i], clamp.Low), clamp.High);
            Assert.True(float.IsNaN(expected) ? float.IsNaN(y[i]) : BitConverter.SingleToInt32Bits(expected) == BitConverter.SingleToInt32Bits(y[i]), $"{s_values[i]} in {clamp}: {y[i]} instead of {expected}");
        }
    }

    [Fact]
    public void AnUpperBoundOfMinusZeroIsZero()
    {
        foreach (Clamp clamp in (Clamp[])[new(-1f, -0f), Clamp.Relu with { High = -0f }]) Assert.Equal(0, BitConverter.SingleToInt32Bits(clamp.High));
    }

    private sealed unsafe class Work(Clamp clamp, float[] x) : ILevelWork
    {
        public void Run<V>() where V : unmanaged, IVector<V>
        {
            V low = V.Broadcast(clamp.Low), high = V.Broadcast(clamp.High), zero = V.Broadcast(clamp.Zero);
            fixed (float* at = x)
            {
                for (int i = 0; i < x.Length; i += V.Count) V.Store(Clamp.Bounded(V.Load(at + i), low, high, zero), at + i);
            }
        }
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class ExponentialTests
{
    [Fact]
    public void IsWithinAUnitInTheLastPlace()
    {
        float[] x = [.. Random(20000, 1, 87f), .. Random(20000, 2, 1f), .. Random(4000, 3, 1e-4f), 0f, -0f, 88f, -87.3f];
        float[] y = Run(x);
        for (int i = 0; i < x.Length; i++)
        {
            double exact = Math.Exp(x[i]), unit = MathF.BitIncrement((float)exact) - (double)(float)exact;
            Assert.True(Math.Abs(y[i] - exact) <= 0.95 * unit, $"e^{x[i]:R} = {y[i]:R}, {(y[i] - exact) / unit:0.00} units from {exact:R}");
        }
        Assert.Equal(1f, y[^4]);
        Assert.Equal(1f, y[^3]);
    }

    [Fact]
    public void EndsInZeroInfinityAndNaN()
    {
        float[] x = [float.NegativeInfinity, float.MinValue, -1e6f, -104f, -88f, 89f, 1e6f, float.MaxValue, float.PositiveInfinity, float.NaN, -87.5f, 0f, 0f, 0f, 0f, 0f];
        float[] y = Run(x);
        Assert.All(y[..5], v => Assert.Equal(0f, v));
        Assert.All(y[5..9], v => Assert.Equal(float.PositiveInfinity, v));
        Assert.Equal(float.NaN, y[9]);
        Assert.InRange(y[10], 0.9 * Math.Exp(-87.5), 1.1 * Math.Exp(-87.5));
    }

    private static float[] Run(float[] x)
    {
        // Whole registers on every level.
        float[] padded = new float[(x.Length + 15) / 16 * 16];
        x.CopyTo(padded, 0);
        return SameEverywhere(() =>
        {
            var y = new float[padded.Length];
            SimdDispatch.Run(new Work(padded, y));
            return y;
        }, "e^x")[..x.Length];
    }

    private sealed unsafe class Work(float[] x, float[] y) : ILevelWork
    {
        public void Run<V>() where V : unmanaged, IVector<V>
        {
            fixed (float* from = x, to = y)
            {
                for (int i = 0; i < x.Length; i += V.Count) V.Store(Exponential.Of(V.Load(from + i)), to + i);
            }
        }
    }
}

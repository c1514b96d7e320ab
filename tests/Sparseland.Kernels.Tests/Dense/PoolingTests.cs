using Sparseland.Kernels.Dense;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class PoolingTests
{
    [Fact]
    public void AgreesWithTheDefinitionOnRandomWindows()
    {
        var random = new Random(21);
        for (int round = 0; round < 120; round++)
        {
            int rank = random.Next(1, 4), planes = random.Next(1, 5);
            int[] size = Values(1, rank == 3 ? 12 : 40), kernel = Values(1, 4), stride = Values(1, 6), before = Values(0, 2), after = Values(0, 2), dilation = Values(1, 3);
            for (int i = 0; i < rank; i++)
            {
                before[i] = Math.Min(before[i], kernel[i] / 2);
                after[i] = Math.Min(after[i], kernel[i] / 2);
            }
            bool ceil = random.Next(2) == 0;
            var pooling = new Pooling(size, kernel, stride, before, after, dilation, ceil);
            int[] outSize = [.. pooling.OutputSize];
            int inPlane = pooling.InputPlane, outPlane = pooling.OutputPlane;
            float[] x = Random(planes * inPlane, round), g = Random(planes * outPlane, round + 1);
            var indices = new int[planes * outPlane];
            float[] max = SameEverywhere(() =>
            {
                var y = new float[planes * outPlane];
                pooling.Max(x, y, planes);
                return y;
            }, "max");
            var withIndices = new float[max.Length];
            pooling.Max(x, withIndices, planes, indices);
            Near.BitEqual(withIndices, max, "max with and without indices");
            float[] dmax = new float[x.Length], expectedMax = new float[x.Length];
            pooling.MaxBackward(g, indices, dmax, planes);
            foreach (bool include in (bool[])[false, true])
            {
                float[] mean = new float[max.Length], dmean = new float[x.Length];
                var expectedMean = new double[x.Length];
                pooling.Average(x, mean, planes, include);
                pooling.AverageBackward(g, dmean, planes, include);
                for (int o = 0; o < max.Length; o++)
                {
                    (List<int> inside, int padded) = Window(o % outPlane);
                    int plane = o / outPlane * inPlane;
                    Assert.Equal(inside.Count == 0 ? float.NegativeInfinity : inside.Max(i => x[plane + i]), max[o]);
                    if (inside.Count > 0 && !include) expectedMax[plane + inside.First(i => x[plane + i] == max[o])] += g[o];
                    double divisor = include ? padded : inside.Count;
                    if (divisor == 0) continue;
                    Assert.Equal(inside.Sum(i => (double)x[plane + i]) / divisor, mean[o], 1e-5);
                    foreach (int i in inside) expectedMean[plane + i] += g[o] / divisor;
                }
                if (mean.All(float.IsFinite)) Near.Equal(expectedMean.Select(v => (float)v).ToArray(), dmean, 1e-5, 1e-5, "mean gradient");
            }
            Near.Equal(expectedMax, dmax, 1e-5, 1e-5, "max gradient");

            int[] Values(int low, int high) => Enumerable.Range(0, rank).Select(_ => random.Next(low, high + 1)).ToArray();

            // Positions of a window inside the input, and how many of its elements lie in the padded input.
            (List<int>, int) Window(int o)
            {
                var inside = new List<int> { 0 };
                int padded = 1;
                for (int a = 0, rest = outPlane; a < rank; a++)
                {
                    rest /= outSize[a];
                    int start = (o / rest % outSize[a] * stride[a]) - before[a];
                    int[] positions = Enumerable.Range(0, kernel[a]).Select(k => start + (k * dilation[a])).ToArray();
                    padded *= positions.Count(p => p < size[a] + after[a]);
                    inside = [.. inside.SelectMany(i => positions.Where(p => p >= 0 && p < size[a]).Select(p => (i * size[a]) + p))];
                }
                return (inside, padded);
            }
        }
    }

    [Theory]
    [InlineData(37, 53, 3, 2, 1, 1)]
    [InlineData(64, 47, 3, 2, 0, 1)]
    [InlineData(41, 64, 2, 2, 1, 1)]
    [InlineData(40, 33, 4, 2, 2, 1)]
    [InlineData(33, 40, 5, 2, 2, 2)]
    [InlineData(35, 38, 3, 1, 1, 1)]
    [InlineData(52, 61, 3, 3, 0, 1)]
    [InlineData(9, 300, 3, 2, 1, 1)]
    [InlineData(300, 9, 3, 2, 1, 1)]
    public void RowsOfAnImageAreSharedWithTheSameBits(int height, int width, int kernel, int stride, int pad, int dilation)
    {
        const int Channels = 150;
        var pooling = new Pooling([height, width], [kernel, kernel], [stride, stride], [pad, pad], [pad, pad], [dilation, dilation]);
        float[] x = Random(Channels * height * width, height);
        float[] special = [float.NaN, 0f, -0f, float.PositiveInfinity, float.NegativeInfinity];
        for (int i = 0; i < x.Length; i += 23) x[i] = special[i / 23 % special.Length];
        // Planes of nothing but zeros of either sign: +0 is the larger one.
        for (int i = 0; i < 2 * height * width; i++) x[i] = i % 3 == 0 ? 0f : -0f;
        var expected = new float[Channels * pooling.OutputPlane];
        pooling.Max(x, expected, Channels, new int[expected.Length]);
        float[] got = SameEverywhere(() =>
        {
            var y = new float[expected.Length];
            pooling.MaxOfImage(x, y, Channels);
            return y;
        }, "max of an image");
        for (int i = 0; i < got.Length; i++) Assert.True(got[i] == expected[i] || (float.IsNaN(got[i]) && float.IsNaN(expected[i])), $"{i}: {got[i]} and {expected[i]}");
        float[] planes = SameEverywhere(() =>
        {
            var y = new float[expected.Length];
            pooling.Max(x, y, Channels);
            return y;
        }, "max of planes");
        Near.BitEqual(planes, got, "shared by rows and by planes");
        Assert.Throws<ArgumentException>(() => pooling.MaxOfImage(x.AsSpan(1), new float[expected.Length], Channels));
    }

    [Fact]
    public void NaNWinsAndShapesAreChecked()
    {
        var pooling = new Pooling([4, 4], [2, 2], [2, 2], [0, 0], [0, 0]);
        float[] x = Random(16, 1), y = new float[4], z = new float[4];
        x[5] = float.NaN;
        pooling.Max(x, y, 1);
        pooling.Max(x, z, 1, new int[4]);
        Assert.True(float.IsNaN(y[0]) && float.IsNaN(z[0]));
        Assert.False(float.IsNaN(y[3]));
        Assert.Throws<ArgumentException>(() => pooling.Max(x, new float[3], 1));
        Assert.Throws<ArgumentException>(() => new Pooling([4], [0], [1], [0], [0]));
        Assert.Throws<ArgumentException>(() => pooling.MaxBackward(new float[4], [0, 1, 2, 16], new float[16], 1));
    }
}

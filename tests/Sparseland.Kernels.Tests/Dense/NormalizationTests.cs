using Sparseland.Kernels.Dense;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class NormalizationTests
{
    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 2, 5)]
    [InlineData(9, 5, 37)]
    [InlineData(16, 16, 256)]
    public void BatchNormTrainsAndDifferentiates(int batch, int channels, int spatial)
    {
        int count = batch * channels * spatial;
        float[] x = Random(count, 1, 3f), scale = Random(channels, 2), bias = Random(channels, 3), g = Random(count, 4);
        float[] all = SameEverywhere(() =>
        {
            float[] y = new float[count], mean = new float[channels], variance = new float[channels], dx = new float[count], ds = new float[channels], db = new float[channels];
            BatchNorm.Train(x, scale, bias, 1e-5f, y, mean, variance, batch, channels, spatial);
            BatchNorm.Backward(x, g, scale, mean, variance, 1e-5f, dx, ds, db, batch, channels, spatial);
            return [.. y, .. mean, .. variance, .. dx, .. ds, .. db];
        }, "batch norm");

        int m = batch * spatial;
        for (int c = 0; c < channels; c++)
        {
            int[] at = Enumerable.Range(0, m).Select(i => ((((i / spatial) * channels) + c) * spatial) + (i % spatial)).ToArray();
            double mean = at.Average(i => (double)x[i]), variance = at.Average(i => (x[i] - mean) * (x[i] - mean)), inverse = 1 / Math.Sqrt(variance + 1e-5);
            double sum = at.Sum(i => (double)g[i]), product = at.Sum(i => g[i] * (x[i] - mean) * inverse);
            Assert.Equal(mean, all[count + c], 1e-5);
            Assert.Equal(variance, all[count + channels + c], 1e-4);
            foreach (int i in at)
            {
                Assert.Equal(((x[i] - mean) * inverse * scale[c]) + bias[c], all[i], 1e-4);
                double d = scale[c] * inverse * (g[i] - (sum / m) - ((x[i] - mean) * inverse * product / m));
                Assert.Equal(d, all[count + (2 * channels) + i], Math.Max(1e-4, 2e-4 * inverse));
            }
            Assert.Equal(product, all[(2 * count) + (2 * channels) + c], 1e-3);
            Assert.Equal(sum, all[(2 * count) + (3 * channels) + c], 1e-3);
        }
    }

    [Fact]
    public void BatchNormInferenceUsesTheGivenStatisticsAndClamps()
    {
        float[] x = Random(2 * 3 * 19, 1), y = new float[x.Length], scale = [1f, -2f, 0.5f], bias = [0f, 1f, 2f], mean = [0.1f, 0.2f, -0.3f], variance = [1f, 4f, 0.25f];
        BatchNorm.Infer(x, scale, bias, mean, variance, 0f, y, 2, 3, 19, Clamp.Relu);
        for (int i = 0; i < x.Length; i++)
        {
            int c = i / 19 % 3;
            Assert.Equal(Math.Max(0.0, ((x[i] - mean[c]) / Math.Sqrt(variance[c]) * scale[c]) + bias[c]), y[i], 1e-5);
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(5, 17)]
    [InlineData(70, 768)]
    public void LayerNormAgreesWithItsFormulaAndFiniteDifferences(int rows, int width)
    {
        float[] x = Random(rows * width, 1, 2f), scale = Random(width, 2), bias = Random(width, 3), g = Random(rows * width, 4);
        foreach (bool centered in (bool[])[true, false])
        {
            float[] all = SameEverywhere(() =>
            {
                float[] y = new float[x.Length], mean = new float[rows], inverse = new float[rows], dx = new float[x.Length], ds = new float[width], db = new float[width];
                if (centered)
                {
                    LayerNorm.Forward(x, scale, bias, 1e-3f, y, rows, width, mean, inverse);
                    LayerNorm.Backward(x, g, scale, mean, inverse, dx, ds, db, rows, width);
                }
                else
                {
                    LayerNorm.RmsForward(x, scale, 1e-3f, y, rows, width, inverse);
                    LayerNorm.RmsBackward(x, g, scale, inverse, dx, ds, rows, width);
                }
                return [.. y, .. dx, .. ds, .. db];
            }, "layer norm");
            Near.Equal(Formula(x, scale, bias, rows, width, centered).Select(v => (float)v).ToArray(), all.AsSpan(0, x.Length), 2e-5, 1e-5, "forward");
            var random = new Random(5);
            for (int probe = 0; probe < 20; probe++)
            {
                int i = random.Next(x.Length), j = random.Next(width);
                Assert.Equal(Slope(x, i, () => Loss(x, scale, bias)), all[x.Length + i], 2e-3);
                Assert.Equal(Slope(scale, j, () => Loss(x, scale, bias)), all[(2 * x.Length) + j], 2e-2);
                if (centered) Assert.Equal(Slope(bias, j, () => Loss(x, scale, bias)), all[(2 * x.Length) + width + j], 2e-2);
            }

            double Loss(float[] px, float[] ps, float[] pb)
            {
                double[] y = Formula(px, ps, pb, rows, width, centered);
                double sum = 0;
                for (int i = 0; i < y.Length; i++) sum += y[i] * g[i];
                return sum;
            }
        }
    }

    [Fact]
    public void GroupNormOfOneGroupIsLayerNormAndDifferentiates()
    {
        const int batch = 3, channels = 6, spatial = 21, count = batch * channels * spatial;
        float[] x = Random(count, 1, 2f), scale = Random(channels, 2), bias = Random(channels, 3), g = Random(count, 4);
        foreach (int groups in (int[])[1, 3, 6])
        {
            float[] all = SameEverywhere(() =>
            {
                float[] y = new float[count], mean = new float[batch * groups], inverse = new float[batch * groups], dx = new float[count], ds = new float[channels], db = new float[channels];
                GroupNorm.Forward(x, scale, bias, 1e-3f, y, mean, inverse, batch, channels, groups, spatial);
                GroupNorm.Backward(x, g, scale, mean, inverse, dx, ds, db, batch, channels, groups, spatial);
                return [.. y, .. dx, .. ds, .. db];
            }, "group norm");
            Near.Equal(Values(x, scale, bias, groups).Select(v => (float)v).ToArray(), all.AsSpan(0, count), 2e-5, 1e-5, "forward");
            for (int i = 0; i < count; i += 37) Assert.Equal(Slope(x, i, () => Loss(groups)), all[count + i], 2e-3);
            for (int c = 0; c < channels; c++)
            {
                Assert.Equal(Slope(scale, c, () => Loss(groups)), all[(2 * count) + c], 1e-2);
                Assert.Equal(Slope(bias, c, () => Loss(groups)), all[(2 * count) + channels + c], 1e-2);
            }
        }

        double Loss(int groups) => Values(x, scale, bias, groups).Zip(g, (a, b) => a * b).Sum();

        static double[] Values(float[] x, float[] scale, float[] bias, int groups)
        {
            int size = channels / groups * spatial;
            var y = new double[count];
            for (int row = 0; row < batch * groups; row++)
            {
                double mean = 0, variance = 0;
                for (int i = 0; i < size; i++) mean += x[(row * size) + i] / (double)size;
                for (int i = 0; i < size; i++) variance += (x[(row * size) + i] - mean) * (x[(row * size) + i] - mean) / size;
                for (int i = 0; i < size; i++)
                {
                    int at = (row * size) + i, c = at / spatial % channels;
                    y[at] = ((x[at] - mean) / Math.Sqrt(variance + 1e-3) * scale[c]) + bias[c];
                }
            }
            return y;
        }
    }

    internal static double Slope(float[] values, int i, Func<double> loss)
    {
        float keep = values[i];
        values[i] = keep + 1e-2f;
        double above = loss(), up = values[i];
        values[i] = keep - 1e-2f;
        double slope = (above - loss()) / (up - values[i]);
        values[i] = keep;
        return slope;
    }

    private static double[] Formula(float[] x, float[] scale, float[] bias, int rows, int width, bool centered)
    {
        var y = new double[x.Length];
        for (int r = 0; r < rows; r++)
        {
            double mean = 0, square = 0;
            if (centered) for (int i = 0; i < width; i++) mean += x[(r * width) + i] / (double)width;
            for (int i = 0; i < width; i++) square += (x[(r * width) + i] - mean) * (x[(r * width) + i] - mean) / width;
            for (int i = 0; i < width; i++) y[(r * width) + i] = ((x[(r * width) + i] - mean) / Math.Sqrt(square + 1e-3) * scale[i]) + (centered ? bias[i] : 0);
        }
        return y;
    }
}

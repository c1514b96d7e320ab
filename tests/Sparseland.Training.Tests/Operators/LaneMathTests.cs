using Sparseland.Training.Operators;

namespace Sparseland.Training.Tests.Operators;

public class LaneMathTests
{
    [Fact]
    public void PastTheCachesTheSameNumbersArrive()
    {
        var random = new Random(1);
        foreach (int length in (int[])[0, 1, 15, 16, 17, 40, 200])
        {
            for (int offset = 0; offset < 20; offset++)
            {
                float[] x = [.. Enumerable.Range(0, length).Select(_ => random.NextSingle() - 0.5f)], expected = new float[length + 40], actual = new float[length + 40];
                float[] added = [.. Enumerable.Range(0, length).Select(_ => random.NextSingle() - 0.5f)];
                if (length > 3) x[3] = float.NaN;
                foreach (bool relu in (bool[])[false, true])
                {
                    LaneMath.Affine(x, 1.3f, 0.1f, expected.AsSpan(offset, length), relu);
                    LaneMath.Affine(x, 1.3f, 0.1f, actual.AsSpan(offset, length), relu, streams: true);
                    Assert.Equal(expected, actual);
                    LaneMath.Affine(x, 1.3f, 0.1f, expected.AsSpan(offset, length), relu, added);
                    LaneMath.Affine(x, 1.3f, 0.1f, actual.AsSpan(offset, length), relu, added, streams: true);
                    Near.BitEqual(expected, actual, "with what is added");
                }
                LaneMath.Combine(x, 1.3f, added, -0.4f, 0.1f, expected.AsSpan(offset, length));
                LaneMath.Combine(x, 1.3f, added, -0.4f, 0.1f, actual.AsSpan(offset, length), streams: true);
                Near.BitEqual(expected, actual, "combined");
            }
        }
    }

    [Fact]
    public void BitsSayWhichResultsWerePositiveAndLetTheirGradientsThrough()
    {
        var random = new Random(2);
        foreach (int length in (int[])[0, 1, 15, 16, 17, 31, 32, 33, 40, 200])
        {
            for (int offset = 0; offset < 20; offset++)
            {
                float[] x = [.. Enumerable.Range(0, length).Select(_ => random.NextSingle() - 0.5f)], y = new float[length + offset], added = [.. Enumerable.Range(0, length).Select(_ => random.NextSingle() - 0.5f)];
                if (length > 3) x[3] = float.NaN;
                foreach (bool streams in (bool[])[false, true])
                {
                    var gates = new ushort[(length + 15) / 16];
                    Array.Fill(gates, (ushort)0x5555);
                    LaneMath.Affine(x, 1.3f, 0.1f, y.AsSpan(offset), relu: true, added, streams, gates: gates);
                    for (int i = 0; i < length; i++) Assert.Equal(y[offset + i] > 0, (gates[i / 16] >> (i % 16) & 1) != 0);

                    float[] g = [.. Enumerable.Range(0, length).Select(_ => random.NextSingle() - 0.5f)], counted = new float[length];
                    float[] expected = [.. g.Select((v, i) => y[offset + i] > 0 ? v : 0f)];
                    if (length > 3) x[3] = 1f;
                    (float Sum, float Product) sums = LaneMath.GatedGradientMoments(g, gates, x, 0.2f, counted), plain = LaneMath.GradientMoments(expected, x, 0.2f);
                    Near.BitEqual(expected, counted, "what counts");
                    Assert.Equal(plain, sums);
                    if (length > 3) x[3] = float.NaN;
                }
            }
        }
    }
}

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
}

using Sparseland.Training.Autograd;
using Sparseland.Training.Operators;

namespace Sparseland.Training.Tests.Operators;

public class PoolingTests
{
    [Fact]
    public void TheLargestOfFourIsTheFirstOfThemAndNaNWins()
    {
        float[] values = [float.NaN, float.NegativeInfinity, float.PositiveInfinity, 0f, -0f, 1f, 1f];
        var random = new Random(2);
        const int planes = 300;
        float[] x = [.. Enumerable.Range(0, planes * 4).Select(_ => values[random.Next(values.Length)])];
        Tensor input = Tensor.From(x, [planes, 1, 2, 2]);
        input.RequiresGrad = true;
        var geometry = new Pooling.Geometry(planes, 2, 2, 1, 1, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0);
        Assert.True(geometry.IsQuarter);
        Tensor y = Pooling.Max(input, geometry, [planes, 1, 1, 1]);
        y.Backward(Tensor.From(Enumerable.Repeat(1f, planes).ToArray(), [planes, 1, 1, 1]));
        for (int p = 0; p < planes; p++)
        {
            int best = 0;
            for (int i = 1; i < 4; i++)
            {
                float now = x[p * 4 + best], v = x[p * 4 + i];
                if (v > now || (float.IsNaN(v) && !float.IsNaN(now))) best = i;
            }
            Assert.Equal(BitConverter.SingleToInt32Bits(x[p * 4 + best]), BitConverter.SingleToInt32Bits(y.Values[p]));
            for (int i = 0; i < 4; i++) Assert.Equal(i == best ? 1f : 0f, input.Grad!.Values[p * 4 + i]);
        }
    }
}

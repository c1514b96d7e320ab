using Sparseland.Training.LearningRates;

namespace Sparseland.Training.Tests.LearningRates;

public class LearningRateTests
{
    [Fact]
    public void Worked_values()
    {
        Assert.Equal(0.1, LearningRate.Of(0.1).At(1_000_000));
        var step = new StepDecay(1, 0.1, 10, 20);
        Assert.Equal([1, 1, 0.1, 0.1, 0.01], new[] { 0, 9, 10, 19, 20 }.Select(t => Math.Round(step.At(t), 12)));
        var cosine = new Cosine(1, 100, 0.2);
        Assert.Equal(1, cosine.At(0), 12);
        Assert.Equal(0.6, cosine.At(50), 12);
        Assert.Equal(0.2, cosine.At(100), 12);
        Assert.Equal(0.2, cosine.At(5000), 12);
        Assert.Equal(0.75, new Linear(1, 100).At(25), 12);
        var cycle = new OneCycle(1, 100, 0.3, 10, 100);
        Assert.Equal(0.1, cycle.At(0), 12);
        Assert.Equal(1, cycle.At(30), 12);
        Assert.Equal((1 + 0.001) / 2, cycle.At(65), 12);
        Assert.Equal(0.001, cycle.At(100), 12);
        LearningRate warm = new Constant(1).WithWarmUp(4);
        Assert.Equal([0.2, 0.4, 0.6, 0.8, 1, 1], Enumerable.Range(0, 6).Select(t => Math.Round(warm.At(t), 12)));
        Assert.Equal(new Cosine(1, 100).At(7), new Cosine(1, 100).WithWarmUp(4).At(11), 15);
    }

    [Fact]
    public void Every_curve_is_a_pure_function_of_the_step()
    {
        LearningRate[] curves =
        [
            new Constant(0.3), new StepDecay(0.5, 0.5, 3, 8, 90), new Cosine(0.1, 77), new Linear(0.1, 60, 0.01), new OneCycle(0.4, 100),
            new Cosine(0.1, 77).WithWarmUp(9, 0.1),
        ];
        foreach (LearningRate curve in curves)
        {
            double[] forward = [.. Enumerable.Range(0, 120).Select(t => curve.At(t))];
            double[] backward = [.. Enumerable.Range(0, 120).Reverse().Select(t => curve.At(t)).Reverse()];
            Assert.Equal(forward, backward);
            Assert.All(forward, v => Assert.True(v >= 0 && double.IsFinite(v)));
        }
    }

    [Fact]
    public void Nonsense_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new Constant(double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Constant(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Cosine(1, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new OneCycle(1, 10, 1));
        Assert.Throws<ArgumentException>(() => new StepDecay(1, 0.1, 5, 5));
    }
}

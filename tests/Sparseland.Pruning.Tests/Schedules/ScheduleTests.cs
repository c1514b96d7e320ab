using Sparseland.Pruning.Schedules;

namespace Sparseland.Pruning.Tests.Schedules;

public class ScheduleTests
{
    [Fact]
    public void Cubic_worked_example()
    {
        var ramp = new CubicRamp(0, 0.9, 0, 10, 1);
        double[] expected = [0, 0.2439, 0.4392, 0.5913, 0.7056, 0.7875, 0.8424, 0.8757, 0.8928, 0.8991, 0.9];
        for (int t = 0; t <= 10; t++) Assert.Equal(expected[t], ramp.At(t), 10);
        Assert.Equal(0.9, ramp.At(1000), 15);
        Assert.Equal(0.875, new CubicRamp(0, 1, 0, 100, 1).At(50), 12);
        // Steepest at the start, flat at the end.
        double[] rises = [.. Enumerable.Range(0, 10).Select(t => ramp.At(t + 1) - ramp.At(t))];
        Assert.Equal(rises.OrderDescending(), rises);
        Assert.InRange(rises[^1], 0, 0.001);
    }

    [Fact]
    public void Exponential_linear_and_cosine_worked_examples()
    {
        var exponential = new ExponentialRamp(0, 0.99, 0, 4, 1);
        Near.Equal([1, 0.316228f, 0.1f, 0.031623f, 0.01f], [.. Enumerable.Range(0, 5).Select(t => (float)(1 - exponential.At(t)))], 1e-6);
        Assert.Equal(0.45, new LinearRamp(0, 0.9, 0, 10, 1).At(5), 12);
        var drop = new CosineDrop(0.3, 1000, 100);
        Assert.Equal([0.3, 0.256066, 0.15, 0], new[] { 0, 250, 500, 1000 }.Select(t => Math.Round(drop.At(t), 6)));
        Assert.False(drop.IsUpdate(1000));
    }

    [Fact]
    public void The_last_update_always_reaches_the_final_value()
    {
        foreach (IntervalSchedule ramp in new IntervalSchedule[] { new CubicRamp(0.1, 0.8, 7, 50, 9), new LinearRamp(0, 0.8, 7, 50, 9), new ExponentialRamp(0, 0.8, 7, 50, 9), new OneShot(0.8, 50) })
        {
            long[] updates = [.. Enumerable.Range(0, 200).Select(t => (long)t).Where(ramp.IsUpdate)];
            Assert.Equal(50, updates[^1]);
            Assert.Equal(0.8, ramp.At(50), 12);
            double[] values = [.. Enumerable.Range(0, 200).Select(t => ramp.At(t))];
            Assert.Equal(values.Order(), values);
        }
    }
}

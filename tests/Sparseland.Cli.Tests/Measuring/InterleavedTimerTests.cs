using Sparseland.Cli.Measuring;

namespace Sparseland.Cli.Tests.Measuring;

public class InterleavedTimerTests
{
    [Fact]
    public void TheMedianLiesInItsInterval()
    {
        var timing = new Timing("t", [.. Enumerable.Range(0, 101).Select(i => (double)(i * 37 % 101))]);
        Assert.Equal(50, timing.Median);
        Assert.Equal(90, timing.Quantile(0.9), 9);
        (double low, double high) = timing.Interval;
        Assert.InRange(low, 38, 45);
        Assert.InRange(high, 55, 62);
    }

    [Fact]
    public void EveryVariantRunsEquallyOften()
    {
        int a = 0, b = 0;
        IReadOnlyList<Timing> timings = InterleavedTimer.Measure([("a", () => a++), ("b", () => b++)], new TimingOptions(10, 0.01));
        Assert.Equal(timings[0].Milliseconds.Length, timings[1].Milliseconds.Length);
        Assert.True(timings[0].Milliseconds.Length >= 10);
        Assert.True(a > 10 && b > 10);
    }

    [Theory]
    [InlineData(10, 0, double.PositiveInfinity)]
    [InlineData(10, 0.05, double.PositiveInfinity)]
    [InlineData(1000, 60, 0.05)]
    public void ProgressBeginsWhereTheWarmUpEndsAndGrowsToTheWhole(int repetitions, double seconds, double mostSeconds)
    {
        var reports = new List<double>();
        bool warm = true;
        InterleavedTimer.Measure([("a", () => Thread.Sleep(warm ? 5 : 2))], new TimingOptions(repetitions, seconds, MostSeconds: mostSeconds), done =>
        {
            warm = false;
            reports.Add(done);
        });
        Assert.Equal(0, reports[0]);
        Assert.Equal(reports.Order(), reports);
        Assert.InRange(reports[^1], 0.9, 1);
    }

    [Fact]
    public void ASlowerSparseVariantIsCalledSlower()
    {
        double[] slow = [.. Enumerable.Range(0, 40).Select(i => 2.0 + i % 3 * 0.01)], fast = [.. Enumerable.Range(0, 40).Select(i => 1.0 + i % 5 * 0.01)];
        BenchmarkResult lost = TwinBenchmark.Judge([new("sparse", new Timing("sparse", slow), 0), new("dense twin", new Timing("dense twin", fast), 0)]);
        Assert.Contains("slower", lost.Verdict);
        BenchmarkResult won = TwinBenchmark.Judge([new("sparse", new Timing("sparse", fast), 0), new("dense twin", new Timing("dense twin", slow), 0)]);
        Assert.Contains("faster", won.Verdict);
        BenchmarkResult level = TwinBenchmark.Judge([new("sparse", new Timing("sparse", slow), 0), new("dense twin", new Timing("dense twin", slow), 0)]);
        Assert.Contains("level", level.Verdict);
    }
}

using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Tests.Threading;

public class CoreSpeedTests
{
    [SkippableFact]
    public void One_core_is_as_fast_as_itself()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "placement is Linux only");
        Assert.Equal(1, CoreSpeed.Ratio(1));
    }

    [Fact]
    public void Less_than_one_core_is_refused() => Assert.Throws<ArgumentOutOfRangeException>(() => CoreSpeed.Ratio(0));

    [Theory]
    [InlineData(2)]
    [InlineData(1000)]
    public void The_slowest_core_takes_at_least_as_long_as_the_fastest(int cores)
    {
        double ratio = CoreSpeed.Ratio(cores);
        if (OperatingSystem.IsLinux()) Assert.InRange(ratio, 1, 1e6);
        else Assert.Equal(double.NaN, ratio);
    }

    [Theory]
    [InlineData(1.0, 1.0, 1.2, 1.2)]
    [InlineData(1.0, 1.2, 1.2, 1.0)]
    [InlineData(1.0, 2.0, 1.9, 2.0)]
    [InlineData(2.0, 1.0, 1.0, 1.0)]
    public void Cores_that_are_slow_together_share_one(double alone, double first, double second, double ratio) => Assert.Equal(ratio, CoreSpeed.Ratio(alone, [first, second]), 12);

    [Fact]
    public void The_calling_thread_may_run_where_it_could_before()
    {
        int[] before = Placement.Processors();
        _ = CoreSpeed.Ratio(int.MaxValue);
        Assert.Equal(before, Placement.Processors());
    }
}

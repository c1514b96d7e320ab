using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Hosting;

public class ProgressDisplayTests
{
    [Fact]
    public void The_remaining_time_is_that_of_the_pace_since_the_first_report()
    {
        var remaining = new ProgressDisplay.RemainingTime();
        // Seven seconds of loading and warming up, then 4 seconds of work.
        Assert.Null(remaining.After(TimeSpan.FromSeconds(7), 0));
        Assert.Equal(3.98, remaining.After(TimeSpan.FromSeconds(7.02), 0.005)!.Value.TotalSeconds, 6);
        Assert.Equal(2, remaining.After(TimeSpan.FromSeconds(9), 0.5)!.Value.TotalSeconds, 6);
        Assert.Equal(0, remaining.After(TimeSpan.FromSeconds(11), 1)!.Value.TotalSeconds, 6);
    }

    [Fact]
    public void Work_that_goes_on_where_it_was_interrupted_has_the_pace_of_what_is_left()
    {
        var remaining = new ProgressDisplay.RemainingTime();
        Assert.Null(remaining.After(TimeSpan.FromSeconds(1), 0.9));
        Assert.Null(remaining.After(TimeSpan.FromSeconds(2), 0.9));
        Assert.Equal(10, remaining.After(TimeSpan.FromSeconds(11), 0.95)!.Value.TotalSeconds, 6);
    }
}

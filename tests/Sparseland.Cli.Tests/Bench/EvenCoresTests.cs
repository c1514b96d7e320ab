using System.Text.Json.Nodes;
using Sparseland.Bench.Figures;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;

namespace Sparseland.Cli.Tests.Bench;

public class EvenCoresTests
{
    private static readonly TimingOptions s_three = new(3, 0);

    [Fact]
    public void ARoundBeginsWhenCoresAreNearAndEquallyFast()
    {
        var distances = new Queue<double>([400, 330, 60]);
        var ratios = new Queue<double>([1.3, 1.2, 1.01]);
        var rows = new JsonArray();
        int early = 0;
        Row(rows, () => Next(distances), () => Next(ratios), 60, () => early += distances.Count > 1 || ratios.Count > 1 ? 1 : 0);
        // The warm-up alone runs before the wait.
        Assert.InRange(early, 1, 200);
        JsonNode row = Assert.Single(rows)!;
        Assert.Equal([60.0, 60.0], row["coreRoundTripNs"]!.AsArray().Select(v => (double)v!));
        Assert.Equal(1.01, (double)row["coreSpeedRatio"]!["highest"]!);
        Assert.Equal(0, (int)row["coreSpeedRatio"]!["unlike"]!);
        Assert.False(EvenCores.WereFar(row.AsObject()));
        Assert.False(EvenCores.WereUnlike(row.AsObject()));
    }

    [Theory]
    [InlineData(400, 1.0)]
    [InlineData(60, 1.3)]
    public void WhatCannotBeHadIsWaitedForInVainForABoundedTimeAndSaid(double distance, double ratio)
    {
        var rows = new JsonArray();
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        Row(rows, () => distance, () => ratio, 0.1, () => { });
        Assert.InRange(System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds, 0.1, 60);
        JsonObject row = Assert.Single(rows)!.AsObject();
        Assert.Equal(distance > CoreDistance.NearNanoseconds, EvenCores.WereFar(row));
        Assert.Equal(ratio > CoreSpeed.LikeRatio, EvenCores.WereUnlike(row));
        Assert.True((double)row["coreWaitSeconds"]! >= 0.1);
        Assert.Equal(ratio > CoreSpeed.LikeRatio ? (int)row["coreSpeedRatio"]!["looks"]! : 0, (int)row["coreSpeedRatio"]!["unlike"]!);
    }

    [Fact]
    public void ASpeedThatIsNotKnownIsNotWaitedForAndNotWritten()
    {
        var rows = new JsonArray();
        Row(rows, () => 60, () => double.NaN, 60, () => { });
        JsonObject row = Assert.Single(rows)!.AsObject();
        Assert.Equal(0, (double)row["coreWaitSeconds"]!);
        Assert.False(row.ContainsKey("coreSpeedRatio"));
        Assert.False(EvenCores.WereUnlike(row));
    }

    [Fact]
    public void CoresThatNeverAreNearAreWaitedForTwiceInARun()
    {
        var rows = new JsonArray();
        var nearness = new CoreNearness();
        for (int i = 0; i < 4; i++) Row(rows, () => 470 + i, () => 1, 0.1, () => { }, nearness);
        Assert.Equal([true, true, false, false], rows.Select(r => (double)r!["coreWaitSeconds"]! >= 0.1));
        Assert.All(rows, r => Assert.True(EvenCores.WereFar(r!.AsObject())));
        Assert.Equal(470, nearness.Least);
        Assert.False(nearness.IsWaitedFor);
        // Equal speed is waited for all the same.
        Row(rows, () => 470, () => 1.3, 0.1, () => { }, nearness);
        Assert.True((double)rows[^1]!["coreWaitSeconds"]! >= 0.1);
    }

    [Fact]
    public void NearCoresThatWereSeenAreWaitedForAgain()
    {
        var rows = new JsonArray();
        var nearness = new CoreNearness();
        foreach (double distance in (double[])[470, 470, 470, 60, 330, 470, 470]) Row(rows, () => distance, () => 1, 0.1, () => { }, nearness);
        Assert.Equal([true, true, false, false, true, true, false], rows.Select(r => (double)r!["coreWaitSeconds"]! >= 0.1));
        // Nobody got near cores by waiting, so no wait is worth its whole time.
        Assert.InRange(nearness.MostWaitSeconds, 1, 10);
        Assert.False(nearness.IsWaitedFor);
        nearness = new CoreNearness();
        var distances = new Queue<double>([400, 330, 60]);
        Row(rows, () => Next(distances), () => 1, 60, () => { }, nearness);
        Assert.True(nearness.IsWaitedFor);
        Assert.True(nearness.MostWaitSeconds > 20);
    }

    [Fact]
    public void ATrialWaitsAsARoundDoesAndTheRowSaysWhatItsRoundsBeganWith()
    {
        var rows = new JsonArray();
        var nearness = new CoreNearness();
        var distances = new Queue<double>([400, 60, 330, 50]);
        var ratios = new Queue<double>([1.3, 1.02, 1.01]);
        using (var context = new VerbContext(new VerbSettings { Quiet = true }, CancellationToken.None))
        using (var cores = new EvenCores(context, s_three, rows, () => Next(distances), () => Next(ratios), 60, nearness))
        {
            cores.BeforeTrial();
            Assert.Equal((2, 1), (distances.Count, ratios.Count));
            cores.Options.BeforeRound!();
            rows.Add(new JsonObject());
        }
        JsonNode row = Assert.Single(rows)!;
        Assert.Equal([50.0, 50.0], row["coreRoundTripNs"]!.AsArray().Select(v => (double)v!));
        Assert.Equal(1.01, (double)row["coreSpeedRatio"]!["highest"]!);
    }

    [Fact]
    public void WhatATrialWaitedInVainIsOneWait()
    {
        using var context = new VerbContext(new VerbSettings { Quiet = true }, CancellationToken.None);
        var nearness = new CoreNearness();
        using var cores = new EvenCores(context, s_three, [], () => 470, () => 1, 0.1, nearness);
        cores.BeforeTrial();
        cores.Options.BeforeRound!();
        Assert.True(nearness.IsWaitedFor);
    }

    [Fact]
    public void OnlyItsOwnRowsAreMarkedAndTheyAllAre()
    {
        var rows = new JsonArray { new JsonObject { ["before"] = true } };
        using (var context = new VerbContext(new VerbSettings { Quiet = true }, CancellationToken.None))
        using (var cores = new EvenCores(context, s_three, rows, () => 60, () => 1, 60))
        {
            cores.Options.BeforeRound!();
            rows.Add(new JsonObject());
            rows.Add(new JsonObject());
        }
        Assert.Equal([null, false, false], rows.Select(r => EvenCores.WereFar(r!.AsObject())));
    }

    [Fact]
    public void ACancelledRunDoesNotWait()
    {
        using var stop = new CancellationTokenSource();
        using var context = new VerbContext(new VerbSettings { Quiet = true }, stop.Token);
        using var cores = new EvenCores(context, s_three, [], () => 400, () => 1.3, 3600);
        stop.CancelAfter(50);
        Assert.Throws<OperationCanceledException>(cores.Options.BeforeRound!);
    }

    [Fact]
    public void WaitingCountsInNoTimeAndInNoBudget()
    {
        int waits = 0;
        TimingOptions options = new(5, 0, MostSeconds: 0.2)
        {
            BeforeRound = () =>
            {
                waits++;
                Thread.Sleep(60);
            },
        };
        IReadOnlyList<Timing> times = InterleavedTimer.Measure([("a", () => { }), ("b", () => { })], options);
        Assert.Equal(5, waits);
        Assert.All(times, t => Assert.Equal(5, t.Milliseconds.Length));
        Assert.All(times, t => Assert.True(t.Median < 60));
    }

    private static void Row(JsonArray rows, Func<double> distance, Func<double> speed, double mostWaitSeconds, Action run, CoreNearness? nearness = null)
    {
        using var context = new VerbContext(new VerbSettings { Quiet = true }, CancellationToken.None);
        using var cores = new EvenCores(context, s_three, rows, distance, speed, mostWaitSeconds, nearness);
        IReadOnlyList<Timing> times = InterleavedTimer.Measure([("only", run)], cores.Options);
        rows.Add(new JsonObject { ["variants"] = new JsonArray(Figure.ToJson(times[0])) });
    }

    private static double Next(Queue<double> values) => values.Count > 1 ? values.Dequeue() : values.Peek();
}

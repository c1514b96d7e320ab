using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Tests;

public class WorkerPoolTests
{
    private static readonly string[] s_shell = ["/bin/sh", "-c"];

    [SkippableFact]
    public async Task Work_runs_in_parallel_its_progress_adds_up_and_failures_are_told()
    {
        Skip.IfNot(File.Exists("/bin/sh"), "needs /bin/sh");
        double last = 0;
        var pool = new WorkerPool(s_shell, 2);
        IReadOnlyList<WorkOutcome> outcomes = await pool.RunAsync(
        [
            new WorkItem("a", ["echo 'progress 0.5 half'"]), new WorkItem("b", ["echo why >&2; exit 3"]), new WorkItem("c", ["true"]),
        ], (done, _) => last = Math.Max(last, done));
        Assert.Equal([0, 3, 0], outcomes.Select(o => o.ExitCode));
        Assert.Equal("why", outcomes[1].Errors);
        Assert.Equal(3, last);
    }

    [SkippableFact]
    public async Task Cancelling_stops_the_workers()
    {
        Skip.IfNot(File.Exists("/bin/sh"), "needs /bin/sh");
        using var cancel = new CancellationTokenSource(200);
        var watch = System.Diagnostics.Stopwatch.StartNew();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => new WorkerPool(s_shell, 1).RunAsync([new WorkItem("a", ["sleep 60"]), new WorkItem("b", ["sleep 60"])], null, cancel.Token));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(30));
    }
}

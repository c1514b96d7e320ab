using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Tests;

public class WorkerPoolTests
{
    private static readonly string[] s_shell = ["/bin/sh", "-c"];

    [SkippableFact]
    public async Task Work_runs_in_parallel_its_progress_adds_up_and_failures_are_told()
    {
        Skip.IfNot(File.Exists("/bin/sh"), "needs /bin/sh");
        var told = new List<double>();
        var pool = new WorkerPool(s_shell, 2);
        IReadOnlyList<WorkOutcome> outcomes = await pool.RunAsync(
        [
            new WorkItem("a", ["echo 'progress 0.5 half'"]), new WorkItem("b", ["echo why >&2; exit 3"]), new WorkItem("c", ["true"]),
        ], (done, _) => told.Add(done));
        Assert.Equal([0, 3, 0], outcomes.Select(o => o.ExitCode));
        Assert.Equal("why", outcomes[1].Errors);
        // One at a time, and never less than before.
        Assert.Equal(told.Order(), told);
        Assert.Equal(3, told[^1]);
    }

    [SkippableFact]
    public async Task Cancelling_stops_the_workers()
    {
        Skip.IfNot(File.Exists("/bin/sh"), "needs /bin/sh");
        using var cancel = new CancellationTokenSource(200);
        // It ends when its workers have: they would take longer than anybody waits.
        Task run = new WorkerPool(s_shell, 1).RunAsync([new WorkItem("a", ["sleep 7200"]), new WorkItem("b", ["sleep 7200"])], null, cancel.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run.WaitAsync(TimeSpan.FromMinutes(30)));
    }
}

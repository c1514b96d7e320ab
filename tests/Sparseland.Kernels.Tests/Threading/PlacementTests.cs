using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Tests.Threading;

public class PlacementTests
{
    [SkippableFact]
    public void A_worker_leaves_the_processor_of_the_thread_that_gives_it_work_and_may_come_back()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "placement is Linux only");
        Skip.If(Environment.ProcessorCount < 2, "one processor: there is nowhere to go");
        int moved = 0;
        bool same = true;
        var thread = new Thread(() =>
        {
            var placement = new Placement();
            placement.Attach();
            string before = Allowed();
            for (int i = 0; i < 20; i++)
            {
                int giver = Placement.Current;
                placement.Leave(giver);
                if (Placement.Current != giver) moved++;
                same &= Allowed() == before;
                Thread.Sleep(2);
            }
        });
        thread.Start();
        thread.Join();
        // The system may bring it back at any moment.
        Assert.True(moved >= 15, $"left {moved} times of 20");
        Assert.True(same, "the processors it may use have changed");
    }

    private static string Allowed() => File.ReadLines("/proc/thread-self/status").First(l => l.StartsWith("Cpus_allowed:", StringComparison.Ordinal));
}

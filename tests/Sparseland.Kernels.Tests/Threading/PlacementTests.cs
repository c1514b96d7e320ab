using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Tests.Threading;

public class PlacementTests
{
    [SkippableFact]
    public void A_worker_kept_off_a_processor_runs_elsewhere_until_it_is_released()
    {
        SkipWhereThereIsNoPlace();
        string before = "", during = "", after = "";
        int processor = -1;
        OnThreadOfItsOwn(() =>
        {
            var placement = new Placement();
            placement.Attach();
            before = Allowed();
            placement.LeaveOutCurrent();
            during = Allowed();
            processor = Placement.Current;
            placement.Release();
            after = Allowed();
        });
        int[] left = Processors(during);
        Assert.Equal(Processors(before).Length - 1, left.Length);
        Assert.Contains(processor, left);
        Assert.Equal(before, after);
    }

    [SkippableFact]
    public void A_worker_on_the_processor_of_the_thread_that_gives_it_work_leaves_it_and_may_come_back()
    {
        SkipWhereThereIsNoPlace();
        int moved = 0;
        bool same = true;
        OnThreadOfItsOwn(() =>
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
        // It is allowed everywhere again, so a busy system may bring it back before it is looked at: how often says nothing.
        Assert.True(moved > 0, "never left in 20 times");
        Assert.True(same, "the processors it may use have changed");
    }

    [SkippableFact]
    public void A_thread_that_is_kept_on_a_processor_runs_there()
    {
        SkipWhereThereIsNoPlace();
        int[] known = Placement.Processors();
        Assert.Equal(Processors(Allowed()), known);
        foreach (int processor in known)
        {
            bool kept = false;
            int at = -1;
            OnThreadOfItsOwn(() =>
            {
                kept = Placement.Pin(processor);
                at = Placement.Current;
            });
            Assert.True(kept);
            Assert.Equal(processor, at);
        }
    }

    private static void SkipWhereThereIsNoPlace()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "placement is Linux only");
        Skip.If(Environment.ProcessorCount < 2, "one processor: there is nowhere to go");
    }

    private static void OnThreadOfItsOwn(Action action)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                action();
            }
            catch (Exception e)
            {
                failure = e;
            }
        });
        thread.Start();
        thread.Join();
        Assert.Null(failure);
    }

    /// <summary>The processors the calling thread may run on, as ranges: "0-3,7".</summary>
    private static string Allowed()
    {
        const string Key = "Cpus_allowed_list:";
        return File.ReadLines("/proc/thread-self/status").First(l => l.StartsWith(Key, StringComparison.Ordinal))[Key.Length..].Trim();
    }

    private static int[] Processors(string ranges) =>
        [.. ranges.Split(',').Select(r => r.Split('-')).SelectMany(r => Enumerable.Range(int.Parse(r[0]), int.Parse(r[^1]) - int.Parse(r[0]) + 1))];
}

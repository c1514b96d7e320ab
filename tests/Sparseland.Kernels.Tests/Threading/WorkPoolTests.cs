using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Tests.Threading;

[Collection("threads")]
public class WorkPoolTests
{
    [Fact]
    public void A_number_of_threads_that_is_none_is_refused()
    {
        Assert.Equal(7, WorkPool.Choose(null, 7));
        Assert.Equal(7, WorkPool.Choose(" ", 7));
        Assert.Equal(3, WorkPool.Choose("3", 7));
        foreach (string bad in new[] { "abc", "0", "-1", "1025", "5000", "2.5" })
            Assert.Contains($"SPARSELAND_THREADS is '{bad}'; expected a number from 1 to 1024", Assert.Throws<ArgumentException>(() => WorkPool.Choose(bad, 7)).Message);
    }

    [Fact]
    public void Every_part_runs_once_whatever_the_number_of_threads()
    {
        int before = WorkPool.Threads;
        try
        {
            foreach (int threads in new[] { 1, 2, 3, 16 })
            {
                WorkPool.Threads = threads;
                foreach (int parts in new[] { 0, 1, 2, 5, 1000 })
                {
                    for (int round = 0; round < 50; round++)
                    {
                        var runs = new int[parts];
                        WorkPool.For(parts, p => Interlocked.Increment(ref runs[p]));
                        Assert.All(runs, r => Assert.Equal(1, r));
                    }
                }
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }

    [Fact]
    public void As_many_threads_as_are_set_run_at_the_same_time()
    {
        int before = WorkPool.Threads;
        try
        {
            foreach (int threads in new[] { 2, 3, 19 })
            {
                WorkPool.Threads = threads;
                // Every part waits until all have begun: fewer threads would never end.
                using var all = new Barrier(threads);
                WorkPool.For(threads, _ => Assert.True(all.SignalAndWait(TimeSpan.FromSeconds(60)), $"{threads} threads did not meet"));
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }
    }

    [Fact]
    public void A_failing_part_is_reported_and_the_pool_goes_on()
    {
        for (int round = 0; round < 20; round++)
        {
            int bad = round;
            var error = Assert.Throws<InvalidOperationException>(() => WorkPool.For(40, p =>
            {
                if (p == bad) throw new InvalidOperationException("part");
            }));
            Assert.Equal("part", error.Message);
            int count = 0;
            WorkPool.For(40, _ => Interlocked.Increment(ref count));
            Assert.Equal(40, count);
        }
    }

    [Fact]
    public void Calls_from_many_threads_and_from_within_parts_all_finish()
    {
        long sum = 0;
        Parallel.For(0, 64, _ => WorkPool.For(20, _ => WorkPool.For(5, p => Interlocked.Add(ref sum, p))));
        Assert.Equal(64L * 20 * 10, sum);
    }

    [Fact]
    public void Announced_work_runs_as_any_other_and_announcements_nest()
    {
        int before = WorkPool.Threads;
        try
        {
            foreach (int threads in new[] { 1, 3 })
            {
                WorkPool.Threads = threads;
                using (WorkPool.KeepAwake())
                {
                    using (WorkPool.KeepAwake()) Count();
                    Thread.Sleep(20); // longer than a worker stays awake
                    Count();
                }
                Count();
            }
        }
        finally
        {
            WorkPool.Threads = before;
        }

        static void Count()
        {
            int count = 0;
            WorkPool.For(50, _ => Interlocked.Increment(ref count));
            Assert.Equal(50, count);
        }
    }
}

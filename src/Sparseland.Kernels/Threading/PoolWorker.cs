using System.Diagnostics;

namespace Sparseland.Kernels.Threading;

/// <summary>A thread of the pool: waits for jobs awake for a while, then asleep.</summary>
/// <remarks>
/// Waking a sleeping thread takes 20 to 100 microseconds on a virtual machine, as long as a whole kernel of a small network.
/// So a worker spins: between kernels without announcement for a millisecond, between the announced kernels of one run
/// (<see cref="WorkPool.KeepAwake"/>) longer than any serial step of a network takes.
/// </remarks>
internal sealed class PoolWorker(int index)
{
    private const int SpinsBetweenYields = 128;
    private const double AwakeMilliseconds = 1;
    private const double AnnouncedMilliseconds = 5;

    private readonly SemaphoreSlim _wake = new(0);
    private readonly Placement _placement = new();
    private int _asleep;

    /// <summary>Wakes the thread if it sleeps or is about to.</summary>
    public void Wake()
    {
        if (Volatile.Read(ref _asleep) == 0 || Interlocked.Exchange(ref _asleep, 0) == 0) return;
        _placement.LeaveOutCurrent();
        _wake.Release();
    }

    /// <summary>Takes jobs for ever.</summary>
    public void Loop()
    {
        _placement.Attach();
        int seen = 0;
        while (true)
        {
            if (!WaitAwake(seen) && !Sleep(seen)) continue;
            seen = WorkPool.JobsGiven;
            if (WorkPool.Current is not { } job || index >= job.Threads) continue;
            _placement.Leave(WorkPool.Giver);
            job.Take(index);
        }
    }

    private bool WaitAwake(int seen)
    {
        long start = Stopwatch.GetTimestamp();
        for (int round = 1; ; round++)
        {
            if (WorkPool.JobsGiven != seen) return true;
            Thread.SpinWait(1);
            if (round % SpinsBetweenYields != 0) continue;
            double waited = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            if (waited > (WorkPool.KeptAwake ? AnnouncedMilliseconds : AwakeMilliseconds)) return false;
            if (WorkPool.KeptAwake) _placement.Leave(WorkPool.Giver);
            // On a busy machine somebody else can use the processor.
            Thread.Yield();
        }
    }

    // True when a job came just before the thread would have slept; false after a sleep.
    private bool Sleep(int seen)
    {
        Interlocked.Exchange(ref _asleep, 1);
        if (WorkPool.JobsGiven != seen && Interlocked.Exchange(ref _asleep, 0) != 0) return true;
        _wake.Wait();
        _placement.Release();
        return false;
    }
}

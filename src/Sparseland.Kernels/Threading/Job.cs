using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace Sparseland.Kernels.Threading;

/// <summary>Parts that were given out, and how many are left.</summary>
internal abstract class Job(int parts, int threads)
{
    private const int SpinsBetweenYields = 256;
    private const double SpinMilliseconds = 20;

    private int _left = parts;
    private Exception? _error;

    /// <summary>Threads that share the parts, the caller's included.</summary>
    public int Threads { get; } = threads;

    protected bool Failed => Volatile.Read(ref _error) is not null;

    /// <summary>Runs parts until none is left to take, beginning with the share of thread <paramref name="thread"/>.</summary>
    public abstract void Take(int thread);

    /// <summary>Waits for parts, not for threads: one that the system has not woken yet holds nobody up.</summary>
    /// <remarks>
    /// What is left is at most one part per thread, so the wait is short. It never sleeps before it has lasted longer than
    /// any part of a kernel: <see cref="SpinWait"/> sleeps a millisecond after 20 rounds, which cost ResNet-50 (53 kernels,
    /// two threads) a third of its time.
    /// </remarks>
    public void WaitForParts()
    {
        if (Volatile.Read(ref _left) <= 0) return;
        long start = Stopwatch.GetTimestamp();
        for (int round = 1; Volatile.Read(ref _left) > 0; round++)
        {
            if (round % SpinsBetweenYields != 0) Thread.SpinWait(1);
            else if (Stopwatch.GetElapsedTime(start).TotalMilliseconds < SpinMilliseconds) Thread.Yield();
            else Thread.Sleep(1);
        }
    }

    public void Rethrow()
    {
        if (_error is not null) ExceptionDispatchInfo.Throw(_error);
    }

    protected void Fail(Exception e) => Interlocked.CompareExchange(ref _error, e, null);

    protected void Done(int count) => Interlocked.Add(ref _left, -count);
}

/// <summary>A <see cref="Job"/> whose parts the JIT can inline.</summary>
internal sealed class Job<TWork>(int parts, int threads, TWork work) : Job(parts, threads) where TWork : IParts
{
    // Counters of different threads lie on cache lines of their own.
    private const int Stride = 32;

    private readonly TWork _work = work;
    private readonly int _parts = parts;
    private readonly int[] _next = new int[(threads + 1) * Stride];

    public override void Take(int thread)
    {
        int done = 0;
        for (int i = 0; i < Threads; i++)
        {
            int owner = thread + i < Threads ? thread + i : thread + i - Threads;
            int first = First(owner), count = First(owner + 1) - first;
            ref int next = ref _next[(owner + 1) * Stride];
            // A look before the locked step: shares that are used up are only read.
            while (Volatile.Read(ref next) < count)
            {
                int part = Interlocked.Increment(ref next) - 1;
                if (part >= count) break;
                try
                {
                    // After a failure the remaining parts are counted and not run.
                    if (!Failed) _work.Run(first + part);
                }
                catch (Exception e)
                {
                    Fail(e);
                }
                done++;
            }
        }
        if (done > 0) Done(done);
    }

    private int First(int thread) => (int)((long)_parts * thread / Threads);
}

using System.Diagnostics;
using Sparseland.Kernels.Threading;

namespace Sparseland.Runtime.Planning;

/// <summary>Says whether a time that is measured now would mean anything.</summary>
internal static class Disturbance
{
    private const int Milliseconds = 30;

    /// <summary>Why a time of this moment would say nothing about kernels; null when it would.</summary>
    public static string? Now()
    {
        if (!IsQuiet()) return "other programs use the processors";
        if (WorkPool.Threads == 1) return null;
        double nanoseconds = CoreDistance.Nanoseconds();
        return nanoseconds > CoreDistance.NearNanoseconds ? $"the cores are far from each other ({nanoseconds:0} ns there and back)" : null;
    }

    /// <summary>Whether as many threads as kernels use get a processor each, for some milliseconds.</summary>
    private static bool IsQuiet()
    {
        int threads = Math.Min(WorkPool.Threads, Environment.ProcessorCount);
        // Threads of the pool that still wait awake would count as others do.
        Thread.Sleep(Milliseconds);
        TimeSpan used = Environment.CpuUsage.TotalTime;
        long start = Stopwatch.GetTimestamp();
        Thread[] spinners = [.. Enumerable.Range(0, threads).Select(_ => new Thread(() =>
        {
            while (Stopwatch.GetElapsedTime(start).TotalMilliseconds < Milliseconds) Thread.SpinWait(20);
        }))];
        foreach (Thread spinner in spinners) spinner.Start();
        foreach (Thread spinner in spinners) spinner.Join();
        return Environment.CpuUsage.TotalTime - used > 0.9 * threads * Stopwatch.GetElapsedTime(start);
    }
}

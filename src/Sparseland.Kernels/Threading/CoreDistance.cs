using System.Diagnostics;

namespace Sparseland.Kernels.Threading;

/// <summary>How long a cache line takes from one core to another and back.</summary>
/// <remarks>
/// A hypervisor moves virtual cores among the chiplets of a server. Measured on a guest with two: 50 to 75 ns while they share a third-level cache, 320 to 370 ns while they
/// do not, for seconds to minutes at a time; whatever two threads exchange is slower then, in every engine.
/// So timings with several threads mean something only beside this number.
/// </remarks>
public static class CoreDistance
{
    /// <summary>Nanoseconds below which two cores share a cache.</summary>
    public const double NearNanoseconds = 150;

    private const int MeasureMilliseconds = 5;

    // Alone on its line and the next, which is fetched along.
    private static readonly int[] s_turn = new int[96];
    private static readonly Lock s_gate = new();

    /// <summary>Nanoseconds there and back between the calling thread's core and another thread's, the fastest of three measurements of a few milliseconds each.</summary>
    public static double Nanoseconds()
    {
        lock (s_gate) return Enumerable.Range(0, 3).Min(_ => Once());
    }

    private static double Once()
    {
        bool over = false;
        var other = new Thread(() =>
        {
            while (!Volatile.Read(ref over))
            {
                if (Volatile.Read(ref s_turn[32]) == 1) Volatile.Write(ref s_turn[32], 0);
            }
        })
        { IsBackground = true };
        other.Start();
        // Both run before the clock does.
        RoundTrip();
        long start = Stopwatch.GetTimestamp(), trips = 0;
        for (; Stopwatch.GetElapsedTime(start).TotalMilliseconds < MeasureMilliseconds; trips += 100)
        {
            for (int i = 0; i < 100; i++) RoundTrip();
        }
        double nanoseconds = Stopwatch.GetElapsedTime(start).TotalNanoseconds / trips;
        Volatile.Write(ref over, true);
        other.Join();
        return nanoseconds;
    }

    private static void RoundTrip()
    {
        Volatile.Write(ref s_turn[32], 1);
        while (Volatile.Read(ref s_turn[32]) != 0) Thread.SpinWait(0);
    }
}

using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Kernels.Threading;

namespace Sparseland.Bench.Figures;

/// <summary>How long a cache line takes from one core to another and back.</summary>
/// <remarks>
/// A hypervisor moves virtual cores among the chiplets of a server. Measured on a guest with two: 55 to 75 ns while they share a third-level cache, 320 to 370 ns while they
/// do not, for seconds to minutes at a time; whatever two threads exchange is slower then (ResNet-20: 1.5 ms instead of 0.7, an earlier build), in every engine. So rows with several
/// threads begin when cores are near, and say how far they were before and after.
/// </remarks>
internal static class CoreDistance
{
    private const double NearNanoseconds = 150;
    private const int MeasureMilliseconds = 5, MostWaitSeconds = 20;

    // Alone on its line and the next, which is fetched along.
    private static readonly int[] s_turn = new int[96];

    /// <summary>Waits a while for cores that are near, then measures; with one thread it only measures.</summary>
    /// <returns>The row, with the distance before and after where there are several threads.</returns>
    public static JsonObject Around(VerbContext context, Func<JsonObject> measure)
    {
        if (WorkPool.Threads == 1) return measure();
        long start = Stopwatch.GetTimestamp();
        double before = Nanoseconds();
        while (before > NearNanoseconds && Stopwatch.GetElapsedTime(start).TotalSeconds < MostWaitSeconds)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            Thread.Sleep(200);
            before = Nanoseconds();
        }
        JsonObject row = measure();
        double after = Nanoseconds();
        row["coreRoundTripNs"] = new JsonArray(Math.Round(before), Math.Round(after));
        if (Math.Max(before, after) > NearNanoseconds) context.Warn($"cores were far from each other: {before:0} ns there and back before, {after:0} ns after; measure this row again");
        return row;
    }

    /// <summary>The fastest of three measurements of a few milliseconds each.</summary>
    public static double Nanoseconds() => Enumerable.Range(0, 3).Min(_ => Once());

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

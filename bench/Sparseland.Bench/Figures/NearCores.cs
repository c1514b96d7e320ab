using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Kernels.Threading;

namespace Sparseland.Bench.Figures;

/// <summary>Rows with several threads begin when cores are near, and say how far they were before and after: see <see cref="CoreDistance"/>.</summary>
internal static class NearCores
{
    private const int MostWaitSeconds = 20;

    /// <summary>Waits a while for cores that are near, then measures; with one thread it only measures.</summary>
    /// <returns>The row, with the distance before and after where there are several threads.</returns>
    public static JsonObject Around(VerbContext context, Func<JsonObject> measure)
    {
        if (WorkPool.Threads == 1) return measure();
        long start = Stopwatch.GetTimestamp();
        double before = CoreDistance.Nanoseconds();
        while (before > CoreDistance.NearNanoseconds && Stopwatch.GetElapsedTime(start).TotalSeconds < MostWaitSeconds)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            Thread.Sleep(200);
            before = CoreDistance.Nanoseconds();
        }
        JsonObject row = measure();
        double after = CoreDistance.Nanoseconds();
        row["coreRoundTripNs"] = new JsonArray(Math.Round(before), Math.Round(after));
        if (Math.Max(before, after) > CoreDistance.NearNanoseconds) context.Warn($"cores were far from each other: {before:0} ns there and back before, {after:0} ns after; measure this row again");
        return row;
    }
}

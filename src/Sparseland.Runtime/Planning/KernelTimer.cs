using System.Diagnostics;

namespace Sparseland.Runtime.Planning;

/// <summary>Times candidates for the same work, taking turns so that a busy machine hurts all alike.</summary>
internal static class KernelTimer
{
    // Calls of some microseconds: fewer rounds are over before a disturbance is (two threads, 768 x 768 by 16 rows: points of 0.85 and 1.15 a second apart).
    private const int MostRounds = 2000;

    /// <summary>The best time of each candidate in microseconds.</summary>
    /// <param name="budgetMilliseconds">Stops after this long, but not before three rounds.</param>
    /// <param name="cancellation">Stops between calls.</param>
    /// <param name="candidates">Each is called several times.</param>
    public static double[] Best(double budgetMilliseconds, CancellationToken cancellation, params ReadOnlySpan<Action> candidates) => [.. Times(budgetMilliseconds, candidates, false, cancellation).Select(t => t.Min())];

    /// <summary>The best time of each candidate in microseconds where it has just run: its data is where a run of nothing else leaves it, though all candidates together fill the caches.</summary>
    /// <inheritdoc cref="Best"/>
    public static double[] BestAgain(double budgetMilliseconds, params ReadOnlySpan<Action> candidates) => [.. Times(budgetMilliseconds, candidates, true, CancellationToken.None).Select(t => t.Min())];

    /// <summary>The median time of each candidate in microseconds.</summary>
    /// <inheritdoc cref="Best"/>
    public static double[] Medians(double budgetMilliseconds, params ReadOnlySpan<Action> candidates) => [.. Times(budgetMilliseconds, candidates, false, CancellationToken.None).Select(t => t.Order().ElementAt(t.Count / 2))];

    private static List<double>[] Times(double budgetMilliseconds, ReadOnlySpan<Action> candidates, bool again, CancellationToken cancellation)
    {
        var times = new List<double>[candidates.Length];
        for (int i = 0; i < times.Length; i++)
        {
            times[i] = new List<double>(MostRounds);
            cancellation.ThrowIfCancellationRequested();
            candidates[i]();
        }
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < MostRounds; round++)
        {
            for (int i = 0; i < candidates.Length; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                if (again) candidates[i]();
                long at = Stopwatch.GetTimestamp();
                candidates[i]();
                times[i].Add(Stopwatch.GetElapsedTime(at).TotalMicroseconds);
            }
            if (round >= 2 && Stopwatch.GetElapsedTime(start).TotalMilliseconds > budgetMilliseconds) break;
        }
        return times;
    }
}

using System.Diagnostics;

namespace Sparseland.Runtime.Planning;

/// <summary>Times candidates for the same work, taking turns so that a busy machine hurts all alike.</summary>
internal static class KernelTimer
{
    // Points are kept: with calls of some microseconds fewer rounds are over before a disturbance is (two threads, 768 x 768 by 16 rows: points of 0.85 and 1.15 a second apart). A plan times every layer anew, small ones for a fraction of its budget.
    private const int MostRounds = 300, ManyRounds = 2000;

    /// <summary>The best time of each candidate in microseconds.</summary>
    /// <param name="budgetMilliseconds">Stops after this long, but not before three rounds.</param>
    /// <param name="cancellation">Stops between calls.</param>
    /// <param name="candidates">Each is called several times.</param>
    public static double[] Best(double budgetMilliseconds, CancellationToken cancellation, params ReadOnlySpan<Action> candidates) => [.. Times(budgetMilliseconds, candidates, MostRounds, false, cancellation).Select(t => t.Min())];

    /// <summary>The same for points that are kept: small candidates are timed for as long as large ones.</summary>
    /// <param name="budgetMilliseconds">Stops after this long, but not before three rounds.</param>
    /// <param name="again">Whether a candidate is timed where it has just run: its data is where a run of nothing else leaves it, though all candidates together fill the caches.</param>
    /// <param name="candidates">Each is called several times.</param>
    public static double[] BestOfMany(double budgetMilliseconds, bool again, params ReadOnlySpan<Action> candidates) => [.. Times(budgetMilliseconds, candidates, ManyRounds, again, CancellationToken.None).Select(t => t.Min())];

    /// <summary>The median time of each candidate in microseconds, of as many rounds.</summary>
    /// <param name="budgetMilliseconds">Stops after this long, but not before three rounds.</param>
    /// <param name="candidates">Each is called several times.</param>
    public static double[] Medians(double budgetMilliseconds, params ReadOnlySpan<Action> candidates) => [.. Times(budgetMilliseconds, candidates, ManyRounds, false, CancellationToken.None).Select(t => t.Order().ElementAt(t.Count / 2))];

    private static List<double>[] Times(double budgetMilliseconds, ReadOnlySpan<Action> candidates, int mostRounds, bool again, CancellationToken cancellation)
    {
        var times = new List<double>[candidates.Length];
        for (int i = 0; i < times.Length; i++)
        {
            times[i] = new List<double>(mostRounds);
            cancellation.ThrowIfCancellationRequested();
            candidates[i]();
        }
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < mostRounds; round++)
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

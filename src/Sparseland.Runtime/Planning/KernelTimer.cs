using System.Diagnostics;

namespace Sparseland.Runtime.Planning;

/// <summary>Times candidates for the same work, taking turns so that a busy machine hurts all alike.</summary>
internal static class KernelTimer
{
    private const int MostRounds = 300;

    /// <summary>The best time of each candidate in microseconds.</summary>
    /// <param name="budgetMilliseconds">Stops after this long, but not before three rounds.</param>
    /// <param name="candidates">Each is called several times.</param>
    public static double[] Best(double budgetMilliseconds, params ReadOnlySpan<Action> candidates)
    {
        var best = new double[candidates.Length];
        Array.Fill(best, double.PositiveInfinity);
        foreach (Action candidate in candidates) candidate();
        long start = Stopwatch.GetTimestamp();
        for (int round = 0; round < MostRounds; round++)
        {
            for (int i = 0; i < candidates.Length; i++)
            {
                long at = Stopwatch.GetTimestamp();
                candidates[i]();
                best[i] = Math.Min(best[i], Stopwatch.GetElapsedTime(at).TotalMicroseconds);
            }
            if (round >= 2 && Stopwatch.GetElapsedTime(start).TotalMilliseconds > budgetMilliseconds) break;
        }
        return best;
    }
}

using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Sparseland.Kernels.Threading;

/// <summary>How much faster one core works than another at the same moment.</summary>
/// <remarks>
/// A virtual core shares a physical one with a neighbour that comes and goes, or has another frequency. Measured on a guest with two: for seconds at a time one takes a fifth longer than the other
/// for the same multiply-adds from registers, and two threads that share work evenly wait for it. So timings with several threads mean something only beside this number, like
/// <see cref="CoreDistance"/>. For about a second at a time both can also be the two halves of one physical core, equally fast and each of half the speed: so one works alone as well.
/// </remarks>
public static class CoreSpeed
{
    /// <summary>The ratio up to which cores count as equally fast.</summary>
    public const double LikeRatio = 1.05;

    // All cores at work clock lower than one alone on many processors, but not by a quarter; two halves of one core take up to twice as long.
    private const double SharedRatio = 1.25;

    private const int Slices = 15;

    // About a tenth of a millisecond: short beside a time slice of the system, long beside the clock.
    private const int Rounds = 100_000;
    private static readonly Lock s_gate = new();

    /// <summary>
    /// The slowest core's time for a loop in registers over the fastest one's, at least 1; all cores work at the same time, each for one to two milliseconds. Where the fastest takes more than a quarter
    /// longer than the first core alone, over that core's time: cores share what they compute with.
    /// </summary>
    /// <param name="cores">How many, the first ones that the process may use; more than there are means all.</param>
    /// <returns>1 where there is one core only, NaN where threads cannot be kept on a core (only Linux knows how).</returns>
    /// <exception cref="ArgumentOutOfRangeException">Less than one core.</exception>
    public static double Ratio(int cores)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(cores, 1);
        int[] processors = Placement.Processors();
        if (processors.Length == 0) return double.NaN;
        if (processors.Length > cores) processors = processors[..cores];
        if (processors.Length == 1) return 1;
        lock (s_gate)
        {
            double alone = Measure(processors[..1])[0];
            return Ratio(alone, Measure(processors));
        }
    }

    /// <summary>The ratio that times mean: of the first core alone, and of each while all work.</summary>
    internal static double Ratio(double alone, ReadOnlySpan<double> together)
    {
        double slowest = together[0], fastest = together[0];
        foreach (double time in together) (slowest, fastest) = (Math.Max(slowest, time), Math.Min(fastest, time));
        return slowest / (fastest > SharedRatio * alone ? alone : fastest);
    }

    /// <summary>The median time of a slice on each core; NaN for one on which no thread could be kept.</summary>
    private static double[] Measure(int[] processors)
    {
        var times = new double[processors.Length];
        using var together = new Barrier(processors.Length);
        Thread[] threads = [.. processors.Select((processor, i) => new Thread(() =>
        {
            bool kept = Placement.Pin(processor);
            var slices = new double[Slices];
            // Nobody begins before all are there: a core is slower while its neighbours work too, and that is what is asked.
            together.SignalAndWait();
            for (int s = 0; s < Slices; s++)
            {
                long start = Stopwatch.GetTimestamp();
                Work(Rounds);
                slices[s] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }
            Array.Sort(slices);
            times[i] = kept ? slices[Slices / 2] : double.NaN;
        })
        { IsBackground = true })];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        return times;
    }

    /// <summary>Eight independent multiply-adds a round, as many as the ports take: a neighbour on the same physical core shows, as a lower frequency does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Work(int rounds)
    {
        Vector<float> factor = new(0.999f), a = new(1), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
        for (int i = 0; i < rounds; i++)
        {
            a = Vector.FusedMultiplyAdd(a, factor, factor);
            b = Vector.FusedMultiplyAdd(b, factor, factor);
            c = Vector.FusedMultiplyAdd(c, factor, factor);
            d = Vector.FusedMultiplyAdd(d, factor, factor);
            e = Vector.FusedMultiplyAdd(e, factor, factor);
            f = Vector.FusedMultiplyAdd(f, factor, factor);
            g = Vector.FusedMultiplyAdd(g, factor, factor);
            h = Vector.FusedMultiplyAdd(h, factor, factor);
        }
        return Vector.Sum(a + b + c + d + e + f + g + h);
    }
}

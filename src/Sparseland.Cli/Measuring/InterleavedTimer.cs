using System.Diagnostics;

namespace Sparseland.Cli.Measuring;

/// <summary>The times of one variant.</summary>
/// <param name="Name">The variant.</param>
/// <param name="Milliseconds">Every measured repetition, in order.</param>
internal sealed record Timing(string Name, double[] Milliseconds)
{
    /// <summary>The median.</summary>
    public double Median => Quantile(0.5);

    /// <summary>A distribution-free interval for the median at about 95 %: order statistics n/2 -+ 0.98 sqrt(n).</summary>
    public (double Low, double High) Interval
    {
        get
        {
            double[] sorted = Sorted();
            int n = sorted.Length;
            double half = 0.98 * Math.Sqrt(n);
            int low = Math.Clamp((int)Math.Floor(n / 2.0 - half), 0, n - 1), high = Math.Clamp((int)Math.Ceiling(n / 2.0 + half), 0, n - 1);
            return (sorted[low], sorted[high]);
        }
    }

    /// <summary>The q-quantile, linear between neighbours.</summary>
    public double Quantile(double q)
    {
        double[] sorted = Sorted();
        double position = q * (sorted.Length - 1);
        int below = (int)position;
        return below + 1 < sorted.Length ? sorted[below] + (position - below) * (sorted[below + 1] - sorted[below]) : sorted[below];
    }

    private double[] Sorted()
    {
        var sorted = (double[])Milliseconds.Clone();
        Array.Sort(sorted);
        return sorted;
    }
}

/// <summary>How long and how often to measure.</summary>
/// <param name="Repetitions">At least this many per variant.</param>
/// <param name="Seconds">Goes on until this much time was measured over all variants, or <see cref="MostRepetitions"/>.</param>
/// <param name="PauseMilliseconds">Rest before each repetition, so that the idling threads of one engine (they spin for a while) do not take time from the next.</param>
/// <param name="MostSeconds">The time budget: ends before the repetitions are made when it is spent, but not before three.</param>
internal sealed record TimingOptions(int Repetitions = 30, double Seconds = 10, int PauseMilliseconds = 0, double MostSeconds = double.PositiveInfinity)
{
    /// <summary>The rest before a repetition when an engine in another process takes part with so many threads.</summary>
    /// <remarks>
    /// The idle threads of ONNX Runtime 1.30 look for work for 30 to 100 ms after a run, on the cores that the next engine was promised:
    /// after a rest of 3, 10, 30 and 100 ms a network of ours that takes 7.8 ms with two threads and nobody beside it takes 13.5, 12.3, 9.7 and 8.3.
    /// </remarks>
    public static int PauseBesidePeer(int threads) => threads > 1 ? 100 : 3;

    /// <summary>Runs before each round of all variants, outside every time that is counted: a figure waits here for the machine to be fit for it.</summary>
    public Action? BeforeRound { get; init; }

    /// <summary>Upper bound, so that microsecond models do not run forever.</summary>
    public const int MostRepetitions = 20_000;
}

/// <summary>Times several variants in turn (A B C A B C ...), so that drift of the machine meets all of them alike.</summary>
internal static class InterleavedTimer
{
    private const double UntimedMilliseconds = 10;

    /// <summary>Times actions by the clock of this process.</summary>
    public static IReadOnlyList<Timing> Measure(
        IReadOnlyList<(string Name, Action Run)> variants, TimingOptions options, Action<double>? progress = null, CancellationToken cancellation = default) =>
        MeasureSelfTimed([.. variants.Select(v => (v.Name, Timed(v.Run)))], options, progress, cancellation);

    /// <summary>An action that returns how many milliseconds it took.</summary>
    public static Func<double> Timed(Action run) => () =>
    {
        long start = Stopwatch.GetTimestamp();
        run();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    };

    /// <summary>An action that runs twice and returns how many milliseconds the second run took: the first one wakes the engine's threads and brings its data into the caches.</summary>
    public static Func<double> TimedHot(Action run) => () =>
    {
        run();
        long start = Stopwatch.GetTimestamp();
        run();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    };

    /// <summary>
    /// Runs untimed for some milliseconds, at least once, before each timed run, as in a service under load: threads are awake, the host has given the second core back, and
    /// weights are where the engine left them.
    /// </summary>
    public static Func<double> UnderLoad(Func<double> run) => () =>
    {
        long start = Stopwatch.GetTimestamp();
        do run();
        while (Stopwatch.GetElapsedTime(start).TotalMilliseconds < UntimedMilliseconds);
        return run();
    };

    /// <summary>Warms up until the last times of every variant are steady, then measures.</summary>
    /// <param name="variants">Names and functions that run once and return their milliseconds (a peer in another process knows its own).</param>
    /// <param name="options">How long.</param>
    /// <param name="progress">0 after the warm-up, then up to 1.</param>
    /// <param name="cancellation">Stops between repetitions.</param>
    public static IReadOnlyList<Timing> MeasureSelfTimed(
        IReadOnlyList<(string Name, Func<double> Run)> variants, TimingOptions options, Action<double>? progress = null, CancellationToken cancellation = default)
    {
        for (int v = 0; v < variants.Count; v++) WarmUp(variants[v].Run, cancellation);

        var times = variants.Select(_ => new List<double>()).ToArray();
        // Here the pace begins: nothing is known about it from the warm-up.
        progress?.Invoke(0);
        var total = Stopwatch.StartNew();
        for (int repetition = 0; repetition < TimingOptions.MostRepetitions; repetition++)
        {
            double elapsed = total.Elapsed.TotalSeconds;
            if ((repetition >= options.Repetitions && elapsed >= options.Seconds) || (repetition >= 3 && elapsed >= options.MostSeconds)) break;
            if (options.BeforeRound is { } wait)
            {
                total.Stop();
                wait();
                total.Start();
            }
            for (int v = 0; v < variants.Count; v++)
            {
                cancellation.ThrowIfCancellationRequested();
                // Rotating the order keeps one variant from always running behind the same other one.
                int index = (v + repetition) % variants.Count;
                if (options.PauseMilliseconds > 0) Thread.Sleep(options.PauseMilliseconds);
                times[index].Add(variants[index].Run());
            }
            progress?.Invoke(Done(repetition + 1, total.Elapsed.TotalSeconds, options));
        }
        return [.. variants.Select((v, i) => new Timing(v.Name, [.. times[i]]))];
    }

    /// <summary>The share of the work that is done: repetitions and seconds must both be reached, or the budget.</summary>
    private static double Done(int repetitions, double seconds, TimingOptions options) =>
        Math.Min(1, Math.Max(Math.Min((double)repetitions / options.Repetitions, options.Seconds > 0 ? seconds / options.Seconds : 1), seconds / options.MostSeconds));

    private static void WarmUp(Func<double> run, CancellationToken cancellation)
    {
        var watch = Stopwatch.StartNew();
        double previous = double.MaxValue;
        for (int i = 0; i < 200; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            double now = run();
            // Tiered compilation settles after some tens of calls and a few hundred milliseconds.
            bool steady = i >= 30 && Math.Abs(now - previous) <= 0.05 * previous;
            previous = now;
            if ((steady && watch.ElapsedMilliseconds > 300) || (i >= 2 && watch.ElapsedMilliseconds > 2000)) return;
        }
    }
}

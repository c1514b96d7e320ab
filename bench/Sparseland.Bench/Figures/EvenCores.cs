using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;

namespace Sparseland.Bench.Figures;

/// <summary>
/// Rounds of a row with several threads begin when cores are near each other and equally fast (<see cref="CoreDistance"/>, <see cref="CoreSpeed"/>), and the row says how far that was so.
/// The wait is bounded, and no row is left out: what could not be had is in the file. Near cores are waited for in vain twice in a row (<see cref="CoreNearness"/>).
/// </summary>
internal sealed class EvenCores : IDisposable
{
    private const double MostWaitSeconds = 20;
    private const double LookSeconds = 0.25;
    private const int PollMilliseconds = 20;

    private readonly VerbContext _context;
    private readonly JsonArray _rows;
    private readonly int _first;
    private static readonly CoreNearness s_run = new();

    private readonly Func<double> _distance, _speed;
    private readonly CoreNearness _nearness;
    private readonly double _mostWait;
    private readonly List<double> _ratios = [];
    private double _before, _waited;
    private long _looked;

    /// <summary>For a machine whose cores are told apart by others than themselves.</summary>
    /// <param name="context">Ends a wait when it is cancelled; is told how even cores were.</param>
    /// <param name="options">How long and how often.</param>
    /// <param name="rows">Rows that are added to it until this is disposed are this one's.</param>
    /// <param name="distance">Nanoseconds there and back between two cores.</param>
    /// <param name="speed">The slowest core's time over the fastest one's; NaN where it is not known.</param>
    /// <param name="mostWaitSeconds">So long the rows wait at most, all their rounds together.</param>
    /// <param name="nearness">What earlier rows of the run found; null for a run of its own.</param>
    internal EvenCores(VerbContext context, TimingOptions options, JsonArray rows, Func<double> distance, Func<double> speed, double mostWaitSeconds, CoreNearness? nearness = null)
    {
        (_context, _rows, _first, _distance, _speed, _mostWait, _nearness) = (context, rows, rows.Count, distance, speed, mostWaitSeconds, nearness ?? new CoreNearness());
        Options = options with { BeforeRound = BeforeRound };
    }

    private EvenCores(VerbContext context, TimingOptions options, JsonArray rows)
    {
        (_context, _rows, _distance, _speed, _nearness) = (context, rows, () => double.NaN, () => double.NaN, s_run);
        Options = options;
    }

    /// <summary>The given options, with a wait before each round where there are several threads.</summary>
    public TimingOptions Options { get; }

    /// <summary>For rows that are measured with the pool's threads: with one of them nothing is waited for, and nothing recorded.</summary>
    /// <param name="context">Ends a wait when it is cancelled; is told how even cores were.</param>
    /// <param name="options">How long and how often.</param>
    /// <param name="rows">Rows that are added to it until this is disposed get <c>coreRoundTripNs</c> (before, after), <c>coreSpeedRatio</c> and <c>coreWaitSeconds</c>.</param>
    public static EvenCores For(VerbContext context, TimingOptions options, JsonArray rows)
    {
        int threads = WorkPool.Threads;
        return threads == 1 ? new EvenCores(context, options, rows) : new EvenCores(context, options, rows, CoreDistance.Nanoseconds, () => CoreSpeed.Ratio(threads), MostWaitSeconds, s_run);
    }

    /// <summary>The same wait before a trial that decides what takes part in the row. Its time is the row's, but what is recorded is what the row's own rounds begin with.</summary>
    public void BeforeTrial()
    {
        if (Options.BeforeRound is null) return;
        BeforeRound();
        _looked = 0;
        _ratios.Clear();
    }

    /// <summary>Looks at the cores once more, and writes into the rows what was found.</summary>
    public void Dispose()
    {
        if (_looked == 0 || _context.Cancellation.IsCancellationRequested) return;
        double after = _distance();
        _nearness.Found(after);
        _ratios.Add(_speed());
        var speeds = new Timing("", [.. _ratios.Where(double.IsFinite)]);
        int looks = speeds.Milliseconds.Length, unlike = speeds.Milliseconds.Count(r => r > CoreSpeed.LikeRatio);
        var cores = new JsonObject { ["coreRoundTripNs"] = new JsonArray(Math.Round(_before), Math.Round(after)) };
        if (looks > 0) cores["coreSpeedRatio"] = new JsonObject { ["median"] = Figure.Round(speeds.Median), ["highest"] = Figure.Round(speeds.Quantile(1)), ["looks"] = looks, ["unlike"] = unlike };
        cores["coreWaitSeconds"] = Math.Round(_waited, 1);
        for (int i = _first; i < _rows.Count; i++)
        {
            foreach ((string name, JsonNode? value) in cores) _rows[i]![name] = value!.DeepClone();
        }
        string found = $"cores: {_before:0} ns there and back before, {after:0} after";
        if (looks > 0) found += $"; the slowest took {speeds.Median:0.00} times as long as the fastest, more than {CoreSpeed.LikeRatio:0.00} in {unlike} of {looks} looks";
        found += $"; {_waited:0.0} s waited";
        if (WereUnlike(cores) || (WereFar(cores) == true && _nearness.IsWaitedFor)) _context.Warn(found + ": measure again");
        else _context.Say(found);
    }

    /// <summary>Whether cores were far from each other before or after a row; null where it was not recorded.</summary>
    internal static bool? WereFar(JsonObject row) => row["coreRoundTripNs"] is JsonArray distances ? distances.Any(d => (double)d! > CoreDistance.NearNanoseconds) : null;

    /// <summary>Whether cores were far from each other before and after a row: not brought near or apart while it was measured.</summary>
    internal static bool StayedFar(JsonObject row) => row["coreRoundTripNs"] is JsonArray distances && distances.All(d => (double)d! > CoreDistance.NearNanoseconds);

    /// <summary>Whether cores were not equally fast in more than half of the looks while a row was measured.</summary>
    internal static bool WereUnlike(JsonObject row) => row["coreSpeedRatio"] is JsonObject speeds && 2 * (int)speeds["unlike"]! > (int)speeds["looks"]!;

    /// <summary>Waits for near cores once, for equally fast ones four times a second: that changes every few seconds. What the round then begins with is recorded.</summary>
    private void BeforeRound()
    {
        if (_looked == 0)
        {
            _before = _distance();
            _nearness.Found(_before);
            double most = Math.Min(_mostWait, _nearness.MostWaitSeconds);
            // Where a trial has spent the time there is no wait, and so none in vain.
            if (_before > CoreDistance.NearNanoseconds && _nearness.IsWaitedFor && _waited < most)
            {
                Wait(() => _before <= CoreDistance.NearNanoseconds, () => _before = _distance(), most);
                if (_nearness.Waited(_before))
                    _context.Say($"the cores of this machine are far apart: {_before:0} ns there and back, at least {_nearness.Least:0} in this run; near ones are not waited for any more, unless a row begins with them");
            }
        }
        else if (Stopwatch.GetElapsedTime(_looked).TotalSeconds < LookSeconds)
        {
            return;
        }
        double ratio = _speed();
        Wait(() => !(ratio > CoreSpeed.LikeRatio), () => ratio = _speed(), _mostWait);
        _ratios.Add(ratio);
        _looked = Stopwatch.GetTimestamp();
    }

    private void Wait(Func<bool> done, Action look, double most)
    {
        long start = Stopwatch.GetTimestamp();
        double waited = _waited;
        while (!done() && _waited < most)
        {
            if (_context.Cancellation.WaitHandle.WaitOne(PollMilliseconds)) _context.Cancellation.ThrowIfCancellationRequested();
            look();
            _waited = waited + Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
    }
}

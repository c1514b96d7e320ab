using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Services;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Runtime;

namespace Sparseland.Cli.Measuring;

/// <summary>One row of a benchmark.</summary>
/// <param name="Name">"sparse", "dense twin" or a peer.</param>
/// <param name="Timing">Its times.</param>
/// <param name="LargestDeviation">Largest absolute difference of any output from the dense twin's; null when it was not compared.</param>
internal sealed record BenchmarkRow(string Name, Timing Timing, double? LargestDeviation);

/// <summary>The result of a benchmark: rows and a verdict in words.</summary>
internal sealed record BenchmarkResult(IReadOnlyList<BenchmarkRow> Rows, double SpeedUp, double SpeedUpLow, double SpeedUpHigh, string Verdict)
{
    /// <summary>Engines that were asked for and could not run the model, with the reason.</summary>
    public IReadOnlyList<(string Name, string Reason)> NotMeasured { get; init; } = [];

    /// <summary>What both forms of the model take on disk; null where that was not looked at.</summary>
    public ModelSizes? Sizes { get; init; }

    /// <summary>The most memory that this process had, all of our variants in it; null where that was not looked at.</summary>
    public long? PeakMemoryBytes { get; init; }

    public JsonObject ToJson()
    {
        var variants = new JsonArray();
        foreach (BenchmarkRow row in Rows)
        {
            variants.Add(new JsonObject
            {
                ["name"] = row.Name,
                ["medianMs"] = row.Timing.Median,
                ["lowMs"] = row.Timing.Interval.Low,
                ["highMs"] = row.Timing.Interval.High,
                ["p90Ms"] = row.Timing.Quantile(0.9),
                ["p99Ms"] = row.Timing.Quantile(0.99),
                ["repetitions"] = row.Timing.Milliseconds.Length,
                ["largestDeviation"] = row.LargestDeviation,
            });
        }
        var json = new JsonObject
        {
            ["machine"] = MachineInfo.Current.ToJson(),
            ["variants"] = variants,
            ["speedUp"] = SpeedUp,
            ["verdict"] = Verdict,
        };
        if (Sizes is { } sizes) json["files"] = sizes.ToJson();
        if (PeakMemoryBytes is { } bytes) json["peakMemoryBytes"] = bytes;
        if (NotMeasured.Count > 0) json["notMeasured"] = new JsonArray([.. NotMeasured.Select(n => (JsonNode)new JsonObject { ["name"] = n.Name, ["reason"] = n.Reason })]);
        return json;
    }
}

/// <summary>Times a model beside its dense twin on the same engine, interleaved, outputs compared first (R2).</summary>
internal static class TwinBenchmark
{
    private const double Unsteady = 2, FullShare = 0.995;

    /// <summary>Runs the benchmark.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="inputs">Inputs by name.</param>
    /// <param name="options">How long.</param>
    /// <param name="dense">Another model to be the twin (the unpruned original); null for the same model on dense kernels.</param>
    /// <param name="peers">Other engines with the same model and inputs, by name: further variants.</param>
    /// <param name="progress">0 to 1.</param>
    /// <param name="cancellation">Stops between repetitions.</param>
    public static BenchmarkResult Run(
        ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs, TimingOptions options, ModelGraph? dense = null,
        IReadOnlyList<(string Name, InferencePeer Peer)>? peers = null, Action<double>? progress = null, CancellationToken cancellation = default)
    {
        var sparseSession = new InferenceSession(graph, MachineTable.Options());
        var denseSession = new InferenceSession(dense ?? graph, MachineTable.Options(forceDense: true));
        OrderedDictionary<string, TensorData> sparse = sparseSession.Run(inputs, cancellation), twin = denseSession.Run(inputs, cancellation);
        // Outputs of whole numbers (classes, say) may differ where scores are level: they are not compared, and that is not agreement.
        bool comparable = twin.Values.Any(t => t.ElementType.IsFloat());
        var deviations = new List<double?> { dense is null && comparable ? Deviation(twin, sparse) : null, comparable ? 0 : null };
        var variants = new List<(string Name, Func<double> Run)>
        {
            ("sparse", InterleavedTimer.UnderLoad(InterleavedTimer.Timed(() => sparseSession.Run(inputs, cancellation)))),
            ("dense twin", InterleavedTimer.UnderLoad(InterleavedTimer.Timed(() => denseSession.Run(inputs, cancellation)))),
        };
        foreach ((string name, InferencePeer peer) in peers ?? [])
        {
            variants.Add((name, InterleavedTimer.UnderLoad(peer.Run)));
            // The peer runs the model itself; with another twin its outputs are compared with the model's own.
            deviations.Add(comparable ? Deviation(dense is null ? twin : sparse, peer.Outputs()) : null);
            // Threads of the engines look for work for some milliseconds after a run.
            options = options with { PauseMilliseconds = Math.Max(options.PauseMilliseconds, TimingOptions.PauseBesidePeer(WorkPool.Threads)) };
        }
        RequireAgreement(variants, deviations, dense is null ? twin : sparse);
        IReadOnlyList<Timing> timings = InterleavedTimer.MeasureSelfTimed(variants, options, progress, cancellation);
        BenchmarkResult result = Judge([.. timings.Select((t, i) => new BenchmarkRow(t.Name, t, deviations[i]))]);
        ModelCost cost = ModelCost.Of(graph);
        bool full = cost.NonZeros >= FullShare * cost.Parameters;
        return full ? result with { Verdict = $"{result.Verdict} (nothing was removed from this model: its plan has no zeros to skip)" } : result;
    }

    /// <summary>A comparison of engines that compute different things is worth nothing.</summary>
    /// <exception cref="VerbException">SL4051: an engine's outputs are far from those that it is compared with.</exception>
    private static void RequireAgreement(List<(string Name, Func<double> Run)> variants, List<double?> deviations, OrderedDictionary<string, TensorData> reference)
    {
        double size = Size(reference);
        for (int i = 0; i < variants.Count; i++)
        {
            if (deviations[i] is not { } d || d <= 1e-2 * size) continue;
            throw new VerbException(ExitCodes.GateNotMet, "SL4051", $"{variants[i].Name} computes something else: its outputs differ by up to {d:g3} where the largest output is {size:g3}")
            {
                Try = "leave that engine out of --against, and compare single outputs with: sparseland run MODEL",
            };
        }
    }

    /// <summary>Compares the first row with the second and says so in words.</summary>
    public static BenchmarkResult Judge(IReadOnlyList<BenchmarkRow> rows)
    {
        Timing sparse = rows[0].Timing, twin = rows[1].Timing;
        Timing ratio = Ratio(twin, sparse);
        (double low, double high) = ratio.Interval;
        bool unsteady = high > Unsteady * low;
        string verdict = low > 1.02
            ? $"{ratio.Median:0.00}x ({low:0.00} to {high:0.00}) faster than the dense twin"
            : high < 0.98
                ? $"{ratio.Median:0.00}x ({low:0.00} to {high:0.00}): slower than the dense twin"
                : $"{ratio.Median:0.00}x ({low:0.00} to {high:0.00}): level with the dense twin";
        foreach (BenchmarkRow peer in rows.Skip(2))
        {
            Timing other = Ratio(peer.Timing, sparse);
            verdict += $"; {other.Median:0.00}x ({other.Interval.Low:0.00} to {other.Interval.High:0.00}) the speed of {peer.Name}";
            unsteady |= other.Interval.High > Unsteady * other.Interval.Low;
        }
        if (unsteady) verdict += "; unsteady, an interval spans a factor of two and more: measure again when the machine is idle";
        return new BenchmarkResult(rows, ratio.Median, low, high, verdict);
    }

    /// <summary>Ratios a / b of neighbouring repetitions: they were measured next to each other, so what drifts cancels.</summary>
    public static Timing Ratio(Timing a, Timing b)
    {
        int pairs = Math.Min(a.Milliseconds.Length, b.Milliseconds.Length);
        var ratios = new double[pairs];
        for (int i = 0; i < pairs; i++) ratios[i] = a.Milliseconds[i] / b.Milliseconds[i];
        return new Timing($"{a.Name} / {b.Name}", ratios);
    }

    /// <summary>The largest finite absolute value of any floating-point output.</summary>
    public static double Size(OrderedDictionary<string, TensorData> outputs) =>
        outputs.Values.Where(t => t.ElementType.IsFloat()).SelectMany(t => t.ToSingles()).Select(v => (double)Math.Abs(v)).Where(double.IsFinite).DefaultIfEmpty(0).Max();

    /// <summary>The largest absolute difference over all floating-point outputs; infinite where one is missing or has another length.</summary>
    /// <param name="a">What is expected.</param>
    /// <param name="b">What is compared with it: it may have more outputs.</param>
    public static double Deviation(OrderedDictionary<string, TensorData> a, OrderedDictionary<string, TensorData> b)
    {
        double worst = 0;
        foreach ((string name, TensorData x) in a)
        {
            if (!x.ElementType.IsFloat()) continue;
            if (!b.TryGetValue(name, out TensorData? y) || y.Length != x.Length) return double.PositiveInfinity;
            float[] p = x.ToSingles(), q = y.ToSingles();
            for (int i = 0; i < p.Length; i++)
            {
                if (p[i].Equals(q[i])) continue;
                double difference = Math.Abs((double)p[i] - q[i]);
                worst = double.IsNaN(difference) ? double.PositiveInfinity : Math.Max(worst, difference);
            }
        }
        return worst;
    }
}

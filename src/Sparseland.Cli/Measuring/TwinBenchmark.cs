using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
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
        return new JsonObject
        {
            ["machine"] = MachineInfo.Current.ToJson(),
            ["variants"] = variants,
            ["speedUp"] = SpeedUp,
            ["verdict"] = Verdict,
        };
    }
}

/// <summary>Times a model beside its dense twin on the same engine, interleaved, outputs compared first (R2).</summary>
internal static class TwinBenchmark
{
    /// <summary>Runs the benchmark.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="inputs">Inputs by name.</param>
    /// <param name="options">How long.</param>
    /// <param name="dense">Another model to be the twin (the unpruned original); null for the same model on dense kernels.</param>
    /// <param name="progress">0 to 1.</param>
    /// <param name="cancellation">Stops between repetitions.</param>
    public static BenchmarkResult Run(
        ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs, TimingOptions options, ModelGraph? dense = null,
        Action<double>? progress = null, CancellationToken cancellation = default)
    {
        var sparseSession = new InferenceSession(graph);
        var denseSession = new InferenceSession(dense ?? graph, new SessionOptions { ForceDense = true });
        double? deviation = dense is null ? Deviation(sparseSession.Run(inputs, cancellation), denseSession.Run(inputs, cancellation)) : null;

        IReadOnlyList<Timing> timings = InterleavedTimer.Measure(
            [("sparse", () => sparseSession.Run(inputs, cancellation)), ("dense twin", () => denseSession.Run(inputs, cancellation))],
            options, progress, cancellation);
        return Judge([new BenchmarkRow("sparse", timings[0], deviation), new BenchmarkRow("dense twin", timings[1], 0)]);
    }

    /// <summary>Compares the first row with the second and says so in words.</summary>
    public static BenchmarkResult Judge(IReadOnlyList<BenchmarkRow> rows)
    {
        Timing sparse = rows[0].Timing, twin = rows[1].Timing;
        // Pairs were measured next to each other, so their ratios cancel what drifts.
        int pairs = Math.Min(sparse.Milliseconds.Length, twin.Milliseconds.Length);
        var ratios = new double[pairs];
        for (int i = 0; i < pairs; i++) ratios[i] = twin.Milliseconds[i] / sparse.Milliseconds[i];
        var ratio = new Timing("ratio", ratios);
        (double low, double high) = ratio.Interval;
        string verdict = low > 1.02
            ? $"{ratio.Median:0.00}x ({low:0.00} to {high:0.00}) faster than the dense twin"
            : high < 0.98
                ? $"{ratio.Median:0.00}x ({low:0.00} to {high:0.00}): slower than the dense twin"
                : $"{ratio.Median:0.00}x ({low:0.00} to {high:0.00}): level with the dense twin";
        return new BenchmarkResult(rows, ratio.Median, low, high, verdict);
    }

    /// <summary>The largest absolute difference over all floating-point outputs.</summary>
    public static double Deviation(OrderedDictionary<string, TensorData> a, OrderedDictionary<string, TensorData> b)
    {
        double worst = 0;
        foreach ((string name, TensorData x) in a)
        {
            if (!x.ElementType.IsFloat() || !b.TryGetValue(name, out TensorData? y) || y.Length != x.Length) continue;
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

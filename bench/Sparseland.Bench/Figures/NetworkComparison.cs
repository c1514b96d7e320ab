using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Verbs;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Methods;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>What is done to a network before it is measured.</summary>
/// <param name="Label">How tables call the network.</param>
/// <param name="Graph">The dense network: what peers run.</param>
/// <param name="Batch">Samples per run.</param>
/// <param name="Sparsity">Fraction of every layer's weights that is removed by magnitude.</param>
/// <param name="Channels">Fraction of the multiply-accumulates that leaves with whole channels first.</param>
/// <param name="Pattern">In what shape; unstructured where it is not given.</param>
internal sealed record NetworkCase(string Label, ModelGraph Graph, int Batch, double Sparsity, double Channels = 0, SparsityPattern? Pattern = null);

/// <summary>One network in turn on our dense plan, our sparse plan and dense peers; outputs compared first.</summary>
internal static class NetworkComparison
{
    // Of the largest output.
    private const double MostDeviation = 1e-3;

    /// <summary>Measures, prints a table, returns the row for the file.</summary>
    public static JsonObject Run(NetworkCase network, IReadOnlyList<PeerEntry> peers, bool describe, VerbContext context, TimingOptions options)
    {
        (ModelGraph original, int batch) = (network.Graph, network.Batch);
        ModelGraph pruned = Prune(network);
        Dictionary<string, TensorData> inputs = ModelInputs.Random(original, batch, 64, context.Settings.Seed);
        bool smaller = network.Channels > 0, sparse = pruned.Weights.Values.Any(w => w.Mask is not null);

        // With channels gone the network computes something else: peers keep the original, and each side is compared with its own reference.
        ModelGraph reference = smaller ? original : pruned;
        var variants = new List<(string Name, Func<double> Run)>();
        // Largest differences, each with the largest output of what it was compared with.
        var deviations = new List<(double Deviation, double Size)>();
        OrderedDictionary<string, TensorData> expected = Ours("dense", reference, forceDense: true, null);
        OrderedDictionary<string, TensorData> twin = smaller ? Ours("dense, channels removed", pruned, forceDense: true, null) : expected;
        if (sparse) Ours("sparse", pruned, forceDense: false, twin);

        var started = new List<(string Name, InferencePeer Peer)>();
        try
        {
            BenchVerb.StartPeers(peers, reference, inputs, started, context);
            foreach ((string name, InferencePeer peer) in started)
            {
                variants.Add((name, peer.Run));
                deviations.Add((TwinBenchmark.Deviation(expected, peer.Outputs()), TwinBenchmark.Size(expected)));
                if (describe) context.Say(peer.Ready);
            }
            foreach ((double deviation, double size) in deviations) RequireAgreement(original.Name, deviation, size);

            (string Name, Func<double> Run)[] timed = [.. variants.Select(v => (v.Name, InterleavedTimer.UnderLoad(v.Run)))];
            int pause = started.Count == 0 ? 0 : TimingOptions.PauseBesidePeer(WorkPool.Threads);
            IReadOnlyList<Timing> timings = InterleavedTimer.MeasureSelfTimed(timed, options with { PauseMilliseconds = pause }, null, context.Cancellation);
            return Row(network, pruned, inputs, timings, deviations, context);
        }
        finally
        {
            foreach ((string _, InferencePeer peer) in started) peer.Dispose();
        }

        OrderedDictionary<string, TensorData> Ours(string name, ModelGraph graph, bool forceDense, OrderedDictionary<string, TensorData>? compare)
        {
            var session = new InferenceSession(graph, new SessionOptions { ForceDense = forceDense });
            OrderedDictionary<string, TensorData> outputs = session.Run(inputs, context.Cancellation);
            if (describe) context.Say(session.DescribePlan(inputs));
            variants.Add((name, InterleavedTimer.Timed(() => session.Run(inputs, context.Cancellation))));
            deviations.Add((compare is null ? 0 : TwinBenchmark.Deviation(compare, outputs), TwinBenchmark.Size(compare ?? outputs)));
            return outputs;
        }
    }

    /// <summary>Runs a session once and compares its outputs with those of its dense twin.</summary>
    /// <exception cref="InvalidOperationException">They differ by more than rounding explains.</exception>
    internal static void CompareWithTwin(InferenceSession session, ModelGraph graph, Dictionary<string, TensorData> inputs, CancellationToken cancellation)
    {
        OrderedDictionary<string, TensorData> expected = new InferenceSession(graph, new SessionOptions { ForceDense = true }).Run(inputs, cancellation);
        RequireAgreement(graph.Name, TwinBenchmark.Deviation(expected, session.Run(inputs, cancellation)), TwinBenchmark.Size(expected));
    }

    /// <summary>The network of a case as it is measured; the original stays as it is.</summary>
    internal static ModelGraph Prune(NetworkCase network)
    {
        ModelGraph graph = network.Graph;
        if (network.Channels > 0)
        {
            var channels = (ChannelPruning)MethodCatalog.Get("channels").Build(new PruningSettings { Sparsity = network.Channels }, new Dictionary<string, string> { ["spread"] = "uniform" }, 0);
            graph = channels.Prune(graph).Graph;
        }
        if (network.Sparsity > 0)
        {
            graph = graph.Clone();
            // The same fraction in every layer: weights that were never trained have no honest global ranking.
            var method = (OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = network.Sparsity, Pattern = network.Pattern ?? SparsityPattern.Unstructured }, new Dictionary<string, string> { ["allocation"] = "uniform" }, 0);
            method.Apply(PruningTarget.Of(graph));
        }
        return graph;
    }

    private static void RequireAgreement(string network, double deviation, double size)
    {
        if (!(deviation <= MostDeviation * size)) throw new InvalidOperationException($"the engines disagree on {network}: largest deviation {deviation:g3}, largest output {size:g3}");
    }

    private static JsonObject Variant(Timing timing, double deviation, double size)
    {
        JsonObject json = Figure.ToJson(timing, deviation);
        json["deviationOfLargest"] = size > 0 ? Figure.Round(deviation / size) : 0;
        return json;
    }

    private static JsonObject Row(NetworkCase network, ModelGraph pruned, Dictionary<string, TensorData> inputs, IReadOnlyList<Timing> timings, List<(double Deviation, double Size)> deviations, VerbContext context)
    {
        int batch = network.Batch;
        Table table = Figure.NewTable($"{network.Label}, batch {batch}", "median ms", "95 % interval", "samples/s", "deviation");
        for (int i = 0; i < timings.Count; i++)
        {
            Timing t = timings[i];
            table.AddRow(t.Name, $"{t.Median:0.000}", $"{t.Interval.Low:0.000}..{t.Interval.High:0.000}", $"{batch * 1000 / t.Median:0.0}", $"{deviations[i].Deviation:0.#e+0}");
        }
        context.Show(table);

        var ratios = new JsonObject();
        string[] peers = [.. PeerCatalog.All.Select(p => p.Id)];
        for (int i = 0; i < timings.Count; i++)
        {
            for (int j = 0; j < timings.Count; j++)
            {
                if (i == j || peers.Contains(timings[i].Name) || (timings[i].Name.StartsWith("dense", StringComparison.Ordinal) && !peers.Contains(timings[j].Name))) continue;
                Timing ratio = TwinBenchmark.Ratio(timings[j], timings[i]);
                ratios[$"{timings[i].Name} to {timings[j].Name}"] = Figure.RatioJson(ratio);
                context.Say($"{timings[i].Name} runs at {ratio.Median:0.00}x ({ratio.Interval.Low:0.00} to {ratio.Interval.High:0.00}) the speed of {timings[j].Name}");
            }
        }
        var sizes = inputs.ToDictionary(i => i.Key, i => i.Value.Shape.ToArray());
        return new JsonObject
        {
            ["network"] = network.Label,
            ["model"] = network.Graph.Name,
            ["batch"] = batch,
            ["sparsity"] = network.Sparsity,
            ["channels"] = network.Channels,
            ["macs"] = ModelCost.Of(network.Graph).Macs * batch,
            ["effectiveMacs"] = ModelCost.Of(pruned).EffectiveMacs * batch,
            ["largestOutput"] = Figure.Round(deviations[0].Size),
            ["variants"] = new JsonArray([.. timings.Select((t, i) => Variant(t, deviations[i].Deviation, deviations[i].Size))]),
            ["speeds"] = ratios,
        };
    }
}

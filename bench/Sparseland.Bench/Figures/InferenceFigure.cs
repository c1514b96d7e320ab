using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Cli.Verbs;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Methods;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>One model three times, outputs compared first: our dense plan, our sparse plan, ONNX Runtime's dense model.</summary>
internal sealed class InferenceFigure : Figure
{
    private static readonly (string Model, double Sparsity)[] s_default = [("resnet20", 0), ("resnet50", 0), ("resnet20-wide", 0.9)];

    private readonly Argument<string?> _model = new("model") { Description = "A model file or an architecture (default: resnet20, resnet50 and resnet20-wide at 90 %).", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<int> _batch = new("--batch") { Description = "Samples per run.", DefaultValueFactory = _ => 1 };
    private readonly Option<double?> _sparsity = new("--sparsity") { Description = "Remove this fraction of every layer's weights by magnitude first, 0 to 1." };
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure our plans only." };
    private readonly Option<bool> _profile = new("--plan") { Description = "Print the plans: which kernel each layer got and why." };

    protected override (string Name, string Description) Title => ("inference", "A model as our dense plan, our sparse plan and ONNX Runtime's dense model, in turn.");

    protected override void DeclareOwn(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_batch, _sparsity, _alone, _profile];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int batch = arguments.GetValue(_batch);
        if (batch is < 1 or > 4096) throw VerbException.Usage("--batch is 1 to 4096");
        if (arguments.GetValue(_sparsity) is { } s && s is not (>= 0 and < 1)) throw VerbException.Usage("--sparsity is 0 to below 1");
        (string, double)[] models = arguments.GetValue(_model) is { } given ? [(given, arguments.GetValue(_sparsity) ?? 0)]
            : [.. s_default.Select(m => (m.Model, arguments.GetValue(_sparsity) ?? m.Sparsity))];
        bool peer = !arguments.GetValue(_alone);
        if (peer && OnnxRuntimePeer.Find() is null)
        {
            context.Warn($"ONNX Runtime is not installed; without it: {OnnxRuntimePeer.InstallHint}");
            peer = false;
        }
        var rows = new JsonArray();
        foreach ((string model, double sparsity) in models)
        {
            ModelGraph graph = ModelAccess.LoadOrBuild(model, null, null, null, context.Settings.Seed);
            rows.Add(One(graph, batch, sparsity, peer, arguments.GetValue(_profile), context, options));
        }
        return rows;
    }

    private static JsonObject One(ModelGraph graph, int batch, double sparsity, bool withPeer, bool describe, VerbContext context, TimingOptions options)
    {
        if (sparsity > 0)
        {
            // The same fraction in every layer: weights that were never trained have no honest global ranking.
            var method = (OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = sparsity }, new Dictionary<string, string> { ["allocation"] = "uniform" }, 0);
            method.Apply(PruningTarget.Of(graph));
        }
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, batch, 64, context.Settings.Seed);
        var dense = new InferenceSession(graph, new SessionOptions { ForceDense = true });
        OrderedDictionary<string, TensorData> expected = dense.Run(inputs, context.Cancellation);
        if (describe) context.Say(dense.DescribePlan(inputs));

        var variants = new List<(string Name, Func<double> Run)> { ("dense", InterleavedTimer.Timed(() => dense.Run(inputs, context.Cancellation))) };
        var deviations = new List<double> { 0 };
        if (sparsity > 0 || graph.Weights.Values.Any(w => w.Mask is not null))
        {
            var sparse = new InferenceSession(graph);
            deviations.Add(TwinBenchmark.Deviation(sparse.Run(inputs, context.Cancellation), expected));
            variants.Add(("sparse", InterleavedTimer.Timed(() => sparse.Run(inputs, context.Cancellation))));
            if (describe) context.Say(sparse.DescribePlan(inputs));
        }
        using OnnxRuntimePeer? peer = withPeer ? BenchVerb.StartPeer(graph, inputs) : null;
        if (peer is not null)
        {
            variants.Add(("onnxruntime", peer.Run));
            deviations.Add(TwinBenchmark.Deviation(peer.Outputs(), expected));
        }
        double size = expected.Values.Where(t => t.ElementType == ElementType.Float32).SelectMany(t => t.ToSingles()).Select(v => (double)Math.Abs(v)).DefaultIfEmpty(0).Max();
        if (deviations.Max() > 1e-3 * Math.Max(size, 1e-6))
            throw new InvalidOperationException($"the engines disagree on {graph.Name}: largest deviation {deviations.Max():g3}, largest output {size:g3}");

        IReadOnlyList<Timing> timings = InterleavedTimer.MeasureSelfTimed(variants, options with { PauseMilliseconds = peer is null ? 0 : 3 }, null, context.Cancellation);
        Table table = NewTable($"{graph.Name}, batch {batch}{(sparsity > 0 ? $", {sparsity:P0} removed" : "")}", "median ms", "95 % interval", "samples/s", "deviation");
        for (int i = 0; i < timings.Count; i++)
        {
            Timing t = timings[i];
            table.AddRow(t.Name, $"{t.Median:0.000}", $"{t.Interval.Low:0.000}..{t.Interval.High:0.000}", $"{batch * 1000 / t.Median:0.0}", $"{deviations[i]:0.#e+0}");
        }
        context.Show(table);

        var ratios = new JsonObject();
        for (int i = 0; i < timings.Count; i++)
        {
            for (int j = 0; j < timings.Count; j++)
            {
                if (i == j || timings[i].Name == "onnxruntime" || (timings[i].Name == "dense" && timings[j].Name == "sparse")) continue;
                Timing ratio = TwinBenchmark.Ratio(timings[j], timings[i]);
                ratios[$"{timings[i].Name} to {timings[j].Name}"] = RatioJson(ratio);
                context.Say($"{timings[i].Name} runs at {ratio.Median:0.00}x ({ratio.Interval.Low:0.00} to {ratio.Interval.High:0.00}) the speed of {timings[j].Name}");
            }
        }
        return new JsonObject
        {
            ["model"] = graph.Name,
            ["batch"] = batch,
            ["sparsity"] = sparsity,
            ["largestOutput"] = Round(size),
            ["variants"] = new JsonArray([.. timings.Select((t, i) => ToJson(t, deviations[i]))]),
            ["speeds"] = ratios,
        };
    }
}

using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;
using Sparseland.Runtime;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>Plans of drawn layers beside their dense twins and the best of all kernels that can compute them: whether a plan is ever slower.</summary>
internal sealed class NeverSlowerFigure : Figure
{
    private const long MostMultiplyAdds = 100_000_000;

    // As everywhere: outputs agree but for the order of additions; weights of few bits are rounded alike in all of them.
    private const double Agreement = 1e-3;

    private readonly Option<int> _cases = new("--cases") { Description = "Layers to draw.", DefaultValueFactory = _ => 60 };
    private readonly Option<bool> _builtIn = new("--built-in") { Description = "Plan with the built-in break-even points instead of measuring those of this machine first." };

    protected override (string Name, string Description) Title => ("never-slower", "Plans of drawn layers beside their dense twins and the best of all kernels.");

    protected override void DeclareOwn(Command command)
    {
        command.Options.Add(_cases);
        command.Options.Add(_builtIn);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        BreakEvenTable points = arguments.GetValue(_builtIn) ? BreakEvenTable.BuiltIn : BreakEvenTable.Measure(null, context.Cancellation);
        if (points.Disturbance is { } disturbance) context.Warn($"{disturbance} while break-even points were measured");
        var random = new Random(context.Settings.Seed);
        var rows = new JsonArray();
        Table table = NewTable("layer", "kernel", "best kernel", "dense ms", "planned ms", "best ms", "x dense", "x best");
        int count = arguments.GetValue(_cases);
        for (int i = 0; i < count; i++)
        {
            LayerCase layer = LayerCase.Draw(random, MostMultiplyAdds);
            JsonObject row;
            using (EvenCores even = EvenCores.For(context, options, rows))
            {
                row = Row(layer, points, context, even.Options);
                row["seed"] = context.Settings.Seed;
                rows.Add(row);
            }
            JsonArray variants = row["variants"]!.AsArray();
            table.AddRow([Markup.Escape(layer.ToString()), (string)row["kernel"]!, (string)row["bestKernel"]!, .. variants.Select(v => $"{(double)v!["medianMs"]!:0.0000}"), $"{(double)row["speeds"]!["planned to dense"]!["median"]!:0.00}", $"{(double)row["speeds"]!["planned to best"]!["median"]!:0.00}"]);
        }
        context.Show(table);
        return rows;
    }

    private static JsonObject Row(LayerCase layer, BreakEvenTable points, VerbContext context, TimingOptions options)
    {
        ModelGraph graph = layer.Build();
        Dictionary<string, TensorData> inputs = ModelInputs.Random(graph, layer.Batch, 64, context.Settings.Seed);
        ValueKind? values = layer.Values == ValueKind.Float32 ? null : layer.Values;
        (string Name, InferenceSession Session)[] sessions =
        [
            ("dense", new InferenceSession(graph, new SessionOptions { ForceDense = true, Values = values })),
            ("planned", new InferenceSession(graph, new SessionOptions { BreakEven = points, Values = values })),
            ("best", new InferenceSession(graph, new SessionOptions { AutoTune = true, Values = values })),
        ];
        OrderedDictionary<string, TensorData>[] outputs = [.. sessions.Select(s => s.Session.Run(inputs, context.Cancellation))];
        float[] dense = outputs[0].Values.First().ToSingles();
        double size = Math.Max(1e-3, dense.Max(v => (double)Math.Abs(v)));
        double[] deviations = [.. outputs.Select(o => o.Values.First().ToSingles().Zip(dense, (a, b) => (double)Math.Abs(a - b)).Max())];
        if (deviations.Any(d => !(d <= Agreement * size))) throw new InvalidOperationException($"{layer}: outputs differ by {deviations.Max():0.0e+0} of {size:0.0e+0}.");
        IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed([.. sessions.Select(s => Hot(s.Name, () => s.Session.Run(inputs, context.Cancellation)))], options, null, context.Cancellation);
        return new JsonObject
        {
            ["layer"] = layer.ToString(),
            ["pattern"] = layer.Pattern,
            ["density"] = layer.Density,
            ["batch"] = layer.Batch,
            ["threads"] = WorkPool.Threads,
            ["multiplyAdds"] = layer.MultiplyAdds,
            ["points"] = points.Origin,
            ["kernel"] = Kernel(sessions[1].Session, inputs),
            ["bestKernel"] = Kernel(sessions[2].Session, inputs),
            ["variants"] = new JsonArray([.. t.Select((v, i) => ToJson(v, deviations[i]))]),
            ["speeds"] = new JsonObject { ["planned to dense"] = RatioJson(TwinBenchmark.Ratio(t[0], t[1])), ["planned to best"] = RatioJson(TwinBenchmark.Ratio(t[2], t[1])) },
        };
    }

    /// <summary>Of the step with the weight.</summary>
    private static string Kernel(InferenceSession session, Dictionary<string, TensorData> inputs) => session.TimeSteps(inputs, 1).FirstOrDefault(s => s.MultiplyAdds > 0)?.Kernel ?? "";
}

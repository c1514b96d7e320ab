using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>
/// A training step (forward, cross-entropy, backward, SGD with momentum): ours dense, ours sparse, and the dense step in PyTorch; where our time goes;
/// what an exchange of connections with a dense gradient adds; and how many bytes weights, gradients and moments take.
/// </summary>
internal sealed class TrainStepFigure : Figure
{
    private readonly Option<string> _architecture = new("--architecture") { Description = "resnet20 or mlp (784 inputs, three hidden layers).", DefaultValueFactory = _ => "resnet20" };
    private readonly Option<int> _width = new("--width") { Description = "Channels of the first stage, or units of a hidden layer.", DefaultValueFactory = _ => 16 };
    private readonly Option<int> _batch = new("--batch") { Description = "Images per step.", DefaultValueFactory = _ => 128 };
    private readonly Option<double[]> _sparsity = new("--sparsity") { Description = "Also a step with this share of every layer's weights removed (the first convolution and the classifier stay dense).", DefaultValueFactory = _ => [], AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _every = new("--exchange-every") { Description = "Steps from one exchange of connections (RigL, GraNet) to the next.", DefaultValueFactory = _ => 100 };
    private readonly Option<int?> _steps = new("--steps") { Description = "Steps of each engine (instead of --repetitions and --seconds)." };
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure our steps only." };
    private readonly Option<bool> _sparseOnly = new("--no-dense") { Description = "Leave our dense step out." };

    protected override (string Name, string Description) Title => ("train-step", "A training step, dense and sparse, step by step in turn with PyTorch's dense one.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_architecture, _width, _batch, _sparsity, _every, _steps, _alone, _sparseOnly];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        string architecture = arguments.GetValue(_architecture)!;
        int width = arguments.GetValue(_width), batch = arguments.GetValue(_batch), every = arguments.GetValue(_every);
        double[] sparsities = arguments.GetValue(_sparsity)!;
        if (architecture is not ("resnet20" or "mlp")) throw VerbException.Usage("--architecture is resnet20 or mlp");
        if (width is < 1 or > 8192 || batch is < 1 or > 4096 || every < 3) throw VerbException.Usage("--width is 1 to 8192, --batch 1 to 4096, --exchange-every at least 3");
        if (Array.Exists(sparsities, s => s is not (> 0 and < 1))) throw VerbException.Usage("--sparsity lies between 0 and 1");
        if (arguments.GetValue(_steps) is { } steps) options = new TimingOptions(Math.Max(3, steps), 0);

        var ours = new List<TrainStepSubject>();
        if (!arguments.GetValue(_sparseOnly)) ours.Add(new TrainStepSubject(architecture, width, batch, 0, context.Settings.Seed));
        foreach (double sparsity in sparsities) ours.Add(new TrainStepSubject(architecture, width, batch, sparsity, context.Settings.Seed));
        if (ours.Count == 0) throw VerbException.Usage("--no-dense needs a --sparsity");
        using PyTorchPeer? peer = arguments.GetValue(_alone) ? null : Start(architecture, width, batch, context);
        var variants = new List<(string, Func<double>)>();
        foreach (TrainStepSubject s in ours)
        {
            variants.Add((s.Name, InterleavedTimer.Timed(s.Step)));
            if (s.Sparsity > 0) variants.Add((s.Name + " with exchange", InterleavedTimer.Timed(s.Exchange)));
        }
        if (peer is not null) variants.Add((peer.Ready, Beside(peer.Run, PyTorchPeer.RestMilliseconds)));
        var rows = new JsonArray();
        using EvenCores cores = EvenCores.For(context, options, rows);
        IReadOnlyList<Timing> timings = InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation);
        Timing? other = peer is null ? null : timings[^1];

        Table table = NewTable("step", "median ms", "95 % interval", "images/s", "x PyTorch");
        foreach (Timing t in timings)
            table.AddRow(Markup.Escape(t.Name), $"{t.Median:0.0}", $"{t.Interval.Low:0.0}..{t.Interval.High:0.0}", $"{batch * 1000 / t.Median:0}", other is null ? "" : $"{TwinBenchmark.Ratio(other, t).Median:0.00}");
        context.Show(table);

        foreach (TrainStepSubject s in ours)
        {
            Timing plain = timings.First(t => t.Name == s.Name);
            Timing? exchange = timings.FirstOrDefault(t => t.Name == s.Name + " with exchange");
            // What a step costs on average when one in `every` exchanges connections; that variant runs the two steps behind it as well.
            double average = exchange is null ? plain.Median : ((every - 3) * plain.Median + exchange.Median) / every;
            var row = new JsonObject
            {
                ["model"] = architecture,
                ["width"] = width,
                ["batch"] = batch,
                ["sparsity"] = s.Sparsity,
                ["variants"] = new JsonArray([.. timings.Where(t => t == plain || t == exchange || t == other).Select(t => ToJson(t))]),
                ["imagesPerSecond"] = Round(batch * 1000 / plain.Median),
                ["stepWithExchangesMs"] = Round(average),
                ["exchangeEvery"] = exchange is null ? null : every,
                ["bytes"] = s.Bytes(),
                ["partsMs"] = Parts(s, plain.Median, context),
            };
            if (other is not null)
            {
                row["speedOfPeer"] = RatioJson(TwinBenchmark.Ratio(other, plain));
                row["speedOfPeerWithExchanges"] = Round(other.Median / average);
                context.Say($"{s.Name}: {other.Median / plain.Median:0.00}x the speed of {other.Name}{(exchange is null ? "" : $"; {other.Median / average:0.00}x with an exchange every {every} steps")}");
            }
            rows.Add(row);
        }
        return rows;
    }

    /// <summary>Where the time of a step goes: medians do not add up, so these are means over a few steps.</summary>
    private static JsonObject Parts(TrainStepSubject subject, double milliseconds, VerbContext context)
    {
        IReadOnlyDictionary<(string Pass, string Operation), double> parts = subject.Parts(milliseconds < 500 ? 10 : 4);
        Table table = NewTable(subject.Name, "ms", "share");
        double total = parts.Values.Sum();
        var json = new JsonObject();
        foreach (var pass in parts.GroupBy(p => p.Key.Pass))
        {
            var inner = new JsonObject();
            table.AddRow(pass.Key, $"{pass.Sum(p => p.Value):0.00}", $"{pass.Sum(p => p.Value) / total:P0}");
            foreach (var part in pass.OrderByDescending(p => p.Value))
            {
                inner[part.Key.Operation] = Round(part.Value);
                if (part.Value > 0.005 * total) table.AddRow("  " + part.Key.Operation, $"{part.Value:0.00}", $"{part.Value / total:P0}");
            }
            json[pass.Key] = inner;
        }
        JsonObject bytes = subject.Bytes();
        context.Show(table);
        context.Say($"{subject.Name}: {string.Join(", ", bytes.Select(b => $"{b.Key} {b.Value!.GetValue<long>() / 1048576.0:0.00} MiB"))}");
        return json;
    }

    private static PyTorchPeer? Start(string architecture, int width, int batch, VerbContext context)
    {
        try
        {
            return PyTorchPeer.Start(architecture, width, batch, WorkPool.Threads);
        }
        catch (InvalidOperationException e)
        {
            context.Warn($"{e.Message} Without the peer: {PyTorchPeer.InstallHint}");
            return null;
        }
    }
}

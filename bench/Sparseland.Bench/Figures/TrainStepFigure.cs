using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Architectures;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>A dense training step of ResNet-20: forward, cross-entropy, backward, SGD with momentum, beside the same step in PyTorch.</summary>
internal sealed class TrainStepFigure : Figure
{
    private readonly Option<int> _width = new("--width") { Description = "Channels of the first stage.", DefaultValueFactory = _ => 16 };
    private readonly Option<int> _batch = new("--batch") { Description = "Images per step.", DefaultValueFactory = _ => 128 };
    private readonly Option<int?> _steps = new("--steps") { Description = "Steps of each engine (instead of --repetitions and --seconds)." };
    private readonly Option<bool> _alone = new("--alone") { Description = "Measure our step only." };

    protected override (string Name, string Description) Title => ("train-step", "A training step of ResNet-20, step by step in turn with PyTorch.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_width, _batch, _steps, _alone];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int width = arguments.GetValue(_width), batch = arguments.GetValue(_batch);
        if (width is < 1 or > 1024 || batch is < 1 or > 4096) throw VerbException.Usage("--width is 1 to 1024, --batch 1 to 4096");
        if (arguments.GetValue(_steps) is { } steps) options = new TimingOptions(Math.Max(3, steps), 0);

        Func<double> ours = Step(width, batch, context.Settings.Seed);
        using PyTorchPeer? peer = arguments.GetValue(_alone) ? null : Start(width, batch, context);
        var variants = new List<(string, Func<double>)> { ("sparseland", ours) };
        if (peer is not null) variants.Add((peer.Ready, peer.Run));
        IReadOnlyList<Timing> timings = InterleavedTimer.MeasureSelfTimed(variants, options with { PauseMilliseconds = peer is null ? 0 : 20 }, null, context.Cancellation);

        Table table = NewTable("engine", "median ms", "95 % interval", "images/s");
        foreach (Timing t in timings) table.AddRow(Markup.Escape(t.Name), $"{t.Median:0.0}", $"{t.Interval.Low:0.0}..{t.Interval.High:0.0}", $"{batch * 1000 / t.Median:0}");
        context.Show(table);
        var row = new JsonObject
        {
            ["model"] = "resnet20",
            ["width"] = width,
            ["batch"] = batch,
            ["variants"] = new JsonArray([.. timings.Select(t => ToJson(t))]),
            ["imagesPerSecond"] = Round(batch * 1000 / timings[0].Median),
        };
        if (peer is not null)
        {
            Timing ratio = TwinBenchmark.Ratio(timings[1], timings[0]);
            row["speedOfPeer"] = RatioJson(ratio);
            context.Say($"{ratio.Median:0.00}x ({ratio.Interval.Low:0.00} to {ratio.Interval.High:0.00}) the speed of {peer.Ready}");
        }
        return [row];
    }

    private static Func<double> Step(int width, int batch, int seed)
    {
        Architecture architecture = ArchitectureCatalog.Get("resnet20");
        var model = new TrainableModel(architecture.Build(architecture.DefaultOptions().Set("width", width), seed));
        var optimizer = new Sgd(model.Parameters, 0.1, momentum: 0.9, weightDecay: 1e-4);
        var random = new Random(seed);
        Tensor x = Tensor.Normal(random, batch, 3, 32, 32);
        int[] y = [.. Enumerable.Range(0, batch).Select(_ => random.Next(10))];
        return InterleavedTimer.Timed(() =>
        {
            optimizer.ZeroGrad();
            Loss.CrossEntropy(model.Forward(x), y).Backward();
            optimizer.Step();
        });
    }

    private static PyTorchPeer? Start(int width, int batch, VerbContext context)
    {
        try
        {
            return PyTorchPeer.Start(width, batch, WorkPool.Threads);
        }
        catch (InvalidOperationException e)
        {
            context.Warn($"{e.Message} Without the peer: {PyTorchPeer.InstallHint}");
            return null;
        }
    }
}

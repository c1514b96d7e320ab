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
    // Of a layer's gradient: sums of thousands of terms in another order, and units of a ReLU that are on in one engine and off in the other.
    private const double MostDeviation = 1e-2;

    // PyTorch's batch normalisation of images with channels last sums in an order that costs it digits: 1.2 % of a layer's gradient against double precision, where rows have 0.05 %.
    private const double MostDeviationOfOtherLayouts = 5e-2;

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
        using TrainStepPeer? peer = arguments.GetValue(_alone) ? null : Start(architecture, width, ours, context);
        (double Loss, double Gradient)[] deviations = peer is null ? [] : [.. ours.Select((s, i) => Compared(s, peer.Gradients(i), context))];
        var variants = new List<(string, Func<double>)>();
        foreach (TrainStepSubject s in ours)
        {
            variants.Add((s.Name, InterleavedTimer.Timed(s.Step)));
            if (s.Sparsity > 0) variants.Add((s.Name + " with exchange", InterleavedTimer.Timed(s.Exchange)));
        }
        for (int i = 0; i < peer?.Variants.Count; i++)
        {
            int variant = i;
            variants.Add((peer.Variants[i], Beside(() => peer.Run(variant), PyTorchPeer.RestMilliseconds)));
        }
        var rows = new JsonArray();
        using EvenCores cores = EvenCores.For(context, options, rows);
        IReadOnlyList<Timing> timings = InterleavedTimer.MeasureSelfTimed(variants, cores.Options, null, context.Cancellation);
        Timing? other = peer?.Fastest(timings);

        Table table = NewTable("step", "median ms", "95 % interval", "images/s", "x PyTorch");
        foreach (Timing t in timings)
            table.AddRow(Markup.Escape(t.Name), $"{t.Median:0.0}", $"{t.Interval.Low:0.0}..{t.Interval.High:0.0}", $"{batch * 1000 / t.Median:0}", other is null ? "" : $"{TwinBenchmark.Ratio(other, t).Median:0.00}");
        context.Show(table);

        for (int i = 0; i < ours.Count; i++)
        {
            TrainStepSubject s = ours[i];
            Timing plain = timings.First(t => t.Name == s.Name);
            Timing? exchange = timings.FirstOrDefault(t => t.Name == s.Name + " with exchange");
            // What a step costs on average when one in `every` exchanges connections; that variant runs the two steps behind it as well.
            Timing average = exchange is null ? plain : new Timing($"{s.Name}, with exchanges", [.. plain.Milliseconds.Zip(exchange.Milliseconds, (p, e) => (((every - 3) * p) + e) / every)]);
            var row = new JsonObject
            {
                ["model"] = architecture,
                ["width"] = width,
                ["batch"] = batch,
                ["sparsity"] = s.Sparsity,
                ["variants"] = new JsonArray([.. timings.Where(t => t == plain || t == exchange || peer?.Variants.Contains(t.Name) == true).Select(t => ToJson(t))]),
                ["imagesPerSecond"] = Round(batch * 1000 / plain.Median),
                ["bytes"] = s.Bytes(),
                ["partsMs"] = Parts(s, plain.Median, context),
            };
            if (exchange is not null)
            {
                row["stepWithExchangesMs"] = Round(average.Median);
                row["exchangeEvery"] = every;
            }
            if (other is not null)
            {
                row["peer"] = other.Name;
                row["deviation"] = new JsonObject { ["loss"] = Round(deviations[i].Loss), ["gradient"] = Round(deviations[i].Gradient) };
                Timing speed = TwinBenchmark.Ratio(other, plain), speedOnAverage = TwinBenchmark.Ratio(other, average);
                row["speedOfPeer"] = RatioJson(speed);
                if (exchange is not null) row["speedOfPeerWithExchanges"] = RatioJson(speedOnAverage);
                context.Say($"{s.Name}: {speed.Median:0.00}x ({speed.Interval.Low:0.00} to {speed.Interval.High:0.00}) the speed of {other.Name}{(exchange is null ? "" : $"; {speedOnAverage.Median:0.00}x ({speedOnAverage.Interval.Low:0.00} to {speedOnAverage.Interval.High:0.00}) with an exchange every {every} steps")}");
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

    /// <summary>The same weights and the same batch give the same loss and gradients as PyTorch's, in each of its layouts.</summary>
    /// <exception cref="VerbException">SL4051: they do not.</exception>
    private static (double Loss, double Gradient) Compared(TrainStepSubject subject, IEnumerable<float[]> expected, VerbContext context)
    {
        (double Loss, double Gradient)[] all = [.. expected.Select(e => subject.Deviation(e))];
        for (int i = 0; i < all.Length; i++)
        {
            (double loss, double gradient) = all[i];
            if (loss <= MostDeviation / 100 && gradient <= (i == 0 ? MostDeviation : MostDeviationOfOtherLayouts)) continue;
            throw new VerbException(ExitCodes.GateNotMet, "SL4051", $"{subject.Name}: PyTorch computes something else: the loss differs by {loss:g3} of its size, a layer's gradient by {gradient:g3} of its");
        }
        context.Say($"{subject.Name}, same weights and batch as PyTorch: the loss differs by {all[0].Loss:0.#e+0} of its size, a layer's gradient by {all[0].Gradient:0.#e+0} at most{(all.Length > 1 ? $" ({all[1].Gradient:0.#e+0} where PyTorch has channels last)" : "")}");
        return all[0];
    }

    private static TrainStepPeer? Start(string architecture, int width, IReadOnlyList<TrainStepSubject> subjects, VerbContext context)
    {
        try
        {
            return TrainStepPeer.Start(architecture, width, WorkPool.Threads, subjects);
        }
        catch (InvalidOperationException e)
        {
            context.Warn($"{e.Message} Without the peer: {PyTorchPeer.InstallHint}");
            return null;
        }
    }
}

using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Model.Architectures;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.MaskLearning;
using Sparseland.Pruning.Programs;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>What a method that acts during training adds to the time of its steps: stretches of steps with the method, in turn with the same stretches at fixed masks and without masks.</summary>
internal sealed class PruningOverheadFigure : Figure
{
    private const int Stretch = 100;

    // Of the largest output.
    private const double MostDeviation = 1e-3;

    private readonly Option<string[]> _methods = new("--methods") { Description = "Ids of the methods (all that act during training, and GraSP).", DefaultValueFactory = _ => [], AllowMultipleArgumentsPerToken = true };
    private readonly Option<int> _stretches = new("--stretches") { Description = $"Stretches of {Stretch} steps per method; the first is not counted.", DefaultValueFactory = _ => 31 };
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures per step.", DefaultValueFactory = _ => 64 };
    private readonly Option<double> _sparsity = new("--sparsity") { Description = "Sparsity at the end.", DefaultValueFactory = _ => 0.9 };

    protected override (string Name, string Description) Title => ("pruning-overhead", "What each method during training adds to a step, beside the same steps at fixed masks and beside dense ones.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_methods, _stretches, _batch, _sparsity];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int stretches = arguments.GetValue(_stretches), batch = arguments.GetValue(_batch);
        if (stretches is < 4 or > 1000 || batch is < 1 or > 4096) throw VerbException.Usage("--stretches is 4 to 1000, --batch 1 to 4096");
        string[] asked = arguments.GetValue(_methods)!;
        foreach (string id in asked) _ = MethodCatalog.Get(id);
        var rows = new JsonArray();
        double sparsity = arguments.GetValue(_sparsity);
        Table table = NewTable("method", "ms with", "ms without", "overhead", "95 % interval", "ms dense", "over dense", "95 % interval");
        foreach (MethodInfo method in MethodCatalog.All.Where(m => asked.Length > 0 ? asked.Contains(m.Id, StringComparer.OrdinalIgnoreCase) : m.Stage == PruningStage.During || m.Id == "grasp"))
        {
            Sparsifier sparsifier = method.Build(new PruningSettings { Sparsity = sparsity }, null, (long)stretches * Stretch);
            using EvenCores cores = EvenCores.For(context, options, rows);
            if (sparsifier is OneShotSparsifier before)
            {
                rows.Add(Once(method, before, batch, sparsity, cores.Options, table, context));
                continue;
            }
            if (sparsifier is not TrainingSparsifier during) throw VerbException.Usage($"'{method.Id}' neither acts during training nor once before it");
            (double[] with, double[] without, double[] dense) = One(during, stretches, batch, cores.Options, context);
            Timing overheads = Relative(with, without), overDense = Relative(with, dense);
            double a = Median(with), b = Median(without);
            table.AddRow(method.Id, $"{a:0.00}", $"{b:0.00}", $"{overheads.Median:P1}", $"{overheads.Interval.Low:P1} to {overheads.Interval.High:P1}",
                $"{Median(dense):0.00}", $"{overDense.Median:P1}", $"{overDense.Interval.Low:P1} to {overDense.Interval.High:P1}");
            rows.Add(new JsonObject
            {
                ["method"] = method.Id,
                ["sparsity"] = sparsity,
                ["batch"] = batch,
                ["learnsScores"] = during is MaskLearner,
                ["msWith"] = Round(a),
                ["msWithout"] = Round(b),
                ["overhead"] = Round(overheads.Median),
                ["low"] = Round(overheads.Interval.Low),
                ["high"] = Round(overheads.Interval.High),
                ["msDense"] = Round(Median(dense)),
                ["overDense"] = Round(overDense.Median),
                ["overDenseLow"] = Round(overDense.Interval.Low),
                ["overDenseHigh"] = Round(overDense.Interval.High),
                ["stretches"] = overheads.Milliseconds.Length,
                ["outputsCompared"] = true,
            });
        }
        context.Show(table);
        return rows;
    }

    private static double Median(double[] milliseconds) => new Timing("", milliseconds).Median;

    private static Timing Relative(double[] milliseconds, double[] other) => new("", [.. milliseconds.Zip(other, (a, b) => a / b - 1)]);

    /// <summary>A method that prunes once before training: its time beside a dense training step's.</summary>
    private static JsonObject Once(MethodInfo method, OneShotSparsifier sparsifier, int batch, double sparsity, TimingOptions options, Table table, VerbContext context)
    {
        BatchLoader loader = Loader(batch);
        var data = new PruningContext { Data = loader, Cancellation = context.Cancellation };
        TrainableModel model = Model();
        ModelSnapshot fresh = ModelSnapshot.Of(model);
        using Trainer trainer = Make(model, loader, TimingOptions.MostRepetitions);
        IReadOnlyList<Timing> t = InterleavedTimer.MeasureSelfTimed(
        [
            (method.Id, () =>
            {
                fresh.Restore(model);
                return InterleavedTimer.Timed(() => sparsifier.Apply(PruningTarget.Of(model), data))();
            }),
            ("dense step", () =>
            {
                fresh.Restore(model);
                return Go(trainer, context, 10);
            }),
        ], options, null, context.Cancellation);
        double steps = t[0].Median / t[1].Median;
        table.AddRow(method.Id, $"{t[0].Median:0.00} once", "", $"{steps:0.0} dense steps", $"{t[0].Interval.Low:0.00}..{t[0].Interval.High:0.00} ms", $"{t[1].Median:0.00}", "", "");
        return new JsonObject { ["method"] = method.Id, ["sparsity"] = sparsity, ["batch"] = batch, ["once"] = ToJson(t[0]), ["denseStep"] = ToJson(t[1]), ["steps"] = Round(steps) };
    }

    private static readonly Architecture s_architecture = ArchitectureCatalog.Get("small-cnn");

    private static TrainableModel Model(TrainableModelOptions? options = null) => new(s_architecture.Build(s_architecture.DefaultOptions().Parse("image=16"), 1), options);

    private static BatchLoader Loader(int batch) => new(ProceduralShapes.Create(2000, 16, 1, 1), new BatchOptions { BatchSize = batch, DropLast = true, Seed = 1 });

    private static Trainer Make(TrainableModel model, BatchLoader loader, long steps, params ITrainerCallback[] callbacks) => new(model, new Sgd(model.Parameters, 0.05, 0.9, 5e-4), new Constant(0.05), loader, TrainingLoss.CrossEntropy(),
        new TrainerOptions { Steps = steps, Callbacks = callbacks });

    /// <summary>Stretches with the method, of a twin at fixed masks, and of a network that nothing was removed from: what a user trains otherwise, and what a method that needs dense gradients starts from.</summary>
    private static (double[] With, double[] Without, double[] Dense) One(TrainingSparsifier method, int stretches, int batch, TimingOptions options, VerbContext context)
    {
        BatchLoader loader = Loader(batch);
        TrainableModel pruned = Model(), twin = Model();
        using Trainer with = Make(pruned, loader, (long)stretches * Stretch, method), without = Make(twin, loader, (long)stretches * Stretch), dense = Make(Model(), loader, (long)stretches * Stretch);
        List<double> a = [], b = [], c = [];
        for (int s = 0; s < stretches; s++)
        {
            options.BeforeRound?.Invoke();
            // The twin takes over the masks of this stretch's start; what the method changes in between is part of what it costs or saves.
            ModelSnapshot.Of(pruned).Restore(twin);
            double first = Go(s % 2 == 0 ? with : without, context), second = Go(s % 2 == 0 ? without : with, context), third = Go(dense, context);
            if (s == 0)
            {
                Compare(pruned, twin, loader);
                continue;
            }
            a.Add(s % 2 == 0 ? first : second);
            b.Add(s % 2 == 0 ? second : first);
            c.Add(third);
        }
        return ([.. a], [.. b], [.. c]);
    }

    /// <summary>Outputs of the trained network, and of the twin that takes over its masks, beside the same masks and values on dense kernels: methods change masks, and a step with kernels that compute something else is worth nothing.</summary>
    /// <exception cref="InvalidOperationException">They differ by more than rounding explains.</exception>
    private static void Compare(TrainableModel pruned, TrainableModel twin, BatchLoader loader)
    {
        TrainableModel dense = Model(new TrainableModelOptions { LinearBreakEven = 0, ConvolutionBreakEven = 0 });
        ModelSnapshot now = ModelSnapshot.Of(pruned);
        now.Restore(twin);
        now.Restore(dense);
        float[] expected = Outputs(dense, loader);
        double size = expected.Max(v => (double)Math.Abs(v));
        foreach (TrainableModel model in (TrainableModel[])[pruned, twin])
        {
            double deviation = Outputs(model, loader).Zip(expected, (a, b) => Math.Abs((double)a - b)).Max();
            if (!(deviation <= MostDeviation * size)) throw new InvalidOperationException($"sparse and dense kernels disagree in training: largest deviation {deviation:g3}, largest output {size:g3}");
        }
    }

    private static float[] Outputs(TrainableModel model, BatchLoader loader)
    {
        model.IsTraining = false;
        using (GradientMode.Off())
        {
            float[] outputs = model.Forward(new ModelValue(loader.At(0).Inputs)).ToArray();
            model.IsTraining = true;
            return outputs;
        }
    }

    /// <summary>Milliseconds per step of the next stretch.</summary>
    private static double Go(Trainer trainer, VerbContext context, int steps = Stretch)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation);
        long end = trainer.Step + steps;
        var watch = Stopwatch.StartNew();
        trainer.Run(new Until(end, stop), stop.Token);
        context.Cancellation.ThrowIfCancellationRequested();
        return watch.Elapsed.TotalMilliseconds / steps;
    }

    private sealed class Until(long step, CancellationTokenSource stop) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step >= step) stop.Cancel();
        }
    }
}

using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Model.Architectures;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Programs;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;
using Spectre.Console;

namespace Sparseland.Bench.Figures;

/// <summary>What a method that acts during training adds to the time of its steps: stretches of steps with the method, in turn with the same stretches at fixed masks.</summary>
internal sealed class PruningOverheadFigure : Figure
{
    private const int Stretch = 100;
    private readonly Option<int> _stretches = new("--stretches") { Description = $"Stretches of {Stretch} steps per method; the first is not counted.", DefaultValueFactory = _ => 8 };
    private readonly Option<int> _batch = new("--batch") { Description = "Pictures per step.", DefaultValueFactory = _ => 64 };
    private readonly Option<double> _sparsity = new("--sparsity") { Description = "Sparsity at the end.", DefaultValueFactory = _ => 0.9 };

    protected override (string Name, string Description) Title => ("pruning-overhead", "What each method during training adds to a step, beside the same steps at fixed masks.");

    protected override void DeclareOwn(Command command)
    {
        Option[] options = [_stretches, _batch, _sparsity];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override JsonArray Measure(ParseResult arguments, VerbContext context, TimingOptions options)
    {
        int stretches = arguments.GetValue(_stretches), batch = arguments.GetValue(_batch);
        if (stretches is < 4 or > 1000 || batch is < 1 or > 4096) throw VerbException.Usage("--stretches is 4 to 1000, --batch 1 to 4096");
        var rows = new JsonArray();
        Table table = NewTable("method", "ms with", "ms without", "overhead", "middle half");
        foreach (MethodInfo method in MethodCatalog.All.Where(m => m.Stage == PruningStage.During))
        {
            if (method.Build(new PruningSettings { Sparsity = arguments.GetValue(_sparsity) }, null, (long)stretches * Stretch) is not TrainingSparsifier sparsifier) continue;
            (double[] with, double[] without) = One(sparsifier, stretches, batch, context);
            double[] overheads = [.. with.Zip(without, (a, b) => a / b - 1).Order()];
            double overhead = overheads[overheads.Length / 2], low = overheads[overheads.Length / 4], high = overheads[overheads.Length * 3 / 4];
            table.AddRow(method.Id, $"{with.Average():0.00}", $"{without.Average():0.00}", $"{overhead:P1}", $"{low:P1} to {high:P1}");
            rows.Add(new JsonObject { ["method"] = method.Id, ["sparsity"] = arguments.GetValue(_sparsity), ["batch"] = batch, ["msWith"] = Round(with.Average()), ["msWithout"] = Round(without.Average()), ["overhead"] = Round(overhead), ["low"] = Round(low), ["high"] = Round(high), ["stretches"] = overheads.Length });
        }
        context.Show(table);
        return rows;
    }

    private static (double[] With, double[] Without) One(TrainingSparsifier method, int stretches, int batch, VerbContext context)
    {
        BatchLoader loader = new(ProceduralShapes.Create(2000, 16, 1, 1), new BatchOptions { BatchSize = batch, DropLast = true, Seed = 1 });
        Architecture architecture = ArchitectureCatalog.Get("small-cnn");
        TrainableModel Model() => new(architecture.Build(architecture.DefaultOptions().Parse("image=16"), 1));
        Trainer Make(TrainableModel model, params ITrainerCallback[] callbacks) => new(model, new Sgd(model.Parameters, 0.05, 0.9, 5e-4), new Constant(0.05), loader, TrainingLoss.CrossEntropy(),
            new TrainerOptions { Steps = (long)stretches * Stretch, Callbacks = callbacks });
        TrainableModel pruned = Model(), twin = Model();
        using Trainer with = Make(pruned, method), without = Make(twin);
        var a = new List<double>();
        var b = new List<double>();
        for (int s = 0; s < stretches; s++)
        {
            // The twin takes over the masks of this stretch's start; what the method changes in between is part of what it costs or saves.
            ModelSnapshot.Of(pruned).Restore(twin);
            double first = Go(s % 2 == 0 ? with : without, context), second = Go(s % 2 == 0 ? without : with, context);
            if (s == 0) continue;
            a.Add(s % 2 == 0 ? first : second);
            b.Add(s % 2 == 0 ? second : first);
        }
        return ([.. a], [.. b]);
    }

    /// <summary>Milliseconds per step of the next stretch.</summary>
    private static double Go(Trainer trainer, VerbContext context)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.Cancellation);
        long end = trainer.Step + Stretch;
        var watch = Stopwatch.StartNew();
        trainer.Run(new Until(end, stop), stop.Token);
        context.Cancellation.ThrowIfCancellationRequested();
        return watch.Elapsed.TotalMilliseconds / Stretch;
    }

    private sealed class Until(long step, CancellationTokenSource stop) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step >= step) stop.Cancel();
        }
    }
}

using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Reporting;
using Sparseland.Cli.Services;
using Sparseland.Model;
using Sparseland.Model.Analysis;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recipes;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>The whole story in under three minutes, offline: train, prune, win back, save, measure, report.</summary>
internal sealed class QuickstartVerb : Verb
{
    private const double Sparsity = 0.9;

    private readonly Option<string?> _runFolder = new("--run-dir") { Description = "Folder of the run (default: runs/quickstart, numbered when it exists)." };
    private readonly Option<bool> _force = SharedOptions.Force();

    protected override (string Name, string Description) Title => ("quickstart", "Train, prune, recover, save and measure a small network, offline, in under three minutes.");

    protected override void Declare(Command command)
    {
        command.Options.Add(_runFolder);
        command.Options.Add(_force);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        var watch = Stopwatch.StartNew();
        ModelGraph dense = ArchitectureCatalog.Get("small-cnn").Build(ArchitectureCatalog.Get("small-cnn").DefaultOptions().Parse("image=16,inputs=1,channels=64,hidden=128,classes=10"), context.Settings.Seed);
        DataSource source = DataSource.Open("shapes", new DataSourceOptions { Seed = 1 + context.Settings.Seed });
        var data = new OpenedData(source, source.Normalization!);
        ModelMetadata.SetNormalization(dense.Metadata, data.Normalization);
        ModelMetadata.SetClassNames(dense.Metadata, source.Test!.ClassNames!);
        ModelCost cost = ModelCost.Of(dense, InspectVerb.BatchTypes(dense, 1));
        context.SayMarkup("[bold]Sparseland quickstart[/]: a small network becomes smaller and faster, with the evidence");
        context.Say(MachineInfo.Current.Describe());
        context.Say($"network  {dense.Name}, {cost.Parameters:N0} parameters, {cost.Macs / 1e6:0.0} M multiply-adds");
        context.Say($"data     {source.Train!.Count:N0} + {source.Test.Count:N0} built-in pictures of {source.Train.ClassCount} classes, {string.Join(" x ", source.Train.SampleShape.ToArray())}");
        if (context.Settings.DryRun)
        {
            context.Say("would train it, remove 90 % of its weights while training on, save both files, time it beside its dense twin and write report.html");
            return ExitCodes.Done;
        }
        string folder = arguments.GetValue(_runFolder) ?? FreeFolder(context.Settings.Resume);
        using RunFolder run = RunFolder.Open(folder, context, "quickstart", [.. arguments.Tokens.Select(t => t.Value)], [], arguments.GetValue(_force));

        context.SayMarkup("\n[bold]1  train[/] the dense network");
        await TrainDenseAsync(context, dense, data, run).ConfigureAwait(false);
        context.SayMarkup($"\n[bold]2  prune[/] it to {Sparsity:P0} zeros, in one go and then gradually with its dense self as the teacher");
        Evaluation oneShot = await OneShotAsync(context, dense, data).ConfigureAwait(false);
        var request = new PruneRequest { Recipe = Recipe.Of("gmp").With("sparsity", "90%").With("parameters.allocation", "uniform+").With("seed", context.Settings.Seed.ToString(System.Globalization.CultureInfo.InvariantCulture)) };
        request = request with { Training = new TrainingPlan { Epochs = 5, BatchSize = 64, LearningRate = 0.02, Teacher = "self", TeacherWeight = 0.5, Seed = context.Settings.Seed } };
        PruneOutcome outcome = await new PruneRunner(context, request, data, run).RunAsync(dense).ConfigureAwait(false);
        outcome = outcome with { Evaluations = [outcome.Evaluations[0], ("pruned in one go", oneShot), .. outcome.Evaluations.Skip(1)] };

        context.SayMarkup("\n[bold]3  save and measure[/]");
        outcome = outcome with
        {
            Saved = SavedModel.Write(outcome.Pruned, run),
            DenseSaved = SavedModel.Write(dense, run.File("dense.onnx"), run.File("dense.sparse.safetensors")),
        };
        // What is timed is the file that was written, not the model that is still in memory.
        ModelGraph loaded = ModelAccess.Load(outcome.Saved.CompactPath);
        Dictionary<string, TensorData> inputs = ModelInputs.Random(loaded, 1, 1, context.Settings.Seed);
        outcome = outcome with
        {
            Benchmark = await context.TrackAsync("timing", 1, work => TwinBenchmark.Run(loaded, inputs, new TimingOptions(200, 4), progress: p => work.Report(p), cancellation: context.Cancellation)).ConfigureAwait(false),
        };
        HtmlReportWriter.Write(PruneReport.Make(outcome, run, context), run.File("report.html"));
        JsonObject json = outcome.ToJson();
        json["seconds"] = watch.Elapsed.TotalSeconds;
        json["peakMemoryBytes"] = Process.GetCurrentProcess().PeakWorkingSet64;
        json["report"] = run.File("report.html");
        run.Record("result", json.DeepClone());

        Show(context, outcome, run, watch.Elapsed);
        context.Result(json);
        context.Next(
            $"open {run.File("report.html")}",
            $"sparseland bench {outcome.Saved.CompactPath} --plan",
            $"sparseland prune {run.File("dense.onnx")} --macs 50% --data shapes --epochs 4",
            "sparseland inspect YOUR-MODEL.onnx");
        return outcome.Grown.Count > 0 ? ExitCodes.GateNotMet : ExitCodes.Done;
    }

    private static async Task TrainDenseAsync(VerbContext context, ModelGraph dense, OpenedData data, RunFolder run)
    {
        string finished = Path.Combine(run.Checkpoints, "dense.sparse.safetensors");
        if (context.Settings.Resume && File.Exists(finished))
        {
            context.Say("the dense network is trained already");
            foreach (Weight weight in ModelAccess.Load(finished).Weights.Values) dense.Weights[weight.Name].Set(weight.Read());
            return;
        }
        var settings = new TrainingPlan { Epochs = 4, BatchSize = 64, LearningRate = 0.05, WarmUp = 0.1, Seed = context.Settings.Seed };
        using (var session = new TrainingSession(context, new TrainableModel(dense), data, settings, [], run, "training")) await session.RunAsync().ConfigureAwait(false);
        // The next phase has checkpoints of its own under the same name.
        Model.Formats.ModelFile.Save(dense, finished);
        File.Delete(run.LatestCheckpoint);
    }

    private static async Task<Evaluation> OneShotAsync(VerbContext context, ModelGraph dense, OpenedData data)
    {
        ModelGraph copy = dense.Clone();
        var method = (OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = Sparsity }, new Dictionary<string, string> { ["allocation"] = "uniform+" });
        method.Apply(PruningTarget.Of(copy));
        return await EvaluationService.EvaluateAsync(context, copy, data, 128, title: "evaluating (pruned in one go)").ConfigureAwait(false);
    }

    private static void Show(VerbContext context, PruneOutcome outcome, RunFolder run, TimeSpan elapsed)
    {
        context.Console.WriteLine();
        context.Show(PruneScreen.Totals(outcome));
        BenchmarkResult bench = outcome.Benchmark!;
        Evaluation first = outcome.Evaluations[0].Evaluation, last = outcome.Evaluations[^1].Evaluation;
        double smaller = (double)outcome.DenseSaved!.CompactBytes / outcome.Saved!.CompactBytes;
        context.SayMarkup($"[bold]{smaller:0.0}x smaller[/] on disk, [bold]{bench.SpeedUp:0.00}x[/] the speed of its dense twin at batch 1 ({bench.SpeedUpLow:0.00} to {bench.SpeedUpHigh:0.00}), top-1 [bold]{last.Top1:P2}[/] (dense {first.Top1:P2})");
        context.Say($"{ProgressDisplay.Format(elapsed)}, peak memory {Process.GetCurrentProcess().PeakWorkingSet64 / 1e6:0} MB, report {run.File("report.html")}");
    }

    private static string FreeFolder(bool resume)
    {
        string folder = Path.Combine("runs", "quickstart");
        if (resume) return folder;
        for (int i = 2; Directory.Exists(folder); i++) folder = Path.Combine("runs", $"quickstart-{i}");
        return folder;
    }
}

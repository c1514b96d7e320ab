using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Reporting;
using Sparseland.Cli.Services;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Recovery;
using Spectre.Console;

namespace Sparseland.Cli.Verbs;

/// <summary>Makes a model smaller: removes weights or channels, wins accuracy back, writes both files, measures, reports.</summary>
internal sealed class PruneVerb : Verb
{
    private static readonly TrainingPlan s_defaults = new() { Epochs = 0, LearningRate = 0.01 };

    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _data = SharedOptions.Data();
    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _normalize = SharedOptions.Normalize();
    private readonly Option<string?> _output = SharedOptions.Output("Also write the pruned model here (.onnx or .sparse.safetensors).");
    private readonly Option<string?> _runFolder = new("--run-dir") { Description = "Folder of the run (default: runs/prune-MODEL)." };
    private readonly Option<bool> _noBench = new("--no-bench") { Description = "Do not time the result." };
    private readonly Option<bool> _allowNothing = new("--allow-nothing") { Description = "Exit 0 even when nothing could be removed." };
    private readonly Option<double?> _maxDrop = new("--max-drop") { Description = "Gate: largest loss of top-1 in points (or rise of perplexity in percent); exit code 5 beyond it." };
    private readonly Option<bool> _force = SharedOptions.Force();
    private readonly PruneFlags _prune = new();
    private readonly TrainingFlags _training = new(s_defaults);

    protected override (string Name, string Description) Title => ("prune", "Make a model smaller and faster; win accuracy back when data is given.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_data, _dataRoot, _architecture, _normalize, _output, _runFolder, _noBench, _allowNothing, _maxDrop, _force];
        foreach (Option option in options) command.Options.Add(option);
        _prune.AddTo(command);
        _training.AddTo(command);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string path = arguments.GetValue(_model)!;
        ModelGraph graph = ModelAccess.Load(path, arguments.GetValue(_architecture), arguments.GetValue(_normalize));
        bool text = graph.Inputs[0].Type.ElementType is ElementType.Int64 or ElementType.Int32;
        string? dataName = arguments.GetValue(_data);
        PruneRequest request = await LatencySearch.SolveAsync(context, graph, PruneRunner.SolveSize(graph, _prune.Read(arguments, context, _training, dataName is not null, text))).ConfigureAwait(false);
        TrainingPlan training = request.Training;
        OpenedData? data = dataName is null ? null : OpenedData.For(graph, dataName, arguments.GetValue(_dataRoot), training.Window, context.Settings.Seed);
        bool trains = data is not null && (training.Steps ?? training.Epochs) > 0;
        if (arguments.GetValue(_output) is { } target && !context.Settings.DryRun) ModelAccess.RequireWritable(target, arguments.GetValue(_force));
        if (request.Method.Stage == Pruning.PruningStage.Before) context.Warn(StageAdvice(request, trains, text));
        context.Say($"{request.Title}: {request.Target}{(trains ? $", trained on {data!.Source.Name}" : "")}");
        var runner = new PruneRunner(context, request, data, null);
        runner.Validate(graph);
        if (context.Settings.DryRun)
        {
            context.Result(PlanVerb.Show(context, graph, request));
            return ExitCodes.Done;
        }

        _prune.SaveRecipe(arguments, request, arguments.GetValue(_force));
        string folder = arguments.GetValue(_runFolder) ?? Path.Combine("runs", $"prune-{Path.GetFileNameWithoutExtension(path)}");
        string[] inputs = [.. new[] { path, training.Teacher, dataName }.OfType<string>().Where(Path.Exists)];
        using RunFolder run = RunFolder.Open(folder, context, "prune", [.. arguments.Tokens.Select(t => t.Value)], inputs, arguments.GetValue(_force));
        run.Record("request", new JsonObject { ["method"] = request.Method.Id, ["title"] = request.Title, ["target"] = request.Target, ["training"] = TrainingFlags.ToJson(training) });
        PruneOutcome outcome = await new PruneRunner(context, request, data, run).RunAsync(graph).ConfigureAwait(false);
        if (outcome.NothingBecause.Count > 0 && !arguments.GetValue(_allowNothing))
            throw new VerbException(ExitCodes.NothingPruned, "SL4007", "nothing was removed") { Because = string.Join("; ", outcome.NothingBecause.Take(6)), Try = "see every reason with: sparseland plan MODEL; --allow-nothing accepts it" };

        // The recipe travels with the model (R10).
        outcome.Pruned.Metadata["sparseland.recipe"] = request.Recipe.ToYaml();
        outcome = outcome with
        {
            Saved = SavedModel.Write(outcome.Pruned, run),
            DenseSaved = SavedModel.Write(graph, Path.Combine(run.Checkpoints, "dense.onnx"), Path.Combine(run.Checkpoints, "dense.sparse.safetensors")),
        };
        if (!arguments.GetValue(_noBench)) outcome = outcome with { Benchmark = await BenchAsync(context, outcome, request).ConfigureAwait(false) };
        if (arguments.GetValue(_output) is { } copy) Model.Formats.ModelFile.Save(outcome.Pruned, copy);
        TextFile.Write(run.File("plan.json"), outcome.ToJson().ToJsonString(JsonText.Indented));
        HtmlReportWriter.Write(PruneReport.Make(outcome, run, context), run.File("report.html"));
        run.Record("result", outcome.ToJson());
        run.Record("peakMemoryBytes", System.Diagnostics.Process.GetCurrentProcess().PeakWorkingSet64);

        PruneScreen.Show(context, outcome, run);
        context.Result(outcome.ToJson());
        context.Next($"sparseland bench {outcome.Saved!.CompactPath}", trains ? $"sparseland run {outcome.Saved.CompactPath} --input FILE" : $"sparseland recover {outcome.Saved.CompactPath} --data DATA --teacher {path}");
        return Gate(arguments, context, outcome);
    }

    /// <summary>Methods for untrained networks judge, or reset, what training has found.</summary>
    private static string StageAdvice(PruneRequest request, bool trains, bool text) =>
        $"'{request.Method.Id}' acts before training: it is made for a network at its initialisation, and this one is taken as it is{(trains ? "" : " and not trained afterwards")}. "
        + $"From scratch: sparseland train ARCHITECTURE --method {request.Method.Id} --data {(text ? "TEXT" : "DATA")}; for a trained network: --method magnitude, gmp, rd ... (list methods --stage after)";

    private int Gate(ParseResult arguments, VerbContext context, PruneOutcome outcome)
    {
        foreach (string grown in outcome.Grown) context.Warn("gate: " + grown);
        if (outcome.Grown.Count > 0) return ExitCodes.GateNotMet;
        if (arguments.GetValue(_maxDrop) is not { } limit || outcome.Evaluations.Count < 2) return ExitCodes.Done;
        Training.Runs.Evaluation first = outcome.Evaluations[0].Evaluation, last = outcome.Evaluations[^1].Evaluation;
        double drop = outcome.IsText ? 100 * (last.Perplexity / first.Perplexity - 1) : 100 * (first.Top1 - last.Top1);
        if (drop <= limit) return ExitCodes.Done;
        context.Warn($"gate: {(outcome.IsText ? $"perplexity rose by {drop:0.00} %" : $"top-1 fell by {drop:0.00} points")}; allowed is {limit:0.##}");
        return ExitCodes.GateNotMet;
    }

    private static Task<BenchmarkResult> BenchAsync(VerbContext context, PruneOutcome outcome, PruneRequest request)
    {
        Dictionary<string, TensorData> inputs = ModelInputs.Random(outcome.Pruned, 1, 64, context.Settings.Seed);
        // Channels change the model's shapes, so its twin is the model it came from; zeros leave shapes alone.
        ModelGraph? twin = request.IsStructured ? outcome.Dense : null;
        return context.TrackAsync("timing", 1, work => TwinBenchmark.Run(outcome.Pruned, inputs, new TimingOptions(30, 3), twin, progress: p => work.Report(p), cancellation: context.Cancellation));
    }
}

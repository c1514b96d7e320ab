using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Reporting;
using Sparseland.Cli.Services;
using Sparseland.Model;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Recipes;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Verbs;

/// <summary>Trains an architecture from scratch, or a model further; densely or with a sparse method.</summary>
internal sealed class TrainVerb : Verb
{
    private static readonly TrainingPlan s_defaults = new() { Epochs = 10, WarmUp = 0.05 };

    private readonly Argument<string> _model = new("model") { Description = "An architecture (see 'list architectures') or a model file." };
    private readonly Option<string?> _data = SharedOptions.Data(required: true);
    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _architectureOptions = new("--arch-options") { Description = "Options of the architecture: width=64,classes=10." };
    private readonly Option<string?> _normalize = SharedOptions.Normalize();
    private readonly Option<string?> _runFolder = new("--run-dir") { Description = "Folder of the run (default: runs/train-MODEL)." };
    private readonly Option<bool> _force = SharedOptions.Force();
    private readonly PruneFlags _prune = new();
    private readonly TrainingFlags _training = new(s_defaults);

    protected override (string Name, string Description) Title => ("train", "Train an architecture, or a model further; densely or with a sparse method.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_data, _dataRoot, _architecture, _architectureOptions, _normalize, _runFolder, _force];
        foreach (Option option in options) command.Options.Add(option);
        _prune.AddSparseTrainingTo(command);
        _training.AddTo(command);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string name = arguments.GetValue(_model)!;
        _prune.TakeSeed(arguments, context);
        ModelGraph graph = ArchitectureForData.Build(context, name, arguments.GetValue(_architecture), arguments.GetValue(_architectureOptions),
            arguments.GetValue(_normalize), arguments.GetValue(_data)!, arguments.GetValue(_dataRoot));
        bool text = graph.Inputs[0].Type.ElementType == ElementType.Int64;
        PruneRequest? sparse = _prune.ReadSparseTraining(arguments, context, _training, text);
        TrainingPlan settings = sparse?.Training ?? _training.Plan(_training.AddTo(Recipe.Of("magnitude"), arguments), text, context.Settings.Seed);
        OpenedData data = OpenedData.For(graph, arguments.GetValue(_data)!, arguments.GetValue(_dataRoot), settings.Window, context.Settings.Seed);
        if (ModelMetadata.FindNormalization(graph) is null && !data.IsText) ModelMetadata.SetNormalization(graph.Metadata, data.Normalization);
        ModelCost cost = ModelCost.Of(graph, InspectVerb.BatchTypes(graph, 1));
        context.Say($"{graph.Name}: {cost.Parameters:N0} parameters, {cost.Macs / 1e6:0.##} M multiply-adds; {data.Source.ForTraining.Count:N0} training samples of {data.Source.Name} ({data.Source.Format})");
        if (sparse is not null) context.Say($"{sparse.Title}: {sparse.Target}");
        SparseTraining? method = sparse is null ? null : new SparseTraining(context, sparse, data, settings);
        method?.Validate(graph);
        if (context.Settings.DryRun)
        {
            if (sparse is not null) PlanVerb.Show(context, graph, sparse);
            context.Say($"would train with {TrainingFlags.ToJson(settings).ToJsonString()}");
            return ExitCodes.Done;
        }

        if (sparse is not null) _prune.SaveRecipe(arguments, sparse, arguments.GetValue(_force));
        string folder = arguments.GetValue(_runFolder) ?? Path.Combine("runs", $"train-{Path.GetFileNameWithoutExtension(name)}");
        string[] inputs = [.. new[] { name, settings.Teacher, arguments.GetValue(_data) }.OfType<string>().Where(Path.Exists)];
        using RunFolder run = RunFolder.Open(folder, context, "train", [.. arguments.Tokens.Select(t => t.Value)], inputs, arguments.GetValue(_force));
        run.Record("training", TrainingFlags.ToJson(settings));
        if (sparse is not null) run.Record("method", new JsonObject { ["id"] = sparse.Method.Id, ["title"] = sparse.Title, ["target"] = sparse.Target });
        if (method is not null) graph = await method.ShrinkAsync(graph).ConfigureAwait(false);
        var model = new TrainableModel(graph);
        if (method is not null) await method.PrepareAsync(model).ConfigureAwait(false);
        string title = method is null ? "training" : $"training, {sparse!.Method.Id}";
        var watch = Stopwatch.StartNew();
        long steps;
        if (method?.Program is { } program)
        {
            (PruningResult outcome, steps) = await new ProgramSession(context, data, settings, run).RunAsync(program, model, title).ConfigureAwait(false);
            method.Check(graph, outcome);
        }
        else
        {
            using var session = new TrainingSession(context, model, data, settings, method?.Callbacks ?? [], run, title, TrainingSession.TeacherOf(settings));
            steps = (await session.RunAsync().ConfigureAwait(false)).Steps;
            method?.Check(graph);
        }
        TimeSpan elapsed = watch.Elapsed;
        if (method?.Explored is { } explored) run.Record("explored", new JsonObject { ["share"] = explored.Share, ["lastChange"] = explored.LastChange });
        run.Record("peakMemoryBytes", Process.GetCurrentProcess().PeakWorkingSet64);

        Evaluation final = await EvaluationService.EvaluateAsync(context, graph, data, 128).ConfigureAwait(false);
        SavedModel saved = SavedModel.Write(graph, run);
        run.Record("result", EvaluationService.ToJson(final, data.IsText));
        var report = new ReportDocument($"Training of {graph.Name}", $"{data.Source.Name}, seed {context.Settings.Seed}, {MachineInfo.Current.Describe()}");
        TrainingReport.Add(report, run, final, data.IsText);
        report.Section("Provenance").Add(new CodeBlock(File.ReadAllText(run.File("run.json"))));
        HtmlReportWriter.Write(report, run.File("report.html"));

        ModelCost after = ModelCost.Of(graph, InspectVerb.BatchTypes(graph, 1));
        if (sparse is not null) context.Say($"{after.NonZeros:N0} of {cost.Parameters:N0} parameters left, {after.EffectiveMacs / 1e6:0.##} of {cost.Macs / 1e6:0.##} M multiply-adds");
        context.Conclude($"{steps} steps in {ProgressDisplay.Format(elapsed)}: {TrainingSession.Describe(final)}, loss {final.Loss:0.0000}");
        context.Say($"{saved.OnnxPath} {saved.OnnxBytes / 1e6:0.000} MB, {saved.CompactPath} {saved.CompactBytes / 1e6:0.000} MB, {run.File("report.html")}");
        JsonObject json = EvaluationService.ToJson(final, data.IsText);
        json["run"] = run.Path;
        json["onnx"] = saved.OnnxPath;
        json["compact"] = saved.CompactPath;
        json["steps"] = steps;
        json["seconds"] = elapsed.TotalSeconds;
        json["method"] = sparse?.Method.Id;
        json["parameters"] = cost.Parameters;
        json["nonZeros"] = after.NonZeros;
        if (method?.Outcome is { } removed)
        {
            json["sparsity"] = 1 - (double)removed.Layers.Sum(l => (long)l.After) / removed.Layers.Sum(l => (long)l.Layer.Length);
            foreach (string warning in method.Warnings) context.Warn(warning);
        }
        context.Result(json);
        context.Next(sparse is null ? $"sparseland prune {saved.OnnxPath} --sparsity 80% --data {arguments.GetValue(_data)}" : $"sparseland bench {saved.CompactPath}", $"sparseland run {saved.OnnxPath}");
        return ExitCodes.Done;
    }
}

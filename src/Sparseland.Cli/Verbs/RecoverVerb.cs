using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Reporting;
using Sparseland.Cli.Services;
using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recipes;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Cli.Verbs;

/// <summary>Wins the accuracy of a pruned model back by training its remaining weights; the masks stay (R16).</summary>
internal sealed class RecoverVerb : Verb
{
    private static readonly TrainingPlan s_defaults = new() { Epochs = 5, LearningRate = 0.01 };

    private readonly Argument<string> _model = SharedOptions.Model();
    private readonly Option<string?> _data = SharedOptions.Data(required: true);
    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _normalize = SharedOptions.Normalize();
    private readonly Option<string?> _output = SharedOptions.Output("Also write the recovered model here.");
    private readonly Option<string?> _runFolder = new("--run-dir") { Description = "Folder of the run (default: runs/recover-MODEL)." };
    private readonly Option<bool> _force = SharedOptions.Force();
    private readonly Option<string?> _recipe = new("--recipe") { Description = "Take training entries and seed from a recipe (YAML); flags beside it change single entries." };
    private readonly Option<bool> _reconstruct = new("--reconstruct") { Description = "Block after block learns to give what the dense network's (--teacher) gives on the same inputs: --retrain names what is trained, --steps counts per block (default 100), --lr is 0.0005 and --batch 8 where nothing is said; labels are not used." };
    private readonly Option<int?> _samples = new("--samples") { Description = "Samples whose values the blocks are reconstructed on, with --reconstruct (default 128)." };
    private readonly TrainingFlags _training = new(s_defaults);

    protected override (string Name, string Description) Title => ("recover", "Win the accuracy of a pruned model back; its masks stay.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_data, _dataRoot, _architecture, _normalize, _output, _runFolder, _recipe, _reconstruct, _samples, _force];
        foreach (Option option in options) command.Options.Add(option);
        _training.AddTo(command);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string path = arguments.GetValue(_model)!, dataName = arguments.GetValue(_data)!;
        ModelGraph graph = ModelAccess.Load(path, arguments.GetValue(_architecture), arguments.GetValue(_normalize));
        Dictionary<string, int> kept = graph.Weights.Values.Where(w => w.Mask is not null).ToDictionary(w => w.Name, w => w.Mask!.KeptCount, StringComparer.Ordinal);
        int masked = kept.Count;
        if (masked == 0) context.Warn($"'{path}' has no masks: all weights are trained. A model pruned by channels has none; one pruned by weights keeps them in .sparse.safetensors and in .onnx files written here.");
        bool text = graph.Inputs[0].Type.ElementType is ElementType.Int64 or ElementType.Int32;
        Recipe recipe = _training.AddTo(arguments.GetValue(_recipe) is { } file ? RecipeReader.Read(file) : Recipe.Of("magnitude"), arguments);
        PruneFlags.TakeSeed(arguments, context, recipe);
        TrainingPlan settings = _training.Plan(recipe, text, context.Settings.Seed);
        int? samples = arguments.GetValue(_samples);
        if (samples is not null && !arguments.GetValue(_reconstruct)) throw VerbException.Usage("--samples belongs to --reconstruct", "add --reconstruct, or leave --samples out");
        if (samples < 1) throw VerbException.Usage($"--samples is {samples}", "1 or more, for example --samples 128");
        BlockReconstruction? reconstruction = arguments.GetValue(_reconstruct) ? Reconstruction(recipe, settings, samples ?? 128) : null;
        OpenedData data = OpenedData.For(graph, dataName, arguments.GetValue(_dataRoot), settings.Window, context.Settings.Seed);
        long before = ModelCost.Of(graph, InspectVerb.BatchTypes(graph, 1)).NonZeros;
        var model = new TrainableModel(graph);
        ModelGraph? teacher = TrainingSession.TeacherOf(settings);
        TrainableModel? imitated = reconstruction is null ? null : new TrainableModel(teacher!);
        reconstruction?.Validate(model, imitated);
        JsonObject training = reconstruction is null ? TrainingFlags.ToJson(settings) : ToJson(reconstruction, settings);
        if (context.Settings.DryRun && reconstruction is not null)
        {
            context.Say($"would reconstruct {reconstruction.BlockCount} blocks of {before:N0} remaining parameters ({masked} masked weights) with {training.ToJsonString()}");
            return ExitCodes.Done;
        }
        if (context.Settings.DryRun)
        {
            context.Say($"would train {before:N0} remaining parameters ({masked} masked weights) with {training.ToJsonString()}");
            return ExitCodes.Done;
        }
        if (arguments.GetValue(_output) is { } target) ModelAccess.RequireWritable(target, arguments.GetValue(_force));

        string folder = arguments.GetValue(_runFolder) ?? Path.Combine("runs", $"recover-{Path.GetFileNameWithoutExtension(path)}");
        string[] inputs = [.. new[] { path, settings.Teacher, dataName }.OfType<string>().Where(Path.Exists)];
        using RunFolder run = RunFolder.Open(folder, context, "recover", [.. arguments.Tokens.Select(t => t.Value)], inputs, arguments.GetValue(_force));
        run.Record("training", training);
        Evaluation first = await EvaluationService.EvaluateAsync(context, graph, data, 128, title: "evaluating (before)").ConfigureAwait(false);
        if (reconstruction is null)
        {
            using var session = new TrainingSession(context, model, data, settings, [], run, "recovering", teacher);
            await session.RunAsync().ConfigureAwait(false);
        }
        else
        {
            KeepBlocks(reconstruction, model, training, run, context);
            await context.TrackAsync("reconstructing", 1, work => reconstruction.Recover(model, new RecoveryContext(data.Source, data.Normalization)
            {
                Teacher = imitated,
                Progress = new Forward(p => work.Report((reconstruction.Blocks.Count + (double)p.Step / p.TotalSteps) / reconstruction.BlockCount, $"block {reconstruction.Blocks.Count + 1} of {reconstruction.BlockCount}, error {p.Loss:G4}")),
            }, context.Cancellation)).ConfigureAwait(false);
            foreach (ReconstructedBlock b in reconstruction.Blocks) context.Say($"{b.Block}: error {b.Before:G4} to {b.After:G4}, {b.Trained:N0} values trained");
            run.Record("blocks", ToJson(reconstruction.Blocks));
        }
        Evaluation last = await EvaluationService.EvaluateAsync(context, graph, data, 128, title: "evaluating (after)").ConfigureAwait(false);

        long after = ModelCost.Of(graph, InspectVerb.BatchTypes(graph, 1)).NonZeros;
        SavedModel saved = SavedModel.Write(graph, run);
        if (arguments.GetValue(_output) is { } copy) Model.Formats.ModelFile.Save(graph, copy);
        var report = new ReportDocument($"Recovery of {graph.Name}", $"{data.Source.Name}, seed {context.Settings.Seed}, {MachineInfo.Current.Describe()}");
        report.Section("Before and after").Add(Charts.Bars(data.IsText ? "Perplexity" : "Top-1", "value", ["before", "after"], [("value", data.IsText ? [first.Perplexity, last.Perplexity] : [first.Top1, last.Top1])]));
        TrainingReport.Add(report, run, last, data.IsText);
        HtmlReportWriter.Write(report, run.File("report.html"));

        context.Conclude($"before: {TrainingSession.Describe(first)}; after: {TrainingSession.Describe(last)}; non-zeros {before:N0} before, {after:N0} after");
        context.Say($"{saved.OnnxPath} {saved.OnnxBytes / 1e6:0.000} MB, {saved.CompactPath} {saved.CompactBytes / 1e6:0.000} MB, {run.File("report.html")}");
        context.Result(new JsonObject
        {
            ["before"] = EvaluationService.ToJson(first, data.IsText),
            ["after"] = EvaluationService.ToJson(last, data.IsText),
            ["nonZeros"] = new JsonObject { ["before"] = before, ["after"] = after },
            ["onnx"] = saved.OnnxPath,
            ["compact"] = saved.CompactPath,
            ["run"] = run.Path,
        });
        context.Next($"sparseland bench {saved.CompactPath}");
        // What counts is what the masks keep, not the non-zeros: a weight that was regrown just before starts at zero and may move (R6, R16).
        string[] grown = [.. graph.Weights.Values.Where(w => kept.TryGetValue(w.Name, out int count) && (w.Mask?.KeptCount ?? w.Length) > count).Select(w => w.Name)];
        foreach (string name in grown) context.Warn($"gate: '{name}' keeps more weights than before");
        return grown.Length > 0 ? ExitCodes.GateNotMet : ExitCodes.Done;
    }

    // The entries of a training that a reconstruction takes; the method has its own optimizer, schedule and loss.
    private static readonly HashSet<string> s_reconstructionKeys = [.. ((string[])["steps", "batch", "learningRate", "teacher", "retrain", "rank", "alpha", "window"]).Select(k => "training." + k)];

    private BlockReconstruction Reconstruction(Recipe recipe, TrainingPlan settings, int samples)
    {
        string[] unused = [.. recipe.Entries.Keys.Where(k => k.StartsWith("training.", StringComparison.Ordinal) && !s_reconstructionKeys.Contains(k)).Select(_training.FlagOf)];
        if (unused.Length > 0)
            throw VerbException.Usage($"--reconstruct does not use {string.Join(", ", unused)}", $"leave {(unused.Length == 1 ? "it" : "them")} out; it takes {string.Join(", ", s_reconstructionKeys.Select(_training.FlagOf).Order(StringComparer.Ordinal))} and --samples");
        if (settings.Teacher is null) throw VerbException.Usage("--reconstruct imitates the blocks of the dense network", "give its file: --teacher MODEL");
        PartialRetraining partial = PartialRetraining.Parse(settings.Retrain) ?? throw VerbException.Usage("--reconstruct trains a part of every block", "name it, for example --retrain norms,biases,mask-lora");
        if (partial.Parts.HasFlag(RetrainedParts.Head)) throw VerbException.Usage("--reconstruct trains parts of blocks, and the head is in none", "--retrain without head, for example --retrain norms,mask-lora");
        return new BlockReconstruction(partial.Parts, settings.Steps ?? 100, samples)
        {
            LearningRate = recipe.Entries.ContainsKey("training.learningRate") ? settings.LearningRate : 5e-4,
            BatchSize = recipe.Entries.ContainsKey("training.batch") ? settings.BatchSize : 8,
            Rank = settings.Rank,
            Alpha = settings.Alpha,
            Seed = settings.Seed,
        };
    }

    /// <summary>Writes the model behind every block, and goes on from what an earlier run wrote.</summary>
    private static void KeepBlocks(BlockReconstruction reconstruction, TrainableModel model, JsonObject training, RunFolder run, VerbContext context)
    {
        if (context.Settings.Resume && File.Exists(run.LatestCheckpoint))
        {
            (ModelSnapshot state, IReadOnlyDictionary<string, string> about) = ModelSnapshot.Load(run.LatestCheckpoint);
            if (about.GetValueOrDefault("training") != training.ToJsonString())
                throw VerbException.Usage("the run that is to go on was started with other options", $"those that it was started with, or start anew: without --resume, with --force or another --run-dir ({about.GetValueOrDefault("training")})");
            state.Restore(model);
            reconstruction.Finished = [.. JsonNode.Parse(about["blocks"])!.AsArray().Select(b => new ReconstructedBlock((string)b!["block"]!, (long)b["trained"]!, (double)b["before"]!, (double)b["after"]!))];
            context.Say($"resumed behind block {reconstruction.Finished.Count} of {reconstruction.BlockCount}");
        }
        reconstruction.BlockDone = () => ModelSnapshot.Of(model).Save(run.LatestCheckpoint, new Dictionary<string, string> { ["training"] = training.ToJsonString(), ["blocks"] = ToJson(reconstruction.Blocks).ToJsonString() });
    }

    private static JsonArray ToJson(IEnumerable<ReconstructedBlock> blocks) =>
        [.. blocks.Select(b => (JsonNode)new JsonObject { ["block"] = b.Block, ["trained"] = b.Trained, ["before"] = b.Before, ["after"] = b.After })];

    private static JsonObject ToJson(BlockReconstruction reconstruction, TrainingPlan settings) => new()
    {
        ["reconstruct"] = true,
        ["steps"] = reconstruction.Steps,
        ["samples"] = reconstruction.Samples,
        ["batch"] = reconstruction.BatchSize,
        ["learningRate"] = reconstruction.LearningRate,
        ["teacher"] = settings.Teacher,
        ["retrain"] = settings.Retrain,
        ["rank"] = reconstruction.Rank,
        ["alpha"] = reconstruction.Alpha,
        ["window"] = settings.Window,
        ["seed"] = reconstruction.Seed,
    };

    private sealed class Forward(Action<Training.Runs.TrainingProgress> action) : IProgress<Training.Runs.TrainingProgress>
    {
        public void Report(Training.Runs.TrainingProgress value) => action(value);
    }
}

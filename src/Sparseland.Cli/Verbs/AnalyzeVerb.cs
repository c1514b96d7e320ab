using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Reporting;
using Sparseland.Cli.Services;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Analysis.Catalog;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Verbs;

/// <summary>Answers a question about a model: sensitivity, essential sparsity, connectivity, robustness and others of the catalogue.</summary>
internal sealed class AnalyzeVerb : Verb
{
    private readonly Argument<string> _model = new("model") { Description = "A model file, or an architecture (see 'list architectures') for analyses that train." };
    private readonly Option<string> _analysis = new("--analysis", "-a") { Description = "What to find out: " + string.Join(", ", AnalysisCatalog.All.Select(a => a.Id)) + " (see 'list analyses').", Required = true };
    private readonly Option<string[]> _others = new("--other") { Description = "Other models to compare with; may be given several times.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _data = SharedOptions.Data();
    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();
    private readonly Option<string?> _architecture = SharedOptions.Architecture();
    private readonly Option<string?> _architectureOptions = new("--arch-options") { Description = "Options of the architecture: width=64,classes=10." };
    private readonly Option<string?> _normalize = SharedOptions.Normalize();
    private readonly Option<int> _batch = SharedOptions.Batch(128);
    private readonly Option<int> _window = new("--window") { Description = "Tokens per sample of text.", DefaultValueFactory = _ => 128 };
    private readonly Option<string[]> _set = new("--set") { Description = "A parameter of the analysis: NAME=VALUE.", AllowMultipleArgumentsPerToken = true };
    private readonly Option<string?> _runFolder = new("--run-dir") { Description = "Folder of the run (default: runs/analyze-ID-MODEL, numbered when it exists)." };
    private readonly Option<bool> _force = SharedOptions.Force();

    protected override (string Name, string Description) Title => ("analyze", "Find out what a model can do without, how it falls off, how robust it is, whether two models are connected.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_model);
        Option[] options = [_analysis, _others, _data, _dataRoot, _architecture, _architectureOptions, _normalize, _batch, _window, _set, _runFolder, _force];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        AnalysisInfo info = AnalysisCatalog.Get(arguments.GetValue(_analysis)!);
        int batch = arguments.GetValue(_batch);
        if (batch < 1) throw VerbException.Usage($"--batch is {batch}", "use 1 or more");
        string path = arguments.GetValue(_model)!;
        string? dataName = arguments.GetValue(_data), normalize = arguments.GetValue(_normalize);
        string[] others = arguments.GetValue(_others) ?? [];
        var values = ReadParameters(arguments.GetValue(_set) ?? []);
        Pruning.Catalog.MethodArguments parameters = info.Arguments(values);
        ModelGraph graph = dataName is null
            ? ModelAccess.LoadOrBuild(path, arguments.GetValue(_architecture), arguments.GetValue(_architectureOptions), normalize, context.Settings.Seed)
            : ArchitectureForData.Build(context, path, arguments.GetValue(_architecture), arguments.GetValue(_architectureOptions), normalize, dataName, arguments.GetValue(_dataRoot));
        OpenedData? data = dataName is null ? null : OpenedData.For(graph, dataName, arguments.GetValue(_dataRoot), arguments.GetValue(_window), context.Settings.Seed);
        var request = new AnalysisRequest(graph, parameters)
        {
            Name = Brief(path),
            Others = Name(path, [.. others.Select(o => (o, ModelAccess.Load(o, arguments.GetValue(_architecture), normalize)))]),
            Data = data?.Source,
            DataRoot = arguments.GetValue(_dataRoot),
            Normalization = data?.Normalization ?? InputNormalization.None,
            Seed = context.Settings.Seed,
            BatchSize = batch,
            Cancellation = context.Cancellation,
        };
        // Whatever can be wrong is found before a folder is made or a step trained.
        info.Require(request);
        string plan = info.Plan(request);
        context.Say($"{info.Title}: {info.Paper}, {info.Section}");
        if (context.Settings.DryRun)
        {
            context.Say(plan);
            return ExitCodes.Done;
        }
        context.Detail(plan);

        string folder = arguments.GetValue(_runFolder) ?? FreeFolder($"analyze-{info.Id}-{request.Name}", context.Settings.Resume);
        string[] inputs = [.. others.Prepend(path).Append(dataName).OfType<string>().Where(Path.Exists)];
        using RunFolder run = RunFolder.Open(folder, context, "analyze", [.. arguments.Tokens.Select(t => t.Value)], inputs, arguments.GetValue(_force));
        var settings = new JsonObject();
        foreach ((string name, string value) in parameters.Values) settings[name] = value;
        RequireSame(run, context, info, settings, dataName);
        run.Record("analysis", info.Id);
        run.Record("parameters", settings);
        run.Record("data", dataName);
        request = request with { Store = new FolderAnalysisStore(Path.Combine(run.Checkpoints, "parts"), context.Settings.Resume) };
        AnalysisResult result = await context.TrackAsync(info.Title.ToLowerInvariant(), 1, work =>
            info.Analyse(request with { Progress = new Forward(p => work.Report(p.Total > 0 ? Math.Clamp(p.Done / p.Total, 0, 1) : 0, p.What)) })).ConfigureAwait(false);

        JsonObject json = AnalysisReport.ToJson(info, result);
        json["run"] = run.Path;
        json["report"] = run.File("report.html");
        run.Record("result", json["figures"]!.DeepClone());
        TextFile.Write(run.File("result.json"), json.ToJsonString(JsonText.Indented));
        HtmlReportWriter.Write(AnalysisReport.Make(info, result, request.Name, run, context), run.File("report.html"));
        AnalysisReport.Show(context, result);
        context.Say(run.File("report.html"));
        context.Result(json);
        context.Next($"open {run.File("report.html")}", Suggest(info, path, dataName));
        return ExitCodes.Done;
    }

    private static Dictionary<string, string> ReadParameters(string[] given)
    {
        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (string item in given)
        {
            int equals = item.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1) throw VerbException.Usage($"'--set {item}' is not of the form NAME=VALUE");
            values[item[..equals]] = item[(equals + 1)..];
        }
        return values;
    }

    /// <summary>Short names where they tell models apart; paths where they do not.</summary>
    private static IReadOnlyList<(string Name, ModelGraph Graph)> Name(string model, IReadOnlyList<(string Path, ModelGraph Graph)> others)
    {
        string[] brief = [.. others.Select(o => Brief(o.Path)).Prepend(Brief(model))];
        return [.. others.Select((o, i) => (brief.Count(b => b == brief[i + 1]) == 1 ? brief[i + 1] : others.Count(x => x.Path == o.Path) + (o.Path == model ? 1 : 0) == 1 ? o.Path : $"{o.Path} ({i + 1})", o.Graph))];
    }

    private static string Brief(string path)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        return name.EndsWith(".sparse", StringComparison.Ordinal) ? name[..^".sparse".Length] : name;
    }

    /// <summary>Parts of another analysis, or with other parameters, must not be taken for this one's.</summary>
    private static void RequireSame(RunFolder run, VerbContext context, AnalysisInfo info, JsonObject settings, string? data)
    {
        string file = Path.Combine(run.Checkpoints, "analysis.json"), now = new JsonObject { ["analysis"] = info.Id, ["parameters"] = settings.DeepClone(), ["data"] = data }.ToJsonString();
        if (context.Settings.Resume && File.Exists(file) && File.ReadAllText(file) != now)
            throw VerbException.Usage($"the run in '{run.Path}' is of another analysis, or has other parameters or data", "give the same --analysis, --set and --data, or start a new run with another --run-dir");
        TextFile.Write(file, now);
    }

    private static string Suggest(AnalysisInfo info, string model, string? data) => info.Id switch
    {
        "sensitivity" => $"sparseland prune {model} --macs 50%{(data is null ? "" : $" --data {data}")}",
        "essential-sparsity" => $"sparseland prune {model} --sparsity 80%{(data is null ? "" : $" --data {data}")}",
        "overlap" => $"sparseland analyze {model} --analysis stability --other OTHER",
        _ => "sparseland list analyses",
    };

    private static string FreeFolder(string name, bool resume)
    {
        string folder = Path.Combine("runs", name);
        if (resume) return folder;
        for (int i = 2; Directory.Exists(folder); i++) folder = Path.Combine("runs", $"{name}-{i}");
        return folder;
    }

    private sealed class Forward(Action<AnalysisProgress> action) : IProgress<AnalysisProgress>
    {
        public void Report(AnalysisProgress value) => action(value);
    }
}

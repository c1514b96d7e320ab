using System.Text.Json;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Model.Analysis;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Pruning;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;

namespace Sparseland.Cli.Services;

/// <summary>What a run folder tells about its experiment: <c>run.json</c>, <c>metrics.jsonl</c> and the model that is in it.</summary>
/// <param name="Path">The folder.</param>
/// <param name="Facts">What the checklist looks at.</param>
/// <param name="TrainingMacs">Multiply-adds of the training with dense kernels, forward and backward; null when steps or model are not known.</param>
internal sealed record RunRecord(string Path, ExperimentFacts Facts, double? TrainingMacs)
{
    /// <summary>Reads a run folder.</summary>
    /// <exception cref="VerbException">It is none, or damaged.</exception>
    public static RunRecord Read(string path)
    {
        string file = System.IO.Path.Combine(path, "run.json");
        if (!File.Exists(file))
            throw new VerbException(ExitCodes.BadInputFile, "SL1000", $"'{path}' is no run folder: it has no run.json") { Try = "name the folder of a run of train, prune or quickstart, for example runs/prune-model" };
        JsonNode run;
        try
        {
            run = JsonNode.Parse(File.ReadAllText(file)) ?? throw new JsonException("empty");
        }
        catch (JsonException e)
        {
            throw new VerbException(ExitCodes.BadInputFile, "SL1001", $"'{file}' is damaged", e) { Try = "run the experiment again" };
        }
        string verb = (string?)run["verb"] ?? "";
        if (verb is not ("train" or "prune" or "recover" or "quickstart"))
            throw new VerbException(ExitCodes.BadInputFile, "SL1001", $"'{path}' holds a run of '{verb}', which trains and prunes nothing") { Try = "name the folder of a run of train, prune, recover or quickstart" };

        JsonNode? result = run["result"], training = run["training"] ?? run["request"]?["training"];
        MethodInfo? method = FindMethod(run, result);
        ModelGraph? model = FindModel(path);
        SparsityReport? sparsity = model is null ? null : SparsityReport.Of(model, Verbs.InspectVerb.BatchTypes(model, 1));
        long? steps = Steps(System.IO.Path.Combine(path, "metrics.jsonl"));
        // Every sample of every step costs a forward pass and a backward one of twice its price; zeros were multiplied unless kernels skipped them.
        double? macs = steps is { } s && model is not null && training?["batch"] is { } batch ? 3.0 * ModelCost.Of(model, Verbs.InspectVerb.BatchTypes(model, 1)).Macs * s * (double)batch : null;
        bool masks = sparsity is not null && sparsity.Prunable.Sparsity > 0.001;
        return new RunRecord(path, new ExperimentFacts
        {
            Method = method?.Id ?? (masks ? "unknown" : null),
            Stage = method?.Stage,
            IsStructured = method?.IsStructured ?? false,
            IsDynamic = method?.Connectivity is not null,
            TrainsSparse = verb == "train" && method?.Path == TrainingPath.SparseToSparse,
            HasDense = result?["evaluations"]?["dense"] is not null,
            HasBytes = result?["compactBytes"] is not null,
            HasOperations = result?["multiplyAdds"] is not null,
            HasLatency = result?["bench"] is not null,
            HasTrainingCost = macs is not null,
            HasPeakMemory = result?["peakMemoryBytes"] is not null || run["peakMemoryBytes"] is not null,
            KnowsDensePhase = verb == "quickstart",
            ExploredShare = (double?)run["explored"]?["share"],
            LayerDensities = [.. sparsity?.Rows.Select(r => r.Density) ?? []],
            Sparsity = sparsity?.Prunable.Sparsity,
            WholeSparsity = sparsity?.Total.Sparsity,
            Seed = (long?)run["seed"],
            Steps = steps,
            Recipe = Recipe(training),
            NonZeros = sparsity?.Total.NonZeros,
        }, macs);
    }

    /// <summary>Beside a dense run of the same data, the dense phase of this one is on record.</summary>
    public ExperimentFacts With(IReadOnlyList<RunRecord> beside) => Facts with
    {
        Beside = [.. beside.Select(b => b.Facts)],
        KnowsDensePhase = Facts.KnowsDensePhase || beside.Any(b => b.Facts.Method is null),
    };

    private static MethodInfo? FindMethod(JsonNode run, JsonNode? result)
    {
        if (((string?)run["request"]?["method"] ?? (string?)run["method"]?["id"]) is { } id) return MethodCatalog.Find(id);
        // Records of earlier versions name the title alone.
        string? title = (string?)run["request"]?["title"] ?? (string?)run["method"]?["title"] ?? (string?)result?["method"];
        if (title is not null) return MethodCatalog.All.FirstOrDefault(m => m.Title == title);
        string[] arguments = [.. run["arguments"]?.AsArray().Select(a => (string?)a ?? "") ?? []];
        int at = Array.IndexOf(arguments, "--method");
        return at >= 0 && at + 1 < arguments.Length ? MethodCatalog.Find(arguments[at + 1]) : null;
    }

    /// <summary>The settings without the seed: arms differ in it on purpose.</summary>
    private static string? Recipe(JsonNode? training)
    {
        if (training is not JsonObject settings) return null;
        var copy = (JsonObject)settings.DeepClone();
        copy.Remove("seed");
        return copy.ToJsonString();
    }

    private static ModelGraph? FindModel(string path)
    {
        string file = System.IO.Path.Combine(path, "model.sparse.safetensors");
        return File.Exists(file) ? ModelFile.Load(file) : null;
    }

    private static long? Steps(string metrics)
    {
        if (!File.Exists(metrics)) return null;
        // Phases count their own steps; the last line of each says how many it had.
        var last = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (string line in File.ReadLines(metrics))
        {
            try
            {
                JsonNode? entry = JsonNode.Parse(line);
                if (entry?["step"] is { } step) last[(string?)entry["phase"] ?? ""] = (long)step;
            }
            catch (JsonException)
            {
                // The last line of a run that was killed.
            }
        }
        return last.Count == 0 ? null : last.Values.Sum();
    }
}

using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Reproductions;
using Sparseland.Reproductions.Results;
using Sparseland.Reproductions.Running;

namespace Sparseland.Cli.Verbs;

/// <summary>Measures the claims of papers again: every seed of every reproduction in a process of its own.</summary>
internal sealed class ReproduceVerb : Verb
{
    private readonly Argument<string[]> _ids = new("id") { Description = "Reproductions (see 'list reproductions').", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<bool> _all = new("--all") { Description = "All of them." };
    private readonly Option<string> _budget = new("--budget") { Description = "quick: seconds each, shows that it runs; standard: minutes per seed; full: more of everything.", DefaultValueFactory = _ => "standard" };
    private readonly Option<int?> _seeds = new("--seeds") { Description = "Number of seeds (default: what the reproduction asks for, at least 3 with standard)." };
    private readonly Option<int?> _workers = new("--workers") { Description = "Processes at a time (default: one per core)." };
    private readonly Option<string> _out = new("--out") { Description = "Folder of the results; finished seeds are kept in its folder 'parts'.", DefaultValueFactory = _ => "reproductions/results" };
    private readonly Option<string?> _dataRoot = SharedOptions.DataRoot();
    private readonly Option<string> _engine = new("--engine") { Description = "local: processes of this machine; slurm: one array job of a cluster whose nodes share the folder of --out.", DefaultValueFactory = _ => "local" };
    private readonly Option<string?> _partition = new("--partition") { Description = "Slurm's partition (default: the cluster's)." };
    private readonly Option<string?> _taskTime = new("--task-time") { Description = "Slurm's limit for one seed (30m, 2h); a task that reaches it counts as lost (default: 15m with quick, 2h with standard, 24h with full)." };
    private readonly Option<int?> _worker = new("--worker") { Description = "Run this one seed and write its part.", Hidden = true };

    protected override (string Name, string Description) Title => ("reproduce", "Measure the claims of papers again, at a size that this machine can run.");

    protected override void Declare(Command command)
    {
        _budget.AcceptOnlyFromAmong("quick", "standard", "full");
        command.Arguments.Add(_ids);
        _engine.AcceptOnlyFromAmong("local", "slurm");
        Option[] options = [_all, _budget, _seeds, _workers, _engine, _partition, _taskTime, _out, _dataRoot, _worker];
        foreach (Option option in options) command.Options.Add(option);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string[] ids = arguments.GetValue(_ids) ?? [];
        if (ids.Length == 0 != arguments.GetValue(_all)) throw VerbException.Usage("name reproductions, or give --all", "sparseland list reproductions shows them");
        IReproduction[] chosen = arguments.GetValue(_all) ? [.. ReproductionCatalog.All] : [.. ids.Select(ReproductionCatalog.Get)];
        Budget budget = Enum.Parse<Budget>(arguments.GetValue(_budget)!, ignoreCase: true);
        string folder = arguments.GetValue(_out)!, parts = Path.Combine(folder, "parts");
        if (arguments.GetValue(_worker) is { } seed) return Work(chosen[0], budget, seed, parts, arguments.GetValue(_dataRoot), context);

        bool slurm = arguments.GetValue(_engine) == "slurm";
        if (!slurm && (arguments.GetValue(_partition) ?? arguments.GetValue(_taskTime)) is not null) throw VerbException.Usage("--partition and --task-time belong to Slurm", "add --engine slurm");
        TimeSpan taskTime = arguments.GetValue(_taskTime) is { } time ? CommonOptions.ParseDuration(time) : budget switch { Budget.Quick => TimeSpan.FromMinutes(15), Budget.Standard => TimeSpan.FromHours(2), _ => TimeSpan.FromHours(24) };
        int workers = arguments.GetValue(_workers) ?? Environment.ProcessorCount;
        if (workers is < 1 or > 256) throw VerbException.Usage($"--workers is {workers}", "use 1 to 256");
        if (arguments.GetValue(_seeds) is < 1 or > 1000) throw VerbException.Usage("--seeds is out of range", "use 1 to 1000");
        (IReproduction Reproduction, int Seed)[] all = [.. chosen.SelectMany(r => Enumerable.Range(0, arguments.GetValue(_seeds) ?? r.Seeds(budget)).Select(s => (r, s + context.Settings.Seed)))];
        string commit = Commit();
        (IReproduction Reproduction, int Seed)[] missing = [.. all.Where(w => !context.Settings.Resume || ReadPart(PartPath(parts, w.Reproduction, budget, w.Seed), commit) is null)];
        context.Say($"{chosen.Length} reproductions, budget {budget.ToString().ToLowerInvariant()}: {all.Length} runs, {all.Length - missing.Length} of them done already, {(slurm ? "as a Slurm array" : $"{workers} at a time")}");
        if (context.Settings.DryRun)
        {
            foreach ((IReproduction r, int s) in missing) context.Say($"would run {r.Id}, seed {s}");
            return ExitCodes.Done;
        }
        Directory.CreateDirectory(parts);
        int threads = slurm ? 1 : Math.Max(1, Environment.ProcessorCount / Math.Min(workers, Math.Max(1, missing.Length)));
        List<string> common = ["reproduce", "--budget", budget.ToString().ToLowerInvariant(), "--out", Path.GetFullPath(folder), "--threads", threads.ToString(CultureInfo.InvariantCulture), "--quiet"];
        if (arguments.GetValue(_dataRoot) is { } root) common.AddRange(["--data-root", root]);
        WorkItem[] items = [.. missing.Select(w => new WorkItem($"{w.Reproduction.Id} {w.Seed}", [.. common, w.Reproduction.Id, "--worker", w.Seed.ToString(CultureInfo.InvariantCulture)]))];
        IWorkEngine pool = slurm
            ? new SlurmEngine(Self(), Path.Combine(parts, "slurm")) { Workers = arguments.GetValue(_workers), Partition = arguments.GetValue(_partition), TimeLimit = taskTime }
            : new WorkerPool(Self(), workers);
        IReadOnlyList<WorkOutcome> outcomes = await context.TrackAsync("reproducing", Math.Max(1, items.Length), work => pool.RunAsync(items, work.Report, context.Cancellation).GetAwaiter().GetResult()).ConfigureAwait(false);
        foreach (WorkOutcome failed in outcomes.Where(o => o.ExitCode != 0)) context.Warn($"{failed.Item.Name} ended with code {failed.ExitCode}: {failed.Errors}");

        var json = new JsonArray();
        int incomplete = 0;
        foreach (IReproduction r in chosen)
        {
            JsonNode[] done = [.. all.Where(w => w.Reproduction == r).Select(w => ReadPart(PartPath(parts, r, budget, w.Seed), commit)).OfType<JsonNode>()];
            if (done.Length < all.Count(w => w.Reproduction == r))
            {
                incomplete++;
                continue;
            }
            var provenance = new Provenance(commit, MachineInfo.Current.Describe(), DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
                $"sparseland reproduce {r.Id} --budget {budget.ToString().ToLowerInvariant()}{(arguments.GetValue(_seeds) is { } n ? $" --seeds {n}" : "")}{(context.Settings.Seed != 0 ? $" --seed {context.Settings.Seed}" : "")}");
            ReproductionResult result = ReproductionResult.Judge(r, budget, [.. done.Select(d => ReproductionResult.ParseSeed(d["result"]!))], [.. done.SelectMany(d => d["notes"]!.AsArray().Select(x => (string)x!)).Distinct()], provenance);
            TextFile.Write(Path.Combine(folder, r.Id + ".json"), result.ToText());
            context.Conclude($"{r.Id}: {(budget == Budget.Quick ? "ran; a quick run proves nothing" : ReproductionResult.Label(result.Verdict))}");
            foreach (RuleOutcome o in result.Rules) context.Say(double.IsFinite(o.Low) ? $"  {o.Name}: {o.Mean:0.00} ({o.Low:0.00} to {o.High:0.00}), {ReproductionResult.Label(o.Verdict)}" : $"  {o.Name}: {o.Mean:0.00}");
            json.Add(result.ToJson());
        }
        context.Result(new JsonObject { ["results"] = json, ["incomplete"] = incomplete });
        if (incomplete > 0) throw new VerbException(ExitCodes.Unexpected, "SL6004", $"{incomplete} reproductions are incomplete") { Try = "the same command with --resume: only what is missing runs again" };
        return ExitCodes.Done;
    }

    private static int Work(IReproduction reproduction, Budget budget, int seed, string parts, string? dataRoot, VerbContext context)
    {
        var watch = Stopwatch.StartNew();
        TimeSpan last = -TimeSpan.FromSeconds(2);
        var run = new ReproductionRun(seed, budget, dataRoot, (done, what) =>
        {
            if (watch.Elapsed - last < TimeSpan.FromSeconds(1)) return;
            last = watch.Elapsed;
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"progress {done:0.0000} {what}"));
        }, context.Cancellation);
        reproduction.Run(run);
        var part = new JsonObject
        {
            ["commit"] = Commit(),
            ["result"] = ReproductionResult.ToJson(new SeedValues(seed, run.Values, watch.Elapsed.TotalSeconds)),
            ["notes"] = new JsonArray([.. run.Notes.Select(n => (JsonNode)n)]),
        };
        Directory.CreateDirectory(parts);
        TextFile.Write(PartPath(parts, reproduction, budget, seed), part.ToJsonString(JsonText.Indented));
        return ExitCodes.Done;
    }

    private static string PartPath(string parts, IReproduction r, Budget budget, int seed) => Path.Combine(parts, $"{r.Id}.{budget.ToString().ToLowerInvariant()}.{seed}.json");

    /// <summary>A finished part of the same program; null when there is none.</summary>
    private static JsonNode? ReadPart(string path, string commit)
    {
        if (!File.Exists(path)) return null;
        try
        {
            JsonNode? part = JsonNode.Parse(File.ReadAllText(path));
            return (string?)part?["commit"] == commit && part?["result"] is not null ? part : null;
        }
        catch (System.Text.Json.JsonException)
        {
            return null;
        }
    }

    /// <summary>The commit of the checkout that the program runs in; its version where there is none.</summary>
    private static string Commit()
    {
        try
        {
            string? head = Git("rev-parse", "--short=10", "HEAD");
            return head is null ? RunFolder.Version : head + (string.IsNullOrEmpty(Git("status", "--porcelain", "--untracked-files=no", "--", "src")) ? "" : "+");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return RunFolder.Version;
        }
    }

    private static string? Git(params string[] arguments)
    {
        var start = new ProcessStartInfo("git") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string a in arguments) start.ArgumentList.Add(a);
        using Process? git = Process.Start(start);
        if (git is null) return null;
        string text = git.StandardOutput.ReadToEnd().Trim();
        git.WaitForExit();
        return git.ExitCode == 0 ? text : null;
    }

    /// <summary>The command that starts this program again.</summary>
    private static List<string> Self()
    {
        string host = Environment.ProcessPath ?? throw new InvalidOperationException("The program's path is not known.");
        return Path.GetFileNameWithoutExtension(host) == "dotnet" ? [host, typeof(ReproduceVerb).Assembly.Location] : [host];
    }
}

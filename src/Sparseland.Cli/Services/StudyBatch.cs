using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Reproductions;
using Sparseland.Reproductions.Results;
using Sparseland.Reproductions.Running;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Services;

/// <summary>A part of a study: what one process measures and writes into a file of its own.</summary>
/// <param name="Name">What it is, for people.</param>
/// <param name="File">Name of its file in the folder of parts.</param>
/// <param name="Arguments">What makes this program a worker for it.</param>
internal sealed record StudyPart(string Name, string File, IReadOnlyList<string> Arguments);

/// <summary>Runs the parts of a study in processes of their own, and only those that are missing.</summary>
internal sealed class StudyBatch(VerbContext context)
{
    public required Budget Budget { get; init; }

    /// <summary>Folder of the results.</summary>
    public required string Folder { get; init; }

    public string? DataRoot { get; init; }

    /// <summary>Seeds that were asked for; null takes the study's own number.</summary>
    public int? SeedCount { get; init; }

    public int? Workers { get; init; }

    public bool Slurm { get; init; }

    public string? Partition { get; init; }

    /// <summary>Slurm's limit for one part.</summary>
    public TimeSpan? TaskTime { get; init; }

    /// <summary>The commit that parts are of.</summary>
    public string Commit { get; } = FindCommit();

    /// <summary>Where the data of parts is: those with other data, or with the built-in sets in its place, are not mixed.</summary>
    private string Data => DataCatalog.Root(DataRoot) is { } root ? Path.GetFullPath(root) : "none";

    /// <summary>Folder of finished parts.</summary>
    public string Parts => Path.Combine(Folder, "parts");

    public string BudgetName => Budget.ToString().ToLowerInvariant();

    /// <summary>The first seed.</summary>
    public long FirstSeed => context.Settings.Seed;

    /// <summary>The seeds of a study.</summary>
    /// <param name="usual">How many the study asks for.</param>
    public IEnumerable<int> Seeds(int usual) => Enumerable.Range(0, SeedCount ?? usual).Select(s => s + context.Settings.Seed);

    /// <summary>Runs what is missing of the parts, in their order.</summary>
    /// <param name="verb">The verb that a worker is called with.</param>
    /// <param name="what">What is run, for people: "3 reproductions".</param>
    /// <param name="title">The title of the progress.</param>
    /// <param name="parts">The parts.</param>
    /// <returns>False when it was a dry run.</returns>
    public async Task<bool> RunAsync(string verb, string what, string title, IReadOnlyList<StudyPart> parts)
    {
        int workers = Workers ?? Environment.ProcessorCount;
        StudyPart[] missing = [.. parts.Where(p => !context.Settings.Resume || Read(p) is null)];
        context.Say($"{what}, budget {BudgetName}: {parts.Count} runs, {parts.Count - missing.Length} of them done already, {(Slurm ? "as a Slurm array" : $"{workers} at a time")}");
        if (context.Settings.DryRun)
        {
            foreach (StudyPart part in missing) context.Say($"would run {part.Name}");
            return false;
        }
        Directory.CreateDirectory(Parts);
        int threads = Slurm ? 1 : Math.Max(1, Environment.ProcessorCount / Math.Min(workers, Math.Max(1, missing.Length)));
        List<string> common = [verb, "--budget", BudgetName, "--out", Path.GetFullPath(Folder), "--threads", threads.ToString(CultureInfo.InvariantCulture), "--quiet"];
        if (DataRoot is { } root) common.AddRange(["--data-root", root]);
        WorkItem[] items = [.. missing.Select(p => new WorkItem(p.Name, [.. common, .. p.Arguments]))];
        IWorkEngine pool = Slurm
            ? new SlurmEngine(Self(), Path.Combine(Parts, "slurm")) { Workers = Workers, Partition = Partition, TimeLimit = TaskTime }
            : new WorkerPool(Self(), workers);
        IReadOnlyList<WorkOutcome> outcomes = await context.TrackAsync(title, Math.Max(1, items.Length), work => pool.RunAsync(items, work.Report, context.Cancellation).GetAwaiter().GetResult()).ConfigureAwait(false);
        foreach (WorkOutcome failed in outcomes.Where(o => o.ExitCode != 0)) context.Warn($"{failed.Item.Name} ended with code {failed.ExitCode}: {failed.Errors}");
        return true;
    }

    /// <summary>In a worker: measures one part and writes it whole or not at all.</summary>
    /// <param name="file">Name of its file.</param>
    /// <param name="seed">The seed.</param>
    /// <param name="measure">Measures.</param>
    /// <param name="setUp">How it is measured, where that can change; null where it is the study's own.</param>
    public void Work(string file, int seed, Action<ReproductionRun> measure, string? setUp = null)
    {
        var watch = Stopwatch.StartNew();
        double before = ReproductionRun.ProcessorSeconds;
        TimeSpan last = -TimeSpan.FromSeconds(2);
        var run = new ReproductionRun(seed, Budget, DataRoot, (done, what) =>
        {
            if (watch.Elapsed - last < TimeSpan.FromSeconds(1)) return;
            last = watch.Elapsed;
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"progress {done:0.0000} {what}"));
        }, context.Cancellation);
        measure(run);
        var part = new JsonObject
        {
            ["commit"] = Commit,
            ["machine"] = MachineInfo.Current.Describe(),
            ["date"] = Today,
            ["setUp"] = setUp,
            ["data"] = Data,
            ["result"] = ReproductionResult.ToJson(new SeedValues(seed, run.Values, ReproductionRun.ProcessorSeconds - before)),
            ["notes"] = new JsonArray([.. run.Notes.Select(n => (JsonNode)n)]),
        };
        Directory.CreateDirectory(Parts);
        TextFile.Write(Path.Combine(Parts, file), part.ToJsonString(JsonText.Indented));
    }

    /// <summary>A finished part of the same program on the same data; null when there is none.</summary>
    public FinishedPart? Read(StudyPart part) => ReadAny(part) is { } found && found.Commit == Commit && found.Data == Data ? found : null;

    /// <summary>A finished part of any commit; null when there is none.</summary>
    public FinishedPart? ReadAny(StudyPart part)
    {
        string path = Path.Combine(Parts, part.File);
        if (!File.Exists(path)) return null;
        try
        {
            JsonNode? json = JsonNode.Parse(File.ReadAllText(path));
            return (string?)json?["commit"] is { } commit && json["result"] is { } result
                ? new FinishedPart(commit, (string?)json["machine"] ?? MachineInfo.Current.Describe(), (string?)json["date"] ?? Day(File.GetLastWriteTimeUtc(path)), ReproductionResult.ParseSeed(result), [.. json["notes"]!.AsArray().Select(n => (string)n!)], (string?)json["setUp"], (string?)json["data"])
                : null;
        }
        catch (System.Text.Json.JsonException)
        {
            return null;
        }
    }

    /// <summary>Where a result is measured, with the command that repeats it.</summary>
    /// <param name="command">The command without the options that every study has.</param>
    public Provenance Provenance(string command) => new(Commit, MachineInfo.Current.Describe(), Today,
        $"sparseland {command} --budget {BudgetName}{(SeedCount is { } n ? $" --seeds {n}" : "")}{(context.Settings.Seed != 0 ? $" --seed {context.Settings.Seed}" : "")}");

    private static string Today => Day(DateTime.UtcNow);

    private static string Day(DateTime time) => time.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    /// <summary>The commit that the program was built from, with a mark when the checkout that it runs in is at that commit and has changes; its version where it knows none.</summary>
    private static string FindCommit()
    {
        // The version ends with the commit of the build. A checkout that is at another one - a later commit, somebody's own project - says nothing about this program.
        string? built = RunFolder.Version.Split('+') is [_, { Length: >= 10 } commit] ? commit[..10] : null;
        try
        {
            string? head = Git("rev-parse", "--short=10", "HEAD");
            if (built is not null && head != built) return built;
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
        return Path.GetFileNameWithoutExtension(host) == "dotnet" ? [host, typeof(StudyBatch).Assembly.Location] : [host];
    }
}

/// <summary>What a worker wrote.</summary>
internal sealed record FinishedPart(string Commit, string Machine, string Date, SeedValues Values, IReadOnlyList<string> Notes, string? SetUp, string? Data);

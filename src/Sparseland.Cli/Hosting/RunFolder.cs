using System.Reflection;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace Sparseland.Cli.Hosting;

/// <summary>The folder of one run: recipe, seed, versions, machine, metrics, checkpoints, models, report.</summary>
internal sealed class RunFolder : IDisposable
{
    private readonly StreamWriter _metrics;
    private readonly Lock _gate = new();
    private readonly JsonObject _run;

    private RunFolder(string path, bool append, JsonObject run)
    {
        Path = path;
        _run = run;
        Directory.CreateDirectory(path);
        Directory.CreateDirectory(Checkpoints);
        _metrics = new StreamWriter(File("metrics.jsonl"), append) { AutoFlush = true };
        WriteRun();
    }

    /// <summary>The folder.</summary>
    public string Path { get; }

    /// <summary>Where checkpoints go.</summary>
    public string Checkpoints => System.IO.Path.Combine(Path, "checkpoints");

    /// <summary>Where the training state is kept for <c>--resume</c>.</summary>
    public string LatestCheckpoint => System.IO.Path.Combine(Checkpoints, "latest.safetensors");

    /// <summary>Opens a run folder.</summary>
    /// <param name="path">The folder; made when missing.</param>
    /// <param name="context">Seed, resume flag.</param>
    /// <param name="verb">The verb.</param>
    /// <param name="arguments">The command line as given, for the record.</param>
    /// <param name="inputs">Input files; their hashes are recorded, and a resumed run must have the same ones.</param>
    /// <param name="force">Whether an existing run may be overwritten.</param>
    /// <exception cref="VerbException">The folder holds another run and neither --resume nor --force is given, or it does not fit.</exception>
    public static RunFolder Open(string path, VerbContext context, string verb, IReadOnlyList<string> arguments, IReadOnlyList<string> inputs, bool force)
    {
        string runFile = System.IO.Path.Combine(path, "run.json");
        bool exists = System.IO.File.Exists(runFile);
        var hashes = new JsonObject();
        foreach (string input in inputs) hashes[input] = Hash(input);
        if (exists && context.Settings.Resume)
        {
            JsonNode? old = ReadRun(runFile);
            if (old?["verb"]?.GetValue<string>() != verb)
                throw VerbException.Usage($"run folder '{path}' holds a run of '{old?["verb"]}', not of '{verb}'", "name another folder with --run-dir");
            if (old?["inputs"]?.ToJsonString() != hashes.ToJsonString())
                throw VerbException.Usage($"the inputs of the run in '{path}' have changed since it was started", "start a new run with another --run-dir, or put the old inputs back");
            if (old?["seed"]?.GetValue<int>() is { } seed && seed != context.Settings.Seed)
                throw VerbException.Usage($"the run in '{path}' has seed {seed}, not {context.Settings.Seed}", $"add --seed {seed}, or start a new run with another --run-dir");
        }
        else if (System.IO.File.Exists(path))
        {
            throw VerbException.Usage($"'{path}' is a file; a run needs a folder", "name another folder with --run-dir");
        }
        else if (exists && !force)
        {
            throw VerbException.Usage($"run folder '{path}' holds a run already", "add --resume to continue it, --force to overwrite it, or name another folder with --run-dir");
        }

        var run = new JsonObject
        {
            ["verb"] = verb,
            ["arguments"] = new JsonArray([.. arguments.Select(a => (JsonNode)a)]),
            ["seed"] = context.Settings.Seed,
            ["version"] = Version,
            ["started"] = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ"),
            ["machine"] = MachineInfo.Current.ToJson(),
            ["inputs"] = hashes,
        };
        var folder = new RunFolder(path, append: exists && context.Settings.Resume, run);
        // The state of the run that --force overwrites must not be taken for this one's by a later --resume.
        if (!context.Settings.Resume) System.IO.File.Delete(folder.LatestCheckpoint);
        return folder;
    }

    /// <summary>The program's version.</summary>
    public static string Version { get; } =
        typeof(RunFolder).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "0";

    /// <summary>A file of the run.</summary>
    public string File(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Adds or replaces an entry of <c>run.json</c>.</summary>
    public void Record(string key, JsonNode? value)
    {
        lock (_gate)
        {
            _run[key] = value;
            WriteRun();
        }
    }

    /// <summary>Appends a line to <c>metrics.jsonl</c>.</summary>
    public void Metric(JsonObject line)
    {
        lock (_gate) _metrics.WriteLine(line.ToJsonString());
    }

    /// <summary>Closes the folder; a run that ended before it had anything to keep leaves none behind.</summary>
    public void Dispose()
    {
        _metrics.Dispose();
        var metrics = new FileInfo(File("metrics.jsonl"));
        bool empty = metrics is { Exists: true, Length: 0 } && !Directory.EnumerateFileSystemEntries(Checkpoints).Any()
            && Directory.EnumerateFileSystemEntries(Path).All(e => System.IO.Path.GetFileName(e) is "run.json" or "metrics.jsonl" or "checkpoints");
        if (!empty) return;
        Directory.Delete(Checkpoints);
        metrics.Delete();
        System.IO.File.Delete(File("run.json"));
        if (!Directory.EnumerateFileSystemEntries(Path).Any()) Directory.Delete(Path);
    }

    private static string Hash(string path)
    {
        if (Directory.Exists(path)) return HashFolder(path);
        if (!System.IO.File.Exists(path)) return "absent";
        using FileStream stream = System.IO.File.OpenRead(path);
        return "sha256:" + Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    /// <summary>A folder is known by the names and lengths of its files; reading gigabytes of pictures would delay every start.</summary>
    private static string HashFolder(string path)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string line in new DirectoryInfo(path).EnumerateFiles("*", new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.ReparsePoint })
            .Select(f => $"{System.IO.Path.GetRelativePath(path, f.FullName)}\0{f.Length}\n").Order(StringComparer.Ordinal))
        {
            hash.AppendData(System.Text.Encoding.UTF8.GetBytes(line));
        }
        return "names:" + Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static JsonObject ReadRun(string runFile)
    {
        try
        {
            if (JsonNode.Parse(System.IO.File.ReadAllText(runFile)) is JsonObject run) return run;
        }
        catch (System.Text.Json.JsonException)
        {
            // Said below, as for a file that is JSON of another kind.
        }
        throw VerbException.Usage($"'{runFile}' is damaged", "start the run again with --force, or name another folder with --run-dir");
    }

    private void WriteRun() => TextFile.Write(File("run.json"), _run.ToJsonString(JsonText.Indented));
}

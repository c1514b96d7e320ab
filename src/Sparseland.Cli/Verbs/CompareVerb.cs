using System.CommandLine;
using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Reproductions;
using Sparseland.Reproductions.Comparisons;

namespace Sparseland.Cli.Verbs;

/// <summary>Sets methods side by side on one network with one budget: every row and seed in a process of its own; times in a pass of their own.</summary>
internal sealed class CompareVerb : Verb
{
    /// <summary>Time of the dense network relative to its fastest, above which the machine was busy with something else.</summary>
    private const double SlowMachine = 1.1;

    private readonly Argument<string[]> _ids = new("id") { Description = "Comparisons (see 'list comparisons').", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<bool> _all = new("--all") { Description = "All of them." };
    private readonly Option<string?> _rows = new("--rows") { Description = "Only these rows, with commas between: rigl,set,static." };
    private readonly Option<bool> _time = new("--time") { Description = "Train nothing: time the kept compact files in turn with the dense network, and write the times into the results." };
    private readonly Option<double> _seconds = new("--seconds") { Description = "With --time: seconds per file.", DefaultValueFactory = _ => 0.5 };
    private readonly StudyFlags _study = new("reproductions/comparisons");
    private readonly Option<int?> _worker = new("--worker") { Description = "Run this one seed of a row and write its part.", Hidden = true };

    protected override (string Name, string Description) Title => ("compare", "Set all methods side by side: one network, one budget, several sparsities.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_ids);
        Option[] options = [_all, _rows, _time, _seconds];
        foreach (Option option in options) command.Options.Add(option);
        _study.AddTo(command);
        command.Options.Add(_worker);
    }

    protected override async Task<int> RunAsync(ParseResult arguments, VerbContext context)
    {
        string[] ids = arguments.GetValue(_ids) ?? [];
        if (ids.Length == 0 != arguments.GetValue(_all)) throw VerbException.Usage("name comparisons, or give --all", "sparseland list comparisons shows them");
        if (arguments.GetValue(_seconds) is not (>= 0.01 and <= 600)) throw VerbException.Usage("--seconds is out of range", "use 0.01 to 600");
        IComparison[] chosen = arguments.GetValue(_all) ? [.. ComparisonCatalog.All] : [.. ids.Select(ComparisonCatalog.Get)];
        StudyBatch batch = _study.Read(arguments, context);
        HashSet<string> rowIds = Rows(chosen, arguments.GetValue(_rows));
        if (arguments.GetValue(_worker) is { } only)
        {
            ComparisonRow row = chosen[0].Rows.First(r => rowIds.Contains(r.Id));
            // Files of the first seed are kept: they are what is timed.
            batch.Work(Part(batch, chosen[0], row, only).File, only, run => chosen[0].Run(row, run, only == 0 ? Models(batch) : null));
            return ExitCodes.Done;
        }

        // Seed by seed, so that an interrupted run has every row.
        (IComparison Comparison, ComparisonRow Row, int Seed, StudyPart Part)[] all = [.. chosen.SelectMany(c => c.Rows.SelectMany(r => batch.Seeds(c.Seeds(batch.Budget)).Select(s => (c, r, s, Part(batch, c, r, s))))).OrderBy(p => p.s)];
        if (!arguments.GetValue(_time) && !await batch.RunAsync("compare", $"{chosen.Length} comparisons", "comparing", [.. all.Where(p => rowIds.Contains(p.Row.Id)).Select(p => p.Part)]).ConfigureAwait(false)) return ExitCodes.Done;
        var json = new JsonArray();
        int incomplete = 0;
        foreach (IComparison c in chosen)
        {
            if (arguments.GetValue(_time) && !await TimeAsync(c, batch, arguments.GetValue(_seconds), context).ConfigureAwait(false)) return ExitCodes.Done;
            var rows = new List<RowResult>();
            foreach (IGrouping<ComparisonRow, (IComparison, ComparisonRow Row, int, StudyPart Part)> row in all.Where(p => p.Comparison == c).GroupBy(p => p.Row))
            {
                FinishedPart[] done = [.. row.Select(p => batch.Read(p.Part)).OfType<FinishedPart>()];
                if (rowIds.Contains(row.Key.Id)) incomplete += row.Count() - done.Length;
                if (done.Length > 0) rows.Add(new RowResult(row.Key.Id, [.. done.Select(d => d.Values)], [.. done.SelectMany(d => d.Notes).Distinct()]));
            }
            if (rows.Count == 0) continue;
            var result = new ComparisonResult(c.Id, batch.Budget, rows, ReadTimes(batch, c), batch.Provenance("compare " + c.Id));
            TextFile.Write(Path.Combine(batch.Folder, c.Id + ".json"), result.ToText());
            context.Conclude($"{c.Id}: {rows.Count} of {c.Rows.Count} rows, {rows.Sum(r => r.Seeds.Count)} of {all.Count(p => p.Comparison == c)} runs{(result.Times is null ? ", not timed" : "")}");
            json.Add(result.ToJson());
        }
        context.Result(new JsonObject { ["results"] = json, ["incomplete"] = incomplete });
        if (incomplete > 0) throw new VerbException(ExitCodes.Unexpected, "SL6004", $"{incomplete} runs are missing; the results hold what there is") { Try = "the same command with --resume: only what is missing runs again" };
        return ExitCodes.Done;
    }

    /// <summary>The rows that are run; those that were run before are collected as well.</summary>
    private static HashSet<string> Rows(IComparison[] chosen, string? wanted)
    {
        HashSet<string> known = [.. chosen.SelectMany(c => c.Rows).Select(r => r.Id)];
        if (wanted is null) return known;
        string[] rows = wanted.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return rows.FirstOrDefault(r => !known.Contains(r)) is { } other ? throw VerbException.Usage($"there is no row '{other}'", "rows: " + string.Join(", ", known))
            : rows.Length > 0 ? [.. rows] : throw VerbException.Usage("--rows names nothing", "rows: " + string.Join(", ", known));
    }

    /// <summary>Times every kept file in turn with the dense network's.</summary>
    /// <returns>False when it was a dry run.</returns>
    private static async Task<bool> TimeAsync(IComparison c, StudyBatch batch, double seconds, VerbContext context)
    {
        string FileOf(string row, double sparsity) => Path.Combine(Models(batch), MethodBench.File(c.Id, row, sparsity));
        string dense = FileOf(c.Rows.First(r => r.Method is null).Id, 0);
        (ComparisonRow Row, double Sparsity)[] files = [.. c.Rows.Where(r => r.Method is not null).SelectMany(r => c.Sparsities.Select(s => (r, s))).Where(f => File.Exists(FileOf(f.r.Id, f.s)))];
        if (files.Length == 0 || !File.Exists(dense))
            throw new VerbException(ExitCodes.BadInputFile, "SL6007", $"there are no files of '{c.Id}' to time") { Where = Models(batch), Try = $"sparseland compare {c.Id} first: it keeps the files of seed 0" };
        context.Say($"{c.Id}: {files.Length} files, about {files.Length * (seconds + 1):0} s on a machine that does nothing else");
        if (context.Settings.DryRun) return false;
        TwinTime[] times = await context.TrackAsync("timing " + c.Id, files.Length, work =>
        {
            ModelGraph twin = ModelFile.Load(dense);
            Dictionary<string, TensorData> inputs = ModelInputs.Random(twin, 1, 1, 0);
            TwinTime Measure((ComparisonRow Row, double Sparsity) file)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                BenchmarkResult result = TwinBenchmark.Run(ModelFile.Load(FileOf(file.Row.Id, file.Sparsity)), inputs, new TimingOptions(30, seconds), twin, cancellation: context.Cancellation);
                return new TwinTime(file.Row.Id, file.Sparsity, result.Rows[0].Timing.Median, result.Rows[1].Timing.Median, result.SpeedUp, result.SpeedUpLow, result.SpeedUpHigh);
            }
            // The first file meets code that is not compiled yet.
            _ = Measure(files[0]);
            var measured = new List<TwinTime>();
            for (int i = 0; i < files.Length; i++)
            {
                work.Report(i, $"{files[i].Row.Id} {MethodBench.Level(files[i].Sparsity)}");
                measured.Add(Measure(files[i]));
            }
            // The dense network is the same beside every file: where it was slow, the machine was, and the file is timed again.
            double fastest = measured.Min(t => t.DenseMilliseconds);
            for (int i = 0; i < files.Length; i++)
            {
                if (measured[i].DenseMilliseconds > SlowMachine * fastest && Measure(files[i]) is { } again && again.DenseMilliseconds < measured[i].DenseMilliseconds) measured[i] = again;
            }
            double[] alone = [.. measured.Select(t => t.DenseMilliseconds).Order()];
            measured.Insert(0, new TwinTime(c.Rows.First(r => r.Method is null).Id, 0, alone[alone.Length / 2], alone[alone.Length / 2], 1, 1, 1));
            return measured.ToArray();
        }).ConfigureAwait(false);
        TextFile.Write(TimesFile(batch, c), new TwinTimes(times, batch.Provenance($"compare {c.Id} --time")).ToJson().ToJsonString(JsonText.Indented));
        return true;
    }

    private static TwinTimes? ReadTimes(StudyBatch batch, IComparison c) =>
        File.Exists(TimesFile(batch, c)) ? TwinTimes.Parse(JsonNode.Parse(File.ReadAllText(TimesFile(batch, c)))!) : null;

    private static string TimesFile(StudyBatch batch, IComparison c) => Path.Combine(batch.Parts, $"{c.Id}.{batch.BudgetName}.times.json");

    private static string Models(StudyBatch batch) => Path.Combine(batch.Parts, "models-" + batch.BudgetName);

    private static StudyPart Part(StudyBatch batch, IComparison c, ComparisonRow row, int seed) =>
        new($"{c.Id} {row.Id}, seed {seed}", $"{c.Id}.{row.Id}.{batch.BudgetName}.{seed}.json", [c.Id, "--rows", row.Id, "--worker", seed.ToString(CultureInfo.InvariantCulture)]);
}

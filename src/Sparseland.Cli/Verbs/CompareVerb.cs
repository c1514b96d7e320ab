using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;
using Sparseland.Cli.Services;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Reproductions;
using Sparseland.Reproductions.Comparisons;
using Sparseland.Reproductions.Results;

namespace Sparseland.Cli.Verbs;

/// <summary>Sets methods side by side on one network with one budget: every row and seed in a process of its own; times in a pass of their own.</summary>
internal sealed class CompareVerb : Verb
{
    /// <summary>How often files are timed again beside which the dense network was slow.</summary>
    private const int Rounds = 4;

    private readonly Argument<string[]> _ids = new("id") { Description = "Comparisons (see 'list comparisons').", Arity = ArgumentArity.ZeroOrMore };
    private readonly Option<bool> _all = new("--all") { Description = "All of them." };
    private readonly Option<string?> _rows = new("--rows") { Description = "Only these rows, with commas between: rigl,set,static." };
    private readonly Option<bool> _time = new("--time") { Description = "Train nothing: time the kept compact files in turn with the dense network, and write the times into the results." };
    private readonly Option<bool> _collect = new("--collect") { Description = "Train nothing: put together what finished parts and the results hold." };
    private readonly Option<double> _seconds = new("--seconds") { Description = "With --time: seconds per file.", DefaultValueFactory = _ => 0.5 };
    private readonly StudyFlags _study = new("reproductions/comparisons");
    private readonly Option<int?> _worker = new("--worker") { Description = "Run this one seed of a row and write its part.", Hidden = true };

    protected override (string Name, string Description) Title => ("compare", "Set all methods side by side: one network, one budget, several sparsities.");

    protected override void Declare(Command command)
    {
        command.Arguments.Add(_ids);
        Option[] options = [_all, _rows, _time, _collect, _seconds];
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
        var collector = new ComparisonCollector(batch);
        if (arguments.GetValue(_worker) is { } only)
        {
            ComparisonRow row = chosen[0].Rows.First(r => rowIds.Contains(r.Id));
            // Files of the first seed are kept: they are what is timed.
            batch.Work(collector.Part(chosen[0], row, only).File, only, run => chosen[0].Run(row, run, only == batch.FirstSeed ? collector.Models : null), row.SetUp);
            return ExitCodes.Done;
        }

        bool times = arguments.GetValue(_time), collects = arguments.GetValue(_collect), trains = !times && !collects;
        if (times && collects) throw VerbException.Usage("--time and --collect exclude each other", "--time collects as well");
        if (collects && arguments.GetValue(_rows) is not null) throw VerbException.Usage("--collect takes all rows", "leave out --rows, or --collect");
        // A file that could not be continued is told before anything runs.
        Dictionary<string, ComparisonResult?> there = chosen.ToDictionary(c => c.Id, collector.Existing);
        // Seed by seed, so that an interrupted run has every row.
        StudyPart[] parts = [.. chosen.SelectMany(c => c.Rows.Where(r => rowIds.Contains(r.Id)).SelectMany(r => collector.Seeds(c).Select(s => (Seed: s, Part: collector.Part(c, r, s))))).OrderBy(p => p.Seed).Select(p => p.Part)];
        if (trains && !await batch.RunAsync("compare", $"{chosen.Length} comparisons", "comparing", parts).ConfigureAwait(false)) return ExitCodes.Done;
        var json = new JsonArray();
        int incomplete = 0;
        foreach (IComparison c in chosen)
        {
            ComparisonResult? existing = there[c.Id];
            TwinTimes? taken = existing?.Times;
            if (times && (taken = await TimeAsync(c, batch, collector, arguments.GetValue(_seconds), context).ConfigureAwait(false)) is null) continue;
            // Files that are not on this machine keep their times if this machine took them.
            if (times && existing?.Times is { } old && old.Provenance.Machine == taken!.Provenance.Machine)
                taken = taken with { Times = [.. taken.Times, .. old.Times.Where(t => !taken.Times.Any(n => n.Row == t.Row && n.Sparsity == t.Sparsity))] };
            RowResult[] rows = collector.Rows(c, existing, trains ? rowIds : new HashSet<string>());
            int planned = collector.Seeds(c).Length;
            // Rows that were asked for have to be of this commit.
            incomplete += c.Rows.Where(r => !trains || rowIds.Contains(r.Id)).Sum(r => planned - (rows.FirstOrDefault(x => x.Row == r.Id && (!trains || x.Provenance.Commit == batch.Commit))?.Seeds.Count ?? 0));
            var result = new ComparisonResult(c.Id, batch.Budget, rows, collector.Times(c, taken, existing, rows), batch.Provenance("compare " + c.Id), planned);
            context.Conclude($"{c.Id}: {rows.Length} of {c.Rows.Count} rows, {rows.Sum(r => r.Seeds.Count)} of {planned * c.Rows.Count} runs{(result.Times is null ? ", not timed" : "")}");
            if (rows.Length == 0 || context.Settings.DryRun) continue;
            TextFile.Write(collector.FileOf(c), result.ToText());
            json.Add(result.ToJson());
        }
        context.Result(new JsonObject { ["results"] = json, ["incomplete"] = incomplete });
        if (trains && incomplete > 0) throw new VerbException(ExitCodes.Unexpected, "SL6004", $"{incomplete} runs are missing; the results hold what there is") { Try = "the same command with --resume: only what is missing runs again" };
        return ExitCodes.Done;
    }

    /// <summary>The rows that are run; all others stay as they are.</summary>
    private static HashSet<string> Rows(IComparison[] chosen, string? wanted)
    {
        HashSet<string> known = [.. chosen.SelectMany(c => c.Rows).Select(r => r.Id)];
        if (wanted is null) return known;
        string[] rows = wanted.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return rows.FirstOrDefault(r => !known.Contains(r)) is { } other ? throw VerbException.Usage($"there is no row '{other}'", "rows: " + string.Join(", ", known))
            : rows.Length > 0 ? [.. rows] : throw VerbException.Usage("--rows names nothing", "rows: " + string.Join(", ", known));
    }

    /// <summary>Times every kept file in turn with the dense network's.</summary>
    /// <returns>Null when it was a dry run.</returns>
    private static async Task<TwinTimes?> TimeAsync(IComparison c, StudyBatch batch, ComparisonCollector collector, double seconds, VerbContext context)
    {
        string FileOf(string row, double sparsity) => collector.ModelOf(c, row, sparsity);
        string dense = FileOf(c.Rows.First(r => r.Method is null).Id, 0);
        (ComparisonRow Row, double Sparsity)[] files = [.. c.Rows.Where(r => r.Method is not null).SelectMany(r => c.Sparsities.Select(s => (r, s))).Where(f => File.Exists(FileOf(f.r.Id, f.s)))];
        if (files.Length == 0 || !File.Exists(dense))
            throw new VerbException(ExitCodes.BadInputFile, "SL6007", $"there are no files of '{c.Id}' to time") { Where = collector.Models, Try = $"sparseland compare {c.Id} first: it keeps the files of the first seed" };
        context.Say($"{c.Id}: {files.Length} files, about {files.Length * (seconds + 1):0} s on a machine that does nothing else");
        if (context.Settings.DryRun) return null;
        Provenance provenance = batch.Provenance($"compare {c.Id} --time");
        TwinTime[] times = await context.TrackAsync("timing " + c.Id, files.Length, work =>
        {
            ModelGraph twin = ModelFile.Load(dense);
            Dictionary<string, TensorData> inputs = ModelInputs.Random(twin, 1, 1, 0);
            TwinTime Measure((ComparisonRow Row, double Sparsity) file)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                BenchmarkResult result = TwinBenchmark.Run(ModelFile.Load(FileOf(file.Row.Id, file.Sparsity)), inputs, new TimingOptions(30, seconds), twin, cancellation: context.Cancellation);
                return new TwinTime(file.Row.Id, file.Sparsity, result.Rows[0].Timing.Median, result.Rows[1].Timing.Median, result.SpeedUp, result.SpeedUpLow, result.SpeedUpHigh, ComparisonCollector.Hash(FileOf(file.Row.Id, file.Sparsity)));
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
            for (int round = 0; round < Rounds; round++)
            {
                var sofar = new TwinTimes(measured, provenance);
                int[] disturbed = [.. Enumerable.Range(0, files.Length).Where(i => sofar.IsDisturbed(measured[i]))];
                if (disturbed.Length == 0) break;
                foreach (int i in disturbed)
                {
                    work.Report(files.Length, $"again: {files[i].Row.Id} {MethodBench.Level(files[i].Sparsity)}");
                    TwinTime again = Measure(files[i]);
                    if (again.DenseMilliseconds < measured[i].DenseMilliseconds) measured[i] = again;
                }
            }
            double[] alone = [.. measured.Select(t => t.DenseMilliseconds).Order()];
            measured.Insert(0, new TwinTime(c.Rows.First(r => r.Method is null).Id, 0, alone[alone.Length / 2], alone[alone.Length / 2], 1, 1, 1, ComparisonCollector.Hash(dense)));
            return measured.ToArray();
        }).ConfigureAwait(false);
        return new TwinTimes(times, provenance);
    }
}

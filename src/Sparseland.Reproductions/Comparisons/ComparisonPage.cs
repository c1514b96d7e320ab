using System.Globalization;
using System.Text;
using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Reproductions.Results;

namespace Sparseland.Reproductions.Comparisons;

/// <summary>Makes the page <c>docs/comparison.md</c> from the comparisons and the committed results.</summary>
public static class ComparisonPage
{
    /// <summary>Parameters of a row relative to the level's middle row, above which it is another sparsity.</summary>
    private const double Excess = 1.05;

    /// <summary>The committed results below a checkout, by id.</summary>
    /// <param name="folder">The folder <c>reproductions/comparisons</c>.</param>
    /// <exception cref="Model.SparselandException">SL6003: a file is damaged.</exception>
    public static IReadOnlyDictionary<string, ComparisonResult> Read(string folder)
    {
        var results = new Dictionary<string, ComparisonResult>(StringComparer.Ordinal);
        if (!Directory.Exists(folder)) return results;
        foreach (string file in Directory.GetFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            ComparisonResult result = ComparisonResult.Parse(File.ReadAllText(file), file);
            results[result.Id] = result;
        }
        return results;
    }

    /// <summary>The page.</summary>
    public static string Make(IReadOnlyDictionary<string, ComparisonResult> results)
    {
        ArgumentNullException.ThrowIfNull(results);
        var text = new StringBuilder(
            """
            # Methods side by side

            <!-- made from the catalogue and reproductions/comparisons: run the House tests with SPARSELAND_APPROVE=1 -->

            Every method of the catalogue on one network with one small budget, at its defaults where a remark does not say otherwise; nothing was tuned, and test pictures chose nothing. Methods differ in what they are
            made for, and a budget of minutes favours those that need little training: read the tables as what a first try brings, not as a ranking. What single papers claim is measured in
            [reproductions](reproductions.md).

            *Accuracy*: per cent of 1,000 undamaged test pictures, mean and standard deviation over seeds (the sampling error of one such figure is about 1.5 at 60 % and 0.9 at 90 %). *Passes*: batches of training whose gradient
            was taken, all trainings of a method together. *Pruning* and *training*: seconds of one core, median over seeds; a method that prunes while it trains has no time of its own, and one that scores weights on
            batches before it trains has that in *pruning*, not in *passes*. *File*: the compact file.
            *Left*: parameters that are not zero. *ms*: one image through the plan of the compact file of the first seed, of what the dense network took in turn with it, on one thread of a machine that was to do nothing else (a remark says
            where it was disturbed all the same); *speed*: dense over sparse, repetition by repetition, with a 95 % interval.


            """);
        foreach (IComparison c in ComparisonCatalog.All) Section(text, c, results.GetValueOrDefault(c.Id));
        return text.ToString().TrimEnd('\n') + "\n";
    }

    private static void Section(StringBuilder text, IComparison c, ComparisonResult? result)
    {
        text.Append(CultureInfo.InvariantCulture, $"## {c.Title}\n\n{char.ToUpperInvariant(c.Setup[0])}{c.Setup[1..]}. `sparseland compare {c.Id}` repeats it, `--budget quick --out FOLDER` shows in seconds that it runs.\n\n");
        if (result is null)
        {
            text.Append(CultureInfo.InvariantCulture, $"Not run yet. Rows: {string.Join(", ", c.Rows.Select(Link))}.\n\n");
            return;
        }
        int seeds = result.PlannedSeeds ?? result.Rows.Max(r => r.Seeds.Count), least = c.Rows.Min(r => result.Rows.FirstOrDefault(m => m.Row == r.Id)?.Seeds.Count ?? 0);
        Provenance usual = Usual(result.Rows);
        SeedValues[] all = [.. result.Rows.SelectMany(r => r.Seeds)];
        double minutes = all.Sum(s => s.Values.Where(v => v.Key.EndsWith(" seconds", StringComparison.Ordinal)).Sum(v => v.Value)) / 60;
        bool recovers = all.Any(s => s.Values.Keys.Any(k => k.EndsWith("after the cut", StringComparison.Ordinal)));
        text.Append(CultureInfo.InvariantCulture, $"Budget {result.Budget.ToString().ToLowerInvariant()}, {(seeds == 1 ? "1 seed" : $"{seeds} seeds")}{(least < seeds ? $" (not complete: rows have {least} or more, a remark says which)" : "")}, {minutes:0} minutes of one core for pruning and training, {usual.Machine}, commit {usual.Commit}, {usual.Date}. ");
        text.Append(result.Times is { } t ? string.Create(CultureInfo.InvariantCulture, $"Times: `{t.Provenance.Command}`, {t.Provenance.Machine}, commit {t.Provenance.Commit}, {t.Provenance.Date}.\n\n") : "Times are not measured yet.\n\n");
        var remarks = new List<string>();
        text.Append(CultureInfo.InvariantCulture, $"| sparsity | method | accuracy |{(recovers ? " before recovery |" : "")} left | file, KB | ms | speed | pruning, s | training, s | passes |\n| --- | --- | --- |{(recovers ? " --- |" : "")} --- | --- | --- | --- | --- | --- | --- |\n");
        foreach (double sparsity in (double[])[0, .. c.Sparsities])
        {
            double[] left = [.. result.Rows.Select(r => Left(r, sparsity)).OfType<double>()];
            foreach (ComparisonRow row in c.Rows.Where(r => r.Method is null == (sparsity == 0)))
            {
                RowResult? measured = result.Rows.FirstOrDefault(r => r.Row == row.Id);
                string marks = Remark(remarks, row.Note);
                string level = MethodBench.Level(sparsity) + ": ";
                foreach (string note in (measured?.Notes ?? []).Where(n => n.StartsWith(level, StringComparison.Ordinal))) marks += Remark(remarks, $"{row.Id} cannot take part: {note[level.Length..]}");
                if ((measured?.Seeds.Count ?? 0) < seeds) marks += Remark(remarks, string.Create(CultureInfo.InvariantCulture, $"{row.Id}: {measured?.Seeds.Count ?? 0} of {seeds} seeds"));
                if (measured is not null && Place(measured.Provenance) != Place(usual)) marks += Remark(remarks, $"{row.Id}: measured at commit {measured.Provenance.Commit}, {measured.Provenance.Date}{(measured.Provenance.Machine == usual.Machine ? "" : $", {measured.Provenance.Machine}")}");
                if (measured is not null && !row.IsOf(measured.SetUp)) marks += Remark(remarks, $"{row.Id}: the numbers are of an earlier set-up than the one described; the row has to be run anew");
                // What most rows have left is the level: prunable weights at the sparsity, and all that is never pruned.
                if (sparsity > 0 && measured is not null && Left(measured, sparsity) is { } own && own > Excess * Middle(left))
                    marks += Remark(remarks, string.Create(CultureInfo.InvariantCulture, $"{row.Id} does not reach {MethodBench.Level(sparsity)}: {own / Middle(left) - 1:0 %} more parameters are left than in the middle row of the level; its accuracy and size are those of a larger network"));
                TwinTime? time = result.Times?.Times.FirstOrDefault(x => x.Row == row.Id && x.Sparsity == sparsity);
                if (time is not null && result.Times!.IsDisturbed(time))
                    marks += Remark(remarks, string.Create(CultureInfo.InvariantCulture, $"{row.Id} {MethodBench.Level(sparsity)}: the machine was busy, the dense network took more than {TwinTimes.SlowMachine - 1:0 %} over its fastest; the times are too long, their ratio less certain"));
                text.Append(CultureInfo.InvariantCulture, $"| {MethodBench.Level(sparsity)} | {Link(row)}{marks} | {string.Join(" | ", Cells(measured, sparsity, recovers, time))} |\n");
            }
        }
        text.Append('\n');
        string[] levels = [.. c.Sparsities.Select(x => MethodBench.Level(x) + ": ")];
        remarks.AddRange(result.Rows.SelectMany(r => r.Notes).Distinct().Where(n => !levels.Any(l => n.StartsWith(l, StringComparison.Ordinal))));
        for (int i = 0; i < remarks.Count; i++) text.Append(CultureInfo.InvariantCulture, $"{i + 1}. {remarks[i]}\n");
        if (remarks.Count > 0) text.Append('\n');
        string[] elsewhere = [.. MethodCatalog.All.Where(m => c.Rows.All(r => r.Method != m.Id)).Select(m => m.Id)];
        text.Append(CultureInfo.InvariantCulture, $"In the other table: {string.Join(", ", elsewhere)}.\n\n");
    }

    /// <summary>Why a method has no numbers in a result; null where it has some, or was not run.</summary>
    /// <param name="method">The method's id.</param>
    /// <param name="results">The committed results.</param>
    public static string? Refusal(string method, IEnumerable<ComparisonResult> results)
    {
        ArgumentNullException.ThrowIfNull(results);
        RowResult[] rows = [.. results.SelectMany(r => r.Rows.Where(row => ComparisonCatalog.Get(r.Id).Rows.Any(x => x.Id == row.Row && x.Method == method)))];
        if (rows.Any(r => r.Seeds.Any(s => s.Values.Count > 0))) return null;
        return rows.SelectMany(r => r.Notes).FirstOrDefault(n => n.Contains(" %: ", StringComparison.Ordinal)) is { } note ? note[(note.IndexOf(": ", StringComparison.Ordinal) + 2)..] : null;
    }

    /// <summary>Where most rows were measured.</summary>
    private static Provenance Usual(IEnumerable<RowResult> rows) => rows.GroupBy(r => Place(r.Provenance)).OrderByDescending(g => g.Count()).First().MaxBy(r => r.Provenance.Date, StringComparer.Ordinal)!.Provenance;

    private static (string Commit, string Machine) Place(Provenance p) => (p.Commit, p.Machine);

    private static double? Left(RowResult row, double sparsity) =>
        row.Seeds.Where(s => s.Values.ContainsKey(MethodBench.Name(sparsity, "parameters"))).Select(s => s[MethodBench.Name(sparsity, "parameters")]).ToArray() is { Length: > 0 } all ? Middle(all) : null;

    private static IEnumerable<string> Cells(RowResult? row, double sparsity, bool recovers, TwinTime? time)
    {
        double[] Values(string quantity) => [.. (row?.Seeds ?? []).Where(s => s.Values.ContainsKey(MethodBench.Name(sparsity, quantity))).Select(s => s[MethodBench.Name(sparsity, quantity)])];
        string MeanAndSpread(string quantity) => Values(quantity) switch
        {
            [] => "-",
            [var one] => Number(one, "0.0"),
            var all => $"{Number(all.Average(), "0.0")} ± {Number(Spread.Deviation(all), "0.0")}",
        };
        string Median(string quantity, string format, double scale = 1) => Values(quantity) is { Length: > 0 } all ? Number(scale * Middle(all), format) : "-";
        yield return MeanAndSpread("accuracy");
        if (recovers) yield return MeanAndSpread("accuracy after the cut");
        yield return Median("parameters", "#,0");
        yield return Median("bytes", "0.0", 1 / 1024.0);
        yield return time is null ? "-" : sparsity == 0 ? Number(time.Milliseconds, "0.000") : $"{Number(time.Milliseconds, "0.000")} of {Number(time.DenseMilliseconds, "0.000")}";
        yield return time is null ? "-" : sparsity == 0 ? "1" : $"{Number(time.SpeedUp, "0.00")} ({Number(time.Low, "0.00")} to {Number(time.High, "0.00")})";
        yield return Values("pruning seconds") is { Length: > 0 } cuts && Middle(cuts) > 0 ? Number(Middle(cuts), Middle(cuts) < 1 ? "0.00" : "0.0") : "-";
        yield return Median("training seconds", "0.0");
        yield return Median("passes", "0");
    }

    private static double Middle(double[] values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static string Link(ComparisonRow row) => row.Method is null ? row.Id : $"[{row.Id}](methods/{row.Method}.md)";

    private static string Remark(List<string> remarks, string? text)
    {
        if (text is null) return "";
        int at = remarks.IndexOf(text);
        if (at < 0)
        {
            at = remarks.Count;
            remarks.Add(text);
        }
        return string.Create(CultureInfo.InvariantCulture, $" ({at + 1})");
    }
}

using System.Globalization;
using System.Text;

namespace Sparseland.Reproductions.Results;

/// <summary>Makes the page <c>docs/reproductions.md</c> from the catalogue and the committed results.</summary>
public static class ResultsPage
{
    /// <summary>The committed results below a checkout, by id.</summary>
    /// <param name="folder">The folder <c>reproductions/results</c>.</param>
    /// <exception cref="Model.SparselandException">SL6003: a file is damaged.</exception>
    public static IReadOnlyDictionary<string, ReproductionResult> Read(string folder)
    {
        var results = new Dictionary<string, ReproductionResult>(StringComparer.Ordinal);
        if (!Directory.Exists(folder)) return results;
        foreach (string file in Directory.GetFiles(folder, "*.json").Order(StringComparer.Ordinal))
        {
            ReproductionResult result = ReproductionResult.Parse(File.ReadAllText(file), file);
            results[result.Id] = result;
        }
        return results;
    }

    /// <summary>The page.</summary>
    public static string Make(IReadOnlyDictionary<string, ReproductionResult> results)
    {
        ArgumentNullException.ThrowIfNull(results);
        var text = new StringBuilder(
            """
            # Reproductions

            <!-- made from the catalogue and reproductions/results: run the House tests with SPARSELAND_APPROVE=1 -->

            Every method's headline claim, measured at a size that two cores can run. The rule that decides stands in the code before anything is measured; the interval is the 90 % interval of the mean over
            seeds. *Reproduced*: every rule holds with its whole interval. *Not reproduced*: one is broken with its whole interval. *Inconclusive*: at this scale and spread nothing can be said.
            Where a set-up or a rule is not the one of the first run, *history* says so. Most claims were measured with three seeds first and with eight later, whatever the three had said (those that take longest still have three): all eight are shown and judged,
            but who looks twice decides a little more often than the interval says.
            `sparseland reproduce ID --seeds N` repeats a line with its number of seeds (at least three when left out), `--budget quick` shows in seconds that it runs.

            | id | claim | verdict |
            | --- | --- | --- |

            """);
        foreach (IReproduction r in ReproductionCatalog.All)
            text.Append(CultureInfo.InvariantCulture, $"| [{r.Id}](#{r.Id}) | {Cell(r.Claim)} | {(results.TryGetValue(r.Id, out ReproductionResult? result) ? ReproductionResult.Label(result.Verdict) : "not run yet")} |\n");
        foreach (IReproduction r in ReproductionCatalog.All) Section(text, r, results.GetValueOrDefault(r.Id));
        return text.ToString();
    }

    private static void Section(StringBuilder text, IReproduction r, ReproductionResult? result)
    {
        text.Append(CultureInfo.InvariantCulture, $"\n## {r.Id}\n\n**{r.Title}.** {r.Paper}.\n\n- claim: {r.Claim}\n- in the paper: {r.Figure}\n- here: {r.Setup}\n- against: {string.Join("; ", r.Baselines)}\n");
        if (r.Methods.Count > 0) text.Append(CultureInfo.InvariantCulture, $"- methods: {string.Join(", ", r.Methods.Select(m => $"[{m}](methods/{m}.md)"))}\n");
        if (r.History.Length > 0) text.Append(CultureInfo.InvariantCulture, $"- history: {r.History}\n");
        if (result is null)
        {
            text.Append("\nNot run yet. Rules:\n\n");
            foreach (Rule rule in r.Rules) text.Append(CultureInfo.InvariantCulture, $"- {rule.Statement}\n");
            return;
        }
        text.Append(CultureInfo.InvariantCulture, $"\n{char.ToUpperInvariant(ReproductionResult.Label(result.Verdict)[0])}{ReproductionResult.Label(result.Verdict)[1..]}: budget {result.Budget.ToString().ToLowerInvariant()}, {result.Seeds.Count} seeds, {result.Seeds.Sum(s => s.Seconds) / 60:0.#} minutes of one core, {result.Provenance.Machine}, commit {result.Provenance.Commit}, {result.Provenance.Date}.\n\n");
        text.Append("| rule | mean | 90 % interval | verdict |\n| --- | --- | --- | --- |\n");
        foreach (RuleOutcome o in result.Rules)
            text.Append(CultureInfo.InvariantCulture, $"| {Cell(o.Statement)} | {ReproductionResult.Text(o.Mean)} | {ReproductionResult.Text(o.Low)} to {ReproductionResult.Text(o.High)} | {ReproductionResult.Label(o.Verdict)} |\n");
        text.Append("\n| measured | mean | SD | by seed |\n| --- | --- | --- | --- |\n");
        foreach (string name in result.Seeds.SelectMany(s => s.Values.Keys).Distinct())
        {
            double[] values = [.. result.Seeds.Where(s => s.Values.ContainsKey(name)).Select(s => s.Values[name])];
            text.Append(CultureInfo.InvariantCulture, $"| {Cell(name)} | {ReproductionResult.Text(values.Average())} | {(values.Length > 1 ? ReproductionResult.Text(Spread.Deviation(values)) : "-")} | {string.Join(", ", values.Select(ReproductionResult.Text))} |\n");
        }
        foreach (string note in result.Notes) text.Append(CultureInfo.InvariantCulture, $"\nNote: {note}.\n");
    }

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);
}

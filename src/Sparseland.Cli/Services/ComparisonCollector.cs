using System.Globalization;
using System.Security.Cryptography;
using Sparseland.Cli.Hosting;
using Sparseland.Reproductions.Comparisons;

namespace Sparseland.Cli.Services;

/// <summary>Puts the file of a comparison together: rows of this run, rows that the file has already, finished parts of other commits, and the times that still belong to their files.</summary>
/// <remarks>A row is always of one commit and of the set-up that it has now. One that was run goes before what was there; of the others the one with most seeds is taken, so that adding a row or continuing a run takes nothing away.</remarks>
internal sealed class ComparisonCollector(StudyBatch batch)
{
    /// <summary>Folder of the compact files that are timed.</summary>
    public string Models => Path.Combine(batch.Parts, "models-" + batch.BudgetName);

    /// <summary>The result's file.</summary>
    public string FileOf(IComparison c) => Path.Combine(batch.Folder, c.Id + ".json");

    /// <summary>The compact file of a row.</summary>
    public string ModelOf(IComparison c, string row, double sparsity) => Path.Combine(Models, MethodBench.File(c.Id, row, sparsity));

    /// <summary>The seeds that every row is to have.</summary>
    public int[] Seeds(IComparison c) => [.. batch.Seeds(c.Seeds(batch.Budget))];

    /// <summary>One seed of a row.</summary>
    public StudyPart Part(IComparison c, ComparisonRow row, int seed) =>
        new($"{c.Id} {row.Id}, seed {seed}", $"{c.Id}.{row.Id}.{batch.BudgetName}.{seed}.json",
            [c.Id, "--rows", row.Id, "--worker", seed.ToString(CultureInfo.InvariantCulture), "--seed", batch.FirstSeed.ToString(CultureInfo.InvariantCulture)]);

    /// <summary>The result that is there; null when there is none.</summary>
    /// <exception cref="VerbException">It is of another budget, which this run would destroy.</exception>
    public ComparisonResult? Existing(IComparison c)
    {
        string path = FileOf(c);
        if (!File.Exists(path)) return null;
        ComparisonResult result = ComparisonResult.Parse(File.ReadAllText(path), path);
        return result.Budget == batch.Budget ? result
            : throw VerbException.Usage($"'{path}' is of budget {result.Budget.ToString().ToLowerInvariant()}; budget {batch.BudgetName} would take its place", "another folder with --out");
    }

    /// <summary>The rows.</summary>
    /// <param name="c">The comparison.</param>
    /// <param name="existing">The result that is there.</param>
    /// <param name="asked">Ids of rows that this run measured.</param>
    public RowResult[] Rows(IComparison c, ComparisonResult? existing, IReadOnlySet<string> asked) =>
        [.. c.Rows.Select(r => Row(c, r, existing, asked.Contains(r.Id))).OfType<RowResult>()];

    /// <summary>The times whose files have not changed since; null when none is left.</summary>
    /// <param name="c">The comparison.</param>
    /// <param name="times">Times that were taken.</param>
    /// <param name="existing">The result that was there.</param>
    /// <param name="rows">The rows as they are now.</param>
    public TwinTimes? Times(IComparison c, TwinTimes? times, ComparisonResult? existing, IReadOnlyList<RowResult> rows)
    {
        if (times is null) return null;
        // Without the file a time stands as long as its row does.
        bool Stands(TwinTime t) => File.Exists(ModelOf(c, t.Row, t.Sparsity)) ? t.Sha256 == Hash(ModelOf(c, t.Row, t.Sparsity))
            : rows.FirstOrDefault(r => r.Row == t.Row) is { } now && existing?.Rows.FirstOrDefault(r => r.Row == t.Row) is { } before && now.Provenance.Commit == before.Provenance.Commit;
        TwinTime[] left = [.. times.Times.Where(Stands)];
        // Every other time is one beside the dense network.
        return left.Any(t => t.Sparsity == 0) ? times with { Times = left } : null;
    }

    /// <summary>SHA-256 of a file, in hexadecimal.</summary>
    public static string Hash(string path) => Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(path)));

    private RowResult? Row(IComparison c, ComparisonRow row, ComparisonResult? existing, bool asked)
    {
        int[] seeds = Seeds(c);
        RowResult[] found = [.. seeds.Select(s => batch.ReadAny(Part(c, row, s))).OfType<FinishedPart>().Where(p => row.IsOf(p.SetUp)).GroupBy(p => p.Commit).Select(g => new RowResult(row.Id,
            [.. g.Select(p => p.Values)], [.. g.SelectMany(p => p.Notes).Distinct()], batch.Provenance("compare " + c.Id) with { Commit = g.Key, Machine = g.First().Machine, Date = g.Max(p => p.Date)! }, g.First().SetUp))];
        RowResult? own = found.FirstOrDefault(r => r.Provenance.Commit == batch.Commit);
        if (asked && own is not null) return own;
        RowResult? kept = existing?.Rows.FirstOrDefault(r => r.Row == row.Id);
        if (kept is not null) kept = kept with { Seeds = [.. kept.Seeds.Where(s => seeds.Contains(s.Seed))] };
        // Numbers of an earlier set-up stay until there are others; the page says so.
        return new[] { own, kept }.Concat(found).OfType<RowResult>().Where(r => r.Seeds.Count > 0).OrderByDescending(r => row.IsOf(r.SetUp)).ThenByDescending(r => r.Seeds.Count).FirstOrDefault();
    }
}

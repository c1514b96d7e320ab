using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Reproductions.Comparisons;
using Sparseland.Reproductions.Results;
using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Tests.Comparisons;

public class ComparisonTests
{
    public static TheoryData<string, string> Rows
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (IComparison c in ComparisonCatalog.All)
            {
                foreach (ComparisonRow row in c.Rows) data.Add(c.Id, row.Id);
            }
            return data;
        }
    }

    [Fact]
    public void Every_method_stands_in_the_table_of_its_stage()
    {
        string[] after = [.. ComparisonCatalog.Get("after-training").Rows.Select(r => r.Method!)], training = [.. ComparisonCatalog.Get("training").Rows.Select(r => r.Method!)];
        Assert.All(MethodCatalog.All, m => Assert.Contains(m.Id, m.Stage == PruningStage.After ? after : training));
        Assert.All(ComparisonCatalog.All, c =>
        {
            Assert.Equal([0.8, 0.9, 0.95], c.Sparsities);
            Assert.True(c.Seeds(Budget.Standard) >= 3);
            Assert.Equal(c.Rows.Count, c.Rows.Select(r => r.Id).Distinct().Count());
            Assert.Same(c.Rows[0], Assert.Single(c.Rows, r => r.Method is null));
            // What differs from a method's defaults is said on the page.
            Assert.All(c.Rows.Where(r => r.Arguments.Count > 0 || r.Retrain != "all" || r.DenseShare > 0 || r.PassesPerStep > 1 || r.CutsUnits), r => Assert.NotNull(r.Note));
        });
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_quick_run_of_every_row_measures_all_sparsities_or_says_why_not(string comparison, string id)
    {
        IComparison c = ComparisonCatalog.Get(comparison);
        ComparisonRow row = c.Rows.Single(r => r.Id == id);
        double last = 0;
        // Without data the built-in set takes the place of the real one.
        var run = new ReproductionRun(0, Budget.Quick, Path.Combine(Path.GetTempPath(), "no-such-folder"), (done, _) => last = done);
        string folder = Directory.CreateTempSubdirectory("sparseland-").FullName;
        try
        {
            c.Run(row, run, folder);
            long budget = 0;
            foreach (double sparsity in row.Method is null ? [0] : c.Sparsities)
            {
                if (run.Notes.Any(n => n.StartsWith(MethodBench.Level(sparsity) + ": ", StringComparison.Ordinal))) continue;
                string file = Path.Combine(folder, MethodBench.File(c.Id, row.Id, sparsity));
                Assert.Equal(run.Values[MethodBench.Name(sparsity, "bytes")], new FileInfo(file).Length);
                Assert.InRange(run.Values[MethodBench.Name(sparsity, "accuracy")], 0, 100);
                // Equal budgets, up to the rounding of trainings that share it.
                budget = (long)run.Values[MethodBench.Name(sparsity, "passes")];
                if (row.Method is not "soups") Assert.InRange(budget, c.Id == "training" ? 38 : 4, c.Id == "training" ? 48 : 4);
                Assert.InRange(last, 0, 1);
            }
            Assert.True(budget > 0 || run.Notes.Count > 0);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_result_survives_its_file_and_the_page_shows_every_row_and_reason()
    {
        IComparison c = ComparisonCatalog.Get("after-training");
        var provenance = new Provenance("abc", "a machine", "2026-01-01", "sparseland compare after-training");
        var values = new Dictionary<string, double> { [MethodBench.Name(0.8, "accuracy")] = 50, [MethodBench.Name(0.8, "bytes")] = 2048, [MethodBench.Name(0.8, "passes")] = 200 };
        var other = new Dictionary<string, double>(values) { [MethodBench.Name(0.8, "accuracy")] = 52 };
        var times = new TwinTimes([new TwinTime("magnitude", 0.8, 0.5, 1, 2, 1.9, 2.1)], provenance with { Command = "sparseland compare after-training --time" });
        var result = new ComparisonResult(c.Id, Budget.Standard, [new RowResult("magnitude", [new SeedValues(0, values, 60), new SeedValues(1, other, 60)], ["90 %: a reason"])], times, provenance);
        ComparisonResult read = ComparisonResult.Parse(result.ToText(), "here");
        Assert.Equal(result.ToText(), read.ToText());
        string page = ComparisonPage.Make(new Dictionary<string, ComparisonResult> { [c.Id] = read });
        Assert.Contains("| 80 % | [magnitude](methods/magnitude.md) | 51.0 ± 1.4 | - | 2.0 | 0.500 of 1.000 | 2.00 (1.90 to 2.10) | - | - | 200 |", page, StringComparison.Ordinal);
        Assert.Contains("magnitude cannot take part: a reason", page, StringComparison.Ordinal);
        Assert.All(c.Rows, r => Assert.Contains(r.Method is null ? "dense" : $"[{r.Id}]", page, StringComparison.Ordinal));
        Assert.Equal("SL6003", Assert.Throws<Model.SparselandException>(() => ComparisonResult.Parse("{}", "here")).Code);
        Assert.Equal("SL6006", Assert.Throws<Model.SparselandException>(() => ComparisonCatalog.Get("nothing")).Code);
    }

    [Fact]
    public void Committed_results_are_of_this_catalogue()
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
        {
            if (!File.Exists(Path.Combine(d.FullName, "Sparseland.slnx"))) continue;
            foreach (ComparisonResult result in ComparisonPage.Read(Path.Combine(d.FullName, "reproductions", "comparisons")).Values)
            {
                Assert.NotEqual(Budget.Quick, result.Budget);
                Assert.Equal(ComparisonCatalog.Get(result.Id).Rows.Select(r => r.Id), result.Rows.Select(r => r.Row));
            }
            return;
        }
        Assert.Fail("The tests do not run from inside a checkout.");
    }
}

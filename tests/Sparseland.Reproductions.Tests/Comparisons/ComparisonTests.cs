using Sparseland.Pruning;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recovery;
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
            Assert.All(c.Rows.Where(r => r.IsSpecial), r => Assert.NotNull(r.Note));
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
        var times = new TwinTimes([new TwinTime("magnitude", 0.8, 0.5, 1, 2, 1.9, 2.1, "0af1")], provenance with { Command = "sparseland compare after-training --time" });
        var result = new ComparisonResult(c.Id, Budget.Standard, [new RowResult("magnitude", [new SeedValues(0, values, 60), new SeedValues(1, other, 60)], ["90 %: a reason"], provenance with { Commit = "def" })], times, provenance, 2);
        ComparisonResult read = ComparisonResult.Parse(result.ToText(), "here");
        Assert.Equal(result.ToText(), read.ToText());
        string page = ComparisonPage.Make(new Dictionary<string, ComparisonResult> { [c.Id] = read });
        Assert.Contains("| 80 % | [magnitude](methods/magnitude.md) | 51.0 ± 1.4 | - | 2.0 | 0.500 of 1.000 | 2.00 (1.90 to 2.10) | - | - | 200 |", page, StringComparison.Ordinal);
        Assert.Contains("magnitude cannot take part: a reason", page, StringComparison.Ordinal);
        Assert.Contains("Budget standard, 2 seeds (not complete: rows have 0 or more", page, StringComparison.Ordinal);
        Assert.Contains("commit def, 2026-01-01. Times", page, StringComparison.Ordinal);
        Assert.Contains("rd: 0 of 2 seeds", page, StringComparison.Ordinal);
        Assert.Null(ComparisonPage.Refusal("magnitude", [read]));
        Assert.All(c.Rows, r => Assert.Contains(r.Method is null ? "dense" : $"[{r.Id}]", page, StringComparison.Ordinal));
        Assert.Equal("SL6003", Assert.Throws<Model.SparselandException>(() => ComparisonResult.Parse("{}", "here")).Code);
        Assert.Equal("SL6006", Assert.Throws<Model.SparselandException>(() => ComparisonCatalog.Get("nothing")).Code);
    }

    [Fact]
    public void The_page_says_which_rows_are_larger_than_their_level_of_another_commit_timed_on_a_busy_machine_or_without_numbers()
    {
        var here = new Provenance("abc", "a machine", "2026-01-01", "sparseland compare training");
        RowResult Row(string id, double parameters, string commit = "abc") =>
            new(id, [new SeedValues(0, new Dictionary<string, double> { [MethodBench.Name(0.9, "parameters")] = parameters }, 1)], [], here with { Commit = commit });
        var refused = new RowResult("layers", [new SeedValues(0, new Dictionary<string, double>(), 1)], ["80 %: nothing can be removed: no blocks", "90 %: nothing can be removed: no blocks"], here);
        var times = new TwinTimes([new TwinTime("dense", 0, 1, 1, 1, 1, 1), new TwinTime("snip", 0.9, 0.5, 1.09, 2, 2, 2), new TwinTime("sap", 0.9, 0.5, 1.11, 2, 2, 2)], here);
        var result = new ComparisonResult("training", Budget.Standard, [Row("random", 1000), Row("snip", 1049), Row("grasp", 1000, "def"), Row("force", 1000) with { SetUp = "another" }, Row("sap", 1500), refused], times, here, 1);
        string page = ComparisonPage.Make(new Dictionary<string, ComparisonResult> { ["training"] = result });
        Assert.Contains("sap does not reach 90 %: 50 % more parameters are left", page, StringComparison.Ordinal);
        Assert.DoesNotContain("snip does not reach", page, StringComparison.Ordinal);
        Assert.Contains("grasp: measured at commit def, 2026-01-01\n", page, StringComparison.Ordinal);
        Assert.Contains("force: the numbers are of an earlier set-up", page, StringComparison.Ordinal);
        Assert.DoesNotContain("snip: the numbers", page, StringComparison.Ordinal);
        Assert.DoesNotContain("snip: measured at", page, StringComparison.Ordinal);
        Assert.Contains("sap 90 %: the machine was busy", page, StringComparison.Ordinal);
        Assert.DoesNotContain("snip 90 %: the machine was busy", page, StringComparison.Ordinal);
        Assert.Equal("nothing can be removed: no blocks", ComparisonPage.Refusal("layers", [result]));
        Assert.Null(ComparisonPage.Refusal("sap", [result]));
        Assert.Null(ComparisonPage.Refusal("wanda", [result]));
    }

    [Fact]
    public void A_row_changes_of_the_training_what_it_names()
    {
        var table = new TrainingPlan { Steps = 200, LearningRate = 0.02, WeightDecay = 5e-4 };
        ComparisonRow perp = ComparisonCatalog.Get("after-training").Rows.Single(r => r.Id == "perp");
        Assert.Equal(table with { Retrain = "biases,norms,mask-lora", Optimizer = "adamw", LearningRate = 5e-4, WarmUp = 0.1, WeightDecay = 0 }, perp.Adapt(table));
        Assert.Equal(table, ComparisonRow.Of("magnitude").Adapt(table));
        Assert.True(perp.IsSpecial);
        Assert.True(perp.IsOf(perp.SetUp));
        Assert.False(perp.IsOf((perp with { LearningRate = 1e-3 }).SetUp));
        Assert.False(perp.IsOf(null));
        Assert.All(ComparisonCatalog.All, c => Assert.Equal(c.Rows.Count, c.Rows.Select(r => r.SetUp).Distinct().Count()));
        Assert.True(ComparisonCatalog.Get("training").Rows.Single(r => r.Id == "rigl").IsOf(null));
        Assert.False(ComparisonRow.Of("magnitude").IsSpecial);
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
                int planned = result.PlannedSeeds ?? 0;
                Assert.True(planned > 0, $"{result.Id} does not say how many seeds its rows were to have");
                Assert.All(result.Rows, r => Assert.True(r.Seeds.Select(s => s.Seed).Distinct().Count() == planned, $"{result.Id} {r.Row}: {r.Seeds.Count} of {planned} seeds"));
                Assert.All(result.Rows, r => Assert.True(ComparisonCatalog.Get(result.Id).Rows.Single(x => x.Id == r.Row).IsOf(r.SetUp), $"{result.Id} {r.Row} is of an earlier set-up"));
                // Every file of the first seed is timed.
                Assert.All(result.Rows, r => Assert.All(ComparisonCatalog.Get(result.Id).Sparsities.Prepend(0).Where(s => r.Seeds[0].Values.ContainsKey(MethodBench.Name(s, "bytes"))),
                    s => Assert.True(result.Times?.Times.Any(t => t.Row == r.Row && t.Sparsity == s), $"{result.Id} {r.Row} {MethodBench.Level(s)} is not timed")));
            }
            return;
        }
        Assert.Fail("The tests do not run from inside a checkout.");
    }
}

using Sparseland.Pruning.Catalog;
using Sparseland.Reproductions.Results;
using Sparseland.Reproductions.Running;

namespace Sparseland.Reproductions.Tests;

public class CatalogTests
{
    [Fact]
    public void Every_reproduction_says_everything_and_has_rules()
    {
        Assert.Equal(ReproductionCatalog.All.Count, ReproductionCatalog.All.Select(r => r.Id).Distinct().Count());
        foreach (IReproduction r in ReproductionCatalog.All)
        {
            Assert.All((string[])[r.Id, r.Title, r.Paper, r.Claim, r.Figure, r.Setup], Assert.NotEmpty);
            Assert.Matches(@"(19|20)\d\d", r.Paper);
            Assert.NotEmpty(r.Rules);
            Assert.NotEmpty(r.Baselines);
            Assert.True(r.Seeds(Budget.Standard) >= 3);
            Assert.All(r.Rules, rule => Assert.True(rule.Statement.Length > 20 && (double.IsFinite(rule.AtLeast) || double.IsFinite(rule.AtMost))));
            Assert.All(r.Methods, m => Assert.NotNull(MethodCatalog.Find(m)));
        }
    }

    [Fact]
    public void Committed_results_are_of_this_catalogue_and_were_judged_by_its_rules()
    {
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
        {
            if (!File.Exists(Path.Combine(d.FullName, "Sparseland.slnx"))) continue;
            foreach (ReproductionResult result in ResultsPage.Read(Path.Combine(d.FullName, "reproductions", "results")).Values)
            {
                IReproduction r = ReproductionCatalog.Get(result.Id);
                Assert.True(result.Budget != Budget.Quick && result.Seeds.Count >= r.Seeds(Budget.Standard));
                // The verdict follows from the values and today's rules: neither can be edited alone.
                ReproductionResult again = ReproductionResult.Judge(r, result.Budget, result.Seeds, result.Notes, result.Provenance);
                Assert.Equal(again.ToText(), result.ToText());
            }
            return;
        }
        Assert.Fail("The tests do not run from inside a checkout.");
    }

    [Fact]
    public void A_quick_run_measures_what_the_rules_ask_for_and_repeats_itself()
    {
        IReproduction gmp = ReproductionCatalog.Get("gmp");
        var reports = new List<double>();
        ReproductionRun Go()
        {
            var run = new ReproductionRun(1, Budget.Quick, TestData.Root, (done, _) => reports.Add(done));
            gmp.Run(run);
            return run;
        }
        ReproductionRun first = Go();
        Assert.All(gmp.Rules, r => Assert.True(double.IsFinite(r.Quantity(new SeedValues(1, first.Values, 0)))));
        Assert.Equal(reports.Order(), reports);
        Assert.InRange(reports[^1], 0.9, 1);
        reports.Clear();
        Assert.Equal(first.Values, Go().Values);
    }

    public static TheoryData<string> Ids => new(ReproductionCatalog.All.Select(r => r.Id));

    [Theory]
    [MemberData(nameof(Ids))]
    public void A_quick_run_of_each_measures_what_its_rules_ask_for(string id)
    {
        IReproduction reproduction = ReproductionCatalog.Get(id);
        double last = 0;
        var run = new ReproductionRun(0, Budget.Quick, TestData.Root, (done, _) => last = done);
        reproduction.Run(run);
        Assert.All(reproduction.Rules, r => Assert.True(double.IsFinite(r.Quantity(new SeedValues(0, run.Values, 0))), r.Name));
        Assert.InRange(last, 0.8, 1);
    }

    [Fact]
    public void Without_real_data_the_built_in_set_takes_its_place_and_a_note_says_so()
    {
        var run = new ReproductionRun(0, Budget.Quick, Path.Combine(Path.GetTempPath(), "no-such-folder"));
        var lab = new Lab(run, "mnist", 100, 50, 1);
        Assert.Equal("shapes", lab.DataName);
        Assert.Contains("built-in", Assert.Single(run.Notes));
        Assert.Equal((100, 50), (lab.Data.ForTraining.Count, lab.Data.ForEvaluation.Count));
        Assert.True(lab.Accuracy(lab.Model()) is > 0 and < 40);
    }

    [Theory]
    [InlineData(0.9, 26620)]
    [InlineData(0.95, 13310)]
    public void The_small_network_has_no_more_weights_than_the_sparse_one(double sparsity, int weights)
    {
        int h = Papers.GradualMagnitude.Hidden((int)Math.Round(266_200 * (1 - sparsity)));
        int Weights(int n) => 784 * n + n * Math.Max(1, n / 3) + 10 * Math.Max(1, n / 3);
        Assert.True(Weights(h) <= weights && Weights(h + 1) > weights);
    }
}

using Sparseland.Reproductions.Results;

namespace Sparseland.Reproductions.Tests;

public class RuleTests
{
    private static SeedValues[] Seeds(params (double A, double B)[] values) =>
        [.. values.Select((v, i) => new SeedValues(i, new Dictionary<string, double> { ["a"] = v.A, ["b"] = v.B }, 1))];

    [Fact]
    public void A_rule_holds_is_broken_or_undecided_by_the_interval_of_paired_differences()
    {
        var rule = Rule.Exceeds("a", "b", 1, "because");
        Assert.Equal(Verdict.Reproduced, rule.Judge(Seeds((92, 90), (91, 89.1), (95, 92.9))).Verdict);
        Assert.Equal(Verdict.NotReproduced, rule.Judge(Seeds((90, 90), (91, 91.1), (95, 94.9))).Verdict);
        Assert.Equal(Verdict.Inconclusive, rule.Judge(Seeds((92, 90), (90, 90), (95, 92))).Verdict);
        Assert.Equal(Verdict.Inconclusive, rule.Judge(Seeds((99, 90))).Verdict);
        RuleOutcome outcome = rule.Judge(Seeds((92, 90), (91, 88), (95, 91)));
        Assert.Equal(3, outcome.Mean, 12);
        // Differences 2, 3, 4: deviation 1, t(0.95, 2) = 2.920.
        Assert.Equal(3 - 2.920 / Math.Sqrt(3), outcome.Low, 9);
        var close = Rule.Close("a", "b", 0.5, "a tie");
        Assert.Equal(Verdict.Reproduced, close.Judge(Seeds((1, 1), (1.1, 1), (1, 1.1))).Verdict);
        Assert.Equal(Verdict.NotReproduced, close.Judge(Seeds((5, 1), (5.1, 1), (5, 1.1))).Verdict);
        Assert.Contains("was not measured", Assert.Throws<KeyNotFoundException>(() => Rule.Exceeds("c", "b", 1, "").Judge(Seeds((1, 2), (1, 2)))).Message);
    }

    [Fact]
    public void One_broken_rule_breaks_the_claim_and_one_undecided_leaves_it_open()
    {
        RuleOutcome Of(Verdict v) => new("r", "s", 0, 0, 0, v);
        Assert.Equal(Verdict.Reproduced, Rule.Overall([Of(Verdict.Reproduced), Of(Verdict.Reproduced)]));
        Assert.Equal(Verdict.Inconclusive, Rule.Overall([Of(Verdict.Reproduced), Of(Verdict.Inconclusive)]));
        Assert.Equal(Verdict.NotReproduced, Rule.Overall([Of(Verdict.NotReproduced), Of(Verdict.Inconclusive)]));
        Assert.Equal(Verdict.Inconclusive, Rule.Overall([]));
    }

    [Fact]
    public void Results_survive_their_file_and_damaged_ones_are_named()
    {
        IReproduction gmp = ReproductionCatalog.Get("gmp");
        SeedValues[] seeds = [.. Enumerable.Range(0, 3).Select(i => new SeedValues(i, new Dictionary<string, double> { ["gmp 90 %"] = 96 + 0.1 * i, ["small dense 90 %"] = 94, ["gmp 95 %"] = 96, ["small dense 95 %"] = 90.123456789 }, 12.34))];
        ReproductionResult result = ReproductionResult.Judge(gmp, Budget.Standard, seeds, ["a note"], new Provenance("abc", "a machine", "2026-01-01", "sparseland reproduce gmp"));
        Assert.Equal(Verdict.Reproduced, result.Verdict);
        ReproductionResult read = ReproductionResult.Parse(result.ToText(), "x.json");
        Assert.Equal(result.ToText(), read.ToText());
        Assert.Equal(Verdict.Inconclusive, ReproductionResult.Judge(gmp, Budget.Quick, seeds, [], result.Provenance).Verdict);
        Assert.Equal("SL6003", Assert.Throws<Model.SparselandException>(() => ReproductionResult.Parse("{}", "x.json")).Code);
        string page = ResultsPage.Make(new Dictionary<string, ReproductionResult> { ["gmp"] = read });
        Assert.Contains("Reproduced: budget standard, 3 seeds", page);
        Assert.Contains("Not run yet", ResultsPage.Make(new Dictionary<string, ReproductionResult>()));
    }
}

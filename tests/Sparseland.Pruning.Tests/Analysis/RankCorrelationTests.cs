using Sparseland.Pruning.Analysis;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Analysis;

public class RankCorrelationTests
{
    [Fact]
    public void The_worked_examples_of_the_oracle_card()
    {
        Assert.Equal(0.666667, RankCorrelation.Kendall([1, 2, 3, 4], [1, 3, 2, 4]).Value, 6);
        Assert.Equal(0, RankCorrelation.Kendall([.5, .6, .7, .8], [.10, .08, .12, .09]).Value, 12);
        Assert.Equal(0.5, OracleCheck.AnomalyRatio([.5, .6, .7, .8], [.10, .08, .12, .09], lowerIsBetter: true), 12);
        // The oracle itself never counts, nor do results that equal its own.
        Assert.Equal(0, OracleCheck.AnomalyRatio([.5, .6, .7], [.1, .1, .1], lowerIsBetter: true), 12);
        Assert.Equal(0.25, OracleCheck.AnomalyRatio([.5, .6, .7, .8], [.90, .91, .90, .2], lowerIsBetter: false), 12);
    }

    [Fact]
    public void Of_a_list_with_itself_it_is_one_and_reversed_minus_one()
    {
        for (long seed = 0; seed < 30; seed++)
        {
            SeededRandom random = SeededRandom.Of(seed);
            double[] x = new double[3 + (int)seed];
            for (int i = 0; i < x.Length; i++) x[i] = random.NextNormal();
            double[] minus = [.. x.Select(v => -v)], growing = [.. x.Select(v => Math.Exp(3 * v))], other = [.. x.Select(_ => random.NextNormal())];
            Assert.Equal(1, RankCorrelation.Kendall(x, x).Value, 12);
            Assert.Equal(-1, RankCorrelation.Kendall(x, minus).Value, 12);
            Assert.Equal(1, RankCorrelation.Spearman(x, growing).Value, 12);
            // Ranks alone count, and neither side is special.
            Assert.Equal(RankCorrelation.Kendall(x, other).Value, RankCorrelation.Kendall(growing, other).Value, 12);
            Assert.Equal(RankCorrelation.Kendall(x, other).Value, RankCorrelation.Kendall(other, x).Value, 12);
            Assert.InRange(RankCorrelation.Kendall(x, other).Value, -1, 1);
            Assert.InRange(RankCorrelation.Kendall(x, other).PValue, 0, 1);
        }
    }

    [Fact]
    public void Constant_sides_have_none_and_numbers_that_are_none_are_refused()
    {
        Assert.True(double.IsNaN(RankCorrelation.Kendall([1, 1, 1], [1, 2, 3]).Value));
        Assert.True(double.IsNaN(RankCorrelation.Pearson([1, 1, 1], [1, 2, 3]).Value));
        Assert.Throws<ArgumentException>(() => RankCorrelation.Kendall([1, double.NaN], [1, 2]));
        Assert.Throws<ArgumentException>(() => RankCorrelation.Kendall([1, 2, 3], [1, 2]));
        Assert.Equal([2.5, 1, 2.5, 4], RankCorrelation.Ranks([5, 3, 5, 9]));
    }

    [Fact]
    public void Values_and_p_values_agree_with_an_independent_implementation()
    {
        foreach (System.Text.Json.JsonElement e in Golden.Data.GetProperty("tau").EnumerateArray())
        {
            double[] x = Golden.Doubles(e.GetProperty("x")), y = Golden.Doubles(e.GetProperty("y")), kendall = Golden.Doubles(e.GetProperty("kendall"));
            Correlation tau = RankCorrelation.Kendall(x, y);
            Assert.Equal(kendall[0], tau.Value, 12);
            Assert.Equal(kendall[1], tau.PValue, 1e-9 + 1e-7 * kendall[1]);
            Assert.Equal(e.GetProperty("spearman").GetDouble(), RankCorrelation.Spearman(x, y).Value, 12);
            Assert.Equal(e.GetProperty("pearson").GetDouble(), RankCorrelation.Pearson(x, y).Value, 12);
        }
    }
}

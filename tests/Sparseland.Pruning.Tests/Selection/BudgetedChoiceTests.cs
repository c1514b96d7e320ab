using Sparseland.Pruning.Selection;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Selection;

public class BudgetedChoiceTests
{
    private static readonly long[][] s_costs = [[4, 2, 0], [6, 3, 0]];
    private static readonly double[][] s_losses = [[0, 1, 10], [0, 3, 8]];

    [Theory]
    [InlineData(0, 18, 2, 2)]
    [InlineData(2, 9, 1, 2)]
    [InlineData(5, 4, 1, 1)]
    [InlineData(7, 3, 0, 1)]
    [InlineData(8, 1, 1, 0)]
    [InlineData(10, 0, 0, 0)]
    public void Worked_example(long budget, double loss, int first, int second)
    {
        int[] chosen = BudgetedChoice.Solve(s_costs, s_losses, budget)!;
        Assert.Equal([first, second], chosen);
        Assert.Equal(loss, s_losses[0][chosen[0]] + s_losses[1][chosen[1]]);
    }

    [Fact]
    public void What_cannot_be_afforded_is_null()
    {
        Assert.Null(BudgetedChoice.Solve([[4, 2], [6, 3]], [[0, 1], [0, 1]], 4));
        Assert.NotNull(BudgetedChoice.Solve([[4, 2], [6, 3]], [[0, 1], [0, 1]], 5));
    }

    [Fact]
    public void Equals_brute_force_and_is_never_worse_than_greedy()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = SeededRandom.Of(seed);
            int items = 1 + random.NextInt(4);
            long[][] costs = new long[items][];
            double[][] losses = new double[items][];
            for (int n = 0; n < items; n++)
            {
                int options = 2 + random.NextInt(5);
                costs[n] = new long[options];
                losses[n] = new double[options];
                for (int j = 0; j < options; j++) (costs[n][j], losses[n][j]) = (random.NextInt(30), random.NextInt(50) / 7.0);
            }
            double previous = double.PositiveInfinity;
            for (long budget = 0; budget <= 40; budget += 4)
            {
                double best = Best(costs, losses, 0, budget);
                int[]? chosen = BudgetedChoice.Solve(costs, losses, budget);
                if (double.IsPositiveInfinity(best))
                {
                    Assert.Null(chosen);
                    continue;
                }
                Assert.True(chosen!.Select((j, n) => costs[n][j]).Sum() <= budget);
                double loss = chosen!.Select((j, n) => losses[n][j]).Sum();
                Assert.Equal(best, loss, 9);
                Assert.True(loss <= previous + 1e-9, "a larger budget cannot hurt");
                Assert.True(loss <= Greedy(costs, losses, budget) + 1e-9);
                previous = loss;
            }
        }
    }

    [Fact]
    public void Coarse_units_stay_within_a_unit_per_item()
    {
        long[][] costs = [[100_003, 50_001, 0], [70_007, 30_011, 0], [9, 5, 1]];
        double[][] losses = [[0, 1, 9], [0, 2, 7], [0, 1, 3]];
        foreach (long budget in (long[])[40_000, 90_000, 150_000])
        {
            int[]? chosen = BudgetedChoice.Solve(costs, losses, budget, buckets: 1000);
            Assert.True(chosen!.Select((j, n) => costs[n][j]).Sum() <= budget + 3 * ((budget + 999) / 1000));
        }
    }

    private static double Best(long[][] costs, double[][] losses, int item, long budget)
    {
        if (budget < 0) return double.PositiveInfinity;
        if (item == costs.Length) return 0;
        return Enumerable.Range(0, costs[item].Length).Min(j => losses[item][j] + Best(costs, losses, item + 1, budget - costs[item][j]));
    }

    // Starts at the cheapest options and buys the step of the best ratio while something can be bought.
    private static double Greedy(long[][] costs, double[][] losses, long budget)
    {
        int[] at = [.. costs.Select(c => Array.IndexOf(c, c.Min()))];
        long left = budget - at.Select((j, n) => costs[n][j]).Sum();
        while (true)
        {
            (double Ratio, int Item, int Option) best = (0, -1, -1);
            for (int n = 0; n < costs.Length; n++)
            {
                for (int j = 0; j < costs[n].Length; j++)
                {
                    long price = costs[n][j] - costs[n][at[n]];
                    double gain = losses[n][at[n]] - losses[n][j];
                    if (price <= left && gain > 0 && gain / Math.Max(price, 1e-9) > best.Ratio) best = (gain / Math.Max(price, 1e-9), n, j);
                }
            }
            if (best.Item < 0) return at.Select((j, n) => losses[n][j]).Sum();
            left -= costs[best.Item][best.Option] - costs[best.Item][at[best.Item]];
            at[best.Item] = best.Option;
        }
    }
}

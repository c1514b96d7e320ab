namespace Sparseland.Pruning.Selection;

/// <summary>One option for each of several items such that the total cost fits a budget and the total loss is smallest: by dynamic programming over the budget.</summary>
/// <remarks>
/// f_n(k) = min over options j of [loss_n(j) + f_(n-1)(k - cost_n(j))], f_0(k) = 0 for k >= 0 and infinity below; the answer is walked back from f(budget). Xu et al., "Efficient Joint Optimization of
/// Layer-Adaptive Weight Pruning in Deep Neural Networks", ICCV 2023, section 3.3. Exact while the budget has no more units than buckets; beyond it costs are counted in units of
/// several, rounded up, so that the total still fits.
/// </remarks>
public static class BudgetedChoice
{
    /// <summary>Chooses.</summary>
    /// <param name="costs">Cost of each option of each item, not negative.</param>
    /// <param name="losses">Loss of each option of each item.</param>
    /// <param name="budget">Largest total cost.</param>
    /// <param name="buckets">Units that the budget is counted in at most.</param>
    /// <returns>The index of an option per item; of equally good ones the first. Null when even the cheapest options exceed the budget.</returns>
    public static int[]? Solve(IReadOnlyList<IReadOnlyList<long>> costs, IReadOnlyList<IReadOnlyList<double>> losses, long budget, int buckets = 20_000)
    {
        ArgumentNullException.ThrowIfNull(costs);
        ArgumentNullException.ThrowIfNull(losses);
        ArgumentOutOfRangeException.ThrowIfLessThan(buckets, 1);
        int items = costs.Count;
        if (losses.Count != items) throw new ArgumentException($"{losses.Count} lists of losses for {items} items.", nameof(losses));
        if (budget < 0 || costs.Sum(c => c.Min()) > budget) return null;
        long unit = Math.Max(1, (budget + buckets - 1) / buckets);
        int[][] units = [.. costs.Select(c => c.Select(v => (int)Math.Min(int.MaxValue, (v + unit - 1) / unit)).ToArray())];
        // Rounding up may leave no room for the cheapest options although they fit: they get it, and the caller's total is off by less than a unit per item.
        int size = (int)Math.Max(budget / unit, units.Sum(u => (long)u.Min()));
        double[] best = new double[size + 1], next = new double[size + 1];
        var chosen = new ushort[items][];
        for (int n = 0; n < items; n++)
        {
            ushort[] choice = chosen[n] = new ushort[size + 1];
            Array.Fill(next, double.PositiveInfinity);
            for (int j = 0; j < units[n].Length; j++)
            {
                int cost = units[n][j];
                double loss = losses[n][j];
                for (int k = cost; k <= size; k++)
                {
                    double total = loss + best[k - cost];
                    if (total >= next[k]) continue;
                    next[k] = total;
                    choice[k] = (ushort)j;
                }
            }
            (best, next) = (next, best);
        }
        if (double.IsPositiveInfinity(best[size])) return null;
        int[] result = new int[items];
        for (int n = items - 1, k = size; n >= 0; n--)
        {
            result[n] = chosen[n][k];
            k -= units[n][result[n]];
        }
        return result;
    }
}

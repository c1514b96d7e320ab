using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Allocations;

/// <summary>The densities with the largest product for a number of weights: every layer that is not whole keeps the same number of weights.</summary>
/// <remarks>
/// Cai, Hua, Chen, Suh, De Sa and Zhang, "Structured Pruning is All You Need for Pruning CNNs at Initialization", 2022, section 3: SynFlow's expected flow is proportional to the product of the densities, whatever the granularity. Maximising sum log p_l
/// subject to sum alpha_l p_l = B and p_l at most 1 gives p_l = min(1, c / alpha_l) (the optimality conditions, derived; the paper calls a convex solver).
/// </remarks>
public sealed class LogDensityAllocation : DensityAllocation
{
    /// <inheritdoc/>
    public override string Id => "log-density";

    /// <summary>p_l = min(1, c / cost_l) with the c that spends the budget.</summary>
    /// <param name="costs">Cost of each layer when it is whole, above 0.</param>
    /// <param name="budget">Total cost; at or above the sum of the costs everything is whole.</param>
    public static double[] Solve(IReadOnlyList<double> costs, double budget)
    {
        ArgumentNullException.ThrowIfNull(costs);
        // Layers that cost less than their equal part of what is left are whole; the others share the rest evenly.
        double[] densities = new double[costs.Count];
        double left = Math.Max(0, budget);
        int open = costs.Count;
        foreach (int l in Enumerable.Range(0, costs.Count).OrderBy(l => costs[l]).ThenBy(l => l))
        {
            double share = left / open--, spent = Math.Min(costs[l], share);
            densities[l] = costs[l] > 0 ? spent / costs[l] : 1;
            left -= spent;
        }
        return densities;
    }

    /// <inheritdoc/>
    protected override double[] Densities(IReadOnlyList<PrunableLayer> layers, double density)
    {
        ArgumentNullException.ThrowIfNull(layers);
        return Solve([.. layers.Select(l => (double)l.Length)], density * layers.Sum(l => (double)l.Length));
    }
}

using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Decides how many units each group loses, so that a budget of parameters or multiply-accumulates is met.</summary>
/// <remarks>
/// Units leave in the order of their scores; ties leave in the order of groups and units, so that the same model gives the
/// same plan everywhere (R20). The cost falls with every step, so the least number of steps that meets the budget is
/// found by bisection.
/// </remarks>
public static class ChannelAllocation
{
    private const int UniformSteps = 1000;

    /// <summary>Plans a removal; nothing is changed.</summary>
    /// <param name="dependencies">The analysed model.</param>
    /// <param name="importance">How units are scored.</param>
    /// <param name="budget">The target and its limits.</param>
    /// <param name="inputTypes">Types that fix sizes which the graph leaves open, for counting multiply-accumulates; others count as 1.</param>
    /// <param name="cancellation">Stops between groups and steps.</param>
    /// <exception cref="ArgumentOutOfRangeException">The share or the floor is outside its range.</exception>
    public static ChannelPlan Solve(DependencyGraph dependencies, GroupImportance importance, ChannelBudget budget,
        IReadOnlyDictionary<string, TensorType>? inputTypes = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(dependencies);
        ArgumentNullException.ThrowIfNull(importance);
        ArgumentNullException.ThrowIfNull(budget);
        budget.Validate();
        HashSet<string> statistics = ModelCost.RunningStatistics(dependencies.Graph);
        var candidates = new List<Candidate>();
        foreach (ChannelGroup group in dependencies.Groups)
        {
            cancellation.ThrowIfCancellationRequested();
            double[] scores = importance.Score(dependencies.Graph, group, statistics);
            bool included = budget.Include?.Invoke(group) ?? true;
            int floor = included ? Math.Max(1, (int)Math.Ceiling(group.UnitCount * budget.Floor - 1e-9)) : group.UnitCount;
            int[] order = [.. Enumerable.Range(0, group.UnitCount).OrderBy(u => scores[u]).ThenBy(u => u)];
            candidates.Add(new Candidate(group, scores, order, floor, included));
        }

        var estimate = new CostEstimate(dependencies, inputTypes);
        Func<int, int[]> kept = budget.Spread == ChannelSpread.Uniform ? step => Uniform(candidates, step) : Global(candidates);
        int steps = budget.Spread == ChannelSpread.Uniform ? UniformSteps : candidates.Sum(c => c.Group.UnitCount);
        ModelCost before = estimate.Of(candidates.Select(c => (c.Group, c.Group.UnitCount)));
        double target = budget.Keep * ChannelPlan.Count(before, budget.Unit);

        int low = 0, high = steps;
        while (low < high)
        {
            cancellation.ThrowIfCancellationRequested();
            int middle = low + ((high - low) / 2);
            if (ChannelPlan.Count(Cost(Rounded(kept(middle))), budget.Unit) <= target) high = middle;
            else low = middle + 1;
        }

        int[] exact = kept(low), rounded = Rounded(exact);
        ModelCost after = Cost(rounded), smallest = Cost(Rounded([.. candidates.Select(c => c.Floor)]));
        double roundingCost = (double)(ChannelPlan.Count(after, budget.Unit) - ChannelPlan.Count(Cost(exact), budget.Unit)) / Math.Max(1, ChannelPlan.Count(before, budget.Unit));
        var removal = new Removal(dependencies);
        var rows = new List<GroupPlan>();
        bool feasible = ChannelPlan.Count(after, budget.Unit) <= target + 0.5;
        for (int g = 0; g < candidates.Count; g++)
        {
            Candidate c = candidates[g];
            int leaving = c.Group.UnitCount - rounded[g];
            removal.Add(c.Group, c.Order.Take(leaving));
            rows.Add(new GroupPlan(c.Group, rounded[g], rounded[g] - exact[g], c.Scores.Min(), c.Scores.Max(),
                leaving == 0 ? null : c.Scores[c.Order[leaving - 1]], Limit(c, exact[g], feasible)));
        }
        return new ChannelPlan(budget, removal, rows, before, after, smallest, roundingCost);

        int[] Rounded(int[] counts) => [.. counts.Select((count, g) => candidates[g].Included ? budget.Rounding.Round(candidates[g].Group, count) : count)];

        ModelCost Cost(int[] counts) => estimate.Of(candidates.Select((c, g) => (c.Group, counts[g])));
    }

    private static Refusal? Limit(Candidate candidate, int kept, bool feasible) => !candidate.Included
        ? new(RefusalReason.ExcludedByUser, "a name filter keeps it", null)
        : kept <= candidate.Floor && (!feasible || candidate.Floor < candidate.Group.UnitCount)
            ? new(RefusalReason.FloorReached, $"{candidate.Floor} of {candidate.Group.UnitCount} is the floor", null)
            : null;

    private static int[] Uniform(List<Candidate> candidates, int step) =>
        [.. candidates.Select(c => Math.Max(c.Floor, c.Group.UnitCount - (int)((long)c.Group.UnitCount * step / UniformSteps)))];

    // The order in which units leave, over all groups; a group at its floor loses no more.
    private static Func<int, int[]> Global(List<Candidate> candidates)
    {
        int[] order = [.. candidates.SelectMany((c, g) => c.Order.Select((unit, rank) => (Group: g, Score: c.Scores[unit], Rank: rank)))
            .OrderBy(x => x.Score).ThenBy(x => x.Group).ThenBy(x => x.Rank).Select(x => x.Group)];
        return step =>
        {
            int[] kept = [.. candidates.Select(c => c.Group.UnitCount)];
            for (int i = 0; i < step; i++)
            {
                if (kept[order[i]] > candidates[order[i]].Floor) kept[order[i]]--;
            }
            return kept;
        };
    }

    private sealed record Candidate(ChannelGroup Group, double[] Scores, int[] Order, int Floor, bool Included);
}

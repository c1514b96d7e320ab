using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Decides how many units each group loses, so that a budget of parameters or multiply-accumulates is met.</summary>
/// <remarks>
/// Units leave in the order of their scores; ties leave in the order of groups and units, so that the same model gives the
/// same plan everywhere (R20). Where widths are rounded, as many units leave together as lie between two friendly widths, in the order of
/// their mean scores: rounding up what was ranked one by one would leave most groups whole and cut the rest to pieces. The cost falls with
/// every step, so the least number of steps that meets the budget is found by bisection; where widths come in steps, what fits into the
/// rest of the budget then comes back, the highest scores first.
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
            int multiple = budget.Rounding.MultipleFor(group.UnitCount * group.UnitWidth), together = 1;
            while (together * group.UnitWidth % multiple != 0) together++;
            candidates.Add(new Candidate(group, scores, order, floor, included, together));
        }

        var estimate = new CostEstimate(dependencies, inputTypes);
        var axes = new SharedAxes(dependencies);
        ModelCost before = estimate.Of(candidates.Select(c => (c.Group, c.Group.UnitCount)));
        double target = budget.Keep * ChannelPlan.Count(before, budget.Unit);
        bool uniform = budget.Spread == ChannelSpread.Uniform;
        Order friendly = uniform ? Order.Uniform(candidates) : Order.Global(candidates, c => c.Together);
        int[] chosen = friendly.Kept(Least(friendly, Rounded));
        if (!uniform && budget.Rounding.Multiple > 1) GiveBack(chosen);
        int[] rounded = Rounded(chosen);
        // What would be done without rounding: the difference is what round widths cost.
        Order plain = uniform ? friendly : Order.Global(candidates, _ => 1);
        int[] exact = plain.Kept(Least(plain, counts => counts));
        int[] fewest = Rounded(friendly.Kept(friendly.Steps));
        ModelCost after = Cost(rounded), smallest = Cost(fewest);
        double roundingCost = (double)(ChannelPlan.Count(Cost(exact), budget.Unit) - ChannelPlan.Count(after, budget.Unit)) / Math.Max(1, ChannelPlan.Count(before, budget.Unit));
        var removal = new Removal(dependencies);
        var rows = new List<GroupPlan>();
        bool feasible = ChannelPlan.Count(after, budget.Unit) <= target + 0.5;
        for (int g = 0; g < candidates.Count; g++)
        {
            Candidate c = candidates[g];
            int leaving = c.Group.UnitCount - rounded[g];
            removal.Add(c.Group, c.Order.Take(leaving));
            rows.Add(new GroupPlan(c.Group, rounded[g], rounded[g] - exact[g], c.Scores.Min(), c.Scores.Max(),
                leaving == 0 ? null : c.Scores[c.Order[leaving - 1]], Limit(c, rounded[g], fewest[g], feasible)));
        }
        return new ChannelPlan(budget, removal, rows, before, after, smallest, roundingCost);

        int[] Rounded(int[] counts)
        {
            int[] wider = [.. counts];
            axes.Round(wider, budget.Rounding);
            return wider;
        }

        bool Fits(int[] counts) => ChannelPlan.Count(Cost(counts), budget.Unit) <= target;

        int Least(Order order, Func<int[], int[]> finish)
        {
            int low = 0, high = order.Steps;
            while (low < high)
            {
                cancellation.ThrowIfCancellationRequested();
                int middle = low + ((high - low) / 2);
                if (Fits(finish(order.Kept(middle)))) high = middle;
                else low = middle + 1;
            }
            return low;
        }

        // A trunk's channels leave only when all its axes have friendly widths again: that step can be far larger than what was missing.
        void GiveBack(int[] counts)
        {
            if (!Fits(Rounded(counts))) return;
            var open = candidates.Where(c => counts[c.Group.Index] < c.Group.UnitCount).ToList();
            while (open.Count > 0)
            {
                cancellation.ThrowIfCancellationRequested();
                Candidate best = open.MaxBy(c => LastPart(c, counts[c.Group.Index]).Score)!;
                int index = best.Group.Index, before = counts[index];
                counts[index] += LastPart(best, before).Units;
                bool fits = Fits(Rounded(counts));
                if (!fits) counts[index] = before;
                if (!fits || counts[index] == best.Group.UnitCount) open.Remove(best);
            }
        }

        ModelCost Cost(int[] counts) => estimate.Of(candidates.Select((c, g) => (c.Group, counts[g])));
    }

    private static Refusal? Limit(Candidate candidate, int kept, int fewest, bool feasible) => !candidate.Included
        ? new(RefusalReason.ExcludedByUser, "a name filter keeps it", null)
        : kept <= fewest && (!feasible || fewest < candidate.Group.UnitCount)
            ? new(RefusalReason.FloorReached, $"{fewest} of {candidate.Group.UnitCount} is the floor", null)
            : null;

    // The units that would come back together, and their mean score.
    private static (int Units, double Score) LastPart(Candidate c, int kept)
    {
        int units = Math.Min(c.Together - (kept % c.Together), c.Group.UnitCount - kept), left = c.Group.UnitCount - kept;
        return (units, c.Order.Skip(left - units).Take(units).Average(u => c.Scores[u]));
    }

    /// <summary>How units leave, step by step.</summary>
    private sealed record Order(int Steps, Func<int, int[]> Kept)
    {
        public static Order Uniform(List<Candidate> candidates) => new(UniformSteps,
            step => [.. candidates.Select(c => Math.Max(c.Floor, c.Group.UnitCount - (int)((long)c.Group.UnitCount * step / UniformSteps)))]);

        // Over all groups, some units at a time; a group at its floor loses no more.
        public static Order Global(List<Candidate> candidates, Func<Candidate, int> together)
        {
            var parts = new List<(int Group, int Units, double Score, int Rank)>();
            for (int g = 0; g < candidates.Count; g++)
            {
                Candidate c = candidates[g];
                int size = together(c);
                for (int done = 0, kept = c.Group.UnitCount; kept > 0;)
                {
                    int units = kept % size == 0 ? size : kept % size;
                    kept -= units;
                    if (kept < c.Floor) break;
                    parts.Add((g, units, c.Order.Skip(done).Take(units).Average(u => c.Scores[u]), done));
                    done += units;
                }
            }
            (int Group, int Units)[] order = [.. parts.OrderBy(x => x.Score).ThenBy(x => x.Group).ThenBy(x => x.Rank).Select(x => (x.Group, x.Units))];
            return new Order(order.Length, step =>
            {
                int[] kept = [.. candidates.Select(c => c.Group.UnitCount)];
                for (int i = 0; i < step; i++) kept[order[i].Group] -= order[i].Units;
                return kept;
            });
        }
    }

    private sealed record Candidate(ChannelGroup Group, double[] Scores, int[] Order, int Floor, bool Included, int Together);
}

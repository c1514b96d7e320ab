using Sparseland.Model.Analysis;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>What happens to one group.</summary>
/// <param name="Group">The group.</param>
/// <param name="Kept">Units that stay.</param>
/// <param name="Rounding">How many units more stay than without rounding; below 0, how many more leave.</param>
/// <param name="LowestScore">The lowest score in the group.</param>
/// <param name="HighestScore">The highest score in the group.</param>
/// <param name="Threshold">The highest score that leaves; null when none does.</param>
/// <param name="Refusal">Why no more leaves; null when the target asked for no more.</param>
public sealed record GroupPlan(ChannelGroup Group, int Kept, int Rounding, double LowestScore, double HighestScore, double? Threshold, Refusal? Refusal)
{
    /// <summary>Units that leave.</summary>
    public int Removed => Group.UnitCount - Kept;
}

/// <summary>Which units leave, what that brings, and whether the target can be met; nothing has been done yet (R26).</summary>
public sealed class ChannelPlan
{
    internal ChannelPlan(ChannelBudget budget, Removal removal, IReadOnlyList<GroupPlan> groups, ModelCost before, ModelCost after, ModelCost smallest, double roundingCost)
    {
        Budget = budget;
        Removal = removal;
        Groups = groups;
        Before = before;
        After = after;
        Smallest = smallest;
        RoundingCost = roundingCost;
    }

    /// <summary>The target.</summary>
    public ChannelBudget Budget { get; }

    /// <summary>The units that leave: for <see cref="Surgeon"/>.</summary>
    public Removal Removal { get; }

    /// <summary>One row per group.</summary>
    public IReadOnlyList<GroupPlan> Groups { get; }

    /// <summary>Cost before.</summary>
    public ModelCost Before { get; }

    /// <summary>Estimated cost after.</summary>
    public ModelCost After { get; }

    /// <summary>Estimated cost when every group is cut to its floor: nothing below can be reached.</summary>
    public ModelCost Smallest { get; }

    /// <summary>Share of the original cost that leaves beyond what the budget asks for, because widths come in steps.</summary>
    public double RoundingCost { get; }

    /// <summary>The share that remains under this plan.</summary>
    public double Achieved => Share(After);

    /// <summary>The smallest share that could be reached.</summary>
    public double NearestFeasible => Share(Smallest);

    /// <summary>Whether the target can be met; otherwise the plan goes as far as it can.</summary>
    public bool IsFeasible => Achieved <= Budget.Keep + 1e-12;

    internal static long Count(ModelCost cost, BudgetUnit unit) => unit == BudgetUnit.Macs ? cost.Macs : cost.Parameters;

    private double Share(ModelCost cost) => Count(Before, Budget.Unit) == 0 ? 1 : (double)Count(cost, Budget.Unit) / Count(Before, Budget.Unit);
}

using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Structured;

/// <summary>What structured pruning did: the smaller model, one row per group, and what was refused.</summary>
/// <param name="Graph">The smaller model.</param>
/// <param name="Surgery">The smaller model with the positions that were kept, for optimiser state.</param>
/// <param name="Plan">The plan that was carried out, with one row per group.</param>
/// <param name="Before">Cost before, zeros counted.</param>
/// <param name="After">Cost after, zeros counted.</param>
/// <param name="Refused">Axes that could not be cut, with reasons.</param>
public sealed record StructuredResult(ModelGraph Graph, SurgeryResult Surgery, ChannelPlan Plan, ModelCost Before, ModelCost After, IReadOnlyList<FrozenAxis> Refused)
{
    /// <summary>Units that left, over all groups.</summary>
    public int RemovedUnits => Plan.Removal.Count;
}

/// <summary>Structured channel removal by group norm: units with the smallest norm leave until a budget is met.</summary>
/// <remarks>
/// Li et al., "Pruning Filters for Efficient ConvNets" (ICLR 2017), section 3, for the criterion on filters; Fang et al.,
/// "DepGraph: Towards Any Structural Pruning" (CVPR 2023), sections 3.2-3.3, for groups of coupled layers. After training;
/// needs neither data nor labels. Removing a share p of all channels removes about 1 - (1 - p)^2 of the parameters.
/// </remarks>
public sealed class GroupNormPruner
{
    /// <summary>How units are scored.</summary>
    public GroupImportance Importance { get; init; } = new();

    /// <summary>Plans without changing anything.</summary>
    /// <inheritdoc cref="ChannelAllocation.Solve"/>
    public ChannelPlan Plan(DependencyGraph dependencies, ChannelBudget budget, IReadOnlyDictionary<string, TensorType>? inputTypes = null, CancellationToken cancellation = default) =>
        ChannelAllocation.Solve(dependencies, Importance, budget, inputTypes, cancellation);

    /// <summary>Plans and removes; the model given is not changed.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="budget">The target and its limits.</param>
    /// <param name="inputTypes">Types that fix sizes which the graph leaves open, for counting multiply-accumulates.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <exception cref="PruningException">SL4030: the budget cannot be met; the message names the nearest one that can.</exception>
    public StructuredResult Prune(ModelGraph graph, ChannelBudget budget, IReadOnlyDictionary<string, TensorType>? inputTypes = null, CancellationToken cancellation = default)
    {
        DependencyGraph dependencies = DependencyGraph.Build(graph, cancellation);
        ChannelPlan plan = Plan(dependencies, budget, inputTypes, cancellation);
        if (!plan.IsFeasible)
        {
            string unit = budget.Unit == BudgetUnit.Macs ? "multiply-accumulates" : "parameters";
            throw new PruningException("SL4030", $"{budget.Keep:P1} of the {unit} cannot be reached by removing channels; the least is {plan.NearestFeasible:P1}")
            {
                Where = $"model '{graph.Name}'",
                Because = dependencies.Groups.Count == 0 ? "no channel can leave: " + string.Join("; ", dependencies.Refused.Take(3)) : $"every group keeps at least {budget.Floor:P0} of its units",
                Try = dependencies.Groups.Count == 0 ? "list the reasons: sparseland plan MODEL" : $"a target of {Math.Ceiling(plan.NearestFeasible * 1000) / 1000:P1}, a lower floor, or fewer excluded layers",
            };
        }
        SurgeryResult surgery = Surgeon.Remove(plan.Removal);
        return new StructuredResult(surgery.Graph, surgery, plan, ModelCost.Of(graph, inputTypes), ModelCost.Of(surgery.Graph, inputTypes), [.. dependencies.Refused]);
    }
}

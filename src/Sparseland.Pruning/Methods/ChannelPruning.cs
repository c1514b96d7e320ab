using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Methods;

/// <summary>Removes whole channels, heads and neurons by the norm of everything that leaves with them; the result is a smaller graph.</summary>
/// <remarks>
/// The catalogue's face of <see cref="GroupNormPruner"/>: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3; Fang et al., "DepGraph: Towards
/// Any Structural Pruning", CVPR 2023, sections 3.2 and 3.3. <see cref="PruningSettings.Sparsity"/> is the share of the budget's unit that goes. Targets and ignore filters
/// choose groups by their weights: a group is cut when one of its weights is a target and none is ignored.
/// </remarks>
/// <param name="settings">What every method is told; the pattern and the policy's switches are not used.</param>
/// <param name="budget">What is counted, and the limits; the kept share is taken from the settings.</param>
/// <param name="importance">How units are scored.</param>
public sealed class ChannelPruning(PruningSettings settings, ChannelBudget budget, GroupImportance importance) : Sparsifier("channels", PruningStage.After, settings)
{
    /// <summary>The budget, filters included.</summary>
    public ChannelBudget Budget
    {
        get
        {
            NameFilter[] targets = [.. Settings.Policy.Targets.Select(t => new NameFilter(t))], ignore = [.. Settings.Policy.Ignore.Select(t => new NameFilter(t))];
            ChannelBudget wanted = budget with { Keep = Settings.Density };
            if (targets.Length + ignore.Length == 0) return wanted;
            return wanted with
            {
                Include = group => (targets.Length == 0 || group.Members.Any(m => Array.Exists(targets, t => t.Matches(m.Weight)))) &&
                    !group.Members.Any(m => Array.Exists(ignore, t => t.Matches(m.Weight))),
            };
        }
    }

    /// <summary>Plans without changing anything.</summary>
    /// <param name="dependencies">The analysed model.</param>
    /// <param name="inputTypes">Types that fix sizes which the graph leaves open, for counting multiply-accumulates.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <exception cref="PruningException">SL4001: a filter matches no weight.</exception>
    public ChannelPlan Plan(DependencyGraph dependencies, IReadOnlyDictionary<string, TensorType>? inputTypes = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(dependencies);
        RequireMatches(dependencies.Graph);
        return Pruner.Plan(dependencies, Budget, inputTypes, cancellation);
    }

    /// <summary>Plans and removes; the model given is not changed.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="inputTypes">Types that fix sizes which the graph leaves open, for counting multiply-accumulates.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <exception cref="Model.SparselandException">SL4030: the budget cannot be met.</exception>
    /// <exception cref="PruningException">SL4001: a filter matches no weight.</exception>
    public StructuredResult Prune(ModelGraph graph, IReadOnlyDictionary<string, TensorType>? inputTypes = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(graph);
        RequireMatches(graph);
        return Pruner.Prune(graph, Budget, inputTypes, cancellation);
    }

    private GroupNormPruner Pruner => new() { Importance = importance };

    private void RequireMatches(ModelGraph graph) => NameFilter.RequireMatches(Settings.Policy.Targets.Concat(Settings.Policy.Ignore), [.. graph.Weights.Keys]);
}

using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
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
public sealed class ChannelPruning(PruningSettings settings, ChannelBudget budget, GroupImportance importance) : GraphSparsifier("channels", PruningStage.After, settings)
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "channels",
        Title = "Channel removal by group norm",
        Paper = "Li et al.: Pruning Filters for Efficient ConvNets, ICLR 2017; Fang et al.: DepGraph: Towards Any Structural Pruning, CVPR 2023",
        Section = "section 3; sections 3.2, 3.3",
        Description = "removes whole channels, heads and neurons until a share of the multiply-accumulates or parameters is gone; the file becomes smaller everywhere",
        Stage = PruningStage.After,
        Path = TrainingPath.PostTraining,
        Granularities = [Granularity.Channel],
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.None,
        Parameters =
        [
            new("budget", ParameterType.Choice, "macs", "what the sparsity is a share of") { Choices = ["macs", "parameters"] },
            new("spread", ParameterType.Choice, "global", "whether all units are ranked together or every group loses the same share") { Choices = ["global", "uniform"] },
            new("floor", ParameterType.Share, "0.1", "least share of its units that every group keeps") { Min = 0, Max = 1 },
            new("multiple", ParameterType.Integer, "16", "widths are rounded up to a multiple of this, a power of two; in an axis narrower than two multiples, of half of it") { Min = 1, Max = 1024 },
            new("norm", ParameterType.Choice, "l2", "norm of a unit") { Choices = ["l1", "l2"] },
            new("scope", ParameterType.Choice, "group", "all weights that leave together, or the filter alone") { Choices = ["group", "producer"] },
        ],
        Create = r => new ChannelPruning(r.Settings,
            new ChannelBudget(r.Arguments.Choice("budget") == "macs" ? BudgetUnit.Macs : BudgetUnit.Parameters, 1)
            {
                Spread = r.Arguments.Choice("spread") == "uniform" ? ChannelSpread.Uniform : ChannelSpread.Global,
                Floor = r.Arguments.Number("floor"),
                Rounding = new WidthRounding(r.Arguments.Int("multiple")),
            },
            new GroupImportance { Norm = r.Arguments.Choice("norm") == "l1" ? UnitNorm.L1 : UnitNorm.L2, Scope = r.Arguments.Choice("scope") == "producer" ? UnitScope.Producer : UnitScope.Group }),
    };

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

    /// <inheritdoc/>
    public override GraphResult Rewrite(ModelGraph graph, PruningContext? context = null)
    {
        StructuredResult result = Prune(graph, context?.InputTypes, context?.Cancellation ?? default);
        return new GraphResult(result.Graph,
            [.. result.Plan.Groups.Select(g => new GraphChange(g.Group.Name, g.Group.Kind == UnitKind.Head ? "heads" : "channels", g.Group.UnitCount, g.Kept,
                g.Refusal?.ToString() ?? (g.Rounding switch { > 0 => $"{g.Rounding} kept for a round width", < 0 => $"{-g.Rounding} more left for a round width", _ => null })))],
            [.. result.Refused.Select(r => r.ToString())], []);
    }

    private GroupNormPruner Pruner => new() { Importance = importance };

    private void RequireMatches(ModelGraph graph) => NameFilter.RequireMatches(Settings.Policy.Targets.Concat(Settings.Policy.Ignore), [.. graph.Weights.Keys]);
}

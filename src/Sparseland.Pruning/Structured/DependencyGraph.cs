using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Which channels and heads of a model can leave, and what leaves with each.</summary>
/// <remarks>
/// <para>Every operator states how its axes hang together (<see cref="AxisCoupling"/>); entries that are linked form
/// units, and units that run through the same axes form groups. The idea of grouping coupled layers is that of Fang et al.,
/// "DepGraph: Towards Any Structural Pruning" (CVPR 2023), section 3.2; here the dependencies come from the operators'
/// semantics and hold entry by entry, so that concatenations, splits, reshapes and grouped convolutions are exact.</para>
/// <para>What cannot leave is listed with a reason in <see cref="Frozen"/>: nothing is skipped in silence. Sizes of the
/// batch and of sequences may be unknown.</para>
/// </remarks>
public sealed class DependencyGraph
{
    private DependencyGraph(ModelGraph graph, ShapeInference types, AxisTable axes, AtomForest forest,
        IReadOnlyList<ChannelGroup> groups, IReadOnlyList<FrozenAxis> frozen, IReadOnlyDictionary<string, string> unknownOperators)
    {
        Graph = graph;
        Types = types;
        Axes = axes;
        Forest = forest;
        Groups = groups;
        Frozen = frozen;
        UnknownOperators = unknownOperators;
    }

    /// <summary>The model.</summary>
    public ModelGraph Graph { get; }

    /// <summary>The groups, in the order of the network.</summary>
    public IReadOnlyList<ChannelGroup> Groups { get; }

    /// <summary>The weights' axes that cannot be cut, with reasons. Axes of size 1 are left out.</summary>
    public IReadOnlyList<FrozenAxis> Frozen { get; }

    /// <summary>Operators that froze everything around them because they are not known or say nothing, each with the name of a node.</summary>
    public IReadOnlyDictionary<string, string> UnknownOperators { get; }

    internal ShapeInference Types { get; }

    internal AxisTable Axes { get; }

    internal AtomForest Forest { get; }

    /// <summary>The refusals that concern features (windows, positions and the inner factors of reshapes are not features).</summary>
    public IEnumerable<FrozenAxis> Refused => Frozen.Where(f => f.Refusal.Reason is not (RefusalReason.FixedAxis or RefusalReason.ReshapeFactor));

    /// <summary>The group of that name.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public ChannelGroup Group(string name) => Groups.FirstOrDefault(g => g.Name == name)
        ?? throw new KeyNotFoundException($"There is no group '{name}'; groups are: {string.Join(", ", Groups.Select(g => g.Name))}");

    /// <summary>The group that a weight's axis belongs to; the first one when several share the axis; null when it is frozen.</summary>
    public ChannelGroup? GroupOf(string weight, int axis) =>
        Groups.FirstOrDefault(g => g.Members.Any(m => m.Weight == weight && m.Axis == axis));

    /// <summary>Analyses a model.</summary>
    /// <param name="graph">The model; it is not changed, and must not be changed while the analysis is used.</param>
    /// <param name="cancellation">Stops between nodes.</param>
    /// <exception cref="GraphException">Types cannot be inferred.</exception>
    public static DependencyGraph Build(ModelGraph graph, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ShapeInference types = ShapeInference.Run(graph);
        var axes = new AxisTable(graph, types);
        var run = new CouplingRun(graph, types, axes);
        AtomForest forest = run.Run(cancellation);
        (List<ChannelGroup> groups, Dictionary<int, Refusal> lonely) = UnitGrouping.Build(graph, axes, forest, run.HeadSlots);
        return new DependencyGraph(graph, types, axes, forest, groups, FindFrozen(graph, axes, forest, lonely), run.UnknownOperators);
    }

    private static List<FrozenAxis> FindFrozen(ModelGraph graph, AxisTable axes, AtomForest forest, Dictionary<int, Refusal> lonely)
    {
        var found = new List<FrozenAxis>();
        foreach (AxisSlot slot in axes.Slots)
        {
            if (slot.Size <= 1 || !graph.Weights.TryGetValue(slot.Value, out Weight? weight) || !weight.ElementType.IsFloat()) continue;
            var byReason = new OrderedDictionary<Refusal, int>();
            for (int i = 0; i < slot.Size; i++)
            {
                int root = forest.Find(slot.Offset + i);
                Refusal? refusal = forest.FrozenBy(root) ?? lonely.GetValueOrDefault(root);
                if (refusal is not null) byReason[refusal] = byReason.GetValueOrDefault(refusal) + 1;
            }
            foreach ((Refusal refusal, int count) in byReason) found.Add(new FrozenAxis(slot.Value, slot.Axis, count, refusal));
        }
        return found;
    }
}

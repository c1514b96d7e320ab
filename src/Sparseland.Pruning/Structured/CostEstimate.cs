using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Structured;

/// <summary>What a model would cost with fewer units, from shapes alone: no weight is copied.</summary>
internal sealed class CostEstimate
{
    private readonly DependencyGraph _dependencies;
    private readonly Dictionary<string, TensorShape> _shapes = new(StringComparer.Ordinal);
    // Per group: the axes it runs through and the number of entries of each that belong to the group.
    private readonly (int Slot, int Entries)[][] _axes;

    public CostEstimate(DependencyGraph dependencies, IReadOnlyDictionary<string, TensorType>? inputTypes)
    {
        _dependencies = dependencies;
        ShapeInference? types = inputTypes is null ? null : ShapeInference.Run(dependencies.Graph, inputTypes);
        AxisTable axes = dependencies.Axes;
        var groupOf = new Dictionary<int, int>();
        foreach (ChannelGroup group in dependencies.Groups)
        {
            foreach (int root in group.Roots) groupOf[root] = group.Index;
        }
        var entries = new SortedDictionary<int, int>[dependencies.Groups.Count];
        for (int g = 0; g < entries.Length; g++) entries[g] = [];
        for (int s = 0; s < axes.Slots.Count; s++)
        {
            AxisSlot slot = axes.Slots[s];
            if (slot.Axis == 0) _shapes[slot.Value] = types?.TypeOf(slot.Value)?.Shape ?? axes.Shape(slot.Value)!;
            for (int i = 0; i < slot.Size; i++)
            {
                if (groupOf.TryGetValue(dependencies.Forest.Find(slot.Offset + i), out int g)) entries[g][s] = entries[g].GetValueOrDefault(s) + 1;
            }
        }
        _axes = [.. entries.Select(e => e.Select(p => (p.Key, p.Value)).ToArray())];
    }

    /// <summary>The cost when each group keeps so many units.</summary>
    public ModelCost Of(IEnumerable<(ChannelGroup Group, int Kept)> groups)
    {
        var shapes = new Dictionary<string, TensorShape>(_shapes, StringComparer.Ordinal);
        foreach ((ChannelGroup group, int kept) in groups)
        {
            int removed = group.UnitCount - kept;
            if (removed == 0) continue;
            foreach ((int index, int entries) in _axes[group.Index])
            {
                AxisSlot slot = _dependencies.Axes.Slots[index];
                TensorShape shape = shapes[slot.Value];
                int less = (int)((long)entries * removed / group.UnitCount);
                shapes[slot.Value] = shape.With(slot.Axis, shape[slot.Axis].Value - less);
            }
        }
        return ModelCost.Of(_dependencies.Graph, name => shapes.GetValueOrDefault(name));
    }
}

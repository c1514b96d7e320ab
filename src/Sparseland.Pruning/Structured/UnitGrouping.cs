using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Makes groups of the units that run through the same axes.</summary>
internal static class UnitGrouping
{
    /// <summary>Groups of at least two units; a unit that is alone would empty an axis and is refused.</summary>
    public static (List<ChannelGroup> Groups, Dictionary<int, Refusal> Lonely) Build(ModelGraph graph, AxisTable axes, AtomForest forest, HashSet<int> headSlots)
    {
        var signatures = new Dictionary<int, Signature>();
        for (int s = 0; s < axes.Slots.Count; s++)
        {
            AxisSlot slot = axes.Slots[s];
            for (int i = 0; i < slot.Size; i++)
            {
                int root = forest.Find(slot.Offset + i);
                if (forest.FrozenBy(root) is not null) continue;
                if (!signatures.TryGetValue(root, out Signature? signature)) signatures[root] = signature = new Signature(root);
                signature.Add(s);
            }
        }
        var groups = new OrderedDictionary<string, List<int>>(StringComparer.Ordinal);
        foreach (Signature signature in signatures.Values.OrderBy(s => s.Root))
        {
            if (!signature.Slots.Any(s => graph.Weights.TryGetValue(axes.Slots[s].Value, out Weight? w) && w.ElementType.IsFloat())) continue;
            string key = signature.Key;
            if (!groups.TryGetValue(key, out List<int>? units)) groups[key] = units = [];
            units.Add(signature.Root);
        }

        var result = new List<ChannelGroup>();
        var lonely = new Dictionary<int, Refusal>();
        var names = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (List<int> units in groups.Values)
        {
            List<int> slots = signatures[units[0]].Slots;
            if (units.Count == 1)
            {
                lonely[units[0]] = Alone(graph, axes, forest, units[0], slots, headSlots);
                continue;
            }
            var members = new List<GroupMember>();
            foreach (int s in slots)
            {
                AxisSlot slot = axes.Slots[s];
                if (graph.Weights.ContainsKey(slot.Value)) members.Add(Member(slot, forest, units));
            }
            string name = members[0].Weight;
            int count = names[name] = names.GetValueOrDefault(name) + 1;
            if (count > 1) name += "#" + count;
            UnitKind kind = slots.Any(headSlots.Contains) ? UnitKind.Head : UnitKind.Channel;
            result.Add(new ChannelGroup(result.Count, name, kind, [.. units], members));
        }
        return (result, lonely);
    }

    private static GroupMember Member(AxisSlot slot, AtomForest forest, List<int> units)
    {
        var unitOf = new Dictionary<int, int>(units.Count);
        for (int u = 0; u < units.Count; u++) unitOf[units[u]] = u;
        var starts = new int[units.Count + 1];
        for (int i = 0; i < slot.Size; i++)
        {
            if (unitOf.TryGetValue(forest.Find(slot.Offset + i), out int unit)) starts[unit + 1]++;
        }
        for (int u = 0; u < units.Count; u++) starts[u + 1] += starts[u];
        var entries = new int[starts[^1]];
        int[] next = (int[])starts.Clone();
        for (int i = 0; i < slot.Size; i++)
        {
            if (unitOf.TryGetValue(forest.Find(slot.Offset + i), out int unit)) entries[next[unit]++] = i;
        }
        return new GroupMember(slot.Value, slot.Axis, starts, entries);
    }

    private static Refusal Alone(ModelGraph graph, AxisTable axes, AtomForest forest, int root, List<int> slots, HashSet<int> headSlots)
    {
        AxisSlot[] emptied = [.. slots.Select(s => axes.Slots[s]).Where(s => Enumerable.Range(0, s.Size).All(i => forest.Find(s.Offset + i) == root))];
        if (emptied.Length == 0) return new(RefusalReason.FloorReached, "it is the only one of its kind", null);
        if (slots.Any(headSlots.Contains)) return new(RefusalReason.HeadArithmetic, "all of it belongs to a single head", null);
        var readers = graph.Consumers();
        string? shared = emptied.FirstOrDefault(s => graph.Weights.ContainsKey(s.Value) && readers[s.Value].Count > 1).Value;
        return shared is not null
            ? new(RefusalReason.SharedWeight, $"the uses of weight '{shared}' tie all of it together", null)
            : new(RefusalReason.GroupDivisibility, "all of it must leave together", null);
    }

    private sealed class Signature(int root)
    {
        public int Root { get; } = root;

        public List<int> Slots { get; } = [];

        public string Key => string.Join(',', Slots);

        public void Add(int slot)
        {
            if (Slots.Count == 0 || Slots[^1] != slot) Slots.Add(slot);
        }
    }
}

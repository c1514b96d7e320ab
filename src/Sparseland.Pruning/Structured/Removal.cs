using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Which units of which groups are to leave.</summary>
public sealed class Removal
{
    private readonly SortedDictionary<int, bool[]> _removed = [];

    /// <summary>Nothing yet.</summary>
    public Removal(DependencyGraph dependencies)
    {
        ArgumentNullException.ThrowIfNull(dependencies);
        Dependencies = dependencies;
    }

    /// <summary>The analysis that the groups belong to.</summary>
    public DependencyGraph Dependencies { get; }

    /// <summary>Number of units that leave, over all groups.</summary>
    public int Count => _removed.Values.Sum(flags => flags.Count(f => f));

    /// <summary>Adds units of a group.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A unit does not exist.</exception>
    public Removal Add(ChannelGroup group, params IEnumerable<int> units)
    {
        if (!Dependencies.Groups.Contains(group)) throw new ArgumentException($"Group '{group.Name}' belongs to another analysis.", nameof(group));
        if (!_removed.TryGetValue(group.Index, out bool[]? flags)) _removed[group.Index] = flags = new bool[group.UnitCount];
        foreach (int unit in units)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)unit, (uint)group.UnitCount, nameof(units));
            flags[unit] = true;
        }
        return this;
    }

    /// <summary>Whether a unit leaves.</summary>
    public bool Contains(ChannelGroup group, int unit) => _removed.TryGetValue(group.Index, out bool[]? flags) && flags[unit];

    /// <summary>Number of units of a group that stay.</summary>
    public int KeptCount(ChannelGroup group) => group.UnitCount - (_removed.TryGetValue(group.Index, out bool[]? flags) ? flags.Count(f => f) : 0);

    /// <summary>The kept entries of every axis that loses some.</summary>
    /// <exception cref="GraphException">SL2108: a group would be left empty.</exception>
    internal KeptEntries Resolve()
    {
        AxisTable axes = Dependencies.Axes;
        AtomForest forest = Dependencies.Forest;
        var roots = new HashSet<int>();
        foreach ((int index, bool[] flags) in _removed)
        {
            ChannelGroup group = Dependencies.Groups[index];
            if (Array.TrueForAll(flags, f => f))
            {
                throw new GraphException(RefusalReason.FloorReached.Code(), $"cannot remove all {group.UnitCount} units of '{group.Name}'")
                {
                    Where = $"group '{group.Name}'",
                    Because = "the layer would be empty",
                    Try = RefusalReason.FloorReached.Advice(),
                };
            }
            for (int unit = 0; unit < flags.Length; unit++)
            {
                if (flags[unit]) roots.Add(group.Roots[unit]);
            }
        }
        var kept = new Dictionary<(string, int), int[]>();
        if (roots.Count > 0)
        {
            foreach (AxisSlot slot in axes.Slots)
            {
                if (slot.Size < 0) continue;
                int[] stay = [.. Enumerable.Range(0, slot.Size).Where(i => !roots.Contains(forest.Find(slot.Offset + i)))];
                if (stay.Length < slot.Size) kept[(slot.Value, slot.Axis)] = stay;
            }
        }
        return new KeptEntries(axes, kept);
    }
}

/// <summary>The kept entries of axes that lose some.</summary>
internal sealed class KeptEntries(AxisTable axes, Dictionary<(string Value, int Axis), int[]> kept)
{
    /// <summary>Kept positions, ascending; null when all stay.</summary>
    public int[]? Of(string value, int axis) => kept.GetValueOrDefault((value, axis));

    /// <summary>The shape of a value once the entries have left; null when its rank is unknown.</summary>
    public TensorShape? NewShape(string value)
    {
        if (axes.Shape(value) is not { } shape) return null;
        for (int axis = 0; axis < shape.Rank; axis++)
        {
            if (Of(value, axis) is { } stay) shape = shape.With(axis, stay.Length);
        }
        return shape;
    }

    /// <summary>The kept positions of every axis of a value, null where all stay; null when nothing leaves from the value.</summary>
    public int[]?[]? OfValue(string value)
    {
        if (axes.Shape(value) is not { } shape) return null;
        int[]?[]? result = null;
        for (int axis = 0; axis < shape.Rank; axis++)
        {
            if (Of(value, axis) is { } stay) (result ??= new int[]?[shape.Rank])[axis] = stay;
        }
        return result;
    }
}

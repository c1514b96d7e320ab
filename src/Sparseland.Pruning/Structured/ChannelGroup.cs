namespace Sparseland.Pruning.Structured;

/// <summary>What the units of a group are.</summary>
public enum UnitKind
{
    /// <summary>Feature channels (filters, neurons).</summary>
    Channel,

    /// <summary>Attention heads, with their query group.</summary>
    Head,
}

/// <summary>One axis of one weight that a group runs through.</summary>
public sealed class GroupMember
{
    private readonly int[] _starts;
    private readonly int[] _entries;

    internal GroupMember(string weight, int axis, int[] starts, int[] entries)
    {
        Weight = weight;
        Axis = axis;
        _starts = starts;
        _entries = entries;
    }

    /// <summary>Name of the weight.</summary>
    public string Weight { get; }

    /// <summary>The axis, 0 outermost.</summary>
    public int Axis { get; }

    /// <summary>The positions on the axis that belong to a unit, ascending.</summary>
    public ReadOnlySpan<int> Entries(int unit) => _entries.AsSpan(_starts[unit]..(_starts[unit + 1]));

    /// <inheritdoc/>
    public override string ToString() => $"{Weight} axis {Axis}";
}

/// <summary>Units that touch the same axes of the same values: interchangeable channels (or heads), each of which can leave on its own.</summary>
/// <remarks>A unit is the smallest set of entries, over all weights, that can be removed without changing what the rest computes.</remarks>
public sealed class ChannelGroup
{
    internal ChannelGroup(int index, string name, UnitKind kind, int[] roots, IReadOnlyList<GroupMember> members)
    {
        Index = index;
        Name = name;
        Kind = kind;
        Roots = roots;
        Members = members;
    }

    /// <summary>Position among the groups of the graph, which are in the order of the network.</summary>
    public int Index { get; }

    /// <summary>The weight that makes the features; with a suffix where several groups share it.</summary>
    public string Name { get; }

    /// <summary>What the units are.</summary>
    public UnitKind Kind { get; }

    /// <summary>Number of units.</summary>
    public int UnitCount => Roots.Length;

    /// <summary>Entries of the first member's axis in one unit (the head size for heads, 1 for plain channels).</summary>
    public int UnitWidth => Members[0].Entries(0).Length;

    /// <summary>The weights' axes that lose entries when a unit leaves, the producer first.</summary>
    public IReadOnlyList<GroupMember> Members { get; }

    /// <summary>The representative entry of each unit.</summary>
    internal int[] Roots { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Name}: {UnitCount} {(Kind == UnitKind.Head ? "heads" : "channels")}";
}

/// <summary>A weight's axis, or a part of it, from which nothing can be removed.</summary>
/// <param name="Weight">Name of the weight.</param>
/// <param name="Axis">The axis, 0 outermost.</param>
/// <param name="Entries">How many of its entries cannot leave.</param>
/// <param name="Refusal">Why.</param>
public sealed record FrozenAxis(string Weight, int Axis, int Entries, Refusal Refusal)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Weight} axis {Axis} ({Entries} entries): {Refusal}";
}

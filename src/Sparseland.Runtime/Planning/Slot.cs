using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Planning;

/// <summary>Where a value lives while a plan runs.</summary>
internal enum SlotKind
{
    /// <summary>A weight: its tensor is in the plan.</summary>
    Constant,

    /// <summary>A single-precision value of known shape in the arena.</summary>
    Arena,

    /// <summary>A tensor that is given by the caller or made by a step while the plan runs.</summary>
    Tensor,
}

/// <summary>One value of a plan.</summary>
internal sealed class Slot(int id, string name, SlotKind kind)
{
    public int Id { get; } = id;

    public string Name { get; } = name;

    public SlotKind Kind { get; } = kind;

    /// <summary>The shape, when it is known before the plan runs.</summary>
    public int[]? Shape { get; init; }

    /// <summary>The tensor of a constant.</summary>
    public TensorData? Constant { get; init; }

    /// <summary>The slot whose memory this one shares (a reshaped view), or null.</summary>
    public Slot? AliasOf { get; init; }

    /// <summary>Elements of an arena slot.</summary>
    public int Length { get; init; }

    /// <summary>First element in the arena, set by the memory plan.</summary>
    public int Offset { get; set; }

    /// <summary>The slot that owns the memory.</summary>
    public Slot Owner => AliasOf?.Owner ?? this;
}

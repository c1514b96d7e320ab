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

    /// <summary>Floats of an arena slot, gaps between planes included. Of an image in halves those of one, until memory is placed; then from the beginning of the upper half to the end of the lower.</summary>
    public int Length { get; set; }

    /// <summary>Floats from one plane of an image to the next; 0 where they have no gaps. Set by <see cref="SpacedPlanes"/>.</summary>
    public int PlaneDistance { get; set; }

    /// <summary>Whether the image's upper and lower pixels lie in memory of their own (<see cref="Kernels.Dense.PlaneHalves"/>). Set by <see cref="SpacedPlanes"/>.</summary>
    public bool InHalves { get; set; }

    /// <summary>Floats from the beginning of the upper half to that of the lower one, set by the memory plan; 0 where there are no halves.</summary>
    public int HalvesApart { get; set; }

    /// <summary>First element in the arena, set by the memory plan.</summary>
    public int Offset { get; set; }

    /// <summary>Number among the values that steps write straight into memory that a run hands to its caller; negative for all others.</summary>
    public int Handed { get; set; } = -1;

    /// <summary>The slot that owns the memory.</summary>
    public Slot Owner => AliasOf?.Owner ?? this;
}

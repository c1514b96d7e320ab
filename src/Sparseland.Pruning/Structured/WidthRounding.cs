using System.Numerics;

namespace Sparseland.Pruning.Structured;

/// <summary>Rounds the widths that remain up to multiples that vector units like (R36).</summary>
/// <param name="Multiple">The multiple, a power of two; 1 leaves widths as they are.</param>
/// <remarks>
/// A narrow layer would have no choice left between nothing and everything, so the multiple shrinks with it: never more
/// than a quarter of the layer's width. What rounding costs is shown with the plan (<see cref="ChannelPlan.RoundingCost"/>).
/// </remarks>
public sealed record WidthRounding(int Multiple = 8)
{
    /// <summary>No rounding.</summary>
    public static WidthRounding None { get; } = new(1);

    /// <summary>The multiple that is used for a group.</summary>
    public int MultipleFor(ChannelGroup group)
    {
        ArgumentNullException.ThrowIfNull(group);
        if (!BitOperations.IsPow2(Multiple)) throw new ArgumentException($"The multiple must be a power of two, not {Multiple}.");
        int quarter = Math.Max(1, group.UnitCount * group.UnitWidth / 4);
        return Math.Min(Multiple, (int)BitOperations.RoundUpToPowerOf2((uint)quarter + 1) / 2);
    }

    /// <summary>The number of units to keep: at least <paramref name="keptUnits"/>, with a friendly width where one exists.</summary>
    public int Round(ChannelGroup group, int keptUnits)
    {
        ArgumentNullException.ThrowIfNull(group);
        int multiple = MultipleFor(group);
        int kept = keptUnits;
        while (kept < group.UnitCount && kept * group.UnitWidth % multiple != 0) kept++;
        return kept;
    }
}

using System.Numerics;

namespace Sparseland.Pruning.Structured;

/// <summary>Rounds the widths that remain up to multiples that vector units and blocked layouts like (R36).</summary>
/// <param name="Multiple">The multiple, a power of two; 1 leaves widths as they are.</param>
/// <remarks>
/// What counts is the width of an axis, not of a group: a residual trunk that grows by padding holds the channels of several groups, and
/// 8 + 12 of them are no friendly width. A narrow axis would have no choice left between nothing and everything, so the multiple shrinks
/// with it: never more than half of the axis. What rounding costs is shown with the plan (<see cref="ChannelPlan.RoundingCost"/>).
/// Sixteen is the width of a 512-bit register and the block of ONNX Runtime's convolutions on machines that have them: there, 24 channels cost as much as 32.
/// </remarks>
public sealed record WidthRounding(int Multiple = WidthRounding.Default)
{
    /// <summary>The multiple where nothing is said.</summary>
    public const int Default = 16;

    /// <summary>No rounding.</summary>
    public static WidthRounding None { get; } = new(1);

    /// <summary>The multiple for an axis of so many entries before the cut: a power of two.</summary>
    /// <exception cref="ArgumentException"><see cref="Multiple"/> is no power of two.</exception>
    public int MultipleFor(int width)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        if (!BitOperations.IsPow2(Multiple)) throw new ArgumentException($"The multiple must be a power of two, not {Multiple}.");
        return Math.Min(Multiple, 1 << BitOperations.Log2((uint)Math.Max(1, width / 2)));
    }
}

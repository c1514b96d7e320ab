using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Where the value and the column of a place lie in its step.</summary>
/// <remarks>
/// Four registers of four bytes a place: byte 4 l + s of the columns belongs to place s of lane l. In floating point two rounds of unpacking bring the bytes of inputs together; they leave lane 4 q + i, place s at
/// element 4 q + s of register i. bfloat16 has registers 0 and 1 in the lower and upper halves of one, 2 and 3 in another. 4-bit values lie beside their differences: 16 bits of these and 16 of those for a lane.
/// </remarks>
internal static unsafe class WindowPlace
{
    public static void WriteValue(byte* steps, WindowLayout layout, int place, int lane, int value)
    {
        byte* step = Step(steps, layout, place);
        int slot = place % WindowLayout.Slots;
        switch (layout.Shape.Kind)
        {
            case ValueKind.Float32:
                ((int*)step)[Single(lane, slot)] = value == WindowLayout.Missing ? 0 : value;
                break;
            case ValueKind.BFloat16:
                ((ushort*)step)[Half(lane, slot)] = (ushort)(value == WindowLayout.Missing ? 0 : value >>> 16);
                break;
            case ValueKind.Int8:
                ((sbyte*)step)[(WindowLayout.Slots * lane) + slot] = (sbyte)value;
                break;
            default:
                ((ushort*)step)[(2 * lane) + 1] |= (ushort)((value & 15) << (4 * slot));
                break;
        }
    }

    public static int Value(byte* step, ValueKind kind, int lane, int slot) => kind switch
    {
        ValueKind.Float32 => ((int*)step)[Single(lane, slot)],
        ValueKind.BFloat16 => ((ushort*)step)[Half(lane, slot)] << 16,
        ValueKind.Int8 => ((sbyte*)step)[(WindowLayout.Slots * lane) + slot],
        _ => ((ushort*)step)[(2 * lane) + 1] << (28 - (4 * slot)) >> 28,
    };

    public static void WritePlain(byte* steps, WindowLayout layout, int place, int lane, int column) =>
        Step(steps, layout, place)[layout.Shape.ValueBytes + (WindowLayout.Slots * lane) + (place % WindowLayout.Slots)] = (byte)column;

    public static int Plain(byte* step, int valueBytes, int lane, int slot) => step[valueBytes + (WindowLayout.Slots * lane) + slot];

    public static void WriteDelta(byte* steps, WindowLayout layout, int place, int lane, int delta) =>
        *Deltas(Step(steps, layout, place), layout.Shape.Kind, layout.Shape.ValueBytes, lane) |= (ushort)(delta << (4 * (place % WindowLayout.Slots)));

    public static int Delta(byte* step, ValueKind kind, int valueBytes, int lane, int slot) => (*Deltas(step, kind, valueBytes, lane) >> (4 * slot)) & 15;

    private static ushort* Deltas(byte* step, ValueKind kind, int valueBytes, int lane) => kind == ValueKind.Int4 ? (ushort*)step + (2 * lane) : (ushort*)(step + valueBytes) + lane;

    private static byte* Step(byte* steps, WindowLayout layout, int place) => steps + ((nint)(place / WindowLayout.Slots) * layout.StepBytes);

    private static int Single(int lane, int slot) => (WindowLayout.Lanes * (lane % 4)) + (lane / 4 * 4) + slot;

    private static int Half(int lane, int slot) => (2 * WindowLayout.Lanes * (lane % 4 / 2)) + (2 * ((lane / 4 * 4) + slot)) + (lane % 2);
}

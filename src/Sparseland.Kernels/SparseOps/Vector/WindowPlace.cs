using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Where the value and the column of a place lie in its step.</summary>
/// <remarks>
/// Four registers of four bytes a place: byte 4 l + s of the columns belongs to place s of lane l. In floating point two rounds of unpacking bring the bytes of inputs together; they leave lane 4 q + i, place s at
/// element 4 q + s of register i. bfloat16 has registers 0 and 1 in the lower and upper halves of one, 2 and 3 in another. 4-bit values lie beside their differences: 16 bits of these and 16 of those for a lane.
/// In the narrow form places lie lane by lane; 4-bit values of the first four lanes in the lower halves of 16 bytes, of the others in the upper ones.
/// </remarks>
internal static unsafe class WindowPlace
{
    public static void WriteValue(byte* steps, WindowLayout layout, int place, int lane, int value)
    {
        byte* step = Step(steps, layout, place);
        int slot = place % WindowLayout.Slots;
        WindowForm form = layout.Shape.Form;
        switch (layout.Shape.Kind)
        {
            case ValueKind.Float32:
                ((int*)step)[Single(form, lane, slot)] = value == WindowLayout.Missing ? 0 : value;
                break;
            case ValueKind.BFloat16:
                ((ushort*)step)[Half(form, lane, slot)] = (ushort)(value == WindowLayout.Missing ? 0 : value >>> 16);
                break;
            case ValueKind.Int8:
                ((sbyte*)step)[(WindowLayout.Slots * lane) + slot] = (sbyte)value;
                break;
            case ValueKind.Int4 when form == WindowForm.Narrow:
                step[Narrow(lane, slot) % NarrowHalf] |= (byte)((value & 15) << (Narrow(lane, slot) / NarrowHalf * 4));
                break;
            default:
                ((ushort*)step)[(2 * lane) + 1] |= (ushort)((value & 15) << (4 * slot));
                break;
        }
    }

    public static int Value(byte* step, WindowLayout.WindowShape shape, int lane, int slot) => shape.Kind switch
    {
        ValueKind.Float32 => ((int*)step)[Single(shape.Form, lane, slot)],
        ValueKind.BFloat16 => ((ushort*)step)[Half(shape.Form, lane, slot)] << 16,
        ValueKind.Int4 when shape.Form == WindowForm.Narrow => step[Narrow(lane, slot) % NarrowHalf] << (28 - (Narrow(lane, slot) / NarrowHalf * 4)) >> 28,
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

    // Places of the narrow form whose 4-bit values share 16 bytes with as many others.
    private const int NarrowHalf = 16;

    private static int Narrow(int lane, int slot) => (WindowLayout.Slots * lane) + slot;

    private static int Single(WindowForm form, int lane, int slot) => form == WindowForm.Narrow ? Narrow(lane, slot) : (WindowLayout.Lanes * (lane % 4)) + (lane / 4 * 4) + slot;

    private static int Half(WindowForm form, int lane, int slot) => form == WindowForm.Narrow ? Narrow(lane, slot) : (2 * WindowLayout.Lanes * (lane % 4 / 2)) + (2 * ((lane / 4 * 4) + slot)) + (lane % 2);
}

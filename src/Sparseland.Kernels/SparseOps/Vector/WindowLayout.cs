using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>The bytes of a <see cref="PreparedSpMV"/>: what a product reads, in the order in which it reads it.</summary>
/// <remarks>
/// Rows are cut into parts, columns into windows. In each window the rows of a part are sorted by how many places they take there, and 16 at a time are a group (fewer in <see cref="WindowForm.Narrow"/>): lane l of a group is the
/// row that byte l of its head names.
/// A step holds the next four places of every lane, lane by lane: 4 values of the kind and 4 columns, a byte each or, as <see cref="Deltas"/>, 4 bits each: how far the column lies behind the one before it in this window (the
/// first behind the window's beginning); a gap of more than 15 takes places without an entry.
/// </remarks>
internal sealed unsafe class WindowLayout
{
    /// <summary>Rows of a group in the wide form.</summary>
    public const int Lanes = 16;

    /// <summary>Places of a lane in a step.</summary>
    public const int Slots = 4;

    /// <summary>Places of a step in the wide form.</summary>
    public const int Places = Lanes * Slots;

    /// <summary>Rows of a part at most: a byte names one of them.</summary>
    public const int MostPartRows = 256;

    /// <summary>Rows of a part in the narrow form of floating point, and of integers where units of 256 bits are halves; parts take turns there.</summary>
    public const int NarrowPartRows = 64;

    /// <summary>Columns of a window of integers in the narrow form: what four lookups of 16 bytes reach.</summary>
    public const int NarrowIntegerWindow = 64;

    private const int LeastPartRows = 64, PartsWanted = 16, LargestDelta = 15;

    /// <summary>The bits of a place without an entry in floating point: minus zero, which no entry has (their zeros become positive).</summary>
    public const int Missing = int.MinValue;

    // Differences cost a third more instructions than bytes: they have to save a tenth of what is read. Steps of singles with bytes (320 bytes each) came from memory a quarter slower than those with differences, however far ahead
    // they were asked for (4096 x 4096 at 10 and 30 % density, Zen 4): there differences may be more.
    private const double DeltasUpTo = 0.9, SingleDeltasUpTo = 1.2;

    private readonly byte[] _steps, _heads;

    /// <summary>Lays out a matrix.</summary>
    public WindowLayout(WindowSource source, WindowForm form)
    {
        Shape = new WindowShape(source, form);
        WindowCounts counts = Count(source, form, out long[] steps, out int[] groups);
        Deltas = counts.Deltas;
        StepBytes = Shape.StepBytes(Deltas);
        int parts = Shape.Parts, windows = Shape.Windows;
        (StepStarts, GroupStarts) = (new long[parts + 1], new int[parts + 1]);
        for (int p = 0; p < parts; p++)
        {
            StepStarts[p + 1] = StepStarts[p] + steps[(2 * p) + (Deltas ? 1 : 0)];
            GroupStarts[p + 1] = checked(GroupStarts[p] + groups[p]);
        }
        GroupsOfWindows = new byte[checked(parts * windows)];
        StepsOfGroups = new byte[GroupStarts[parts]];
        _steps = GC.AllocateUninitializedArray<byte>(checked((int)((StepStarts[parts] * StepBytes) + CompactMatrix.Slack)), pinned: true);
        _heads = GC.AllocateUninitializedArray<byte>(checked((GroupStarts[parts] * Shape.HeadBytes) + CompactMatrix.Slack), pinned: true);
        // Before they are written, so that nothing has to be moved.
        LargePages.Ask<byte>(_steps);
        LargePages.Ask<byte>(_heads);
        WorkPool.For(parts, part => new WindowWalk(source, Shape, part).Write(this, part));
    }

    /// <summary>Sizes.</summary>
    public WindowShape Shape { get; }

    /// <summary>Whether columns are differences of 4 bits, else bytes.</summary>
    public bool Deltas { get; }

    /// <summary>Bytes of a step.</summary>
    public int StepBytes { get; }

    /// <summary>[parts + 1]: the steps before each part.</summary>
    public long[] StepStarts { get; }

    /// <summary>[parts + 1]: the groups before each part.</summary>
    public int[] GroupStarts { get; }

    /// <summary>[parts, windows]: groups of a part in a window.</summary>
    public byte[] GroupsOfWindows { get; }

    /// <summary>Steps of each group.</summary>
    public byte[] StepsOfGroups { get; }

    /// <summary>The steps; they do not move.</summary>
    public byte* Steps => Aligned(_steps);

    /// <summary>The heads of the groups; they do not move.</summary>
    public byte* Heads => Aligned(_heads);

    /// <summary>Bytes that a product reads.</summary>
    public long Bytes => (StepStarts[^1] * StepBytes) + ((long)GroupStarts[^1] * (Shape.HeadBytes + 1)) + GroupsOfWindows.Length;

    /// <summary>What the steps of a matrix would be, without laying it out.</summary>
    public static WindowCounts Count(WindowSource source, WindowForm form) => Count(source, form, out _, out _);

    /// <summary>Places that a gap between two columns takes.</summary>
    public static int PlacesOfGap(int gap) => gap <= LargestDelta ? 1 : (gap + LargestDelta - 1) / LargestDelta;

    private static WindowCounts Count(WindowSource source, WindowForm form, out long[] steps, out int[] groups)
    {
        var shape = new WindowShape(source, form);
        var found = new long[2 * shape.Parts];
        var ofParts = new int[shape.Parts];
        WorkPool.For(shape.Parts, part => (found[2 * part], found[(2 * part) + 1], ofParts[part]) = new WindowWalk(source, shape, part).Count());
        (steps, groups) = (found, ofParts);
        long plain = 0, deltas = 0, heads = 0;
        for (int p = 0; p < shape.Parts; p++)
        {
            plain += found[2 * p];
            deltas += found[(2 * p) + 1];
            heads += ofParts[p] * (long)shape.HeadBytes;
        }
        // 4-bit values have one form in wide windows, of half a byte each; narrow ones have no differences.
        bool takes = form == WindowForm.Wide && (source.Kind == ValueKind.Int4 || deltas * shape.StepBytes(true) <= (source.Kind == ValueKind.Float32 ? SingleDeltasUpTo : DeltasUpTo) * plain * shape.StepBytes(false));
        return new WindowCounts(takes, ((takes ? deltas : plain) * shape.StepBytes(takes)) + heads);
    }

    private static byte* Aligned(byte[] pinned)
    {
        nint address = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned));
        return (byte*)((address + 63) & ~63);
    }

    /// <summary>Sizes of parts, windows, steps and heads.</summary>
    public sealed class WindowShape
    {
        public WindowShape(WindowSource source, WindowForm form)
        {
            (Rows, Columns, Kind, Form) = (source.Rows, source.Columns, source.Kind, form);
            PartRows = form == WindowForm.Narrow && (!Kind.IsQuantized() || VectorUnits.AreHalf256) ? NarrowPartRows : Math.Clamp(((Rows / PartsWanted) + WindowLayout.Lanes - 1) / WindowLayout.Lanes * WindowLayout.Lanes, LeastPartRows, MostPartRows);
            Parts = (Rows + PartRows - 1) / PartRows;
            Windows = (Columns + Window - 1) / Window;
        }

        public WindowForm Form { get; }

        /// <summary>Rows of a group: of narrow integers a sum of 32 bits each in one register, of narrow floating point a register of four sums each.</summary>
        public int Lanes => Form == WindowForm.Wide ? WindowLayout.Lanes : Kind.IsQuantized() ? 8 : 4;

        /// <summary>Places of a step.</summary>
        public int Places => Lanes * Slots;

        public int Rows { get; }

        public int Columns { get; }

        public ValueKind Kind { get; }

        /// <summary>Rows of a part; the last may have fewer. The more of them are sorted together, the more groups that follow one another have as many steps, and the fewer of their places are empty.</summary>
        public int PartRows { get; }

        public int Parts { get; }

        /// <summary>
        /// Columns of a window: what four registers of bytes hold, or in floating point two registers for each byte of a number. In the narrow form what four lookups of 16 bytes reach, or in floating point what a byte can name.
        /// </summary>
        public int Window => Form == WindowForm.Wide ? (Kind.IsQuantized() ? QuantizedInput.Block : 128) : Kind.IsQuantized() ? NarrowIntegerWindow : 256;

        public int Windows { get; }

        /// <summary>The rows; of integers in the wide form also minus the sum of their values in this window, 16 bits each; of 4-bit ones also their scales.</summary>
        public int HeadBytes => Lanes * (Form == WindowForm.Narrow ? 1 : Kind switch
        {
            ValueKind.Int8 => 3,
            ValueKind.Int4 => 5,
            _ => 1,
        });

        /// <summary>Bytes of the values of a step.</summary>
        public int ValueBytes => Places * Kind.Bits() / 8;

        public int StepBytes(bool deltas) => ValueBytes + (deltas ? Places / 2 : Places);
    }
}

/// <summary>What a matrix takes in windows.</summary>
/// <param name="Deltas">Whether columns are differences of 4 bits.</param>
/// <param name="Bytes">Bytes of steps and heads.</param>
internal readonly record struct WindowCounts(bool Deltas, long Bytes);

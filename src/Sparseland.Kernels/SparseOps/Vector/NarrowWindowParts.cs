using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>A product with a <see cref="WindowLayout"/> of the narrow form, part by part.</summary>
/// <remarks>
/// <para>Floating point: the four places of a row are one register of four sums, which are kept from window to window, and their inputs are loaded one by one; two loads a cycle are what bounds it (Zen 1, from the second cache: 0.9 to 1 cycle a place in place of 0.69).</para>
/// <para>Integers: 32 inputs of a window of 64 come by four shuffles of 16 bytes. A column less 16 k is negative, and so finds zero, unless the column lies behind the first 16 k; tables hold what differs from the 16 inputs
/// before, so that exclusive or of all four is the input. Sums are exact, so integers have the bits of the wide form.</para>
/// </remarks>
internal unsafe struct NarrowWindowParts : IParts
{
    // Bytes ahead that integers are asked for. Whole units: 1 KiB and one part at a time took 0.87 to 0.98 of the time of 2 KiB and four (8-bit values at 30 and 10 % density; half a KiB or less took as long or longer).
    private static readonly int s_integersAhead = VectorUnits.AreHalf256 ? 2048 : 1024;

    // Floating point reads more bytes for what it computes: beside 1 KiB, 3 to 6 KiB took 0.80 to 0.93 of the time at 10 to 40 % density, 8 KiB and more no less (in C, in turn).
    private static readonly int s_floatsAhead = VectorUnits.AreHalf256 ? 2048 : 4096;

    // Heads and counts come too slowly for the hardware to see where they go: asked for as well, 0.94 to 0.97.
    private const int HeadsAhead = 512, CountsAhead = 128;

    private const int IntegerLanes = 8, FloatLanes = 4, MostParts = 4;

    public WindowLayout Layout;

    /// <summary>Floating point: the inputs, zeros up to a whole window.</summary>
    public float* Singles;

    /// <summary>Integers: the inputs, zeros up to a multiple of 256.</summary>
    public sbyte* Bytes;

    /// <summary>Of integers, one for 256 columns.</summary>
    public float* InputScales;

    /// <summary>A factor per row, or null.</summary>
    public float* RowScales;

    /// <summary>Of 4-bit values: [256 columns, rows], what integers of a row are multiplied by, half precision; else null.</summary>
    public ushort* GroupScales;
    public float* Y, Bias;
    public Clamp Clamp;

    /// <summary>Whether every input is finite: where one is not, places without an entry stay out.</summary>
    public bool IsFinite;

    /// <summary>Whether the forms in registers are used.</summary>
    public bool IsWide;

    /// <summary>Parts that take turns, window by window: as one stream memory came at 8 GB/s beside these instructions, as four at 10 (Zen 1, one thread, singles); with whole units of 256 bits one at a time is as fast.</summary>
    public int PartsAtOnce;

    /// <summary>How many parts take turns: as many as leave work for several threads, and one where units of 256 bits are whole.</summary>
    public static int Together(int parts) => VectorUnits.AreHalf256 ? Math.Clamp(parts / 8, 1, MostParts) : 1;

    // Where a part is, and its sums: of floating point four for each of 64 rows, of integers one for each of up to 256, and until the columns of a scale end in 32 bits.
    private struct Cursor
    {
        public byte* Steps, Heads, Counts, Groups;
        public float* Y;
        public int* Sums;
        public int Row, Rows;
    }

    /// <summary>Runs the parts from <paramref name="turn"/> times <see cref="PartsAtOnce"/> on.</summary>
    public readonly void Run(int turn)
    {
        WindowLayout.WindowShape shape = Layout.Shape;
        // As many sums of a part either way: four of floating point for each of 64 rows, or one of integers for each of up to 256.
        float* y = stackalloc float[2 * PartsAtOnce * WindowLayout.MostPartRows];
        new Span<float>(y, 2 * PartsAtOnce * WindowLayout.MostPartRows).Clear();
        Cursor* cursors = stackalloc Cursor[MostParts];
        int first = turn * PartsAtOnce, count = Math.Min(PartsAtOnce, shape.Parts - first);
        // Both may be empty: a matrix without columns has no windows.
        fixed (byte* groups = Layout.GroupsOfWindows, counts = Layout.StepsOfGroups)
        {
            for (int i = 0; i < count; i++)
            {
                int part = first + i, row = part * shape.PartRows;
                cursors[i] = new Cursor
                {
                    Steps = Layout.Steps + (Layout.StepStarts[part] * Layout.StepBytes),
                    Heads = Layout.Heads + ((nint)Layout.GroupStarts[part] * shape.HeadBytes),
                    Counts = counts + Layout.GroupStarts[part],
                    Groups = groups + (part * shape.Windows),
                    Y = y + (i * WindowLayout.MostPartRows),
                    Sums = (int*)(y + ((PartsAtOnce + i) * WindowLayout.MostPartRows)),
                    Row = row,
                    Rows = Math.Min(shape.PartRows, shape.Rows - row),
                };
            }
            for (int w = 0; w < shape.Windows; w++)
            {
                for (int i = 0; i < count; i++)
                {
                    if (shape.Kind.IsQuantized()) Integers(ref cursors[i], w);
                    else if (!IsWide) Portable(ref cursors[i], w);
                    else if (shape.Kind == ValueKind.Float32) Floats<float>(ref cursors[i], w, 8 | (8 << 8), 16 | (8 << 8), 24 | (8 << 8));
                    else Floats<ushort>(ref cursors[i], w, 8 | (8 << 8), 16 | (8 << 8), 24 | (8 << 8));
                }
            }
        }
        for (int i = 0; i < count; i++) Finish(cursors[i]);
    }

    private readonly void Finish(in Cursor part)
    {
        for (int r = 0; r < part.Rows; r++)
        {
            int row = part.Row + r;
            float v = Layout.Shape.Kind.IsQuantized() ? part.Y[r] : Fold(part.Y + (r * WindowLayout.Slots));
            if (RowScales != null) v *= RowScales[row];
            if (Bias != null) v += Bias[row];
            Y[row] = Clamp.IsNone ? v : MathF.Min(MathF.Max(v, Clamp.Low), Clamp.High);
        }
    }

    // Lanes without a row add +0 to sums of row 0 in one form and not in the other: a sum of nothing but -0, which underflow leaves, is +0 in both.
    private static float Fold(float* four) => four[0] + four[2] + (four[1] + four[3]) + 0f;

    /// <summary>Values are float or, for bfloat16, ushort. The last three name the second to fourth byte of 32 bits: as arguments they stay in registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Floats<TValue>(ref Cursor part, int window, ushort second, ushort third, ushort fourth) where TValue : unmanaged
    {
        const int Places = FloatLanes * WindowLayout.Slots, RowBytes = WindowLayout.Slots * sizeof(float);
        int valueBytes = Places * sizeof(TValue), ahead = s_floatsAhead;
        byte* p = part.Steps, heads = part.Heads, counts = part.Counts, y = (byte*)part.Y, x = (byte*)(Singles + ((nint)window * Layout.Shape.Window));
        for (int here = part.Groups[window]; here > 0; here--, heads += FloatLanes, counts++)
        {
            Sse.Prefetch0(heads + HeadsAhead);
            Sse.Prefetch0(counts + CountsAhead);
            byte* y0 = y + (RowBytes * heads[0]), y1 = y + (RowBytes * heads[1]), y2 = y + (RowBytes * heads[2]), y3 = y + (RowBytes * heads[3]);
            Vector128<float> s0 = Vector128.Load((float*)y0), s1 = Vector128.Load((float*)y1), s2 = Vector128.Load((float*)y2), s3 = Vector128.Load((float*)y3);
            for (int n = *counts; n > 0; n--, p += valueBytes + Places)
            {
                Sse.Prefetch0(p + ahead);
                if (sizeof(TValue) == 4) Sse.Prefetch0(p + ahead + 64);
                ulong two = *(ulong*)(p + valueBytes), others = *(ulong*)(p + valueBytes + 8);
                s0 = Fma.MultiplyAdd(Inputs(x, two, second, third, fourth), Four<TValue>(p), s0);
                s1 = Fma.MultiplyAdd(Inputs(x, two >> 32, second, third, fourth), Four<TValue>(p + (4 * sizeof(TValue))), s1);
                s2 = Fma.MultiplyAdd(Inputs(x, others, second, third, fourth), Four<TValue>(p + (8 * sizeof(TValue))), s2);
                s3 = Fma.MultiplyAdd(Inputs(x, others >> 32, second, third, fourth), Four<TValue>(p + (12 * sizeof(TValue))), s3);
            }
            // Lanes without a row stand behind the others and name row 0, which another lane may have: that one is stored last.
            s3.Store((float*)y3);
            s2.Store((float*)y2);
            s1.Store((float*)y1);
            s0.Store((float*)y0);
        }
        part.Steps = p;
        part.Heads = heads;
        part.Counts = counts;
    }

    /// <summary>Four values in single precision.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Four<TValue>(byte* values) where TValue : unmanaged =>
        sizeof(TValue) == 4 ? Vector128.Load((float*)values) : Sse2.UnpackLow(Vector128<ushort>.Zero, Vector128.CreateScalarUnsafe(*(ulong*)values).AsUInt16()).AsSingle();

    /// <summary>The inputs that the lower four bytes name.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Inputs(byte* x, ulong columns, ushort second, ushort third, ushort fourth)
    {
        Vector128<float> found = Vector128.CreateScalarUnsafe(*(float*)(x + (4 * (nint)(byte)columns)));
        found = Sse41.Insert(found, Vector128.CreateScalarUnsafe(*(float*)(x + (4 * Field(columns, second)))), 0x10);
        found = Sse41.Insert(found, Vector128.CreateScalarUnsafe(*(float*)(x + (4 * Field(columns, third)))), 0x20);
        return Sse41.Insert(found, Vector128.CreateScalarUnsafe(*(float*)(x + (4 * Field(columns, fourth)))), 0x30);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static nint Field(ulong columns, ushort control) => Bmi1.X64.IsSupported ? (nint)Bmi1.X64.BitFieldExtract(columns, control) : (nint)(byte)(columns >> (control & 0xFF));

    private readonly void Integers(ref Cursor part, int window)
    {
        const int OfScale = QuantizedInput.Block / WindowLayout.NarrowIntegerWindow;
        sbyte* x = Bytes + ((nint)window * WindowLayout.NarrowIntegerWindow);
        if (!IsWide) PortableSums(ref part, window, x);
        else if (GroupScales == null) Sums<sbyte>(ref part, window, x);
        else Sums<byte>(ref part, window, x);
        if ((window + 1) % OfScale == 0 || window + 1 == Layout.Shape.Windows) Flush(part, window / OfScale);
    }

    /// <summary>Y += integers times the factors of their columns, and the integers begin anew. Registers take rows that are not there, whose integers are zero.</summary>
    private readonly void Flush(in Cursor part, int block)
    {
        float* factors = stackalloc float[WindowLayout.MostPartRows];
        if (GroupScales != null) HalfPrecision.Widen(GroupScales + ((nint)block * Layout.Shape.Rows) + part.Row, part.Rows, factors);
        Vector256<float> scale = Vector256.Create(InputScales[block]);
        for (int r = 0; r < part.Rows; r += Vector256<float>.Count)
        {
            Vector256<float> factor = GroupScales == null ? scale : Vector256.Load(factors + r) * scale;
            (Vector256.Load(part.Y + r) + (Vector256.ConvertToSingle(Vector256.Load(part.Sums + r)) * factor)).Store(part.Y + r);
            Vector256<int>.Zero.Store(part.Sums + r);
        }
    }

    /// <summary>Adds what the steps of a window sum up to. Values are sbyte or, for 4-bit ones, byte.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sums<TValue>(ref Cursor part, int window, sbyte* x) where TValue : unmanaged
    {
        bool eight = typeof(TValue) == typeof(sbyte);
        const int Places = IntegerLanes * WindowLayout.Slots;
        int valueBytes = eight ? Places : Places / 2, ahead = s_integersAhead;
        int* lanes = stackalloc int[IntegerLanes], sums = part.Sums;
        Vector256<byte> first = Avx2.BroadcastVector128ToVector256((byte*)x), second = Avx2.BroadcastVector128ToVector256((byte*)x + 16);
        Vector256<byte> third = Avx2.BroadcastVector128ToVector256((byte*)x + 32), last = Avx2.BroadcastVector128ToVector256((byte*)x + 48);
        last ^= third;
        third ^= second;
        second ^= first;
        Vector256<byte> sixteen = Vector256.Create((byte)16);
        Vector256<short> ones = Vector256<short>.One;
        // 4-bit values of the first four lanes are the lower halves of 16 bytes, those of the others the upper ones.
        Vector256<uint> halves = Vector256.Create(0u, 0, 0, 0, 4, 4, 4, 4);
        Vector256<sbyte> signed = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
        byte* p = part.Steps, heads = part.Heads, counts = part.Counts;
        for (int groups = part.Groups[window]; groups > 0; groups--, heads += IntegerLanes, counts++)
        {
            Vector256<int> sum = Vector256<int>.Zero;
            Vector256<short> pairs = Vector256<short>.Zero;
            for (int n = *counts; n > 0; n--, p += valueBytes + Places)
            {
                Sse.Prefetch0(p + ahead);
                Vector256<byte> columns = Vector256.Load(p + valueBytes), found = Avx2.Shuffle(first, columns);
                columns -= sixteen;
                found ^= Avx2.Shuffle(second, columns);
                columns -= sixteen;
                found ^= Avx2.Shuffle(third, columns);
                columns -= sixteen;
                found ^= Avx2.Shuffle(last, columns);
                // The instruction multiplies unsigned by signed bytes: signs of inputs go to the values.
                Vector256<byte> magnitudes = Avx2.Abs(found.AsSByte());
                if (eight)
                {
                    // Two products of at most 127 x 127 fit into 16 bits.
                    sum += Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Vector256.Load((sbyte*)p), found.AsSByte())), ones);
                    continue;
                }
                // 32 of at most 127 x 8 do: all places that a row of a window can have.
                Vector256<uint> nibbles = Avx2.ShiftRightLogicalVariable(Avx2.BroadcastVector128ToVector256((uint*)p), halves);
                pairs += Avx2.MultiplyAddAdjacent(magnitudes, Avx2.Sign(Avx2.Shuffle(signed, nibbles.AsSByte() & Vector256.Create((sbyte)15)), found.AsSByte()));
            }
            if (!eight) sum = Avx2.MultiplyAddAdjacent(pairs, ones);
            sum.Store(lanes);
            for (int lane = 0; lane < IntegerLanes; lane += 4)
            {
                sums[heads[lane]] += lanes[lane];
                sums[heads[lane + 1]] += lanes[lane + 1];
                sums[heads[lane + 2]] += lanes[lane + 2];
                sums[heads[lane + 3]] += lanes[lane + 3];
            }
        }
        part.Steps = p;
        part.Heads = heads;
        part.Counts = counts;
    }

    // The definition, of a window of integers.
    private readonly void PortableSums(ref Cursor part, int window, sbyte* x)
    {
        WindowLayout.WindowShape shape = Layout.Shape;
        for (int groups = part.Groups[window]; groups > 0; groups--, part.Heads += IntegerLanes, part.Counts++)
        {
            for (int n = *part.Counts; n > 0; n--, part.Steps += Layout.StepBytes)
            {
                for (int place = 0; place < shape.Places; place++)
                {
                    (int lane, int slot) = (place / WindowLayout.Slots, place % WindowLayout.Slots);
                    part.Sums[part.Heads[lane]] += x[WindowPlace.Plain(part.Steps, shape.ValueBytes, lane, slot)] * WindowPlace.Value(part.Steps, shape, lane, slot);
                }
            }
        }
    }

    // The definition, of a window of floating point.
    private readonly void Portable(ref Cursor part, int window)
    {
        WindowLayout.WindowShape shape = Layout.Shape;
        float* x = Singles + ((nint)window * shape.Window);
        for (int g = part.Groups[window]; g > 0; g--, part.Counts++, part.Heads += FloatLanes)
        {
            for (int lane = 0; lane < FloatLanes; lane++)
            {
                float* sums = part.Y + (part.Heads[lane] * WindowLayout.Slots);
                for (int n = 0; n < *part.Counts; n++)
                {
                    byte* step = part.Steps + (n * (nint)Layout.StepBytes);
                    for (int slot = 0; slot < WindowLayout.Slots; slot++)
                    {
                        int value = WindowPlace.Value(step, shape, lane, slot);
                        // Zeros of empty places take part like everywhere, unless they would meet an input that is not finite.
                        if (value == WindowLayout.Missing && !IsFinite) continue;
                        sums[slot] = MathF.FusedMultiplyAdd(x[WindowPlace.Plain(step, shape.ValueBytes, lane, slot)], BitConverter.Int32BitsToSingle(value), sums[slot]);
                    }
                }
            }
            part.Steps += *part.Counts * (nint)Layout.StepBytes;
        }
    }
}

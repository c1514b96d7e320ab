using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>A product with a <see cref="WindowLayout"/>, part by part. Each window adds to a row what its steps sum up to.</summary>
/// <remarks>Where units of 512 bits are whole, two parts go through their windows together, a step of each in turn, so that memory is read as two streams. From the second cache the same steps take a third of the time that memory takes (Zen 5).</remarks>
internal unsafe struct WindowParts : IParts
{
    public const int MostParts = 2;

    public WindowLayout Layout;

    /// <summary>In registers, floating point: [windows, 4, 128], the bytes of the inputs, lowest first. Integers: [windows, 256].</summary>
    public byte* X;

    /// <summary>The inputs as they are; floating point outside of registers.</summary>
    public float* Singles;

    /// <summary>Of integers, one a window.</summary>
    public float* InputScales;

    /// <summary>A factor per row, or null.</summary>
    public float* RowScales;
    public float* Y, Bias;
    public Clamp Clamp;

    /// <summary>Whether every input is finite: where one is not, places without an entry stay out.</summary>
    public bool IsFinite;

    /// <summary>Whether the forms in registers are used.</summary>
    public bool IsWide;

    /// <summary>Whether <see cref="WindowCode"/> is used; asked once for all threads.</summary>
    public bool UsesCode;

    /// <summary>Parts that go through their windows together, at most <see cref="MostParts"/>.</summary>
    public int PartsAtOnce;

    /// <summary>How many parts go together: two where that was faster (Zen 5), if they leave work for several threads.</summary>
    public static int Together(int parts) => VectorUnits.AreFullWidth && parts >= 2 * WorkPool.Threads ? MostParts : 1;

    public readonly void Run(int turn)
    {
        WindowLayout.WindowShape shape = Layout.Shape;
        int part = turn * PartsAtOnce, count = Math.Min(PartsAtOnce, shape.Parts - part);
        float* sums = stackalloc float[MostParts * WindowLayout.MostPartRows];
        new Span<float>(sums, count * WindowLayout.MostPartRows).Clear();
        fixed (byte* groups = Layout.GroupsOfWindows, counts = Layout.StepsOfGroups)
        {
            // Both may be empty: a matrix without columns has no windows.
            Streams streams = default;
            streams.A = Stream(part, sums, counts);
            if (count > 1) streams.B = Stream(part + 1, sums + WindowLayout.MostPartRows, counts);
            byte* first = groups + (part * shape.Windows), second = count > 1 ? first + shape.Windows : null;
            if (IsWide && UsesCode)
            {
                Code(streams, first, second);
            }
            else
            {
                OnePart(streams.A, first);
                if (count > 1) OnePart(streams.B, second);
            }
        }
        for (int p = 0; p < count; p++)
        {
            int row = (part + p) * shape.PartRows;
            float* y = sums + (p * WindowLayout.MostPartRows);
            for (int end = Math.Min(row + shape.PartRows, shape.Rows); row < end; row++, y++)
            {
                float v = RowScales == null ? *y : *y * RowScales[row];
                if (Bias != null) v += Bias[row];
                Y[row] = Clamp.IsNone ? v : MathF.Min(MathF.Max(v, Clamp.Low), Clamp.High);
            }
        }
    }

    private readonly void OnePart(WindowCode.Stream stream, byte* groups)
    {
        if (!IsWide) Portable(stream, groups);
        else if (Layout.Shape.Kind == ValueKind.Float32 && Layout.Deltas) Floats<float, ushort>(stream, groups);
        else if (Layout.Shape.Kind == ValueKind.Float32) Floats<float, byte>(stream, groups);
        else if (Layout.Deltas) Floats<ushort, ushort>(stream, groups);
        else Floats<ushort, byte>(stream, groups);
    }

    private readonly WindowCode.Stream Stream(int part, float* y, byte* counts) => new()
    {
        Steps = Layout.Steps + (Layout.StepStarts[part] * Layout.StepBytes),
        Counts = counts + Layout.GroupStarts[part],
        Heads = Layout.Heads + ((nint)Layout.GroupStarts[part] * Layout.Shape.HeadBytes),
        Y = y,
    };

    /// <summary>Adds the sums of 16 lanes to their rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Add(float* y, byte* rows, float* sums)
    {
        for (byte* end = rows + WindowLayout.Lanes; rows < end; rows += 4, sums += 4)
        {
            y[rows[0]] += sums[0];
            y[rows[1]] += sums[1];
            y[rows[2]] += sums[2];
            y[rows[3]] += sums[3];
        }
    }

    /// <summary>Where memory may not be executed. Values are float or, for bfloat16, ushort; columns byte or, for differences, ushort (four of them).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Floats<TValue, TColumns>(WindowCode.Stream stream, byte* groups) where TValue : unmanaged where TColumns : unmanaged
    {
        bool deltas = sizeof(TColumns) == 2;
        // Half units: the distance of the code was chosen with the code, which alone was measured.
        int ahead = VectorUnits.AreFullWidth ? WindowCode.StepsAhead(sizeof(TValue), two: false) : 1024;
        byte* p = stream.Steps, heads = stream.Heads, counts = stream.Counts;
        int valueBytes = WindowLayout.Places * sizeof(TValue), bytes = valueBytes + (deltas ? 32 : 64), windows = Layout.Shape.Windows;
        float* sums = stackalloc float[2 * WindowLayout.Lanes];
        sums = Aligned(sums);
        Vector512<uint> ones = Vector512.Create(0x01010101u), odd = Vector512.Create(0xFFFF0000u);
        Vector512<byte> lower = Vector512.Create((byte)15), last = Vector512.Load(WindowCode.Tables), shifts = Vector512.Load(WindowCode.Tables + 64);
        byte* x = X;
        for (int w = 0; w < windows; w++, x += 512)
        {
            int here = groups[w];
            if (here == 0) continue;
            Vector512<byte> a0 = Vector512.Load(x), a1 = Vector512.Load(x + 64), b0 = Vector512.Load(x + 128), b1 = Vector512.Load(x + 192);
            Vector512<byte> c0 = Vector512.Load(x + 256), c1 = Vector512.Load(x + 320), d0 = Vector512.Load(x + 384), d1 = Vector512.Load(x + 448);
            for (; here > 0; here--, heads += WindowLayout.Lanes, counts++)
            {
                Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
                Vector512<byte> before = Vector512<byte>.Zero;
                for (int n = *counts; n > 0; n--, p += bytes)
                {
                    Sse.Prefetch0(p + ahead);
                    Sse.Prefetch0(p + ahead + 64);
                    if (sizeof(TValue) == 4 || !deltas) Sse.Prefetch0(p + ahead + 128);
                    if (sizeof(TValue) == 4) Sse.Prefetch0(p + ahead + 192);
                    if (sizeof(TValue) == 4) Sse.Prefetch0(p + ahead + 256);
                    Vector512<byte> column;
                    if (deltas)
                    {
                        Vector512<ulong> pairs = Avx512F.ConvertToVector512UInt64(Vector256.Load((uint*)(p + valueBytes)));
                        Vector512<byte> gaps = Avx512Vbmi.MultiShift(shifts, pairs) & lower;
                        column = (gaps.AsUInt32() * ones).AsByte() + before;
                        before = Avx512BW.Shuffle(column, last);
                    }
                    else
                    {
                        column = Vector512.Load(p + valueBytes);
                    }
                    Vector512<byte> a = Avx512Vbmi.PermuteVar64x8x2(a0, column, a1), b = Avx512Vbmi.PermuteVar64x8x2(b0, column, b1);
                    Vector512<byte> c = Avx512Vbmi.PermuteVar64x8x2(c0, column, c1), d = Avx512Vbmi.PermuteVar64x8x2(d0, column, d1);
                    Vector512<ushort> lowAb = Avx512BW.UnpackLow(a, b).AsUInt16(), highAb = Avx512BW.UnpackHigh(a, b).AsUInt16();
                    Vector512<ushort> lowCd = Avx512BW.UnpackLow(c, d).AsUInt16(), highCd = Avx512BW.UnpackHigh(c, d).AsUInt16();
                    Vector512<float> x0 = Avx512BW.UnpackLow(lowAb, lowCd).AsSingle(), x1 = Avx512BW.UnpackHigh(lowAb, lowCd).AsSingle();
                    Vector512<float> x2 = Avx512BW.UnpackLow(highAb, highCd).AsSingle(), x3 = Avx512BW.UnpackHigh(highAb, highCd).AsSingle();
                    if (sizeof(TValue) == 4)
                    {
                        s0 = Avx512F.FusedMultiplyAdd(x0, Vector512.Load((float*)p), s0);
                        s1 = Avx512F.FusedMultiplyAdd(x1, Vector512.Load((float*)p + 16), s1);
                        s2 = Avx512F.FusedMultiplyAdd(x2, Vector512.Load((float*)p + 32), s2);
                        s3 = Avx512F.FusedMultiplyAdd(x3, Vector512.Load((float*)p + 48), s3);
                        continue;
                    }
                    Vector512<uint> first = Vector512.Load((uint*)p), second = Vector512.Load((uint*)p + 16);
                    s0 = Avx512F.FusedMultiplyAdd(x0, (first << 16).AsSingle(), s0);
                    s1 = Avx512F.FusedMultiplyAdd(x1, (first & odd).AsSingle(), s1);
                    s2 = Avx512F.FusedMultiplyAdd(x2, (second << 16).AsSingle(), s2);
                    s3 = Avx512F.FusedMultiplyAdd(x3, (second & odd).AsSingle(), s3);
                }
                // Places 0 and 2, and 1 and 3 of a lane, then both.
                Vector512<float> s01 = Avx512F.UnpackLow(s0, s1) + Avx512F.UnpackHigh(s0, s1), s23 = Avx512F.UnpackLow(s2, s3) + Avx512F.UnpackHigh(s2, s3);
                (Avx512F.UnpackLow(s01.AsDouble(), s23.AsDouble()).AsSingle() + Avx512F.UnpackHigh(s01.AsDouble(), s23.AsDouble()).AsSingle()).Store(sums);
                Add(stream.Y, heads, sums);
            }
        }
    }

    private readonly void Code(in Streams streams, byte* groupsA, byte* groupsB)
    {
        WindowLayout.WindowShape shape = Layout.Shape;
        WindowCode.Form form = shape.Kind switch
        {
            ValueKind.Float32 => Layout.Deltas ? WindowCode.Form.Float32Deltas : WindowCode.Form.Float32,
            ValueKind.BFloat16 => Layout.Deltas ? WindowCode.Form.BFloat16Deltas : WindowCode.Form.BFloat16,
            ValueKind.Int4 => WindowCode.Form.Int4Deltas,
            _ => Layout.Deltas ? WindowCode.Form.Int8Deltas : WindowCode.Form.Int8,
        };
        int windowBytes = shape.Kind.IsQuantized() ? QuantizedInput.Block : shape.Window * sizeof(float);
        float* scratch = stackalloc float[(MostParts + 1) * WindowLayout.Lanes];
        WindowCode.Arguments call = new() { A = streams.A, B = streams.B, X = X, Scale = InputScales, Scratch = Aligned(scratch), Tables = WindowCode.Tables };
        for (int w = 0; w < shape.Windows; w++, call.X += windowBytes, call.Scale++)
        {
            // Parts may have more groups than one another.
            int first = groupsA[w], second = groupsB == null ? 0 : groupsB[w], both = Math.Min(first, second);
            Run(form, both, two: true, &call);
            Run(form, first - both, two: false, &call);
            if (second == both) continue;
            (call.A, call.B) = (call.B, call.A);
            Run(form, second - both, two: false, &call);
            (call.A, call.B) = (call.B, call.A);
        }
    }

    private static void Run(WindowCode.Form form, int groups, bool two, WindowCode.Arguments* call)
    {
        call->Groups = groups;
        if (groups > 0) WindowCode.Run(form, two, call);
    }

    private static float* Aligned(float* memory) => (float*)(((nint)memory + 63) & ~63);

    // The definition.
    private readonly void Portable(WindowCode.Stream stream, byte* groups)
    {
        WindowLayout.WindowShape shape = Layout.Shape;
        byte* steps = stream.Steps, heads = stream.Heads, counts = stream.Counts;
        float* sums = stackalloc float[WindowLayout.Lanes];
        for (int w = 0; w < shape.Windows; w++)
        {
            for (int g = 0; g < groups[w]; g++, counts++, heads += shape.HeadBytes)
            {
                for (int lane = 0; lane < WindowLayout.Lanes; lane++) sums[lane] = shape.Kind.IsQuantized() ? IntegerLane(steps, *counts, lane, w, heads) : FloatLane(steps, *counts, lane, w);
                Add(stream.Y, heads, sums);
                steps += *counts * (nint)Layout.StepBytes;
            }
        }
    }

    private readonly float FloatLane(byte* step, int count, int lane, int window)
    {
        float* sums = stackalloc float[WindowLayout.Slots];
        new Span<float>(sums, WindowLayout.Slots).Clear();
        float* x = Singles + ((nint)window * Layout.Shape.Window);
        for (int column = 0; count > 0; count--, step += Layout.StepBytes)
        {
            for (int slot = 0; slot < WindowLayout.Slots; slot++)
            {
                column = Column(step, lane, slot, column);
                int value = WindowPlace.Value(step, Layout.Shape, lane, slot);
                // Zeros of empty places take part like everywhere, unless they would meet an input that is not finite.
                if (value == WindowLayout.Missing && !IsFinite) continue;
                sums[slot] = MathF.FusedMultiplyAdd(x[column], BitConverter.Int32BitsToSingle(value), sums[slot]);
            }
        }
        return sums[0] + sums[2] + (sums[1] + sums[3]);
    }

    private readonly float IntegerLane(byte* step, int count, int lane, int window, byte* head)
    {
        byte* x = X + ((nint)window * QuantizedInput.Block);
        int sum = 0;
        for (int column = 0; count > 0; count--, step += Layout.StepBytes)
        {
            for (int slot = 0; slot < WindowLayout.Slots; slot++)
            {
                column = Column(step, lane, slot, column);
                sum += (x[column] - 128) * WindowPlace.Value(step, Layout.Shape, lane, slot);
            }
        }
        if (Layout.Shape.Kind == ValueKind.Int8) return sum * InputScales[window];
        float factor;
        HalfPrecision.Widen((ushort*)(head + (3 * WindowLayout.Lanes)) + lane, 1, &factor);
        return sum * (factor * InputScales[window]);
    }

    private readonly int Column(byte* step, int lane, int slot, int before) =>
        Layout.Deltas ? before + WindowPlace.Delta(step, Layout.Shape.Kind, Layout.Shape.ValueBytes, lane, slot) : WindowPlace.Plain(step, Layout.Shape.ValueBytes, lane, slot);

    private struct Streams
    {
        public WindowCode.Stream A, B;
    }
}

using System.Buffers;
using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps.Vector;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A <see cref="CompactMatrix"/> times one vector: y [rows] = clamp(w x [columns] + bias). The work of decoding one token: bytes are what it costs.</summary>
/// <remarks>
/// Every type keeps 16 or 64 partial sums a row, folded in one order; which a value joins belongs to the type and to how many its row keeps. So results are equal bit for bit on every instruction
/// set and for every number of threads. Only stored entries take part: a removed one beside an infinite input adds nothing. Integer types multiply by an
/// input of 8-bit integers with a scale per 256 columns (NaN for a block with a value that is not finite).
/// </remarks>
public static unsafe class Gemv
{
    private const long BytesPerPart = 64 * 1024;
    private const int MostParts = 32;

    /// <summary>y = clamp(w x + bias).</summary>
    /// <param name="w">The matrix.</param>
    /// <param name="x">[columns].</param>
    /// <param name="y">[rows]; must not overlap x.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public static void Multiply(CompactMatrix w, ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        ArgumentNullException.ThrowIfNull(w);
        PreparedSpMM.Check(x.Length, 1, w.Columns, nameof(x));
        PreparedSpMM.Check(y.Length, 1, w.Rows, nameof(y));
        PreparedSpMM.CheckOptional(bias.Length, w.Rows, nameof(bias));
        if (w.Rows == 0) return;
        using MemoryHandle bits = w.Bits.Pin(), values = w.ValuesWithSlack.Pin(), scales = w.Scales.Pin();
        bool code = VectorCode.IsUsable;
        if (w.HasMask) w.RowFlags ??= VectorCode.FindFlags(MemoryMarshal.Cast<byte, ulong>(w.Bits.Span), w.Rows, w.WordsPerRow, w.Kind);
        fixed (long* counts = w.Counts, starts = w.ByteStarts)
        fixed (byte* flags = w.RowFlags)
        fixed (float* py = y, pBias = bias)
        {
            var call = new Call(w, (ulong*)bits.Pointer, counts, starts, values.Pointer, scales.Pointer, py, pBias, activation, code, flags);
            if (w.Kind.IsQuantized()) Integers(call, x);
            else Floats(call, x);
        }
    }

    /// <summary>y = w x.</summary>
    /// <inheritdoc cref="Multiply(CompactMatrix, ReadOnlySpan{float}, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public static void Multiply(CompactMatrix w, ReadOnlySpan<float> x, Span<float> y) => Multiply(w, x, y, default, Clamp.None);

    /// <summary>Whether registers may multiply removed entries as zeros.</summary>
    internal static bool IsFinite(ReadOnlySpan<float> x) => float.IsFinite(TensorPrimitives.SumOfMagnitudes(x)) || float.IsFinite(x.IsEmpty ? 0 : TensorPrimitives.MaxMagnitude(x));

    private static void Floats(in Call call, ReadOnlySpan<float> x)
    {
        CompactMatrix w = call.Matrix;
        // One more than whole words: what stands behind the last bit of a word is looked up too.
        int padded = (w.WordsPerRow * 64) + 1;
        using Scratch.Buffer input = Scratch.Rent(padded);
        var to = new Span<float>(input.Pointer, padded);
        to.Clear();
        bool finite = IsFinite(x);
        SimdLevel level = finite ? SimdDispatch.Level : SimdLevel.Scalar;
        bool code = finite && call.UsesCode;
        if (w.Kind == ValueKind.Float32)
        {
            x.CopyTo(to);
            Run(call, new FloatRows { Columns = w.Columns, WordsPerRow = w.WordsPerRow, Bits = call.Bits, Counts = call.Counts, Values = (float*)call.Values, X = input.Pointer, Level = level, WideRows = w.WideRows, Flags = call.Flags, UsesCode = code }, null);
        }
        else
        {
            for (int c = 0; c < x.Length; c++) to[BFloat16Rows.Place(c)] = x[c];
            Run(call, new BFloat16Rows { Columns = w.Columns, WordsPerRow = w.WordsPerRow, Bits = call.Bits, Counts = call.Counts, Values = (ushort*)call.Values, X = input.Pointer, Level = level, WideRows = w.WideRows, Flags = call.Flags, UsesCode = code }, null);
        }
    }

    private static void Integers(in Call call, ReadOnlySpan<float> x)
    {
        CompactMatrix w = call.Matrix;
        int piece = Math.Min(w.Kind == ValueKind.Int4 ? w.GroupColumns : QuantizedInput.Block, QuantizedInput.Block);
        bool splits = !call.UsesCode && (w.Kind == ValueKind.Int8 || (w.HasMask && Int4Rows.WantsSigns(SimdDispatch.Level)));
        using var input = new QuantizedInput(x, w.Kind, piece, splits);
        if (w.Kind == ValueKind.Int8)
        {
            Run(call, new Int8Rows
            {
                Columns = w.Columns,
                WordsPerRow = w.WordsPerRow,
                Bits = call.Bits,
                Counts = call.Counts,
                Values = (sbyte*)call.Values,
                X = input.Values,
                Signs = input.Signs,
                Starts = input.Starts,
                InputScales = input.Scales,
                Level = SimdDispatch.Level,
                WideRows = w.WideRows,
                UsesCode = call.UsesCode,
                Flags = call.Flags,
            }, (float*)call.Scales);
        }
        else
        {
            Run(call, new Int4Rows
            {
                Columns = w.Columns,
                WordsPerRow = w.WordsPerRow,
                Bits = call.Bits,
                Counts = call.Counts,
                ByteStarts = call.ByteStarts,
                Values = (byte*)call.Values,
                Scales = (ushort*)call.Scales,
                GroupsPerRow = w.GroupsPerRow,
                WordsPerPiece = piece / 64,
                GroupShift = int.Log2(w.GroupColumns / piece),
                X = input.Values,
                Signs = splits ? input.Signs : null,
                Starts = input.Starts,
                InputScales = input.Scales,
                Level = SimdDispatch.Level,
                WideRows = w.WideRows,
                UsesCode = call.UsesCode,
                Flags = call.Flags,
            }, null);
        }
    }

    private static void Run<TRows>(in Call call, TRows kernel, float* scales) where TRows : struct, IRowSum
    {
        CompactMatrix w = call.Matrix;
        if (!w.IsPrepared)
        {
            LargePages.Ask(call.Values, w.RowStart(w.Rows));
            LargePages.Ask(w.Scales.Span);
            if (call.Bits != null) LargePages.Ask(call.Bits, (long)w.Rows * w.WordsPerRow * sizeof(ulong));
            w.IsPrepared = true;
        }
        // One thread takes all rows as one part: in every part memory is read as four streams that begin anew.
        int* all = stackalloc int[2] { 0, w.Rows };
        int[] boundaries = WorkPool.IsAlone ? [] : w.RowParts ??= Partition(w);
        fixed (int* b = boundaries)
        {
            WorkPool.Run(b == null ? 1 : boundaries.Length - 1, new RowParts<TRows> { Kernel = kernel, Boundaries = b == null ? all : b, Y = call.Y, Bias = call.Bias, Scales = scales, Clamp = call.Clamp });
        }
    }

    /// <summary>Parts of nearly equal numbers of bytes.</summary>
    private static int[] Partition(CompactMatrix w)
    {
        long perRow = w.HasMask ? w.WordsPerRow * sizeof(ulong) : 0, total = w.RowStart(w.Rows) + (perRow * w.Rows);
        int parts = (int)Math.Clamp(total / BytesPerPart, 1, Math.Min(MostParts, w.Rows)), row = 0;
        var boundaries = new int[parts + 1];
        for (int p = 1; p < parts; p++)
        {
            long target = total * p / parts;
            while (row < w.Rows && w.RowStart(row) + (perRow * row) < target) row++;
            boundaries[p] = row;
        }
        boundaries[parts] = w.Rows;
        return boundaries;
    }

    private readonly struct Call(CompactMatrix matrix, ulong* bits, long* counts, long* byteStarts, void* values, void* scales, float* y, float* bias, Clamp clamp, bool usesCode, byte* flags)
    {
        public CompactMatrix Matrix { get; } = matrix;
        public ulong* Bits { get; } = matrix.HasMask ? bits : null;
        public long* Counts { get; } = counts;
        public long* ByteStarts { get; } = byteStarts;
        public void* Values { get; } = values;
        public void* Scales { get; } = scales;
        public float* Y { get; } = y;
        public float* Bias { get; } = bias;
        public Clamp Clamp { get; } = clamp;
        public bool UsesCode { get; } = usesCode;
        public byte* Flags { get; } = flags;
    }
}

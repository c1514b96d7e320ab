using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Rows of 4-bit integers with a scale per group of columns, all entries or those under a mask, times a <see cref="QuantizedInput"/>. Column c joins lane (c % 64) / 4.</summary>
/// <remarks>
/// Values are stored as q + 8, and what has no value counts as 8: the sums of a piece begin at -8 times the sum of its inputs. With <see cref="Signs"/>, s, rows are unpacked to q, what has no value counts as 0, and q x = (q ^ s) |x| + [s = -1] |x|:
/// the sums begin at what the second terms add up to, the magnitudes of the negative inputs.
/// </remarks>
internal unsafe struct Int4Rows : IRowSum
{
    public int Columns;
    public int WordsPerRow;

    /// <summary>Null when every entry has a value.</summary>
    public ulong* Bits;

    /// <summary>Values before each row; only with bits.</summary>
    public long* Counts;

    /// <summary>First byte of each row; only with bits.</summary>
    public long* ByteStarts;
    public byte* Values;

    /// <summary>Half-precision scales, <see cref="GroupsPerRow"/> a row.</summary>
    public ushort* Scales;
    public int GroupsPerRow;

    /// <summary>64-column words of a piece: 1, 2 or 4.</summary>
    public int WordsPerPiece;

    /// <summary>Binary logarithm of the pieces that share a scale.</summary>
    public int GroupShift;

    /// <summary>The input, or with <see cref="Signs"/> its magnitudes.</summary>
    public sbyte* X;

    /// <summary>-1 where the input is negative, else 0; null unless <see cref="WantsSigns"/>.</summary>
    public sbyte* Signs;
    public int* Starts;
    public float* InputScales;
    public SimdLevel Level;

    /// <summary>From this row on registers would read past the end of the values.</summary>
    public int WideRows;

    /// <summary>Whether <see cref="VectorCode"/> is used.</summary>
    public bool UsesCode;

    /// <summary>With bits: facts about each row, see <see cref="VectorCode"/>.</summary>
    public byte* Flags;

    // Scales in single precision, the unpacked values, and on narrow machines the spread row.
    private readonly int ScaleBytes => ((Math.Max(GroupsPerRow, WordsPerRow) * sizeof(float)) + 63) & ~63;

    private readonly int RowBytes => (WordsPerRow * 64) + 128;

    public readonly int ScratchBytes => (Bits == null && FourUpTo > 0 ? 4 * ScaleBytes : ScaleBytes) + (2 * RowBytes);

    /// <summary>Under a mask rows are unpacked first; four of those at once were slower than one after the other (Zen 4, 50 % zeros), so <see cref="Four(int, int, int, float*, byte*)"/> takes one at a time there, and saves what is the same for all.</summary>
    public readonly int FourUpTo => Bits != null ? (UsesCode ? WideRows : 0) : IsPacked && (UsesCode || (Uses256 && Level < SimdLevel.Vector512 && !VectorUnits.AreHalf256)) ? WideRows : 0;

    /// <summary>Whether rows under a mask are spread in registers, where what has no value is 0 and not 8: then values are signed and the input has its signs apart, as that of 8-bit values has.</summary>
    public static bool WantsSigns(SimdLevel level) => level == SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported && NibbleExpansion.IsFast;

    private readonly bool Uses256 => Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported;

    // Columns that the code takes as they lie.
    private readonly bool IsPacked => WordsPerPiece == 1 && GroupShift == 0 && Columns % ByteExpansion.PackedBlock == 0;

    public readonly float Row(int row, byte* scratch)
    {
        bool wide = row < WideRows;
        if (wide && UsesCode && Bits != null)
        {
            float alone;
            Masked(row, 1, &alone, scratch);
            return alone;
        }
        float* lanes = stackalloc float[Lanes.Count];
        float* scales = (float*)scratch;
        byte* unpacked = scratch + ScaleBytes, spread = unpacked + RowBytes;
        Factors(row, scales);
        byte* packed = Values + (Bits == null ? (nint)row * ((Columns + 1) / 2) : (nint)ByteStarts[row]);
        ulong* bits = Bits == null ? null : Bits + ((nint)row * WordsPerRow);
        int stored = bits == null ? Columns : (int)(Counts[row + 1] - Counts[row]);
        if (wide && UsesCode && IsPacked)
        {
            VectorCode.Arguments arguments = new() { Bits0 = scales, Values0 = packed, Lanes = lanes };
            Call(&arguments, scales, false);
            return DotKernel.Fold(lanes);
        }
        if (wide && Level >= SimdLevel.Vector512 && Avx512BW.IsSupported && (bits == null ? WordsPerPiece == 1 && GroupShift == 0 : MaskLanes.IsSupported))
        {
            if (bits == null)
            {
                Dense512(packed, scales, unpacked, lanes);
            }
            else
            {
                ByteExpansion.Unpack512(packed, stored, unpacked);
                Masked512(unpacked, bits, scales, lanes);
            }
            return DotKernel.Fold(lanes);
        }
        bool avx = Uses256;
        if (wide && avx && bits == null && IsPacked)
        {
            Packed256(packed, scales, lanes);
            return DotKernel.Fold(lanes);
        }
        if (wide && Signs != null)
        {
            ByteExpansion.Unpack256(packed, stored, unpacked, 8);
            Masked256(unpacked, bits, scales, lanes);
            return DotKernel.Fold(lanes);
        }
        if (wide && avx) ByteExpansion.Unpack256(packed, stored, unpacked, 0);
        else ByteExpansion.UnpackPortable(packed, stored, unpacked);
        byte* w = unpacked;
        if (bits != null)
        {
            if (avx && NibbleExpansion.IsFast) NibbleExpansion.Row(unpacked, bits, WordsPerRow, spread, 8);
            else if (avx) ByteExpansion.Shuffle(unpacked, bits, WordsPerRow, spread, 8);
            else ByteExpansion.Portable(unpacked, bits, WordsPerRow, spread, 8);
            w = spread;
        }
        if (avx && Signs == null) Dense256(w, scales, lanes);
        else Portable(w, scales, lanes);
        return DotKernel.Fold(lanes);
    }

    /// <summary>The definition, for a row of bytes q + 8.</summary>
    private readonly void Portable(byte* w, float* scales, float* lanes)
    {
        new Span<float>(lanes, Lanes.Count).Clear();
        int* sums = stackalloc int[Lanes.Count];
        int piece = WordsPerPiece * 64;
        for (int first = 0, p = 0; first < Columns; first += piece, p++)
        {
            new Span<int>(sums, Lanes.Count).Clear();
            for (int c = first, end = Math.Min(first + piece, Columns); c < end; c++) sums[(c & 63) >> 2] += (w[c] - 8) * (Signs != null && Signs[c] < 0 ? -X[c] : X[c]);
            float scale = scales[p];
            for (int t = 0; t < Lanes.Count; t++) lanes[t] = MathF.FusedMultiplyAdd(sums[t], scale, lanes[t]);
        }
    }

    /// <summary>A row of which every entry has a value, in groups of 64.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Dense512(byte* packed, float* scales, byte* rest, float* lanes)
    {
        Vector512<float> sum = Vector512<float>.Zero;
        Vector512<short> ones = Vector512<short>.One;
        Vector512<byte> lower = Vector512.Create((byte)15);
        sbyte* x = X;
        int* start = Starts;
        int p = 0, whole = Columns / ByteExpansion.PackedBlock * 2;
        for (; p < whole; p += 2, packed += 64, x += 128, start += 32)
        {
            Vector512<byte> both = Vector512.Load(packed);
            sum = Flush(sum, Avx512BW.MultiplyAddAdjacent(both & lower, Vector512.Load(x)), Vector512.Load(start), ones, scales[p]);
            Vector512<byte> upper = Vector512.ShiftRightLogical(both.AsUInt16(), 4).AsByte() & lower;
            sum = Flush(sum, Avx512BW.MultiplyAddAdjacent(upper, Vector512.Load(x + 64)), Vector512.Load(start + 16), ones, scales[p + 1]);
        }
        if (p < WordsPerRow)
        {
            ByteExpansion.Unpack512(packed, Columns % ByteExpansion.PackedBlock, rest);
            for (; p < WordsPerRow; p++, rest += 64, x += 64, start += 16)
                sum = Flush(sum, Avx512BW.MultiplyAddAdjacent(Vector512.Load(rest), Vector512.Load(x)), Vector512.Load(start), ones, scales[p]);
        }
        sum.Store(lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Masked512(byte* w, ulong* bits, float* scales, float* lanes)
    {
        Vector512<float> sum = Vector512<float>.Zero;
        Vector512<short> ones = Vector512<short>.One;
        int each = WordsPerPiece;
        sbyte* x = X;
        int* start = Starts;
        for (int words = WordsPerRow, p = 0; words > 0; words -= each, start += 16, p++)
        {
            Vector512<short> piece = Vector512<short>.Zero;
            for (int i = Math.Min(words, each); i > 0; i--, bits++, x += 64) piece += Word(bits, ref w, Vector512.Load(x));
            sum = Flush(sum, piece, Vector512.Load(start), ones, scales[p]);
        }
        sum.Store(lanes);
    }

    /// <inheritdoc/>
    public readonly void Four(int row, int count, int distance, float* sums, byte* scratch)
    {
        if (Bits != null)
        {
            for (int i = 0; i < 4; i++) Masked(row + (i * distance), count, sums + i, scratch);
            return;
        }
        for (int i = 0; i < count; i++) Four(row + i, distance, sums + (4 * i), scratch);
    }

    /// <summary>The sums of rows under a mask that follow one another, into every fourth float; only with code.</summary>
    [SkipLocalsInit]
    private readonly void Masked(int row, int count, float* sums, byte* scratch)
    {
        float* lanes = stackalloc float[Lanes.Count];
        float* scales = (float*)scratch;
        byte* unpacked = scratch + ScaleBytes;
        (nint plain, nint narrow) = (Function(false, false), Function(false, true));
        VectorCode.Arguments arguments = default;
        SetShared(&arguments, scales);
        // Left behind a row, where the bits of the next begin.
        arguments.Bits0 = Bits + ((nint)row * WordsPerRow);
        for (int end = row + count; row < end; row++, sums += 4)
        {
            Factors(row, scales);
            ByteExpansion.Unpack512(Values + (nint)ByteStarts[row], (int)(Counts[row + 1] - Counts[row]), unpacked);
            arguments.Values0 = unpacked;
            arguments.Lanes = lanes;
            arguments.Groups = 1;
            VectorCode.Run((Flags[row] & VectorCode.IsNarrow) != 0 ? narrow : plain, &arguments);
            *sums = DotKernel.Fold(lanes);
        }
    }

    private readonly void Four(int row, int distance, float* sums, byte* scratch)
    {
        float* lanes = stackalloc float[4 * Lanes.Count];
        float* factors = (float*)scratch;
        int apart = ScaleBytes / sizeof(float);
        for (int i = 0; i < 4; i++) Factors(row + (i * distance), factors + (i * apart));
        nint length = Columns / 2, next = distance * length;
        byte* values = Values + (row * length);
        if (!UsesCode)
        {
            FourPacked256(values, next, factors, apart, lanes);
            DotKernel.FoldFour(lanes, sums);
            return;
        }
        VectorCode.Arguments arguments = default;
        arguments.Values0 = values;
        arguments.Values1 = values + next;
        arguments.Values2 = values + (2 * next);
        arguments.Values3 = values + (3 * next);
        arguments.Lanes = lanes;
        arguments.Bits0 = factors;
        arguments.Bits1 = factors + apart;
        arguments.Bits2 = factors + (2 * apart);
        arguments.Bits3 = factors + (3 * apart);
        Call(&arguments, factors, true);
        DotKernel.FoldFour(lanes, sums);
    }

    private readonly void Call(VectorCode.Arguments* arguments, float* factors, bool four)
    {
        SetShared(arguments, factors);
        arguments->Groups = 1;
        VectorCode.Run(Function(four, false), arguments);
    }

    /// <summary>Fills in what is the same for all rows.</summary>
    private readonly void SetShared(VectorCode.Arguments* arguments, float* factors)
    {
        arguments->X = X;
        arguments->Starts = Starts;
        arguments->Scales = factors;
        int each = Bits == null ? 2 : WordsPerPiece;
        // 1, 2 or 4: a shift and a mask, where a division would take longer than a block.
        (arguments->Blocks, arguments->Rest) = (WordsPerRow >> (each >> 1), WordsPerRow & (each - 1));
    }

    private readonly nint Function(bool four, bool narrow)
    {
        VectorCode.Code code = Bits == null ? VectorCode.Code.Int4Full : WordsPerPiece == 1 ? VectorCode.Code.Int4Pieces1 : WordsPerPiece == 2 ? VectorCode.Code.Int4Pieces2 : VectorCode.Code.Int4Pieces4;
        return VectorCode.All[code, four, narrow];
    }

    /// <summary>What the integer sums of each piece of a row are multiplied by.</summary>
    private readonly void Factors(int row, float* factors)
    {
        ushort* scales = Scales + ((nint)row * GroupsPerRow);
        // A few bytes a row: too thin a stream for the hardware to see.
        if (Sse.IsSupported) Sse.Prefetch0((byte*)scales + 512);
        if (GroupShift == 0)
        {
            HalfPrecision.Widen(scales, InputScales, GroupsPerRow, factors);
            return;
        }
        HalfPrecision.Widen(scales, GroupsPerRow, factors);
        int pieces = (WordsPerRow + WordsPerPiece - 1) >> (WordsPerPiece >> 1);
        for (int p = pieces - 1; p >= 0; p--) factors[p] = factors[p >> GroupShift] * InputScales[p];
    }

    /// <summary>64 columns of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<short> Word(ulong* bits, ref byte* values, Vector512<sbyte> x)
    {
        Vector512<byte> w = Avx512Vbmi2.Expand(Vector512.Create((byte)8), MaskLanes.Bytes(bits, MaskLanes.ByteShifts), Vector512.Load(values));
        values += BitOperations.PopCount(*bits);
        return Avx512BW.MultiplyAddAdjacent(w, x);
    }

    /// <summary>Four products of at most 2 x 15 x 127 fit into 16 bits; after them the piece joins the sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Flush(Vector512<float> sum, Vector512<short> piece, Vector512<int> start, Vector512<short> ones, float scale) =>
        Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(start + Avx512BW.MultiplyAddAdjacent(piece, ones)), Vector512.Create(scale), sum);

    /// <summary>A row of which every entry has a value, in groups of 64 and whole blocks of packed values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Packed256(byte* packed, float* scales, float* lanes)
    {
        Vector256<float> low = Vector256<float>.Zero, high = low;
        Vector256<short> ones = Vector256<short>.One;
        Vector256<byte> lower = Vector256.Create((byte)15);
        sbyte* x = X;
        int* start = Starts;
        for (float* end = scales + WordsPerRow; scales < end; scales += 2, packed += 64, x += 128, start += 32)
        {
            Line(packed, scales, x, start, ones, lower, ref low, ref high);
        }
        low.Store(lanes);
        high.Store(lanes + 8);
    }

    /// <summary>Four such rows, 32 columns of each in turn.</summary>
    /// <remarks>
    /// Every quarter of a line loads its input once, and its values again: with sums, inputs and values of a whole line the compiler had more than 16 registers and stored them. The second pointer to the same values keeps it from finding out.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void FourPacked256(byte* packed, nint apart, float* scales, nint scalesApart, float* lanes)
    {
        Vector256<float> a0 = Vector256<float>.Zero, a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
        Vector256<short> ones = Vector256<short>.One;
        Vector256<byte> lower = Vector256.Create((byte)15);
        sbyte* x = X;
        int* start = Starts;
        byte* again = packed;
        nint third = 2 * apart, fourth = 3 * apart, scalesThird = 2 * scalesApart, scalesFourth = 3 * scalesApart;
        for (float* end = scales + WordsPerRow; scales < end; scales += 2, packed += 64, again += 64, x += 128, start += 32)
        {
            Sse.Prefetch0(packed + Int8Rows.LineAhead);
            Sse.Prefetch0(packed + apart + Int8Rows.LineAhead);
            Sse.Prefetch0(packed + third + Int8Rows.LineAhead);
            Sse.Prefetch0(packed + fourth + Int8Rows.LineAhead);
            Vector256<sbyte> input = Vector256.Load(x);
            Vector256<int> begin = Vector256.Load(start);
            a0 = Piece(a0, Vector256.Load(packed) & lower, input, begin, ones, scales);
            b0 = Piece(b0, Vector256.Load(packed + apart) & lower, input, begin, ones, scales + scalesApart);
            c0 = Piece(c0, Vector256.Load(packed + third) & lower, input, begin, ones, scales + scalesThird);
            d0 = Piece(d0, Vector256.Load(packed + fourth) & lower, input, begin, ones, scales + scalesFourth);
            input = Vector256.Load(x + 32);
            begin = Vector256.Load(start + 8);
            a1 = Piece(a1, Vector256.Load(packed + 32) & lower, input, begin, ones, scales);
            b1 = Piece(b1, Vector256.Load(packed + apart + 32) & lower, input, begin, ones, scales + scalesApart);
            c1 = Piece(c1, Vector256.Load(packed + third + 32) & lower, input, begin, ones, scales + scalesThird);
            d1 = Piece(d1, Vector256.Load(packed + fourth + 32) & lower, input, begin, ones, scales + scalesFourth);
            input = Vector256.Load(x + 64);
            begin = Vector256.Load(start + 16);
            a0 = Piece(a0, Upper(again) & lower, input, begin, ones, scales + 1);
            b0 = Piece(b0, Upper(again + apart) & lower, input, begin, ones, scales + scalesApart + 1);
            c0 = Piece(c0, Upper(again + third) & lower, input, begin, ones, scales + scalesThird + 1);
            d0 = Piece(d0, Upper(again + fourth) & lower, input, begin, ones, scales + scalesFourth + 1);
            input = Vector256.Load(x + 96);
            begin = Vector256.Load(start + 24);
            a1 = Piece(a1, Upper(again + 32) & lower, input, begin, ones, scales + 1);
            b1 = Piece(b1, Upper(again + apart + 32) & lower, input, begin, ones, scales + scalesApart + 1);
            c1 = Piece(c1, Upper(again + third + 32) & lower, input, begin, ones, scales + scalesThird + 1);
            d1 = Piece(d1, Upper(again + fourth + 32) & lower, input, begin, ones, scales + scalesFourth + 1);
        }
        a0.Store(lanes);
        a1.Store(lanes + 8);
        b0.Store(lanes + 16);
        b1.Store(lanes + 24);
        c0.Store(lanes + 32);
        c1.Store(lanes + 40);
        d0.Store(lanes + 48);
        d1.Store(lanes + 56);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Upper(byte* packed) => Vector256.ShiftRightLogical(Vector256.Load((ushort*)packed), 4).AsByte();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Piece(Vector256<float> sum, Vector256<byte> w, Vector256<sbyte> x, Vector256<int> start, Vector256<short> ones, float* factor) =>
        Fma.MultiplyAdd(Vector256.ConvertToSingle(start + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(w, x), ones)), Vector256.Create(*factor), sum);

    /// <summary>128 columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Line(byte* packed, float* scales, sbyte* x, int* start, Vector256<short> ones, Vector256<byte> lower, ref Vector256<float> low, ref Vector256<float> high)
    {
        Vector256<byte> first = Vector256.Load(packed), second = Vector256.Load(packed + 32);
        Vector256<float> factor = Vector256.Create(scales[0]);
        low = Piece(low, first & lower, x, start, ones, factor);
        high = Piece(high, second & lower, x + 32, start + 8, ones, factor);
        factor = Vector256.Create(scales[1]);
        low = Piece(low, Vector256.ShiftRightLogical(first.AsUInt16(), 4).AsByte() & lower, x + 64, start + 16, ones, factor);
        high = Piece(high, Vector256.ShiftRightLogical(second.AsUInt16(), 4).AsByte() & lower, x + 96, start + 24, ones, factor);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Piece(Vector256<float> sum, Vector256<byte> w, sbyte* x, int* start, Vector256<short> ones, Vector256<float> factor) =>
        Fma.MultiplyAdd(Vector256.ConvertToSingle(Vector256.Load(start) + Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(w, Vector256.Load(x)), ones)), factor, sum);

    /// <summary>A row under a mask of values from -8 to 7, spread in registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Masked256(byte* values, ulong* bits, float* scales, float* lanes)
    {
        Vector256<float> low = Vector256<float>.Zero, high = low;
        Vector256<short> ones = Vector256<short>.One, a = Vector256<short>.Zero, b = a;
        sbyte* x = X, s = Signs;
        int* start = Starts;
        // A piece is a word, one pair of words, or two.
        int pairsLeft = Math.Max(1, WordsPerPiece / 2), words = WordsPerRow;
        bool single = WordsPerPiece == 1;
        for (; words > 1; words -= 2, bits += 2, x += 128, s += 128)
        {
            NibbleExpansion.Controls(Avx2.BroadcastVector128ToVector256((byte*)bits), out Vector256<byte> c0, out Vector256<byte> c1, out Vector256<byte> c2, out Vector256<byte> c3);
            NibbleExpansion.Spread first = NibbleExpansion.Take(ref values, bits[0], c0, c1, asks: false), second = NibbleExpansion.Take(ref values, bits[1], c2, c3, asks: false);
            a += Pairs(first.Low, x, s);
            b += Pairs(first.High, x + 32, s + 32);
            if (single)
            {
                low = Flush(low, a, start, ones, *scales);
                high = Flush(high, b, start + 8, ones, *scales++);
                a = b = Vector256<short>.Zero;
                start += 16;
            }
            a += Pairs(second.Low, x + 64, s + 64);
            b += Pairs(second.High, x + 96, s + 96);
            if (--pairsLeft > 0) continue;
            low = Flush(low, a, start, ones, *scales);
            high = Flush(high, b, start + 8, ones, *scales++);
            a = b = Vector256<short>.Zero;
            start += 16;
            pairsLeft = Math.Max(1, WordsPerPiece / 2);
        }
        if (words > 0)
        {
            NibbleExpansion.Controls(Vector256.Create(*bits).AsByte(), out Vector256<byte> c0, out Vector256<byte> c1, out _, out _);
            NibbleExpansion.Spread last = NibbleExpansion.Take(ref values, *bits, c0, c1, asks: false);
            a += Pairs(last.Low, x, s);
            b += Pairs(last.High, x + 32, s + 32);
        }
        if ((WordsPerRow & (WordsPerPiece - 1)) != 0 || words > 0)
        {
            low = Flush(low, a, start, ones, *scales);
            high = Flush(high, b, start + 8, ones, *scales);
        }
        low.Store(lanes);
        high.Store(lanes + 8);
    }

    /// <summary>Eight products of at most 8 x 127 fit into 16 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Pairs(Vector256<byte> w, sbyte* x, sbyte* s) => Avx2.MultiplyAddAdjacent(Vector256.Load((byte*)x), w.AsSByte() ^ Vector256.Load(s));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Flush(Vector256<float> sum, Vector256<short> piece, int* start, Vector256<short> ones, float scale) =>
        Fma.MultiplyAdd(Vector256.ConvertToSingle(Vector256.Load(start) + Avx2.MultiplyAddAdjacent(piece, ones)), Vector256.Create(scale), sum);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Dense256(byte* w, float* scales, float* lanes)
    {
        Vector256<float> low = Vector256<float>.Zero, high = low;
        Vector256<short> ones = Vector256<short>.One;
        int words = WordsPerRow, each = WordsPerPiece;
        sbyte* x = X;
        int* start = Starts;
        for (int p = 0; words > 0; words -= each, start += 16, p++)
        {
            Vector256<short> a = Vector256<short>.Zero, b = a;
            for (int i = Math.Min(words, each); i > 0; i--, w += 64, x += 64)
            {
                a += Avx2.MultiplyAddAdjacent(Vector256.Load(w), Vector256.Load(x));
                b += Avx2.MultiplyAddAdjacent(Vector256.Load(w + 32), Vector256.Load(x + 32));
            }
            Vector256<float> factor = Vector256.Create(scales[p]);
            low = Fma.MultiplyAdd(Vector256.ConvertToSingle(Vector256.Load(start) + Avx2.MultiplyAddAdjacent(a, ones)), factor, low);
            high = Fma.MultiplyAdd(Vector256.ConvertToSingle(Vector256.Load(start + 8) + Avx2.MultiplyAddAdjacent(b, ones)), factor, high);
        }
        low.Store(lanes);
        high.Store(lanes + 8);
    }
}

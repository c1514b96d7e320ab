using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Rows of 8-bit integers, all entries or those under a mask, times a <see cref="QuantizedInput"/>. Column c joins lane (c % 64) / 4.</summary>
internal unsafe struct Int8Rows : IRowSum
{
    /// <summary>Bytes ahead that each of four dense rows of integers is asked for: half of what singles take. From memory 128 to 256 were as fast as reading, 512 took 1.1 to 1.3 of their time, 1024 1.5 (Zen 3, in C).</summary>
    public const int LineAhead = 256;

    // Times four rows of one call of the code: their sums are 4 KiB, and stay in the first cache.
    private const int FoursOfCall = 16;

    // The collector waits for a call: long rows make calls of fewer of them, a few tens of microseconds from memory.
    private const long BytesOfCall = 256 << 10;

    public int Columns;
    public int WordsPerRow;

    /// <summary>Null when every entry has a value.</summary>
    public ulong* Bits;

    /// <summary>Values before each row; only with bits.</summary>
    public long* Counts;
    public sbyte* Values;

    /// <summary>Magnitudes of the input; with code the input itself.</summary>
    public sbyte* X;
    public sbyte* Signs;
    public int* Starts;
    public float* InputScales;
    public SimdLevel Level;

    /// <summary>From this row on registers would read past the end of the values.</summary>
    public int WideRows;

    /// <summary>Whether <see cref="VectorCode"/> is used; the input has its signs then.</summary>
    public bool UsesCode;

    /// <summary>With bits: facts about each row, see <see cref="VectorCode"/>.</summary>
    public byte* Flags;

    public readonly int ScratchBytes => WordsPerRow * 64;

    public readonly int FourUpTo => UsesCode || (Bits == null ? Uses256 && Level < SimdLevel.Vector512 : Level >= SimdLevel.Vector512 && MaskLanes.IsSupported) ? WideRows : 0;

    private readonly bool Uses256 => Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported;

    public readonly float Row(int row, byte* scratch)
    {
        float* lanes = stackalloc float[Lanes.Count];
        sbyte* values = Values + (Bits == null ? (nint)row * Columns : (nint)Counts[row]);
        ulong* bits = Bits == null ? null : Bits + ((nint)row * WordsPerRow);
        bool wide = row < WideRows;
        if (wide && UsesCode)
        {
            VectorCode.Arguments arguments = new() { Bits0 = bits, Values0 = values, X = X, Starts = Starts, Scales = InputScales, Blocks = WordsPerRow / 4, Rest = WordsPerRow % 4, Lanes = lanes, Groups = 1 };
            VectorCode.Run(VectorCode.All[bits == null ? VectorCode.Code.Int8Full : VectorCode.Code.Int8, false, bits != null && (Flags[row] & VectorCode.IsNarrow) != 0], &arguments);
            return DotKernel.Fold(lanes);
        }
        if (wide && !UsesCode && Level >= SimdLevel.Vector512 && Avx512BW.IsSupported && (bits == null || MaskLanes.IsSupported))
        {
            if (bits == null) Dense512(values, lanes);
            else Masked512(values, bits, lanes);
            return DotKernel.Fold(lanes);
        }
        bool avx = Uses256;
        if (wide && avx && bits != null && !UsesCode && NibbleExpansion.IsFast)
        {
            Masked256(values, bits, lanes);
            return DotKernel.Fold(lanes);
        }
        sbyte* w = (sbyte*)scratch;
        if (bits == null)
        {
            if (wide) w = values;
            else new Span<sbyte>(values, Columns).CopyTo(new Span<sbyte>(scratch, Columns));
        }
        else if (wide && avx)
        {
            ByteExpansion.Shuffle((byte*)values, bits, WordsPerRow, scratch, 0);
        }
        else
        {
            ByteExpansion.Portable((byte*)values, bits, WordsPerRow, scratch, 0);
        }
        if (avx && !UsesCode) Dense256(w, lanes);
        else Portable(w, lanes);
        return DotKernel.Fold(lanes);
    }

    /// <summary>The definition, for a row of which every entry has a value; what lies between its end and a multiple of 64 meets zeros of the input.</summary>
    private readonly void Portable(sbyte* w, float* lanes)
    {
        new Span<float>(lanes, Lanes.Count).Clear();
        int* sums = stackalloc int[Lanes.Count];
        for (int first = 0, b = 0; first < Columns; first += QuantizedInput.Block, b++)
        {
            new Span<int>(sums, Lanes.Count).Clear();
            for (int c = first, end = Math.Min(first + QuantizedInput.Block, Columns); c < end; c++) sums[(c & 63) >> 2] += w[c] * (!UsesCode && Signs[c] < 0 ? -X[c] : X[c]);
            for (int t = 0; t < Lanes.Count; t++) lanes[t] = MathF.FusedMultiplyAdd(sums[t], InputScales[b], lanes[t]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Dense512(sbyte* w, float* lanes)
    {
        Vector512<float> sum = Vector512<float>.Zero;
        Vector512<short> ones = Vector512<short>.One;
        int words = WordsPerRow;
        sbyte* x = X, s = Signs;
        int* start = Starts;
        float* scale = InputScales;
        for (; words > 0; words -= 4, start += 16, scale++)
        {
            Vector512<int> block = Vector512.Load(start);
            for (int i = Math.Min(words, 4); i > 0; i--, w += 64, x += 64, s += 64) block += Product(Vector512.Load(w), x, s, ones);
            sum = Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(block), Vector512.Create(*scale), sum);
        }
        sum.Store(lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Masked512(sbyte* w, ulong* bits, float* lanes)
    {
        Vector512<float> sum = Vector512<float>.Zero;
        sbyte* x = X, s = Signs;
        int* start = Starts;
        float* scale = InputScales;
        for (int words = WordsPerRow; words > 0; words -= 4, start += 16, scale++)
        {
            Vector512<int> block = Vector512.Load(start);
            for (int i = Math.Min(words, 4); i > 0; i--, bits++, x += 64, s += 64) block += Word(bits, ref w, Vector512.Load((byte*)x), Vector512.Load(s));
            sum = Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(block), Vector512.Create(*scale), sum);
        }
        sum.Store(lanes);
    }

    /// <inheritdoc/>
    [SkipLocalsInit]
    public readonly void Four(int row, int count, int distance, float* sums, byte* scratch)
    {
        if (!UsesCode)
        {
            for (int i = 0; i < count; i++) Four(row + i, distance, sums + (4 * i));
            return;
        }
        float* lanes = stackalloc float[4 * Lanes.Count * FoursOfCall];
        VectorCode.Arguments arguments = new() { X = X, Starts = Starts, Scales = InputScales, Blocks = WordsPerRow / 4, Rest = WordsPerRow % 4, Gap = Columns - (64 * WordsPerRow) };
        // Every call begins where the one before it ended: where rows begin is looked up once, for it comes from memory as well.
        VectorCode.FourRows(&arguments, Bits, WordsPerRow, (byte*)Values, sizeof(sbyte), Counts, row, distance, Columns);
        int most = (int)Math.Clamp(BytesOfCall / (4 * 64 * Math.Max(1L, WordsPerRow)), 1, FoursOfCall);
        for (int fours; count > 0; row += fours, count -= fours)
        {
            fours = Math.Min(count, most);
            bool narrow = false;
            if (Bits != null)
            {
                narrow = VectorCode.All4(Flags, row, distance, VectorCode.IsNarrow);
                fours = VectorCode.Alike(Flags, row, fours, distance, VectorCode.IsNarrow);
            }
            arguments.Lanes = lanes;
            arguments.Groups = fours;
            VectorCode.Run(VectorCode.All[Bits == null ? VectorCode.Code.Int8Full : VectorCode.Code.Int8, true, narrow], &arguments);
            for (int i = 0; i < fours; i++, sums += 4) DotKernel.FoldFour(lanes + (4 * Lanes.Count * i), sums);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Four(int row, int distance, float* sums)
    {
        float* lanes = stackalloc float[64];
        if (Bits == null)
        {
            Full256(row, distance, lanes);
            DotKernel.FoldFour(lanes, sums);
            return;
        }
        Vector512<float> sa = Vector512<float>.Zero, sb = sa, sc = sa, sd = sa;
        sbyte* va = Values + Counts[row], vb = Values + Counts[row + distance], vc = Values + Counts[row + (2 * distance)], vd = Values + Counts[row + (3 * distance)];
        nint apart = (nint)distance * WordsPerRow;
        ulong* a = Bits + ((nint)row * WordsPerRow), b = a + apart, c = b + apart, d = c + apart;
        int* start = Starts;
        float* scale = InputScales;
        for (nint w = 0, words = WordsPerRow; w < words; start += 16, scale++)
        {
            Vector512<int> ba = Vector512.Load(start), bb = ba, bc = ba, bd = ba;
            for (nint end = nint.Min(words, w + 4); w < end; w++)
            {
                Vector512<byte> x = Vector512.Load((byte*)X + (64 * w));
                Vector512<sbyte> s = Vector512.Load(Signs + (64 * w));
                ba += Word(a + w, ref va, x, s);
                bb += Word(b + w, ref vb, x, s);
                bc += Word(c + w, ref vc, x, s);
                bd += Word(d + w, ref vd, x, s);
            }
            Vector512<float> factor = Vector512.Create(*scale);
            sa = Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(ba), factor, sa);
            sb = Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(bb), factor, sb);
            sc = Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(bc), factor, sc);
            sd = Avx512F.FusedMultiplyAdd(Vector512.ConvertToSingle(bd), factor, sd);
        }
        FloatRows.Store(lanes, sa, sb, sc, sd);
        DotKernel.FoldFour(lanes, sums);
    }

    /// <summary>64 columns of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Word(ulong* bits, ref sbyte* values, Vector512<byte> x, Vector512<sbyte> s)
    {
        Vector512<sbyte> w = Avx512Vbmi2.Expand(Vector512<byte>.Zero, MaskLanes.Bytes(bits, MaskLanes.ByteShifts), Vector512.Load((byte*)values)).AsSByte();
        values += BitOperations.PopCount(*bits);
        return Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(x, w ^ s), Vector512<short>.One);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<int> Product(Vector512<sbyte> w, sbyte* x, sbyte* s, Vector512<short> ones) =>
        // Two products of at most 127 x 128 fit into 16 bits.
        Avx512BW.MultiplyAddAdjacent(Avx512BW.MultiplyAddAdjacent(Vector512.Load((byte*)x), w ^ Vector512.Load(s)), ones);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Dense256(sbyte* w, float* lanes)
    {
        Vector256<float> low = Vector256<float>.Zero, high = low;
        Vector256<short> ones = Vector256<short>.One;
        int words = WordsPerRow;
        sbyte* x = X, s = Signs;
        int* start = Starts;
        float* scale = InputScales;
        for (; words > 0; words -= 4, start += 16, scale++)
        {
            Vector256<int> a = Vector256.Load(start), b = Vector256.Load(start + 8);
            for (int i = Math.Min(words, 4); i > 0; i--, w += 64, x += 64, s += 64)
            {
                a += Product(w, x, s, ones);
                b += Product(w + 32, x + 32, s + 32, ones);
            }
            Vector256<float> factor = Vector256.Create(*scale);
            low = Fma.MultiplyAdd(Vector256.ConvertToSingle(a), factor, low);
            high = Fma.MultiplyAdd(Vector256.ConvertToSingle(b), factor, high);
        }
        low.Store(lanes);
        high.Store(lanes + 8);
    }

    /// <summary>A row under a mask, spread in registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Masked256(sbyte* w, ulong* bits, float* lanes)
    {
        Vector256<float> low = Vector256<float>.Zero, high = low;
        Vector256<short> ones = Vector256<short>.One;
        byte* values = (byte*)w;
        sbyte* x = X, s = Signs;
        int* start = Starts;
        float* scale = InputScales;
        for (int words = WordsPerRow; words > 0; words -= 4, start += 16, scale++)
        {
            Vector256<int> a = Vector256.Load(start), b = Vector256.Load(start + 8);
            int i = Math.Min(words, 4);
            for (; i > 1; i -= 2, bits += 2, x += 128, s += 128)
            {
                NibbleExpansion.Controls(Avx2.BroadcastVector128ToVector256((byte*)bits), out Vector256<byte> c0, out Vector256<byte> c1, out Vector256<byte> c2, out Vector256<byte> c3);
                NibbleExpansion.Spread first = NibbleExpansion.Take(ref values, bits[0], c0, c1), second = NibbleExpansion.Take(ref values, bits[1], c2, c3);
                a += Product(first.Low, x, s, ones);
                b += Product(first.High, x + 32, s + 32, ones);
                a += Product(second.Low, x + 64, s + 64, ones);
                b += Product(second.High, x + 96, s + 96, ones);
            }
            if (i > 0)
            {
                NibbleExpansion.Controls(Vector256.Create(*bits).AsByte(), out Vector256<byte> c0, out Vector256<byte> c1, out _, out _);
                NibbleExpansion.Spread last = NibbleExpansion.Take(ref values, *bits, c0, c1);
                a += Product(last.Low, x, s, ones);
                b += Product(last.High, x + 32, s + 32, ones);
            }
            Vector256<float> factor = Vector256.Create(*scale);
            low = Fma.MultiplyAdd(Vector256.ConvertToSingle(a), factor, low);
            high = Fma.MultiplyAdd(Vector256.ConvertToSingle(b), factor, high);
        }
        low.Store(lanes);
        high.Store(lanes + 8);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Product(Vector256<byte> w, sbyte* x, sbyte* s, Vector256<short> ones) => Product(w.AsSByte(), Vector256.Load((byte*)x), Vector256.Load(s), ones);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Product(sbyte* w, sbyte* x, sbyte* s, Vector256<short> ones) => Product(Vector256.Load(w), Vector256.Load((byte*)x), Vector256.Load(s), ones);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Product(Vector256<sbyte> w, Vector256<byte> x, Vector256<sbyte> s, Vector256<short> ones) =>
        Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(x, w ^ s), ones);

    /// <summary>Four rows of which every entry has a value: they share the loads of the input, and memory is read as four streams.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Full256(int row, int distance, float* lanes)
    {
        new Span<float>(lanes, 4 * Lanes.Count).Clear();
        bool asks = !VectorUnits.AreHalf256;
        Vector256<short> ones = Vector256<short>.One;
        nint apart = (nint)distance * Columns;
        sbyte* a = Values + ((nint)row * Columns), b = a + apart, c = b + apart, d = c + apart, x = X, s = Signs;
        int* start = Starts;
        float* scale = InputScales;
        for (int words = WordsPerRow; words > 0; words -= 4, start += 16, scale++)
        {
            Vector256<int> a0 = Vector256.Load(start), a1 = Vector256.Load(start + 8), b0 = a0, b1 = a1, c0 = a0, c1 = a1, d0 = a0, d1 = a1;
            for (int i = Math.Min(words, 4); i > 0; i--, a += 64, b += 64, c += 64, d += 64, x += 64, s += 64)
            {
                if (asks)
                {
                    Sse.Prefetch0(a + LineAhead);
                    Sse.Prefetch0(b + LineAhead);
                    Sse.Prefetch0(c + LineAhead);
                    Sse.Prefetch0(d + LineAhead);
                }
                Vector256<byte> inputs = Vector256.Load((byte*)x);
                Vector256<sbyte> signs = Vector256.Load(s);
                a0 += Product(Vector256.Load(a), inputs, signs, ones);
                b0 += Product(Vector256.Load(b), inputs, signs, ones);
                c0 += Product(Vector256.Load(c), inputs, signs, ones);
                d0 += Product(Vector256.Load(d), inputs, signs, ones);
                inputs = Vector256.Load((byte*)x + 32);
                signs = Vector256.Load(s + 32);
                a1 += Product(Vector256.Load(a + 32), inputs, signs, ones);
                b1 += Product(Vector256.Load(b + 32), inputs, signs, ones);
                c1 += Product(Vector256.Load(c + 32), inputs, signs, ones);
                d1 += Product(Vector256.Load(d + 32), inputs, signs, ones);
            }
            Vector256<float> factor = Vector256.Create(*scale);
            Flush(lanes, a0, a1, factor);
            Flush(lanes + 16, b0, b1, factor);
            Flush(lanes + 32, c0, c1, factor);
            Flush(lanes + 48, d0, d1, factor);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Flush(float* lanes, Vector256<int> low, Vector256<int> high, Vector256<float> factor)
    {
        Fma.MultiplyAdd(Vector256.ConvertToSingle(low), factor, Vector256.Load(lanes)).Store(lanes);
        Fma.MultiplyAdd(Vector256.ConvertToSingle(high), factor, Vector256.Load(lanes + 8)).Store(lanes + 8);
    }
}

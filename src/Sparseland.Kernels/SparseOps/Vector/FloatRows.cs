using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Single-precision rows, all entries or those under a mask. Column c joins lane c % 64; in masked rows of at most 16 values a word the j-th of each word joins lane j (<see cref="VectorCode.IsRanked"/>).</summary>
/// <remarks>
/// 64 partial sums are four registers of 512 bits: enough to hide the latency of a multiply-add within one row.
/// Registers multiply removed entries as zeros; so inputs that are not finite take <see cref="Portable"/>, which touches stored
/// entries only. For finite inputs both give the same bits: a zero product changes no sum but one of -0, which underflow leaves, and that the last addition makes +0.
/// </remarks>
internal unsafe struct FloatRows : IRowSum
{
    /// <summary>More bytes than the caches of a small machine hold.</summary>
    public const int FarBytes = 8 << 20;

    /// <summary>Bytes ahead that memory is asked for where a line of each row is taken in turn.</summary>
    public const int LineAhead = 512;

    // Bytes ahead that values under a mask are asked for where units of 256 bits are whole.
    private const int MaskAhead = 3072;

    public int Columns;
    public int WordsPerRow;

    /// <summary>Null when every entry has a value.</summary>
    public ulong* Bits;

    /// <summary>Values before each row; only with bits.</summary>
    public long* Counts;
    public float* Values;

    /// <summary>The input, zeros up to a multiple of 64, and one more.</summary>
    public float* X;
    public SimdLevel Level;

    /// <summary>From this row on registers would read past the end of the values.</summary>
    public int WideRows;

    /// <summary>With bits: facts about each row, see <see cref="VectorCode"/>.</summary>
    public byte* Flags;

    /// <summary>Whether <see cref="VectorCode"/> is used.</summary>
    public bool UsesCode;

    public readonly int ScratchBytes => 0;

    public readonly int FourUpTo => (Level >= SimdLevel.Vector512 && Avx512F.IsSupported) || (Bits == null && Uses256 && IsFar) ? WideRows : 0;

    // Where rows take turns, their sums are loaded and stored, which cost a third of the time in the caches (31 cycles for 64 columns as one stream, 48 in turns) and pays beside memory.
    private readonly bool IsFar => (long)WideRows * Columns * sizeof(float) > FarBytes;

    private readonly bool Uses256 => Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported;

    public readonly float Row(int row, byte* scratch)
    {
        float* lanes = stackalloc float[64];
        float* values = Values + (Bits == null ? (nint)row * Columns : (nint)Counts[row]);
        ulong* bits = Bits == null ? null : Bits + ((nint)row * WordsPerRow);
        if (bits != null && (Flags[row] & VectorCode.IsRanked) != 0)
        {
            if (row < WideRows && UsesCode)
            {
                VectorCode.Arguments ranked = new() { Bits0 = bits, Values0 = values };
                VectorCode.RankedRows(&ranked, false, X, WordsPerRow, lanes);
            }
            else if (Uses256)
            {
                Ranked256(values, bits, WordsPerRow, X, ExpandTables.FirstLanes, VectorUnits.AreHalf256 ? 0 : MaskAhead, lanes);
            }
            else
            {
                Ranked(values, bits, lanes);
            }
            return DotKernel.Fold(lanes) + 0f;
        }
        if (bits != null && row < WideRows && UsesCode)
        {
            VectorCode.Arguments arguments = new() { Bits0 = bits, Values0 = values, X = X, Blocks = WordsPerRow, Lanes = lanes, Groups = 1 };
            VectorCode.Run(VectorCode.All[VectorCode.Code.Float32, false, (Flags[row] & VectorCode.IsNarrow) != 0], &arguments);
        }
        else if (row < WideRows && Level >= SimdLevel.Vector512 && Avx512F.IsSupported)
        {
            if (bits == null) Dense512(values, lanes);
            else Masked512(values, bits, lanes);
        }
        else if (row < WideRows && Uses256)
        {
            if (bits == null) Dense256(values, lanes);
            else Masked256(values, (byte*)bits, WordsPerRow, X, ExpandTables.Places, VectorUnits.AreHalf256 ? 0 : MaskAhead, lanes);
        }
        else
        {
            Portable(values, bits, lanes);
        }
        return Fold(lanes);
    }

    /// <summary>The sum of 64 lanes in one order on every level; zero is +0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Fold(float* lanes)
    {
        for (int t = 0; t < Lanes.Count; t += 4)
        {
            Vector128<float> first = Vector128.Load(lanes + t) + Vector128.Load(lanes + t + 16), second = Vector128.Load(lanes + t + 32) + Vector128.Load(lanes + t + 48);
            (first + second).Store(lanes + t);
        }
        return DotKernel.Fold(lanes) + 0f;
    }

    /// <summary>The definition.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Portable(float* values, ulong* bits, float* lanes)
    {
        new Span<float>(lanes, 64).Clear();
        float* x = X;
        if (bits == null)
        {
            for (int c = 0; c < Columns; c++) lanes[c & 63] = MathF.FusedMultiplyAdd(values[c], x[c], lanes[c & 63]);
            return;
        }
        for (int w = 0; w < WordsPerRow; w++, x += 64)
        {
            for (ulong word = bits[w]; word != 0; word &= word - 1)
            {
                int c = BitOperations.TrailingZeroCount(word);
                lanes[c] = MathF.FusedMultiplyAdd(*values++, x[c], lanes[c]);
            }
        }
    }

    /// <summary>The definition for rows of few values, of 16 sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Ranked(float* values, ulong* bits, float* lanes)
    {
        new Span<float>(lanes, Lanes.Count).Clear();
        float* x = X;
        for (int w = 0; w < WordsPerRow; w++, x += 64)
        {
            int rank = 0;
            for (ulong word = bits[w]; word != 0; word &= word - 1, rank++) lanes[rank] = MathF.FusedMultiplyAdd(*values++, x[BitOperations.TrailingZeroCount(word)], lanes[rank]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Dense512(float* w, float* lanes)
    {
        Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        nint columns = Columns, whole = columns & ~63;
        float* x = X;
        for (nint c = 0; c < whole; c += 64)
        {
            s0 = Avx512F.FusedMultiplyAdd(Vector512.Load(x + c), Vector512.Load(w + c), s0);
            s1 = Avx512F.FusedMultiplyAdd(Vector512.Load(x + c + 16), Vector512.Load(w + c + 16), s1);
            s2 = Avx512F.FusedMultiplyAdd(Vector512.Load(x + c + 32), Vector512.Load(w + c + 32), s2);
            s3 = Avx512F.FusedMultiplyAdd(Vector512.Load(x + c + 48), Vector512.Load(w + c + 48), s3);
        }
        s0.Store(lanes);
        s1.Store(lanes + 16);
        s2.Store(lanes + 32);
        s3.Store(lanes + 48);
        for (nint c = whole; c < columns; c++) lanes[c - whole] = MathF.FusedMultiplyAdd(w[c], x[c], lanes[c - whole]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Masked512(float* v, ulong* bits, float* lanes)
    {
        Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        float* x = X;
        for (ulong* end = bits + WordsPerRow; bits < end; bits++, x += 64)
            Word(bits, ref v, Vector512.Load(x), Vector512.Load(x + 16), Vector512.Load(x + 32), Vector512.Load(x + 48), ref s0, ref s1, ref s2, ref s3);
        Store(lanes, s0, s1, s2, s3);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Four(int row, int count, int distance, float* sums, byte* scratch)
    {
        for (int i = 0; i < count; i++) Four(row + i, distance, sums + (4 * i), scratch);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Four(int row, int distance, float* sums, byte* scratch)
    {
        // Room to begin with a line.
        float* room = stackalloc float[256 + (LineMemory.Line / sizeof(float))], lanes = room;
        if (Bits == null)
        {
            if (Level >= SimdLevel.Vector512 && Avx512F.IsSupported)
            {
                Full(row, distance, lanes);
            }
            else
            {
                // They are loaded and stored as often as rows take turns.
                lanes = (float*)(((nint)room + LineMemory.Line - 1) & -LineMemory.Line);
                if (VectorUnits.AreHalf256) Full256(row, distance, lanes);
                else Lines256(row, distance, lanes);
            }
            for (int i = 0; i < 4; i++) sums[i] = Fold(lanes + (64 * i));
            return;
        }
        bool ranked = VectorCode.All4(Flags, row, distance, VectorCode.IsRanked);
        if (ranked ? !UsesCode : VectorCode.Any4(Flags, row, distance, VectorCode.IsRanked))
        {
            for (int i = 0; i < 4; i++) sums[i] = Row(row + (i * distance), scratch);
            return;
        }
        if (ranked)
        {
            VectorCode.Arguments arguments = default;
            VectorCode.FourRows(&arguments, Bits, WordsPerRow, (byte*)Values, sizeof(float), Counts, row, distance);
            VectorCode.RankedRows(&arguments, true, X, WordsPerRow, lanes);
            DotKernel.FoldFour(lanes, sums);
            (Vector128.Load(sums) + Vector128<float>.Zero).Store(sums);
            return;
        }
        if (UsesCode)
        {
            VectorCode.Arguments arguments = default;
            VectorCode.FourRows(&arguments, Bits, WordsPerRow, (byte*)Values, sizeof(float), Counts, row, distance);
            arguments.X = X;
            arguments.Blocks = WordsPerRow;
            arguments.Lanes = lanes;
            arguments.Groups = 1;
            VectorCode.Run(VectorCode.All[VectorCode.Code.Float32, true, VectorCode.All4(Flags, row, distance, VectorCode.IsNarrow)], &arguments);
            for (int i = 0; i < 4; i++) sums[i] = Fold(lanes + (64 * i));
            return;
        }
        Vector512<float> a0 = Vector512<float>.Zero, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
        float* va = Values + Counts[row], vb = Values + Counts[row + distance], vc = Values + Counts[row + (2 * distance)], vd = Values + Counts[row + (3 * distance)];
        nint apart = (nint)distance * WordsPerRow;
        ulong* a = Bits + ((nint)row * WordsPerRow), b = a + apart, c = b + apart, d = c + apart;
        float* x = X;
        for (nint w = 0, words = WordsPerRow; w < words; w++, x += 64)
        {
            Vector512<float> x0 = Vector512.Load(x), x1 = Vector512.Load(x + 16), x2 = Vector512.Load(x + 32), x3 = Vector512.Load(x + 48);
            Word(a + w, ref va, x0, x1, x2, x3, ref a0, ref a1, ref a2, ref a3);
            Word(b + w, ref vb, x0, x1, x2, x3, ref b0, ref b1, ref b2, ref b3);
            Word(c + w, ref vc, x0, x1, x2, x3, ref c0, ref c1, ref c2, ref c3);
            Word(d + w, ref vd, x0, x1, x2, x3, ref d0, ref d1, ref d2, ref d3);
        }
        Store(lanes, a0, a1, a2, a3);
        Store(lanes + 64, b0, b1, b2, b3);
        Store(lanes + 128, c0, c1, c2, c3);
        Store(lanes + 192, d0, d1, d2, d3);
        for (int i = 0; i < 4; i++) sums[i] = Fold(lanes + (64 * i));
    }

    /// <summary>Four rows of which every entry has a value. As four streams memory is read faster than as one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Full(int row, int distance, float* lanes)
    {
        Vector512<float> a0 = Vector512<float>.Zero, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
        nint columns = Columns, whole = columns & ~63, apart = (nint)distance * columns;
        float* a = Values + ((nint)row * columns), b = a + apart, c = b + apart, d = c + apart, x = X;
        for (nint i = 0; i < whole; i += 64)
        {
            Vector512<float> x0 = Vector512.Load(x + i), x1 = Vector512.Load(x + i + 16), x2 = Vector512.Load(x + i + 32), x3 = Vector512.Load(x + i + 48);
            a0 = Avx512F.FusedMultiplyAdd(Vector512.Load(a + i), x0, a0);
            a1 = Avx512F.FusedMultiplyAdd(Vector512.Load(a + i + 16), x1, a1);
            a2 = Avx512F.FusedMultiplyAdd(Vector512.Load(a + i + 32), x2, a2);
            a3 = Avx512F.FusedMultiplyAdd(Vector512.Load(a + i + 48), x3, a3);
            b0 = Avx512F.FusedMultiplyAdd(Vector512.Load(b + i), x0, b0);
            b1 = Avx512F.FusedMultiplyAdd(Vector512.Load(b + i + 16), x1, b1);
            b2 = Avx512F.FusedMultiplyAdd(Vector512.Load(b + i + 32), x2, b2);
            b3 = Avx512F.FusedMultiplyAdd(Vector512.Load(b + i + 48), x3, b3);
            c0 = Avx512F.FusedMultiplyAdd(Vector512.Load(c + i), x0, c0);
            c1 = Avx512F.FusedMultiplyAdd(Vector512.Load(c + i + 16), x1, c1);
            c2 = Avx512F.FusedMultiplyAdd(Vector512.Load(c + i + 32), x2, c2);
            c3 = Avx512F.FusedMultiplyAdd(Vector512.Load(c + i + 48), x3, c3);
            d0 = Avx512F.FusedMultiplyAdd(Vector512.Load(d + i), x0, d0);
            d1 = Avx512F.FusedMultiplyAdd(Vector512.Load(d + i + 16), x1, d1);
            d2 = Avx512F.FusedMultiplyAdd(Vector512.Load(d + i + 32), x2, d2);
            d3 = Avx512F.FusedMultiplyAdd(Vector512.Load(d + i + 48), x3, d3);
        }
        Store(lanes, a0, a1, a2, a3);
        Store(lanes + 64, b0, b1, b2, b3);
        Store(lanes + 128, c0, c1, c2, c3);
        Store(lanes + 192, d0, d1, d2, d3);
        for (int r = 0; r < 4; r++, lanes += 64, a += apart)
        {
            for (nint i = whole; i < columns; i++) lanes[i - whole] = MathF.FusedMultiplyAdd(a[i], x[i], lanes[i - whole]);
        }
    }

    /// <summary>64 columns of one row, 16 at a time; on a little-endian machine the word reads as pieces in order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Word(ulong* bits, ref float* v, Vector512<float> x0, Vector512<float> x1, Vector512<float> x2, Vector512<float> x3,
        ref Vector512<float> s0, ref Vector512<float> s1, ref Vector512<float> s2, ref Vector512<float> s3)
    {
        Vector512<int> select = Vector512.Create(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768), upper = Vector512.ShiftLeft(select, 16);
        ulong word = *bits;
        // Read as floats, the bits are repeated by the load.
        float* halves = (float*)bits;
        s0 = Step(s0, halves, select, v, x0);
        v += BitOperations.PopCount((uint)(ushort)word);
        s1 = Step(s1, halves, upper, v, x1);
        v += BitOperations.PopCount((uint)(ushort)(word >> 16));
        s2 = Step(s2, halves + 1, select, v, x2);
        v += BitOperations.PopCount((uint)(ushort)(word >> 32));
        s3 = Step(s3, halves + 1, upper, v, x3);
        v += BitOperations.PopCount((uint)(word >> 48));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Step(Vector512<float> sum, float* bits, Vector512<int> select, float* values, Vector512<float> x)
    {
        Vector512<float> mask = (~Vector512.Equals(Vector512.Create(*bits).AsInt32() & select, Vector512<int>.Zero)).AsSingle();
        return Avx512F.FusedMultiplyAdd(Avx512F.Expand(Vector512<float>.Zero, mask, Vector512.Load(values)), x, sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* lanes, Vector512<float> s0, Vector512<float> s1, Vector512<float> s2, Vector512<float> s3)
    {
        s0.Store(lanes);
        s1.Store(lanes + 16);
        s2.Store(lanes + 32);
        s3.Store(lanes + 48);
    }

    private readonly void Dense256(float* w, float* lanes)
    {
        new Span<float>(lanes, 64).Clear();
        nint columns = Columns, whole = columns & ~63;
        Add256(w, X, whole, lanes);
        for (nint c = whole; c < columns; c++) lanes[c - whole] = MathF.FusedMultiplyAdd(w[c], X[c], lanes[c - whole]);
    }

    /// <summary>As <see cref="Full"/>. Eight registers hold the sums of one row, so rows take turns: with pieces of 128 columns memory was read at 17 GB/s, with pieces of 512 at 13.8, as one stream at 12.5 (Zen 1, one thread).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Full256(int row, int distance, float* lanes)
    {
        const int Piece = 128;
        new Span<float>(lanes, 256).Clear();
        nint columns = Columns, whole = columns & ~63, apart = (nint)distance * columns;
        float* w = Values + ((nint)row * columns), x = X;
        for (nint c = 0; c < whole; c += Piece)
        {
            nint count = nint.Min(Piece, whole - c);
            for (int r = 0; r < 4; r++) Add256(w + (r * apart) + c, x + c, count, lanes + (64 * r));
        }
        for (int r = 0; r < 4; r++, lanes += 64, w += apart)
        {
            for (nint i = whole; i < columns; i++) lanes[i - whole] = MathF.FusedMultiplyAdd(w[i], x[i], lanes[i - whole]);
        }
    }

    /// <summary>
    /// As <see cref="Full256"/>, a line of each row in turn, with sums that are loaded and stored for each. Memory was read at 13.6 GB/s and, asked for half a KiB ahead, at 15; with pieces of 64 to 256 columns at 9.5 to 11, asked for or not, and 2 KiB ahead at
    /// 11.7; the loop that only reads got 16 (Zen 3, one thread, in turn, in C).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Lines256(int row, int distance, float* lanes)
    {
        new Span<float>(lanes, 256).Clear();
        nint columns = Columns, whole = columns & ~63, apart = (nint)distance * columns;
        float* a = Values + ((nint)row * columns), b = a + apart, c = b + apart, d = c + apart, x = X;
        for (nint i = 0; i < whole; i += 16)
        {
            float* sums = lanes + (i & 63);
            Vector256<float> x0 = Vector256.Load(x + i), x1 = Vector256.Load(x + i + 8);
            Line(a + i, x0, x1, sums);
            Line(b + i, x0, x1, sums + 64);
            Line(c + i, x0, x1, sums + 128);
            Line(d + i, x0, x1, sums + 192);
        }
        for (int r = 0; r < 4; r++, lanes += 64, a += apart)
        {
            for (nint i = whole; i < columns; i++) lanes[i - whole] = MathF.FusedMultiplyAdd(a[i], x[i], lanes[i - whole]);
        }
    }

    /// <summary>16 columns of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Line(float* w, Vector256<float> x0, Vector256<float> x1, float* sums)
    {
        Sse.Prefetch0((byte*)w + LineAhead);
        Fma.MultiplyAdd(x0, Vector256.Load(w), Vector256.Load(sums)).Store(sums);
        Fma.MultiplyAdd(x1, Vector256.Load(w + 8), Vector256.Load(sums + 8)).Store(sums + 8);
    }

    /// <summary>Adds the products of a multiple of 64 columns to the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add256(float* w, float* x, nint columns, float* lanes)
    {
        Vector256<float> s0 = Vector256.Load(lanes), s1 = Vector256.Load(lanes + 8), s2 = Vector256.Load(lanes + 16), s3 = Vector256.Load(lanes + 24);
        Vector256<float> s4 = Vector256.Load(lanes + 32), s5 = Vector256.Load(lanes + 40), s6 = Vector256.Load(lanes + 48), s7 = Vector256.Load(lanes + 56);
        for (nint c = 0; c < columns; c += 64)
        {
            s0 = Fma.MultiplyAdd(Vector256.Load(x + c), Vector256.Load(w + c), s0);
            s1 = Fma.MultiplyAdd(Vector256.Load(x + c + 8), Vector256.Load(w + c + 8), s1);
            s2 = Fma.MultiplyAdd(Vector256.Load(x + c + 16), Vector256.Load(w + c + 16), s2);
            s3 = Fma.MultiplyAdd(Vector256.Load(x + c + 24), Vector256.Load(w + c + 24), s3);
            s4 = Fma.MultiplyAdd(Vector256.Load(x + c + 32), Vector256.Load(w + c + 32), s4);
            s5 = Fma.MultiplyAdd(Vector256.Load(x + c + 40), Vector256.Load(w + c + 40), s5);
            s6 = Fma.MultiplyAdd(Vector256.Load(x + c + 48), Vector256.Load(w + c + 48), s6);
            s7 = Fma.MultiplyAdd(Vector256.Load(x + c + 56), Vector256.Load(w + c + 56), s7);
        }
        Store(lanes, s0, s1, s2, s3, s4, s5, s6, s7);
    }

    /// <summary>Everything comes as an argument: beside a static field, whose class may have to be initialised, the eight sums were stored and loaded in every word.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Masked256(float* v, byte* bits, nint words, float* x, byte* places, nint ahead, float* lanes)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
        for (byte* end = bits + (words * 8); bits < end; bits += 8, x += 64)
        {
            Sse.Prefetch0((byte*)v + ahead);
            Sse.Prefetch0((byte*)v + ahead + LineMemory.Line);
            nint n = 0;
            s0 = Step(s0, bits[0], v, ref n, x, places);
            s1 = Step(s1, bits[1], v, ref n, x + 8, places);
            s2 = Step(s2, bits[2], v, ref n, x + 16, places);
            s3 = Step(s3, bits[3], v, ref n, x + 24, places);
            s4 = Step(s4, bits[4], v, ref n, x + 32, places);
            s5 = Step(s5, bits[5], v, ref n, x + 40, places);
            s6 = Step(s6, bits[6], v, ref n, x + 48, places);
            s7 = Step(s7, bits[7], v, ref n, x + 56, places);
            v += n;
        }
        Store(lanes, s0, s1, s2, s3, s4, s5, s6, s7);
    }

    /// <summary>Eight columns. The permutation looks at three bits of a place, the blend at its sign.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Step(Vector256<float> sum, nint bits, float* values, ref nint n, float* x, byte* places)
    {
        Vector256<int> place = Avx2.ConvertToVector256Int32((sbyte*)places + (bits * 8));
        Vector256<float> spread = Avx.BlendVariable(Vector256<float>.Zero, Avx2.PermuteVar8x32(Vector256.Load(values + n), place), place.AsSingle());
        n += BitOperations.PopCount((uint)bits);
        return Fma.MultiplyAdd(spread, Vector256.Load(x), sum);
    }

    /// <summary>
    /// Rows of few values: they stay together, and their inputs are loaded one by one, eight at once whether there are as many or not: a loop over the bits ends where no branch predictor expects it. Behind the last bit stands column 64.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Ranked256(float* v, ulong* bits, nint words, float* x, int* firstLanes, nint ahead, float* lanes)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0;
        for (ulong* end = bits + words; bits < end; bits++, x += 64)
        {
            Sse.Prefetch0((byte*)v + ahead);
            ulong word = *bits;
            nint count = BitOperations.PopCount(word);
            s0 = Fma.MultiplyAdd(Eight(ref word, x), First(v, nint.Min(count, 8), firstLanes), s0);
            if (count > 8) s1 = Fma.MultiplyAdd(Eight(ref word, x), First(v + 8, count - 8, firstLanes), s1);
            v += count;
        }
        s0.Store(lanes);
        s1.Store(lanes + 8);
    }

    /// <summary>The inputs of the next eight bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Eight(ref ulong word, float* x) => Vector256.Create(Four(ref word, x), Four(ref word, x));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Four(ref ulong word, float* x)
    {
        Vector128<float> four = Vector128.CreateScalarUnsafe(Next(ref word, x));
        four = Sse41.Insert(four, Vector128.CreateScalarUnsafe(Next(ref word, x)), 0x10);
        four = Sse41.Insert(four, Vector128.CreateScalarUnsafe(Next(ref word, x)), 0x20);
        return Sse41.Insert(four, Vector128.CreateScalarUnsafe(Next(ref word, x)), 0x30);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Next(ref ulong word, float* x)
    {
        nint column = BitOperations.TrailingZeroCount(word);
        word &= word - 1;
        return x[column];
    }

    /// <summary>Values, and zeros behind the first <paramref name="count"/>; what lies there is not read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> First(float* values, nint count, int* firstLanes) => Avx.MaskLoad(values, Vector256.Load(firstLanes + 8 - count).AsSingle());

    /// <summary>Writes the lanes of eight registers of sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* lanes, Vector256<float> s0, Vector256<float> s1, Vector256<float> s2, Vector256<float> s3, Vector256<float> s4, Vector256<float> s5, Vector256<float> s6, Vector256<float> s7)
    {
        s0.Store(lanes);
        s1.Store(lanes + 8);
        s2.Store(lanes + 16);
        s3.Store(lanes + 24);
        s4.Store(lanes + 32);
        s5.Store(lanes + 40);
        s6.Store(lanes + 48);
        s7.Store(lanes + 56);
    }
}

using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>bfloat16 rows, all entries or those under a mask. Column c joins lane <see cref="Place"/>(c) % 64.</summary>
/// <remarks>A register of 32 values is widened by a shift (even columns) and a mask (odd ones); so the input comes as 16 even, then 16 odd columns of every 32. For inputs that are not finite see <see cref="FloatRows"/>.</remarks>
internal unsafe struct BFloat16Rows : IRowSum
{
    // Bytes ahead that values under a mask are asked for where units of 256 bits are whole.
    private const int MaskAhead = 1024;

    public int Columns;
    public int WordsPerRow;

    /// <summary>Null when every entry has a value.</summary>
    public ulong* Bits;

    /// <summary>Values before each row; only with bits.</summary>
    public long* Counts;
    public ushort* Values;

    /// <summary>The input in blocks of 32: 16 even columns, 16 odd ones; zeros up to a multiple of 64.</summary>
    public float* X;
    public SimdLevel Level;

    /// <summary>From this row on registers would read past the end of the values.</summary>
    public int WideRows;

    /// <summary>With bits: facts about each row, see <see cref="VectorCode"/>.</summary>
    public byte* Flags;

    /// <summary>Whether <see cref="VectorCode"/> is used.</summary>
    public bool UsesCode;

    public readonly int ScratchBytes => 0;

    public readonly int FourUpTo => Level >= SimdLevel.Vector512 ? ((Bits == null ? Avx512F.IsSupported : MaskLanes.IsSupported) ? WideRows : 0) : TakesLines ? WideRows : 0;

    // Far rows as those of singles; units of 128 bits are faster with one stream.
    private readonly bool TakesLines => Bits == null && Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported && !VectorUnits.AreHalf256 && (long)WideRows * Columns * sizeof(ushort) > FloatRows.FarBytes;

    /// <summary>Where column c is in X.</summary>
    public static int Place(int column) => (column & ~31) + ((column & 1) << 4) + ((column & 31) >> 1);

    public readonly float Row(int row, byte* scratch)
    {
        float* lanes = stackalloc float[64];
        ushort* values = Values + (Bits == null ? (nint)row * Columns : (nint)Counts[row]);
        ulong* bits = Bits == null ? null : Bits + ((nint)row * WordsPerRow);
        if (bits != null && row < WideRows && UsesCode)
        {
            VectorCode.Arguments arguments = new() { Bits0 = bits, Values0 = values, X = X, Blocks = WordsPerRow, Lanes = lanes, Groups = 1 };
            VectorCode.Run(VectorCode.All[VectorCode.Code.BFloat16, false, (Flags[row] & VectorCode.IsNarrow) != 0], &arguments);
        }
        else if (row < WideRows && Level >= SimdLevel.Vector512 && Avx512F.IsSupported && (bits == null || MaskLanes.IsSupported))
        {
            if (bits == null) Dense512(values, lanes);
            else Masked512(values, bits, lanes);
        }
        else if (row < WideRows && Level >= SimdLevel.Vector256 && Avx2.IsSupported && Fma.IsSupported)
        {
            if (bits == null) Dense256(values, lanes);
            else Masked256(values, bits, lanes);
        }
        else
        {
            Portable(values, bits, lanes);
        }
        return FloatRows.Fold(lanes);
    }

    /// <summary>The definition.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Portable(ushort* values, ulong* bits, float* lanes)
    {
        new Span<float>(lanes, 64).Clear();
        if (bits == null)
        {
            for (int c = 0; c < Columns; c++) Add(values[c], c, lanes);
            return;
        }
        for (int w = 0; w < WordsPerRow; w++)
        {
            for (ulong word = bits[w]; word != 0; word &= word - 1) Add(*values++, (w << 6) + BitOperations.TrailingZeroCount(word), lanes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly void Add(ushort value, int column, float* lanes)
    {
        int place = Place(column);
        lanes[place & 63] = MathF.FusedMultiplyAdd(CompactEncoding.FromBFloat16(value), X[place], lanes[place & 63]);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Dense512(ushort* w, float* lanes)
    {
        Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        Vector512<uint> odd = Vector512.Create(0xFFFF0000u);
        int columns = Columns, whole = columns & ~63;
        float* x = X;
        for (nint c = 0; c < whole; c += 64)
        {
            Vector512<uint> a = Vector512.Load((uint*)(w + c)), b = Vector512.Load((uint*)(w + c + 32));
            s0 = Avx512F.FusedMultiplyAdd(Vector512.ShiftLeft(a, 16).AsSingle(), Vector512.Load(x + c), s0);
            s1 = Avx512F.FusedMultiplyAdd((a & odd).AsSingle(), Vector512.Load(x + c + 16), s1);
            s2 = Avx512F.FusedMultiplyAdd(Vector512.ShiftLeft(b, 16).AsSingle(), Vector512.Load(x + c + 32), s2);
            s3 = Avx512F.FusedMultiplyAdd((b & odd).AsSingle(), Vector512.Load(x + c + 48), s3);
        }
        s0.Store(lanes);
        s1.Store(lanes + 16);
        s2.Store(lanes + 32);
        s3.Store(lanes + 48);
        Rest512(w + whole, x + whole, columns - whole, lanes);
    }

    /// <summary>The columns beside whole words, at most 63: register by register. What lies behind them is the next row's, and need not be a number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Rest512(ushort* w, float* x, int rest, float* lanes)
    {
        Vector512<uint> odd = Vector512.Create(0xFFFF0000u);
        for (; rest > 0; rest -= 32, w += 32, x += 32, lanes += 32)
        {
            Vector512<uint> pairs = (Vector512.Load(w) & Vector512.LessThan(Vector512<ushort>.Indices, Vector512.Create((ushort)rest))).AsUInt32();
            Avx512F.FusedMultiplyAdd(Vector512.ShiftLeft(pairs, 16).AsSingle(), Vector512.Load(x), Vector512.Load(lanes)).Store(lanes);
            Avx512F.FusedMultiplyAdd((pairs & odd).AsSingle(), Vector512.Load(x + 16), Vector512.Load(lanes + 16)).Store(lanes + 16);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Masked512(ushort* v, ulong* bits, float* lanes)
    {
        Vector512<float> s0 = Vector512<float>.Zero, s1 = s0, s2 = s0, s3 = s0;
        float* x = X;
        for (ulong* end = bits + WordsPerRow; bits < end; bits++, x += 64)
            Word(bits, ref v, Vector512.Load(x), Vector512.Load(x + 16), Vector512.Load(x + 32), Vector512.Load(x + 48), ref s0, ref s1, ref s2, ref s3);
        FloatRows.Store(lanes, s0, s1, s2, s3);
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
        float* room = stackalloc float[256 + (LineMemory.Line / sizeof(float))], lanes = (float*)(((nint)room + LineMemory.Line - 1) & -LineMemory.Line);
        if (Bits == null)
        {
            if (Level >= SimdLevel.Vector512) Full(row, distance, lanes);
            else Lines256(row, distance, lanes);
            for (int i = 0; i < 4; i++) sums[i] = FloatRows.Fold(lanes + (64 * i));
            return;
        }
        if (UsesCode)
        {
            VectorCode.Arguments arguments = default;
            VectorCode.FourRows(&arguments, Bits, WordsPerRow, (byte*)Values, sizeof(ushort), Counts, row, distance);
            arguments.X = X;
            arguments.Blocks = WordsPerRow;
            arguments.Lanes = lanes;
            arguments.Groups = 1;
            VectorCode.Run(VectorCode.All[VectorCode.Code.BFloat16, true, VectorCode.All4(Flags, row, distance, VectorCode.IsNarrow)], &arguments);
            for (int i = 0; i < 4; i++) sums[i] = FloatRows.Fold(lanes + (64 * i));
            return;
        }
        Vector512<float> a0 = Vector512<float>.Zero, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
        ushort* va = Values + Counts[row], vb = Values + Counts[row + distance], vc = Values + Counts[row + (2 * distance)], vd = Values + Counts[row + (3 * distance)];
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
        FloatRows.Store(lanes, a0, a1, a2, a3);
        FloatRows.Store(lanes + 64, b0, b1, b2, b3);
        FloatRows.Store(lanes + 128, c0, c1, c2, c3);
        FloatRows.Store(lanes + 192, d0, d1, d2, d3);
        for (int i = 0; i < 4; i++) sums[i] = FloatRows.Fold(lanes + (64 * i));
    }

    /// <summary>Four rows of which every entry has a value: as four streams memory is read faster than as one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Full(int row, int distance, float* lanes)
    {
        Vector512<float> a0 = Vector512<float>.Zero, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, c0 = a0, c1 = a0, c2 = a0, c3 = a0, d0 = a0, d1 = a0, d2 = a0, d3 = a0;
        Vector512<uint> odd = Vector512.Create(0xFFFF0000u);
        nint columns = Columns, whole = columns & ~63, apart = (nint)distance * columns;
        ushort* a = Values + ((nint)row * columns), b = a + apart, c = b + apart, d = c + apart;
        float* x = X;
        for (nint i = 0; i < whole; i += 64)
        {
            Vector512<float> even = Vector512.Load(x + i), uneven = Vector512.Load(x + i + 16);
            Pair(Vector512.Load((uint*)(a + i)), even, uneven, odd, ref a0, ref a1);
            Pair(Vector512.Load((uint*)(b + i)), even, uneven, odd, ref b0, ref b1);
            Pair(Vector512.Load((uint*)(c + i)), even, uneven, odd, ref c0, ref c1);
            Pair(Vector512.Load((uint*)(d + i)), even, uneven, odd, ref d0, ref d1);
            even = Vector512.Load(x + i + 32);
            uneven = Vector512.Load(x + i + 48);
            Pair(Vector512.Load((uint*)(a + i + 32)), even, uneven, odd, ref a2, ref a3);
            Pair(Vector512.Load((uint*)(b + i + 32)), even, uneven, odd, ref b2, ref b3);
            Pair(Vector512.Load((uint*)(c + i + 32)), even, uneven, odd, ref c2, ref c3);
            Pair(Vector512.Load((uint*)(d + i + 32)), even, uneven, odd, ref d2, ref d3);
        }
        FloatRows.Store(lanes, a0, a1, a2, a3);
        FloatRows.Store(lanes + 64, b0, b1, b2, b3);
        FloatRows.Store(lanes + 128, c0, c1, c2, c3);
        FloatRows.Store(lanes + 192, d0, d1, d2, d3);
        for (int r = 0; r < 4; r++, lanes += 64, a += apart) Rest512(a + whole, x + whole, (int)(columns - whole), lanes);
    }

    /// <summary>32 columns of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Pair(Vector512<uint> pairs, Vector512<float> even, Vector512<float> uneven, Vector512<uint> odd, ref Vector512<float> evenSum, ref Vector512<float> oddSum)
    {
        evenSum = Avx512F.FusedMultiplyAdd(Vector512.ShiftLeft(pairs, 16).AsSingle(), even, evenSum);
        oddSum = Avx512F.FusedMultiplyAdd((pairs & odd).AsSingle(), uneven, oddSum);
    }

    /// <summary>64 columns of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Word(ulong* bits, ref ushort* v, Vector512<float> x0, Vector512<float> x1, Vector512<float> x2, Vector512<float> x3,
        ref Vector512<float> s0, ref Vector512<float> s1, ref Vector512<float> s2, ref Vector512<float> s3)
    {
        Vector512<uint> odd = Vector512.Create(0xFFFF0000u);
        ulong word = *bits;
        Vector512<uint> low = Avx512Vbmi2.Expand(Vector512<ushort>.Zero, MaskLanes.Words(bits, MaskLanes.LowWordShifts), Vector512.Load(v)).AsUInt32();
        v += BitOperations.PopCount((uint)word);
        Vector512<uint> high = Avx512Vbmi2.Expand(Vector512<ushort>.Zero, MaskLanes.Words(bits, MaskLanes.HighWordShifts), Vector512.Load(v)).AsUInt32();
        v += BitOperations.PopCount((uint)(word >> 32));
        s0 = Avx512F.FusedMultiplyAdd(Vector512.ShiftLeft(low, 16).AsSingle(), x0, s0);
        s1 = Avx512F.FusedMultiplyAdd((low & odd).AsSingle(), x1, s1);
        s2 = Avx512F.FusedMultiplyAdd(Vector512.ShiftLeft(high, 16).AsSingle(), x2, s2);
        s3 = Avx512F.FusedMultiplyAdd((high & odd).AsSingle(), x3, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Dense256(ushort* w, float* lanes)
    {
        int columns = Columns, whole = columns & ~63;
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
        float* x = X;
        for (nint c = 0; c < whole; c += 64)
        {
            Pair(Vector256.Load((uint*)(w + c)), x + c, ref s0, ref s2);
            Pair(Vector256.Load((uint*)(w + c + 16)), x + c + 8, ref s1, ref s3);
            Pair(Vector256.Load((uint*)(w + c + 32)), x + c + 32, ref s4, ref s6);
            Pair(Vector256.Load((uint*)(w + c + 48)), x + c + 40, ref s5, ref s7);
        }
        FloatRows.Store(lanes, s0, s1, s2, s3, s4, s5, s6, s7);
        Rest256(w + whole, x + whole, columns - whole, lanes);
    }

    /// <summary>As <see cref="Rest512"/>; 16 columns are half of a block's even and half of its odd ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Rest256(ushort* w, float* x, int rest, float* lanes)
    {
        Vector256<uint> odd = Vector256.Create(0xFFFF0000u);
        for (int c = 0; c < rest; c += 16)
        {
            int place = Place(c);
            Vector256<uint> pairs = (Vector256.Load(w + c) & Vector256.LessThan(Vector256<ushort>.Indices, Vector256.Create((ushort)(rest - c)))).AsUInt32();
            Fma.MultiplyAdd(Vector256.ShiftLeft(pairs, 16).AsSingle(), Vector256.Load(x + place), Vector256.Load(lanes + place)).Store(lanes + place);
            Fma.MultiplyAdd((pairs & odd).AsSingle(), Vector256.Load(x + place + 16), Vector256.Load(lanes + place + 16)).Store(lanes + place + 16);
        }
    }

    /// <summary>Four rows of which every entry has a value, a line of each in turn; see <see cref="FloatRows"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Lines256(int row, int distance, float* lanes)
    {
        new Span<float>(lanes, 256).Clear();
        nint columns = Columns, whole = columns & ~63, apart = (nint)distance * columns;
        ushort* a = Values + ((nint)row * columns), b = a + apart, c = b + apart, d = c + apart;
        float* x = X;
        for (nint i = 0; i < whole; i += 32)
        {
            float* sums = lanes + (i & 32);
            Vector256<float> even0 = Vector256.Load(x + i), even1 = Vector256.Load(x + i + 8), odd0 = Vector256.Load(x + i + 16), odd1 = Vector256.Load(x + i + 24);
            Line(a + i, even0, even1, odd0, odd1, sums);
            Line(b + i, even0, even1, odd0, odd1, sums + 64);
            Line(c + i, even0, even1, odd0, odd1, sums + 128);
            Line(d + i, even0, even1, odd0, odd1, sums + 192);
        }
        for (int r = 0; r < 4; r++, lanes += 64, a += apart) Rest256(a + whole, x + whole, (int)(columns - whole), lanes);
    }

    /// <summary>32 columns of one row.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Line(ushort* w, Vector256<float> even0, Vector256<float> even1, Vector256<float> odd0, Vector256<float> odd1, float* sums)
    {
        Sse.Prefetch0((byte*)w + FloatRows.LineAhead);
        Vector256<uint> odd = Vector256.Create(0xFFFF0000u), first = Vector256.Load((uint*)w), second = Vector256.Load((uint*)(w + 16));
        Fma.MultiplyAdd(Vector256.ShiftLeft(first, 16).AsSingle(), even0, Vector256.Load(sums)).Store(sums);
        Fma.MultiplyAdd(Vector256.ShiftLeft(second, 16).AsSingle(), even1, Vector256.Load(sums + 8)).Store(sums + 8);
        Fma.MultiplyAdd((first & odd).AsSingle(), odd0, Vector256.Load(sums + 16)).Store(sums + 16);
        Fma.MultiplyAdd((second & odd).AsSingle(), odd1, Vector256.Load(sums + 24)).Store(sums + 24);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void Masked256(ushort* v, ulong* bits, float* lanes)
    {
        Vector256<float> s0 = Vector256<float>.Zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
        float* x = X;
        bool asks = !VectorUnits.AreHalf256;
        fixed (byte* table = ExpandTables.Words)
        {
            for (byte* b = (byte*)bits, end = b + ((nint)WordsPerRow * 8); b < end; b += 8, x += 64)
            {
                if (asks) Sse.Prefetch0((byte*)v + MaskAhead);
                Pair(Expand16(ref v, b, table), x, ref s0, ref s2);
                Pair(Expand16(ref v, b + 2, table), x + 8, ref s1, ref s3);
                Pair(Expand16(ref v, b + 4, table), x + 32, ref s4, ref s6);
                Pair(Expand16(ref v, b + 6, table), x + 40, ref s5, ref s7);
            }
        }
        FloatRows.Store(lanes, s0, s1, s2, s3, s4, s5, s6, s7);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Expand16(ref ushort* values, byte* bits, byte* table)
    {
        nint m = bits[0], n = bits[1];
        Vector128<byte> a = Ssse3.Shuffle(Vector128.Load((byte*)values), Vector128.Load(table + (m * 16)));
        values += BitOperations.PopCount((uint)m);
        Vector128<byte> b = Ssse3.Shuffle(Vector128.Load((byte*)values), Vector128.Load(table + (n * 16)));
        values += BitOperations.PopCount((uint)n);
        return Vector256.Create(a, b).AsUInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Pair(Vector256<uint> pairs, float* x, ref Vector256<float> even, ref Vector256<float> odd)
    {
        even = Fma.MultiplyAdd(Vector256.ShiftLeft(pairs, 16).AsSingle(), Vector256.Load(x), even);
        odd = Fma.MultiplyAdd((pairs & Vector256.Create(0xFFFF0000u)).AsSingle(), Vector256.Load(x + 16), odd);
    }
}

using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Products of one or four rows with a vector as machine code that is written once a process: for what C# has no words for.</summary>
/// <remarks>
/// <para>Three things are gained over intrinsics. Masks go from memory into mask registers (kmov), where C# can only make them from vectors. Dot products of bytes take
/// one instruction (vpdpbusd), where C# of .NET 10 needs two that may not overflow and so the signs of the input apart. And nothing is spilled in the loop.</para>
/// <para>Where rows keep at most half a register of values per step (most do from about 80 % zeros on), they are read by half registers: a whole one nearly always
/// crosses a cache line, and then costs two reads.</para>
/// <para>The sums are those that <see cref="FloatRows"/>, <see cref="BFloat16Rows"/>, <see cref="Int8Rows"/> and <see cref="Int4Rows"/> define, bit for bit.</para>
/// </remarks>
internal static unsafe class VectorCode
{
    /// <summary>Rows of the larger functions.</summary>
    public const int Rows = 4;

    /// <summary>Flag of a row of which no step keeps more than half a register of values.</summary>
    public const int IsNarrow = 1;

    /// <summary>Flag of a row of singles of which no word keeps more than 16 values: the j-th of each word joins sum j (0 to 15) instead of that of its column.</summary>
    /// <remarks>A fact about the matrix, so that every machine adds in the same order.</remarks>
    public const int IsRanked = 2;

    /// <summary>What the functions read, 8 bytes each. Sums are stored one row after the other; bits and values are left behind what was read.</summary>
    public struct Arguments
    {
        public void* Bits0, Bits1, Bits2, Bits3;
        public void* Values0, Values1, Values2, Values3;
        public void* X;
        public int* Starts;
        public float* Scales;
        public long Blocks, Rest;

        /// <summary>Left behind the sums.</summary>
        public float* Lanes;

        /// <summary>Rows that follow one another, or times four rows; at least one. The functions count it down to zero.</summary>
        public long Groups;

        /// <summary>Without a mask: bytes that the row after a row begins behind the whole words of that row; at most zero.</summary>
        public long Gap;
    }

    private const int BitsAt = 0, ValuesAt = 32, XAt = 64, StartsAt = 72, ScalesAt = 80, BlocksAt = 88, RestAt = 96, LanesAt = 104, GroupsAt = 112, GapAt = 120;

    private static readonly Register[] s_bits = [Register.Rsi, Register.Rdx, Register.Rcx, Register.R8], s_values = [Register.R9, Register.R10, Register.R11, Register.Rbx];
    private const Register X = Register.Rbp, Starts = Register.R12, Scales = Register.R13, Counter = Register.R14, Bit = Register.Rax, Call = Register.Rdi;

    // Bytes ahead that rows of 8-bit integers are asked for; dense ones only where units of 512 bits are whole. 4096 x 4096, one thread, Zen 5, in turn: masks at 50 and 70 % zeros took 0.86 and 0.91 of the time of half a KiB with 1 KiB, 0.88 and 0.95 with 2 KiB;
    // dense rows 0.85 and 0.93 of the time without, and as long with half a KiB.
    // Where those units are halves (Zen 4, one thread): 448 with masks asked for 256 bytes ahead 1, 1 and 0.97 of the time of 512 without at 50, 60 and 70 % zeros (in C 0.95 to 0.96); 640 and more up to 1.2 times as long.
    private static readonly int s_ahead8 = VectorUnits.AreFullWidth ? 1024 : 448, s_masksAhead8 = VectorUnits.AreFullWidth ? 0 : 256;

    // The columns of a word.
    private static readonly byte* s_places = MakePlaces();

    private static readonly Lazy<Functions?> s_functions = new(Write);

    /// <summary>Whether calls from this thread may use the code.</summary>
    public static bool IsUsable => CompiledMatrix.Usable && s_functions.Value is not null;

    /// <summary>The functions; only where <see cref="IsUsable"/>.</summary>
    public static Functions All => s_functions.Value!;

    /// <summary>Calls a function.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Run(nint function, Arguments* arguments)
    {
        Debug.Assert(arguments->Groups >= 1, "The functions count groups down to zero before they look.");
        ((delegate* unmanaged[SuppressGCTransition]<Arguments*, void>)function)(arguments);
    }

    /// <summary>Fills in bits and values of rows row, row + distance and so on; without bits rows of full length.</summary>
    /// <remarks>In place: a struct that is returned is copied by registers wider than what was just stored, and waits for it.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void FourRows(Arguments* to, ulong* bits, int wordsPerRow, byte* values, int bytes, long* counts, int row, int distance, int columns = 0)
    {
        int b = row + distance, c = b + distance, d = c + distance;
        if (bits == null)
        {
            nint length = (nint)columns * bytes;
            to->Values0 = values + (row * length);
            to->Values1 = values + (b * length);
            to->Values2 = values + (c * length);
            to->Values3 = values + (d * length);
            return;
        }
        nint words = wordsPerRow;
        to->Bits0 = bits + (row * words);
        to->Bits1 = bits + (b * words);
        to->Bits2 = bits + (c * words);
        to->Bits3 = bits + (d * words);
        to->Values0 = values + (counts[row] * bytes);
        to->Values1 = values + (counts[b] * bytes);
        to->Values2 = values + (counts[c] * bytes);
        to->Values3 = values + (counts[d] * bytes);
    }

    /// <summary>Whether four rows all have a flag.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool All4(byte* flags, int row, int distance, int flag) => (flags[row] & flags[row + distance] & flags[row + (2 * distance)] & flags[row + (3 * distance)] & flag) != 0;

    /// <summary>How many times four rows that follow one another, at most <paramref name="count"/>, are as the first: all have a flag, or not all.</summary>
    public static int Alike(byte* flags, int row, int count, int distance, int flag)
    {
        bool all = All4(flags, row, distance, flag);
        int alike = 1;
        while (alike < count && All4(flags, row + alike, distance, flag) == all) alike++;
        return alike;
    }

    /// <summary>Whether any of four rows has a flag.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Any4(byte* flags, int row, int distance, int flag) => ((flags[row] | flags[row + distance] | flags[row + (2 * distance)] | flags[row + (3 * distance)]) & flag) != 0;

    /// <summary>Facts about each row: <see cref="IsNarrow"/>, <see cref="IsRanked"/>.</summary>
    public static byte[] FindFlags(ReadOnlySpan<ulong> bits, int rows, int wordsPerRow, ValueKind kind)
    {
        var flags = new byte[rows];
        for (int r = 0; r < rows; r++)
        {
            int most = 0, mostOfWord = 0;
            foreach (ulong word in bits.Slice(r * wordsPerRow, wordsPerRow))
            {
                int here = kind switch
                {
                    ValueKind.Float32 => Math.Max(Math.Max(BitOperations.PopCount((uint)(ushort)word), BitOperations.PopCount((uint)(ushort)(word >> 16))), Math.Max(BitOperations.PopCount((uint)(ushort)(word >> 32)), BitOperations.PopCount(word >> 48))) * 4,
                    ValueKind.BFloat16 => Math.Max(BitOperations.PopCount((uint)word), BitOperations.PopCount(word >> 32)) * 2,
                    _ => BitOperations.PopCount(word),
                };
                most = Math.Max(most, here);
                mostOfWord = Math.Max(mostOfWord, BitOperations.PopCount(word));
            }
            flags[r] = (byte)((most <= 32 ? IsNarrow : 0) | (kind == ValueKind.Float32 && mostOfWord <= 16 ? IsRanked : 0));
        }
        return flags;
    }

    /// <summary>Addresses of the functions for four rows and for one.</summary>
    public sealed class Functions(ExecutableMemory memory, int[] starts)
    {
        /// <summary>The function of a kind.</summary>
        /// <param name="code">Which.</param>
        /// <param name="four">Four rows or one.</param>
        /// <param name="narrow">Whether no step of these rows keeps more than half a register.</param>
        public nint this[Code code, bool four, bool narrow] => memory.Address + starts[((int)code * 4) + (four ? 2 : 0) + (narrow ? 1 : 0)];
    }

    /// <summary>What a function computes.</summary>
    public enum Code
    {
        /// <summary>Single precision under a mask; Blocks counts words.</summary>
        Float32,

        /// <summary>bfloat16 under a mask; Blocks counts words.</summary>
        BFloat16,

        /// <summary>Single precision under a mask whose words have at most 16 bits; Starts are the bytes 0 to 63.</summary>
        Float32Ranked,

        /// <summary>8-bit integers under a mask; Blocks counts pieces of 4 words, Rest the words behind them.</summary>
        Int8,

        /// <summary>8-bit integers without a mask.</summary>
        Int8Full,

        /// <summary>Unpacked 4-bit integers under a mask in pieces of one word; Scales hold a factor for each row, piece by piece.</summary>
        Int4Pieces1,

        /// <summary>The same in pieces of two words.</summary>
        Int4Pieces2,

        /// <summary>The same in pieces of four words.</summary>
        Int4Pieces4,

        /// <summary>Packed 4-bit integers without a mask in pieces of one word; Blocks counts pairs of pieces, and in place of bits each row has its factors.</summary>
        Int4Full,
    }

    /// <summary>The sums of the ranked rows row, row + distance and so on.</summary>
    public static void RankedRows(Arguments* arguments, bool four, float* x, int words, float* lanes)
    {
        arguments->Groups = 1;
        arguments->X = x;
        arguments->Starts = (int*)s_places;
        arguments->Blocks = words;
        arguments->Lanes = lanes;
        Run(All[Code.Float32Ranked, four, false], arguments);
    }

    private static byte* MakePlaces()
    {
        byte* places = (byte*)NativeMemory.AlignedAlloc(64, 64);
        for (int c = 0; c < 64; c++) places[c] = (byte)c;
        return places;
    }

    private static Functions? Write()
    {
        // EBX of leaf 7: AVX-512 BW (30); ECX: VBMI2 (6), VNNI (11).
        if (!X86Base.IsSupported || !Avx512Vbmi2.IsSupported || (X86Base.CpuId(7, 0).Ecx >> 11 & 1) == 0) return null;
        var code = new Assembler();
        int kinds = Enum.GetValues<Code>().Length;
        var starts = new int[kinds * 4];
        for (int i = 0; i < starts.Length; i++)
        {
            code.Align();
            starts[i] = code.Length;
            Function(code, (Code)(i / 4), (i & 2) != 0 ? Rows : 1, (i & 1) != 0);
        }
        return ExecutableMemory.TryCreate(code.Code) is { } memory ? new Functions(memory, starts) : null;
    }

    private static void Function(Assembler a, Code code, int rows, bool narrow)
    {
        a.SaveRegisters();
        for (int r = 0; r < rows; r++)
        {
            if (code != Code.Int8Full) a.LoadAny(s_bits[r], Call, BitsAt + (8 * r));
            a.LoadAny(s_values[r], Call, ValuesAt + (8 * r));
        }
        int group = a.Length;
        a.LoadAny(X, Call, XAt);
        a.LoadAny(Starts, Call, StartsAt);
        a.LoadAny(Scales, Call, ScalesAt);
        a.LoadAny(Counter, Call, BlocksAt);
        if (code is Code.Float32 or Code.BFloat16) Floats(a, code, rows, narrow);
        else if (code == Code.Float32Ranked) Ranked(a, rows);
        else if (code == Code.Int4Full) Packed(a, rows);
        else Integers(a, code, rows, narrow);
        if (code == Code.Int8Full)
        {
            for (int r = 0; r < rows; r++) a.Add(s_values[r], Call, GapAt);
        }
        // Rows under a mask follow one another.
        a.Decrement(Call, GroupsAt);
        a.JumpIfNotZero(group);
        for (int r = 0; r < rows; r++)
        {
            if (code != Code.Int8Full) a.Store(s_bits[r], Call, BitsAt + (8 * r));
            a.Store(s_values[r], Call, ValuesAt + (8 * r));
        }
        a.ClearUpperHalves();
        a.RestoreRegisters();
        a.Return();
    }

    /// <summary>Sums in registers 4 r to 4 r + 3, the input in 16 to 19.</summary>
    private static void Floats(Assembler a, Code code, int rows, bool narrow)
    {
        const int Input = 16, Odd = 31;
        bool singles = code == Code.Float32;
        for (int i = 0; i < rows * 4; i++) a.Clear(i);
        if (!singles) Constant(a, Odd, 0xFFFF0000);
        int skip = a.SkipIfZero(Counter), loop = a.Length;
        for (int i = 0; i < 4; i++) a.LoadBytes(Input + i, X, 64 * i, half: false);
        if (singles)
        {
            for (int r = 0; r < rows; r++) Singles(a, r, narrow, Input);
        }
        else
        {
            for (int piece = 0; piece < 2; piece++)
            {
                for (int r = 0; r < rows; r++) Halves(a, r, piece, narrow, Input, Odd);
            }
        }
        for (int r = 0; r < rows; r++) a.Add(s_bits[r], 8);
        a.Add(X, 256);
        a.Loop(Counter, loop);
        a.Land(skip);
        StoreSums(a, rows * 4);
    }

    /// <summary>
    /// 64 columns of a row of singles. The mask is read once and shifted, and bits are counted from its beginning to each quarter: a mask register that is loaded beside a register of values that
    /// crosses a line takes longer than the two alone.
    /// </summary>
    private static void Singles(Assembler a, int r, bool narrow, int input)
    {
        const int First = 20, Ahead = 1024, MostLines = 3;
        Register bits = s_bits[r], values = s_values[r];
        a.LoadMask(1, 64, bits, 0);
        a.LoadAny(Bit, bits, 0);
        // Where more lines are kept a word, the hardware fetches the rest.
        for (int i = 0; i < MostLines; i++) a.PrefetchNear(values, Ahead + (64 * i));
        for (int piece = 1; piece < 4; piece++) a.ShiftMaskRight(1 + piece, 1, 16 * piece);
        // Values before each quarter and before the next word; the scales' and starts' registers are free.
        Register[] before = [Register.Rax, Register.R13, Register.R12, Register.R15];
        for (int i = 3; i >= 0; i--)
        {
            a.CountBits(before[i], Bit);
            if (i > 0) a.ShiftLeft(Bit, 16);
        }
        for (int piece = 0; piece < 4; piece++)
        {
            int value = First + piece + (4 * (r & 1));
            if (piece == 0) a.LoadBytes(value, values, 0, narrow);
            else a.LoadBytes(value, values, before[piece - 1], 2, narrow);
            a.Expand(4, value, 1 + piece, value, zeros: true);
            a.MultiplyAdd((4 * r) + piece, value, input + piece);
        }
        a.AddScaled(values, before[3], 2);
    }

    /// <summary>32 columns of a row of bfloat16.</summary>
    private static void Halves(Assembler a, int r, int piece, bool narrow, int input, int odd)
    {
        const int First = 20, Ahead = 1024;
        int value = First + r, even = First + 4 + r, mask = 1 + r;
        Register bits = s_bits[r], values = s_values[r];
        a.PrefetchNear(values, Ahead);
        a.LoadMask(mask, 32, bits, 4 * piece);
        a.LoadBytes(value, values, 0, narrow);
        a.CountBits(Bit, 32, bits, 4 * piece);
        a.AddScaled(values, Bit, 1);
        a.Expand(2, value, mask, value, zeros: true);
        a.ShiftLeft32(even, value, 16);
        a.And(value, value, odd);
        a.MultiplyAdd((4 * r) + (2 * piece), even, input + (2 * piece));
        a.MultiplyAdd((4 * r) + (2 * piece) + 1, value, input + (2 * piece) + 1);
    }

    /// <summary>
    /// The values of a word stay together and their inputs come to them: the mask packs the numbers of its columns, and two permutations of 32 inputs each bring what lies there. Half as many instructions
    /// as spreading the values over 64 columns. Sums in registers 0 to 3.
    /// </summary>
    private static void Ranked(Assembler a, int rows)
    {
        const int Input = 16, Places = 31, Missing = 30, Upper = 29, Sign = 28, Packed = 20, Index = 21, Low = 22, Value = 23, Columns = 1, IsUpper = 2, IsThere = 3;
        for (int r = 0; r < rows; r++) a.Clear(r);
        a.LoadBytes(Places, Starts, 0, half: false);
        Constant(a, Missing, 0x80808080);
        Constant(a, Upper, 32);
        Constant(a, Sign, 0x80000000);
        int skip = a.SkipIfZero(Counter), loop = a.Length;
        for (int i = 0; i < 4; i++) a.LoadBytes(Input + i, X, 64 * i, half: false);
        for (int r = 0; r < rows; r++)
        {
            a.PrefetchNear(s_values[r], 1024);
            a.LoadMask(Columns, 64, s_bits[r], 0);
            a.Copy(Packed, Missing);
            a.CompressBytes(Packed, Columns, Places);
            a.WidenBytes(Index, Packed);
            a.Test(IsUpper, Index, Upper, zero: false);
            a.Test(IsThere, Index, Sign, zero: true);
            a.Copy(Low, Index);
            a.Pick(Low, Input, Input + 1);
            a.Pick(Index, Input + 2, Input + 3);
            a.CopyMasked(Low, IsUpper, Index);
            a.LoadBytes(Value, s_values[r], 0, half: false);
            a.CountBits(Bit, 64, s_bits[r], 0);
            a.AddScaled(s_values[r], Bit, 2);
            a.MultiplyAddMasked(r, IsThere, Value, Low);
            a.Add(s_bits[r], 8);
        }
        a.Add(X, 256);
        a.Loop(Counter, loop);
        a.Land(skip);
        StoreSums(a, rows);
    }

    /// <summary>Sums in registers 0 to 3, the integers of a piece in 4 to 7.</summary>
    private static void Integers(Assembler a, Code code, int rows, bool narrow)
    {
        const int Filler = 31;
        bool eight = code is Code.Int8 or Code.Int8Full;
        int words = code switch
        {
            Code.Int4Pieces1 => 1,
            Code.Int4Pieces2 => 2,
            _ => 4,
        };
        for (int r = 0; r < rows; r++) a.Clear(r);
        // 8-bit values are made unsigned by adding 128, 4-bit ones are stored with 8 added: a missing one is that.
        Constant(a, Filler, eight ? 0x80808080 : 0x08080808);
        int skip = a.SkipIfZero(Counter), loop = a.Length;
        Begin(a, rows);
        for (int w = 0; w < words; w++) Word(a, code, rows, narrow, w);
        Advance(a, code, rows, words);
        Flush(a, rows, eight);
        a.Loop(Counter, loop);
        a.Land(skip);
        if (words > 1)
        {
            a.LoadAny(Counter, Call, RestAt);
            int none = a.SkipIfZero(Counter);
            Begin(a, rows);
            int rest = a.Length;
            Word(a, code, rows, narrow, 0);
            Advance(a, code, rows, 1);
            a.Loop(Counter, rest);
            Flush(a, rows, eight);
            a.Land(none);
        }
        StoreSums(a, rows);
    }

    private static void Begin(Assembler a, int rows)
    {
        a.LoadBytes(4, Starts, 0, half: false);
        for (int r = 1; r < rows; r++) a.Copy(4 + r, 4);
        a.Add(Starts, 64);
    }

    private static void Word(Assembler a, Code code, int rows, bool narrow, int w)
    {
        const int Input = 16, First = 20, Filler = 31;
        a.LoadBytes(Input, X, 64 * w, half: false);
        for (int r = 0; r < rows; r++)
        {
            int value = First + r, spread = First + 4 + r;
            if (code == Code.Int8Full)
            {
                if (VectorUnits.AreFullWidth) a.PrefetchNear(s_values[r], (64 * w) + s_ahead8);
                a.LoadBytes(value, s_values[r], 64 * w, half: false);
                a.Xor(value, value, Filler);
                a.DotBytes(4 + r, value, Input);
                continue;
            }
            // 4-bit values were unpacked just now.
            if (code == Code.Int8) a.PrefetchNear(s_values[r], s_ahead8);
            if (code == Code.Int8 && w == 0 && s_masksAhead8 > 0) a.PrefetchNear(s_bits[r], s_masksAhead8);
            a.LoadAny(Bit, s_bits[r], 8 * w);
            a.MoveToMask(1 + r, Bit);
            if (code == Code.Int8) a.Xor(value, Filler, s_values[r], 0, narrow);
            else a.LoadBytes(value, s_values[r], 0, narrow);
            a.CountBits(Bit, Bit);
            a.Add(s_values[r], Bit);
            a.Copy(spread, Filler);
            a.Expand(1, spread, 1 + r, value, zeros: false);
            a.DotBytes(4 + r, spread, Input);
        }
    }

    private static void Advance(Assembler a, Code code, int rows, int words)
    {
        for (int r = 0; r < rows; r++)
        {
            if (code == Code.Int8Full) a.Add(s_values[r], 64 * words);
            else a.Add(s_bits[r], 8 * words);
        }
        a.Add(X, 64 * words);
    }

    /// <summary>sums += integers times the factor of the piece: one for all rows, or one for each.</summary>
    private static void Flush(Assembler a, int rows, bool shared)
    {
        for (int r = 0; r < rows; r++)
        {
            a.ToSingle(4 + r, 4 + r);
            a.MultiplyAddBroadcast(r, 4 + r, Scales, shared ? 0 : 4 * r);
        }
        a.Add(Scales, shared ? 4 : 4 * rows);
    }

    /// <summary>128 columns at a time: the lower halves of 64 bytes are the first piece, the upper ones the second.</summary>
    private static void Packed(Assembler a, int rows)
    {
        const int Lower = 31, Input = 16, Start = 18, Both = 20, Low = 24, Sum = 4;
        for (int r = 0; r < rows; r++) a.Clear(r);
        Constant(a, Lower, 0x0F0F0F0F);
        int skip = a.SkipIfZero(Counter), loop = a.Length;
        for (int i = 0; i < 2; i++)
        {
            a.LoadBytes(Input + i, X, 64 * i, half: false);
            a.LoadBytes(Start + i, Starts, 64 * i, half: false);
        }
        for (int r = 0; r < rows; r++)
        {
            a.PrefetchNear(s_values[r], 1024);
            a.LoadBytes(Both + r, s_values[r], 0, half: false);
            a.And(Low + r, Both + r, Lower);
            a.ShiftRight16(Both + r, Both + r, 4);
            a.And(Both + r, Both + r, Lower);
            for (int i = 0; i < 2; i++)
            {
                int sum = Sum + (2 * r) + i;
                a.Copy(sum, Start + i);
                a.DotBytes(sum, i == 0 ? Low + r : Both + r, Input + i);
                a.ToSingle(sum, sum);
                a.MultiplyAddBroadcast(r, sum, s_bits[r], 4 * i);
            }
            a.Add(s_values[r], 64);
            a.Add(s_bits[r], 8);
        }
        a.Add(X, 128);
        a.Add(Starts, 128);
        a.Loop(Counter, loop);
        a.Land(skip);
        StoreSums(a, rows);
    }

    private static void StoreSums(Assembler a, int registers)
    {
        a.LoadAny(Bit, Call, LanesAt);
        for (int i = 0; i < registers; i++) a.StoreBytes(i, Bit, 64 * i);
        a.Add(Bit, 64 * registers);
        a.Store(Bit, Call, LanesAt);
    }

    private static void Constant(Assembler a, int register, uint value) => a.BroadcastConstant(register, value, Bit);
}

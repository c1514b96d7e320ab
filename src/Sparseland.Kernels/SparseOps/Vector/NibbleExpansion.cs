using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Spreads packed bytes over 128 columns at a time: the shuffles that do it are made in registers, from four bits of the mask each, where a table of 256 shuffles takes a load for every 8 columns.</summary>
/// <remarks>
/// Four tables of 16 say which of its values each of four columns takes (0x80, which a shuffle makes zero, where the bit is clear), a fifth how many bits are set; added up over the four nibbles of 16 columns that is where
/// the values of each begin. From the second cache a word of 64 columns with its products of 8-bit integers took 4.3 ns, with the table of 256 shuffles 5.5 to 7.3, spread by a parallel deposit of bits 9.3 to 13 (Zen 3, in C).
/// </remarks>
internal static unsafe class NibbleExpansion
{
    /// <summary>Whether it is faster than the table: units that take 256 bits at once.</summary>
    public static bool IsFast => Avx2.IsSupported && !VectorUnits.AreHalf256;

    /// <summary>Bytes ahead that values are asked for.</summary>
    private const int Ahead = 1024;

    // Which of the values of four columns the first to fourth column takes, and how many there are.
    private static Vector256<byte> First => Twice(0x0080_0080_0080_0080, 0x0080_0080_0080_0080);

    private static Vector256<byte> Second => Twice(0x0100_8080_0100_8080, 0x0100_8080_0100_8080);

    private static Vector256<byte> Third => Twice(0x0201_0100_8080_8080, 0x0201_0100_8080_8080);

    private static Vector256<byte> Fourth => Twice(0x8080_8080_8080_8080, 0x0302_0201_0201_0100);

    private static Vector256<byte> Counts => Twice(0x0302_0201_0201_0100, 0x0403_0302_0302_0201);

    // 16 columns are two bytes of mask: every second such pair to the lower half of the register, the others to the upper one, as registers of 32 columns want them.
    private static Vector256<byte> Pairs => Vector256.Create(0x0D0C_0908_0504_0100ul, 0, 0x0F0E_0B0A_0706_0302, 0).AsByte();

    /// <summary>Row [words * 64] = the next value where a bit is set, else <paramref name="filler"/>, which is 0 or 8. Reads up to 15 bytes behind the last value; needs AVX2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row(byte* values, ulong* bits, int words, byte* row, byte filler)
    {
        Vector256<byte> fill = Vector256.Create(filler);
        for (; words > 0; words -= 2, bits += 2, row += 128)
        {
            Vector256<byte> c0, c1, c2, c3;
            if (words > 1)
            {
                Controls(Vector128.Load((byte*)bits), out c0, out c1, out c2, out c3);
                Take(ref values, bits[0], c0, c1).Store(row, row + 32, fill, c0, c1);
                Take(ref values, bits[1], c2, c3).Store(row + 64, row + 96, fill, c2, c3);
                continue;
            }
            Controls(Vector128.CreateScalar(*bits).AsByte(), out c0, out c1, out _, out _);
            Take(ref values, *bits, c0, c1).Store(row, row + 32, fill, c0, c1);
        }
    }

    /// <summary>The shuffles of 128 columns, 32 a register.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Controls(Vector128<byte> mask, out Vector256<byte> c0, out Vector256<byte> c1, out Vector256<byte> c2, out Vector256<byte> c3)
    {
        Vector256<byte> pairs = Avx2.Shuffle(Vector256.Create(mask, mask), Pairs), lower = Vector256.Create((byte)15);
        Vector256<byte> nibbles = Avx2.UnpackLow(pairs & lower, Vector256.ShiftRightLogical(pairs.AsUInt16(), 4).AsByte() & lower);
        Vector256<uint> before = Avx2.Shuffle(Counts, nibbles).AsUInt32();
        // Sums of the nibbles before each of four: bytes stay below 13, so none carries.
        before = Vector256.ShiftLeft(before, 8) + Vector256.ShiftLeft(before, 16) + Vector256.ShiftLeft(before, 24);
        Vector256<byte> start = before.AsByte();
        Vector256<byte> a = Avx2.Shuffle(First, nibbles) + start, b = Avx2.Shuffle(Second, nibbles) + start, c = Avx2.Shuffle(Third, nibbles) + start, d = Avx2.Shuffle(Fourth, nibbles) + start;
        Vector256<ushort> lowAb = Avx2.UnpackLow(a, b).AsUInt16(), highAb = Avx2.UnpackHigh(a, b).AsUInt16(), lowCd = Avx2.UnpackLow(c, d).AsUInt16(), highCd = Avx2.UnpackHigh(c, d).AsUInt16();
        c0 = Avx2.UnpackLow(lowAb, lowCd).AsByte();
        c1 = Avx2.UnpackHigh(lowAb, lowCd).AsByte();
        c2 = Avx2.UnpackLow(highAb, highCd).AsByte();
        c3 = Avx2.UnpackHigh(highAb, highCd).AsByte();
    }

    /// <summary>The values of a word, zero where its bit is clear, and the address behind them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Spread Take(ref byte* values, ulong word, Vector256<byte> low, Vector256<byte> high)
    {
        byte* v = values;
        Sse.Prefetch0(v + Ahead);
        Vector128<byte> a = Vector128.Load(v), b = Vector128.Load(v + BitOperations.PopCount((uint)(ushort)word));
        Vector128<byte> c = Vector128.Load(v + BitOperations.PopCount((uint)word)), d = Vector128.Load(v + BitOperations.PopCount(word << 16));
        values = v + BitOperations.PopCount(word);
        return new Spread(Avx2.Shuffle(Vector256.Create(a, b), low), Avx2.Shuffle(Vector256.Create(c, d), high));
    }

    private static Vector256<byte> Twice(ulong low, ulong high) => Vector256.Create(low, high, low, high).AsByte();

    /// <summary>64 columns.</summary>
    /// <param name="Low">The first 32.</param>
    /// <param name="High">The others.</param>
    public readonly record struct Spread(Vector256<byte> Low, Vector256<byte> High)
    {
        // A shuffle's 0x80 and what was added to it stand for no value: shifted they are 8.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Store(byte* first, byte* second, Vector256<byte> fill, Vector256<byte> low, Vector256<byte> high)
        {
            (Low | (Vector256.ShiftRightLogical(low.AsUInt64(), 4).AsByte() & fill)).Store(first);
            (High | (Vector256.ShiftRightLogical(high.AsUInt64(), 4).AsByte() & fill)).Store(second);
        }
    }
}

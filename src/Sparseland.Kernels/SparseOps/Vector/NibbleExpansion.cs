using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Spreads packed bytes over 128 columns at a time: the shuffles that do it are made in registers, from four bits of the mask each, where a table of 256 shuffles takes a load for every 8 columns.</summary>
/// <remarks>
/// Four tables of 16 say which of its values each of four columns takes (0x80, which a shuffle makes zero, where the bit is clear), a fifth how many bits are set; added up over the four nibbles of 16 columns that is where
/// the values of each begin. From the second cache a word of 64 columns with its products of 8-bit integers took 4.3 to 6.9 ns, with the table of 256 shuffles 5.5 to 7.3, spread by a parallel deposit of bits 9.3 to 13.8 (Zen 3, in C, 50 to 90 % zeros).
/// </remarks>
internal static unsafe class NibbleExpansion
{
    /// <summary>Whether it is faster than the table: units that take 256 bits at once.</summary>
    public static bool IsFast => Avx2.IsSupported && !VectorUnits.AreHalf256;

    /// <summary>Bytes ahead that values are asked for.</summary>
    private const int Ahead = 2048;

    /// <summary>Row [words * 64] = the next value where a bit is set, else <paramref name="filler"/>, which is 0 or 8. Reads up to 16 bytes behind the last value; needs AVX2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Row(byte* values, ulong* bits, int words, byte* row, byte filler)
    {
        Vector256<byte> fill = Vector256.Create(filler);
        for (; words > 0; words -= 2, bits += 2, row += 128)
        {
            Vector256<byte> c0, c1, c2, c3;
            if (words > 1)
            {
                Controls(Avx2.BroadcastVector128ToVector256((byte*)bits), out c0, out c1, out c2, out c3);
                Take(ref values, bits[0], c0, c1).Store(row, row + 32, fill, c0, c1);
                Take(ref values, bits[1], c2, c3).Store(row + 64, row + 96, fill, c2, c3);
                continue;
            }
            Controls(Vector256.Create(*bits).AsByte(), out c0, out c1, out _, out _);
            Take(ref values, *bits, c0, c1).Store(row, row + 32, fill, c0, c1);
        }
    }

    /// <summary>The shuffles of 128 columns, 32 a register.</summary>
    /// <param name="mask">Their bits, in both halves; of 64 columns alone in every quarter.</param>
    /// <param name="c0">Columns 0 to 31.</param>
    /// <param name="c1">Columns 32 to 63.</param>
    /// <param name="c2">Columns 64 to 95.</param>
    /// <param name="c3">Columns 96 to 127.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Controls(Vector256<byte> mask, out Vector256<byte> c0, out Vector256<byte> c1, out Vector256<byte> c2, out Vector256<byte> c3)
    {
        // 16 columns are two bytes of mask: every second such pair to the lower half of the register, the others to the upper one, as registers of 32 columns want them.
        Vector256<byte> pairs = Avx2.Shuffle(mask, Vector256.Create(0x0D0C_0908_0504_0100ul, 0, 0x0F0E_0B0A_0706_0302, 0).AsByte()), lower = Vector256.Create((byte)15);
        Vector256<byte> nibbles = Avx2.UnpackLow(pairs & lower, Vector256.ShiftRightLogical(pairs.AsUInt16(), 4).AsByte() & lower);
        // How many bits are set in a nibble, and which of the values of four columns the first to fourth column takes.
        Vector256<byte> counts = Vector256.Create(0x0302_0201_0201_0100ul, 0x0403_0302_0302_0201, 0x0302_0201_0201_0100, 0x0403_0302_0302_0201).AsByte();
        Vector256<byte> first = Vector256.Create(0x0080_0080_0080_0080ul).AsByte(), second = Vector256.Create(0x0100_8080_0100_8080ul).AsByte();
        Vector256<byte> third = Vector256.Create(0x0201_0100_8080_8080ul).AsByte(), fourth = Vector256.Create(0x8080_8080_8080_8080ul, 0x0302_0201_0201_0100, 0x8080_8080_8080_8080, 0x0302_0201_0201_0100).AsByte();
        // Sums of the nibbles before each of four: bytes stay below 13, so none carries.
        Vector256<byte> start = Avx2.MultiplyLow(Avx2.Shuffle(counts, nibbles).AsUInt32(), Vector256.Create(0x01010100u)).AsByte();
        Vector256<byte> a = Avx2.Shuffle(first, nibbles) + start, b = Avx2.Shuffle(second, nibbles) + start, c = Avx2.Shuffle(third, nibbles) + start, d = Avx2.Shuffle(fourth, nibbles) + start;
        Vector256<ushort> lowAb = Avx2.UnpackLow(a, b).AsUInt16(), highAb = Avx2.UnpackHigh(a, b).AsUInt16(), lowCd = Avx2.UnpackLow(c, d).AsUInt16(), highCd = Avx2.UnpackHigh(c, d).AsUInt16();
        c0 = Avx2.UnpackLow(lowAb, lowCd).AsByte();
        c1 = Avx2.UnpackHigh(lowAb, lowCd).AsByte();
        c2 = Avx2.UnpackLow(highAb, highCd).AsByte();
        c3 = Avx2.UnpackHigh(highAb, highCd).AsByte();
    }

    /// <summary>The values of a word, zero where its bit is clear, and the address behind them. Values that were written just now need not be asked for.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Spread Take(ref byte* values, ulong word, Vector256<byte> low, Vector256<byte> high, bool asks = true)
    {
        byte* v = values;
        if (asks) Sse.Prefetch0(v + Ahead);
        Vector128<byte> a = Vector128.Load(v), b = Vector128.Load(v + Count((ushort)word)), c = Vector128.Load(v + Count((uint)word)), d = Vector128.Load(v + Count(word << 16));
        values = v + Count(word);
        return new Spread(Avx2.Shuffle(Vector256.Create(a, b), low), Avx2.Shuffle(Vector256.Create(c, d), high));
    }

    // Unsigned, so that nothing is extended by a sign.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static nuint Count(ulong bits) => (uint)BitOperations.PopCount(bits);

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

using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Spreads packed bytes over a whole row, where there is no instruction for it.</summary>
internal static unsafe class ByteExpansion
{
    // Bytes ahead that packed values are asked for.
    private const int Ahead = 1024;

    /// <summary>The definition: row [words * 64] = the next value where a bit is set, else <paramref name="filler"/>.</summary>
    public static void Portable(byte* values, ulong* bits, int words, byte* row, byte filler)
    {
        new Span<byte>(row, words * 64).Fill(filler);
        for (int w = 0; w < words; w++, row += 64)
        {
            for (ulong word = bits[w]; word != 0; word &= word - 1) row[BitOperations.TrailingZeroCount(word)] = *values++;
        }
    }

    /// <summary>Eight columns at a time through a table of 256 shuffles; reads up to 7 bytes behind the last value. The filler is 0 or 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Shuffle(byte* values, ulong* bits, int words, byte* row, byte filler)
    {
        byte* mask = (byte*)bits;
        Vector128<byte> fill = Vector128.Create(filler);
        fixed (byte* table = ExpandTables.Bytes)
        {
            for (nint i = 0, n = (nint)words * 8; i < n; i++, row += 8)
            {
                nint m = mask[i];
                Vector128<byte> places = Vector128.CreateScalar(*(ulong*)(table + (m * 8))).AsByte();
                Vector128<byte> spread = Ssse3.Shuffle(Vector128.CreateScalar(*(ulong*)values).AsByte(), places);
                // A place of 0x80 stands for no value: shifted it is 8.
                spread |= Vector128.ShiftRightLogical(places.AsUInt64(), 4).AsByte() & fill;
                *(ulong*)row = spread.AsUInt64().ToScalar();
                values += BitOperations.PopCount((uint)m);
            }
        }
    }

    /// <summary>Values that are packed together: the first half in the lower halves of the bytes, the second in the upper ones. The last block of a row is shorter.</summary>
    public const int PackedBlock = 128;

    /// <summary>Packs values of 0 to 15.</summary>
    public static void Pack(ReadOnlySpan<byte> values, Span<byte> packed)
    {
        for (int i = 0; i < values.Length; i += PackedBlock)
        {
            int count = Math.Min(PackedBlock, values.Length - i), half = (count + 1) / 2;
            for (int j = 0; j < half; j++) packed[(i / 2) + j] = (byte)(values[i + j] | (j + half < count ? values[i + j + half] << 4 : 0));
        }
    }

    /// <summary>The definition: bytes of 0 to 15 in order.</summary>
    public static void UnpackPortable(byte* packed, int count, byte* bytes)
    {
        for (int i = 0; i < count; i += PackedBlock)
        {
            int here = Math.Min(PackedBlock, count - i), half = (here + 1) / 2;
            for (int j = 0; j < half; j++)
            {
                bytes[i + j] = (byte)(packed[(i / 2) + j] & 15);
                if (j + half < here) bytes[i + j + half] = (byte)(packed[(i / 2) + j] >> 4);
            }
        }
    }

    /// <summary>As <see cref="UnpackPortable"/>; reads up to 63 packed bytes and writes up to 127 bytes too far.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack512(byte* packed, int count, byte* bytes)
    {
        Vector512<byte> lower = Vector512.Create((byte)15);
        for (nint i = 0; i < count; i += PackedBlock, packed += 64, bytes += PackedBlock)
        {
            if (Sse.IsSupported) Sse.Prefetch0(packed + Ahead);
            Vector512<byte> both = Vector512.Load(packed);
            (both & lower).Store(bytes);
            (Vector512.ShiftRightLogical(both.AsUInt16(), 4).AsByte() & lower).Store(bytes + ((nint.Min(PackedBlock, count - i) + 1) / 2));
        }
    }

    /// <summary>As <see cref="Unpack512"/>, with half as wide registers and less a number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Unpack256(byte* packed, int count, byte* bytes, byte less)
    {
        Vector256<byte> lower = Vector256.Create((byte)15), minus = Vector256.Create(less);
        bool asks = !VectorUnits.AreHalf256;
        for (nint i = 0; i < count; i += PackedBlock, packed += 64, bytes += PackedBlock)
        {
            if (asks) Sse.Prefetch0(packed + Ahead);
            Vector256<byte> first = Vector256.Load(packed), second = Vector256.Load(packed + 32);
            byte* upper = bytes + ((nint.Min(PackedBlock, count - i) + 1) / 2);
            ((first & lower) - minus).Store(bytes);
            ((second & lower) - minus).Store(bytes + 32);
            ((Vector256.ShiftRightLogical(first.AsUInt16(), 4).AsByte() & lower) - minus).Store(upper);
            ((Vector256.ShiftRightLogical(second.AsUInt16(), 4).AsByte() & lower) - minus).Store(upper + 32);
        }
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Turns the bits of a mask into lanes whose sign says whether a column has a value: one vpmultishiftqb on the word, repeated from memory.</summary>
/// <remarks>Read as floating-point numbers the words are broadcast by the load; read as integers they would pass through a general register, which costs two cycles.</remarks>
internal static unsafe class MaskLanes
{
    /// <summary>Whether <see cref="Bytes"/> and <see cref="Words"/> and the expansions that go with them are there.</summary>
    public static bool IsSupported
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Avx512Vbmi.IsSupported && Avx512Vbmi2.IsSupported;
    }

    /// <summary>For <see cref="Bytes"/>: byte i takes the 8 bits that end at bit i.</summary>
    public static Vector512<byte> ByteShifts
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.Create(0x003F3E3D3C3B3A39ul, 0x0807060504030201, 0x100F0E0D0C0B0A09, 0x1817161514131211, 0x201F1E1D1C1B1A19, 0x2827262524232221, 0x302F2E2D2C2B2A29, 0x3837363534333231).AsByte();
    }

    /// <summary>For <see cref="Words"/>, columns 0 to 31: the upper byte of 16-bit lane i takes the 8 bits that end at bit i.</summary>
    public static Vector512<byte> LowWordShifts
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.Create(0x3C003B003A003900ul, 0x00003F003E003D00, 0x0400030002000100, 0x0800070006000500, 0x0C000B000A000900, 0x10000F000E000D00, 0x1400130012001100, 0x1800170016001500).AsByte();
    }

    /// <summary>For <see cref="Words"/>, columns 32 to 63.</summary>
    public static Vector512<byte> HighWordShifts
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.Create(0x1C001B001A001900ul, 0x20001F001E001D00, 0x2400230022002100, 0x2800270026002500, 0x2C002B002A002900, 0x30002F002E002D00, 0x3400330032003100, 0x3800370036003500).AsByte();
    }

    /// <summary>64 bytes, negative where the bit is set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<byte> Bytes(ulong* word, Vector512<byte> shifts) => Avx512Vbmi.MultiShift(shifts, Vector512.Create(*(double*)word).AsUInt64());

    /// <summary>32 16-bit lanes, negative where the bit is set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<ushort> Words(ulong* word, Vector512<byte> shifts) => Avx512Vbmi.MultiShift(shifts, Vector512.Create(*(double*)word).AsUInt64()).AsUInt16();
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Finite half-precision numbers in single precision, eight at a time.</summary>
internal static unsafe class HalfPrecision
{
    /// <summary>Exact for every finite half: the exponent is moved by a multiplication, which also normalises denormals.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Widen(ushort* halves, int count, float* singles)
    {
        const float TwoTo112 = 5.192296858534828e33f;
        int i = 0;
        if (Vector256.IsHardwareAccelerated)
        {
            for (; i + 8 <= count; i += 8)
            {
                (Vector128<uint> low, Vector128<uint> high) = Vector128.Widen(Vector128.Load(halves + i));
                Vector256<uint> wide = Vector256.Create(low, high);
                Vector256<float> magnitude = Vector256.ShiftLeft(wide & Vector256.Create(0x7FFFu), 13).AsSingle() * TwoTo112;
                (magnitude.AsUInt32() | Vector256.ShiftLeft(wide & Vector256.Create(0x8000u), 16)).AsSingle().Store(singles + i);
            }
        }
        if (Vector128.IsHardwareAccelerated)
        {
            for (; i + 4 <= count; i += 4)
            {
                Vector128<uint> wide = Vector128.WidenLower(Vector128.CreateScalar(*(ulong*)(halves + i)).AsUInt16());
                Vector128<float> magnitude = Vector128.ShiftLeft(wide & Vector128.Create(0x7FFFu), 13).AsSingle() * TwoTo112;
                (magnitude.AsUInt32() | Vector128.ShiftLeft(wide & Vector128.Create(0x8000u), 16)).AsSingle().Store(singles + i);
            }
        }
        // No branch: signs of scales cannot be guessed.
        for (; i < count; i++)
        {
            float magnitude = BitConverter.UInt32BitsToSingle((uint)(halves[i] & 0x7FFF) << 13) * TwoTo112;
            singles[i] = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(magnitude) | (uint)(halves[i] & 0x8000) << 16);
        }
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Finite half-precision numbers in single precision, up to 16 at a time.</summary>
internal static unsafe class HalfPrecision
{
    // The exponent is moved by a multiplication, which also normalises denormals.
    private const float TwoTo112 = 5.192296858534828e33f;

    // Sign and what is no exponent of a single, after a half was extended by its sign and shifted by 13.
    private const int Kept = unchecked((int)0x8FFFE000);

    /// <summary>Exact for every finite half.</summary>
    public static void Widen(ushort* halves, int count, float* singles) => Widen(halves, null, count, singles);

    /// <summary>singles = halves * factors; without factors the halves themselves.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Widen(ushort* halves, float* factors, int count, float* singles)
    {
        int i = 0;
        if (Avx512F.IsSupported)
        {
            for (; i + 16 <= count; i += 16)
            {
                Vector512<float> wide = (Vector512.ShiftLeft(Avx512F.ConvertToVector512Int32(Vector256.Load((short*)halves + i)), 13) & Vector512.Create(Kept)).AsSingle() * TwoTo112;
                (factors == null ? wide : wide * Vector512.Load(factors + i)).Store(singles + i);
            }
        }
        if (Avx2.IsSupported)
        {
            for (; i + 8 <= count; i += 8)
            {
                Vector256<float> wide = (Vector256.ShiftLeft(Avx2.ConvertToVector256Int32(Vector128.Load((short*)halves + i)), 13) & Vector256.Create(Kept)).AsSingle() * TwoTo112;
                (factors == null ? wide : wide * Vector256.Load(factors + i)).Store(singles + i);
            }
            for (; i + 4 <= count; i += 4)
            {
                Vector128<float> wide = (Vector128.ShiftLeft(Sse41.ConvertToVector128Int32(Vector128.CreateScalarUnsafe(*(long*)(halves + i)).AsInt16()), 13) & Vector128.Create(Kept)).AsSingle() * TwoTo112;
                (factors == null ? wide : wide * Vector128.Load(factors + i)).Store(singles + i);
            }
        }
        // No branch: signs of scales cannot be guessed.
        for (; i < count; i++)
        {
            float wide = BitConverter.Int32BitsToSingle((short)halves[i] << 13 & Kept) * TwoTo112;
            singles[i] = factors == null ? wide : wide * factors[i];
        }
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Dense;

/// <summary>Copies of numbers at equal distances.</summary>
internal static unsafe class EveryNth
{
    /// <summary>to[i] = from[i * stride].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* from, nint stride, float* to, int count)
    {
        int i = 0;
        if (stride == 2 && Avx2.IsSupported)
        {
            // The even floats of two registers; the last one read lies behind the last one needed, so the end is left to the loop below.
            for (; i + 8 < count; i += 8)
            {
                Vector256<float> a = Vector256.Load(from + 2 * i), b = Vector256.Load(from + 2 * i + 8);
                Vector256<double> even = Avx.Shuffle(a, b, 0b10_00_10_00).AsDouble();
                Avx2.Permute4x64(even, 0b11_01_10_00).AsSingle().Store(to + i);
            }
            for (; i + 4 < count; i += 4)
                Sse.Shuffle(Vector128.Load(from + 2 * i), Vector128.Load(from + 2 * i + 4), 0b10_00_10_00).Store(to + i);
        }
        for (; i < count; i++) to[i] = from[i * stride];
    }
}

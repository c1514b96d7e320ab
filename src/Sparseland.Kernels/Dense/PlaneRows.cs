using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Dense;

/// <summary>Rows of planes that are laid out elsewhere. A library call for each row takes as long as copying one of 32 values.</summary>
internal static unsafe class PlaneRows
{
    /// <summary>Copies <paramref name="rows"/> rows of <paramref name="width"/> floats; pitches are distances of rows in floats.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* from, nint fromPitch, int rows, int width, float* to, nint toPitch)
    {
        for (int r = 0; r < rows; r++, from += fromPitch, to += toPitch) Row(from, width, to);
    }

    /// <summary>Copies rows to columns begin .. end-1 of rows of <paramref name="pitch"/> floats, with padding beside them; <paramref name="from"/> is what goes to column <paramref name="begin"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void CopyPadded(float* from, nint fromPitch, int rows, int begin, int end, int pitch, float padding, float* to)
    {
        for (int r = 0; r < rows; r++, from += fromPitch, to += pitch)
        {
            for (int q = 0; q < begin; q++) to[q] = padding;
            Row(from, end - begin, to + begin);
            for (int q = end; q < pitch; q++) to[q] = padding;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Row(float* from, int width, float* to)
    {
        int x = 0;
        if (Avx512F.IsSupported)
        {
            for (; x + 16 <= width; x += 16) Vector512.Load(from + x).Store(to + x);
        }
        for (; x + 8 <= width; x += 8) Vector256.Load(from + x).Store(to + x);
        for (; x < width; x++) to[x] = from[x];
    }
}

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

    /// <summary>to[i] = row[first + i * stride] for all of a row of count * stride floats; nothing else is read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* row, int first, int stride, float* to, int count)
    {
        if (stride == 2 && count >= 4 && Avx512F.IsSupported)
        {
            // Registers begin at even places, so they end within the row; the last ones overlap.
            if (count >= 16)
            {
                Vector512<int> index = Vector512.Create(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) + Vector512.Create(first);
                for (int i = 0; i < count; i += 16)
                {
                    int at = Math.Min(i, count - 16);
                    Avx512F.PermuteVar16x32x2(Vector512.Load(row + 2 * at), index, Vector512.Load(row + 2 * at + 16)).Store(to + at);
                }
                return;
            }
            if (count >= 8)
            {
                Vector512<int> index = Vector512.Create(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14) + Vector512.Create(first);
                for (int i = 0; i < count; i += 8)
                {
                    int at = Math.Min(i, count - 8);
                    Avx512F.PermuteVar16x32(Vector512.Load(row + 2 * at), index).GetLower().Store(to + at);
                }
                return;
            }
            for (int i = 0; i < count; i += 4)
            {
                int at = Math.Min(i, count - 4);
                Vector128<float> a = Vector128.Load(row + 2 * at), b = Vector128.Load(row + 2 * at + 4);
                (first == 0 ? Sse.Shuffle(a, b, 0b10_00_10_00) : Sse.Shuffle(a, b, 0b11_01_11_01)).Store(to + at);
            }
            return;
        }
        if (stride == 2 && count >= 8 && Avx.IsSupported)
        {
            Apart(row, 0, 1, first == 0 ? to : null, first == 0 ? null : to, count);
            return;
        }
        for (int i = 0; i < count; i++) to[i] = row[first + i * stride];
    }

    /// <summary>Whether <see cref="Apart"/> takes rows apart: with registers of 256 bits, rows of a stride of two that fill one.</summary>
    public static bool TakesApart(int stride, int count) => stride == 2 && count >= 8 && Avx.IsSupported && !Avx512F.IsSupported;

    /// <summary>even[r * count + i] = from[r * apart + 2 * i], odd[r * count + i] = from[r * apart + 2 * i + 1] for all of rows of 2 * count floats; nothing else is read. Needs registers of 256 bits.</summary>
    /// <param name="from">The first row.</param>
    /// <param name="apart">Floats between rows.</param>
    /// <param name="rows">How many.</param>
    /// <param name="even">Where even floats go, or null.</param>
    /// <param name="odd">Where odd floats go, or null.</param>
    /// <param name="count">Floats of a row of the result, at least 8.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Apart(float* from, nint apart, int rows, float* even, float* odd, int count)
    {
        for (; rows > 0; rows--, from += apart)
        {
            for (int i = 0; i < count; i += 8)
            {
                int at = Math.Min(i, count - 8);
                float* begin = from + 2 * at;
                // Four values and the four that are eight behind them, so that shuffles within halves of registers leave them in order.
                Vector256<float> a = Vector256.Create(Vector128.Load(begin), Vector128.Load(begin + 8)), b = Vector256.Create(Vector128.Load(begin + 4), Vector128.Load(begin + 12));
                if (even != null) Avx.Shuffle(a, b, 0b10_00_10_00).Store(even + at);
                if (odd != null) Avx.Shuffle(a, b, 0b11_01_11_01).Store(odd + at);
            }
            if (even != null) even += count;
            if (odd != null) odd += count;
        }
    }
}

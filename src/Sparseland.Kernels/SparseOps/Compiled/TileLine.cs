using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>Copies of 16 floats to packed lines, in one register where there are such and in two elsewhere.</summary>
internal static unsafe class TileLine
{
    private const int Half = CompiledMatrix.Lanes / 2;

    /// <summary>to[0 .. 15] = from[0 .. 15].</summary>
    /// <param name="from">Anywhere.</param>
    /// <param name="to">At an address divisible by 64.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(float* from, float* to)
    {
        if (Avx512F.IsSupported)
        {
            Vector512.StoreAligned(Vector512.Load(from), to);
            return;
        }
        Vector256<float> low = Vector256.Load(from), high = Vector256.Load(from + Half);
        Vector256.StoreAligned(low, to);
        Vector256.StoreAligned(high, to + Half);
    }

    /// <summary>to = from where the mask has ones, 0 elsewhere, also where from is not finite.</summary>
    /// <param name="from">Anywhere.</param>
    /// <param name="mask">0 or -1 for each lane.</param>
    /// <param name="to">At an address divisible by 64.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(float* from, int* mask, float* to)
    {
        if (Avx512F.IsSupported)
        {
            Vector512.StoreAligned(Vector512.Load(from) & Vector512.Load(mask).AsSingle(), to);
            return;
        }
        Vector256<float> low = Vector256.Load(from) & Vector256.Load(mask).AsSingle(), high = Vector256.Load(from + Half) & Vector256.Load(mask + Half).AsSingle();
        Vector256.StoreAligned(low, to);
        Vector256.StoreAligned(high, to + Half);
    }

    /// <summary>The same for lines at equal distances.</summary>
    /// <param name="from">The first line.</param>
    /// <param name="apart">Floats from there to the next.</param>
    /// <param name="mask">0 or -1 for each lane.</param>
    /// <param name="to">Where the first goes, at an address divisible by 64.</param>
    /// <param name="step">Floats from there to where the next goes.</param>
    /// <param name="count">How many lines.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CopyEach(float* from, nint apart, int* mask, float* to, nint step, int count)
    {
        if (Avx512F.IsSupported)
        {
            Vector512<float> whole = Vector512.Load(mask).AsSingle();
            for (; count > 0; count--, from += apart, to += step) Vector512.StoreAligned(Vector512.Load(from) & whole, to);
            return;
        }
        Vector256<float> low = Vector256.Load(mask).AsSingle(), high = Vector256.Load(mask + Half).AsSingle();
        for (; count > 0; count--, from += apart, to += step)
        {
            Vector256.StoreAligned(Vector256.Load(from) & low, to);
            Vector256.StoreAligned(Vector256.Load(from + Half) & high, to + Half);
        }
    }

    /// <summary>to[i] = from[indices[i]], eight at once where they lie in a row: without AVX-512, whose permutations take any.</summary>
    /// <param name="from">The first of the floats.</param>
    /// <param name="indices">Sixteen.</param>
    /// <param name="inRow">For each half of them, whether it is eight numbers one after the other.</param>
    /// <param name="to">At an address divisible by 64.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Gather(float* from, int* indices, bool* inRow, float* to)
    {
        for (int c = 0; c < CompiledMatrix.Lanes; c += Half, inRow++)
        {
            if (*inRow) Vector256.StoreAligned(Vector256.Load(from + indices[c]), to + c);
            else for (int i = c; i < c + Half; i++) to[i] = from[indices[i]];
        }
    }

    /// <summary>Asks for some lines in a row, into the first cache.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AskFor(float* from, int lines)
    {
        for (; lines > 0; lines--, from += CompiledMatrix.Lanes) Sse.Prefetch0(from);
    }
}

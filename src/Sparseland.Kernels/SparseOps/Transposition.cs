using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Copies a small matrix transposed: pure data movement, in 4 x 4 squares.</summary>
internal static unsafe class Transposition
{
    /// <summary>to[c * ldto + r] = from[r * ldfrom + c].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Copy(float* from, nint ldfrom, int rows, int columns, float* to, nint ldto)
    {
        int r = 0;
        for (; r + 4 <= rows; r += 4)
        {
            float* f = from + r * ldfrom;
            float* t = to + r;
            int c = 0;
            for (; c + 4 <= columns; c += 4)
            {
                Vector128<float> a = Vector128.Load(f + c), b = Vector128.Load(f + ldfrom + c);
                Vector128<float> d = Vector128.Load(f + 2 * ldfrom + c), e = Vector128.Load(f + 3 * ldfrom + c);
                Vector128<float> ab0 = UnpackLow(a, b), ab1 = UnpackHigh(a, b), de0 = UnpackLow(d, e), de1 = UnpackHigh(d, e);
                LowHalves(ab0, de0).Store(t + c * ldto);
                HighHalves(ab0, de0).Store(t + (c + 1) * ldto);
                LowHalves(ab1, de1).Store(t + (c + 2) * ldto);
                HighHalves(ab1, de1).Store(t + (c + 3) * ldto);
            }
            for (; c < columns; c++)
            {
                for (int i = 0; i < 4; i++) t[c * ldto + i] = f[i * ldfrom + c];
            }
        }
        for (; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) to[c * ldto + r] = from[r * ldfrom + c];
        }
    }

    // Halves of 64 bits are slow on x64, so SSE's own moves are named.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackLow(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.UnpackLow(a, b)
        : Vector128.Create(a.GetElement(0), b.GetElement(0), a.GetElement(1), b.GetElement(1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> UnpackHigh(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.UnpackHigh(a, b)
        : Vector128.Create(a.GetElement(2), b.GetElement(2), a.GetElement(3), b.GetElement(3));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> LowHalves(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.MoveLowToHigh(a, b)
        : Vector128.Create(a.GetLower(), b.GetLower());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> HighHalves(Vector128<float> a, Vector128<float> b) => Sse.IsSupported
        ? Sse.MoveHighToLow(b, a)
        : Vector128.Create(a.GetUpper(), b.GetUpper());
}

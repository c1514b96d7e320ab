using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// The tile of eight rows times three registers, for 512-bit registers: 24 sums, three registers of b, one of a. No faster on many columns than two registers; of 7 x 7 pixels
// it leaves one column instead of 17, and it reads the weights, which come from memory there, once.
internal static unsafe partial class MicroKernel
{
    /// <summary>As <see cref="Run{V}(int, int, float*, float*, nint, in TileStore)"/> for three registers that are neighbours in b and in the result; b is dense.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void RunBroad<V>(int k, float* a, float* b, in TileStore to) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero, s60 = V.Zero, s70 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero, s61 = V.Zero, s71 = V.Zero;
        V s02 = V.Zero, s12 = V.Zero, s22 = V.Zero, s32 = V.Zero, s42 = V.Zero, s52 = V.Zero, s62 = V.Zero, s72 = V.Zero;
        if (to.Accumulate) Expect(to, 8);
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b), x1 = V.Load(b + V.Count), x2 = V.Load(b + (2 * V.Count)), w;
            w = V.Broadcast(a[0]); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1); V.Accumulate(ref s02, w, x2);
            w = V.Broadcast(a[1]); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1); V.Accumulate(ref s12, w, x2);
            w = V.Broadcast(a[2]); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1); V.Accumulate(ref s22, w, x2);
            w = V.Broadcast(a[3]); V.Accumulate(ref s30, w, x0); V.Accumulate(ref s31, w, x1); V.Accumulate(ref s32, w, x2);
            w = V.Broadcast(a[4]); V.Accumulate(ref s40, w, x0); V.Accumulate(ref s41, w, x1); V.Accumulate(ref s42, w, x2);
            w = V.Broadcast(a[5]); V.Accumulate(ref s50, w, x0); V.Accumulate(ref s51, w, x1); V.Accumulate(ref s52, w, x2);
            w = V.Broadcast(a[6]); V.Accumulate(ref s60, w, x0); V.Accumulate(ref s61, w, x1); V.Accumulate(ref s62, w, x2);
            w = V.Broadcast(a[7]); V.Accumulate(ref s70, w, x0); V.Accumulate(ref s71, w, x1); V.Accumulate(ref s72, w, x2);
            if (Sse.IsSupported) Sse.Prefetch1(a + PrefetchAhead);
            a += 8;
            b += 3 * V.Count;
        }
        V low = V.Broadcast(to.Low), high = V.Broadcast(to.High);
        Finish(to, 0, s00, s01, s02, low, high);
        Finish(to, 1, s10, s11, s12, low, high);
        Finish(to, 2, s20, s21, s22, low, high);
        Finish(to, 3, s30, s31, s32, low, high);
        Finish(to, 4, s40, s41, s42, low, high);
        Finish(to, 5, s50, s51, s52, low, high);
        Finish(to, 6, s60, s61, s62, low, high);
        Finish(to, 7, s70, s71, s72, low, high);
    }

    // One row of a broad tile on its way into the result.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish<V>(in TileStore to, int row, V s0, V s1, V s2, V low, V high) where V : unmanaged, IVector<V>
    {
        float* c = to.C0 + (row * to.Stride);
        if (to.Accumulate)
        {
            s0 = V.Add(V.Load(c), s0);
            s1 = V.Add(V.Load(c + V.Count), s1);
            s2 = V.Add(V.Load(c + (2 * V.Count)), s2);
        }
        if (to.Bias != null)
        {
            V bias = V.Broadcast(to.Bias[row]);
            s0 = V.Add(s0, bias);
            s1 = V.Add(s1, bias);
            s2 = V.Add(s2, bias);
        }
        if (to.HasResidual)
        {
            float* r = c + to.Residual;
            s0 = V.Add(s0, V.Load(r));
            s1 = V.Add(s1, V.Load(r + V.Count));
            s2 = V.Add(s2, V.Load(r + (2 * V.Count)));
        }
        if (to.Clamped)
        {
            s0 = V.Min(V.Max(s0, low), high);
            s1 = V.Min(V.Max(s1, low), high);
            s2 = V.Min(V.Max(s2, low), high);
        }
        V.Store(s0, c);
        V.Store(s1, c + V.Count);
        V.Store(s2, c + (2 * V.Count));
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// The tiles of six rows, for the narrower levels (16 registers on AVX2: 12 sums, two registers of b, one of a).
// Several steps at a time: a step does work in 20 instructions, and each one beside them counts where a core is shared, whose two threads are given instructions in turn.
internal static unsafe partial class MicroKernel
{
    // Rows of b at any distance.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Wide6<V, TWalk>(int k, float* a, float* b0, float* b1, TWalk walk, in TileStore to) where V : unmanaged, IVector<V> where TWalk : struct, IWalk
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero;
        int p = 0;
        for (; p + 4 <= k; p += 4)
        {
            nint at = walk.Next();
            Step6(a, 0, V.Load(b0 + at), V.Load(b1 + at), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            at = walk.Next();
            Step6(a, 6, V.Load(b0 + at), V.Load(b1 + at), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            at = walk.Next();
            Step6(a, 12, V.Load(b0 + at), V.Load(b1 + at), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            at = walk.Next();
            Step6(a, 18, V.Load(b0 + at), V.Load(b1 + at), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            if (Sse.IsSupported)
            {
                Sse.Prefetch1(a + PrefetchAhead);
                Sse.Prefetch1(a + PrefetchAhead + 16);
            }
            a += 24;
        }
        for (; p < k; p++)
        {
            nint at = walk.Next();
            Step6(a, 0, V.Load(b0 + at), V.Load(b1 + at), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            if (Sse.IsSupported) Sse.Prefetch1(a + PrefetchAhead);
            a += 6;
        }
        Finish6(to, s00, s01, s10, s11, s20, s21, s30, s31, s40, s41, s50, s51);
    }

    // Rows of b one behind the other, as in packed panels: eight steps at a time, at constant distances.
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Packed6<V>(int k, float* a, float* b, in TileStore to) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero;
        for (int left = k >> 3; left > 0; left--)
        {
            Step6(a, 0, V.Load(b), V.Load(b + V.Count), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            Step6(a, 6, V.Load(b + (2 * V.Count)), V.Load(b + (3 * V.Count)), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            Step6(a, 12, V.Load(b + (4 * V.Count)), V.Load(b + (5 * V.Count)), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            Step6(a, 18, V.Load(b + (6 * V.Count)), V.Load(b + (7 * V.Count)), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            Step6(a, 24, V.Load(b + (8 * V.Count)), V.Load(b + (9 * V.Count)), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            Step6(a, 30, V.Load(b + (10 * V.Count)), V.Load(b + (11 * V.Count)), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            Step6(a, 36, V.Load(b + (12 * V.Count)), V.Load(b + (13 * V.Count)), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            Step6(a, 42, V.Load(b + (14 * V.Count)), V.Load(b + (15 * V.Count)), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            if (Sse.IsSupported)
            {
                Sse.Prefetch1(a + PrefetchAhead);
                Sse.Prefetch1(a + PrefetchAhead + 16);
                Sse.Prefetch1(a + PrefetchAhead + 32);
            }
            a += 48;
            b += 16 * V.Count;
        }
        for (int left = k & 7; left > 0; left--)
        {
            Step6(a, 0, V.Load(b), V.Load(b + V.Count), ref s00, ref s01, ref s10, ref s11, ref s20, ref s21, ref s30, ref s31, ref s40, ref s41, ref s50, ref s51);
            a += 6;
            b += 2 * V.Count;
        }
        Finish6(to, s00, s01, s10, s11, s20, s21, s30, s31, s40, s41, s50, s51);
    }

    // One row of b and one column of a, which begins at a + at. A number beside the address, which is a part of the instruction then: a moved address would be computed for each step.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step6<V>(float* a, int at, V x0, V x1, ref V s00, ref V s01, ref V s10, ref V s11, ref V s20, ref V s21, ref V s30, ref V s31, ref V s40, ref V s41, ref V s50, ref V s51) where V : unmanaged, IVector<V>
    {
        V w;
        w = V.Broadcast(a[at]); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1);
        w = V.Broadcast(a[at + 1]); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1);
        w = V.Broadcast(a[at + 2]); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1);
        w = V.Broadcast(a[at + 3]); V.Accumulate(ref s30, w, x0); V.Accumulate(ref s31, w, x1);
        w = V.Broadcast(a[at + 4]); V.Accumulate(ref s40, w, x0); V.Accumulate(ref s41, w, x1);
        w = V.Broadcast(a[at + 5]); V.Accumulate(ref s50, w, x0); V.Accumulate(ref s51, w, x1);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish6<V>(in TileStore to, V s00, V s01, V s10, V s11, V s20, V s21, V s30, V s31, V s40, V s41, V s50, V s51) where V : unmanaged, IVector<V>
    {
        float* c0 = to.C0, c1 = to.C1;
        nint ldc = to.Stride;
        if (to.Accumulate)
        {
            s00 = V.Add(V.Load(c0), s00); s01 = V.Add(V.Load(c1), s01);
            s10 = V.Add(V.Load(c0 + ldc), s10); s11 = V.Add(V.Load(c1 + ldc), s11);
            s20 = V.Add(V.Load(c0 + (2 * ldc)), s20); s21 = V.Add(V.Load(c1 + (2 * ldc)), s21);
            s30 = V.Add(V.Load(c0 + (3 * ldc)), s30); s31 = V.Add(V.Load(c1 + (3 * ldc)), s31);
            s40 = V.Add(V.Load(c0 + (4 * ldc)), s40); s41 = V.Add(V.Load(c1 + (4 * ldc)), s41);
            s50 = V.Add(V.Load(c0 + (5 * ldc)), s50); s51 = V.Add(V.Load(c1 + (5 * ldc)), s51);
        }
        if (to.Bias != null)
        {
            float* bias = to.Bias;
            V x;
            x = V.Broadcast(bias[0]); s00 = V.Add(s00, x); s01 = V.Add(s01, x);
            x = V.Broadcast(bias[1]); s10 = V.Add(s10, x); s11 = V.Add(s11, x);
            x = V.Broadcast(bias[2]); s20 = V.Add(s20, x); s21 = V.Add(s21, x);
            x = V.Broadcast(bias[3]); s30 = V.Add(s30, x); s31 = V.Add(s31, x);
            x = V.Broadcast(bias[4]); s40 = V.Add(s40, x); s41 = V.Add(s41, x);
            x = V.Broadcast(bias[5]); s50 = V.Add(s50, x); s51 = V.Add(s51, x);
        }
        if (to.HasResidual)
        {
            float* r0 = c0 + to.Residual;
            float* r1 = c1 + to.Residual;
            s00 = V.Add(s00, V.Load(r0)); s01 = V.Add(s01, V.Load(r1));
            s10 = V.Add(s10, V.Load(r0 + ldc)); s11 = V.Add(s11, V.Load(r1 + ldc));
            s20 = V.Add(s20, V.Load(r0 + (2 * ldc))); s21 = V.Add(s21, V.Load(r1 + (2 * ldc)));
            s30 = V.Add(s30, V.Load(r0 + (3 * ldc))); s31 = V.Add(s31, V.Load(r1 + (3 * ldc)));
            s40 = V.Add(s40, V.Load(r0 + (4 * ldc))); s41 = V.Add(s41, V.Load(r1 + (4 * ldc)));
            s50 = V.Add(s50, V.Load(r0 + (5 * ldc))); s51 = V.Add(s51, V.Load(r1 + (5 * ldc)));
        }
        if (to.Clamped)
        {
            V low = V.Broadcast(to.Low), high = V.Broadcast(to.High), zero = V.Broadcast(to.Zero);
            s00 = Clamp.Bounded(s00, low, high, zero); s01 = Clamp.Bounded(s01, low, high, zero);
            s10 = Clamp.Bounded(s10, low, high, zero); s11 = Clamp.Bounded(s11, low, high, zero);
            s20 = Clamp.Bounded(s20, low, high, zero); s21 = Clamp.Bounded(s21, low, high, zero);
            s30 = Clamp.Bounded(s30, low, high, zero); s31 = Clamp.Bounded(s31, low, high, zero);
            s40 = Clamp.Bounded(s40, low, high, zero); s41 = Clamp.Bounded(s41, low, high, zero);
            s50 = Clamp.Bounded(s50, low, high, zero); s51 = Clamp.Bounded(s51, low, high, zero);
        }
        V.Store(s00, c0); V.Store(s01, c1);
        V.Store(s10, c0 + ldc); V.Store(s11, c1 + ldc);
        V.Store(s20, c0 + (2 * ldc)); V.Store(s21, c1 + (2 * ldc));
        V.Store(s30, c0 + (3 * ldc)); V.Store(s31, c1 + (3 * ldc));
        V.Store(s40, c0 + (4 * ldc)); V.Store(s41, c1 + (4 * ldc));
        V.Store(s50, c0 + (5 * ldc)); V.Store(s51, c1 + (5 * ldc));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Narrow6<V>(int k, float* a, float* b, nint stride, in TileStore to) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero, s4 = V.Zero, s5 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V x = V.Load(b);
            V.Accumulate(ref s0, V.Broadcast(a[0]), x);
            V.Accumulate(ref s1, V.Broadcast(a[1]), x);
            V.Accumulate(ref s2, V.Broadcast(a[2]), x);
            V.Accumulate(ref s3, V.Broadcast(a[3]), x);
            V.Accumulate(ref s4, V.Broadcast(a[4]), x);
            V.Accumulate(ref s5, V.Broadcast(a[5]), x);
            if (Sse.IsSupported) Sse.Prefetch1(a + PrefetchAhead);
            a += 6;
            b += stride;
        }
        float* c = to.C0;
        nint ldc = to.Stride;
        if (to.Accumulate)
        {
            s0 = V.Add(V.Load(c), s0);
            s1 = V.Add(V.Load(c + ldc), s1);
            s2 = V.Add(V.Load(c + (2 * ldc)), s2);
            s3 = V.Add(V.Load(c + (3 * ldc)), s3);
            s4 = V.Add(V.Load(c + (4 * ldc)), s4);
            s5 = V.Add(V.Load(c + (5 * ldc)), s5);
        }
        if (to.Bias != null)
        {
            float* bias = to.Bias;
            s0 = V.Add(s0, V.Broadcast(bias[0]));
            s1 = V.Add(s1, V.Broadcast(bias[1]));
            s2 = V.Add(s2, V.Broadcast(bias[2]));
            s3 = V.Add(s3, V.Broadcast(bias[3]));
            s4 = V.Add(s4, V.Broadcast(bias[4]));
            s5 = V.Add(s5, V.Broadcast(bias[5]));
        }
        if (to.HasResidual)
        {
            float* r = c + to.Residual;
            s0 = V.Add(s0, V.Load(r));
            s1 = V.Add(s1, V.Load(r + ldc));
            s2 = V.Add(s2, V.Load(r + (2 * ldc)));
            s3 = V.Add(s3, V.Load(r + (3 * ldc)));
            s4 = V.Add(s4, V.Load(r + (4 * ldc)));
            s5 = V.Add(s5, V.Load(r + (5 * ldc)));
        }
        if (to.Clamped)
        {
            V low = V.Broadcast(to.Low), high = V.Broadcast(to.High), zero = V.Broadcast(to.Zero);
            s0 = Clamp.Bounded(s0, low, high, zero);
            s1 = Clamp.Bounded(s1, low, high, zero);
            s2 = Clamp.Bounded(s2, low, high, zero);
            s3 = Clamp.Bounded(s3, low, high, zero);
            s4 = Clamp.Bounded(s4, low, high, zero);
            s5 = Clamp.Bounded(s5, low, high, zero);
        }
        V.Store(s0, c);
        V.Store(s1, c + ldc);
        V.Store(s2, c + (2 * ldc));
        V.Store(s3, c + (3 * ldc));
        V.Store(s4, c + (4 * ldc));
        V.Store(s5, c + (5 * ldc));
    }
}

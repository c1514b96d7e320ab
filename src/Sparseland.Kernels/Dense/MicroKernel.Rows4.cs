using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// The tiles of four rows beside those of six: together they cover every even number of rows from eight on, 16 and 32 channels among them, of which tiles of six alone would compute 18 and 36.
internal static unsafe partial class MicroKernel
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Wide4<V, TWalk>(int k, float* a, float* b0, float* b1, TWalk walk, in TileStore to) where V : unmanaged, IVector<V> where TWalk : struct, IWalk
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            nint at = walk.Next();
            V x0 = V.Load(b0 + at), x1 = V.Load(b1 + at), w;
            w = V.Broadcast(a[0]); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1);
            w = V.Broadcast(a[1]); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1);
            w = V.Broadcast(a[2]); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1);
            w = V.Broadcast(a[3]); V.Accumulate(ref s30, w, x0); V.Accumulate(ref s31, w, x1);
            if (Sse.IsSupported) Sse.Prefetch1(a + PrefetchAhead);
            a += 4;
        }
        float* c0 = to.C0, c1 = to.C1;
        nint ldc = to.Stride;
        if (to.Accumulate)
        {
            s00 = V.Add(V.Load(c0), s00); s01 = V.Add(V.Load(c1), s01);
            s10 = V.Add(V.Load(c0 + ldc), s10); s11 = V.Add(V.Load(c1 + ldc), s11);
            s20 = V.Add(V.Load(c0 + (2 * ldc)), s20); s21 = V.Add(V.Load(c1 + (2 * ldc)), s21);
            s30 = V.Add(V.Load(c0 + (3 * ldc)), s30); s31 = V.Add(V.Load(c1 + (3 * ldc)), s31);
        }
        if (to.Bias != null)
        {
            float* bias = to.Bias;
            V x;
            x = V.Broadcast(bias[0]); s00 = V.Add(s00, x); s01 = V.Add(s01, x);
            x = V.Broadcast(bias[1]); s10 = V.Add(s10, x); s11 = V.Add(s11, x);
            x = V.Broadcast(bias[2]); s20 = V.Add(s20, x); s21 = V.Add(s21, x);
            x = V.Broadcast(bias[3]); s30 = V.Add(s30, x); s31 = V.Add(s31, x);
        }
        if (to.HasResidual)
        {
            float* r0 = c0 + to.Residual;
            float* r1 = c1 + to.Residual;
            s00 = V.Add(s00, V.Load(r0)); s01 = V.Add(s01, V.Load(r1));
            s10 = V.Add(s10, V.Load(r0 + ldc)); s11 = V.Add(s11, V.Load(r1 + ldc));
            s20 = V.Add(s20, V.Load(r0 + (2 * ldc))); s21 = V.Add(s21, V.Load(r1 + (2 * ldc)));
            s30 = V.Add(s30, V.Load(r0 + (3 * ldc))); s31 = V.Add(s31, V.Load(r1 + (3 * ldc)));
        }
        if (to.Clamped)
        {
            V low = V.Broadcast(to.Low), high = V.Broadcast(to.High), zero = V.Broadcast(to.Zero);
            s00 = Clamp.Bounded(s00, low, high, zero); s01 = Clamp.Bounded(s01, low, high, zero);
            s10 = Clamp.Bounded(s10, low, high, zero); s11 = Clamp.Bounded(s11, low, high, zero);
            s20 = Clamp.Bounded(s20, low, high, zero); s21 = Clamp.Bounded(s21, low, high, zero);
            s30 = Clamp.Bounded(s30, low, high, zero); s31 = Clamp.Bounded(s31, low, high, zero);
        }
        V.Store(s00, c0); V.Store(s01, c1);
        V.Store(s10, c0 + ldc); V.Store(s11, c1 + ldc);
        V.Store(s20, c0 + (2 * ldc)); V.Store(s21, c1 + (2 * ldc));
        V.Store(s30, c0 + (3 * ldc)); V.Store(s31, c1 + (3 * ldc));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Narrow4<V>(int k, float* a, float* b, nint stride, in TileStore to) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
        for (int p = 0; p < k; p++)
        {
            V x = V.Load(b);
            V.Accumulate(ref s0, V.Broadcast(a[0]), x);
            V.Accumulate(ref s1, V.Broadcast(a[1]), x);
            V.Accumulate(ref s2, V.Broadcast(a[2]), x);
            V.Accumulate(ref s3, V.Broadcast(a[3]), x);
            if (Sse.IsSupported) Sse.Prefetch1(a + PrefetchAhead);
            a += 4;
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
        }
        if (to.Bias != null)
        {
            float* bias = to.Bias;
            s0 = V.Add(s0, V.Broadcast(bias[0]));
            s1 = V.Add(s1, V.Broadcast(bias[1]));
            s2 = V.Add(s2, V.Broadcast(bias[2]));
            s3 = V.Add(s3, V.Broadcast(bias[3]));
        }
        if (to.HasResidual)
        {
            float* r = c + to.Residual;
            s0 = V.Add(s0, V.Load(r));
            s1 = V.Add(s1, V.Load(r + ldc));
            s2 = V.Add(s2, V.Load(r + (2 * ldc)));
            s3 = V.Add(s3, V.Load(r + (3 * ldc)));
        }
        if (to.Clamped)
        {
            V low = V.Broadcast(to.Low), high = V.Broadcast(to.High), zero = V.Broadcast(to.Zero);
            s0 = Clamp.Bounded(s0, low, high, zero);
            s1 = Clamp.Bounded(s1, low, high, zero);
            s2 = Clamp.Bounded(s2, low, high, zero);
            s3 = Clamp.Bounded(s3, low, high, zero);
        }
        V.Store(s0, c);
        V.Store(s1, c + ldc);
        V.Store(s2, c + (2 * ldc));
        V.Store(s3, c + (3 * ldc));
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// Tiles whose left operand is read where it lies: element (i, p) at a + i * row + p * step, so that a matrix and its transpose need no copy.
internal static unsafe partial class MicroKernel
{
    /// <summary>Rows of a direct tile, on every level.</summary>
    public const int DirectRows = 8;

    /// <summary>What a loop asks for among its products.</summary>
    private interface IRequests
    {
        /// <summary>Whether it asks for anything: one loop is compiled with it and one without.</summary>
        static abstract bool AreThere { get; }

        /// <summary>One step of the sums.</summary>
        void Ask();
    }

    private struct Requests(float* ahead, nint pace) : IRequests
    {
        private float* _ahead = ahead;

        public static bool AreThere => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Ask()
        {
            if (Sse.IsSupported) Sse.Prefetch0(_ahead);
            _ahead = (float*)((byte*)_ahead + pace);
        }
    }

    private readonly struct NoRequests : IRequests
    {
        public static bool AreThere => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Ask()
        {
        }
    }

    /// <summary>c [8, columns] = or += a b for two registers of columns, or for one; b [k, columns] with rows <paramref name="stride"/> apart.</summary>
    /// <param name="k">Length of the sums.</param>
    /// <param name="a">Element (0, 0) of the left operand.</param>
    /// <param name="row">Distance of its rows.</param>
    /// <param name="step">Distance of its columns.</param>
    /// <param name="b">The right operand.</param>
    /// <param name="stride">Distance of its rows.</param>
    /// <param name="c">The tile.</param>
    /// <param name="ldc">Distance of its rows.</param>
    /// <param name="two">Two registers of columns.</param>
    /// <param name="accumulate">Whether the sums are added to what is there.</param>
    /// <param name="ahead">Memory that is asked for, a line at each step of the sums.</param>
    /// <param name="pace">Bytes from there to what the next step asks for.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RunDirect<V>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool two, bool accumulate, float* ahead, nint pace) where V : unmanaged, IVector<V> =>
        Direct<V, Requests>(k, a, row, step, b, stride, c, ldc, two, accumulate, new Requests(ahead, pace), new Requests(a, 0));

    /// <summary>As <see cref="RunDirect"/> where operands and results are near: nothing is asked for.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RunDirectNear<V>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool two, bool accumulate) where V : unmanaged, IVector<V> =>
        Direct<V, NoRequests>(k, a, row, step, b, stride, c, ldc, two, accumulate, default, default);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Direct<V, TRequests>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool two, bool accumulate, TRequests first, TRequests second) where V : unmanaged, IVector<V> where TRequests : struct, IRequests
    {
        if (V.Count == 16)
        {
            if (two) Direct8<V, TRequests>(k, a, row, step, b, stride, c, ldc, accumulate, first);
            else DirectNarrow8<V>(k, a, row, step, b, stride, c, ldc, accumulate);
            return;
        }
        // Sixteen registers hold four rows of sums: 8, 2 of b, 1 of a.
        float* under = a + (4 * row), below = c + (4 * ldc);
        if (two)
        {
            Direct4<V, TRequests>(k, a, row, step, b, stride, c, ldc, accumulate, first);
            Direct4<V, TRequests>(k, under, row, step, b, stride, below, ldc, accumulate, second);
            return;
        }
        DirectNarrow4<V>(k, a, row, step, b, stride, c, ldc, accumulate);
        DirectNarrow4<V>(k, under, row, step, b, stride, below, ldc, accumulate);
    }

    /// <summary>
    /// Whether tiles of six rows and two registers are faster than the same of four: where multiply-adds of 256 bits take a unit at once, eight sums are as many as two units have under way, and nothing may come late. Units of half
    /// of that have four under way.
    /// </summary>
    public static bool DirectSix<V>() where V : unmanaged, IVector<V> => V.Count == 8 && !VectorUnits.AreHalf256;

    /// <summary>As <see cref="RunDirect"/> for two registers of columns, six rows; only where <see cref="DirectSix"/> says so.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void RunDirectSix<V>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool accumulate, float* ahead, nint pace) where V : unmanaged, IVector<V> =>
        Direct6<V>(k, a, row, step, b, stride, c, ldc, accumulate, ahead, pace);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float At(float* a, nint bytes) => *(float*)((byte*)a + bytes);

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Direct8<V, TRequests>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool accumulate, TRequests requests) where V : unmanaged, IVector<V> where TRequests : struct, IRequests
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero, s60 = V.Zero, s70 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero, s61 = V.Zero, s71 = V.Zero;
        if (TRequests.AreThere && accumulate) Expect(TileStore.Plain(c, ldc, V.Count, accumulate), 8);
        float* a4 = a + (4 * row);
        nint r1 = row * sizeof(float), r2 = 2 * r1, r3 = 3 * r1;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b), x1 = V.Load(b + V.Count), w;
            w = V.Broadcast(*a); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1);
            w = V.Broadcast(At(a, r1)); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1);
            w = V.Broadcast(At(a, r2)); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1);
            w = V.Broadcast(At(a, r3)); V.Accumulate(ref s30, w, x0); V.Accumulate(ref s31, w, x1);
            w = V.Broadcast(*a4); V.Accumulate(ref s40, w, x0); V.Accumulate(ref s41, w, x1);
            w = V.Broadcast(At(a4, r1)); V.Accumulate(ref s50, w, x0); V.Accumulate(ref s51, w, x1);
            w = V.Broadcast(At(a4, r2)); V.Accumulate(ref s60, w, x0); V.Accumulate(ref s61, w, x1);
            w = V.Broadcast(At(a4, r3)); V.Accumulate(ref s70, w, x0); V.Accumulate(ref s71, w, x1);
            a += step;
            a4 += step;
            b += stride;
            requests.Ask();
        }
        float* c1 = c + V.Count;
        if (accumulate)
        {
            s00 = V.Add(V.Load(c), s00); s01 = V.Add(V.Load(c1), s01);
            s10 = V.Add(V.Load(c + ldc), s10); s11 = V.Add(V.Load(c1 + ldc), s11);
            s20 = V.Add(V.Load(c + (2 * ldc)), s20); s21 = V.Add(V.Load(c1 + (2 * ldc)), s21);
            s30 = V.Add(V.Load(c + (3 * ldc)), s30); s31 = V.Add(V.Load(c1 + (3 * ldc)), s31);
            s40 = V.Add(V.Load(c + (4 * ldc)), s40); s41 = V.Add(V.Load(c1 + (4 * ldc)), s41);
            s50 = V.Add(V.Load(c + (5 * ldc)), s50); s51 = V.Add(V.Load(c1 + (5 * ldc)), s51);
            s60 = V.Add(V.Load(c + (6 * ldc)), s60); s61 = V.Add(V.Load(c1 + (6 * ldc)), s61);
            s70 = V.Add(V.Load(c + (7 * ldc)), s70); s71 = V.Add(V.Load(c1 + (7 * ldc)), s71);
        }
        V.Store(s00, c); V.Store(s01, c1);
        V.Store(s10, c + ldc); V.Store(s11, c1 + ldc);
        V.Store(s20, c + (2 * ldc)); V.Store(s21, c1 + (2 * ldc));
        V.Store(s30, c + (3 * ldc)); V.Store(s31, c1 + (3 * ldc));
        V.Store(s40, c + (4 * ldc)); V.Store(s41, c1 + (4 * ldc));
        V.Store(s50, c + (5 * ldc)); V.Store(s51, c1 + (5 * ldc));
        V.Store(s60, c + (6 * ldc)); V.Store(s61, c1 + (6 * ldc));
        V.Store(s70, c + (7 * ldc)); V.Store(s71, c1 + (7 * ldc));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void DirectNarrow8<V>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero, s4 = V.Zero, s5 = V.Zero, s6 = V.Zero, s7 = V.Zero;
        float* a4 = a + (4 * row);
        nint r1 = row * sizeof(float), r2 = 2 * r1, r3 = 3 * r1;
        for (int p = 0; p < k; p++)
        {
            V x = V.Load(b);
            V.Accumulate(ref s0, V.Broadcast(*a), x);
            V.Accumulate(ref s1, V.Broadcast(At(a, r1)), x);
            V.Accumulate(ref s2, V.Broadcast(At(a, r2)), x);
            V.Accumulate(ref s3, V.Broadcast(At(a, r3)), x);
            V.Accumulate(ref s4, V.Broadcast(*a4), x);
            V.Accumulate(ref s5, V.Broadcast(At(a4, r1)), x);
            V.Accumulate(ref s6, V.Broadcast(At(a4, r2)), x);
            V.Accumulate(ref s7, V.Broadcast(At(a4, r3)), x);
            a += step;
            a4 += step;
            b += stride;
        }
        if (accumulate)
        {
            s0 = V.Add(V.Load(c), s0);
            s1 = V.Add(V.Load(c + ldc), s1);
            s2 = V.Add(V.Load(c + (2 * ldc)), s2);
            s3 = V.Add(V.Load(c + (3 * ldc)), s3);
            s4 = V.Add(V.Load(c + (4 * ldc)), s4);
            s5 = V.Add(V.Load(c + (5 * ldc)), s5);
            s6 = V.Add(V.Load(c + (6 * ldc)), s6);
            s7 = V.Add(V.Load(c + (7 * ldc)), s7);
        }
        V.Store(s0, c);
        V.Store(s1, c + ldc);
        V.Store(s2, c + (2 * ldc));
        V.Store(s3, c + (3 * ldc));
        V.Store(s4, c + (4 * ldc));
        V.Store(s5, c + (5 * ldc));
        V.Store(s6, c + (6 * ldc));
        V.Store(s7, c + (7 * ldc));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Direct4<V, TRequests>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool accumulate, TRequests requests) where V : unmanaged, IVector<V> where TRequests : struct, IRequests
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero;
        nint r1 = row * sizeof(float), r2 = 2 * r1, r3 = 3 * r1;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b), x1 = V.Load(b + V.Count), w;
            w = V.Broadcast(*a); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1);
            w = V.Broadcast(At(a, r1)); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1);
            w = V.Broadcast(At(a, r2)); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1);
            w = V.Broadcast(At(a, r3)); V.Accumulate(ref s30, w, x0); V.Accumulate(ref s31, w, x1);
            a += step;
            b += stride;
            requests.Ask();
        }
        float* c1 = c + V.Count;
        if (accumulate)
        {
            s00 = V.Add(V.Load(c), s00); s01 = V.Add(V.Load(c1), s01);
            s10 = V.Add(V.Load(c + ldc), s10); s11 = V.Add(V.Load(c1 + ldc), s11);
            s20 = V.Add(V.Load(c + (2 * ldc)), s20); s21 = V.Add(V.Load(c1 + (2 * ldc)), s21);
            s30 = V.Add(V.Load(c + (3 * ldc)), s30); s31 = V.Add(V.Load(c1 + (3 * ldc)), s31);
        }
        V.Store(s00, c); V.Store(s01, c1);
        V.Store(s10, c + ldc); V.Store(s11, c1 + ldc);
        V.Store(s20, c + (2 * ldc)); V.Store(s21, c1 + (2 * ldc));
        V.Store(s30, c + (3 * ldc)); V.Store(s31, c1 + (3 * ldc));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Direct6<V>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool accumulate, float* ahead, nint pace) where V : unmanaged, IVector<V>
    {
        V s00 = V.Zero, s10 = V.Zero, s20 = V.Zero, s30 = V.Zero, s40 = V.Zero, s50 = V.Zero;
        V s01 = V.Zero, s11 = V.Zero, s21 = V.Zero, s31 = V.Zero, s41 = V.Zero, s51 = V.Zero;
        float* a4 = a + (4 * row);
        nint r1 = row * sizeof(float), r2 = 2 * r1, r3 = 3 * r1;
        for (int p = 0; p < k; p++)
        {
            V x0 = V.Load(b), x1 = V.Load(b + V.Count), w;
            w = V.Broadcast(*a); V.Accumulate(ref s00, w, x0); V.Accumulate(ref s01, w, x1);
            w = V.Broadcast(At(a, r1)); V.Accumulate(ref s10, w, x0); V.Accumulate(ref s11, w, x1);
            w = V.Broadcast(At(a, r2)); V.Accumulate(ref s20, w, x0); V.Accumulate(ref s21, w, x1);
            w = V.Broadcast(At(a, r3)); V.Accumulate(ref s30, w, x0); V.Accumulate(ref s31, w, x1);
            w = V.Broadcast(*a4); V.Accumulate(ref s40, w, x0); V.Accumulate(ref s41, w, x1);
            w = V.Broadcast(At(a4, r1)); V.Accumulate(ref s50, w, x0); V.Accumulate(ref s51, w, x1);
            a += step;
            a4 += step;
            b += stride;
            // Into the second cache: rows of a bias are 64 KB a tile of 256 keys, twice what the first one holds.
            if (Sse.IsSupported) Sse.Prefetch1(ahead);
            ahead = (float*)((byte*)ahead + pace);
        }
        float* c1 = c + V.Count;
        if (accumulate)
        {
            s00 = V.Add(V.Load(c), s00); s01 = V.Add(V.Load(c1), s01);
            s10 = V.Add(V.Load(c + ldc), s10); s11 = V.Add(V.Load(c1 + ldc), s11);
            s20 = V.Add(V.Load(c + (2 * ldc)), s20); s21 = V.Add(V.Load(c1 + (2 * ldc)), s21);
            s30 = V.Add(V.Load(c + (3 * ldc)), s30); s31 = V.Add(V.Load(c1 + (3 * ldc)), s31);
            s40 = V.Add(V.Load(c + (4 * ldc)), s40); s41 = V.Add(V.Load(c1 + (4 * ldc)), s41);
            s50 = V.Add(V.Load(c + (5 * ldc)), s50); s51 = V.Add(V.Load(c1 + (5 * ldc)), s51);
        }
        V.Store(s00, c); V.Store(s01, c1);
        V.Store(s10, c + ldc); V.Store(s11, c1 + ldc);
        V.Store(s20, c + (2 * ldc)); V.Store(s21, c1 + (2 * ldc));
        V.Store(s30, c + (3 * ldc)); V.Store(s31, c1 + (3 * ldc));
        V.Store(s40, c + (4 * ldc)); V.Store(s41, c1 + (4 * ldc));
        V.Store(s50, c + (5 * ldc)); V.Store(s51, c1 + (5 * ldc));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void DirectNarrow4<V>(int k, float* a, nint row, nint step, float* b, nint stride, float* c, nint ldc, bool accumulate) where V : unmanaged, IVector<V>
    {
        V s0 = V.Zero, s1 = V.Zero, s2 = V.Zero, s3 = V.Zero;
        nint r1 = row * sizeof(float), r2 = 2 * r1, r3 = 3 * r1;
        for (int p = 0; p < k; p++)
        {
            V x = V.Load(b);
            V.Accumulate(ref s0, V.Broadcast(*a), x);
            V.Accumulate(ref s1, V.Broadcast(At(a, r1)), x);
            V.Accumulate(ref s2, V.Broadcast(At(a, r2)), x);
            V.Accumulate(ref s3, V.Broadcast(At(a, r3)), x);
            a += step;
            b += stride;
        }
        if (accumulate)
        {
            s0 = V.Add(V.Load(c), s0);
            s1 = V.Add(V.Load(c + ldc), s1);
            s2 = V.Add(V.Load(c + (2 * ldc)), s2);
            s3 = V.Add(V.Load(c + (3 * ldc)), s3);
        }
        V.Store(s0, c);
        V.Store(s1, c + ldc);
        V.Store(s2, c + (2 * ldc));
        V.Store(s3, c + (3 * ldc));
    }
}

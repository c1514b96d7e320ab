using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Dense;

// All nine taps: sixteen columns of results from top to bottom. Nothing is called in these loops, and no branch asks for bias or clamp (both have values that
// change nothing): the weights, masks and bounds then stay in registers; around a call all of them would be stored and loaded for every tile.
internal unsafe partial struct DepthwiseKernel
{
    // What rows of a plane may take of a first-level cache until all columns have used them, and the fewest of them.
    private const int BlockBytes = 32 * 1024, LeastRows = 16;

    // Rows of results until the next columns begin.
    private readonly int RowsAtOnce => (int)Math.Max(LeastRows, BlockBytes / (sizeof(float) * Math.Max(1L, (long)_width * _stride)));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void All1(float* plane, float* output, float* w, float bias, int firstRow, int endRow)
    {
        Vector512<float> w0 = Vector512.Create(w[0]), w1 = Vector512.Create(w[1]), w2 = Vector512.Create(w[2]);
        Vector512<float> w3 = Vector512.Create(w[3]), w4 = Vector512.Create(w[4]), w5 = Vector512.Create(w[5]);
        Vector512<float> w6 = Vector512.Create(w[6]), w7 = Vector512.Create(w[7]), w8 = Vector512.Create(w[8]);
        Vector512<float> add = Vector512.Create(bias), low = Vector512.Create(_clamp.Low), high = Vector512.Create(_clamp.High), positive = Vector512.Create(_positive);
        Vector512<float> written = Vector512.Load(Written), none = Vector512<float>.Zero;
        float* zeros = Zeros;
        int height = _height, atOnce = RowsAtOnce;
        nint width = _width, outWidth = _outWidth;
        bool narrow = _outWidth < Lanes;
        for (int top = firstRow; top < endRow; top += atOnce)
        {
            int count = Math.Min(atOnce, endRow - top);
            for (int t = 0; t < _tiles; t++)
            {
                nint x = Start(t);
                float* mask = _scratch + t * 3 * Lanes;
                Vector512<float> m0 = Vector512.Load(mask), m1 = Vector512.Load(mask + Lanes), m2 = Vector512.Load(mask + 2 * Lanes);
                int row = top - _padTop;
                float* from = plane + row * width + x - _padLeft;
                float* to = output + top * outWidth + x;
                Beside((uint)row < (uint)height ? from : zeros, m0, m1, m2, out Vector512<float> a, out Vector512<float> b, out Vector512<float> c);
                Vector512<float> first = Three(a, b, c, w0, w1, w2, none);
                row++;
                from += width;
                Beside((uint)row < (uint)height ? from : zeros, m0, m1, m2, out a, out b, out c);
                Vector512<float> second = Three(a, b, c, w0, w1, w2, none);
                first = Three(a, b, c, w3, w4, w5, first);
                for (int i = 0; i < count; i++)
                {
                    row++;
                    from += width;
                    Beside((uint)row < (uint)height ? from : zeros, m0, m1, m2, out a, out b, out c);
                    Vector512<float> done = Bounded(Three(a, b, c, w6, w7, w8, first) + add, low, high, positive);
                    first = Three(a, b, c, w3, w4, w5, second);
                    second = Three(a, b, c, w0, w1, w2, none);
                    Store(done, to, narrow, written);
                    to += outWidth;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void All2(float* plane, float* output, float* w, float bias, int firstRow, int endRow)
    {
        Vector512<float> w0 = Vector512.Create(w[0]), w1 = Vector512.Create(w[1]), w2 = Vector512.Create(w[2]);
        Vector512<float> w3 = Vector512.Create(w[3]), w4 = Vector512.Create(w[4]), w5 = Vector512.Create(w[5]);
        Vector512<float> w6 = Vector512.Create(w[6]), w7 = Vector512.Create(w[7]), w8 = Vector512.Create(w[8]);
        Vector512<float> add = Vector512.Create(bias), low = Vector512.Create(_clamp.Low), high = Vector512.Create(_clamp.High), positive = Vector512.Create(_positive);
        Vector512<float> written = Vector512.Load(Written), none = Vector512<float>.Zero;
        Vector512<int> even = Even, odd = even + Vector512<int>.One;
        float* zeros = Zeros;
        int height = _height, atOnce = RowsAtOnce;
        nint width = _width, outWidth = _outWidth;
        bool narrow = _outWidth < Lanes;
        for (int top = firstRow; top < endRow; top += atOnce)
        {
            int count = Math.Min(atOnce, endRow - top);
            for (int t = 0; t < _tiles; t++)
            {
                nint x = Start(t);
                float* mask = _scratch + t * 3 * Lanes;
                Vector512<float> m0 = Vector512.Load(mask), m1 = Vector512.Load(mask + Lanes), m2 = Vector512.Load(mask + 2 * Lanes);
                int row = 2 * top - _padTop;
                float* from = plane + row * width + 2 * x - _padLeft;
                float* to = output + top * outWidth + x;
                Parted((uint)row < (uint)height ? from : zeros, even, odd, m0, m1, m2, out Vector512<float> a, out Vector512<float> b, out Vector512<float> c);
                for (int i = 0; i < count; i++)
                {
                    // The last row that a result reads is the first one of the next.
                    Vector512<float> sum = Three(a, b, c, w0, w1, w2, none);
                    row++;
                    from += width;
                    Parted((uint)row < (uint)height ? from : zeros, even, odd, m0, m1, m2, out a, out b, out c);
                    sum = Three(a, b, c, w3, w4, w5, sum);
                    row++;
                    from += width;
                    Parted((uint)row < (uint)height ? from : zeros, even, odd, m0, m1, m2, out a, out b, out c);
                    Store(Bounded(Three(a, b, c, w6, w7, w8, sum) + add, low, high, positive), to, narrow, written);
                    to += outWidth;
                }
            }
        }
    }

    // Pixels i, i + 1 and i + 2 of a row.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Beside(float* from, Vector512<float> m0, Vector512<float> m1, Vector512<float> m2, out Vector512<float> a, out Vector512<float> b, out Vector512<float> c)
    {
        b = Vector512.Load(from + 1) & m1;
        a = Avx512F.AlignRight32(b.AsInt32(), Vector512.Create(from[0]).AsInt32(), Lanes - 1).AsSingle() & m0;
        c = Avx512F.AlignRight32(Vector512.Create(from[Lanes + 1]).AsInt32(), b.AsInt32(), 1).AsSingle() & m2;
    }

    // Pixels 2i, 2i + 1 and 2i + 2 of a row.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Parted(float* from, Vector512<int> even, Vector512<int> odd, Vector512<float> m0, Vector512<float> m1, Vector512<float> m2,
        out Vector512<float> a, out Vector512<float> b, out Vector512<float> c)
    {
        Vector512<float> low = Vector512.Load(from), high = Vector512.Load(from + Lanes);
        a = Avx512F.PermuteVar16x32x2(low, even, high) & m0;
        b = Avx512F.PermuteVar16x32x2(low, odd, high) & m1;
        c = Avx512F.AlignRight32(Vector512.Create(from[2 * Lanes]).AsInt32(), a.AsInt32(), 1).AsSingle() & m2;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Three(Vector512<float> a, Vector512<float> b, Vector512<float> c, Vector512<float> u, Vector512<float> v, Vector512<float> w, Vector512<float> sum) =>
        Avx512F.FusedMultiplyAdd(c, w, Avx512F.FusedMultiplyAdd(b, v, Avx512F.FusedMultiplyAdd(a, u, sum)));

    // Of the instructions' operands the second comes through when one is NaN.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Bounded(Vector512<float> v, Vector512<float> low, Vector512<float> high, Vector512<float> positive) =>
        Avx512F.Min(high, Avx512F.Max(low, v)) + positive;
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Sparseland.Kernels.Dense;

// Registers of 256 bits: eight columns of results from top to bottom. Of the sixteen registers nine hold the weights, so masks, bias and bounds are operands in memory, and only the first and the last columns of a row,
// whose neighbours may lie beyond it, are masked at all. The three pixels of a tap row are three loads: two shifts across the halves of a register would take as long as what they save.
internal unsafe partial struct DepthwiseKernel
{
    private const int Narrow = 8;

    // Where the constants of a channel lie, each a whole register: what is added first, the bounds, what is added last.
    private const int Low = Narrow, High = 2 * Narrow, Positive = 3 * Narrow, Constants = 4 * Narrow;

    /// <summary>Whether neighbours of a tile's columns may lie beyond the row.</summary>
    private interface IMasking
    {
        static abstract bool Masks { get; }
    }

    private readonly void SetConstants(float* constants, float add)
    {
        Vector256.Create(add).Store(constants);
        Vector256.Create(_clamp.Low).Store(constants + Low);
        Vector256.Create(_clamp.High).Store(constants + High);
        Vector256.Create(_positive).Store(constants + Positive);
    }

    private readonly void AllOf8(float* plane, float* output, float* w, float* constants, int firstRow, int endRow)
    {
        int atOnce = RowsAtOnce;
        for (int top = firstRow; top < endRow; top += atOnce)
        {
            int count = Math.Min(atOnce, endRow - top);
            for (int t = 0; t < _tiles; t++)
            {
                int x = Start(t) * _stride - _padLeft;
                bool masks = x < 0 || x + (Narrow - 1) * _stride + 2 >= _width;
                float* end = output + (nint)endRow * _outWidth;
                if (_stride == 1)
                {
                    if (masks) Beside8<Edge>(plane, output, w, constants, t, top, count, end);
                    else Beside8<Inside>(plane, output, w, constants, t, top, count, end);
                }
                else if (masks) Parted8<Edge>(plane, output, w, constants, t, top, count, end);
                else Parted8<Inside>(plane, output, w, constants, t, top, count, end);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Beside8<TMasking>(float* plane, float* output, float* w, float* constants, int tile, int top, int count, float* end) where TMasking : struct, IMasking
    {
        Vector256<float> w0 = Vector256.Create(w[0]), w1 = Vector256.Create(w[1]), w2 = Vector256.Create(w[2]);
        Vector256<float> w3 = Vector256.Create(w[3]), w4 = Vector256.Create(w[4]), w5 = Vector256.Create(w[5]);
        Vector256<float> w6 = Vector256.Create(w[6]), w7 = Vector256.Create(w[7]), w8 = Vector256.Create(w[8]);
        float* zeros = Zeros, mask = _scratch + tile * 3 * Lanes, written = Written;
        nint x = Start(tile), width = _width, outWidth = _outWidth;
        int height = _height, row = top - _padTop;
        float* from = plane + row * width + x - _padLeft, to = output + top * outWidth + x;
        Beside<TMasking>((uint)row < (uint)height ? from : zeros, mask, out Vector256<float> a, out Vector256<float> b, out Vector256<float> c);
        Vector256<float> first = Fma.MultiplyAdd(a, w0, Vector256<float>.Zero), second, done;
        first = Fma.MultiplyAdd(b, w1, first);
        first = Fma.MultiplyAdd(c, w2, first);
        row++;
        from += width;
        Beside<TMasking>((uint)row < (uint)height ? from : zeros, mask, out a, out b, out c);
        first = Fma.MultiplyAdd(a, w3, first);
        second = Fma.MultiplyAdd(a, w0, Vector256<float>.Zero);
        first = Fma.MultiplyAdd(b, w4, first);
        second = Fma.MultiplyAdd(b, w1, second);
        first = Fma.MultiplyAdd(c, w5, first);
        second = Fma.MultiplyAdd(c, w2, second);
        for (int i = 0; i < count; i++)
        {
            row++;
            from += width;
            Beside<TMasking>((uint)row < (uint)height ? from : zeros, mask, out a, out b, out c);
            done = Fma.MultiplyAdd(a, w6, first);
            first = Fma.MultiplyAdd(a, w3, second);
            second = Fma.MultiplyAdd(a, w0, Vector256<float>.Zero);
            done = Fma.MultiplyAdd(b, w7, done);
            first = Fma.MultiplyAdd(b, w4, first);
            second = Fma.MultiplyAdd(b, w1, second);
            done = Fma.MultiplyAdd(c, w8, done);
            first = Fma.MultiplyAdd(c, w5, first);
            second = Fma.MultiplyAdd(c, w2, second);
            Store8(Bounded8(done + Vector256.Load(constants), constants), to, end, written);
            to += outWidth;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private readonly void Parted8<TMasking>(float* plane, float* output, float* w, float* constants, int tile, int top, int count, float* end) where TMasking : struct, IMasking
    {
        Vector256<float> w0 = Vector256.Create(w[0]), w1 = Vector256.Create(w[1]), w2 = Vector256.Create(w[2]);
        Vector256<float> w3 = Vector256.Create(w[3]), w4 = Vector256.Create(w[4]), w5 = Vector256.Create(w[5]);
        Vector256<float> w6 = Vector256.Create(w[6]), w7 = Vector256.Create(w[7]), w8 = Vector256.Create(w[8]);
        float* zeros = Zeros, mask = _scratch + tile * 3 * Lanes, written = Written;
        nint x = Start(tile), width = _width, outWidth = _outWidth;
        int height = _height, row = 2 * top - _padTop;
        float* from = plane + row * width + 2 * x - _padLeft, to = output + top * outWidth + x;
        Parted<TMasking>((uint)row < (uint)height ? from : zeros, mask, out Vector256<float> a, out Vector256<float> b, out Vector256<float> c);
        for (int i = 0; i < count; i++)
        {
            // The last row that a result reads is the first one of the next.
            Vector256<float> sum = Fma.MultiplyAdd(a, w0, Vector256<float>.Zero);
            sum = Fma.MultiplyAdd(b, w1, sum);
            sum = Fma.MultiplyAdd(c, w2, sum);
            row++;
            from += width;
            Parted<TMasking>((uint)row < (uint)height ? from : zeros, mask, out a, out b, out c);
            sum = Fma.MultiplyAdd(a, w3, sum);
            sum = Fma.MultiplyAdd(b, w4, sum);
            sum = Fma.MultiplyAdd(c, w5, sum);
            row++;
            from += width;
            Parted<TMasking>((uint)row < (uint)height ? from : zeros, mask, out a, out b, out c);
            sum = Fma.MultiplyAdd(a, w6, sum);
            sum = Fma.MultiplyAdd(b, w7, sum);
            sum = Fma.MultiplyAdd(c, w8, sum);
            Store8(Bounded8(sum + Vector256.Load(constants), constants), to, end, written);
            to += outWidth;
        }
    }

    // As Stored: few taps, four rows at a time.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void StoredOf8(float* plane, float* output, float* values, int* taps, int stored, float* constants, Band band)
    {
        float** rows = stackalloc float*[2 * BlockRows + 1];
        int stride = _stride;
        float* end = output + (nint)band.End * _outWidth, written = Written;
        for (int block = band.First; block < band.End; block += BlockRows)
        {
            int y = Math.Max(band.First, Math.Min(block, band.End - BlockRows));
            Rows(plane, y, stride * (BlockRows - 1) + 3, rows);
            float* o0 = Target(output, y, band), o1 = Target(output, y + 1, band), o2 = Target(output, y + 2, band), o3 = Target(output, y + 3, band);
            for (int t = 0; t < _tiles; t++)
            {
                nint x = Start(t);
                float* mask = _scratch + t * 3 * Lanes;
                Vector256<float> s0 = Vector256.Load(constants), s1 = s0, s2 = s0, s3 = s0;
                for (int j = 0; j < stored; j++)
                {
                    int dy = (taps[j] * 11) >> 5, dx = taps[j] - 3 * dy;
                    Vector256<float> w = Vector256.Create(values[j]), m = Vector256.Load(mask + dx * Lanes);
                    float** from = rows + dy;
                    nint at = x * stride + dx;
                    if (stride == 1)
                    {
                        s0 = Fma.MultiplyAdd(Vector256.Load(from[0] + at) & m, w, s0);
                        s1 = Fma.MultiplyAdd(Vector256.Load(from[1] + at) & m, w, s1);
                        s2 = Fma.MultiplyAdd(Vector256.Load(from[2] + at) & m, w, s2);
                        s3 = Fma.MultiplyAdd(Vector256.Load(from[3] + at) & m, w, s3);
                        continue;
                    }
                    s0 = Fma.MultiplyAdd(EveryOther(from[0] + at) & m, w, s0);
                    s1 = Fma.MultiplyAdd(EveryOther(from[2] + at) & m, w, s1);
                    s2 = Fma.MultiplyAdd(EveryOther(from[4] + at) & m, w, s2);
                    s3 = Fma.MultiplyAdd(EveryOther(from[6] + at) & m, w, s3);
                }
                Store8(Bounded8(s0, constants), o0 + x, end, written);
                Store8(Bounded8(s1, constants), o1 + x, end, written);
                Store8(Bounded8(s2, constants), o2 + x, end, written);
                Store8(Bounded8(s3, constants), o3 + x, end, written);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Bounded8(Vector256<float> v, float* constants) =>
        Avx.Min(Vector256.Load(constants + High), Avx.Max(Vector256.Load(constants + Low), v)) + Vector256.Load(constants + Positive);

    // A row that is narrower than a register reaches into the next, which is written later; behind the last, nothing may be written (stores under a mask take many cycles).
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store8(Vector256<float> v, float* to, float* end, float* written)
    {
        if (to + Narrow <= end) v.Store(to);
        else Avx.MaskStore(to, Vector256.Load(written), v);
    }

    // Pixels i, i + 1 and i + 2 of a row.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Beside<TMasking>(float* from, float* mask, out Vector256<float> a, out Vector256<float> b, out Vector256<float> c) where TMasking : struct, IMasking
    {
        a = Vector256.Load(from);
        b = Vector256.Load(from + 1);
        c = Vector256.Load(from + 2);
        if (TMasking.Masks) Mask(mask, ref a, ref b, ref c);
    }

    // Pixels 2i, 2i + 1 and 2i + 2 of a row.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Parted<TMasking>(float* from, float* mask, out Vector256<float> a, out Vector256<float> b, out Vector256<float> c) where TMasking : struct, IMasking
    {
        Vector256<float> low = Apart(from), high = Apart(from + 4);
        a = Avx.Shuffle(low, high, 0x88);
        b = Avx.Shuffle(low, high, 0xDD);
        c = EveryOther(from + 2);
        if (TMasking.Masks) Mask(mask, ref a, ref b, ref c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Mask(float* mask, ref Vector256<float> a, ref Vector256<float> b, ref Vector256<float> c)
    {
        a &= Vector256.Load(mask);
        b &= Vector256.Load(mask + Lanes);
        c &= Vector256.Load(mask + 2 * Lanes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> EveryOther(float* from) => Avx.Shuffle(Apart(from), Apart(from + 4), 0x88);

    // Four values and the four that are eight behind them: what shuffles within the halves of registers then leaves in order.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Apart(float* from) => Vector256.Create(Vector128.Load(from), Vector128.Load(from + Narrow));

    private readonly struct Edge : IMasking
    {
        public static bool Masks => true;
    }

    private readonly struct Inside : IMasking
    {
        public static bool Masks => false;
    }
}

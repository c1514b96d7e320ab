using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps;

// With 256 bits the 16 partial sums of a product are two registers, lower and upper. Six products at a time: twelve sums, the row's two registers, and the other side comes out of memory. Zen 1, 128 elements in the first and in the second cache:
// 1.46 and 1.70 cycles a multiply-add; eight products, lower sums before upper ones, 1.48 and 1.92; four 1.58 and 1.88. Where all rows begin inside registers it is half a cycle more.
internal static unsafe partial class DotRows
{
    private const int Together = 6, Few = 3;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Paired(float* a, float* b, int* columns, int count, nint stride, int length, float* sums)
    {
        int j = 0;
        for (; j + Together <= count; j += Together)
        {
            (Vector128<float> some, Vector128<float> others) = Six(a, b + (columns[j] * stride), b + (columns[j + 1] * stride), b + (columns[j + 2] * stride), b + (columns[j + 3] * stride), b + (columns[j + 4] * stride), b + (columns[j + 5] * stride), length);
            (Vector128.Load(sums + j) + some).Store(sums + j);
            sums[j + 4] += others[0];
            sums[j + 5] += others[1];
        }
        int left = count - j;
        if (left == 0) return;
        // The last ones: rows that are not there are the last one again.
        int* c = columns + j;
        float* last = b + (columns[count - 1] * stride);
        if (left > Few)
        {
            (Vector128<float> some, Vector128<float> others) = Six(a, b + (c[0] * stride), b + (c[1] * stride), b + (c[2] * stride), b + (c[3] * stride), last, last, length);
            (Vector128.Load(sums + j) + some).Store(sums + j);
            if (left > 4) sums[j + 4] += others[0];
            return;
        }
        Vector128<float> few = Three(a, b + (c[0] * stride), left > 1 ? b + (c[1] * stride) : last, last, length);
        for (int i = 0; i < left; i++) sums[j + i] += few[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector128<float> Four, Vector128<float> Two) Six(float* a, float* b0, float* b1, float* b2, float* b3, float* b4, float* b5, int length)
    {
        Vector256<float> l0 = default, l1 = default, l2 = default, l3 = default, l4 = default, l5 = default, u0 = default, u1 = default, u2 = default, u3 = default, u4 = default, u5 = default;
        int whole = length & ~(Lanes.Count - 1);
        nint t = 0;
        for (; t < whole; t += Lanes.Count)
        {
            Vector256<float> x = Vector256.Load(a + t), y = Vector256.Load(a + t + 8);
            l0 = Fma.MultiplyAdd(x, Vector256.Load(b0 + t), l0);
            u0 = Fma.MultiplyAdd(y, Vector256.Load(b0 + t + 8), u0);
            l1 = Fma.MultiplyAdd(x, Vector256.Load(b1 + t), l1);
            u1 = Fma.MultiplyAdd(y, Vector256.Load(b1 + t + 8), u1);
            l2 = Fma.MultiplyAdd(x, Vector256.Load(b2 + t), l2);
            u2 = Fma.MultiplyAdd(y, Vector256.Load(b2 + t + 8), u2);
            l3 = Fma.MultiplyAdd(x, Vector256.Load(b3 + t), l3);
            u3 = Fma.MultiplyAdd(y, Vector256.Load(b3 + t + 8), u3);
            l4 = Fma.MultiplyAdd(x, Vector256.Load(b4 + t), l4);
            u4 = Fma.MultiplyAdd(y, Vector256.Load(b4 + t + 8), u4);
            l5 = Fma.MultiplyAdd(x, Vector256.Load(b5 + t), l5);
            u5 = Fma.MultiplyAdd(y, Vector256.Load(b5 + t + 8), u5);
        }
        if (t < length)
        {
            // One product after the other: what is computed side by side here would take registers from the loop above.
            Vector256<float> mask = Mask(length - (int)t), x = Ends(a + t, mask);
            l0 = Fma.MultiplyAdd(x, Part(b0 + t, mask), l0);
            l1 = Fma.MultiplyAdd(x, Part(b1 + t, mask), l1);
            l2 = Fma.MultiplyAdd(x, Part(b2 + t, mask), l2);
            l3 = Fma.MultiplyAdd(x, Part(b3 + t, mask), l3);
            l4 = Fma.MultiplyAdd(x, Part(b4 + t, mask), l4);
            l5 = Fma.MultiplyAdd(x, Part(b5 + t, mask), l5);
            mask = Mask(length - (int)t - 8);
            x = Ends(a + t + 8, mask);
            u0 = Fma.MultiplyAdd(x, Part(b0 + t + 8, mask), u0);
            u1 = Fma.MultiplyAdd(x, Part(b1 + t + 8, mask), u1);
            u2 = Fma.MultiplyAdd(x, Part(b2 + t + 8, mask), u2);
            u3 = Fma.MultiplyAdd(x, Part(b3 + t + 8, mask), u3);
            u4 = Fma.MultiplyAdd(x, Part(b4 + t + 8, mask), u4);
            u5 = Fma.MultiplyAdd(x, Part(b5 + t + 8, mask), u5);
        }
        return (Fold(l0 + u0, l1 + u1, l2 + u2, l3 + u3), Fold(l4 + u4, l5 + u5, default, default));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Three(float* a, float* b0, float* b1, float* b2, int length)
    {
        Vector256<float> l0 = default, l1 = default, l2 = default, u0 = default, u1 = default, u2 = default;
        int whole = length & ~(Lanes.Count - 1);
        nint t = 0;
        for (; t < whole; t += Lanes.Count)
        {
            Vector256<float> x = Vector256.Load(a + t), y = Vector256.Load(a + t + 8);
            l0 = Fma.MultiplyAdd(x, Vector256.Load(b0 + t), l0);
            u0 = Fma.MultiplyAdd(y, Vector256.Load(b0 + t + 8), u0);
            l1 = Fma.MultiplyAdd(x, Vector256.Load(b1 + t), l1);
            u1 = Fma.MultiplyAdd(y, Vector256.Load(b1 + t + 8), u1);
            l2 = Fma.MultiplyAdd(x, Vector256.Load(b2 + t), l2);
            u2 = Fma.MultiplyAdd(y, Vector256.Load(b2 + t + 8), u2);
        }
        if (t < length)
        {
            // One product after the other: what is computed side by side here would take registers from the loop above.
            Vector256<float> mask = Mask(length - (int)t), x = Ends(a + t, mask);
            l0 = Fma.MultiplyAdd(x, Part(b0 + t, mask), l0);
            l1 = Fma.MultiplyAdd(x, Part(b1 + t, mask), l1);
            l2 = Fma.MultiplyAdd(x, Part(b2 + t, mask), l2);
            mask = Mask(length - (int)t - 8);
            x = Ends(a + t + 8, mask);
            u0 = Fma.MultiplyAdd(x, Part(b0 + t + 8, mask), u0);
            u1 = Fma.MultiplyAdd(x, Part(b1 + t + 8, mask), u1);
            u2 = Fma.MultiplyAdd(x, Part(b2 + t + 8, mask), u2);
        }
        return Fold(l0 + u0, l1 + u1, l2 + u2, default);
    }

    // The first lanes of a register that may be whole.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Mask(int lanes) => Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(lanes)).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Part(float* from, Vector256<float> mask) => Avx.MaskLoad(from, mask);

    // As End: -0 in masked lanes.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Ends(float* from, Vector256<float> mask) => Vector256.ConditionalSelect(mask, Avx.MaskLoad(from, mask), Vector256.Create(-0f));

    // Quarters, pairs, one (Lanes.Fold), for four sums side by side; halves were added before.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> Fold(Vector256<float> s0, Vector256<float> s1, Vector256<float> s2, Vector256<float> s3)
    {
        Vector128<float> a = s0.GetLower() + s0.GetUpper(), b = s1.GetLower() + s1.GetUpper(), c = s2.GetLower() + s2.GetUpper(), d = s3.GetLower() + s3.GetUpper();
        Vector128<float> e = Sse.Shuffle(a, b, 0x44) + Sse.Shuffle(a, b, 0xEE), f = Sse.Shuffle(c, d, 0x44) + Sse.Shuffle(c, d, 0xEE);
        return Sse.Shuffle(e, f, 0x88) + Sse.Shuffle(e, f, 0xDD);
    }
}

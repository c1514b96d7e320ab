using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps;

/// <summary>Dot products of one row with many others: the inner loop of gradients of sparse weights.</summary>
/// <remarks>
/// With 512 bits, one register of the row meets eight others from memory, and eight results are folded together in 24 instructions:
/// folded one by one they cost as much as the products of 128 images. A row of at most 128 elements stays in registers while it meets all others, one after the other: where these come from the second cache
/// a multiply-add takes 1.2 cycles of a Zen 5 so and 1.8 with eight others side by side, whose eight streams are a line further at each step. Of 256 elements, which are 16 chained multiply-adds each, it takes 1.1 to 1.4 times as long as eight side by side. All give the bits of <see cref="RowKernel.Dots"/>.
/// </remarks>
internal static unsafe partial class DotRows
{
    // A row of so many elements, the images of a batch, stays in registers while it meets all others.
    private const int MostHeld = 8 * Lanes.Count;

    /// <summary>
    /// sums[j] += dot(a, b + columns[j] * stride) over <paramref name="length"/> elements for all j: 16 partial sums
    /// each (element t goes to t % 16), folded once at the end.
    /// </summary>
    public static void Add<V>(float* a, float* b, int* columns, int count, nint stride, int length, float* sums) where V : unmanaged, IVector<V>
    {
        if (V.Count == Lanes.Count && Avx512F.IsSupported)
        {
            if (length is > 0 and <= MostHeld) Tiling.Dispatch((length + Lanes.Count - 1) / Lanes.Count, new Held { A = a, B = b, Columns = columns, Count = count, Stride = stride, Length = length, Sums = sums });
            else Wide(a, b, columns, count, stride, length, sums);
        }
        else if (V.Count == Lanes.Count / 2 && Fma.IsSupported) Paired(a, b, columns, count, stride, length, sums);
        else RowKernel.Dots<V>(a, b, columns, count, stride, length, sums);
    }

    /// <summary>to[j] += the fold of the 16 partial sums at sums + 16 j.</summary>
    public static void AddFolded(float* sums, int count, float* to)
    {
        int j = 0;
        if (Avx512F.IsSupported)
        {
            for (; j + 8 <= count; j += 8) (Vector256.Load(to + j) + Fold(At(sums, j), At(sums, j + 1), At(sums, j + 2), At(sums, j + 3), At(sums, j + 4), At(sums, j + 5), At(sums, j + 6), At(sums, j + 7))).Store(to + j);
            if (count - j >= 4)
            {
                bool six = count - j >= 6;
                Vector256<float> some = Fold(At(sums, j), At(sums, j + 1), At(sums, j + 2), At(sums, j + 3), six ? At(sums, j + 4) : default, six ? At(sums, j + 5) : default, default, default);
                (Vector128.Load(to + j) + some.GetLower()).Store(to + j);
                j += 4;
                if (six)
                {
                    to[j] += some[4];
                    to[j + 1] += some[5];
                    j += 2;
                }
            }
        }
        else if (Fma.IsSupported)
        {
            for (; j + 4 <= count; j += 4) (Vector128.Load(to + j) + Fold(Halves(sums, j), Halves(sums, j + 1), Halves(sums, j + 2), Halves(sums, j + 3))).Store(to + j);
        }
        for (; j < count; j++) to[j] += DotKernel.Fold(sums + (j * Lanes.Count));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Halves(float* sums, int j) => Vector256.Load(sums + (j * Lanes.Count)) + Vector256.Load(sums + (j * Lanes.Count) + 8);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> At(float* sums, int j) => Vector512.Load(sums + (j * Lanes.Count));

    // Each of the others is one load a multiply-add, and its sum one chain; the chains of some follow each other closely enough to run side by side. The last register is masked.
    private struct Held : ITileWork
    {
        public float* A, B, Sums;
        public int* Columns;
        public int Count, Length;
        public nint Stride;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run<N>() where N : struct, ITileWidth
        {
            float* a = A, b = B, sums = Sums;
            int* columns = Columns;
            int count = Count, j = 0;
            nint stride = Stride;
            Vector512<float> mask = Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(Length - ((N.Vectors - 1) * Lanes.Count))).AsSingle();
            var row = new Row
            {
                X0 = N.Vectors > 1 ? At(a, 0) : default,
                X1 = N.Vectors > 2 ? At(a, 1) : default,
                X2 = N.Vectors > 3 ? At(a, 2) : default,
                X3 = N.Vectors > 4 ? At(a, 3) : default,
                X4 = N.Vectors > 5 ? At(a, 4) : default,
                X5 = N.Vectors > 6 ? At(a, 5) : default,
                X6 = N.Vectors > 7 ? At(a, 6) : default,
                Last = End(a + ((N.Vectors - 1) * Lanes.Count), mask),
            };
            for (; j + 8 <= count; j += 8)
            {
                (Vector256.Load(sums + j) + Fold(row.Dot<N>(b + (columns[j] * stride), mask), row.Dot<N>(b + (columns[j + 1] * stride), mask), row.Dot<N>(b + (columns[j + 2] * stride), mask), row.Dot<N>(b + (columns[j + 3] * stride), mask),
                    row.Dot<N>(b + (columns[j + 4] * stride), mask), row.Dot<N>(b + (columns[j + 5] * stride), mask), row.Dot<N>(b + (columns[j + 6] * stride), mask), row.Dot<N>(b + (columns[j + 7] * stride), mask))).Store(sums + j);
            }
            int left = count - j;
            if (left == 0) return;
            Vector512<float> s0 = row.Dot<N>(b + (columns[j] * stride), mask), s1 = default, s2 = default, s3 = default, s4 = default, s5 = default, s6 = default;
            if (left > 1) s1 = row.Dot<N>(b + (columns[j + 1] * stride), mask);
            if (left > 2) s2 = row.Dot<N>(b + (columns[j + 2] * stride), mask);
            if (left > 3) s3 = row.Dot<N>(b + (columns[j + 3] * stride), mask);
            if (left > 4) s4 = row.Dot<N>(b + (columns[j + 4] * stride), mask);
            if (left > 5) s5 = row.Dot<N>(b + (columns[j + 5] * stride), mask);
            if (left > 6) s6 = row.Dot<N>(b + (columns[j + 6] * stride), mask);
            Vector256<float> some = Fold(s0, s1, s2, s3, s4, s5, s6, default);
            for (int i = 0; i < left; i++) sums[j + i] += some[i];
        }

        private struct Row
        {
            public Vector512<float> X0, X1, X2, X3, X4, X5, X6, Last;

            // The partial sums of one product with the row.
            [MethodImpl(MethodImplOptions.AggressiveInlining)]
            public readonly Vector512<float> Dot<N>(float* y, Vector512<float> mask) where N : struct, ITileWidth
            {
                Vector512<float> s = default;
                if (N.Vectors > 1) s = Vector512.FusedMultiplyAdd(X0, At(y, 0), s);
                if (N.Vectors > 2) s = Vector512.FusedMultiplyAdd(X1, At(y, 1), s);
                if (N.Vectors > 3) s = Vector512.FusedMultiplyAdd(X2, At(y, 2), s);
                if (N.Vectors > 4) s = Vector512.FusedMultiplyAdd(X3, At(y, 3), s);
                if (N.Vectors > 5) s = Vector512.FusedMultiplyAdd(X4, At(y, 4), s);
                if (N.Vectors > 6) s = Vector512.FusedMultiplyAdd(X5, At(y, 5), s);
                if (N.Vectors > 7) s = Vector512.FusedMultiplyAdd(X6, At(y, 6), s);
                return Vector512.FusedMultiplyAdd(Last, Part(y + ((N.Vectors - 1) * Lanes.Count), mask), s);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Wide(float* a, float* b, int* columns, int count, nint stride, int length, float* sums)
    {
        int whole = length & ~(Lanes.Count - 1), rest = length - whole;
        Vector512<float> mask = Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(rest)).AsSingle();
        int j = 0;
        for (; j + 8 <= count; j += 8)
        {
            (Vector256.Load(sums + j) + Eight(a, b + (columns[j] * stride), b + (columns[j + 1] * stride), b + (columns[j + 2] * stride), b + (columns[j + 3] * stride),
                b + (columns[j + 4] * stride), b + (columns[j + 5] * stride), b + (columns[j + 6] * stride), b + (columns[j + 7] * stride), whole, rest, mask)).Store(sums + j);
        }
        int left = count - j;
        if (left == 0) return;
        // The last ones: rows that are not there are the last one again.
        int* c = columns + j;
        float* last = b + (columns[count - 1] * stride);
        Vector256<float> some = left > 4
            ? Eight(a, b + (c[0] * stride), b + (c[1] * stride), b + (c[2] * stride), b + (c[3] * stride), b + (c[4] * stride),
                left > 5 ? b + (c[5] * stride) : last, left > 6 ? b + (c[6] * stride) : last, last, whole, rest, mask)
            : Four(a, b + (c[0] * stride), left > 1 ? b + (c[1] * stride) : last, left > 2 ? b + (c[2] * stride) : last, last, whole, rest, mask);
        for (int i = 0; i < left; i++) sums[j + i] += some[i];
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Eight(float* a, float* b0, float* b1, float* b2, float* b3, float* b4, float* b5, float* b6, float* b7, int whole, int rest, Vector512<float> mask)
    {
        Vector512<float> s0 = default, s1 = default, s2 = default, s3 = default, s4 = default, s5 = default, s6 = default, s7 = default;
        nint t = 0;
        for (; t < whole; t += Lanes.Count)
        {
            Vector512<float> x = Vector512.Load(a + t);
            s0 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b0 + t), s0);
            s1 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b1 + t), s1);
            s2 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b2 + t), s2);
            s3 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b3 + t), s3);
            s4 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b4 + t), s4);
            s5 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b5 + t), s5);
            s6 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b6 + t), s6);
            s7 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b7 + t), s7);
        }
        if (rest > 0)
        {
            Vector512<float> x = End(a + t, mask);
            s0 = Vector512.FusedMultiplyAdd(x, Part(b0 + t, mask), s0);
            s1 = Vector512.FusedMultiplyAdd(x, Part(b1 + t, mask), s1);
            s2 = Vector512.FusedMultiplyAdd(x, Part(b2 + t, mask), s2);
            s3 = Vector512.FusedMultiplyAdd(x, Part(b3 + t, mask), s3);
            s4 = Vector512.FusedMultiplyAdd(x, Part(b4 + t, mask), s4);
            s5 = Vector512.FusedMultiplyAdd(x, Part(b5 + t, mask), s5);
            s6 = Vector512.FusedMultiplyAdd(x, Part(b6 + t, mask), s6);
            s7 = Vector512.FusedMultiplyAdd(x, Part(b7 + t, mask), s7);
        }
        return Fold(s0, s1, s2, s3, s4, s5, s6, s7);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Four(float* a, float* b0, float* b1, float* b2, float* b3, int whole, int rest, Vector512<float> mask)
    {
        Vector512<float> s0 = default, s1 = default, s2 = default, s3 = default;
        nint t = 0;
        for (; t < whole; t += Lanes.Count)
        {
            Vector512<float> x = Vector512.Load(a + t);
            s0 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b0 + t), s0);
            s1 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b1 + t), s1);
            s2 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b2 + t), s2);
            s3 = Vector512.FusedMultiplyAdd(x, Vector512.Load(b3 + t), s3);
        }
        if (rest > 0)
        {
            Vector512<float> x = End(a + t, mask);
            s0 = Vector512.FusedMultiplyAdd(x, Part(b0 + t, mask), s0);
            s1 = Vector512.FusedMultiplyAdd(x, Part(b1 + t, mask), s1);
            s2 = Vector512.FusedMultiplyAdd(x, Part(b2 + t, mask), s2);
            s3 = Vector512.FusedMultiplyAdd(x, Part(b3 + t, mask), s3);
        }
        return Fold(s0, s1, s2, s3, default, default, default, default);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Part(float* from, Vector512<float> mask) => Avx512F.MaskLoad(from, mask, Vector512<float>.Zero);

    // The side that meets the others: -0 in masked lanes, which times their +0 is -0 and changes no sum, not even one of -0.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> End(float* from, Vector512<float> mask) => Avx512F.MaskLoad(from, mask, Vector512.Create(-0f));

    // Halves, quarters, pairs, one (Lanes.Fold), for eight sums side by side.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fold(Vector512<float> s0, Vector512<float> s1, Vector512<float> s2, Vector512<float> s3, Vector512<float> s4, Vector512<float> s5, Vector512<float> s6, Vector512<float> s7)
    {
        Vector512<float> a = Avx512F.Shuffle4x128(s0, s1, 0x44) + Avx512F.Shuffle4x128(s0, s1, 0xEE), b = Avx512F.Shuffle4x128(s2, s3, 0x44) + Avx512F.Shuffle4x128(s2, s3, 0xEE);
        Vector512<float> c = Avx512F.Shuffle4x128(s4, s5, 0x44) + Avx512F.Shuffle4x128(s4, s5, 0xEE), d = Avx512F.Shuffle4x128(s6, s7, 0x44) + Avx512F.Shuffle4x128(s6, s7, 0xEE);
        // Four partial sums of s0 .. s3, one sum per 128 bits; of s4 .. s7.
        Vector512<float> e = Avx512F.Shuffle4x128(a, b, 0x88) + Avx512F.Shuffle4x128(a, b, 0xDD), f = Avx512F.Shuffle4x128(c, d, 0x88) + Avx512F.Shuffle4x128(c, d, 0xDD);
        Vector512<float> g = Avx512F.Shuffle(e, f, 0x44) + Avx512F.Shuffle(e, f, 0xEE);
        Vector512<float> h = g + Avx512F.Shuffle(g, g, 0xB1);
        return Avx512F.PermuteVar16x32(h, Vector512.Create(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0)).GetLower();
    }
}

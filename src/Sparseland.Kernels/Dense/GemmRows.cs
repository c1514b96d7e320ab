using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>One row times a matrix stored [k, n]: each row of the matrix is read once, in order.</summary>
/// <remarks>Such products wait for memory; tiles of 64 columns would touch a new page per row. With two rows tiles are faster all the same (2048 x 2048: 0.56 to 0.82 ms here, 0.34 to 0.68 there; Zen 5). The sums are those of the blocked product, bit for bit.</remarks>
internal readonly unsafe struct GemmRows<V>(GemmCall call) : IParts where V : unmanaged, IVector<V>
{
    /// <summary>Columns of one part: their sums stay in the first-level cache.</summary>
    public const int Columns = 1024;

    [SkipLocalsInit]
    public void Run(int part)
    {
        int first = part * Columns, columns = Math.Min(Columns, call.N - first), block = Packing.BlockLength(call.K);
        float* sums = stackalloc float[Columns];
        float* c = call.C + first;
        if (call.Beta == 0f) new Span<float>(c, columns).Clear();
        else if (call.Beta != 1f)
        {
            for (int j = 0; j < columns; j++) c[j] *= call.Beta;
        }
        nint step = call.TransA ? call.Lda : 1;
        for (int k0 = 0; k0 < call.K; k0 += block)
        {
            int k = Math.Min(block, call.K - k0);
            new Span<float>(sums, columns).Clear();
            Accumulate(call.A + (k0 * step), step, call.Alpha, call.B + (k0 * call.Ldb) + first, call.Ldb, k, columns, sums);
            // The first block is stored, not added to zero: -0 stays -0 as in the blocked product.
            if (k0 == 0 && call.Beta == 0f) new ReadOnlySpan<float>(sums, columns).CopyTo(new Span<float>(c, columns));
            else
            {
                for (int j = 0; j < columns; j++) c[j] += sums[j];
            }
        }
        if (!call.Epilogue.IsEmpty) call.Epilogue.Apply<V>(c, call.Ldc, 0, first, 1, columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Accumulate(float* a, nint step, float alpha, float* b, nint ldb, int k, int columns, float* sums)
    {
        int p = 0;
        for (; p + 4 <= k; p += 4)
        {
            float f0 = a[0] * alpha, f1 = a[step] * alpha, f2 = a[2 * step] * alpha, f3 = a[3 * step] * alpha;
            V w0 = V.Broadcast(f0), w1 = V.Broadcast(f1), w2 = V.Broadcast(f2), w3 = V.Broadcast(f3);
            float* b1 = b + ldb;
            float* b2 = b1 + ldb;
            float* b3 = b2 + ldb;
            int j = 0;
            for (; j + V.Count <= columns; j += V.Count)
            {
                V s = V.MultiplyAdd(w0, V.Load(b + j), V.Load(sums + j));
                V.Accumulate(ref s, w1, V.Load(b1 + j));
                V.Accumulate(ref s, w2, V.Load(b2 + j));
                V.Store(V.MultiplyAdd(w3, V.Load(b3 + j), s), sums + j);
            }
            for (; j < columns; j++)
            {
                float s = MathF.FusedMultiplyAdd(f1, b1[j], MathF.FusedMultiplyAdd(f0, b[j], sums[j]));
                sums[j] = MathF.FusedMultiplyAdd(f3, b3[j], MathF.FusedMultiplyAdd(f2, b2[j], s));
            }
            a += 4 * step;
            b = b3 + ldb;
        }
        for (; p < k; p++)
        {
            float f = *a * alpha;
            V w = V.Broadcast(f);
            int j = 0;
            for (; j + V.Count <= columns; j += V.Count) V.Store(V.MultiplyAdd(w, V.Load(b + j), V.Load(sums + j)), sums + j);
            for (; j < columns; j++) sums[j] = MathF.FusedMultiplyAdd(f, b[j], sums[j]);
            a += step;
            b += ldb;
        }
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class DirectProductTests
{
    // What is outside a result and must stay.
    private const float Around = 7f;

    [Theory]
    [InlineData(1, 16, 1)]
    [InlineData(8, 32, 64)]
    [InlineData(9, 48, 5)]
    [InlineData(64, 64, 128)]
    [InlineData(15, 16, 33)]
    [InlineData(70, 112, 200)]
    [InlineData(24, 32, 7)]
    [InlineData(49, 16, 3)]
    // Columns are whole registers of every level: 24 is one and a half of those of 512 bits.
    [InlineData(48, 24, 9, SimdLevel.Vector256)]
    public void AgreesWithTheDefinition(int m, int n, int k, SimdLevel widest = SimdLevel.Vector512)
    {
        foreach (bool transposed in (bool[])[false, true])
        {
            foreach (bool accumulate in (bool[])[false, true])
            {
                foreach (bool padded in (bool[])[false, true])
                {
                    int rows = (m + 7) / 8 * 8, row = transposed ? 1 : k + 3, step = transposed ? rows + 3 : 1, ldb = n + 5, ldc = n + 7;
                    float[] a = Random((rows * row) + (k * step), 1), b = Random(k * ldb, 2), start = Random(rows * ldc, 3);
                    for (int i = 0; i < start.Length; i++) if (i / ldc >= m || i % ldc >= n) start[i] = Around;
                    float[] c = SameEverywhere(() =>
                    {
                        float[] to = [.. start];
                        SimdDispatch.Run(new Work(m, n, k, a, row, step, b, ldb, to, ldc, accumulate, padded));
                        return to;
                    }, $"{m} x {n} x {k}", widest);
                    for (int i = 0; i < (padded ? m : rows); i++)
                    {
                        for (int j = 0; j < ldc; j++)
                        {
                            double sum = accumulate || i >= m || j >= n ? start[(i * ldc) + j] : 0;
                            for (int p = 0; p < k && i < m && j < n; p++) sum += (double)a[(i * row) + (p * step)] * b[(p * ldb) + j];
                            Assert.Equal(sum, c[(i * ldc) + j], 1e-4);
                        }
                    }
                }
            }
        }
    }

    private sealed unsafe class Work(int m, int n, int k, float[] a, int row, int step, float[] b, int ldb, float[] c, int ldc, bool accumulate, bool padded) : ILevelWork
    {
        public void Run<V>() where V : unmanaged, IVector<V>
        {
            fixed (float* pa = a, pb = b, pc = c)
            {
                // Memory that is asked for may be any: it is not read.
                ReadAhead ahead = default;
                ahead.Add(pb, b.Length);
                ahead.Add(pa, 0);
                ahead.Add(pa, a.Length);
                ahead.Spread(m);
                DirectProduct.Run<V>(m, n, k, pa, row, step, pb, ldb, pc, ldc, accumulate, padded, &ahead);
            }
        }
    }
}

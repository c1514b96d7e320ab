using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class FormatProductTests
{
    public static TheoryData<int, int> Sizes => new() { { 1, 1 }, { 5, 1 }, { 1, 70 }, { 13, 64 }, { 37, 129 }, { 64, 300 }, { 700, 260 } };

    [Theory, MemberData(nameof(Sizes))]
    public void Every_format_times_a_vector_equals_dense(int rows, int columns)
    {
        var random = new Random(rows + columns * 100);
        foreach (double density in Densities)
        {
            float[] dense = SparseDense(random, rows, columns, density), x = Uniform(random, columns), bias = Uniform(random, rows);
            float[] expected = Product(dense, rows, columns, x, 1);
            string what = $"[{rows}, {columns}] density {density}";
            CsrMatrix csr = CsrMatrix.FromDense(dense, rows, columns);
            Near.Equal(expected, SameEverywhere(rows, y => SpMV.Multiply(csr, x, y), what: what), 2e-5, 1e-5, what);
            var windows = new PreparedSpMV(csr);
            Near.Equal(expected, SameEverywhere(rows, y => windows.Multiply(x, y, default, Clamp.None), what: what), 2e-5, 1e-5, what);
            float[] rounded = Array.ConvertAll(dense, v => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(v) & 0xFFFF0000));
            var halves = new PreparedSpMV(CompactMatrix.FromMask(csr.ToMask(), rounded, rows, columns, ValueKind.BFloat16));
            Near.Equal(Product(rounded, rows, columns, x, 1), SameEverywhere(rows, y => halves.Multiply(x, y, default, Clamp.None), what: what), 2e-5, 1e-5, what);
            foreach ((int r, int c) in new[] { (1, 1), (4, 1), (8, 1), (16, 1), (3, 2), (2, 5), (30, 4) })
            {
                BlockCsrMatrix block = BlockCsrMatrix.FromDense(dense, rows, columns, r, c);
                Near.Equal(expected, SameEverywhere(rows, y => SpMV.Multiply(block, x, y), what: what), 2e-5, 1e-5, $"{what} {r}x{c}");
            }
            foreach ((int n, int m) in new[] { (2, 4), (1, 3), (4, 8), (5, 16), (1, 1) })
            {
                float[] pruned = (float[])dense.Clone();
                PatternProjection.KeepBest(SparsityPattern.NofM(n, m), Array.ConvertAll(pruned, Math.Abs), rows, columns, 1).Apply(pruned);
                Mask kept = Mask.FromNonZeros([rows, columns], pruned);
                CompactMatrix bits = CompactMatrix.FromMask(kept, pruned, rows, columns, ValueKind.Float32);
                var inWindows = new PreparedSpMV(CsrMatrix.FromMask(kept, pruned, rows, columns));
                float[] product = Product(pruned, rows, columns, x, 1);
                Near.Equal(product, SameEverywhere(rows, y => Gemv.Multiply(bits, x, y, default, Clamp.None), what: what), 2e-5, 1e-5, $"{what} {n}:{m}");
                Near.Equal(product, SameEverywhere(rows, y => inWindows.Multiply(x, y, default, Clamp.None), what: what), 2e-5, 1e-5, $"{what} {n}:{m} windows");
            }
            float[] clamped = Array.ConvertAll(expected, v => v);
            for (int r = 0; r < rows; r++) clamped[r] = Math.Clamp(expected[r] + bias[r], 0f, 0.5f);
            Near.Equal(clamped, SameEverywhere(rows, y => SpMV.Multiply(csr, x, y, bias, new Clamp(0, 0.5f))), 2e-5, 1e-5, what);
            Near.Equal(clamped, SameEverywhere(rows, y => windows.Multiply(x, y, bias, new Clamp(0, 0.5f))), 2e-5, 1e-5, what);
            BlockCsrMatrix four = BlockCsrMatrix.FromDense(dense, rows, columns, 4, 1);
            Near.Equal(clamped, SameEverywhere(rows, y => SpMV.Multiply(four, x, y, bias, new Clamp(0, 0.5f))), 2e-5, 1e-5, what);
        }
    }

    [Fact]
    public void Vectors_with_infinities_touch_stored_entries_only()
    {
        float[] dense = new float[2 * 40];
        dense[3] = 2f;
        dense[40 + 20] = 1f;
        float[] x = new float[40];
        Array.Fill(x, float.PositiveInfinity);
        x[3] = 1.5f;
        foreach (float[] y in new[]
        {
            SameEverywhere(2, y => SpMV.Multiply(CsrMatrix.FromDense(dense, 2, 40), x, y)),
            SameEverywhere(2, y => new PreparedSpMV(CsrMatrix.FromDense(dense, 2, 40)).Multiply(x, y, default, Clamp.None)),
        })
        {
            Assert.Equal(3f, y[0]);
            Assert.Equal(float.PositiveInfinity, y[1]);
        }
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(4, 1)]
    [InlineData(8, 1)]
    [InlineData(16, 1)]
    [InlineData(3, 2)]
    [InlineData(7, 3)]
    public void Blocks_times_a_matrix_equal_dense(int blockRows, int blockColumns)
    {
        var random = new Random(blockRows * 10 + blockColumns);
        foreach ((int rows, int columns, int n) in new[] { (1, 1, 1), (9, 20, 33), (34, 50, 64), (16, 64, 200), (5, 1, 7) })
        {
            foreach (double density in Densities)
            {
                float[] dense = SparseDense(random, rows, columns, density), b = Uniform(random, columns * n), bias = Uniform(random, rows), residual = Uniform(random, rows * n);
                BlockCsrMatrix block = BlockCsrMatrix.FromDense(dense, rows, columns, blockRows, blockColumns);
                float[] expected = Product(dense, rows, columns, b, n);
                Near.Equal(expected, SameEverywhere(rows * n, c => SpMM.Multiply(block, b, n, c)), 1e-5, 1e-5);
                for (int i = 0; i < expected.Length; i++) expected[i] = Math.Clamp(expected[i] + bias[i / n] + residual[i], -0.5f, 1f);
                Near.Equal(expected, SameEverywhere(rows * n, c => SpMM.Multiply(block, b, n, c, bias, residual, new Clamp(-0.5f, 1f))), 1e-5, 1e-5);
                float[] x = Transpose(b, columns, n), xr = Transpose(residual, rows, n);
                Near.Equal(Transpose(expected, rows, n), SameEverywhere(n * rows, y => SpMM.Linear(x, n, block, y, bias, xr, new Clamp(-0.5f, 1f))), 1e-5, 1e-5);
            }
        }
    }

    [Fact]
    public void One_off_products_equal_prepared_ones()
    {
        var random = new Random(5);
        float[] dense = SparseDense(random, 17, 24, 0.25);
        CsrMatrix csr = CsrMatrix.FromDense(dense, 17, 24);
        var prepared = new PreparedSpMM(csr);
        float[] b = Uniform(random, 24 * 19), d = Uniform(random, 17 * 19), expected = new float[17 * 19], actual = new float[17 * 19];
        prepared.Multiply(b, 19, expected);
        SpMM.Multiply(csr, b, 19, actual);
        Near.BitEqual(expected, actual);

        float[] e = new float[24 * 19], a = new float[24 * 19];
        prepared.MultiplyTransposed(d, 19, e);
        SpMM.MultiplyTransposed(csr, d, 19, a);
        Near.BitEqual(e, a);

        float[] ye = new float[19 * 17], ya = new float[19 * 17], x = Transpose(b, 24, 19);
        prepared.Linear(x, 19, ye);
        SpMM.Linear(x, 19, csr, ya);
        Near.BitEqual(ye, ya);

        float[] ge = new float[csr.StoredCount], ga = new float[csr.StoredCount];
        prepared.WeightGradient(b, d, 19, ge);
        SpMM.Sampled(csr, d, b, 19, ga);
        Near.BitEqual(ge, ga);
    }
}

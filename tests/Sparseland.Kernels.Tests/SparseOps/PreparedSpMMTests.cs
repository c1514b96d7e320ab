using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Compiled;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class PreparedSpMMTests
{
    public static TheoryData<int, int, int> Sizes => new()
    {
        { 1, 1, 1 }, { 7, 5, 1 }, { 3, 1, 16 }, { 1, 33, 17 }, { 20, 40, 15 }, { 33, 65, 130 }, { 64, 100, 128 }, { 19, 31, 261 }, { 5, 2100, 70 },
    };

    [Theory, MemberData(nameof(Sizes))]
    public void Products_in_all_directions_equal_the_dense_ones(int rows, int columns, int n)
    {
        var random = new Random(rows * 1000 + columns * 10 + n);
        foreach (double density in Densities)
        {
            float[] dense = SparseDense(random, rows, columns, density);
            CsrMatrix csr = CsrMatrix.FromDense(dense, rows, columns);
            var w = new PreparedSpMM(csr);
            float[] b = Uniform(random, columns * n), d = Uniform(random, rows * n);
            string what = $"[{rows}, {columns}] x {n} density {density}";

            float[] c = SameEverywhere(rows * n, r => w.Multiply(b, n, r), what: what);
            Near.Equal(Product(dense, rows, columns, b, n), c, 5e-5, 1e-5, what);
            var reference = new float[rows * n];
            SpMM.MultiplyReference(csr, b, n, reference, default, default, Clamp.None);
            Near.BitEqual(reference, c, what);

            float[] transposed = Transpose(dense, rows, columns);
            Near.Equal(Product(transposed, columns, rows, d, n), SameEverywhere(columns * n, r => w.MultiplyTransposed(d, n, r), what: what), 5e-5, 1e-5, what);

            // The linear layout is the same products, transposed.
            float[] x = Transpose(b, columns, n), dy = Transpose(d, rows, n);
            Near.BitEqual(Transpose(c, rows, n), SameEverywhere(n * rows, r => w.Linear(x, n, r), what: what), what);
            Near.Equal(Product(dy, n, rows, dense, columns), SameEverywhere(n * columns, r => w.LinearInputGradient(dy, n, r), what: what), 5e-5, 1e-5, what);

            var sampled = new float[csr.StoredCount];
            float[] full = Product(d, rows, n, x, columns);
            for (int r = 0, j = 0; r < rows; r++)
            {
                for (; j < csr.RowPointers[r + 1]; j++) sampled[j] = full[r * columns + csr.ColumnIndices[j]];
            }
            Near.Equal(sampled, SameEverywhere(csr.StoredCount, r => w.WeightGradient(b, d, n, r), what: what), 3e-5, 1e-5, what);
            Near.Equal(sampled, SameEverywhere(csr.StoredCount, r => w.LinearWeightGradient(x, dy, n, r), what: what), 3e-5, 1e-5, what);
        }
    }

    [Fact]
    public void Bias_residual_and_clamp_are_applied_in_that_order()
    {
        var random = new Random(3);
        const int Rows = 21, Columns = 30;
        CsrMatrix csr = Csr(random, Rows, Columns, 0.2);
        var w = new PreparedSpMM(csr);
        float[] bias = Uniform(random, Rows);
        foreach (int n in new[] { 1, 9, 16, 130 })
        {
            float[] b = Uniform(random, Columns * n), residual = Uniform(random, Rows * n);
            var expected = new float[Rows * n];
            SpMM.MultiplyReference(csr, b, n, expected, bias, residual, new Clamp(-0.25f, 0.5f));
            Near.BitEqual(expected, SameEverywhere(Rows * n, r => w.Multiply(b, n, r, bias, residual, new Clamp(-0.25f, 0.5f))));
            float[] x = Transpose(b, Columns, n), xr = Transpose(residual, Rows, n);
            Near.BitEqual(Transpose(expected, Rows, n), SameEverywhere(n * Rows, r => w.Linear(x, n, r, bias, xr, new Clamp(-0.25f, 0.5f))));

            // The residual may be the output itself.
            float[] accumulated = (float[])residual.Clone();
            w.Multiply(b, n, accumulated, bias, accumulated, new Clamp(-0.25f, 0.5f));
            Near.BitEqual(expected, accumulated);
        }
    }

    [Fact]
    public void Removed_weights_do_not_see_infinities_and_stored_ones_do()
    {
        // Row 0 keeps column 0, row 1 keeps column 1, row 2 nothing.
        var w = new PreparedSpMM(new CsrMatrix(3, 2, [0, 1, 2, 2], [0, 1], [2f, 0f]));
        foreach (int n in new[] { 1, 20 })
        {
            var b = new float[2 * n];
            b.AsSpan(0, n).Fill(3f);
            b.AsSpan(n).Fill(float.PositiveInfinity);
            float[] c = SameEverywhere(3 * n, r => w.Multiply(b, n, r));
            Assert.All(c[..n], v => Assert.Equal(6f, v));
            Assert.All(c[n..(2 * n)], v => Assert.True(float.IsNaN(v)));
            Assert.All(c[(2 * n)..], v => Assert.Equal(0f, v));
        }
        var nan = new PreparedSpMM(new CsrMatrix(1, 1, [0, 1], [0], [float.NaN]));
        var y = new float[1];
        nan.Multiply([1f], 1, y, default, default, Clamp.Relu);
        Assert.True(float.IsNaN(y[0]));
    }

    [Fact]
    public void Values_are_updated_in_place_in_every_direction()
    {
        var random = new Random(9);
        float[] dense = SparseDense(random, 12, 17, 0.3);
        CsrMatrix csr = CsrMatrix.FromDense(dense, 12, 17);
        var w = new PreparedSpMM(csr);
        float[] d = Uniform(random, 12 * 5);
        var before = new float[17 * 5];
        w.MultiplyTransposed(d, 5, before);

        float[] changed = Array.ConvertAll(dense, v => v * 3f + 1f);
        w.SetValuesFromDense(changed);
        var after = new float[17 * 5];
        w.MultiplyTransposed(d, 5, after);
        float[] masked = (float[])changed.Clone();
        csr.ToMask().Apply(masked);
        Near.Equal(Product(Transpose(masked, 12, 17), 17, 12, d, 5), after);
        Assert.NotEqual(before, after);

        w.SetValues(csr.Values);
        w.MultiplyTransposed(d, 5, after);
        Near.BitEqual(before, after);

        var scattered = new float[12 * 17];
        w.Scatter(w.Values, scattered);
        Near.BitEqual(dense, scattered);
    }

    [Fact]
    public void Code_and_loops_of_both_directions_follow_the_values_whichever_ran_before()
    {
        // More values than one thread takes over at a time.
        var random = new Random(12);
        const int Rows = 300, Columns = 500, Batch = 20;
        CsrMatrix csr = Csr(random, Rows, Columns, 0.3);
        var w = new PreparedSpMM(csr, compileOnReuse: true);
        float[] x = Uniform(random, Batch * Columns), dy = Uniform(random, Batch * Rows);
        for (int step = 0; step < 6; step++)
        {
            float[] values = Uniform(random, csr.StoredCount);
            w.SetValues(values);
            // A matrix that has had no others.
            var alone = new PreparedSpMM(new CsrMatrix(Rows, Columns, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), values));
            float[] y = new float[Batch * Rows], dx = new float[Batch * Columns], expected = new float[Batch * Rows], expectedGradient = new float[Batch * Columns];
            using (CompiledMatrix.Forbid())
            {
                alone.Linear(x, Batch, expected);
                alone.LinearInputGradient(dy, Batch, expectedGradient);
            }
            Run($"step {step}");
            // Loops again, after code has run.
            using (CompiledMatrix.Forbid()) Run($"step {step}, loops");

            void Run(string what)
            {
                w.Linear(x, Batch, y);
                w.LinearInputGradient(dy, Batch, dx);
                Near.BitEqual(expected, y, what);
                Near.BitEqual(expectedGradient, dx, what);
            }
        }
    }

    [Fact]
    public void Gradients_accumulate_when_asked_to()
    {
        var random = new Random(4);
        var w = new PreparedSpMM(Csr(random, 9, 14, 0.4));
        float[] x = Uniform(random, 20 * 14), dy = Uniform(random, 20 * 9);
        var once = new float[w.StoredCount];
        w.LinearWeightGradient(x, dy, 20, once);
        float[] twice = (float[])once.Clone();
        w.LinearWeightGradient(x, dy, 20, twice, accumulate: true);
        Near.Equal(Array.ConvertAll(once, v => 2 * v), twice, 1e-6, 1e-6);
    }

    [Fact]
    public void Empty_dimensions_are_allowed_and_wrong_lengths_are_not()
    {
        var empty = new PreparedSpMM(new CsrMatrix(0, 4, [0], [], []));
        empty.Multiply(new float[8], 2, []);
        var dx = new float[8];
        Array.Fill(dx, 7f);
        empty.MultiplyTransposed([], 2, dx);
        Assert.All(dx, v => Assert.Equal(0f, v));
        var w = new PreparedSpMM(Csr(new Random(1), 3, 4, 0.5));
        w.Multiply([], 0, []);
        w.Linear([], 0, []);
        Assert.Throws<ArgumentException>(() => w.Multiply(new float[7], 2, new float[6]));
        Assert.Throws<ArgumentException>(() => w.Multiply(new float[8], 2, new float[5]));
        Assert.Throws<ArgumentException>(() => w.Multiply(new float[8], 2, new float[6], new float[2], default, Clamp.None));
        Assert.Throws<ArgumentException>(() => w.SetValues(new float[w.StoredCount + 1]));
    }
}

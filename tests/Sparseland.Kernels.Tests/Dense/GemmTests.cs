using Sparseland.Kernels.Dense;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class GemmTests
{
    public static TheoryData<int, int, int> Shapes => new()
    {
        { 1, 1, 1 }, { 1, 17, 33 }, { 3, 5, 7 }, { 4, 100, 31 }, { 5, 40, 16 }, { 8, 32, 15 }, { 7, 33, 17 }, { 9, 31, 48 },
        { 13, 8, 65 }, { 40, 3, 100 }, { 100, 1, 70 }, { 16, 130, 300 }, { 97, 129, 289 }, { 33, 65, 600 }, { 200, 260, 64 },
        { 17, 4200, 9 }, { 3900, 9, 20 }, { 2, 70, 33 }, { 6, 100, 250 }, { 10, 128, 512 }, { 12, 9, 3 },
        // Few tiles that threads share: cut into rows, columns and both.
        { 24, 100, 300 }, { 49, 64, 400 }, { 12, 384, 200 }, { 100, 70, 130 }, { 30, 130, 220 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void AgreesWithTheReferenceInAllTranspositionsAndIsTheSameEverywhere(int m, int n, int k)
    {
        int seed = (m * 31) + (n * 7) + k;
        for (int form = 0; form < 4; form++)
        {
            bool ta = (form & 1) != 0, tb = (form & 2) != 0;
            int lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
            float[] a = Random((ta ? k : m) * lda, seed), b = Random((tb ? n : k) * ldb, seed + 1), c = Random(m * ldc, seed + 2);
            float[] rowBias = Random(m, seed + 3), columnBias = Random(n, seed + 4);
            (float alpha, float beta) = form switch { 0 => (1f, 0f), 1 => (0.5f, 1f), 2 => (1f, -0.75f), _ => (2f, 0f) };
            Clamp clamp = form == 2 ? new Clamp(-1f, 2f) : Clamp.None;

            float[] actual = SameEverywhere(() =>
            {
                var result = (float[])c.Clone();
                Gemm.Multiply(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, result, ldc, form == 1 ? default : rowBias, form == 0 ? default : columnBias, clamp);
                return result;
            }, $"{m}x{n}x{k} form {form}");

            var expected = (float[])c.Clone();
            Gemm.MultiplyReference(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, expected, ldc, form == 1 ? default : rowBias, form == 0 ? default : columnBias, clamp);
            // Errors of a sum of k products of values up to 1.
            Near.Equal(expected, actual, 1e-6 * (k + 4), 1e-5, $"{m}x{n}x{k} form {form}");
        }
    }

    [Fact]
    public void EveryDepthGivesTheSameSumsInPlaceAndPacked()
    {
        // Up to 16 rows read a plain right operand where it lies, four steps at a time; a transposed one is packed and read eight steps at a time.
        const int m = 12, n = 70;
        for (int k = 1; k <= 41; k++)
        {
            float[] a = Random(m * k, k), b = Random(k * n, k + 100), bt = Transposed(b, k, n), expected = new float[m * n];
            float[] inPlace = SameEverywhere(() => Product(false, b, n), $"in place, {k}"), packed = SameEverywhere(() => Product(true, bt, k), $"packed, {k}");

            Gemm.MultiplyReference(false, false, m, n, k, 1f, a, k, b, n, 0f, expected, n, default, default, Clamp.None);
            Near.Equal(expected, packed, 1e-6 * (k + 4), 1e-5, $"depth {k}");
            Near.BitEqual(packed, inPlace, $"depth {k}");

            float[] Product(bool transposed, float[] right, int ld)
            {
                var c = new float[m * n];
                Gemm.Multiply(false, transposed, m, n, k, 1f, a, k, right, ld, 0f, c, n);
                return c;
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void APreparedOperandGivesTheSameProduct(int m, int n, int k)
    {
        float[] a = Random(m * k, 1), b = Random(k * n, 2), at = Transposed(a, m, k), bt = Transposed(b, k, n), bias = Random(n, 3), rowBias = Random(m, 4);
        var expected = new float[m * n];
        Gemm.MultiplyReference(false, false, m, n, k, 1f, a, k, b, n, 0f, expected, n, rowBias, bias, Clamp.Relu);

        float[] left = SameEverywhere(() => Left(PackedMatrix.Left(false, m, k, a, k)), "left");
        float[] leftT = Left(PackedMatrix.Left(true, m, k, at, m));
        float[] right = SameEverywhere(() => Right(PackedMatrix.Right(false, k, n, b, n)), "right");
        float[] rightT = Right(PackedMatrix.Right(true, k, n, bt, k));

        Near.Equal(expected, left, 1e-6 * (k + 4), 1e-5, "left");
        Near.BitEqual(left, leftT, "left transposed");
        Near.BitEqual(left, right, "right");
        Near.BitEqual(left, rightT, "right transposed");

        float[] Left(PackedMatrix packed)
        {
            var c = new float[m * n];
            Gemm.Multiply(packed, false, n, b, n, 0f, c, n, rowBias, bias, Clamp.Relu);
            return c;
        }

        float[] Right(PackedMatrix packed)
        {
            var c = new float[m * n];
            Gemm.Multiply(false, m, a, k, packed, 0f, c, n, rowBias, bias, Clamp.Relu);
            return c;
        }
    }

    /// <summary>Rows that fill no tile have tiles of their own: the same bits as among more rows, from a matrix, a transposed one or beside a prepared operand, whatever stands behind them.</summary>
    [Theory]
    [InlineData(9, 1), InlineData(32, 5), InlineData(33, 192), InlineData(64, 193), InlineData(100, 400), InlineData(300, 20)]
    public void FewRowsAreTheRowsOfMore(int n, int k)
    {
        const int Most = 17;
        float[] a = Random(Most * k, 1), at = Transposed(a, Most, k), b = Random(k * n, 2), bias = Random(n, 3);
        PackedMatrix packed = PackedMatrix.Right(false, k, n, b, n);
        var all = new float[Most * n];
        Gemm.Multiply(false, Most, a, k, packed, 0f, all, n, default, bias, Clamp.None);
        for (int m = 1; m < Most; m++)
        {
            float[] few = (float[])a.Clone(), fewT = (float[])at.Clone();
            for (int i = m * k; i < few.Length; i++) few[i] = float.NaN;
            for (int i = 0; i < fewT.Length; i++) if (i % Most >= m) fewT[i] = float.PositiveInfinity;
            foreach (bool transposed in (bool[])[false, true])
            {
                float[] from = transposed ? fewT : few;
                int lda = transposed ? Most : k;
                Near.BitEqual(all.AsSpan(0, m * n), SameEverywhere(() => Product(c => Gemm.Multiply(transposed, m, from, lda, packed, 0f, c, n, default, bias, Clamp.None)), $"prepared, {m} rows"));
                Near.BitEqual(all.AsSpan(0, m * n), SameEverywhere(() => Product(c => Gemm.Multiply(transposed, false, m, n, k, 1f, from, lda, b, n, 0f, c, n, default, bias, Clamp.None)), $"{m} rows"));
                // Twice the half: powers of two change no bits.
                Near.BitEqual(all.AsSpan(0, m * n), Product(c => Gemm.Multiply(transposed, false, m, n, k, 2f, Array.ConvertAll(from, x => x / 2), lda, b, n, 0f, c, n, default, bias, Clamp.None)));
            }

            float[] Product(Action<float[]> multiply)
            {
                var c = new float[m * n];
                multiply(c);
                return c;
            }
        }
    }

    [Theory]
    [InlineData(3, 5, 6, 7)]
    [InlineData(20, 32, 33, 40)]
    [InlineData(2, 130, 70, 200)]
    public void BatchedProductsAreTheSingleOnes(int batch, int m, int n, int k)
    {
        float[] a = Random(batch * m * k, 1), b = Random(batch * k * n, 2);
        float[] all = SameEverywhere(() =>
        {
            var c = new float[batch * m * n];
            Gemm.MultiplyBatched(batch, false, false, m, n, k, 0.25f, a, m * k, b, k * n, 0f, c, m * n);
            return c;
        }, "batch");
        for (int i = 0; i < batch; i++)
        {
            var one = new float[m * n];
            Gemm.Multiply(false, false, m, n, k, 0.25f, a.AsSpan(i * m * k), k, b.AsSpan(i * k * n), n, 0f, one, n);
            Near.BitEqual(one, all.AsSpan(i * m * n, m * n), $"product {i}");
        }
        var shared = new float[batch * m * n];
        Gemm.MultiplyBatched(batch, false, false, m, n, k, 0.25f, a, m * k, b, 0, 0f, shared, m * n);
        Near.BitEqual(all.AsSpan(0, m * n), shared.AsSpan(0, m * n), "shared right operand");
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(33, 15)]
    [InlineData(700, 1030)]
    public void MatrixTimesVector(int m, int n)
    {
        float[] a = Random(m * n, 5);
        foreach (bool transposed in (bool[])[false, true])
        {
            float[] x = Random(transposed ? m : n, 6), y = Random(transposed ? n : m, 7);
            float[] actual = SameEverywhere(() =>
            {
                var result = (float[])y.Clone();
                Gemm.MultiplyVector(transposed, m, n, 2f, a, n, x, 0.5f, result);
                return result;
            }, "gemv");
            var expected = (float[])y.Clone();
            int outer = y.Length, inner = x.Length;
            Gemm.MultiplyReference(transposed, false, outer, 1, inner, 2f, a, n, x, 1, 0.5f, expected, 1, default, default, Clamp.None);
            Near.Equal(expected, actual, 1e-6 * (inner + 4), 1e-5, $"transposed {transposed}");
        }
    }

    [Fact]
    public void SpecialValuesPropagate()
    {
        const int m = 20, n = 70, k = 40;
        float[] a = Random(m * k, 1), b = Random(k * n, 2);
        a[(3 * k) + 5] = float.NaN;
        a[(7 * k) + 2] = float.PositiveInfinity;
        b[(9 * n) + 11] = float.NegativeInfinity;
        for (int i = 0; i < k; i++) a[(12 * k) + i] = float.Epsilon * (i + 1);
        var c = new float[m * n];
        Array.Fill(c, float.NaN);
        float[] actual = SameEverywhere(() =>
        {
            var result = (float[])c.Clone();
            Gemm.Multiply(false, false, m, n, k, 1f, a, k, b, n, 0f, result, n);
            return result;
        }, "special values");
        for (int j = 0; j < n; j++)
        {
            Assert.True(float.IsNaN(actual[(3 * n) + j]));
            Assert.False(float.IsFinite(actual[(7 * n) + j]));
        }
        for (int i = 0; i < m; i++) Assert.False(float.IsFinite(actual[(i * n) + 11]));
        Assert.True(float.IsFinite(actual[0]));
    }

    [Fact]
    public void EmptyInnerDimensionScalesAndAddsTheBias()
    {
        float[] c = [1f, 2f, 3f, 4f];
        Gemm.Multiply(false, false, 2, 2, 0, 1f, [], 0, [], 2, 0.5f, c, 2, [10f, 20f], default, Clamp.None);
        Assert.Equal([10.5f, 11f, 21.5f, 22f], c);
        Gemm.Multiply(false, false, 0, 0, 0, 1f, [], 0, [], 0, 0f, [], 0);
    }

    [Fact]
    public void ZeroBetaIgnoresNaNAndZeroAlphaIgnoresOperands()
    {
        float[] c = [float.NaN, float.NaN];
        Gemm.Multiply(false, false, 1, 2, 2, 0f, [float.NaN, 1f], 2, [1f, 1f, 1f, 1f], 2, 0f, c, 2);
        Assert.Equal([0f, 0f], c);
    }

    [Fact]
    public void RefusesWrongSizes()
    {
        Assert.Throws<ArgumentException>(() => Gemm.Multiply(false, false, 2, 2, 2, 1f, new float[3], 2, new float[4], 2, 0f, new float[4], 2));
        Assert.Throws<ArgumentException>(() => Gemm.Multiply(false, false, 2, 2, 2, 1f, new float[4], 1, new float[4], 2, 0f, new float[4], 2));
        Assert.Throws<ArgumentException>(() => Gemm.Multiply(false, false, -1, 2, 2, 1f, new float[4], 2, new float[4], 2, 0f, new float[4], 2));
        PackedMatrix left = PackedMatrix.Left(false, 2, 2, new float[4], 2);
        Assert.Throws<ArgumentException>(() => Gemm.Multiply(false, 2, new float[4], 2, left, 0f, new float[4], 2, default, default, Clamp.None));
    }

    private static float[] Transposed(float[] x, int rows, int columns)
    {
        var t = new float[x.Length];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++) t[(j * rows) + i] = x[(i * columns) + j];
        }
        return t;
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>
/// What no network should hold and some do, in the sparse kernels of single precision, at every level, beside the scalar reference: a removed weight times an infinity is left out, all else follows
/// IEEE 754. Values of few bits are finite by their making and not among these.
/// </summary>
[Collection("threads")]
public class EdgeTests
{
    // Two more than gradients meet: sums of these overflow in one order and not in another.
    private static readonly float[] s_special = [float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.Epsilon, -float.Epsilon * 7, -0f, 0f, float.MaxValue, float.MinValue, 1e-38f];

    /// <summary>One row, one column, blocks of the compiled code, columns at a distance of a power of two.</summary>
    public static TheoryData<int, int, int> Shapes => new()
    {
        { 1, 1, 1 }, { 1, 1, 5 }, { 9, 1, 17 }, { 1, 23, 40 }, { 29, 385, 17 }, { 30, 70, 256 }, { 12, 40, 512 }, { 5, 3, 1030 }, { 64, 770, 2 },
    };

    [Theory, MemberData(nameof(Shapes))]
    public void Special_values_in_weights_and_inputs_go_where_the_reference_sends_them(int rows, int columns, int n)
    {
        var random = new Random(rows * 31 + columns * 7 + n);
        foreach (double density in new[] { 0.0, 0.3, 1.0 })
        {
            float[] dense = SparseDense(random, rows, columns, density), b = Uniform(random, columns * n), bias = Uniform(random, rows);
            // Few enough for most results to stay numbers.
            for (int i = 0; i < dense.Length; i++)
            {
                if (dense[i] != 0 && random.Next(Math.Max(4, columns / 2)) == 0) dense[i] = s_special[random.Next(s_special.Length)];
            }
            for (int i = 0; i < b.Length; i += 1 + random.Next(3 * columns)) b[i] = s_special[random.Next(s_special.Length)];
            CsrMatrix csr = CsrMatrix.FromDense(dense, rows, columns);
            BlockCsrMatrix blocks = BlockCsrMatrix.FromDense(dense, rows, columns, 4, 1);
            PreparedSpMM single = new(csr), tiled = new(blocks);
            float[] turned = Transpose(b, columns, n), column = new float[columns];
            for (int c = 0; c < columns; c++) column[c] = Moderate(b[c * n]);
            float[] calm = Array.ConvertAll(dense, Moderate);
            CsrMatrix moderate = CsrMatrix.FromMask(csr.ToMask(), calm, rows, columns);
            var windows = new PreparedSpMV(moderate);
            float[] byColumns = Transpose(calm, rows, columns), active = Array.ConvertAll(column, v => v == 0 ? 1 : v);
            CompactMatrix bits = CompactMatrix.FromMask(csr.ToMask(), calm, rows, columns, ValueKind.Float32);
            foreach (Clamp clamp in new[] { Clamp.None, new Clamp(0, 6) })
            {
                float[] expected = new float[rows * n], ofTiles = new float[rows * n], first = new float[rows];
                SpMM.MultiplyReference(csr, b, n, expected, bias, default, clamp);
                SpMM.MultiplyReference(blocks.ToCsr(), b, n, ofTiles, bias, default, clamp);
                Everywhere(rows * n, expected, c => single.Multiply(b, n, c, bias, default, clamp), "rows");
                Everywhere(rows * n, ofTiles, c => tiled.Multiply(b, n, c, bias, default, clamp), "tiles");
                Everywhere(rows * n, Transpose(expected, rows, n), y => single.Linear(turned, n, y, bias, default, clamp), "linear");
                Everywhere(rows * n, Transpose(ofTiles, rows, n), y => tiled.Linear(turned, n, y, bias, default, clamp), "linear tiles");
                // Sums of products with one vector have an order of their own: what is no number is the same, numbers are near. Numbers that overflow in one order and not in the other are left out.
                SpMM.MultiplyReference(moderate, column, 1, first, bias, default, clamp);
                Everywhere(rows, first, y => SpMV.Multiply(moderate, column, y, bias, clamp), "vector", near: true);
                Everywhere(rows, first, y => Gemv.Multiply(bits, column, y, bias, clamp), "bit-mask", near: true);
                Everywhere(rows, first, y => windows.Multiply(column, y, bias, clamp), "windows", near: true);
                // Weights by columns are full, and columns beside a zero are skipped whatever they hold.
                if (density < 1) continue;
                SpMM.MultiplyReference(CsrMatrix.FromMask(Full(rows, columns), calm, rows, columns), active, 1, first, bias, default, clamp);
                Everywhere(rows, first, y => ColumnGemv.Multiply(byColumns, active, 0, y, bias, clamp), "columns", near: true);
            }
        }
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Gradients_send_special_values_where_the_definition_does(int rows, int columns, int n)
    {
        var random = new Random(rows + columns + n);
        foreach (double density in new[] { 0.0, 0.3, 1.0 })
        {
            float[] dense = SparseDense(random, rows, columns, density), b = Uniform(random, columns * n), d = Uniform(random, rows * n);
            for (int i = 0; i < dense.Length; i++)
            {
                // A weight that is kept and zero would be no stored one.
                if (dense[i] != 0 && random.Next(Math.Max(4, columns / 2)) == 0) dense[i] = Special[random.Next(Special.Length - 2)];
            }
            Spread(random, b, 6 * n);
            Spread(random, d, 6 * n);
            float[] x = Transpose(b, columns, n), dy = Transpose(d, rows, n);
            foreach (PreparedSpMM w in (PreparedSpMM[])[new(CsrMatrix.FromDense(dense, rows, columns)), new(BlockCsrMatrix.FromDense(dense, rows, columns, 4, 1))])
            {
                CsrMatrix csr = w.ToCsr();
                float[] dx = new float[columns * n], dw = new float[csr.StoredCount];
                for (int r = 0; r < rows; r++)
                {
                    for (int j = csr.RowPointers[r]; j < csr.RowPointers[r + 1]; j++)
                    {
                        for (int i = 0; i < n; i++)
                        {
                            dx[(csr.ColumnIndices[j] * n) + i] += csr.Values[j] * d[(r * n) + i];
                            dw[j] += d[(r * n) + i] * b[(csr.ColumnIndices[j] * n) + i];
                        }
                    }
                }
                string what = $"density {density}, {csr.StoredCount} stored";
                Everywhere(dx.Length, dx, y => w.MultiplyTransposed(d, n, y), $"input gradient, {what}", near: true);
                Everywhere(dw.Length, dw, y => w.WeightGradient(b, d, n, y), $"weight gradient, {what}", near: true);
                Everywhere(dx.Length, Transpose(dx, columns, n), y => w.LinearInputGradient(dy, n, y), $"linear input gradient, {what}", near: true);
                Everywhere(dw.Length, dw, y => w.LinearWeightGradient(x, dy, n, y), $"linear weight gradient, {what}", near: true);
            }
        }
    }

    /// <summary>Forward, padding is zeros that take part; gradients have products of pixels alone.</summary>
    [Theory, MemberData(nameof(PreparedSparseConvolutionTests.Cases), MemberType = typeof(PreparedSparseConvolutionTests))]
    public void Convolutions_send_special_values_where_the_definition_does(string name, SparseConvolutionShape shape, int batch, int height, int width)
    {
        var random = new Random(name.Length + height);
        SparseConvolutionShape bare = shape with { PadTop = 0, PadLeft = 0, PadBottom = 0, PadRight = 0 };
        int paddedHeight = height + shape.PadTop + shape.PadBottom, paddedWidth = width + shape.PadLeft + shape.PadRight;
        foreach (double density in new[] { 0.1, 1.0 })
        {
            foreach (bool inWeights in new[] { false, true })
            {
                float[] dense = SparseDense(random, shape.OutChannels, shape.WeightsPerOutput, density);
                for (int i = random.Next(40); inWeights && i < dense.Length; i += 5 + random.Next(60)) dense[i] = dense[i] == 0 ? 0 : Special[random.Next(Special.Length - 2)];
                CsrMatrix weight = CsrMatrix.FromDense(dense, shape.OutChannels, shape.WeightsPerOutput);
                var convolution = new PreparedSparseConvolution(shape, weight);
                float[] w = weight.Values.ToArray(), x = Uniform(random, batch * shape.InChannels * height * width);
                float[] y = new float[batch * shape.OutChannels * shape.OutHeight(height) * shape.OutWidth(width)], dy = Uniform(random, y.Length), dx = new float[x.Length], dw = new float[w.Length];
                Spread(random, x, 400);
                Spread(random, dy, 400);
                convolution.VisitProducts(batch, height, width, (o, i, j) =>
                {
                    dx[i] += w[j] * dy[o];
                    dw[j] += dy[o] * x[i];
                });
                var padded = new float[batch * shape.InChannels * paddedHeight * paddedWidth];
                for (int i = 0; i < padded.Length; i++)
                {
                    int row = (i / paddedWidth % paddedHeight) - shape.PadTop, column = (i % paddedWidth) - shape.PadLeft;
                    if ((uint)row < (uint)height && (uint)column < (uint)width) padded[i] = x[(((i / (paddedWidth * paddedHeight) * height) + row) * width) + column];
                }
                new PreparedSparseConvolution(bare, weight).VisitProducts(batch, paddedHeight, paddedWidth, (o, i, j) => y[o] += w[j] * padded[i]);
                string what = $"{name}, density {density}, in weights {inWeights}";
                Everywhere(y.Length, y, r => convolution.Forward(x, batch, height, width, r), $"{what}, forward", near: true);
                Everywhere(dx.Length, dx, r => convolution.InputGradient(dy, batch, height, width, r), $"{what}, input gradient", near: true);
                Everywhere(dw.Length, dw, r => convolution.WeightGradient(x, dy, batch, height, width, r), $"{what}, weight gradient", near: true);
            }
        }
    }

    /// <summary>One operand denormal, the other a small whole number: sums are exact in any order, and none is flushed to zero.</summary>
    [Theory, InlineData(true), InlineData(false)]
    public void Denormal_products_are_exact(bool inWeights)
    {
        var random = new Random(6);
        foreach ((int rows, int columns, int n) in ((int, int, int)[])[(1, 1, 1), (29, 85, 17), (30, 70, 256), (64, 200, 2)])
        {
            float[] dense = Array.ConvertAll(SparseDense(random, rows, columns, 0.3), v => v == 0 ? 0 : Small(random, inWeights)), b = Some(columns * n), d = Some(rows * n);
            // Of the two that a gradient of weights meets one is denormal.
            float[] other = Array.ConvertAll(d, _ => Small(random, inWeights));
            float[] x = Transpose(b, columns, n), dy = Transpose(d, rows, n), c = Product(dense, rows, columns, b, n), dx = Product(Transpose(dense, rows, columns), columns, rows, d, n);
            CsrMatrix csr = CsrMatrix.FromDense(dense, rows, columns);
            foreach (PreparedSpMM w in (PreparedSpMM[])[new(csr), new(BlockCsrMatrix.FromDense(dense, rows, columns, 4, 1))])
            {
                Everywhere(c.Length, c, y => w.Multiply(b, n, y), "product");
                Everywhere(c.Length, Transpose(c, rows, n), y => w.Linear(x, n, y), "linear");
                Everywhere(dx.Length, dx, y => w.MultiplyTransposed(d, n, y), "input gradient");
                Everywhere(dx.Length, Transpose(dx, columns, n), y => w.LinearInputGradient(dy, n, y), "linear input gradient");
                float[] all = Product(other, rows, n, x, columns), dw = new float[w.StoredCount];
                CsrMatrix stored = w.ToCsr();
                for (int r = 0; r < rows; r++)
                {
                    for (int j = stored.RowPointers[r]; j < stored.RowPointers[r + 1]; j++) dw[j] = all[(r * columns) + stored.ColumnIndices[j]];
                }
                Everywhere(dw.Length, dw, y => w.WeightGradient(b, other, n, y), "weight gradient");
                Everywhere(dw.Length, dw, y => w.LinearWeightGradient(x, Transpose(other, rows, n), n, y), "linear weight gradient");
            }
            float[] vector = Some(columns), first = Product(dense, rows, columns, vector, 1);
            var windows = new PreparedSpMV(csr);
            Everywhere(rows, first, y => SpMV.Multiply(csr, vector, y), "vector");
            Everywhere(rows, first, y => windows.Multiply(vector, y, default, Clamp.None), "windows");
            Everywhere(rows, first, y => ColumnGemv.Multiply(Transpose(dense, rows, columns), vector, 0, y), "columns");
        }
        foreach (SparseConvolutionShape shape in (SparseConvolutionShape[])[new(5, 7, 1, 1), new(4, 6, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 }, new(6, 6, 3, 3) { Groups = 6, PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1, StrideHeight = 2, StrideWidth = 2 }])
        {
            foreach ((int batch, int size) in ((int, int)[])[(1, 14), (9, 16)])
            {
                CsrMatrix weight = CsrMatrix.FromDense(Array.ConvertAll(SparseDense(random, shape.OutChannels, shape.WeightsPerOutput, 0.4), v => v == 0 ? 0 : Small(random, inWeights)), shape.OutChannels, shape.WeightsPerOutput);
                var convolution = new PreparedSparseConvolution(shape, weight);
                float[] w = weight.Values.ToArray(), x = Some(batch * shape.InChannels * size * size), y = new float[batch * shape.OutChannels * shape.OutHeight(size) * shape.OutWidth(size)], dy = Some(y.Length);
                float[] dx = new float[x.Length], dw = new float[w.Length], other = Array.ConvertAll(y, _ => Small(random, inWeights));
                convolution.VisitProducts(batch, size, size, (o, i, j) =>
                {
                    y[o] += w[j] * x[i];
                    dx[i] += w[j] * dy[o];
                    dw[j] += other[o] * x[i];
                });
                Everywhere(y.Length, y, r => convolution.Forward(x, batch, size, size, r), $"{shape}");
                Everywhere(dx.Length, dx, r => convolution.InputGradient(dy, batch, size, size, r), $"{shape}, input gradient");
                Everywhere(dw.Length, dw, r => convolution.WeightGradient(x, other, batch, size, size, r), $"{shape}, weight gradient");
            }
        }

        float[] Some(int length) => [.. Enumerable.Range(0, length).Select(_ => Small(random, !inWeights))];
    }

    [Fact]
    public void Rows_and_columns_without_entries_give_the_bias_and_read_nothing()
    {
        const int Rows = 61, Columns = 800, N = 50;
        var random = new Random(4);
        var dense = new float[Rows * Columns];
        for (int r = 1; r < Rows; r += 3)
        {
            for (int c = 2; c < Columns; c += 5) dense[r * Columns + c] = (float)random.NextDouble() + 0.5f;
        }
        float[] b = Uniform(random, Columns * N), bias = Uniform(random, Rows);
        for (int c = 0; c < Columns; c++)
        {
            if (c % 5 != 2) b.AsSpan(c * N, N).Fill(float.NaN);
        }
        CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, Columns);
        var expected = new float[Rows * N];
        SpMM.MultiplyReference(csr, b, N, expected, bias, default, Clamp.None);
        Assert.DoesNotContain(expected, float.IsNaN);
        for (int r = 0; r < Rows; r += 3) Assert.All(expected[(r * N)..((r + 1) * N)], v => Assert.Equal(bias[r], v));
        var w = new PreparedSpMM(csr);
        Everywhere(Rows * N, expected, c => w.Multiply(b, N, c, bias, default, Clamp.None), "empty rows");
    }

    [Fact]
    public void Strides_of_convolutions_may_be_larger_than_images()
    {
        var random = new Random(9);
        foreach (int stride in new[] { 7, 50, 1000 })
        {
            var shape = new SparseConvolutionShape(3, 4, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1, StrideHeight = stride, StrideWidth = stride };
            CsrMatrix weight = Csr(random, 4, 27, 0.5);
            var convolution = new PreparedSparseConvolution(shape, weight);
            int outputs = 2 * 4 * shape.OutHeight(60) * shape.OutWidth(41);
            float[] x = Uniform(random, 2 * 3 * 60 * 41), y = new float[outputs], values = weight.Values.ToArray();
            convolution.VisitProducts(2, 60, 41, (o, i, j) => y[o] += values[j] * x[i]);
            Near.Equal(y, SameEverywhere(outputs, r => convolution.Forward(x, 2, 60, 41, r)), 1e-5, 1e-5, $"stride {stride}");
        }
    }

    [Fact]
    public void Depthwise_planes_send_special_inputs_where_stored_taps_do()
    {
        const int Channels = 5, Height = 9, Width = 20;
        var random = new Random(12);
        foreach (int stride in new[] { 1, 2 })
        {
            var shape = new SparseConvolutionShape(Channels, Channels, 3, 3) { Groups = Channels, PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1, StrideHeight = stride, StrideWidth = stride };
            Convolution2D geometry = new Convolution2D(2, Channels, Height, Width, Channels, 3, 3) { Groups = Channels }.WithPadding(1).WithStride(stride);
            float[] x = Uniform(random, (int)geometry.InputLength), weight = Uniform(random, Channels * 9), bias = Uniform(random, Channels);
            for (int i = 3; i < x.Length; i += 1 + random.Next(80)) x[i] = Moderate(s_special[random.Next(s_special.Length)]);
            foreach (double density in new[] { 0.4, 1 })
            {
                CsrMatrix csr = CsrMatrix.FromMask(Mask.FromFlags([Channels, 9], [.. weight.Select(_ => random.NextDouble() < density)]), weight, Channels, 9);
                var sparse = new PreparedSparseConvolution(shape, csr);
                float[] expected = new float[geometry.OutputLength], values = csr.Values.ToArray();
                int plane = geometry.OutHeight * geometry.OutWidth;
                for (int i = 0; i < expected.Length; i++) expected[i] = bias[i / plane % Channels];
                sparse.VisitProducts(2, Height, Width, (o, i, j) => expected[o] += values[j] * x[i]);
                Everywhere(expected.Length, expected, y => sparse.Forward(x, 2, Height, Width, y, bias, default, Clamp.None), $"stored taps, stride {stride}", near: true);
                if (density == 1) Everywhere(expected.Length, expected, y => geometry.Forward(x, weight, bias, y), $"all taps, stride {stride}", near: true);
            }
        }
    }

    private static Mask Full(int rows, int columns) => Mask.FromFlags([rows, columns], [.. Enumerable.Repeat(true, rows * columns)]);

    /// <summary>Puts special values at distances of up to so many.</summary>
    private static void Spread(Random random, float[] values, int distance)
    {
        for (int i = random.Next(distance); i < values.Length; i += 1 + random.Next(distance)) values[i] = Special[random.Next(Special.Length)];
    }

    private static float Small(Random random, bool isDenormal) => (random.Next(2) * 2 - 1) * random.Next(1, 100) * (isDenormal ? float.Epsilon : 1);

    private static float Moderate(float value) => float.IsFinite(value) && Math.Abs(value) > 1e30 ? 1 : value;
}

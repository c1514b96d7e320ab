using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class PreparedSparseConvolutionTests
{
    public static TheoryData<string, SparseConvolutionShape, int, int, int> Cases
    {
        get
        {
            var data = new TheoryData<string, SparseConvolutionShape, int, int, int>
            {
                { "1x1", new(5, 7, 1, 1), 2, 6, 9 },
                { "3x3 padded", Same3x3(6, 8), 1, 32, 32 },
                { "3x3 8x8 images", Same3x3(4, 5), 9, 8, 8 },
                { "more channels than a block", Same3x3(64, 3), 1, 32, 32 },
                { "planes a power of two apart, more channels than a set of the cache has lines", Same3x3(20, 24), 1, 32, 32 },
                { "3x3 stride 2", Same3x3(4, 6) with { StrideHeight = 2, StrideWidth = 2 }, 2, 16, 17 },
                { "1x1 stride 2", new(4, 6, 1, 1) { StrideHeight = 2, StrideWidth = 2 }, 3, 9, 8 },
                { "3x3 dilated", new(3, 4, 3, 3) { DilationHeight = 2, DilationWidth = 3, PadTop = 2, PadLeft = 3, PadBottom = 2, PadRight = 3 }, 2, 11, 13 },
                { "3x3 stride 2, even sizes", Same3x3(4, 6) with { StrideHeight = 2, StrideWidth = 2 }, 2, 16, 34 },
                { "3x3 stride 2, 16 pixels", Same3x3(4, 6) with { StrideHeight = 2, StrideWidth = 2 }, 1, 8, 8 },
                { "3x3 stride 2, rows of 14 pixels", Same3x3(24, 64) with { StrideHeight = 2, StrideWidth = 2 }, 1, 28, 28 },
                { "3x3 stride 2, blocks that begin within a channel", Same3x3(25, 64) with { StrideHeight = 2, StrideWidth = 2 }, 1, 28, 28 },
                { "3x3 stride 3", new(4, 6, 3, 3) { StrideHeight = 3, StrideWidth = 3 }, 1, 15, 18 },
                { "1x1 stride 2, shared by tiles", new(24, 64, 1, 1) { StrideHeight = 2, StrideWidth = 2 }, 1, 28, 28 },
                { "1x1 stride 2, few pixels", new(24, 64, 1, 1) { StrideHeight = 2, StrideWidth = 2 }, 2, 14, 14 },
                { "patches", new(3, 5, 4, 4) { StrideHeight = 4, StrideWidth = 4 }, 1, 16, 32 },
                { "padded on two sides", new(4, 6, 3, 3) { PadTop = 2, PadLeft = 2 }, 1, 9, 13 },
                { "padded at the sides alone", new(4, 6, 3, 3) { PadLeft = 1, PadRight = 1 }, 1, 9, 13 },
                { "more rows than the image", new(4, 6, 3, 3) { PadTop = 4, PadLeft = 1, PadBottom = 3, PadRight = 1 }, 1, 5, 9 },
                { "taps that reach no pixel", new(2, 3, 3, 3) { PadTop = 9, PadLeft = 9, PadBottom = 9, PadRight = 9, DilationHeight = 9, DilationWidth = 9 }, 1, 4, 5 },
                { "depthwise", Same3x3(6, 6) with { Groups = 6 }, 2, 7, 5 },
                { "depthwise, wide", Same3x3(5, 5) with { Groups = 5 }, 1, 18, 37 },
                { "depthwise 14", Same3x3(24, 24) with { Groups = 24 }, 2, 14, 14 },
                { "depthwise 28, halves of unequal height", Same3x3(24, 24) with { Groups = 24 }, 1, 28, 28 },
                { "depthwise, lower half of two rows", Same3x3(64, 64) with { Groups = 64 }, 1, 10, 30 },
                { "few pixels, threads share channels", Same3x3(24, 64), 1, 7, 7 },
                { "gaps of one pixel, a tile of 15", Same3x3(24, 64), 1, 3, 5 },
                { "gaps of one pixel, a tile of 14", Same3x3(24, 64), 1, 7, 2 },
                { "gaps of two pixels, a tile of 14", new(24, 64, 3, 3), 1, 8, 7 },
                { "gaps of four pixels, a tile of 4", new(24, 64, 5, 5), 1, 6, 6 },
                { "few pixels of a large image", Same3x3(24, 64) with { StrideHeight = 2, StrideWidth = 2 }, 1, 14, 14 },
                { "depthwise stride 2", Same3x3(6, 6) with { Groups = 6, StrideHeight = 2, StrideWidth = 2 }, 2, 19, 40 },
                { "groups, two outputs each", Same3x3(6, 12) with { Groups = 3 }, 2, 7, 5 },
                { "uneven padding, strides and kernel", new(3, 5, 2, 4) { StrideHeight = 3, StrideWidth = 2, PadTop = 1, PadLeft = 0, PadBottom = 0, PadRight = 3 }, 2, 10, 12 },
                { "7x7 stride 2", new(3, 4, 7, 7) { StrideHeight = 2, StrideWidth = 2, PadTop = 3, PadLeft = 3, PadBottom = 3, PadRight = 3 }, 1, 21, 22 },
                { "7x7 stride 2, shared by tiles", new(3, 4, 7, 7) { StrideHeight = 2, StrideWidth = 2, PadTop = 3, PadLeft = 3, PadBottom = 3, PadRight = 3 }, 1, 31, 42 },
                { "padding beyond the kernel", new(2, 3, 1, 1) { PadTop = 2, PadLeft = 1, PadBottom = 1, PadRight = 4 }, 2, 3, 4 },
                { "stride beyond the kernel", new(2, 3, 2, 2) { StrideHeight = 3, StrideWidth = 4 }, 2, 9, 11 },
                { "one pixel", Same3x3(2, 2), 1, 1, 1 },
                { "cropped", new(4, 6, 3, 3) { PadTop = -1, PadLeft = -2, PadBottom = -1, PadRight = -3 }, 2, 11, 16 },
                { "cropped, images side by side", new(4, 6, 3, 3) { PadTop = -1, PadLeft = -2, PadBottom = -1, PadRight = -3 }, 9, 12, 17 },
                { "cropped at the left, padded at the right", new(4, 6, 3, 3) { PadTop = 3, PadLeft = -1, PadBottom = -1, PadRight = 3 }, 1, 9, 13 },
                { "cropped stride 2, rows of half the length", new(4, 6, 3, 3) { PadTop = 5, PadLeft = -3, PadBottom = -4, PadRight = 5, StrideHeight = 2, StrideWidth = 2 }, 1, 16, 34 },
                { "more rows below than above, stride 2", new(4, 6, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 10, PadRight = 1, StrideHeight = 2, StrideWidth = 2 }, 1, 28, 28 },
                { "far more rows below than the image has, stride 2", new(4, 6, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 150, PadRight = 1, StrideHeight = 2, StrideWidth = 2 }, 1, 16, 32 },
                { "1x1 stride 2, a row below", new(24, 64, 1, 1) { PadBottom = 1, StrideHeight = 2, StrideWidth = 2 }, 1, 28, 28 },
                { "channels in blocks, images side by side", Same3x3(70, 6), 9, 9, 20 },
                { "3x3 stride 2, images side by side", Same3x3(20, 30) with { StrideHeight = 2, StrideWidth = 2 }, 9, 17, 18 },
                { "3x3 stride 2, phases of 8 and of 7 pixels, images side by side", Same3x3(6, 8) with { StrideHeight = 2, StrideWidth = 2 }, 9, 16, 15 },
                { "phases that no tap reaches, images side by side", new(4, 6, 2, 2) { StrideHeight = 3, StrideWidth = 3 }, 9, 26, 25 },
                { "3x3 dilated, images side by side", new(3, 4, 3, 3) { DilationHeight = 2, DilationWidth = 3, PadTop = 2, PadLeft = 3, PadBottom = 2, PadRight = 3 }, 8, 11, 13 },
                { "cropped at the left, padded at the right, images side by side", new(4, 6, 3, 3) { PadTop = 3, PadLeft = -1, PadBottom = -1, PadRight = 3 }, 9, 9, 13 },
                { "more columns of padding than the image has, images side by side", new(2, 3, 1, 25) { PadLeft = 12, PadRight = 12 }, 8, 3, 9 },
                { "rows of a register, units of images that are not full, channels in blocks", Same3x3(70, 6), 9, 8, 8 },
                { "rows of two registers", Same3x3(5, 7), 8, 16, 16 },
                { "5x5 dilated, rows of a register", new(3, 4, 5, 5) { DilationHeight = 2, DilationWidth = 2, PadTop = 4, PadLeft = 4, PadBottom = 4, PadRight = 4 }, 8, 5, 8 },
                { "cropped above and at the left, rows of a register", new(4, 6, 3, 3) { PadTop = -1, PadLeft = -1, PadBottom = 3, PadRight = 3 }, 9, 6, 8 },
                { "1x1, rows of a register", new(5, 6, 1, 1), 3, 3, 8 },
                { "more columns of padding than the image has, rows of a register", new(2, 3, 1, 25) { PadLeft = 12, PadRight = 12 }, 8, 3, 8 },
                { "cropped 1x1", new(24, 64, 1, 1) { PadTop = -1, PadLeft = -1, PadBottom = -1, PadRight = -1 }, 1, 28, 28 },
                { "cropped depthwise", Same3x3(6, 6) with { Groups = 6, PadRight = -2, PadBottom = -3 }, 2, 17, 25 },
                { "cropped by more than the kernel, groups", new(4, 6, 2, 2) { PadTop = -5, PadLeft = -4, PadBottom = 7, PadRight = -3, Groups = 2, StrideWidth = 3 }, 2, 8, 15 },
            };
            return data;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void Forward_and_gradients_follow_the_definition(string name, SparseConvolutionShape shape, int batch, int height, int width)
    {
        var random = new Random(name.Length * 31 + height);
        foreach (double density in Densities)
        {
            CsrMatrix weight = Csr(random, shape.OutChannels, shape.WeightsPerOutput, density);
            var convolution = new PreparedSparseConvolution(shape, weight);
            int outputs = batch * shape.OutChannels * shape.OutHeight(height) * shape.OutWidth(width), inputs = batch * shape.InChannels * height * width;
            float[] x = Uniform(random, inputs), dy = Uniform(random, outputs), bias = Uniform(random, shape.OutChannels), residual = Uniform(random, outputs);
            double[] y = new double[outputs], dx = new double[inputs], dw = new double[weight.StoredCount];
            float[] w = weight.Values.ToArray();
            convolution.VisitProducts(batch, height, width, (o, i, j) =>
            {
                y[o] += (double)w[j] * x[i];
                dx[i] += (double)w[j] * dy[o];
                dw[j] += (double)dy[o] * x[i];
            });
            string what = $"{name} density {density}";
            Near.Equal(Array.ConvertAll(y, v => (float)v), SameEverywhere(outputs, r => convolution.Forward(x, batch, height, width, r), what: what), 2e-5, 1e-5, what);
            Near.Equal(Array.ConvertAll(dx, v => (float)v), SameEverywhere(inputs, r => convolution.InputGradient(dy, batch, height, width, r), what: what), 2e-5, 1e-5, what);
            Near.Equal(Array.ConvertAll(dw, v => (float)v), SameEverywhere(weight.StoredCount, r => convolution.WeightGradient(x, dy, batch, height, width, r), what: what), 1e-4, 1e-5, what);

            int plane = shape.OutHeight(height) * shape.OutWidth(width);
            float[] clamped = new float[outputs];
            for (int i = 0; i < outputs; i++) clamped[i] = (float)Math.Max(0, y[i] + bias[i / plane % shape.OutChannels] + residual[i]);
            Near.Equal(clamped, SameEverywhere(outputs, r => convolution.Forward(x, batch, height, width, r, bias, residual, Clamp.Relu), what: what), 2e-5, 1e-5, what);
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public void Planes_that_lie_apart_give_the_bits_of_planes_without_gaps(string name, SparseConvolutionShape shape, int batch, int height, int width)
    {
        var random = new Random(name.Length);
        int pixels = height * width, outPixels = shape.OutHeight(height) * shape.OutWidth(width);
        float[] x = Uniform(random, batch * shape.InChannels * pixels), bias = Uniform(random, shape.OutChannels), residual = Uniform(random, batch * shape.OutChannels * outPixels);
        foreach (double density in (double[])[0.2, 1])
        {
            var convolution = new PreparedSparseConvolution(shape, Csr(random, shape.OutChannels, shape.WeightsPerOutput, density));
            foreach ((int input, int output) in ((int, int)[])[(PlaneSpacing.ToLines(pixels), PlaneSpacing.ToLines(outPixels)), (0, PlaneSpacing.ToLines(outPixels) + 16), (pixels + 3, outPixels + 5)])
            {
                foreach (bool adds in (bool[])[false, true])
                {
                    float[] expected = new float[residual.Length], apart = Apart(x, pixels, input), added = Apart(residual, outPixels, output);
                    convolution.Forward(x, batch, height, width, expected, bias, adds ? residual : default, Clamp.Relu);
                    SameEverywhere(expected.Length, r =>
                    {
                        var y = new float[added.Length];
                        convolution.Forward(apart, batch, height, width, y, bias, adds ? added : default, Clamp.Relu, new PlaneSpacing(input, output));
                        for (int p = 0; p < batch * shape.OutChannels; p++) y.AsSpan(p * (output == 0 ? outPixels : output), outPixels).CopyTo(r.AsSpan(p * outPixels));
                        Near.BitEqual(expected, r, $"{name} {density} {input} {output} {adds}");
                    }, what: name);
                }
            }
        }
        Assert.Throws<ArgumentException>(() => new PreparedSparseConvolution(shape, Csr(random, shape.OutChannels, shape.WeightsPerOutput, 1)).Forward(x, batch, height, width, residual, default, default, Clamp.None, new PlaneSpacing(pixels + 1, 0)));

        // Gaps hold what would spoil every sum.
        static float[] Apart(float[] values, int pixels, int distance)
        {
            if (distance == 0) return values;
            var apart = new float[values.Length / pixels * distance];
            Array.Fill(apart, float.NaN);
            for (int p = 0; p < values.Length / pixels; p++) values.AsSpan(p * pixels, pixels).CopyTo(apart.AsSpan(p * distance));
            return apart;
        }
    }

    /// <summary>Results of more than 16 MiB are written past the caches, in whole lines: planes of 91 x 93 pixels begin inside lines.</summary>
    [Fact]
    public void Batches_that_leave_the_caches_give_the_bits_of_their_images()
    {
        const int Batch = 8, Height = 91, Width = 93, Inputs = 2 * Height * Width, Outputs = 64 * Height * Width;
        var random = new Random(13);
        var convolution = new PreparedSparseConvolution(Same3x3(2, 64), Csr(random, 64, 18, 0.2));
        float[] x = Uniform(random, Batch * Inputs), bias = Uniform(random, 64), y = new float[Batch * Outputs], one = new float[Outputs];
        Assert.True(y.Length >= 4 << 20);
        convolution.Forward(x, Batch, Height, Width, y, bias, default, Clamp.Relu);
        for (int i = 0; i < Batch; i++)
        {
            convolution.Forward(x.AsSpan(i * Inputs, Inputs), 1, Height, Width, one, bias, default, Clamp.Relu);
            Near.BitEqual(one, y.AsSpan(i * Outputs, Outputs));
        }
    }

    [Fact]
    public void Updated_values_reach_every_direction_and_image_size()
    {
        var random = new Random(11);
        SparseConvolutionShape shape = Same3x3(3, 4);
        float[] dense = SparseDense(random, 4, 27, 0.4), other = SparseDense(random, 4, 27, 1);
        CsrMatrix csr = CsrMatrix.FromDense(dense, 4, 27);
        var convolution = new PreparedSparseConvolution(shape, csr);
        foreach (int size in new[] { 5, 9, 5 })
        {
            float[] x = Uniform(random, 3 * size * size), dy = Uniform(random, 4 * size * size);
            float[] y = new float[dy.Length], dx = new float[x.Length];
            convolution.InputGradient(dy, 1, size, size, dx);
            convolution.SetValuesFromDense(other);
            convolution.Forward(x, 1, size, size, y);
            convolution.InputGradient(dy, 1, size, size, dx);
            float[] masked = (float[])other.Clone();
            csr.ToMask().Apply(masked);
            var fresh = new PreparedSparseConvolution(shape, CsrMatrix.FromMask(csr.ToMask(), masked, 4, 27));
            float[] y2 = new float[y.Length], dx2 = new float[dx.Length];
            fresh.Forward(x, 1, size, size, y2);
            fresh.InputGradient(dy, 1, size, size, dx2);
            Near.BitEqual(y2, y);
            Near.BitEqual(dx2, dx);
            convolution.SetValues(csr.Values);
        }
    }

    [Fact]
    public void Code_that_is_written_on_reuse_gives_the_bits_of_the_loops_before_it()
    {
        var random = new Random(12);
        SparseConvolutionShape shape = Same3x3(6, 8) with { StrideHeight = 2, StrideWidth = 2 };
        float[] dense = SparseDense(random, 8, 54, 0.5), x = Uniform(random, 6 * 81), dy = Uniform(random, 8 * 25);
        CsrMatrix weight = CsrMatrix.FromDense(dense, 8, 54);
        PreparedSparseConvolution atOnce = new(shape, weight), onReuse = new(shape, weight, compileOnReuse: true);
        for (int step = 0; step < 3; step++)
        {
            float[] y = new float[dy.Length], y2 = new float[dy.Length], dx = new float[x.Length], dx2 = new float[x.Length];
            atOnce.Forward(x, 1, 9, 9, y);
            onReuse.Forward(x, 1, 9, 9, y2);
            atOnce.InputGradient(dy, 1, 9, 9, dx);
            onReuse.InputGradient(dy, 1, 9, 9, dx2);
            Near.BitEqual(y, y2);
            Near.BitEqual(dx, dx2);
            float[] values = Uniform(random, weight.StoredCount);
            atOnce.SetValues(values);
            onReuse.SetValues(values);
        }
    }

    [Fact]
    public void Infinite_pixels_reach_stored_taps_only()
    {
        // A single tap in the middle: a copy of channel 1, whatever channel 0 and the borders hold.
        var w = new CsrMatrix(1, 18, [0, 1], [9 + 4], [1f]);
        var convolution = new PreparedSparseConvolution(Same3x3(2, 1), w);
        var x = new float[2 * 36];
        Array.Fill(x, float.NaN, 0, 36);
        for (int i = 0; i < 36; i++) x[36 + i] = i;
        x[36 + 7] = float.PositiveInfinity;
        Near.BitEqual(x.AsSpan(36), SameEverywhere(36, y => convolution.Forward(x, 1, 6, 6, y)));
    }

    [Theory]
    [InlineData(1, 3)]
    [InlineData(2, 3)]
    [InlineData(2, 1)]
    public void What_lies_around_an_image_does_not_matter(int stride, int kernel)
    {
        var random = new Random(stride + kernel);
        SparseConvolutionShape shape = new(3, 5, kernel, kernel) { StrideHeight = stride, StrideWidth = stride, PadTop = kernel / 2, PadLeft = kernel / 2, PadBottom = kernel / 2, PadRight = kernel / 2 };
        var convolution = new PreparedSparseConvolution(shape, Csr(random, 5, shape.WeightsPerOutput, 0.7));
        const int Size = 12, Around = 100, Inputs = 3 * Size * Size;
        float[] x = Uniform(random, Inputs), surrounded = new float[Inputs + 2 * Around];
        // Infinities at the edges meet each other's pixels only, and no zero beyond the edge.
        x[0] = x[^1] = float.PositiveInfinity;
        Array.Fill(surrounded, float.NaN);
        x.CopyTo(surrounded, Around);
        int outputs = 5 * shape.OutHeight(Size) * shape.OutWidth(Size);
        var expected = new float[outputs];
        convolution.Forward(x, 1, Size, Size, expected);
        Assert.DoesNotContain(expected.Where((_, i) => i % (outputs / 5) == outputs / 10), v => float.IsNaN(v) || float.IsInfinity(v));
        Near.BitEqual(expected, SameEverywhere(outputs, y => convolution.Forward(surrounded.AsSpan(Around, Inputs), 1, Size, Size, y)));
    }

    [Fact]
    public void Sizes_that_do_not_fit_are_named()
    {
        Assert.Throws<ArgumentException>(() => new PreparedSparseConvolution(Same3x3(2, 2), Csr(new Random(0), 2, 17, 1)));
        Assert.Throws<ArgumentException>(() => (Same3x3(4, 6) with { Groups = 4 }).Validate());
        var convolution = new PreparedSparseConvolution(Same3x3(2, 2), Csr(new Random(0), 2, 18, 1));
        var error = Assert.Throws<ArgumentException>(() => convolution.Forward(new float[10], 1, 3, 3, new float[18]));
        Assert.Contains("[1, 2, 3, 3]", error.Message);
        // A kernel that does not fit gives an empty output.
        var large = new PreparedSparseConvolution(new SparseConvolutionShape(1, 1, 5, 5), Csr(new Random(0), 1, 25, 1));
        large.Forward(new float[9], 1, 3, 3, []);
        var dx = new float[9];
        Array.Fill(dx, 5f);
        large.InputGradient([], 1, 3, 3, dx);
        Assert.All(dx, v => Assert.Equal(0f, v));
    }

    [Fact]
    public void Numbers_that_32_bits_do_not_count_are_refused_and_the_largest_strides_are_right()
    {
        const int Most = Convolution2D.LargestSide;
        // Planes of 2^33 pixels for one of an image, of which a single row would be filled: rows times their length came to 4096 in 32 bits.
        var wide = new SparseConvolutionShape(64, 64, 2, 2) { Groups = 2, DilationHeight = 92681, DilationWidth = 92681, PadTop = 46341, PadLeft = 46341, PadBottom = 46340, PadRight = 46340 };
        var convolution = new PreparedSparseConvolution(wide, new CsrMatrix(64, 128, [0, .. Enumerable.Repeat(1, 64)], [0], [1f]));
        Assert.Contains("at most", Assert.Throws<ArgumentException>(() => convolution.Forward(new float[64], 1, 1, 1, new float[64])).Message);
        Assert.Throws<ArgumentException>(() => convolution.InputGradient(new float[64], 1, 1, 1, new float[64]));
        Assert.Throws<ArgumentException>(() => convolution.WeightGradient(new float[64], new float[64], 1, 1, 1, new float[1]));
        foreach (SparseConvolutionShape far in (SparseConvolutionShape[])[new(1, 1, 3, 3) { DilationWidth = int.MaxValue }, new(1, 1, 1, 1) { PadTop = int.MaxValue, PadBottom = int.MinValue }, new(1, 1, 1, 1) { StrideHeight = Most + 1 }])
            Assert.Throws<ArgumentException>(far.Validate);
        Assert.False(PreparedSparseConvolution.Fits(Same3x3(1 << 16, 1), 256, 256));
        Assert.True(PreparedSparseConvolution.Fits(Same3x3(1 << 12, 1), 256, 256));

        var random = new Random(3);
        SparseConvolutionShape stride = Same3x3(2, 3) with { StrideHeight = Most, StrideWidth = Most };
        CsrMatrix weight = Csr(random, 3, 18, 1);
        var strided = new PreparedSparseConvolution(stride, weight);
        float[] x = Uniform(random, 2 * 30), dy = Uniform(random, 3), values = weight.Values.ToArray(), y = new float[3], dx = new float[x.Length];
        strided.VisitProducts(1, 5, 6, (o, i, j) =>
        {
            y[o] += values[j] * x[i];
            dx[i] += values[j] * dy[o];
        });
        Near.Equal(y, SameEverywhere(3, r => strided.Forward(x, 1, 5, 6, r)), 1e-5, 1e-5, "strides");
        Near.Equal(dx, SameEverywhere(dx.Length, r => strided.InputGradient(dy, 1, 5, 6, r)), 1e-5, 1e-5, "strides back");
        Convolution2D dense = new Convolution2D(1, 2, 5, 6, 3, 3, 3).WithPadding(1).WithStride(Most);
        var result = new float[dx.Length];
        var full = new float[54];
        weight.ToDense(full);
        dense.BackwardInput(dy, full, result);
        Near.Equal(dx, result, 1e-5, 1e-5, "dense strides back");
    }

    private static SparseConvolutionShape Same3x3(int inChannels, int outChannels) =>
        new(inChannels, outChannels, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 };
}

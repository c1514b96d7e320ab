using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class Convolution2DTests
{
    public static IEnumerable<object[]> Geometries()
    {
        Convolution2D[] fixedOnes =
        [
            new(1, 1, 1, 1, 1, 1, 1),
            new Convolution2D(9, 3, 16, 16, 16, 3, 3).WithPadding(1),
            new Convolution2D(2, 16, 16, 32, 20, 3, 3).WithPadding(1),
            new Convolution2D(3, 6, 8, 8, 40, 3, 3).WithPadding(1),
            new Convolution2D(10, 8, 7, 7, 50, 3, 3).WithPadding(1),
            new Convolution2D(2, 12, 9, 11, 24, 3, 3).WithPadding(1).WithStride(2),
            new Convolution2D(2, 40, 6, 6, 60, 3, 3).WithPadding(1).WithStride(2),
            new Convolution2D(1, 3, 31, 29, 10, 7, 7).WithPadding(3).WithStride(2),
            new Convolution2D(2, 5, 28, 28, 6, 5, 5),
            new Convolution2D(2, 20, 7, 7, 36, 1, 1),
            new Convolution2D(1, 20, 16, 16, 36, 1, 1),
            new Convolution2D(2, 10, 8, 8, 14, 1, 1).WithStride(2),
            new Convolution2D(2, 10, 9, 9, 14, 1, 1).WithStride(3),
            new Convolution2D(2, 8, 10, 13, 8, 3, 3) { Groups = 8, DilationY = 2, DilationX = 3, PadTop = 2, PadLeft = 1, PadBottom = 3 },
            new Convolution2D(2, 6, 17, 19, 6, 3, 3) { Groups = 6 }.WithPadding(1).WithStride(2),
            new Convolution2D(2, 6, 20, 20, 12, 3, 3) { Groups = 6 }.WithPadding(1),
            new Convolution2D(1, 6, 20, 35, 6, 3, 3) { Groups = 6 },
            new Convolution2D(2, 8, 12, 12, 12, 3, 3) { Groups = 4 }.WithPadding(1),
            // Single images that are cut into bands of rows.
            new Convolution2D(1, 16, 32, 32, 16, 3, 3).WithPadding(1),
            new Convolution2D(1, 16, 32, 32, 32, 3, 3).WithPadding(1).WithStride(2),
            new Convolution2D(1, 64, 8, 8, 64, 3, 3).WithPadding(1),
            // Planes of whole registers, of less than one, of fewer than four rows, and larger than their padding alone.
            new Convolution2D(1, 5, 32, 48, 5, 3, 3) { Groups = 5 }.WithPadding(1),
            new Convolution2D(2, 40, 14, 14, 40, 3, 3) { Groups = 40 }.WithPadding(1),
            new Convolution2D(1, 70, 7, 7, 70, 3, 3) { Groups = 70 }.WithPadding(1),
            new Convolution2D(3, 4, 3, 41, 4, 3, 3) { Groups = 4, PadTop = 1, PadLeft = 2, PadRight = 1 },
            new Convolution2D(1, 9, 28, 28, 9, 3, 3) { Groups = 9, PadBottom = 1, PadRight = 1 }.WithStride(2),
            new Convolution2D(2, 3, 65, 70, 3, 3, 3) { Groups = 3 }.WithPadding(1).WithStride(2),
            new Convolution2D(3, 7, 1, 1, 7, 3, 3) { Groups = 7 }.WithPadding(1),
            new Convolution2D(3, 7, 2, 3, 7, 3, 3) { Groups = 7 }.WithPadding(2).WithStride(2),
            // Far more padding than the kernel is wide.
            new Convolution2D(1, 4, 3, 8, 4, 3, 3) { Groups = 4, PadLeft = 1, PadRight = 20 },
            new Convolution2D(2, 4, 3, 8, 4, 3, 3) { Groups = 4, PadLeft = 1, PadRight = 100 },
            new Convolution2D(2, 4, 3, 8, 4, 3, 3) { Groups = 4, PadTop = 1, PadLeft = 1, PadRight = 100, StrideY = 2, StrideX = 2 },
            new Convolution2D(2, 4, 3, 8, 4, 3, 3) { Groups = 4, PadTop = 2, PadBottom = 60, PadLeft = 2, PadRight = 2 },
            new Convolution2D(1, 36, 14, 14, 70, 3, 3).WithPadding(1),
            new Convolution2D(1, 2, 5, 5, 3, 3, 3) { PadTop = -1, PadLeft = -1, PadRight = 2 },
            new Convolution2D(1, 4, 1, 40, 6, 1, 5) { PadLeft = 4, DilationX = 2 },
            new Convolution2D(3, 2, 2, 2, 2, 3, 3),
            // Small images whose rows are cut: columns behind the last register, several blocks of k, images that share a panel.
            new Convolution2D(1, 72, 7, 7, 90, 3, 3).WithPadding(1),
            new Convolution2D(2, 70, 7, 7, 100, 3, 3).WithPadding(1),
            new Convolution2D(1, 210, 7, 7, 75, 1, 1),
            new Convolution2D(1, 200, 14, 14, 41, 1, 1).WithStride(2),
            new Convolution2D(1, 40, 14, 14, 98, 1, 1),
            new Convolution2D(1, 40, 28, 28, 29, 1, 1),
            // Panels of rows of two heights behind a cut of rows; two, three and four columns behind the last register.
            new Convolution2D(3, 20, 16, 16, 500, 1, 1),
            new Convolution2D(1, 210, 7, 7, 1000, 1, 1),
            new Convolution2D(1, 200, 5, 10, 40, 3, 3).WithPadding(1),
            new Convolution2D(1, 200, 5, 7, 32, 3, 3).WithPadding(1),
            new Convolution2D(1, 200, 4, 5, 26, 3, 3).WithPadding(1),
            new Convolution2D(3, 70, 6, 6, 16, 3, 3).WithPadding(1),
            // Rows of whole registers and several blocks of k; an odd number of registers.
            new Convolution2D(1, 30, 16, 16, 37, 3, 3).WithPadding(1),
            new Convolution2D(2, 30, 5, 16, 37, 3, 3).WithPadding(1),
            new Convolution2D(1, 6, 56, 56, 35, 3, 3).WithPadding(1),
            // Weight gradients in ranges of the batch and in tiles, with kernels whose rows are not threes; gradients of strided inputs that are put together image by image.
            new Convolution2D(20, 5, 20, 17, 33, 5, 5) { DilationX = 2 }.WithPadding(2),
            new Convolution2D(40, 4, 16, 16, 17, 2, 2).WithStride(2),
            new Convolution2D(19, 7, 13, 12, 9, 1, 1),
            new Convolution2D(3, 260, 5, 5, 300, 3, 3).WithPadding(1),
            new Convolution2D(33, 6, 32, 33, 16, 3, 3).WithPadding(1).WithStride(2),
            new Convolution2D(9, 40, 16, 16, 48, 3, 3) { PadTop = 1, PadLeft = 1, StrideY = 1, StrideX = 2 },
            new Convolution2D(9, 4, 11, 17, 8, 1, 1) { StrideY = 3, StrideX = 4 },
            // Images of fewer pixels than a register whose panels threads share block by block; strides as long as an image; one long row.
            new Convolution2D(8, 64, 2, 2, 200, 3, 3).WithPadding(1),
            new Convolution2D(16, 64, 1, 1, 200, 3, 3).WithPadding(1),
            new Convolution2D(1, 70, 16, 3, 200, 3, 3).WithPadding(1),
            new Convolution2D(8, 2, 24, 24, 8, 3, 3).WithPadding(1).WithStride(20),
            new Convolution2D(2, 4, 1, 1500, 12, 1, 5),
        ];
        foreach (Convolution2D g in fixedOnes) yield return [g];
        var random = new Random(17);
        for (int i = 0; i < 40; i++)
        {
            int groups = random.Next(1, 4), kh = random.Next(1, 5), kw = random.Next(1, 5);
            yield return
            [
                new Convolution2D(random.Next(1, 12), groups * random.Next(1, 8), random.Next(1, 20), random.Next(1, 36), groups * random.Next(1, 20), kh, kw)
                {
                    Groups = groups, StrideY = random.Next(1, 4), StrideX = random.Next(1, 4), DilationY = random.Next(1, 3), DilationX = random.Next(1, 3),
                    PadTop = random.Next(0, 4), PadBottom = random.Next(0, 4), PadLeft = random.Next(0, 4), PadRight = random.Next(0, 4),
                },
            ];
        }
    }

    [Theory]
    [InlineData(1, 14, 14)]
    [InlineData(1, 7, 7)]
    [InlineData(1, 2, 3)]
    [InlineData(1, 3, 40)]
    [InlineData(2, 14, 14)]
    [InlineData(2, 30, 41)]
    [InlineData(1, 40, 700)]
    [InlineData(2, 70, 600)]
    public void DepthwiseKernelsWriteTheirOutputAndNothingElse(int stride, int height, int width)
    {
        Convolution2D g = new Convolution2D(2, 5, height, width, 5, 3, 3) { Groups = 5 }.WithPadding(1).WithStride(stride);
        const int Around = 64;
        float[] x = Random((int)g.InputLength + (2 * Around), 1), w = Random(45, 2), bias = Random(5, 3);
        // What lies around the input reaches no output.
        x.AsSpan(0, Around).Fill(float.NaN);
        x.AsSpan(x.Length - Around).Fill(float.NaN);
        var mask = new bool[45];
        for (int i = 0; i < 45; i++) mask[i] = i % 3 != 1 && i / 9 != 3;
        var sparse = new PreparedSparseConvolution(new SparseConvolutionShape(5, 5, 3, 3) { Groups = 5, PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1, StrideHeight = stride, StrideWidth = stride },
            CsrMatrix.FromMask(Mask.FromFlags([5, 9], mask), w, 5, 9));
        for (int i = 0; i < 2; i++)
        {
            float[] masked = [.. w];
            for (int j = 0; i == 1 && j < 45; j++) masked[j] = mask[j] ? w[j] : 0f;
            var expected = new float[g.OutputLength];
            g.ForwardReference(x.AsSpan(Around, (int)g.InputLength), masked, bias, expected);
            float[] y = SameEverywhere(() =>
            {
                var all = new float[expected.Length + (2 * Around)];
                Array.Fill(all, 7f);
                ReadOnlySpan<float> input = x.AsSpan(Around, (int)g.InputLength);
                Span<float> output = all.AsSpan(Around, expected.Length);
                if (i == 0) g.Forward(input, w, bias, output, Clamp.Relu6);
                else sparse.Forward(input, 2, height, width, output, bias, default, Clamp.Relu6);
                return all;
            }, $"{g} {i}");
            Assert.All(y[..Around], v => Assert.Equal(7f, v));
            Assert.All(y[^Around..], v => Assert.Equal(7f, v));
            Near.Equal(Array.ConvertAll(expected, v => Math.Clamp(v, 0f, 6f)), y.AsSpan(Around, y.Length - (2 * Around)), 2e-5, 1e-5, g.ToString());
        }
    }

    [SkippableTheory]
    [InlineData(1, 14)]
    [InlineData(2, 15)]
    [InlineData(1, 28)]
    public void DepthwisePlanesMayLieApart(int stride, int size)
    {
        Convolution2D g = new Convolution2D(1, 40, size, size, 40, 3, 3) { Groups = 40 }.WithPadding(1).WithStride(stride);
        Skip.IfNot(g.HasDepthwiseKernel, "the depthwise kernel needs registers of 256 bits");
        PackedConvolution packed = g.Pack(Random(360, 2));
        int pixels = size * size, outPixels = g.OutHeight * g.OutWidth;
        var spacing = new PlaneSpacing(PlaneSpacing.ToLines(pixels), PlaneSpacing.ToLines(outPixels));
        float[] x = Random((int)g.InputLength, 1), bias = Random(40, 3), expected = new float[g.OutputLength], apart = new float[40 * spacing.Input], y = new float[40 * spacing.Output];
        Array.Fill(apart, float.NaN);
        for (int p = 0; p < 40; p++) x.AsSpan(p * pixels, pixels).CopyTo(apart.AsSpan(p * spacing.Input));
        g.Forward(x, packed, bias, expected, Clamp.Relu);
        g.Forward(apart, packed, bias, y, Clamp.Relu, default, spacing);
        for (int p = 0; p < 40; p++) Near.BitEqual(expected.AsSpan(p * outPixels, outPixels), y.AsSpan(p * spacing.Output, outPixels));
        Assert.Throws<ArgumentException>(() => g.Forward(apart, packed, bias, y, null, y, spacing));
        var ordinary = new Convolution2D(1, 2, size, size, 3, 3, 3);
        Assert.Throws<ArgumentException>(() => ordinary.Forward(apart, ordinary.Pack(new float[54]), default, y, null, default, spacing));
    }

    [Theory]
    [MemberData(nameof(Geometries))]
    public void ForwardAgreesWithTheReference(Convolution2D g)
    {
        float[] x = Random((int)g.InputLength, 1), w = Random((int)g.WeightLength, 2), bias = Random(g.OutChannels, 3);
        var expected = new float[g.OutputLength];
        g.ForwardReference(x, w, bias, expected);
        float[] actual = SameEverywhere(() =>
        {
            var y = new float[g.OutputLength];
            g.Forward(x, w, bias, y);
            return y;
        }, g.ToString());
        Near.Equal(expected, actual, 2e-5, 1e-5, g.ToString());

        float[] residual = Random(expected.Length, 4);
        for (int i = 0; i < expected.Length; i++) expected[i] = Math.Clamp(expected[i] + residual[i], -0.5f, 1f);
        float[] fused = SameEverywhere(() =>
        {
            var y = new float[g.OutputLength];
            g.Forward(x, g.Pack(w), bias, y, new Clamp(-0.5f, 1f), residual);
            return y;
        }, g.ToString());
        Near.Equal(expected, fused, 2e-5, 1e-5, $"fused {g}");
    }

    [Theory]
    [MemberData(nameof(Geometries))]
    public void GradientsAgreeWithTheReference(Convolution2D g)
    {
        float[] x = Random((int)g.InputLength, 1), w = Random((int)g.WeightLength, 2), dy = Random((int)g.OutputLength, 3);

        var expectedInput = new float[x.Length];
        g.BackwardInputReference(dy, w, expectedInput);
        float[] dx = SameEverywhere(() =>
        {
            var result = Random(x.Length, 9);
            g.BackwardInput(dy, w, result);
            return result;
        }, $"input gradient {g}");
        Near.Equal(expectedInput, dx, 2e-5, 1e-5, $"input gradient {g}");

        var expectedWeight = new float[w.Length];
        g.BackwardWeightReference(x, dy, expectedWeight);
        float[] dw = SameEverywhere(() =>
        {
            var result = Random(w.Length, 9);
            g.BackwardWeight(x, dy, result);
            return result;
        }, $"weight gradient {g}");
        Near.Equal(expectedWeight, dw, 1e-4, 1e-5, $"weight gradient {g}");

        float[] db = SameEverywhere(() =>
        {
            var result = new float[g.OutChannels];
            g.BackwardBias(dy, result);
            return result;
        }, $"bias gradient {g}");
        var expectedBias = new float[g.OutChannels];
        int points = g.OutHeight * g.OutWidth;
        for (int i = 0; i < dy.Length; i++) expectedBias[i / points % g.OutChannels] += dy[i];
        Near.Equal(expectedBias, db, 1e-3, 1e-5, $"bias gradient {g}");
    }

    [Fact]
    public void TransposedConvolutionAddsBiasAndClamps()
    {
        var g = new Convolution2D(2, 3, 8, 8, 4, 2, 2).WithStride(3);
        float[] dy = Random((int)g.OutputLength, 1), w = Random((int)g.WeightLength, 2), bias = [0.5f, -1f, 2f];
        var expected = new float[g.InputLength];
        g.BackwardInputReference(dy, w, expected);
        for (int i = 0; i < expected.Length; i++) expected[i] = Math.Max(0f, expected[i] + bias[i / 64 % 3]);
        var actual = new float[g.InputLength];
        g.BackwardInput(dy, w, actual, bias, Clamp.Relu);
        Near.Equal(expected, actual, 1e-5, 1e-5, "transposed");
    }

    [Theory, InlineData(8, 0), InlineData(0, 8)]
    public void AnImageWithoutPixelsGivesTheBias(int height, int width)
    {
        Convolution2D g = new Convolution2D(1, 4, height, width, 4, 3, 3) { Groups = 4 }.WithPadding(2);
        float[] y = new float[g.OutputLength], bias = [1f, -2f, 3f, 4f];
        g.Forward([], Random((int)g.WeightLength, 2), bias, y, Clamp.Relu);
        Assert.NotEmpty(y);
        int points = g.OutHeight * g.OutWidth;
        for (int i = 0; i < y.Length; i++) Assert.Equal(Math.Max(0f, bias[i / points]), y[i]);
    }

    [Fact]
    public void NaNStaysInItsReceptiveField()
    {
        Convolution2D g = new Convolution2D(1, 2, 16, 16, 8, 3, 3).WithPadding(1);
        float[] x = Random((int)g.InputLength, 1), w = Random((int)g.WeightLength, 2), y = new float[g.OutputLength];
        x[(5 * 16) + 7] = float.NaN;
        g.Forward(x, w, default, y, Clamp.Relu);
        for (int i = 0; i < y.Length; i++)
        {
            int row = i / 16 % 16, column = i % 16;
            Assert.Equal(row is >= 4 and <= 6 && column is >= 6 and <= 8, float.IsNaN(y[i]));
        }
    }

    [Fact]
    public void RefusesImpossibleGeometry()
    {
        var g = new Convolution2D(1, 4, 8, 8, 6, 3, 3) { Groups = 3 };
        Assert.Throws<ArgumentException>(g.Validate);
        var ok = new Convolution2D(1, 4, 8, 8, 6, 3, 3);
        Assert.Throws<ArgumentException>(() => ok.Forward(new float[10], new float[ok.WeightLength], default, new float[ok.OutputLength]));
        Assert.Throws<ArgumentException>(() => ok.Forward(new float[ok.InputLength], ok.WithPadding(1).Pack(new float[ok.WeightLength]), default, new float[ok.OutputLength]));
    }
}

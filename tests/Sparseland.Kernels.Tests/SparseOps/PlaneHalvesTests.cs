using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class PlaneHalvesTests
{
    public static TheoryData<string, SparseConvolutionShape, int, int> Cases => new()
    {
        { "1x1", new(24, 60, 1, 1), 14, 14 },
        { "1x1 cut inside a row", new(24, 60, 1, 1), 28, 28 },
        { "1x1 of whole registers", new(48, 33, 1, 1), 16, 32 },
        { "1x1 of few pixels", new(24, 40, 1, 1), 7, 7 },
        { "3x3", Same3x3(12, 33), 14, 14 },
        { "3x3 stride 2", Same3x3(8, 40) with { StrideHeight = 2, StrideWidth = 2 }, 56, 56 },
        { "3x3 stride 2, odd rows", Same3x3(8, 40) with { StrideHeight = 2, StrideWidth = 2 }, 29, 31 },
        { "1x1 stride 2", new(24, 40, 1, 1) { StrideHeight = 2, StrideWidth = 2 }, 28, 28 },
        { "sums that wait between blocks of lines", new(900, 30, 1, 1), 14, 14 },
        { "depthwise", Depthwise(20, 1), 14, 14 },
        { "depthwise cut inside a row", Depthwise(20, 1), 28, 28 },
        { "depthwise stride 2", Depthwise(20, 2), 28, 28 },
        { "depthwise stride 2, odd sizes", Depthwise(20, 2), 57, 55 },
        { "depthwise of few pixels", Depthwise(20, 2), 14, 14 },
        { "depthwise of nine pixels", Depthwise(20, 1), 3, 3 },
        { "depthwise of wide rows", Depthwise(3, 1), 5, 200 },
    };

    [Theory, MemberData(nameof(Cases))]
    public void Halves_give_the_bits_of_whole_images(string name, SparseConvolutionShape shape, int height, int width)
    {
        var random = new Random(name.Length);
        int apart = width % 3 * 64;
        PlaneHalves from = Halves(shape.InChannels, height, width, apart), to = Halves(shape.OutChannels, shape.OutHeight(height), shape.OutWidth(width), apart);
        float[] x = Uniform(random, shape.InChannels * height * width), bias = Uniform(random, shape.OutChannels);
        foreach (double density in (double[])[0.1, 1])
        {
            var convolution = new PreparedSparseConvolution(shape, Csr(random, shape.OutChannels, shape.WeightsPerOutput, density));
            var expected = new float[shape.OutChannels * to.Pixels];
            convolution.Forward(x, 1, height, width, expected, bias, default, Clamp.Relu);
            foreach ((bool input, bool output) in ((bool, bool)[])[(true, true), (true, false), (false, true)])
            {
                SameEverywhere(expected.Length, r =>
                {
                    float[] given = input ? Part(x, from) : x, y = output ? new float[to.Length] : r;
                    convolution.Forward(given, 1, height, width, y, bias, default, Clamp.Relu, new PlaneSpacing(0, 0) { InputApart = input ? apart + from.Piece : 0, OutputApart = output ? apart + to.Piece : 0 });
                    if (output) Join(y, to, r);
                    Near.BitEqual(expected, r, $"{name} {density} {input} {output}");
                    // What lies beyond the cut may have been fetched; the image itself is as it was.
                    if (input)
                    {
                        var after = new float[x.Length];
                        Join(given, from, after);
                        Near.BitEqual(x, after, name);
                    }
                }, what: name);
            }
        }
    }

    [SkippableTheory]
    [InlineData(14, 1)]
    [InlineData(28, 1)]
    [InlineData(28, 2)]
    [InlineData(15, 2)]
    public void Dense_depthwise_convolutions_take_halves(int size, int stride)
    {
        Convolution2D g = new Convolution2D(1, 40, size, size, 40, 3, 3) { Groups = 40 }.WithPadding(1).WithStride(stride);
        Skip.IfNot(g.HasDepthwiseKernel, "the depthwise kernel needs registers of 256 bits");
        var random = new Random(size + stride);
        PackedConvolution packed = g.Pack(Uniform(random, 360));
        const int apart = 16;
        PlaneHalves from = Halves(40, size, size, apart), to = Halves(40, g.OutHeight, g.OutWidth, apart);
        float[] x = Uniform(random, (int)g.InputLength), bias = Uniform(random, 40), expected = new float[g.OutputLength];
        g.Forward(x, packed, bias, expected, Clamp.Relu);
        int threads = WorkPool.Threads;
        try
        {
            for (int t = 1; t <= 3; t++)
            {
                WorkPool.Threads = t;
                foreach ((bool input, bool output) in ((bool, bool)[])[(true, true), (true, false), (false, true)])
                {
                    float[] y = new float[output ? to.Length : expected.Length], r = new float[expected.Length];
                    g.Forward(input ? Part(x, from) : x, packed, bias, y, Clamp.Relu, default, new PlaneSpacing(0, 0) { InputApart = input ? apart + from.Piece : 0, OutputApart = output ? apart + to.Piece : 0 });
                    if (output) Join(y, to, r);
                    else r = y;
                    Near.BitEqual(expected, r, $"{t} {input} {output}");
                }
            }
        }
        finally
        {
            WorkPool.Threads = threads;
        }
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(3, 7, 7)]
    [InlineData(5, 14, 14)]
    [InlineData(2, 28, 28)]
    [InlineData(2, 3, 500)]
    [InlineData(2, 112, 112)]
    public void No_two_pixels_share_a_line_of_the_other_half(int channels, int height, int width)
    {
        PlaneHalves halves = PlaneHalves.Of(channels, height, width);
        var owner = new int[(halves.Length + 15) / 16];
        var seen = new HashSet<int>();
        for (int c = 0; c < channels; c++)
        {
            for (int p = 0; p < halves.Pixels; p++)
            {
                int at = Place(halves, c, p), half = p < halves.Cut ? 1 : 2;
                Assert.InRange(at, 0, halves.Length - 1);
                Assert.True(seen.Add(at));
                Assert.True(owner[at / 16] == 0 || owner[at / 16] == half);
                owner[at / 16] = half;
            }
        }
    }

    [Fact]
    public void Wrong_halves_are_refused()
    {
        SparseConvolutionShape shape = new(4, 4, 1, 1);
        var convolution = new PreparedSparseConvolution(shape, Csr(new Random(1), 4, 4, 1));
        PlaneHalves halves = PlaneHalves.Of(4, 14, 14);
        float[] x = new float[halves.Length], y = new float[halves.Length];
        var both = new PlaneSpacing(0, 0) { InputApart = halves.Piece, OutputApart = halves.Piece };
        convolution.Forward(x, 1, 14, 14, y, default, default, Clamp.None, both);
        Assert.Throws<ArgumentException>(() => convolution.Forward(x.AsSpan(1), 1, 14, 14, y, default, default, Clamp.None, both));
        Assert.Throws<ArgumentException>(() => convolution.Forward(x, 1, 14, 14, y.AsSpan(1), default, default, Clamp.None, both));
        Assert.Throws<ArgumentException>(() => convolution.Forward(x, 1, 14, 14, y, default, new float[y.Length], Clamp.None, both));
        Assert.Throws<ArgumentException>(() => convolution.Forward(x, 1, 14, 14, y, default, default, Clamp.None, both with { InputApart = halves.Piece - 16 }));
        Assert.Throws<ArgumentException>(() => PlaneHalves.Of(4, 14, 14, halves.Piece + 1));
        Assert.Throws<ArgumentException>(() => convolution.Forward(x, 2, 14, 14, y, default, default, Clamp.None, both));
    }

    [Fact]
    public void Compiled_pointwise_and_cut_depthwise_convolutions_take_halves()
    {
        var random = new Random(1);
        bool codes = CompiledKernels.AreWritten;
        Assert.Equal(codes, new PreparedSparseConvolution(new(64, 64, 1, 1), Csr(random, 64, 64, 0.1)).TakesHalves(14, 14, isInput: true));
        Assert.False(new PreparedSparseConvolution(new(64, 64, 1, 1), Csr(random, 64, 64, 0.1)).TakesHalves(7, 7, isInput: true));
        Assert.False(new PreparedSparseConvolution(Same3x3(64, 64), Csr(random, 64, 576, 0.1)).TakesHalves(14, 14, isInput: true));
        var strided = new PreparedSparseConvolution(Same3x3(64, 64) with { StrideHeight = 2, StrideWidth = 2 }, Csr(random, 64, 576, 0.1));
        Assert.False(strided.TakesHalves(28, 28, isInput: true));
        Assert.Equal(codes, strided.TakesHalves(28, 28, isInput: false));
        Assert.Equal(SimdSupport.Level >= SimdLevel.Vector256, new PreparedSparseConvolution(Depthwise(512, 1), Csr(random, 512, 9, 1)).TakesHalves(14, 14, isInput: true));
        Assert.False(new PreparedSparseConvolution(Depthwise(512, 2), Csr(random, 512, 9, 1)).TakesHalves(14, 14, isInput: true));
    }

    private static SparseConvolutionShape Same3x3(int inputs, int outputs) => new(inputs, outputs, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 };

    private static SparseConvolutionShape Depthwise(int channels, int stride) => Same3x3(channels, channels) with { Groups = channels, StrideHeight = stride, StrideWidth = stride };

    private static PlaneHalves Halves(int channels, int height, int width, int between) => PlaneHalves.Of(channels, height, width, PlaneHalves.Of(channels, height, width).Piece + between);

    private static int Place(PlaneHalves halves, int channel, int pixel) => (channel * halves.Distance) + pixel + (pixel < halves.Cut ? 0 : halves.Second);

    // What belongs to no pixel holds what would spoil every sum.
    private static float[] Part(float[] image, PlaneHalves halves)
    {
        var parted = new float[halves.Length];
        Array.Fill(parted, float.NaN);
        for (int i = 0; i < image.Length; i++) parted[Place(halves, i / halves.Pixels, i % halves.Pixels)] = image[i];
        return parted;
    }

    private static void Join(float[] parted, PlaneHalves halves, float[] image)
    {
        for (int i = 0; i < image.Length; i++) image[i] = parted[Place(halves, i / halves.Pixels, i % halves.Pixels)];
    }
}

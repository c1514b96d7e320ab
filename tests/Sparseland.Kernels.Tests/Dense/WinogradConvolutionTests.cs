using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed unsafe class WinogradConvolutionTests
{
    public static TheoryData<int, int, int, int, int> Shapes() => new()
    {
        // Images together in a block, the last one with fewer; images in bands; other numbers of channels than whole panels and squares; sides that differ.
        { 4, 16, 8, 8, 16 },
        { 23, 32, 6, 4, 48 },
        { 1, 16, 36, 64, 16 },
        { 4, 80, 10, 14, 16 },
        { 2, 16, 16, 16, 144 },
        { 9, 48, 8, 8, 80 },
        { 2, 144, 16, 18, 32 },
        // Several images of several bands, the last band with fewer rows; several blocks in some of 16 ranges; 16 squares, so that one range has all blocks.
        { 3, 64, 20, 32, 64 },
        { 10, 32, 32, 28, 32 },
        { 4, 208, 8, 16, 224 },
    };

    private static Convolution2D Geometry(int batch, int channels, int height, int width, int outChannels) => new Convolution2D(batch, channels, height, width, outChannels, 3, 3).WithPadding(1);

    [Theory, MemberData(nameof(Shapes))]
    public void ForwardAgreesWithTheReference(int batch, int channels, int height, int width, int outChannels)
    {
        Convolution2D g = Geometry(batch, channels, height, width, outChannels);
        Assert.True(WinogradConvolution.Suits(g));
        float[] x = Random((int)g.InputLength, 1), w = Random((int)g.WeightLength, 2), bias = Random(outChannels, 3), expected = new float[g.OutputLength];
        g.ForwardReference(x, w, bias, expected);
        float[] actual = SameEverywhere(() =>
        {
            float[] y = Random(expected.Length, 4);
            FillWorkingMemory();
            fixed (float* px = x, pw = w, pb = bias, py = y) Assert.True(WinogradConvolution.Forward(g, px, pw, pb, py));
            return y;
        }, g.ToString());
        Near.Equal(expected, actual, Allowed(channels), 1e-5, g.ToString());
    }

    [Theory, MemberData(nameof(Shapes))]
    public void GradientsAgreeWithTheReference(int batch, int channels, int height, int width, int outChannels)
    {
        Convolution2D g = Geometry(batch, channels, height, width, outChannels);
        float[] x = Random((int)g.InputLength, 1), w = Random((int)g.WeightLength, 2), dy = Random((int)g.OutputLength, 3), expectedInput = new float[x.Length], expectedWeight = new float[w.Length];
        float[] bias = Random(channels, 5);
        g.BackwardInputReference(dy, w, expectedInput);
        for (int i = 0; i < expectedInput.Length; i++) expectedInput[i] += bias[i / (height * width) % channels];
        float[] dx = SameEverywhere(() =>
        {
            float[] result = Random(x.Length, 9);
            FillWorkingMemory();
            fixed (float* pdy = dy, pw = w, pb = bias, pdx = result) Assert.True(WinogradConvolution.BackwardInput(g, pdy, pw, pb, pdx));
            return result;
        }, $"input gradient {g}");
        Near.Equal(expectedInput, dx, Allowed(outChannels), 1e-5, $"input gradient {g}");

        g.BackwardWeightReference(x, dy, expectedWeight);
        float[] dw = SameEverywhere(() =>
        {
            float[] result = Random(w.Length, 9);
            FillWorkingMemory();
            fixed (float* px = x, pdy = dy, pdw = result) Assert.True(WinogradWeightGradient.Run(g, px, pdy, pdw));
            return result;
        }, $"weight gradient {g}");
        Near.Equal(expectedWeight, dw, 1e-4, 1e-5, $"weight gradient {g}");
    }

    // Rounding of a sum grows with its terms: those of more than 144 channels are allowed as much more.
    private static double Allowed(int channels) => 2e-5 * Math.Max(1.0, channels / 144.0);

    // What kernels rent next, on any thread, holds NaN.
    private static void FillWorkingMemory() => WorkPool.Run(4 * WorkPool.Threads, new FillParts());

    private readonly struct FillParts : IParts
    {
        public void Run(int part)
        {
            using Scratch.Buffer a = Scratch.Rent(1 << 11), b = Scratch.Rent(1 << 13), c = Scratch.Rent(1 << 15), d = Scratch.Rent(1 << 17), e = Scratch.Rent(1 << 17), f = Scratch.Rent(1 << 19), g = Scratch.Rent(1 << 20);
            Fill(a, 1 << 11);
            Fill(b, 1 << 13);
            Fill(c, 1 << 15);
            Fill(d, 1 << 17);
            Fill(e, 1 << 17);
            Fill(f, 1 << 19);
            Fill(g, 1 << 20);
        }

        private static void Fill(Scratch.Buffer buffer, int floats) => new Span<float>(buffer.Pointer, floats).Fill(float.NaN);
    }

    [Theory, InlineData(64, false), InlineData(64, true), InlineData(128, false), InlineData(16, true)]
    public void RoundingIsThatOfTaps(int channels, bool positive)
    {
        Convolution2D g = Geometry(2, channels, 16, 16, channels);
        float[] x = Random((int)g.InputLength, 1), w = Random((int)g.WeightLength, 2), dy = Random((int)g.OutputLength, 3), taps, fewer;
        // As behind a ReLU: half of them zero.
        if (positive) x = [.. x.Select(v => MathF.Max(v, 0f))];
        float[] y = new float[g.OutputLength], dx = new float[x.Length], dw = new float[w.Length];

        g.ForwardReference(x, w, default, y);
        g.Forward(x, g.Pack(w), default, taps = new float[y.Length]);
        fixed (float* px = x, pw = w, to = fewer = new float[y.Length]) Assert.True(WinogradConvolution.Forward(g, px, pw, null, to));
        AssertNotWorse("output", y, taps, fewer);

        g.BackwardInputReference(dy, w, dx);
        // With a clamp it goes by taps.
        g.BackwardInput(dy, w, taps = new float[dx.Length], default, Clamp.None);
        fixed (float* pdy = dy, pw = w, to = fewer = new float[dx.Length]) Assert.True(WinogradConvolution.BackwardInput(g, pdy, pw, null, to));
        AssertNotWorse("input gradient", dx, taps, fewer);

        g.BackwardWeightReference(x, dy, dw);
        fixed (float* px = x, pdy = dy, to = taps = new float[dw.Length]) SimdDispatch.Run(new OuterWeightGradient(g, px, pdy, to));
        fixed (float* px = x, pdy = dy, to = fewer = new float[dw.Length]) Assert.True(WinogradWeightGradient.Run(g, px, pdy, to));
        AssertNotWorse("weight gradient", dw, taps, fewer);

        static void AssertNotWorse(string what, float[] expected, float[] taps, float[] fewer)
        {
            double ofTaps = Deviation(expected, taps), ofFewer = Deviation(expected, fewer);
            Assert.True(ofFewer <= 1.5 * ofTaps, $"{what}: {ofFewer:g3}, taps {ofTaps:g3}");
        }
    }

    // The root of the squared deviations' mean over that of the squares' mean.
    private static double Deviation(float[] expected, float[] actual)
    {
        double squares = 0, deviations = 0;
        for (int i = 0; i < actual.Length; i++)
        {
            squares += (double)expected[i] * expected[i];
            deviations += ((double)actual[i] - expected[i]) * ((double)actual[i] - expected[i]);
        }
        return Math.Sqrt(deviations / squares);
    }

    [Fact]
    public void OtherGeometriesAreLeftToTaps()
    {
        Convolution2D g = Geometry(4, 16, 16, 16, 32);
        Assert.True(WinogradConvolution.Suits(g));
        Convolution2D[] others =
        [
            g.WithStride(2), g.WithPadding(0), g with { PadRight = 2 }, g with { DilationY = 2 }, g with { Groups = 2 }, g with { KernelWidth = 5 }, g with { KernelHeight = 1 },
            g with { InChannels = 24 }, g with { OutChannels = 40 }, g with { Width = 15 }, g with { Height = 17 }, g with { Batch = 0 }, g with { Batch = 1, Height = 8, Width = 8 },
            g with { InChannels = 512, OutChannels = 528 }, g with { Batch = 1, InChannels = 64, Height = 4, Width = 2050 },
        ];
        // The most channels and the longest line.
        Assert.True(WinogradConvolution.Suits(g with { InChannels = 512, OutChannels = 512 }));
        Assert.True(WinogradConvolution.Suits(g with { Batch = 1, InChannels = 64, Height = 4, Width = 2048 }));
        Assert.True(WinogradConvolution.Pays(g));
        Assert.False(WinogradConvolution.Pays(g with { OutChannels = 16 }));
        Assert.False(WinogradConvolution.Pays(g with { Width = 15 }));
        Assert.All(others, o => Assert.False(WinogradConvolution.Suits(o), o.ToString()));
    }

    [Theory, InlineData(float.NaN), InlineData(float.PositiveInfinity), InlineData(float.MaxValue)]
    public void AValueThatIsNotFiniteStaysInItsReceptiveField(float value)
    {
        Convolution2D g = Geometry(8, 16, 8, 8, 32);
        float[] x = Random((int)g.InputLength, 1), w = Random((int)g.WeightLength, 2), dy = Random((int)g.OutputLength, 3), y = new float[g.OutputLength], dx = new float[x.Length], dw = new float[w.Length];
        // Channel 3 of the second image, and the same place of the gradient; what is largest becomes infinite in sums.
        int at = (((16 + 3) * 8) + 4) * 8 + 5, gradientAt = (((32 + 3) * 8) + 4) * 8 + 5;
        x[at] = dy[gradientAt] = value;
        Array.Fill(w, 2f);
        g.Forward(x, w, default, y);
        g.BackwardInput(dy, w, dx);
        for (int i = 0; i < y.Length; i++) Assert.True(float.IsFinite(y[i]) || IsNear(i, 32), $"output {i}");
        for (int i = 0; i < dx.Length; i++) Assert.True(float.IsFinite(dx[i]) || IsNear(i, 16), $"input gradient {i}");
        Assert.Contains(y, v => !float.IsFinite(v));
        Assert.Contains(dx, v => !float.IsFinite(v));

        dy[gradientAt] = 1f;
        g.BackwardWeight(x, dy, dw);
        Assert.Equal(float.IsFinite(value) ? 0 : 32 * 9, dw.Count(v => !float.IsFinite(v)));

        static bool IsNear(int i, int channels) => i / (64 * channels) == 1 && i / 8 % 8 is >= 3 and <= 5 && i % 8 is >= 4 and <= 6;
    }

    [Fact]
    public void BlocksHaveEveryTileOnce()
    {
        foreach ((int batch, int height, int width, int tiles) in new[] { (3, 8, 6, 1), (3, 8, 6, 5), (3, 8, 6, 12), (7, 8, 6, 40), (1, 64, 4, 31), (2, 2, 2, 64), (5, 18, 22, 64) })
        {
            var planes = new WinogradPlanes(batch, height, width, tiles);
            var seen = new int[batch, height / 2];
            for (int i = 0; i < planes.Blocks; i++)
            {
                WinogradPlanes.Block block = planes[i];
                Assert.Equal(width / 2, block.Columns);
                Assert.InRange(block.Tiles, 1, planes.MostTiles);
                for (int n = 0; n < block.Images; n++)
                {
                    for (int r = 0; r < block.Rows; r++) seen[block.Image + n, block.Row + r]++;
                }
            }
            Assert.All(seen.Cast<int>(), count => Assert.Equal(1, count));
        }
    }

    [Theory, InlineData(8, 32, true), InlineData(24, 16, true), InlineData(16, 32, true), InlineData(40, 16, true), InlineData(8, 16, true)]
    [InlineData(8, 32, false), InlineData(24, 16, false), InlineData(16, 32, false), InlineData(40, 16, false), InlineData(8, 16, false)]
    public void ProductsOfTilesAgreeWithPlainSums(int rows, int width, bool accumulate)
    {
        const int K = 13;
        float[] a = Random(rows * K, 1), b = Random(K * width, 2), start = Random(rows * width, 3);
        // What is there must not be read where nothing is added to it.
        if (!accumulate) Array.Fill(start, float.NaN);
        foreach (bool turned in new[] { false, true })
        {
            var expected = new float[rows * width];
            for (int i = 0; i < expected.Length; i++)
            {
                float sum = 0f;
                for (int k = 0; k < K; k++) sum = MathF.FusedMultiplyAdd(a[turned ? (k * rows) + (i / width) : (i / width * K) + k], b[(k * width) + (i % width)], sum);
                expected[i] = accumulate ? start[i] + sum : sum;
            }
            float[] actual = SameEverywhere(() =>
            {
                var c = (float[])start.Clone();
                fixed (float* pa = a, pb = b, pc = c) SimdDispatch.Run(new Product { A = pa, B = pb, C = pc, Rows = rows, Width = width, K = K, Turned = turned, Accumulate = accumulate });
                return c;
            }, $"{rows} x {width}, {turned}, {accumulate}");
            Near.BitEqual(expected, actual);
        }
    }

    private struct Product : ILevelWork
    {
        public float* A, B, C;
        public int Rows, Width, K;
        public bool Turned, Accumulate;

        public readonly void Run<V>() where V : unmanaged, IVector<V> => WinogradProduct.Run<V>(Rows, Width, K, A, Turned ? 1 : K, Turned ? Rows : 1, B, C, Width, Accumulate);
    }
}

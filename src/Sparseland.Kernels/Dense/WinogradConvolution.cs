using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>Convolutions of 3 x 3 taps, stride 1 and a padding of 1 with 16 products for 4 pixels instead of 36.</summary>
/// <remarks>
/// F(2 x 2, 3 x 3) of Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4.1: tiles of 4 x 4 pixels are transformed, multiplied with transformed weights, a matrix product for each of 16 points, and turned into 2 x 2 outputs. The gradient of
/// the input is the same with turned taps. Blocks of tiles stay in the second cache from their pixels to their outputs; channels lie side by side there, so that transforms need no permutations.
/// <para>
/// Rounding is that of sums of a few more terms; but a pixel that is larger by far than its neighbours takes digits from the outputs of its tile, and one that is not finite takes all. Results that are not finite are told, and the caller computes them by taps.
/// </para>
/// </remarks>
internal sealed unsafe class WinogradConvolution : ILevelWork
{
    /// <summary>Channels that are multiplied together.</summary>
    public const int Panel = 2 * Lanes.Count;

    // Blocks that are cut where there are tiles enough, so that threads have something to do; and tiles below which transforming weights costs more than it saves: 8 blocks of one product's rows.
    private const int FewestBlocks = 8, FewestTiles = FewestBlocks * WinogradProduct.Rows;

    // With 16 channels on both sides transforms and copies take what products save: 3.4 ms for 3.5 of 128 images of 32 x 32 on two cores of a Zen 4 (the weight gradient 3.4 for 4.7).
    private const int FewestWeights = 2 * Lanes.Count * Lanes.Count;

    // Transformed weights of 16 MiB, which threads read again for each block; and a row of tiles, the least of a block, of 4 MiB transformed, since each thread has its own.
    private const int MostWeights = 1 << 18, MostLine = 1 << 17;

    // Of a block: transformed inputs and results of one panel are three quarters of a second cache of 512 KiB at 64 channels.
    private const int BlockFloats = 4096, FewestBlockTiles = 32;

    private readonly WinogradPlanes _planes;
    private readonly int _inner, _outer;
    private readonly float* _input;
    private readonly float* _weight;
    private readonly float* _bias;
    private readonly float* _output;
    private readonly bool _turned;
    private int _broken;

    private WinogradConvolution(in Convolution2D geometry, float* input, float* weight, float* bias, float* output, bool turned)
    {
        (_inner, _outer) = turned ? (geometry.OutChannels, geometry.InChannels) : (geometry.InChannels, geometry.OutChannels);
        _planes = new WinogradPlanes(geometry.Batch, geometry.Height, geometry.Width, BlockTiles(geometry, Math.Max(FewestBlockTiles, BlockFloats / _inner)));
        _input = input;
        _weight = weight;
        _bias = bias;
        _output = output;
        _turned = turned;
    }

    /// <summary>Whether a convolution can be computed so and has enough tiles.</summary>
    public static bool Suits(in Convolution2D g) =>
        g is { KernelHeight: 3, KernelWidth: 3, StrideY: 1, StrideX: 1, DilationY: 1, DilationX: 1, Groups: 1, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1 }
        && g.InChannels % Lanes.Count == 0 && g.OutChannels % Lanes.Count == 0 && g.Height % 2 == 0 && g.Width % 2 == 0 && g.Height >= 4 && g.Width >= 4
        && Tiles(g) >= FewestTiles && (long)g.InChannels * g.OutChannels <= MostWeights && (long)g.Width * Math.Max(g.InChannels, g.OutChannels) <= MostLine;

    /// <summary>Whether outputs and gradients of inputs take less time so; the gradient of the weight, whose taps cost more, does with 16 channels on both sides as well.</summary>
    public static bool Pays(in Convolution2D g) => (long)g.InChannels * g.OutChannels >= FewestWeights && Suits(g);

    // A matter of the shape, whatever threads there are.
    private static int BlockTiles(in Convolution2D g, int most) => (int)Math.Clamp(Tiles(g) / FewestBlocks, WinogradProduct.Rows, most);

    private static long Tiles(in Convolution2D g) => (long)g.Batch * (g.Height / 2) * (g.Width / 2);

    /// <summary>A distance of points, with so many values each, that is no multiple of 4 KiB: 16 points are written in turn and would share sets of the first cache.</summary>
    public static nint Apart(long values) => (nint)values + Lanes.Count;

    /// <summary>output = weight * input + bias; false if a result is not finite: then it has to be computed by taps.</summary>
    /// <param name="geometry">One that <see cref="Suits"/>.</param>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="weight">[outChannels, inChannels, 3, 3].</param>
    /// <param name="bias">[outChannels], or null.</param>
    /// <param name="output">[batch, outChannels, height, width].</param>
    public static bool Forward(in Convolution2D geometry, float* input, float* weight, float* bias, float* output) => Run(new WinogradConvolution(geometry, input, weight, bias, output, turned: false));

    /// <summary>inputGradient = weight^T * outputGradient + bias; false as in <see cref="Forward"/>.</summary>
    /// <param name="geometry">One that <see cref="Suits"/>.</param>
    /// <param name="outputGradient">[batch, outChannels, height, width].</param>
    /// <param name="weight">[outChannels, inChannels, 3, 3].</param>
    /// <param name="bias">[inChannels], or null.</param>
    /// <param name="inputGradient">[batch, inChannels, height, width].</param>
    public static bool BackwardInput(in Convolution2D geometry, float* outputGradient, float* weight, float* bias, float* inputGradient) => Run(new WinogradConvolution(geometry, outputGradient, weight, bias, inputGradient, turned: true));

    private static bool Run(WinogradConvolution job)
    {
        SimdDispatch.Run(job);
        return job._broken == 0;
    }

    void ILevelWork.Run<V>()
    {
        nint step = Apart((long)_inner * _outer);
        using Scratch.Buffer weights = Scratch.Rent(WinogradTransforms.Points * step);
        WorkPool.Run(_outer / Lanes.Count, new WeightParts<V>(this, (nint)weights.Pointer, step));
        WorkPool.Run(_planes.Blocks, new BlockParts<V>(this, (nint)weights.Pointer, step));
    }

    // Sixteen rows of the transformed weight: [point][panel][inner][channels of the panel].
    private readonly struct WeightParts<V>(WinogradConvolution job, nint weights, nint step) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            const int Taps = 9;
            int inner = job._inner, first = part * Lanes.Count, panel = first / Panel * Panel, width = Math.Min(Panel, job._outer - panel);
            float* to = (float*)weights + ((nint)panel * inner) + (first - panel);
            using Scratch.Buffer taps = Scratch.Rent((job._turned ? 1L : inner) * Taps * Lanes.Count);
            if (!job._turned) Transposition.Copy(job._weight + ((nint)first * inner * Taps), (nint)inner * Taps, Lanes.Count, inner * Taps, taps.Pointer, Lanes.Count);
            for (int k = 0; k < inner; k++)
            {
                float* lanes = taps.Pointer + (job._turned ? 0 : (nint)k * Taps * Lanes.Count);
                if (job._turned) Transposition.Copy(job._weight + ((((nint)k * job._outer) + first) * Taps), Taps, Lanes.Count, Taps, lanes, Lanes.Count);
                WinogradTransforms.Weight<V>(lanes, job._turned, to + ((nint)k * width), step);
            }
        }
    }

    private readonly struct BlockParts<V>(WinogradConvolution job, nint weights, nint step) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            int inner = job._inner, outer = job._outer, most = job._planes.MostTiles;
            WinogradPlanes.Block block = job._planes[part];
            int tiles = (block.Tiles + WinogradProduct.Rows - 1) / WinogradProduct.Rows * WinogradProduct.Rows;
            nint inputStep = Apart((long)most * inner), resultStep = Apart((long)most * Panel);
            float* check = stackalloc float[Lanes.Count];
            new Span<float>(check, Lanes.Count).Clear();
            using Scratch.Buffer transformed = Scratch.Rent(WinogradTransforms.Points * inputStep), results = Scratch.Rent(WinogradTransforms.Points * resultStep), band = Scratch.Rent(job._planes.BandFloats(Math.Max(inner, Panel)));
            job._planes.Input<V>(job._input, inner, inner, block, band.Pointer, inner, transformed.Pointer, most, inputStep);
            // Rows that fill up the last product: nothing reads their results, but what memory held before may be slow to multiply.
            for (int point = 0; point < WinogradTransforms.Points; point++) new Span<float>(transformed.Pointer + (point * inputStep) + ((nint)block.Tiles * inner), (tiles - block.Tiles) * inner).Clear();
            for (int channel = 0; channel < outer; channel += Panel)
            {
                int width = Math.Min(Panel, outer - channel);
                for (int point = 0; point < WinogradTransforms.Points; point++)
                {
                    WinogradProduct.Run<V>(tiles, width, inner, transformed.Pointer + (point * inputStep), inner, 1, (float*)weights + (point * step) + ((nint)channel * inner), results.Pointer + (point * resultStep), width, accumulate: false);
                }
                job._planes.Output<V>(results.Pointer, resultStep, width, job._bias == null ? null : job._bias + channel, block, band.Pointer, job._output, outer, channel, check);
            }
            for (int i = 0; i < Lanes.Count; i++)
            {
                if (float.IsNaN(check[i])) job._broken = 1;
            }
        }
    }
}

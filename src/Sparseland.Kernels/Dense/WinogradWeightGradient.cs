using System.Numerics.Tensors;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>The gradient of the weight of a convolution that <see cref="WinogradConvolution.Suits"/>: the derivative of its transforms and products, 16 products for 4 pixels instead of 36.</summary>
/// <remarks>
/// dW = G^T [sum of (B^T d B) x (A g A^T)] G over tiles d of the input and g of the output's gradient, the product element by element for each pair of channels: the derivative of Y = A^T [(G W G^T) x (B^T d B)] A of Lavin, Gray (2016), section 4.1.
/// A part takes up to 64 input and 64 output channels of a range of the images: it transforms a block of tiles of both and adds, for each of 16 points, rows of input channels by registers of output channels, summed over the block's tiles, to a square of the transformed gradient that stays in the second
/// cache. Ranges, so many that squares and ranges make 16 parts where there are blocks enough, are cut by shape and added in order. Transformed tiles of a larger share, with a point for each thread, come from the third cache: that took twice as long at 64 channels.
/// </remarks>
internal sealed unsafe class WinogradWeightGradient : ILevelWork
{
    private const int Panel = WinogradConvolution.Panel;

    // Channels of a square, and so many parts at least where there are blocks enough: threads to eight or so have as much to do.
    private const int Side = 64, FewestParts = 16;

    // Tiles of a block: sums of no more pixels than those of taps round as little (at 16 channels, one sum of 128 tiles deviated 1.54 times as much), and 64 channels of both operands stay in the second cache. Blocks are not cut for more ranges: 64 tiles of 64 channels took 0.14 ms as one, 0.14 as two and 0.29 as four on two cores of a Zen 4.
    private const int BlockTiles = 64;

    private readonly Convolution2D _geometry;
    private readonly WinogradPlanes _planes;
    private readonly int _rows, _columns, _ranges;
    private readonly nint _step, _square;
    private readonly float* _input;
    private readonly float* _outputGradient;
    private readonly float* _weightGradient;

    private WinogradWeightGradient(in Convolution2D geometry, float* input, float* outputGradient, float* weightGradient)
    {
        _geometry = geometry;
        _rows = Math.Min(Side, geometry.InChannels);
        _columns = Math.Min(Side, geometry.OutChannels);
        _planes = new WinogradPlanes(geometry.Batch, geometry.Height, geometry.Width, BlockTiles);
        // A power of two: as many for each of two threads, or of four.
        _ranges = 1;
        while (_ranges * Squares < FewestParts && 2 * _ranges <= _planes.Blocks) _ranges *= 2;
        _step = WinogradConvolution.Apart(_rows * _columns);
        _square = WinogradTransforms.Points * _step;
        _input = input;
        _outputGradient = outputGradient;
        _weightGradient = weightGradient;
    }

    private int SquareColumns => (_geometry.OutChannels + Side - 1) / Side;

    private int Squares => (_geometry.InChannels + Side - 1) / Side * SquareColumns;

    /// <summary>Computes the gradient; false if a value of it is not finite: then it has to be computed by taps.</summary>
    /// <param name="geometry">One that <see cref="WinogradConvolution.Suits"/>.</param>
    /// <param name="input">[batch, inChannels, height, width].</param>
    /// <param name="outputGradient">[batch, outChannels, height, width].</param>
    /// <param name="weightGradient">[outChannels, inChannels, 3, 3].</param>
    public static bool Run(in Convolution2D geometry, float* input, float* outputGradient, float* weightGradient)
    {
        SimdDispatch.Run(new WinogradWeightGradient(geometry, input, outputGradient, weightGradient));
        return TensorPrimitives.IsFiniteAll(new ReadOnlySpan<float>(weightGradient, checked((int)geometry.WeightLength)));
    }

    void ILevelWork.Run<V>()
    {
        int squares = Squares;
        using Scratch.Buffer sums = Scratch.Rent(squares * _ranges * _square);
        WorkPool.Run(squares * _ranges, new SquareParts<V>(this, (nint)sums.Pointer));
        if (_ranges > 1) WorkPool.Run(squares * WinogradTransforms.Points, new FoldParts(this, (nint)sums.Pointer));
        WorkPool.Run(_geometry.OutChannels / Lanes.Count, new TapParts<V>(this, (nint)sums.Pointer));
    }

    private readonly struct SquareParts<V>(WinogradWeightGradient job, nint sums) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            Convolution2D geometry = job._geometry;
            int square = part % job.Squares, range = part / job.Squares, row = square / job.SquareColumns * Side, column = square % job.SquareColumns * Side;
            int rows = Math.Min(Side, geometry.InChannels - row), columns = Math.Min(Side, geometry.OutChannels - column), most = job._planes.MostTiles;
            nint plane = (nint)geometry.Height * geometry.Width, inputStep = WinogradConvolution.Apart(most * rows), gradientStep = WinogradConvolution.Apart(most * columns);
            using Scratch.Buffer input = Scratch.Rent(WinogradTransforms.Points * inputStep), gradient = Scratch.Rent(WinogradTransforms.Points * gradientStep), band = Scratch.Rent(job._planes.BandFloats(Math.Max(rows, columns)));
            int first = (int)((long)job._planes.Blocks * range / job._ranges), end = (int)((long)job._planes.Blocks * (range + 1) / job._ranges);
            for (int index = first; index < end; index++)
            {
                WinogradPlanes.Block block = job._planes[index];
                int tiles = block.Tiles;
                job._planes.Input<V>(job._input + (row * plane), geometry.InChannels, rows, block, band.Pointer, Panel, input.Pointer, tiles, inputStep);
                job._planes.Gradient<V>(job._outputGradient + (column * plane), geometry.OutChannels, columns, block, band.Pointer, Panel, gradient.Pointer, tiles, gradientStep);
                for (int point = 0; point < WinogradTransforms.Points; point++)
                {
                    float* a = input.Pointer + (point * inputStep), b = gradient.Pointer + (point * gradientStep), c = (float*)sums + (part * job._square) + (point * job._step);
                    for (int j = 0; j < columns; j += Panel)
                    {
                        for (int i = 0; i < rows; i += Panel)
                        {
                            int height = Math.Min(Panel, rows - i);
                            WinogradProduct.Run<V>(height, Math.Min(Panel, columns - j), tiles, a + ((nint)i * tiles), 1, height, b + ((nint)j * tiles), c + ((nint)i * columns) + j, columns, accumulate: index > first);
                        }
                    }
                }
            }
        }
    }

    // Adds the ranges of a point of a square in order.
    private readonly struct FoldParts(WinogradWeightGradient job, nint sums) : IParts
    {
        public void Run(int part)
        {
            int square = part / WinogradTransforms.Points;
            float* first = (float*)sums + (square * job._square) + (part % WinogradTransforms.Points * job._step);
            int rows = Math.Min(Side, job._geometry.InChannels - (square / job.SquareColumns * Side)), columns = Math.Min(Side, job._geometry.OutChannels - (square % job.SquareColumns * Side));
            var total = new Span<float>(first, rows * columns);
            for (int range = 1; range < job._ranges; range++) TensorPrimitives.Add(total, new ReadOnlySpan<float>(first + ((nint)range * job.Squares * job._square), total.Length), total);
        }
    }

    // The taps of sixteen output channels.
    private readonly struct TapParts<V>(WinogradWeightGradient job, nint sums) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            const int Taps = 9;
            int channels = job._geometry.InChannels, first = part * Lanes.Count, column = first / Side, width = Math.Min(Side, job._geometry.OutChannels - (column * Side));
            using Scratch.Buffer taps = Scratch.Rent((long)channels * Taps * Lanes.Count);
            for (int c = 0; c < channels; c++)
            {
                float* square = (float*)sums + (((nint)(c / Side) * job.SquareColumns) + column) * job._square;
                WinogradTransforms.Taps<V>(square + ((nint)(c % Side) * width) + (first % Side), job._step, taps.Pointer + ((nint)c * Taps * Lanes.Count));
            }
            Transposition.Copy(taps.Pointer, Lanes.Count, channels * Taps, Lanes.Count, job._weightGradient + ((nint)first * channels * Taps), (nint)channels * Taps);
        }
    }
}

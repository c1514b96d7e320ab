using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.Threading;
using Sparseland.Runtime.Steps;

namespace Sparseland.Runtime.Planning;

/// <summary>Times sparse kernels beside dense ones at one density each and reads the break-even point off the ratio.</summary>
internal static class BreakEvenMeasurement
{
    private const double BudgetMilliseconds = 40;

    // Near the point itself: what a table says matters most there.
    private const double Density = 0.5, VectorDensity = 0.15, DepthwiseDensity = 0.2, GroupedDensity = 0.3, BitmaskDensity = 0.4;

    // A second look at a point that was disturbed: how far two halves of a measurement may be apart, and how often it is taken up again.
    private const double Agreement = 1.1;
    private const int MostHalves = 6;

    // Columns of a row from which on scales and adding up are a small part of it, and bytes that no cache holds.
    public const int LongRow = 2048;
    public const long BeyondCaches = 32 << 20;

    // Images of a batch from which on threads share images and not their pixels: as PreparedSparseConvolution does.
    public const int SharedImages = 8;

    // Weights of a row in a group: fewer are those of one channel, or of few in 1 x 1 kernels.
    public const int SeveralChannels = 32;

    /// <summary>The convolutions that are timed: for each kernel the sizes of images, the smallest of which stands for all below.</summary>
    private static IEnumerable<Layer> Layers =>
    [
        .. Of(KernelKind.Convolution, 3, 1, (256, 1), (256, 4), (256, 7), (128, 14), (64, 28), (64, 56)),
        .. Of(KernelKind.Convolution, 3, 1, (256, 1), (256, 4), (128, 7), (64, 14), (32, 28)).Select(l => l with { Batch = SharedImages }),
        .. Of(KernelKind.Pointwise, 1, 1, (512, 1), (512, 4), (512, 7), (256, 14), (128, 28), (64, 56)),
        .. Of(KernelKind.Pointwise, 1, 1, (512, 1), (512, 4), (256, 7), (128, 14), (64, 28)).Select(l => l with { Batch = SharedImages }),
        .. Of(KernelKind.ConvolutionBlock, 1, 1, (512, 1), (512, 4), (512, 7), (256, 14), (64, 56)).Select(l => l with { BlockRows = 4 }),
        .. Of(KernelKind.ConvolutionBlock, 1, 1, (512, 1), (512, 4), (512, 7), (256, 14), (64, 56)).Select(l => l with { BlockRows = 8 }),
        .. Of(KernelKind.Grouped, 5, 0, (256, 1), (256, 7), (128, 28)),
        .. Of(KernelKind.Grouped, 3, 32, (512, 1), (512, 4), (256, 7), (256, 14), (128, 28), (128, 56)).Select(l => l with { LeastColumns = SeveralChannels }),
        .. Of(KernelKind.Grouped, 3, 32, (512, 1), (256, 7), (128, 14), (128, 28)).Select(l => l with { Batch = SharedImages }),
        .. Of(KernelKind.Depthwise, 3, 0, (256, 7), (128, 14), (128, 28)),
    ];

    private static IEnumerable<Layer> Of(KernelKind kernel, int side, int groups, params (int Channels, int Image)[] sizes) =>
        sizes.Select(s => new Layer(kernel, s.Channels, s.Image, sizes[0].Image, side, groups == 0 ? s.Channels : groups));

    /// <summary>A convolution of as many outputs as inputs whose result has the image's size.</summary>
    private sealed record Layer(KernelKind Kernel, int Channels, int Image, int Smallest, int Side, int Groups)
    {
        public int BlockRows { get; init; } = 1;

        public int Batch { get; init; } = 1;

        public int LeastColumns { get; init; }

        /// <summary>Whether this machine has the kernel.</summary>
        public bool IsRun => Kernel switch { KernelKind.ConvolutionBlock => PreparedSparseConvolution.HasTiles(Shape), KernelKind.Depthwise => Geometry.HasDepthwiseKernel, _ => true };

        public Convolution2D Geometry => new Convolution2D(Batch, Channels, Image, Image, Channels, Side, Side) { Groups = Groups }.WithPadding(Side / 2);

        public SparseConvolutionShape Shape => new(Channels, Channels, Side, Side) { PadTop = Side / 2, PadLeft = Side / 2, PadBottom = Side / 2, PadRight = Side / 2, Groups = Groups };
    }

    public static BreakEvenTable Run(IProgress<string>? progress, CancellationToken cancellation)
    {
        var entries = new List<BreakEven>();
        string? disturbance = Disturbance.Now();
        foreach (Layer layer in Layers)
        {
            var rule = new BreakEven(layer.Kernel, layer.Image == layer.Smallest ? 0 : (long)layer.Image * layer.Image, 0) { BlockRows = layer.BlockRows > 1 ? layer.BlockRows : 0, Images = layer.Batch > 1 ? layer.Batch : 0, Columns = layer.LeastColumns };
            if (layer.IsRun) Add(rule, () => Convolution(layer));
        }
        // A tile of the dense kernel has eight rows; what fills none is cheaper from four rows down.
        foreach ((int rows, long size) in new[] { (2, 2L), (4, 4L), (5, 5L), (8, 8L), (12, 12L), (16, 16L), (24, 24L), (32, 32L), (128, 64L) })
        {
            Add(new BreakEven(KernelKind.Csr, size, 0), () => Matrix(rows, block: false));
            Add(new BreakEven(KernelKind.Block, size, 0), () => Matrix(rows, block: true));
        }
        // 768: a second cache of half a megabyte to one holds no such weight, whose dense twin then waits for the third (Zen 1, one thread: blocks of 4 x 1 break even at 0.19 of 512 x 512 and gain a quarter at 0.3 of 768 x 768).
        foreach ((int side, long size) in new[] { (512, 0L), (768, 2L << 20), (1536, 4L << 20), (3072, 32L << 20) })
        {
            Add(new BreakEven(KernelKind.CsrVector, size, 0), () => Vector(side, KernelKind.CsrVector, 1));
            Add(new BreakEven(KernelKind.BitmaskVector, size, 0), () => Vector(side, KernelKind.BitmaskVector, 1));
            foreach (int height in (ReadOnlySpan<int>)[4, 8, 16]) Add(new BreakEven(KernelKind.BlockVector, size, 0) { BlockRows = height }, () => Vector(side, KernelKind.BlockVector, height));
            Add(new BreakEven(KernelKind.Columns, size, 0), () => Columns(side));
        }
        foreach (ValueKind values in (ValueKind[])[ValueKind.BFloat16, ValueKind.Int8, ValueKind.Int4])
        {
            foreach ((int columns, int from) in new[] { (768, 0), (LongRow, LongRow) })
            {
                foreach ((bool inMemory, long size) in new[] { (false, 0L), (true, BeyondCaches) })
                {
                    Add(new BreakEven(KernelKind.BitmaskVector, size, 0) { Values = values, Columns = from }, () => FewBits(values, columns, inMemory, windows: false));
                    if (PreparedSpMV.IsFast(values)) Add(new BreakEven(KernelKind.CsrVector, size, 0) { Values = values, Columns = from }, () => FewBits(values, columns, inMemory, windows: true));
                }
            }
        }
        return new BreakEvenTable(entries, $"measured with {SimdSupport.Level}, {WorkPool.Threads} threads") { Conditions = BreakEvenConditions.Current, Disturbance = disturbance ?? Disturbance.Now() };

        void Add(BreakEven rule, Func<double> measure)
        {
            cancellation.ThrowIfCancellationRequested();
            progress?.Report($"{rule.Kernel}{(rule.Values == ValueKind.Float32 ? "" : " " + rule.Values.ShortName())}{(rule.BlockRows > 0 ? $" of {rule.BlockRows} rows" : "")}{(rule.Images > 0 ? $" of {rule.Images} images" : "")} from {rule.Size}");
            entries.Add(rule with { Density = Math.Round(Math.Clamp(measure(), 0, 1), 3) });
        }
    }

    private static double Convolution(Layer layer)
    {
        var random = new Random(1);
        SparseConvolutionShape shape = layer.Shape;
        int rowLength = shape.WeightsPerOutput;
        Convolution2D geometry = layer.Geometry;
        float[] weight = Uniform(random, (int)geometry.WeightLength), x = Uniform(random, (int)geometry.InputLength), y = new float[geometry.OutputLength];
        PackedConvolution packed = geometry.Pack(weight);
        double density = layer.Kernel switch { KernelKind.Depthwise => DepthwiseDensity, KernelKind.Grouped => GroupedDensity, _ => Density };
        var sparse = new PreparedSparseConvolution(shape, CsrMatrix.FromMask(RandomMask(random, layer.Channels, rowLength, layer.BlockRows, density), weight, layer.Channels, rowLength));
        double cost = ConvolutionKernel.KindAndCost(geometry, shape, density, layer.BlockRows).Cost;
        return BreakEvenOf(cost, () => geometry.Forward(x, packed, default, y), () => sparse.Forward(x, layer.Batch, layer.Image, layer.Image, y));
    }

    private static double Columns(int side)
    {
        var random = new Random(5);
        float[] weight = Uniform(random, side * side), x = Uniform(random, side), y = new float[side];
        for (int i = 0; i < side; i++) x[i] = Math.Max(0, x[i]);
        PackedMatrix packed = PackedMatrix.Right(false, side, side, weight, side);
        return BreakEvenOf(SparseCost.HalfOfColumns, () => Gemm.Multiply(false, 1, x, side, packed, 0, y, side, default, default, Clamp.None), () => ColumnGemv.Multiply(weight, x, 0, y));
    }

    private static double Matrix(int rows, bool block)
    {
        const int Side = 512;
        var random = new Random(2);
        float[] weight = Uniform(random, Side * Side), x = Uniform(random, rows * Side), y = new float[rows * Side];
        PackedMatrix packed = PackedMatrix.Right(true, Side, Side, weight, Side);
        Mask mask = RandomMask(random, Side, Side, block ? 4 : 1, Density);
        Action dense = () => Gemm.Multiply(false, rows, x, Side, packed, 0, y, Side, default, default, Clamp.None);
        if (block)
        {
            var tiles = new PreparedSpMM(BlockCsrMatrix.FromMask(mask, weight, Side, Side, 4, 1));
            return BreakEvenOf(SparseCost.OfLinear(Density, Side, Side, rows, 4), dense, () => tiles.Linear(x, rows, y));
        }
        var sparse = new PreparedSpMM(CsrMatrix.FromMask(mask, weight, Side, Side));
        return BreakEvenOf(SparseCost.OfLinear(Density, Side, Side, rows), dense, () => sparse.Linear(x, rows, y));
    }

    private static double Vector(int side, KernelKind kernel, int blockRows)
    {
        var random = new Random(3);
        // A bit-mask reads all its bits whatever the density, and windows fill with it: they are measured where they are meant to win.
        bool windows = kernel == KernelKind.CsrVector && LinearKernel.UsesWindows;
        double density = windows || kernel == KernelKind.BitmaskVector ? BitmaskDensity : VectorDensity;
        float[] weight = Uniform(random, side * side), x = Uniform(random, side), y = new float[side];
        PackedMatrix packed = PackedMatrix.Right(true, side, side, weight, side);
        Mask mask = RandomMask(random, side, side, blockRows, density);
        Action dense = () => Gemm.Multiply(false, 1, x, side, packed, 0, y, side, default, default, Clamp.None);
        switch (kernel)
        {
            case KernelKind.CsrVector:
                CsrMatrix csr = CsrMatrix.FromMask(mask, weight, side, side);
                if (!windows) return BreakEvenOf(density, dense, () => SpMV.Multiply(csr, x, y));
                var prepared = new PreparedSpMV(csr);
                return BreakEvenOf(SparseCost.OfWindows(prepared.Bytes, side, side), dense, () => prepared.Multiply(x, y, default, Clamp.None));
            case KernelKind.BitmaskVector:
                CompactMatrix bits = CompactMatrix.FromMask(mask, weight, side, side, ValueKind.Float32);
                return BreakEvenOf(SparseCost.OfBitmask(density), dense, () => Gemv.Multiply(bits, x, y));
            default:
                BlockCsrMatrix tiles = BlockCsrMatrix.FromMask(mask, weight, side, side, blockRows, 1);
                return BreakEvenOf(density, dense, () => SpMV.Multiply(tiles, x, y));
        }
    }

    /// <summary>Values of few bits under a mask or in windows beside all values of the same type: a matrix that stays in the second cache, or the next of many copies.</summary>
    private static double FewBits(ValueKind values, int columns, bool inMemory, bool windows)
    {
        const long CachedBytes = 256 << 10, CopyBytes = 1 << 20;
        var random = new Random(6);
        int rows = (int)((inMemory ? CopyBytes : CachedBytes) * 8 / values.Bits() / columns), next = 0, copies = inMemory ? (int)(2 * BeyondCaches / CopyBytes) : 1;
        float[] weight = Uniform(random, rows * columns), x = Uniform(random, columns), y = new float[rows];
        CompactMatrix[] all = Copies(CompactMatrix.FromDense(weight, rows, columns, values));
        CompactMatrix masked = CompactMatrix.FromMask(RandomMask(random, rows, columns, 1, BitmaskDensity), weight, rows, columns, values);
        double cost = SparseCost.OfFewBits(BitmaskDensity);
        Action sparse;
        if (windows)
        {
            PreparedSpMV[] prepared = [.. Enumerable.Range(0, copies).Select(_ => new PreparedSpMV(masked))];
            cost = SparseCost.OfWindows(prepared[0].Bytes, rows, columns, values);
            sparse = () => prepared[next].Multiply(x, y, default, Clamp.None);
        }
        else
        {
            CompactMatrix[] masks = Copies(masked);
            sparse = () => Gemv.Multiply(masks[next], x, y);
        }
        // The best time from memory is that of a matrix of which a part was still in a cache: the median is what a model sees.
        double[] times = KernelTimer.Medians(BudgetMilliseconds, () => Gemv.Multiply(all[next = (next + 1) % copies], x, y), sparse);
        return cost * times[0] / times[1];

        CompactMatrix[] Copies(CompactMatrix w) =>
            [.. Enumerable.Range(0, copies).Select(i => i == 0 ? w : CompactMatrix.FromParts(w.Rows, w.Columns, w.Kind, w.HasMask ? w.Bits.ToArray() : default(ReadOnlyMemory<byte>?), LineMemory.Copy(w.Values.Span), w.Scales.ToArray(), w.Kind == ValueKind.Int4 ? w.GroupColumns : 0))];
    }

    /// <summary>The point, from halves of the budget until two of them agree; the lesser of the two in the middle where they do not.</summary>
    private static double BreakEvenOf(double cost, Action dense, Action sparse)
    {
        var points = new List<double>(MostHalves);
        do
        {
            double[] times = KernelTimer.Best(BudgetMilliseconds / 2, CancellationToken.None, dense, sparse);
            points.Add(cost * times[0] / times[1]);
            points.Sort();
        }
        while (points.Count < 2 || (points.Count < MostHalves && !Enumerable.Range(1, points.Count - 1).Any(i => points[i] <= points[i - 1] * Agreement)));
        int middle = (points.Count - 1) / 2;
        return points.Count == 2 ? points[0] : points[middle];
    }

    private static float[] Uniform(Random random, int length)
    {
        var values = new float[length];
        for (int i = 0; i < length; i++) values[i] = random.NextSingle() - 0.5f;
        return values;
    }

    private static Mask RandomMask(Random random, int rows, int columns, int blockRows, double density)
    {
        var kept = new bool[rows * columns];
        for (int r = 0; r < rows; r += blockRows)
        {
            for (int c = 0; c < columns; c++)
            {
                if (random.NextDouble() >= density) continue;
                for (int i = 0; i < blockRows; i++) kept[(r + i) * columns + c] = true;
            }
        }
        return Mask.FromFlags([rows, columns], kept);
    }
}

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
    private const double Density = 0.5, PartDensity = 0.35, VectorDensity = 0.15, DepthwiseDensity = 0.2, GroupedDensity = 0.3, BitmaskDensity = 0.4, BitmaskOfSinglesDensity = 0.8, FarWindowsDensity = 0.7;

    // A second look at a point that was disturbed: how far two halves of a measurement may be apart, and how often it is taken up again.
    private const double Agreement = 1.1;
    private const int MostHalves = 6;

    // Columns of a row from which on scales and adding up are no longer most of it, and a small part of it; bytes that are a good part of a second cache, that none holds, that a part of the third one holds beside what else is used, and that no cache holds.
    public const int MiddleRow = 256, LongRow = 2048;
    public const long PartOfSecondCache = 512 << 10, BeyondSecondCache = 4 << 20, PartOfThirdCache = 12 << 20, BeyondCaches = 32 << 20;

    // Rows of a block from which on up to so many rows of input meet it along a register.
    private const int TallBlock = 8, LaneRows = 4;

    // Weights of 1024 x 1024 that are met in turn where none is to be in a cache: 40 MB, with a third cache of more than 32 MB up to four times as many.
    private const int FarSide = 1024;
    private static readonly int s_farCopies = (int)Math.Clamp(SparseCost.LastCacheBytes * 5 / 4 / (FarSide * FarSide * sizeof(float)), 10, 40);

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
        .. Of(KernelKind.Grouped, 5, 0, (256, 1), (128, 28)),
        .. Of(KernelKind.Grouped, 3, 32, (512, 1), (512, 4), (256, 7), (256, 14), (128, 28), (128, 56)).Select(l => l with { LeastColumns = SeveralChannels }),
        .. Of(KernelKind.Grouped, 3, 32, (512, 1), (256, 7), (128, 14), (128, 28)).Select(l => l with { Batch = SharedImages }),
        .. Of(KernelKind.Depthwise, 3, 0, (256, 4), (256, 7), (128, 14), (128, 28)),
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
        foreach (Product product in Products)
        {
            foreach (int height in (ReadOnlySpan<int>)[1, 4, TallBlock])
            {
                Func<int, double>? matrix = null;
                bool tall = height >= TallBlock;
                // The smallest weights have the points of tall blocks of 512 x 512, which are the lesser.
                if (tall && product.From == 0) continue;
                foreach (int rows in product.Rows.Where(r => !tall || r <= LaneRows))
                    Add(new BreakEven(height > 1 ? KernelKind.Block : KernelKind.Csr, Math.Min(rows, ManyRows), 0) { WeightBytes = tall && product.From == PartOfSecondCache ? 0 : product.From, BlockRows = tall ? TallBlock : 0 }, () => (matrix ??= Matrix(product, height))(rows));
            }
        }
        // With more rows of input all blocks take the same time, and a table asks for the height first.
        entries.AddRange([.. entries.Where(e => e is { Kernel: KernelKind.Block, BlockRows: 0, Size: > LaneRows }).Select(e => e with { BlockRows = TallBlock })]);
        // From 2 MB on a second cache of half a megabyte to one holds no dense weight, which then waits for the third (Zen 1, one thread: blocks of 4 x 1 break even at 0.19 of 512 x 512 and gain a quarter at 0.3 of 768 x 768; 896 x 896 is halfway to the next rule).
        foreach ((int side, long size) in new[] { (512, 0L), (896, 2L << 20), (1536, 4L << 20), (2048, PartOfThirdCache), (FarSide, BeyondCaches) })
        {
            Add(new BreakEven(KernelKind.CsrVector, size, 0), () => Vector(side, size, KernelKind.CsrVector, 1));
            Add(new BreakEven(KernelKind.BitmaskVector, size, 0), () => Vector(side, size, KernelKind.BitmaskVector, 1));
            // Blocks and columns have the points of 4 MB there, which are the lesser or the same (Zen 4, two threads: 0.31 for 0.39 with 4 x 1, 0.55 and 0.82 for the same with 8 x 1 and 16 x 1, 0.75 for 0.81 by columns).
            if (size == PartOfThirdCache) continue;
            foreach (int height in (ReadOnlySpan<int>)[4, 8, 16]) Add(new BreakEven(KernelKind.BlockVector, size, 0) { BlockRows = height }, () => Vector(side, size, KernelKind.BlockVector, height));
            Add(new BreakEven(KernelKind.Columns, size, 0), () => Columns(size < BeyondCaches ? side : FarColumns));
        }
        // Twice, all others in between: one in forty was four times too high and more, its dense product slow for as long as the look took (Zen 4, never the same one).
        foreach (ValueKind values in (ValueKind[])[ValueKind.BFloat16, ValueKind.Int8, ValueKind.Int4, ValueKind.BFloat16, ValueKind.Int8, ValueKind.Int4])
        {
            // Short rows are timed in the caches: beyond, masks wait for memory as those of middle length do.
            foreach ((int columns, int from, long size) in new[] { (96, 0, 0L), (768, MiddleRow, 0L), (LongRow, LongRow, 0L), (768, 0, BeyondSecondCache), (LongRow, LongRow, BeyondSecondCache), (768, 0, BeyondCaches), (LongRow, LongRow, BeyondCaches) })
            {
                Add(new BreakEven(KernelKind.BitmaskVector, size, 0) { Values = values, Columns = from }, () => FewBits(values, columns, size, windows: false));
                if (PreparedSpMV.IsFast(values)) Add(new BreakEven(KernelKind.CsrVector, size, 0) { Values = values, Columns = from }, () => FewBits(values, columns, size, windows: true));
            }
        }
        return new BreakEvenTable(entries, $"measured with {SimdSupport.Level}, {WorkPool.Threads} threads") { Conditions = BreakEvenConditions.Current, Disturbance = disturbance ?? Disturbance.Now() };

        void Add(BreakEven rule, Func<double> measure)
        {
            cancellation.ThrowIfCancellationRequested();
            progress?.Report($"{rule.Kernel}{(rule.Values == ValueKind.Float32 ? "" : " " + rule.Values.ShortName())}{(rule.BlockRows > 0 ? $" of {rule.BlockRows} rows" : "")}{(rule.Images > 0 ? $" of {rule.Images} images" : "")} from {rule.Size}{(rule.WeightBytes > 0 ? $", weights from {rule.WeightBytes / 1e6:0.0} MB" : "")}");
            rule = rule with { Density = Math.Round(Math.Clamp(measure(), 0, BreakEven.MostDensity), 3) };
            // Few bits, measured twice, have the lesser point: staying dense is the lesser loss. Any other rule that is given twice is a mistake, which the table finds.
            int known = rule.Values == ValueKind.Float32 ? -1 : entries.FindIndex(e => (e with { Density = rule.Density }) == rule);
            if (known < 0) entries.Add(rule);
            else if (entries[known].Density > rule.Density) entries[known] = rule;
        }
    }

    // Points change little from here on: the rule of more rows holds from so many.
    private const int ManyRows = 64;

    // One full weight by columns that no cache of 32 MB holds.
    private const int FarColumns = 3072;

    /// <summary>Square weights that are timed with so many rows of input, <see cref="ManyRows"/> and more with 128; for all weights of at least <see cref="From"/> bytes. Copies are met in turn.</summary>
    private sealed record Product(int Side, long From, int Copies, double Density, params int[] Rows);

    // A tile of the dense kernel has eight rows; what fills none is cheaper from four rows down. Few rows wait for the weight: for one of 256 x 256 as long as for the multiply-adds, twice as long and more for what the third cache and memory hold.
    private static IEnumerable<Product> Products =>
    [
        new(256, 0, 1, Density, 2, 4, 5, 8, 12), new(512, PartOfSecondCache, 1, Density, 2, 4, 5, 8, 12), new(512, 0, 1, Density, 16, 24, 32, 128),
        // A model that fits the third cache, with one weight that is a good part of it: a third of its values in code fits as well, half of them hardly do.
        new(2048, PartOfThirdCache, 1, PartDensity, 2, 4, 5, 8),
        // A model that does not: its next weight comes from memory, whatever its size (see SparseCost.BytesToReach).
        new(FarSide, BeyondCaches, s_farCopies, Density, 2, 4, 5, 8, 12, 16, 24, 32, 128),
    ];

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
        PreparedColumns columns = PreparedColumns.FromColumns(weight, side, side);
        return BreakEvenOf(SparseCost.HalfOfColumns, () => Gemm.Multiply(false, 1, x, side, packed, 0, y, side, default, default, Clamp.None), () => columns.Multiply(x, 0, y));
    }

    /// <summary>The point of a square weight, or of the next of several copies, for a number of rows of input.</summary>
    private static Func<int, double> Matrix(Product product, int height)
    {
        (int side, long from, int copies, double density, _) = product;
        var random = new Random(2);
        float[] weight = Uniform(random, side * side);
        Mask mask = RandomMask(random, side, side, height, density);
        PackedMatrix[] packed = [.. Enumerable.Range(0, copies).Select(_ => PackedMatrix.Right(true, side, side, weight, side))];
        PreparedSpMM[] sparse = [.. Enumerable.Range(0, copies).Select(_ => height > 1 ? new PreparedSpMM(BlockCsrMatrix.FromMask(mask, weight, side, side, height, 1)) : new PreparedSpMM(CsrMatrix.FromMask(mask, weight, side, side)))];
        return rows =>
        {
            int next = 0;
            float[] x = Uniform(random, rows * side), y = new float[rows * side];
            // Code is written when it is first needed.
            for (int i = 1; i < copies; i++) sparse[i].Linear(x, rows, y);
            Action dense = () => Gemm.Multiply(false, rows, x, side, packed[next = (next + 1) % copies], 0, y, side, default, default, Clamp.None);
            return BreakEvenOf(SparseCost.OfLinear(density, side, side, rows, height), dense, () => sparse[next].Linear(x, rows, y), TimesOf(from, copies));
        };
    }

    /// <summary>How candidates of weights are timed: together those of a model that fits the third cache may not; the best time from memory is that of a copy of which a part was still in a cache, and the median is what a model sees.</summary>
    private static Func<Action[], double[]> TimesOf(long from, int copies = 1)
    {
        if (copies > 1) return c => KernelTimer.Medians(BudgetMilliseconds / 2, c);
        return c => KernelTimer.BestOfMany(BudgetMilliseconds / 2, again: from is >= PartOfThirdCache and < BeyondCaches, c);
    }

    /// <summary>The point of a square weight against one vector, or of the next of several copies.</summary>
    private static double Vector(int side, long size, KernelKind kernel, int blockRows)
    {
        var random = new Random(3);
        // A bit-mask reads all its bits whatever the density, and windows fill with it: they are measured where they are meant to win. A bit-mask over 3072 x 3072 gained at 0.4, where a third cache of 32 MB held it, and lost by a third at 0.7, where it did not; windows of 12 MB and more are measured at 0.7 for the same reason.
        bool windows = kernel == KernelKind.CsrVector && LinearKernel.UsesWindows;
        double density = kernel == KernelKind.BitmaskVector ? BitmaskOfSinglesDensity : windows ? size < PartOfThirdCache ? BitmaskDensity : FarWindowsDensity : VectorDensity;
        float[] weight = Uniform(random, side * side), x = Uniform(random, side), y = new float[side];
        int copies = size < BeyondCaches ? 1 : s_farCopies, next = 0;
        PackedMatrix[] packed = Copies(() => PackedMatrix.Right(true, side, side, weight, side));
        Mask mask = RandomMask(random, side, side, blockRows, density);
        Action dense = () => Gemm.Multiply(false, 1, x, side, packed[next = (next + 1) % copies], 0, y, side, default, default, Clamp.None);
        Action sparse;
        double cost = density;
        switch (kernel)
        {
            case KernelKind.CsrVector:
                CsrMatrix[] rows = Copies(() => CsrMatrix.FromMask(mask, weight, side, side));
                sparse = () => SpMV.Multiply(rows[next], x, y);
                if (!windows) break;
                PreparedSpMV[] prepared = [.. rows.Select(r => new PreparedSpMV(r))];
                cost = SparseCost.OfWindows(prepared[0].Bytes, side, side);
                sparse = () => prepared[next].Multiply(x, y, default, Clamp.None);
                break;
            case KernelKind.BitmaskVector:
                CompactMatrix[] bits = Copies(() => CompactMatrix.FromMask(mask, weight, side, side, ValueKind.Float32));
                cost = SparseCost.OfBitmask(density);
                sparse = () => Gemv.Multiply(bits[next], x, y);
                break;
            default:
                BlockCsrMatrix[] tiles = Copies(() => BlockCsrMatrix.FromMask(mask, weight, side, side, blockRows, 1));
                sparse = () => SpMV.Multiply(tiles[next], x, y);
                break;
        }
        // The first product with a copy cuts it into parts for threads.
        for (int i = 1; i < copies; i++)
        {
            dense();
            sparse();
        }
        return BreakEvenOf(cost, dense, sparse, TimesOf(size, copies));

        T[] Copies<T>(Func<T> make) => [.. Enumerable.Range(0, copies).Select(_ => make())];
    }

    /// <summary>Values of few bits under a mask or in windows beside all values of the same type: a matrix that stays in the second cache, or the next of many copies.</summary>
    private static double FewBits(ValueKind values, int columns, long bytes, bool windows)
    {
        const long CachedBytes = 256 << 10, CopyBytes = 1 << 20;
        var random = new Random(6);
        int rows = (int)((bytes > 0 ? CopyBytes : CachedBytes) * 8 / values.Bits() / columns), next = 0, copies = Math.Max(1, (int)(2 * bytes / CopyBytes));
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
        Action dense = () => Gemv.Multiply(all[next = (next + 1) % copies], x, y);
        // A budget may hold no second look at a copy, and the first one finds its pages new.
        for (int i = 0; i < copies; i++)
        {
            dense();
            sparse();
        }
        double[] times = KernelTimer.Medians(BudgetMilliseconds / 2, dense, sparse);
        return cost * times[0] / times[1];

        CompactMatrix[] Copies(CompactMatrix w) =>
            [.. Enumerable.Range(0, copies).Select(i => i == 0 ? w : CompactMatrix.FromParts(w.Rows, w.Columns, w.Kind, w.HasMask ? w.Bits.ToArray() : default(ReadOnlyMemory<byte>?), LineMemory.Copy(w.Values.Span), w.Scales.ToArray(), w.Kind == ValueKind.Int4 ? w.GroupColumns : 0))];
    }

    /// <summary>The point, from halves of the budget until two of them agree; the lesser of the two in the middle where they do not.</summary>
    private static double BreakEvenOf(double cost, Action dense, Action sparse, Func<Action[], double[]>? timesOf = null)
    {
        timesOf ??= TimesOf(0);
        var points = new List<double>(MostHalves);
        do
        {
            double[] times = timesOf([dense, sparse]);
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

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
    private const double BudgetMilliseconds = 60;

    // Near the point itself: what a table says matters most there.
    private const double Density = 0.5, VectorDensity = 0.15, DepthwiseDensity = 0.2, BitmaskDensity = 0.4;

    // Columns of a row from which on scales and adding up are a small part of it, and bytes that no cache holds.
    public const int LongRow = 2048;
    public const long BeyondCaches = 32 << 20;

    public static BreakEvenTable Run(IProgress<string>? progress, CancellationToken cancellation)
    {
        var entries = new List<BreakEven>();
        foreach ((int channels, int image, long size) in new[] { (256, 1, 0L), (256, 4, 16L), (256, 7, 49L), (128, 14, 196L), (64, 28, 784L), (64, 56, 3136L) })
            Add(new BreakEven(KernelKind.Convolution, size, 0), () => Convolution(channels, image));
        foreach ((int channels, int image, long size) in new[] { (256, 7, 0L), (128, 14, 196L), (128, 28, 784L) })
            Add(new BreakEven(KernelKind.Depthwise, size, 0), () => Depthwise(channels, image));
        foreach ((int rows, long size) in new[] { (2, 2L), (4, 4L), (8, 8L), (16, 16L), (24, 24L), (32, 32L), (128, 64L) })
        {
            Add(new BreakEven(KernelKind.Csr, size, 0), () => Matrix(rows, block: false));
            Add(new BreakEven(KernelKind.Block, size, 0), () => Matrix(rows, block: true));
        }
        foreach ((int side, long size) in new[] { (512, 0L), (1536, 4L << 20), (3072, 32L << 20) })
        {
            Add(new BreakEven(KernelKind.CsrVector, size, 0), () => Vector(side, KernelKind.CsrVector));
            Add(new BreakEven(KernelKind.BitmaskVector, size, 0), () => Vector(side, KernelKind.BitmaskVector));
            Add(new BreakEven(KernelKind.BlockVector, size, 0), () => Vector(side, KernelKind.BlockVector));
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
        return new BreakEvenTable(entries, $"measured with {SimdSupport.Level}, {WorkPool.Threads} threads") { Conditions = BreakEvenConditions.Current };

        void Add(BreakEven rule, Func<double> measure)
        {
            cancellation.ThrowIfCancellationRequested();
            progress?.Report($"{rule.Kernel}{(rule.Values == ValueKind.Float32 ? "" : " " + rule.Values.ShortName())} from {rule.Size}");
            entries.Add(rule with { Density = Math.Round(Math.Clamp(measure(), 0, 1), 3) });
        }
    }

    private static double Convolution(int channels, int image)
    {
        var random = new Random(1);
        Convolution2D geometry = new Convolution2D(1, channels, image, image, channels, 3, 3).WithPadding(1);
        float[] weight = Uniform(random, (int)geometry.WeightLength), x = Uniform(random, (int)geometry.InputLength), y = new float[geometry.OutputLength];
        PackedConvolution packed = geometry.Pack(weight);
        var shape = new SparseConvolutionShape(channels, channels, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 };
        var sparse = new PreparedSparseConvolution(shape, CsrMatrix.FromMask(RandomMask(random, channels, channels * 9, 1, Density), weight, channels, channels * 9));
        return BreakEvenOf(SparseCost.Of(Density, channels, (long)image * image), () => geometry.Forward(x, packed, default, y), () => sparse.Forward(x, 1, image, image, y));
    }

    private static double Depthwise(int channels, int image)
    {
        var random = new Random(4);
        Convolution2D geometry = new Convolution2D(1, channels, image, image, channels, 3, 3) { Groups = channels }.WithPadding(1);
        float[] weight = Uniform(random, (int)geometry.WeightLength), x = Uniform(random, (int)geometry.InputLength), y = new float[geometry.OutputLength];
        PackedConvolution packed = geometry.Pack(weight);
        var shape = new SparseConvolutionShape(channels, channels, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1, Groups = channels };
        var sparse = new PreparedSparseConvolution(shape, CsrMatrix.FromMask(RandomMask(random, channels, 9, 1, DepthwiseDensity), weight, channels, 9));
        return BreakEvenOf(SparseCost.OfDepthwise(DepthwiseDensity), () => geometry.Forward(x, packed, default, y), () => sparse.Forward(x, 1, image, image, y));
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
            return BreakEvenOf(SparseCost.Of(Density, Side, rows, 4), dense, () => tiles.Linear(x, rows, y));
        }
        var sparse = new PreparedSpMM(CsrMatrix.FromMask(mask, weight, Side, Side));
        return BreakEvenOf(SparseCost.Of(Density, Side, rows), dense, () => sparse.Linear(x, rows, y));
    }

    private static double Vector(int side, KernelKind kernel)
    {
        var random = new Random(3);
        // A bit-mask reads all its bits whatever the density, and windows fill with it: they are measured where they are meant to win.
        bool windows = kernel == KernelKind.CsrVector && LinearKernel.UsesWindows;
        double density = windows || kernel == KernelKind.BitmaskVector ? BitmaskDensity : VectorDensity;
        float[] weight = Uniform(random, side * side), x = Uniform(random, side), y = new float[side];
        PackedMatrix packed = PackedMatrix.Right(true, side, side, weight, side);
        Mask mask = RandomMask(random, side, side, kernel == KernelKind.BlockVector ? 16 : 1, density);
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
                BlockCsrMatrix tiles = BlockCsrMatrix.FromMask(mask, weight, side, side, 16, 1);
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
            [.. Enumerable.Range(0, copies).Select(i => i == 0 ? w : CompactMatrix.FromParts(w.Rows, w.Columns, w.Kind, w.HasMask ? w.Bits.ToArray() : default(ReadOnlyMemory<byte>?), w.Values.ToArray(), w.Scales.ToArray(), w.Kind == ValueKind.Int4 ? w.GroupColumns : 0))];
    }

    private static double BreakEvenOf(double cost, Action dense, Action sparse)
    {
        double[] times = KernelTimer.Best(BudgetMilliseconds, dense, sparse);
        return cost * times[0] / times[1];
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

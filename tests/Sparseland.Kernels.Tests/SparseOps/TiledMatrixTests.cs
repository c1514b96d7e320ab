using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Compiled;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>Products with matrices whose rows share their columns, against the scalar reference. On machines without AVX2 both sides are kernels without code.</summary>
[Collection("threads")]
public class TiledMatrixTests
{
    /// <summary>Rows that fill their tiles and rows that do not; widths of no register, of columns with rows in the lanes, of masks, of several chunks, and a stride that is a power of two.</summary>
    public static TheoryData<int, int, int, int, double> Shapes => new()
    {
        { 4, 4, 40, 2, 0.5 }, { 4, 8, 40, 3, 0.5 }, { 4, 64, 30, 49, 0.2 }, { 4, 50, 64, 196, 0.1 }, { 4, 13, 20, 95, 0.3 }, { 4, 12, 7, 16, 1 }, { 4, 20, 9, 100, 0.5 },
        { 8, 8, 40, 4, 0.5 }, { 8, 64, 300, 49, 0.05 }, { 8, 61, 64, 49, 0.1 }, { 8, 40, 64, 196, 0.1 }, { 8, 24, 20, 500, 0.2 }, { 8, 9, 12, 48, 0.5 }, { 8, 16, 30, 31, 0.3 },
        { 16, 64, 64, 784, 0.1 }, { 16, 50, 33, 20, 0.2 }, { 12, 36, 50, 37, 0.2 }, { 4, 32, 30, 1024, 0.2 }, { 16, 32, 30, 2048, 0.1 }, { 300, 300, 70, 66, 0.3 }, { 4, 64, 64, 33, 1 }, { 8, 400, 200, 17, 0.05 }, { 8, 72, 1400, 230, 0.02 }, { 4, 130, 3000, 120, 0.02 },
        { 4, 130, 20, 53, 0.7 }, { 4, 200, 24, 196, 0.5 }, { 4, 20, 30, 7, 0.4 }, { 4, 20, 30, 9, 0.4 }, { 8, 20, 30, 14, 0.4 }, { 4, 24, 40, 197, 0.3 }, { 4, 24, 40, 198, 0.3 }, { 16, 32, 40, 199, 0.3 },
        // Long rows with few columns a tile, and far more outputs than inputs, which threads share by rows.
        { 8, 72, 40, 600, 0.1 }, { 4, 300, 60, 700, 0.05 }, { 16, 260, 100, 1000, 0.04 }, { 8, 260, 60, 1024, 0.1 }, { 4, 300, 60, 2048, 0.05 }, { 4, 300, 64, 1600, 0.05 },
        // Columns in blocks, whose inputs are packed: one block and several, rows that fill no tile, odd and even counts, groups of two sizes, no whole register, threads that share rows.
        { 4, 61, 512, 9, 0.6 }, { 4, 64, 600, 49, 0.5 }, { 8, 61, 900, 98, 0.5 }, { 4, 50, 1600, 31, 0.7 }, { 16, 64, 770, 196, 0.7 }, { 4, 28, 1537, 25, 1 }, { 300, 300, 800, 72, 0.3 },
    };

    [Theory, MemberData(nameof(Shapes))]
    public void Tiles_give_the_bits_of_the_reference(int height, int rows, int columns, int n, double density)
    {
        var random = new Random(rows * 7919 + columns * 31 + n);
        CsrMatrix csr = Tiles(random, height, rows, columns, density);
        float[] b = Uniform(random, columns * n), bias = Uniform(random, rows), residual = Uniform(random, rows * n);
        foreach (Clamp clamp in new[] { Clamp.None, Clamp.Relu, new Clamp(-0.25f, 0.25f) })
        {
            foreach ((bool hasBias, bool hasResidual) in new[] { (false, false), (true, false), (false, true), (true, true) })
            {
                float[] added = hasBias ? bias : [], toAdd = hasResidual ? residual : [];
                var expected = new float[rows * n];
                SpMM.MultiplyReference(csr, b, n, expected, added, toAdd, clamp);
                var w = new PreparedSpMM(csr);
                Near.BitEqual(expected, SameEverywhere(rows * n, c => w.Multiply(b, n, c, added, toAdd, clamp)));
                // A linear layer has the same bits, turned.
                float[] x = Transpose(b, columns, n), toAddTurned = hasResidual ? Transpose(residual, rows, n) : [];
                Near.BitEqual(Transpose(expected, rows, n), SameEverywhere(rows * n, y => w.Linear(x, n, y, added, toAddTurned, clamp)));
                if (!hasResidual) continue;
                w.Linear(x, n, toAddTurned, added, toAddTurned, clamp);
                Near.BitEqual(Transpose(expected, rows, n), toAddTurned);
                float[] inPlace = (float[])residual.Clone();
                w.Multiply(b, n, inPlace, added, inPlace, clamp);
                Near.BitEqual(expected, inPlace);
            }
        }
    }

    /// <summary>Rows are shared where outputs are far more than inputs, unless every thread would copy its inputs, or read more than its second cache holds, or one would wait for another's large tile.</summary>
    [SkippableFact]
    public void Rows_are_shared_where_outputs_are_far_more_than_inputs()
    {
        Skip.IfNot(TileCode.IsUsable, "there is no code for tiles on this machine");
        var random = new Random(23);
        CsrMatrix thin = Tiles(random, 4, 300, 64, 0.05);
        Assert.True(Shares(thin, 784));
        Assert.True(Shares(thin, 784, threads: 4));
        // Too many threads, too few outputs, rows that fall into few sets, inputs that are too large.
        Assert.False(Shares(thin, 784, threads: 16));
        Assert.False(Shares(Tiles(random, 4, 300, 200, 0.05), 784));
        Assert.False(Shares(thin, 1024));
        Assert.False(Shares(thin, 1 << 20 | 16));
        // Rows that begin inside lines and are used so often that they are copied.
        Assert.True(Shares(thin, 787));
        Assert.False(Shares(Tiles(random, 4, 300, 64, 0.6), 787));
        // One full tile.
        Assert.False(Shares(WithFullTile(thin), 784));

        static TiledMatrix Find(CsrMatrix csr) => TiledMatrix.TryCreate(csr.Rows, csr.Columns, csr.RowPointers.ToArray(), csr.ColumnIndices)!;

        static bool Shares(CsrMatrix csr, int n, int threads = 2) => new TiledProduct { Matrix = Find(csr), Columns = n, InputStride = n }.PrefersRows(threads);
    }

    [Fact]
    public void One_full_tile_among_thin_and_empty_ones_gives_the_bits_of_the_reference()
    {
        const int N = 700;
        var random = new Random(29);
        CsrMatrix csr = WithFullTile(Tiles(random, 4, 300, 60, 0.02));
        float[] b = Uniform(random, csr.Columns * N), bias = Uniform(random, csr.Rows), residual = Uniform(random, csr.Rows * N), expected = new float[csr.Rows * N];
        SpMM.MultiplyReference(csr, b, N, expected, bias, residual, Clamp.Relu);
        var w = new PreparedSpMM(csr);
        Near.BitEqual(expected, SameEverywhere(expected.Length, c => w.Multiply(b, N, c, bias, residual, Clamp.Relu)));
    }

    [Fact]
    public void A_tile_of_very_many_columns_gives_the_bits_of_the_reference()
    {
        const int Rows = 9, Columns = 24000, N = 210;
        var random = new Random(11);
        CsrMatrix csr = Tiles(random, 8, Rows, Columns, 1);
        float[] b = Uniform(random, Columns * N), bias = Uniform(random, Rows), residual = Uniform(random, Rows * N), expected = new float[Rows * N], actual = new float[Rows * N];
        SpMM.MultiplyReference(csr, b, N, expected, bias, residual, Clamp.Relu);
        new PreparedSpMM(csr).Multiply(b, N, actual, bias, residual, Clamp.Relu);
        Near.BitEqual(expected, actual);
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Values_that_change_are_taken_over(int height, int rows, int columns, int n, double density)
    {
        var random = new Random(rows + columns + n);
        CsrMatrix csr = Tiles(random, height, rows, columns, density);
        float[] b = Uniform(random, columns * n), c = new float[rows * n], expected = new float[rows * n];
        var w = new PreparedSpMM(csr);
        w.Multiply(b, n, c);
        w.SetValues(Uniform(random, csr.StoredCount));
        SpMM.MultiplyReference(w.ToCsr(), b, n, expected, default, default, Clamp.None);
        w.Multiply(b, n, c);
        Near.BitEqual(expected, c);
        var y = new float[n * rows];
        w.Linear(Transpose(b, columns, n), n, y);
        Near.BitEqual(Transpose(expected, rows, n), y);
    }

    [SkippableFact]
    public void Tiles_are_found_where_rows_share_their_columns()
    {
        Skip.IfNot(TileCode.IsUsable, "there is no code for tiles on this machine");
        var random = new Random(3);
        foreach ((int height, int expected) in new[] { (4, 4), (8, 8), (16, 8), (12, 4), (300, 8) })
        {
            CsrMatrix csr = Tiles(random, height, 61, 40, 0.3);
            TiledMatrix found = Find(csr)!;
            // Sixteen registers hold no sums of eight rows and their inputs.
            int best = found.Code.Lanes == 16 ? expected : 4;
            Assert.Equal(best, found.Height);
            Assert.Equal((61 + best - 1) / best, found.Tiles);
        }
        Assert.Null(Find(Csr(random, 60, 40, 0.3)));
        Assert.Null(Find(Tiles(random, 3, 60, 40, 0.3)));
        // The last row has a column of its own.
        Assert.Null(Find(new CsrMatrix(4, 3, [0, 1, 2, 3, 5], [1, 1, 1, 1, 2], [1, 1, 1, 1, 1])));
        using (SimdDispatch.Force(SimdLevel.Vector128)) Assert.Null(Find(Tiles(random, 4, 60, 40, 0.3)));

        static TiledMatrix? Find(CsrMatrix csr) => TiledMatrix.TryCreate(csr.Rows, csr.Columns, csr.RowPointers.ToArray(), csr.ColumnIndices);
    }

    [SkippableFact]
    public void Columns_are_in_blocks_where_inputs_are_used_often_enough()
    {
        using SimdDispatch.Forced forced = SimdDispatch.Force((SimdLevel)Math.Min((int)SimdLevel.Vector256, (int)SimdDispatch.Level));
        Skip.IfNot(TileCode.Current is { Packs: true } && !VectorUnits.AreHalf256, "inputs are packed with AVX2 and whole units of 256 bits");
        var random = new Random(5);
        CsrMatrix csr = Tiles(random, 4, 61, 1600, 0.6);
        TiledMatrix blocks = Find(csr, byBlocks: true)!, plain = Find(csr, byBlocks: false)!;
        Assert.Equal((3, 534), (blocks.Blocks, blocks.BlockDepth));
        Assert.Equal((1, 0), (plain.Blocks, plain.BlockDepth));
        Assert.Equal(plain.Pointers.ToArray(), blocks.Pointers.ToArray());
        Assert.Equal(plain.StoredCount, blocks.StoredCount);
        Assert.All(blocks.Starts.ToArray(), (start, part) => Assert.True(part == 0 || start >= blocks.Starts[part - 1]));
        // Few rows, thin rows or few columns.
        Assert.Equal(0, Find(Tiles(random, 4, 20, 1600, 0.6), byBlocks: true)!.BlockDepth);
        Assert.Equal(0, Find(Tiles(random, 4, 64, 1600, 0.2), byBlocks: true)!.BlockDepth);
        Assert.Equal(0, Find(Tiles(random, 4, 64, 256, 1), byBlocks: true)!.BlockDepth);

        static TiledMatrix? Find(CsrMatrix csr, bool byBlocks) => TiledMatrix.TryCreate(csr.Rows, csr.Columns, csr.RowPointers.ToArray(), csr.ColumnIndices, byBlocks);
    }

    [Fact]
    public void Packed_inputs_of_every_width_give_the_bits_of_the_reference()
    {
        // The last line of the first of two blocks is one that no weight meets.
        const int Rows = 30, Columns = 780, Unmet = 389;
        var random = new Random(17);
        var dense = new float[Rows * Columns];
        Tiles(random, 4, Rows, Columns, 1).ToDense(dense);
        for (int r = 0; r < Rows; r++) dense[r * Columns + Unmet] = 0;
        CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, Columns);
        var w = new PreparedSpMM(csr);
        for (int n = 2; n <= 74; n++)
        {
            float[] b = Uniform(random, Columns * n), bias = Uniform(random, Rows), residual = Uniform(random, Rows * n), expected = new float[Rows * n];
            // What no weight meets, and what lies behind the end of a row (that line begins there), must not matter; what one meets must.
            b.AsSpan(Unmet * n, n).Fill(float.NaN);
            b[Unmet * n] = float.PositiveInfinity;
            b[^1] = float.NaN;
            b[n - 1] = float.PositiveInfinity;
            SpMM.MultiplyReference(csr, b, n, expected, bias, residual, Clamp.Relu);
            Assert.All(expected, (value, i) => Assert.True(i % n == n - 1 || float.IsFinite(value)));
            Near.BitEqual(expected, SameEverywhere(Rows * n, c => w.Multiply(b, n, c, bias, residual, Clamp.Relu)));
        }
    }

    [SkippableFact]
    public void Linear_layers_share_what_is_not_in_blocks()
    {
        Skip.IfNot(TileCode.IsUsable, "there is no code for tiles on this machine");
        var random = new Random(19);
        foreach ((CsrMatrix csr, bool pays) in new[] { (Tiles(random, 4, 61, 1600, 0.6), true), (Tiles(random, 4, 64, 256, 1), false), (Tiles(random, 4, 64, 1600, 0.2), false) })
        {
            bool hasBlocks = pays && TileCode.Current!.Packs && !VectorUnits.AreHalf256;
            foreach (bool first in new[] { true, false })
            {
                var once = new TiledOnce();
                TiledMatrix one = Get(first, 0), other = Get(!first, 0);
                Assert.Equal(!hasBlocks, ReferenceEquals(one, other));
                Assert.Equal(hasBlocks && first, one.BlockDepth > 0);
                Assert.Equal(hasBlocks && !first, other.BlockDepth > 0);
                Assert.Equal(hasBlocks ? one.Bytes + other.Bytes : one.Bytes, once.Bytes);
                Assert.Same(one, Get(first, 1));
                Assert.Same(other, Get(!first, 1));

                TiledMatrix Get(bool byBlocks, long version) => once.Get(csr.Rows, csr.Columns, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), csr.Values.ToArray(), version, byBlocks)!;
            }
        }
    }

    [Fact]
    public void Infinities_nan_denormals_and_negative_zeros_are_kept()
    {
        float[] values = [float.Epsilon, -float.Epsilon, float.PositiveInfinity, float.NegativeInfinity, float.NaN, -0f, float.MaxValue, 1];
        var w = new PreparedSpMM(new CsrMatrix(8, 2, [0, 1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 1, 1, 1, 1, 1], values));
        foreach (int n in new[] { 3, 17, 30 })
        {
            // An infinity that meets only removed weights does not reach the output.
            var b = new float[2 * n];
            Array.Fill(b, float.PositiveInfinity, 0, n);
            Array.Fill(b, -2f, n, n);
            var negative = new float[8 * n];
            Array.Fill(negative, -0f);
            foreach (Clamp clamp in new[] { Clamp.None, Clamp.Relu, new Clamp(-0f, 1) })
            {
                foreach (float[] residual in new[] { [], negative })
                {
                    var expected = new float[8 * n];
                    SpMM.MultiplyReference(w.ToCsr(), b, n, expected, default, residual, clamp);
                    Near.BitEqual(expected, SameEverywhere(8 * n, c => w.Multiply(b, n, c, default, residual, clamp)));
                }
            }
        }
    }

    [Theory]
    [InlineData(4, 32, 24, 7, 7)]
    [InlineData(8, 37, 30, 14, 14)]
    [InlineData(16, 64, 20, 28, 28)]
    [InlineData(4, 118, 520, 7, 7)]
    public void Convolutions_of_one_pixel_give_the_same_bits_with_and_without_tiles(int height, int channels, int inputs, int imageHeight, int imageWidth)
    {
        var random = new Random(channels);
        var convolution = new PreparedSparseConvolution(new SparseConvolutionShape(inputs, channels, 1, 1), Tiles(random, height, channels, inputs, 0.3));
        foreach (int batch in new[] { 1, 9 })
        {
            int outputs = batch * channels * imageHeight * imageWidth;
            float[] x = Uniform(random, batch * inputs * imageHeight * imageWidth), residual = Uniform(random, outputs), bias = Uniform(random, channels), plain = new float[outputs];
            using (CompiledMatrix.Forbid()) convolution.Forward(x, batch, imageHeight, imageWidth, plain, bias, residual, Clamp.Relu);
            Near.BitEqual(plain, SameEverywhere(outputs, y => convolution.Forward(x, batch, imageHeight, imageWidth, y, bias, residual, Clamp.Relu)));
        }
    }

    /// <summary>Every geometry that a convolution may have: strides with and without pixels to spare, dilation, uneven padding, more padding than image, groups, one pixel, bands of several sizes.</summary>
    public static TheoryData<string, SparseConvolutionShape, int, int, int> Convolutions => new()
    {
        { "3x3", Same3x3(6, 32), 4, 9, 13 }, { "3x3, few pixels", Same3x3(24, 64), 8, 7, 7 }, { "3x3, bands", Same3x3(200, 16), 8, 28, 28 }, { "3x3, wide bands", Same3x3(70, 20), 4, 20, 150 },
        { "3x3 stride 2", Same3x3(9, 24) with { StrideHeight = 2, StrideWidth = 2 }, 4, 28, 28 }, { "3x3 stride 2, odd sizes", Same3x3(9, 24) with { StrideHeight = 2, StrideWidth = 2 }, 8, 15, 17 },
        { "3x3 stride 3 by 1", Same3x3(5, 12) with { StrideHeight = 3 }, 4, 15, 18 }, { "1x1 stride 2", new(12, 20, 1, 1) { StrideHeight = 2, StrideWidth = 2 }, 4, 14, 14 },
        { "3x3 dilated", new(5, 12, 3, 3) { DilationHeight = 2, DilationWidth = 3, PadTop = 2, PadLeft = 3, PadBottom = 2, PadRight = 3 }, 4, 11, 13 },
        { "without padding", new(5, 12, 3, 3), 4, 10, 11 }, { "more padding than image", new(4, 8, 3, 3) { PadTop = 4, PadLeft = 1, PadBottom = 3, PadRight = 6 }, 4, 5, 3 },
        { "taps that reach no pixel", new(4, 8, 3, 3) { PadTop = 9, PadLeft = 9, PadBottom = 9, PadRight = 9, DilationHeight = 9, DilationWidth = 9 }, 4, 4, 5 },
        { "7x7 stride 2", new(3, 16, 7, 7) { StrideHeight = 2, StrideWidth = 2, PadTop = 3, PadLeft = 3, PadBottom = 3, PadRight = 3 }, 8, 31, 42 },
        { "patches", new(3, 16, 4, 4) { StrideHeight = 4, StrideWidth = 4 }, 4, 16, 32 }, { "uneven", new(3, 10, 2, 4) { StrideHeight = 3, StrideWidth = 2, PadTop = 1, PadRight = 3 }, 4, 10, 12 },
        { "groups", Same3x3(8, 32) with { Groups = 2 }, 8, 12, 12 }, { "groups that tiles do not fill", Same3x3(8, 12) with { Groups = 2 }, 6, 9, 9 }, { "1x1 groups", new(8, 16, 1, 1) { Groups = 4 }, 4, 6, 7 },
        { "one pixel", Same3x3(4, 8), 4, 1, 1 }, { "a row", Same3x3(4, 9), 8, 1, 40 }, { "a column", Same3x3(4, 9), 8, 40, 1 }, { "5x5", new(4, 8, 5, 5) { PadTop = 2, PadLeft = 2, PadBottom = 2, PadRight = 2 }, 4, 8, 21 },
        { "patches of more phases than the stack is for", new(2, 8, 9, 9) { StrideHeight = 9, StrideWidth = 9, PadLeft = 4 }, 4, 36, 59 }, { "more rows below than above", Same3x3(5, 12) with { StrideHeight = 2, StrideWidth = 2, PadBottom = 40 }, 4, 14, 20 },
    };

    [SkippableTheory, MemberData(nameof(Convolutions))]
    public void Convolutions_give_the_same_bits_with_and_without_tiles(string name, SparseConvolutionShape shape, int height, int imageHeight, int imageWidth)
    {
        // The largest layers, a minute and more where multiply-adds are computed one by one.
        Skip.If(TileCode.Current is null && name.Contains("bands", StringComparison.Ordinal), "bands are of tiles, and this machine runs no code of ours: other layers compare the loops");
        var random = new Random(name.Length);
        foreach (double density in new[] { 0.15, 1 })
        {
            var convolution = new PreparedSparseConvolution(shape, Tiles(random, height, shape.OutChannels, shape.WeightsPerOutput, density));
            foreach (int batch in new[] { 1, 9 })
            {
                int outputs = batch * shape.OutChannels * shape.OutHeight(imageHeight) * shape.OutWidth(imageWidth);
                float[] x = Uniform(random, batch * shape.InChannels * imageHeight * imageWidth), residual = Uniform(random, outputs), bias = Uniform(random, shape.OutChannels), plain = new float[outputs];
                x[0] = float.PositiveInfinity;
                x[^1] = float.NaN;
                using (CompiledMatrix.Forbid()) convolution.Forward(x, batch, imageHeight, imageWidth, plain, bias, residual, Clamp.Relu);
                Near.BitEqual(plain, SameEverywhere(outputs, y => convolution.Forward(x, batch, imageHeight, imageWidth, y, bias, residual, Clamp.Relu)));
                float[] inPlace = (float[])residual.Clone();
                convolution.Forward(x, batch, imageHeight, imageWidth, inPlace, bias, inPlace, Clamp.Relu);
                Near.BitEqual(plain, inPlace);
                using (CompiledMatrix.Forbid()) convolution.Forward(x, batch, imageHeight, imageWidth, plain);
                Near.BitEqual(plain, SameEverywhere(outputs, y => convolution.Forward(x, batch, imageHeight, imageWidth, y)));
            }
        }
    }

    /// <summary>Geometries that would take memory without end for a band: many shifts, many phases, rows far apart, wide images of many channels. Others compute them, and say so.</summary>
    [Theory]
    [InlineData(1, 4, 1, 3000, 1, 1, 1, 1, 6000)]
    [InlineData(1, 4, 256, 256, 256, 1, 0, 512, 2304)]
    [InlineData(2, 4, 2, 1, 1, 200000, 0, 200001, 24)]
    [InlineData(512, 4, 3, 3, 1, 1, 1, 8, 4096)]
    public void Geometries_out_of_all_proportion_are_not_for_tiles(int inChannels, int outChannels, int kernelHeight, int kernelWidth, int stride, int dilation, int pad, int imageHeight, int imageWidth)
    {
        var random = new Random(kernelWidth);
        var shape = new SparseConvolutionShape(inChannels, outChannels, kernelHeight, kernelWidth) { StrideHeight = stride, StrideWidth = stride, DilationHeight = dilation, PadTop = pad, PadBottom = pad };
        // All rows share a few columns.
        int[] columns = [.. Enumerable.Range(0, 40).Select(i => (int)((long)i * (shape.WeightsPerOutput - 1) / 39)).Distinct()];
        CsrMatrix weight = new(outChannels, shape.WeightsPerOutput, [.. Enumerable.Range(0, outChannels + 1).Select(r => r * columns.Length)], [.. Enumerable.Range(0, outChannels).SelectMany(_ => columns)], Uniform(random, outChannels * columns.Length));
        // Every channel and shift is read where that is what makes a band large.
        if (kernelWidth is 3 or 3000) weight = Tiles(random, 4, outChannels, shape.WeightsPerOutput, 1);
        var convolution = new PreparedSparseConvolution(shape, weight);
        if (TiledMatrix.TryCreate(weight.Rows, weight.Columns, weight.RowPointers.ToArray(), weight.ColumnIndices) is { } tiled) Assert.Null(TilePlanes.TryCreate(shape, tiled, imageHeight, imageWidth));
        Assert.NotEqual(SparseForm.Tiles, convolution.FormOf(1, imageHeight, imageWidth));
        float[] x = Uniform(random, inChannels * imageHeight * imageWidth), y = new float[outChannels * shape.OutHeight(imageHeight) * shape.OutWidth(imageWidth)], plain = new float[y.Length];
        Assert.NotEmpty(y);
        convolution.Forward(x, 1, imageHeight, imageWidth, y);
        using (CompiledMatrix.Forbid()) convolution.Forward(x, 1, imageHeight, imageWidth, plain);
        Near.BitEqual(plain, y);
    }

    [Fact]
    public void A_convolution_s_new_values_and_other_image_sizes_are_taken_over()
    {
        var random = new Random(21);
        SparseConvolutionShape shape = Same3x3(6, 16);
        CsrMatrix weight = Tiles(random, 8, 16, 54, 0.3);
        var convolution = new PreparedSparseConvolution(shape, weight);
        foreach (int size in new[] { 7, 12, 7 })
        {
            float[] x = Uniform(random, 6 * size * size), y = new float[16 * size * size], plain = new float[y.Length];
            convolution.SetValues(Uniform(random, weight.StoredCount));
            convolution.Forward(x, 1, size, size, y);
            using (CompiledMatrix.Forbid()) convolution.Forward(x, 1, size, size, plain);
            Near.BitEqual(plain, y);
        }
    }

    [Fact]
    public void Nothing_outside_the_output_is_written()
    {
        var random = new Random(9);
        foreach ((int height, int rows, int depth, int n) in new[] { (4, 10, 30, 49), (8, 13, 30, 20), (8, 24, 30, 31), (4, 8, 30, 3), (4, 42, 800, 27), (4, 42, 800, 9) })
        {
            CsrMatrix csr = Tiles(random, height, rows, depth, depth > 30 ? 0.9 : 0.3);
            float[] b = Uniform(random, depth * n), c = new float[rows * n + 64], expected = new float[rows * n];
            Array.Fill(c, 7f);
            new PreparedSpMM(csr).Multiply(b, n, c.AsSpan(32, rows * n));
            SpMM.MultiplyReference(csr, b, n, expected, default, default, Clamp.None);
            Near.BitEqual(expected, c.AsSpan(32, rows * n));
            Assert.All(c[..32].Concat(c[^32..]), v => Assert.Equal(7f, v));
        }
    }

    /// <summary>The same with all columns in rows 8 to 11.</summary>
    private static CsrMatrix WithFullTile(CsrMatrix csr)
    {
        var dense = new float[csr.Rows * csr.Columns];
        csr.ToDense(dense);
        dense.AsSpan(8 * csr.Columns, 4 * csr.Columns).Fill(0.5f);
        return CsrMatrix.FromDense(dense, csr.Rows, csr.Columns);
    }

    private static SparseConvolutionShape Same3x3(int inputs, int outputs) => new(inputs, outputs, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 };

    /// <summary>Columns are present or not for whole tiles of rows; about every seventh tile is empty.</summary>
    private static CsrMatrix Tiles(Random random, int height, int rows, int columns, double density)
    {
        var dense = new float[rows * columns];
        for (int r = 0; r < rows; r += height)
        {
            if (density < 1 && random.Next(7) == 0 && r > 0) continue;
            for (int c = 0; c < columns; c++)
            {
                if (random.NextDouble() >= density) continue;
                for (int i = r; i < Math.Min(rows, r + height); i++) dense[i * columns + c] = (float)random.NextDouble() + 0.1f;
            }
        }
        return CsrMatrix.FromDense(dense, rows, columns);
    }
}

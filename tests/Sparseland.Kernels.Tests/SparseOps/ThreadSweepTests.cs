using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Compiled;
using Sparseland.Kernels.Threading;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>Kernels with fewer rows than threads: their parts are really given to the pool, and the bits are those of one thread.</summary>
[Collection("threads")]
public class ThreadSweepTests
{
    private const int Rows = 12, Columns = 3000, Pixels = 400, Threads = 19;

    [Fact]
    public void More_threads_than_rows_share_the_work_of_every_sparse_kernel()
    {
        var random = new Random(5);
        float[] dense = SparseDense(random, Rows, Columns, 0.3), x = Uniform(random, Columns * Pixels), dy = Uniform(random, Rows * Pixels);
        CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, Columns);
        BlockCsrMatrix blocks = BlockCsrMatrix.FromDense(dense, Rows, Columns, 4, 1);
        PreparedSpMM single = new(csr), tiled = new(blocks);
        var images = new PreparedSparseConvolution(new SparseConvolutionShape(Columns / 10, Rows, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 }, Csr(random, Rows, Columns / 10 * 9, 0.3));
        float[] image = x[..(Columns / 10 * Pixels)];
        Shared("product", Rows * Pixels, y => single.Multiply(x, Pixels, y));
        Shared("product of tiles", Rows * Pixels, y => tiled.Multiply(x, Pixels, y));
        Shared("linear layer", Rows * Pixels, y => single.Linear(x, Pixels, y));
        Shared("linear layer of tiles", Rows * Pixels, y => tiled.Linear(x, Pixels, y));
        Shared("input gradient", Columns * Pixels, y => single.MultiplyTransposed(dy, Pixels, y));
        Shared("weight gradient", csr.StoredCount, y => single.WeightGradient(x, dy, Pixels, y));
        Shared("convolution", Rows * Pixels, y => images.Forward(image, 1, 20, 20, y));
        Shared("convolution's input gradient", image.Length, y => images.InputGradient(dy, 1, 20, 20, y));
        // Sums over images are cut by images alone.
        float[] several = x[..(3 * image.Length)], gradients = Uniform(random, 3 * dy.Length);
        Shared("convolution's weight gradient", images.StoredCount, y => images.WeightGradient(several, gradients, 3, 20, 20, y));

        // One vector is shared by rows alone.
        const int Long = 40_000;
        float[] wide = SparseDense(random, Rows, Long, 0.3), vector = Uniform(random, Long);
        CsrMatrix wideRows = CsrMatrix.FromDense(wide, Rows, Long);
        Shared("vector", Rows, y => SpMV.Multiply(wideRows, vector, y));
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            CompactMatrix bits = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Long], wide), wide, Rows, Long, kind);
            Shared($"bit-mask {kind}", Rows, y => Gemv.Multiply(bits, vector, y));
        }
        // Windows hold 16 rows or more.
        float[] many = SparseDense(random, 8 * Threads, Columns, 0.3);
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            CompactMatrix bits = CompactMatrix.FromMask(Mask.FromNonZeros([8 * Threads, Columns], many), many, 8 * Threads, Columns, kind);
            if (!PreparedSpMV.IsFast(kind) || !PreparedSpMV.Fits(bits)) continue;
            var windows = new PreparedSpMV(bits);
            Shared($"windows {kind}", 8 * Threads, y => windows.Multiply(vector.AsSpan(0, Columns), y, default, Clamp.None));
        }
        Shared("columns", Long, y => ColumnGemv.Multiply(wide, vector.AsSpan(0, Rows), 0, y));
    }

    /// <summary>Three panels or five in two or four shares, which end inside panels. With little code, whose tiles are packed one by one where units are whole, and with blocks of lines between which sums wait.</summary>
    [Theory]
    [InlineData(84, 8, 3, 96, 0.5)]
    [InlineData(84, 8, 1, 96, 0.5)]
    [InlineData(76, 8, 3, 96, 0.5)]
    [InlineData(140, 7, 3, 96, 0.5)]
    [InlineData(140, 7, 1, 96, 0.5)]
    [InlineData(140, 14, 3, 32, 0.2)]
    [InlineData(140, 14, 3, 96, 0.1)]
    [InlineData(140, 14, 1, 900, 0.1)]
    public void Shares_of_few_pixels_end_inside_panels(int rows, int side, int kernel, int channels, double density)
    {
        var random = new Random(7);
        int pixels = side * side, plane = PlaneSpacing.ToLines(pixels), pad = kernel / 2;
        CsrMatrix weight = Csr(random, rows, channels * kernel * kernel, density);
        var convolution = new PreparedSparseConvolution(new SparseConvolutionShape(channels, rows, kernel, kernel) { PadTop = pad, PadLeft = pad, PadBottom = pad, PadRight = pad }, weight);
        float[] image = Uniform(random, channels * plane), bias = Uniform(random, rows), residual = Uniform(random, rows * plane);
        if (CompiledMatrix.Usable)
        {
            Assert.Equal(SparseForm.Compiled, convolution.FormOf(1, side, side));
            var code = CompiledMatrix.TryCompile(weight.Rows, weight.Columns, weight.RowPointers, weight.ColumnIndices, comesFromFar: true)!;
            Assert.Equal(weight.Columns > 768, code.Blocks > 1);
            if (density < 0.5) Assert.True(code.BlocksAreShort);
            var product = new CompiledProduct<LineSource> { Matrix = code, Columns = plane };
            // Three panels and three threads are as many.
            int shares = rows > 84 ? 4 : 2;
            Assert.False(product.SharesTiles(shares));
            Assert.True(product.CutOf(1, product.PanelSharers(shares)).Tile > 0, "no share ends inside a panel");
        }
        foreach (int threads in (int[])[2, 3, 4])
        {
            Shared($"{threads} threads", rows * plane, y =>
            {
                convolution.Forward(image, 1, side, side, y, bias, residual, Clamp.None, new PlaneSpacing(plane, plane));
                // Gaps hold anything.
                for (int r = 0; r < rows; r++) y.AsSpan(r * plane + pixels, plane - pixels).Clear();
            }, threads);
            Shared($"{threads} threads without gaps", rows * pixels, y => convolution.Forward(image.AsSpan(0, channels * pixels), 1, side, side, y, bias, residual.AsSpan(0, rows * pixels), Clamp.None), threads);
        }
    }

    [Fact]
    public void The_small_first_layer_of_a_network_is_shared()
    {
        var random = new Random(9);
        var geometry = new Convolution2D(1, 3, 32, 32, 16, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 };
        float[] image = Uniform(random, (int)geometry.InputLength), bias = Uniform(random, 16);
        PackedConvolution weight = geometry.Pack(Uniform(random, (int)geometry.WeightLength));
        Shared("first layer", (int)geometry.OutputLength, y => geometry.Forward(image, weight, bias, y), 2);
    }

    /// <summary>A C of one tile is cut where several threads are there; 96 rows at once would leave one of them without work.</summary>
    [Fact]
    public void A_dense_product_of_one_tile_is_shared()
    {
        const int M = 24, K = 300, N = 100;
        var random = new Random(11);
        float[] x = Uniform(random, M * K);
        PackedMatrix weight = PackedMatrix.Right(true, K, N, Uniform(random, N * K), K);
        Shared("dense product", M * N, y => Gemm.Multiply(false, M, x, K, weight, 0f, y, N, default, default, Clamp.None), 2);
    }

    private static void Shared(string what, int length, Action<float[]> kernel, int threads = Threads)
    {
        float[] expected = new float[length], actual = new float[length];
        int before = WorkPool.Threads;
        try
        {
            WorkPool.Threads = 1;
            int given = WorkPool.JobsGiven;
            kernel(expected);
            Assert.True(WorkPool.JobsGiven == given, $"{what}: one thread gave out work");
            WorkPool.Threads = threads;
            kernel(actual);
            Assert.True(WorkPool.JobsGiven > given, $"{what}: {threads} threads were there and none was asked");
        }
        finally
        {
            WorkPool.Threads = before;
        }
        Near.BitEqual(expected, actual, what);
    }
}

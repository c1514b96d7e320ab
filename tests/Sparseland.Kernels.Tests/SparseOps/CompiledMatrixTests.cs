using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Compiled;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>Compiled kernels against the scalar reference and against the kernels without code. On machines without AVX-512 both sides are the latter.</summary>
[Collection("threads")]
public class CompiledMatrixTests
{
    /// <summary>Rows around panels of 28, columns around blocks of 384 (few values a column) and 768 (many), widths around tiles of 16 and beyond the shared ones; the last of those that are not square have more code than stays in a cache, and one of them short blocks of it; some leave many columns unused, others few, and one has an input that is much larger than the second cache.</summary>
    public static TheoryData<int, int, int, double> Shapes => new()
    {
        { 1, 40, 16, 0.5 }, { 3, 1, 17, 1 }, { 27, 50, 15, 0.3 }, { 28, 50, 16, 0.3 }, { 29, 50, 33, 0.3 }, { 57, 129, 31, 0.1 }, { 113, 64, 257, 0.2 }, { 64, 767, 48, 0.1 },
        { 31, 768, 20, 0.1 }, { 30, 769, 36, 0.1 }, { 33, 2500, 18, 0.05 }, { 40, 300, 900, 0.1 }, { 200, 9, 300, 0.4 }, { 60, 2000, 3, 0.03 },
        { 30, 384, 20, 0.1 }, { 30, 385, 130, 0.1 }, { 29, 768, 33, 0.5 }, { 29, 769, 130, 0.5 }, { 200, 800, 40, 0.5 }, { 500, 900, 130, 0.08 }, { 40, 1500, 50, 0.01 }, { 60, 1000, 49, 0.1 }, { 600, 1100, 49, 0.45 }, { 600, 1100, 145, 0.45 }, { 256, 2304, 131, 0.1 }, { 30, 1100, 1001, 0.1 }, { 64, 64, 64, 0 }, { 64, 64, 64, 1 },
        // Few values a row, so that rows are stored behind their last product: one block of lines and several, rows without values.
        { 300, 60, 200, 0.05 }, { 90, 700, 130, 0.02 }, { 50, 300, 40, 0.005 },
        // The same out of an input that is much larger than the second cache, and with more code than stays in it.
        { 40, 1100, 1001, 0.02 }, { 2200, 300, 50, 0.05 },
    };

    /// <summary>Bounds that are no numbers make all results none, in code (straight-line, loops, tiles) as in loops without it.</summary>
    [Theory]
    [InlineData(float.NaN, 1), InlineData(-1, float.NaN), InlineData(float.NaN, float.PositiveInfinity), InlineData(-1, -0f)]
    public void Bounds_that_are_not_numbers_reach_every_result(float low, float high)
    {
        const int Rows = 64, Columns = 90, N = 40;
        var random = new Random(5);
        float[] single = SparseDense(random, Rows, Columns, 0.3), blocks = new float[single.Length], b = Uniform(random, Columns * N), expected = new float[Rows * N];
        for (int i = 0; i < blocks.Length; i++) blocks[i] = single[i / Columns / 4 * 4 * Columns + i % Columns];
        foreach (float[] dense in (float[][])[single, blocks])
        {
            CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, Columns);
            var clamp = new Clamp(low, high);
            SpMM.MultiplyReference(csr, b, N, expected, default, default, clamp);
            Assert.Equal(float.IsNaN(low + high), expected.All(float.IsNaN));
            var w = new PreparedSpMM(csr);
            Near.BitEqual(expected, SameEverywhere(expected.Length, c => w.Multiply(b, N, c, default, default, clamp)));
        }
    }

    [Theory, MemberData(nameof(Shapes))]
    public void Code_gives_the_bits_of_the_reference(int rows, int columns, int n, double density)
    {
        var random = new Random(rows * 7919 + columns * 31 + n);
        CsrMatrix csr = Csr(random, rows, columns, density);
        float[] b = Uniform(random, columns * n), bias = Uniform(random, rows), residual = Uniform(random, rows * n);
        foreach (Clamp clamp in new[] { Clamp.None, Clamp.Relu, new Clamp(-0.25f, 0.25f), new Clamp(0, 6) })
        {
            var expected = new float[rows * n];
            SpMM.MultiplyReference(csr, b, n, expected, bias, residual, clamp);
            var w = new PreparedSpMM(csr);
            Near.BitEqual(expected, SameEverywhere(rows * n, c => w.Multiply(b, n, c, bias, residual, clamp)));
            float[] inPlace = (float[])residual.Clone();
            w.Multiply(b, n, inPlace, bias, inPlace, clamp);
            Near.BitEqual(expected, inPlace);
            float[] turned = SameEverywhere(rows * n, y => w.Linear(Transpose(b, columns, n), n, y, bias, Transpose(residual, rows, n), clamp));
            Near.BitEqual(Transpose(expected, rows, n), turned);
        }
    }

    /// <summary>Panels whose rows are stored behind their last product beside panels that store all rows at their end, the thin ones first and last.</summary>
    [Theory]
    [InlineData(90, 200), InlineData(700, 130), InlineData(60, 17)]
    public void Thin_panels_beside_thick_ones_give_the_bits_of_the_reference(int columns, int n)
    {
        const int Panel = 28, Rows = 5 * Panel;
        var random = new Random(columns);
        float[] dense = SparseDense(random, Rows, columns, 0.03), thick = SparseDense(random, Rows, columns, 0.6), b = Uniform(random, columns * n), bias = Uniform(random, Rows), residual = Uniform(random, Rows * n);
        for (int i = 0; i < dense.Length; i++)
        {
            if (i / columns / Panel % 2 == 1) dense[i] = thick[i];
        }
        CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, columns);
        var w = new PreparedSpMM(csr);
        foreach (Clamp clamp in new[] { Clamp.None, Clamp.Relu, new Clamp(-0.25f, 0.25f) })
        {
            var expected = new float[Rows * n];
            SpMM.MultiplyReference(csr, b, n, expected, bias, residual, clamp);
            Near.BitEqual(expected, SameEverywhere(Rows * n, c => w.Multiply(b, n, c, bias, residual, clamp)));
        }
    }

    [SkippableFact]
    public void Code_that_is_written_more_than_once_counts_once()
    {
        Skip.IfNot(CompiledKernels.AreWritten, "weights are not compiled on this machine");
        // Thin panels have copies with bounds and without; the first of a block has three copies of either.
        (CompiledMatrix thin, CompiledMatrix thick) = (Compile(560, 250, 0.04), Compile(560, 250, 0.5));
        Assert.InRange(thin.BytesThatRun, 0.3 * thin.CodeBytes, 0.55 * thin.CodeBytes);
        Assert.InRange(thick.BytesThatRun, 0.8 * thick.CodeBytes, 0.95 * thick.CodeBytes);
        // 300 KiB of code that runs, with as much again beside it, is no more than full units take tile after tile.
        CompiledMatrix wide = Compile(1024, 512, 0.05);
        Assert.True(wide.CodeBytes > 512 * 1024 && wide.RunsTileAfterTile);
        Assert.InRange(wide.BytesThatRun, 6 * wide.StoredCount, 512 * 1024);

        static CompiledMatrix Compile(int rows, int columns, double density)
        {
            CsrMatrix csr = Csr(new Random(4), rows, columns, density);
            return CompiledMatrix.TryCompile(csr.Rows, csr.Columns, csr.RowPointers, csr.ColumnIndices)!;
        }
    }

    [SkippableFact]
    public void Code_is_used_where_it_can_be()
    {
        Skip.IfNot(CompiledKernels.AreWritten, "weights are not compiled on this machine");
        CsrMatrix csr = Csr(new Random(1), 40, 100, 0.3);
        CompiledMatrix matrix = CompiledMatrix.TryCompile(csr.Rows, csr.Columns, csr.RowPointers, csr.ColumnIndices)!;
        Assert.Equal(csr.StoredCount, matrix.StoredCount);
        Assert.Equal(2, matrix.Panels);
        Assert.True(matrix.CodeBytes > 6 * csr.StoredCount);
        using (CompiledMatrix.Forbid()) Assert.False(CompiledKernels.AreUsed);
        using (SimdDispatch.Force(SimdLevel.Vector256)) Assert.Null(CompiledMatrix.TryCompile(csr.Rows, csr.Columns, csr.RowPointers, csr.ColumnIndices));
        Assert.True(CompiledKernels.AreUsed);
    }

    /// <summary>Tiles that are packed one by one, for shares that end inside panels: with one block of lines and with two, wherever code can be run.</summary>
    [SkippableTheory]
    [InlineData(288, 13), InlineData(864, 13), InlineData(864, 4), InlineData(864, 1)]
    public unsafe void Shares_of_tiles_that_are_packed_alone_end_inside_panels(int lines, int tiles)
    {
        Skip.IfNot(CompiledMatrix.Usable, "weights are not compiled on this machine");
        const int Rows = 84;
        int n = tiles * CompiledMatrix.Lanes;
        var random = new Random(11);
        CsrMatrix csr = Csr(random, Rows, lines, 0.3);
        CompiledMatrix code = CompiledMatrix.TryCompile(csr.Rows, csr.Columns, csr.RowPointers, csr.ColumnIndices)!;
        Assert.True(code.BlocksAreShort);
        Assert.Equal(lines > 768, code.Blocks > 1);
        float[] b = Uniform(random, lines * n), turned = Transpose(b, lines, n), bias = Uniform(random, Rows), residual = Uniform(random, Rows * n), expected = new float[Rows * n];
        SpMM.MultiplyReference(csr, b, n, expected, bias, residual, Clamp.Relu);
        code.SetValues(csr.Values.ToArray());
        fixed (float* source = turned, pb = bias, pr = residual)
        {
            foreach (int sharers in (int[])[1, 2, 4, 7])
            {
                var actual = new float[Rows * n];
                fixed (float* output = actual)
                {
                    var product = new CompiledProduct<TurnedSource>
                    {
                        Matrix = code,
                        Source = new TurnedSource { Base = source, Stride = lines, Columns = n, Lines = code.Lines },
                        Columns = n,
                        Output = output,
                        RowStride = n,
                        Bias = pb,
                        Residual = pr,
                        Clamp = Clamp.Relu,
                    };
                    Assert.True(product.Source is { PacksAlone: true, HasManyTiles: false });
                    if (sharers > 1 && tiles > 1) Assert.Contains(Enumerable.Range(1, sharers - 1), i => product.CutOf(i, sharers).Tile > 0);
                    for (int i = 0; i < sharers; i++) product.RunPanels(i, sharers);
                }
                Near.BitEqual(expected, actual, $"{sharers} shares");
            }
        }
    }

    [SkippableFact]
    public void Code_comes_from_far_unless_a_thread_ran_it_last()
    {
        Skip.IfNot(CompiledKernels.AreWritten, "weights are not compiled on this machine");
        CsrMatrix csr = Csr(new Random(3), 40, 100, 0.3);
        CompiledMatrix one = CompiledMatrix.TryCompile(csr.Rows, csr.Columns, csr.RowPointers, csr.ColumnIndices)!, other = CompiledMatrix.TryCompile(csr.Rows, csr.Columns, csr.RowPointers, csr.ColumnIndices)!;
        Assert.True(one.TakeTurn());
        Assert.False(one.TakeTurn());
        Assert.True(other.TakeTurn());
        Assert.True(one.TakeTurn());
        bool elsewhere = false;
        var thread = new Thread(() => elsewhere = one.TakeTurn());
        thread.Start();
        thread.Join();
        Assert.True(elsewhere);
        Assert.False(one.TakeTurn());
        GC.KeepAlive(other);
    }

    [SkippableFact]
    public void Columns_are_lines_where_few_of_them_hold_nothing()
    {
        Skip.IfNot(CompiledKernels.AreWritten, "weights are not compiled on this machine");
        // Of 16 columns one in eight may be empty.
        Assert.Equal(16, Lines(empty: 2));
        Assert.Equal(13, Lines(empty: 3));

        static int Lines(int empty)
        {
            var dense = new float[4 * 16];
            for (int i = 0; i < dense.Length; i++) dense[i] = i % 16 < empty ? 0 : 1;
            CsrMatrix csr = CsrMatrix.FromDense(dense, 4, 16);
            return CompiledMatrix.TryCompile(csr.Rows, csr.Columns, csr.RowPointers, csr.ColumnIndices)!.Lines.Length;
        }
    }

    [SkippableFact]
    public void What_waits_for_reuse_is_compiled_for_second_values_or_for_the_fourth_use()
    {
        Skip.IfNot(CompiledKernels.AreWritten, "weights are not compiled on this machine");
        var random = new Random(2);
        CsrMatrix csr = Csr(random, 40, 100, 0.3);
        float[] b = Uniform(random, 100 * 32), first = new float[40 * 32], c = new float[40 * 32];
        PreparedSpMM same = new(csr, compileOnReuse: true), second = new(csr, compileOnReuse: true);
        long loops = same.PreparedBytes;
        same.Multiply(b, 32, first);
        second.Multiply(b, 32, c);
        for (int use = 2; use <= 3; use++)
        {
            same.Multiply(b, 32, c);
            Assert.Equal(loops, same.PreparedBytes);
        }
        same.Multiply(b, 32, c);
        Assert.True(same.PreparedBytes > loops + (6 * csr.StoredCount));
        Near.BitEqual(first, c);
        Assert.Equal(loops, second.PreparedBytes);
        second.SetValues(csr.Values);
        second.Multiply(b, 32, c);
        Assert.Equal(same.PreparedBytes, second.PreparedBytes);
    }

    [Fact]
    public void Kernels_without_code_give_the_same_bits_at_the_widest_level()
    {
        var random = new Random(5);
        CsrMatrix csr = Csr(random, 70, 90, 0.2);
        float[] b = Uniform(random, 90 * 50), with = new float[70 * 50], without = new float[70 * 50];
        new PreparedSpMM(csr).Multiply(b, 50, with);
        using (CompiledMatrix.Forbid()) new PreparedSpMM(csr).Multiply(b, 50, without);
        Near.BitEqual(without, with);
    }

    [Fact]
    public void Columns_that_nobody_uses_may_hold_anything()
    {
        // Column 1 is used by no row; column 0 by row 0 alone.
        var w = new PreparedSpMM(new CsrMatrix(3, 3, [0, 2, 3, 4], [0, 2, 2, 2], [1f, 1f, 2f, 3f]));
        foreach (int n in new[] { 2, 16, 40 })
        {
            var b = new float[3 * n];
            b.AsSpan(0, n).Fill(float.NaN);
            b.AsSpan(n, n).Fill(float.PositiveInfinity);
            b.AsSpan(2 * n).Fill(1f);
            float[] c = SameEverywhere(3 * n, r => w.Multiply(b, n, r));
            Assert.All(c[..n], v => Assert.True(float.IsNaN(v)));
            Assert.All(c[n..(2 * n)], v => Assert.Equal(2f, v));
            Assert.All(c[(2 * n)..], v => Assert.Equal(3f, v));
            float[] clamped = SameEverywhere(3 * n, r => w.Multiply(b, n, r, default, default, Clamp.Relu));
            Assert.All(clamped[..n], v => Assert.True(float.IsNaN(v)));
        }
    }

    [Fact]
    public void Denormals_infinities_and_negative_zeros_are_kept()
    {
        float tiny = float.Epsilon * 3;
        float[] values = [tiny, -tiny, float.PositiveInfinity, float.NegativeInfinity, -0f, float.MaxValue];
        var w = new PreparedSpMM(new CsrMatrix(6, 1, [0, 1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0], values));
        var b = new float[20];
        Array.Fill(b, 2f);
        foreach (Clamp clamp in new[] { Clamp.None, Clamp.Relu })
        {
            var expected = new float[6 * 20];
            SpMM.MultiplyReference(w.ToCsr(), b, 20, expected, default, default, clamp);
            Near.BitEqual(expected, SameEverywhere(6 * 20, c => w.Multiply(b, 20, c, default, default, clamp)));
        }
    }

    [Fact]
    public void Tiles_of_weights_multiply_as_their_entries_do()
    {
        var random = new Random(8);
        float[] dense = SparseDense(random, 50, 60, 0.1), b = Uniform(random, 60 * 37), bias = Uniform(random, 50);
        foreach ((int r, int c) in new[] { (4, 1), (8, 1), (16, 1), (3, 2) })
        {
            BlockCsrMatrix tiles = BlockCsrMatrix.FromDense(dense, 50, 60, r, c);
            CsrMatrix entries = tiles.ToCsr();
            var back = new float[dense.Length];
            entries.ToDense(back);
            Near.BitEqual(dense, back);
            Assert.True(entries.StoredCount >= CsrMatrix.FromDense(dense, 50, 60).StoredCount);
            float[] expected = new float[50 * 37];
            SpMM.Multiply(tiles, b, 37, expected, bias, default, Clamp.Relu);
            var w = new PreparedSpMM(tiles);
            Near.BitEqual(expected, SameEverywhere(50 * 37, y => w.Multiply(b, 37, y, bias, default, Clamp.Relu)));
            Near.BitEqual(Transpose(expected, 50, 37), SameEverywhere(50 * 37, y => w.Linear(Transpose(b, 60, 37), 37, y, bias, default, Clamp.Relu)));
            // Values that change leave the tiles behind.
            w.SetValues(Array.ConvertAll(entries.Values.ToArray(), v => 2 * v));
            SpMM.MultiplyReference(w.ToCsr(), b, 37, expected, bias, default, Clamp.None);
            Near.BitEqual(expected, SameEverywhere(50 * 37, y => w.Multiply(b, 37, y, bias, default, Clamp.None)));
        }
    }

    [Fact]
    public void Threads_share_one_matrix()
    {
        var random = new Random(12);
        CsrMatrix csr = Csr(random, 100, 120, 0.2);
        float[] b = Uniform(random, 120 * 70), expected = new float[100 * 70];
        SpMM.MultiplyReference(csr, b, 70, expected, default, default, Clamp.None);
        var w = new PreparedSpMM(csr);
        Parallel.For(0, 8, _ =>
        {
            for (int i = 0; i < 20; i++)
            {
                var c = new float[100 * 70];
                w.Multiply(b, 70, c);
                Near.BitEqual(expected, c);
            }
        });
    }

    /// <summary>One column runs in loops, which have transposed values of their own, more run as code: while one begins the other may be at it.</summary>
    [Fact]
    public void Threads_share_one_matrix_in_loops_and_in_code()
    {
        var random = new Random(13);
        CsrMatrix csr = Csr(random, 100, 120, 0.2), turned = csr.Transpose();
        float[] b = Uniform(random, 100 * 70), column = Uniform(random, 100), many = new float[120 * 70], one = new float[120];
        SpMM.MultiplyReference(turned, b, 70, many, default, default, Clamp.None);
        SpMM.MultiplyReference(turned, column, 1, one, default, default, Clamp.None);
        for (int round = 0; round < 20; round++)
        {
            var w = new PreparedSpMM(csr, compileOnReuse: round % 2 == 0);
            Parallel.For(0, 8, t =>
            {
                for (int i = 0; i < 6; i++)
                {
                    bool single = (i + t) % 2 == 0;
                    float[] expected = single ? one : many, c = new float[expected.Length];
                    w.MultiplyTransposed(single ? column : b, single ? 1 : 70, c);
                    Near.BitEqual(expected, c);
                }
            });
        }
    }

    [Theory]
    [InlineData(64, 28, 28, 1)]
    [InlineData(36, 7, 7, 1)]
    [InlineData(18, 14, 14, 1)]
    [InlineData(40, 14, 30, 1)]
    [InlineData(33, 21, 13, 2)]
    [InlineData(32, 11, 13, 1)]
    [InlineData(32, 7, 9, 1)]
    [InlineData(32, 5, 6, 1)]
    public void Convolutions_of_whole_layers_give_the_same_bits_with_and_without_code(int channels, int height, int width, int stride)
    {
        var random = new Random(channels);
        var shape = new SparseConvolutionShape(channels, channels + 1, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1, StrideHeight = stride, StrideWidth = stride };
        CsrMatrix weight = Csr(random, channels + 1, channels * 9, 0.1);
        foreach (int batch in new[] { 1, 9 })
        {
            int outputs = batch * shape.OutChannels * shape.OutHeight(height) * shape.OutWidth(width);
            float[] x = Uniform(random, batch * channels * height * width), residual = Uniform(random, outputs), bias = Uniform(random, shape.OutChannels);
            var convolution = new PreparedSparseConvolution(shape, weight);
            float[] y = new float[outputs], plain = new float[outputs];
            convolution.Forward(x, batch, height, width, y, bias, residual, Clamp.Relu);
            using (CompiledMatrix.Forbid()) convolution.Forward(x, batch, height, width, plain, bias, residual, Clamp.Relu);
            Near.BitEqual(plain, y);
            float[] dx = new float[x.Length], plainDx = new float[x.Length];
            convolution.InputGradient(residual, batch, height, width, dx);
            using (CompiledMatrix.Forbid()) convolution.InputGradient(residual, batch, height, width, plainDx);
            Near.BitEqual(plainDx, dx);
        }
    }

    [Theory]
    [InlineData(8, 97, 89)]
    [InlineData(8, 20, 40)]
    public void Shifted_planes_serve_wide_kernels_uneven_pads_and_results_that_leave_the_caches(int batch, int height, int width)
    {
        var random = new Random(width);
        var shape = new SparseConvolutionShape(12, 65, 3, 5) { PadTop = 2, PadLeft = 1, PadBottom = 1, PadRight = 3, DilationHeight = 2, DilationWidth = 1, StrideHeight = 1 };
        CsrMatrix weight = Csr(random, 65, 12 * 15, 0.06);
        int outputs = batch * 65 * shape.OutHeight(height) * shape.OutWidth(width);
        float[] x = Uniform(random, batch * 12 * height * width), y = new float[outputs + 1], plain = new float[outputs];
        var convolution = new PreparedSparseConvolution(shape, weight);
        // Off the start of an array, so that rows begin anywhere in a cache line.
        convolution.Forward(x, batch, height, width, y.AsSpan(1));
        using (CompiledMatrix.Forbid()) convolution.Forward(x, batch, height, width, plain);
        Near.BitEqual(plain, y.AsSpan(1));
    }

    [SkippableFact]
    public void Code_of_matrices_that_nobody_holds_is_freed_as_new_ones_come()
    {
        Skip.IfNot(CompiledMatrix.Usable, "this machine runs no code of ours");
        // So many that the matrix has code of its own.
        const int Columns = 144;
        var random = new Random(8);
        CsrMatrix csr = Csr(random, 512, 512, 0.4);
        float[] x = Uniform(random, 512 * Columns), y = new float[512 * Columns];
        long most = 0, one = Prepare();
        Assert.True(one > 512 * 1024, $"{one} bytes");
        for (int i = 0; i < 300; i++)
        {
            Prepare();
            most = Math.Max(most, ExecutableMemory.BytesAlive);
        }
        Assert.True(most < 200L << 20, $"{most / 1e6:0} MB of code alive of {300 * one / 1e6:0} MB");

        long Prepare()
        {
            long before = ExecutableMemory.BytesAlive;
            new PreparedSpMM(csr).Multiply(x, Columns, y);
            return ExecutableMemory.BytesAlive - before;
        }
    }
}

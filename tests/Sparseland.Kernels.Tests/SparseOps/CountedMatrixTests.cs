using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Compiled;
using Sparseland.Kernels.Threading;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>Products with matrices whose rows are in the order of their counts, against the scalar reference.</summary>
[Collection("threads")]
public unsafe class CountedMatrixTests
{
    /// <summary>Rows that fill units of four or two and rows that do not; lines around blocks of 160 (many values a line) and 320 (few); rows with more values than are written out; widths around registers and tiles; enough rows for several chunks.</summary>
    public static TheoryData<int, int, int, double> Shapes => new()
    {
        { 1, 1, 1, 1 }, { 1, 40, 16, 0.5 }, { 3, 1, 17, 1 }, { 5, 7, 2, 0.4 }, { 64, 64, 64, 0 }, { 64, 64, 65, 1 }, { 29, 159, 31, 0.3 }, { 30, 160, 32, 0.3 }, { 31, 161, 33, 0.3 }, { 33, 320, 48, 0.05 }, { 34, 321, 49, 0.05 },
        { 200, 1000, 64, 0.1 }, { 130, 700, 80, 0.2 }, { 70, 3000, 20, 0.01 }, { 17, 900, 15, 0.9 }, { 9, 400, 100, 1 }, { 9, 1000, 3, 0.14 }, { 2100, 330, 33, 0.03 }, { 1100, 170, 49, 0.2 }, { 400, 2000, 16, 0.002 },
    };

    [SkippableTheory, MemberData(nameof(Shapes))]
    public void Counted_rows_give_the_bits_of_the_reference(int rows, int columns, int n, double density)
    {
        Skip.IfNot(CompiledKernels.AreUsed, "this machine runs no code of ours");
        CheckBits(rows, columns, n, density, null);
    }

    /// <summary>Every machine with AVX2 runs them, also one that would choose other code; 13 tiles, the last of 4 columns (one thread takes them as groups of 4, 4 and 5: 2, 2 and 3 strips, and the first of the last group has one tile), chunks that share packed lines.</summary>
    [SkippableTheory, MemberData(nameof(Shapes))]
    [InlineData(100, 700, 196, 0.05)]
    [InlineData(1300, 400, 100, 0.1)]
    [InlineData(3, 2000, 97, 0.5)]
    public void Strips_give_the_bits_of_the_reference(int rows, int columns, int n, double density)
    {
        using SimdDispatch.Forced forced = SimdDispatch.Force((SimdLevel)Math.Min((int)SimdLevel.Vector256, (int)SimdDispatch.Level));
        Skip.IfNot(CompiledMatrix.Usable256, "this machine runs no code of ours");
        CheckBits(rows, columns, n, density, CountedCode256.Strips);
    }

    [SkippableFact]
    public void Thin_weights_of_several_blocks_are_multiplied_in_strips_by_full_units()
    {
        using SimdDispatch.Forced forced = SimdDispatch.Force((SimdLevel)Math.Min((int)SimdLevel.Vector256, (int)SimdDispatch.Level));
        Skip.IfNot(CompiledMatrix.Usable256, "this machine runs no code of ours");
        Assert.Equal(!VectorUnits.AreHalf256, CountedCode256.For(196, 1000, 0.1) == CountedCode256.Strips);
        Assert.Equal(!VectorUnits.AreHalf256, CountedCode256.For(20, 1000, 0.1) == CountedCode256.Strips);
        Assert.Equal(CountedCode256.At(0), CountedCode256.For(16, 1000, 0.1));
        Assert.Equal(CountedCode256.At(3), CountedCode256.For(196, 1000, 0.2));
        Assert.Equal(CountedCode256.At(3), CountedCode256.For(196, 64, 0.1));
        Assert.InRange(CountedCode256.Strips.ZeroLine * 64, 0, ushort.MaxValue);
    }

    [Fact]
    public void Lines_of_64_columns_are_packed_at_once_where_the_sums_of_all_strips_are_few()
    {
        Assert.Equal((4, 2), (CountedCode512.Many.PackedTiles(1024), CountedCode512.Many.PackedTiles(1025)));
        Assert.Equal((4, 4), (CountedCode512.Few.PackedTiles(1024), CountedCode512.Few.PackedTiles(1025)));
    }

    private static void CheckBits(int rows, int columns, int n, double density, CountedCode? code)
    {
        var random = new Random(rows * 7919 + columns * 31 + n);
        CsrMatrix csr = Csr(random, rows, columns, density);
        float[] b = Uniform(random, columns * n), bias = Uniform(random, rows), residual = Uniform(random, rows * n);
        foreach (int threads in new[] { 1, 2, 5 })
        {
            using var forced = new Threads(threads);
            if (CountedMatrix.TryCreate(rows, columns, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), n, code: code) is not { } matrix)
            {
                Assert.Equal(0, csr.StoredCount);
                return;
            }
            matrix.SetValues(csr.Values.ToArray());
            Assert.Equal(csr.StoredCount, matrix.StoredCount);
            foreach (Clamp clamp in new[] { Clamp.None, Clamp.Relu, new Clamp(-0.25f, 0.25f) })
            {
                foreach ((bool hasBias, bool hasResidual) in new[] { (false, false), (true, false), (false, true), (true, true) })
                {
                    float[] added = hasBias ? bias : [], toAdd = hasResidual ? residual : [], expected = new float[rows * n];
                    SpMM.MultiplyReference(csr, b, n, expected, added, toAdd, clamp);
                    var c = new float[rows * n];
                    Array.Fill(c, float.NaN);
                    Multiply(matrix, b, n, c, added, toAdd, clamp);
                    Near.BitEqual(expected, c);
                    float[] x = Transpose(b, columns, n), toAddTurned = hasResidual ? Transpose(residual, rows, n) : [];
                    Array.Fill(c, float.NaN);
                    Linear(matrix, x, n, c, added, toAddTurned, clamp);
                    Near.BitEqual(Transpose(expected, rows, n), c);
                    if (!hasResidual) continue;
                    float[] inPlace = (float[])residual.Clone();
                    Multiply(matrix, b, n, inPlace, added, inPlace, clamp);
                    Near.BitEqual(expected, inPlace);
                    Linear(matrix, x, n, toAddTurned, added, toAddTurned, clamp);
                    Near.BitEqual(Transpose(expected, rows, n), toAddTurned);
                }
            }
        }
    }

    [SkippableFact]
    public void Values_change_and_the_order_stays()
    {
        Skip.IfNot(CompiledKernels.AreUsed, "this machine runs no code of ours");
        var random = new Random(3);
        CsrMatrix csr = Csr(random, 90, 500, 0.1);
        float[] b = Uniform(random, 500 * 40), c = new float[90 * 40], expected = new float[90 * 40];
        CountedMatrix matrix = CountedMatrix.TryCreate(90, 500, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), 40)!;
        long bytes = matrix.Bytes;
        for (int i = 0; i < 3; i++)
        {
            var changed = new CsrMatrix(90, 500, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), Uniform(random, csr.StoredCount));
            matrix.SetValues(changed.Values.ToArray());
            SpMM.MultiplyReference(changed, b, 40, expected, default, default, Clamp.None);
            Multiply(matrix, b, 40, c, [], [], Clamp.None);
            Near.BitEqual(expected, c);
        }
        Assert.Equal(bytes, matrix.Bytes);
    }

    [SkippableFact]
    public void What_is_not_finite_reaches_the_rows_that_use_it_and_no_others()
    {
        Skip.IfNot(CompiledKernels.AreUsed, "this machine runs no code of ours");
        var random = new Random(4);
        const int Rows = 50, Columns = 400, N = 35;
        float[] dense = SparseDense(random, Rows, Columns, 0.05), b = Uniform(random, Columns * N);
        for (int i = 0; i < dense.Length; i++) dense[i] = dense[i] != 0 && random.Next(40) == 0 ? float.NegativeInfinity : dense[i];
        for (int i = 0; i < b.Length; i += 97) b[i] = i % 2 == 0 ? float.NaN : float.PositiveInfinity;
        CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, Columns);
        CountedMatrix matrix = CountedMatrix.TryCreate(Rows, Columns, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), N)!;
        matrix.SetValues(csr.Values.ToArray());
        foreach (Clamp clamp in new[] { Clamp.None, Clamp.Relu })
        {
            float[] c = new float[Rows * N], expected = new float[Rows * N];
            SpMM.MultiplyReference(csr, b, N, expected, default, default, clamp);
            Multiply(matrix, b, N, c, [], [], clamp);
            Near.BitEqual(expected, c);
        }
    }

    /// <summary>Columns that hold nothing are packed with the others where they are few; what is not finite there reaches no row.</summary>
    [SkippableTheory]
    [InlineData(8, true)]
    [InlineData(7, false)]
    public void Columns_without_values_are_lines_where_they_are_one_in_eight_at_most(int each, bool areLines)
    {
        using SimdDispatch.Forced forced = SimdDispatch.Force((SimdLevel)Math.Min((int)SimdLevel.Vector256, (int)SimdDispatch.Level));
        Skip.IfNot(CompiledMatrix.Usable256, "this machine runs no code of ours");
        var random = new Random(5);
        const int Rows = 70, Columns = 448, N = 50;
        float[] dense = Uniform(random, Rows * Columns), b = Uniform(random, Columns * N), c = new float[Rows * N], expected = new float[Rows * N];
        for (int i = 0; i < dense.Length; i++) dense[i] = i % Columns % each == 3 || random.Next(4) > 0 ? 0 : dense[i];
        for (int i = 0; i < b.Length; i++) b[i] = i / N % each == 3 ? i % 2 == 0 ? float.NaN : float.PositiveInfinity : b[i];
        CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, Columns);
        CountedMatrix matrix = CountedMatrix.TryCreate(Rows, Columns, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), N)!;
        Assert.Equal(areLines ? Columns : Columns - Columns / each, matrix.Lines.Length);
        matrix.SetValues(csr.Values.ToArray());
        SpMM.MultiplyReference(csr, b, N, expected, default, default, Clamp.None);
        Multiply(matrix, b, N, c, [], [], Clamp.None);
        Near.BitEqual(expected, c);
    }

    [SkippableFact]
    public void Long_weights_with_few_columns_are_counted_where_units_are_whole_and_others_have_code()
    {
        Skip.IfNot(CompiledKernels.AreWritten, "weights are not compiled on this machine");
        var random = new Random(9);
        CsrMatrix csr = Csr(random, 512, 1024, 0.2);
        var once = new CompiledOnce();
        CodedMatrix? few = Get(48), many = Get(1000);
        Assert.IsType(VectorUnits.AreFullWidth ? typeof(CountedMatrix) : typeof(CompiledMatrix), few);
        Assert.IsType<CompiledMatrix>(many);
        Assert.False(CountedMatrix.Pays(29_999, 500_000, 48, comesFromFar: false), "code stays near");
        Assert.Equal(VectorUnits.AreFullWidth, CountedMatrix.Pays(30_000, 500_000, 64, comesFromFar: false));
        Assert.False(CountedMatrix.Pays(74_999, 500_000, 65, comesFromFar: false), "near code is faster with so many columns");
        Assert.False(CountedMatrix.Pays(74_999, 500_000, 16, comesFromFar: false), "near code is faster with one register of columns");
        Assert.Equal(VectorUnits.AreFullWidth, CountedMatrix.Pays(75_000, 500_000, 65, comesFromFar: false));
        Assert.False(CountedMatrix.Pays(700_000, 1_000_000, 48, comesFromFar: false), "thick");
        Assert.Equal(VectorUnits.AreFullWidth, CountedMatrix.Pays(700_000, 1_000_000, 16, comesFromFar: false));
        Assert.Equal(VectorUnits.AreFullWidth, CountedMatrix.Pays(50_000, 500_000, 49, comesFromFar: true));
        Assert.Equal(ReferenceEquals(few, many) ? few.Bytes : few!.Bytes + many!.Bytes, once.Bytes);
        float[] b = Uniform(random, 1024 * 48), expected = new float[512 * 48];
        SpMM.MultiplyReference(csr, b, 48, expected, default, default, Clamp.Relu);
        var w = new PreparedSpMM(csr);
        Assert.Equal((few.Form, SparseForm.Compiled), (w.LinearFormOf(48), w.LinearFormOf(1000)));
        Assert.Equal(few is CountedMatrix ? SparseForm.Counted : SparseForm.Compiled, few.Form);
        w = new PreparedSpMM(csr);
        long bytes = w.PreparedBytes;
        Near.BitEqual(expected, SameEverywhere(512 * 48, c => w.Multiply(b, 48, c, default, default, Clamp.Relu)));
        Assert.True(w.PreparedBytes > bytes + 6L * csr.StoredCount);
        Near.BitEqual(Transpose(expected, 512, 48), SameEverywhere(512 * 48, y => w.Linear(Transpose(b, 1024, 48), 48, y, default, default, Clamp.Relu)));

        CodedMatrix? Get(int n) => once.Get(512, 1024, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), csr.Values.ToArray(), 0, n);
    }

    [SkippableFact]
    public void Without_AVX512_products_of_several_columns_are_counted_in_an_order_for_their_width()
    {
        using SimdDispatch.Forced forced = SimdDispatch.Force((SimdLevel)Math.Min((int)SimdLevel.Vector256, (int)SimdDispatch.Level));
        Skip.IfNot(CompiledMatrix.Usable256, "this machine runs no code of ours");
        var random = new Random(10);
        CsrMatrix csr = Csr(random, 60, 300, 0.2);
        CountedMatrix one = Get(new(), 5), two = Get(new(), 40), four = Get(new(), 49), six = Get(new(), 1000);
        Assert.Equal((4, 2, 1, 1), (one.Code.UnitRows, two.Code.UnitRows, four.Code.UnitRows, six.Code.UnitRows));
        Assert.Equal((1, 3, 4, 6), (one.Code.MostTiles, two.Code.MostTiles, four.Code.MostTiles, six.Code.MostTiles));
        // A weight keeps two: other widths have the nearer.
        var once = new CompiledOnce();
        CountedMatrix few = Get(once, 5), many = Get(once, 1000);
        Assert.Same(many, Get(once, 90));
        Assert.Same(few, Get(once, 40));
        Assert.Same(many, Get(once, 50));
        Assert.Equal(few.Bytes + many.Bytes, once.Bytes);
        Assert.All([one, two, four, six], m => Assert.InRange(m.Code.ZeroLine * 64, 0, ushort.MaxValue));
        // An order for one width serves another.
        foreach (int n in (int[])[3, 31, 60, 130])
        {
            float[] b = Uniform(random, 300 * n), expected = new float[60 * n], c = new float[60 * n];
            SpMM.MultiplyReference(csr, b, n, expected, default, default, Clamp.None);
            foreach (CountedMatrix matrix in (CountedMatrix[])[one, two, four, six])
            {
                Array.Fill(c, float.NaN);
                Multiply(matrix, b, n, c, [], [], Clamp.None);
                Near.BitEqual(expected, c);
            }
        }

        CountedMatrix Get(CompiledOnce once, int n) => Assert.IsType<CountedMatrix>(once.Get(60, 300, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), csr.Values.ToArray(), 0, n));
    }

    [SkippableFact]
    public void Widths_whose_order_would_be_the_same_share_it()
    {
        using SimdDispatch.Forced forced = SimdDispatch.Force((SimdLevel)Math.Min((int)SimdLevel.Vector256, (int)SimdDispatch.Level));
        Skip.IfNot(CompiledMatrix.Usable256, "this machine runs no code of ours");
        CsrMatrix csr = Csr(new Random(12), 60, 300, 0.1);
        var once = new CompiledOnce();
        CountedMatrix some = Get(40), many = Get(196), few = Get(8);
        if (VectorUnits.AreHalf256)
        {
            Assert.Equal((CountedCode256.At(1), CountedCode256.At(3)), (some.Code, many.Code));
            Assert.Same(some, few);
            Assert.Equal(some.Bytes + many.Bytes, once.Bytes);
            return;
        }
        Assert.Equal(CountedCode256.Strips, some.Code);
        Assert.Same(some, many);
        Assert.Same(some, Get(60));
        // There is room left for an order of their own.
        Assert.Equal(CountedCode256.At(0), few.Code);
        Assert.Equal(some.Bytes + few.Bytes, once.Bytes);
        Assert.Same(few, Get(16));
        Assert.Same(some, Get(17));

        CountedMatrix Get(int n) => Assert.IsType<CountedMatrix>(once.Get(60, 300, csr.RowPointers.ToArray(), csr.ColumnIndices.ToArray(), csr.Values.ToArray(), 0, n));
    }

    [Theory]
    [InlineData(1, 7, 7, 1)]
    [InlineData(1, 8, 9, 2)]
    [InlineData(3, 7, 7, 1)]
    [InlineData(3, 8, 9, 1)]
    [InlineData(3, 14, 13, 2)]
    public void Convolutions_of_small_images_give_the_same_bits_with_and_without_code(int kernel, int height, int width, int stride)
    {
        var random = new Random(kernel * 100 + width);
        int channels = kernel == 1 ? 600 : 130;
        var shape = new SparseConvolutionShape(channels, 130, kernel, kernel) { PadTop = kernel / 2, PadLeft = kernel / 2, PadBottom = kernel / 2, PadRight = kernel / 2, StrideHeight = stride, StrideWidth = stride };
        CsrMatrix weight = Csr(random, 130, channels * kernel * kernel, 0.2);
        foreach (int batch in new[] { 1, 9 })
        {
            int outputs = batch * shape.OutChannels * shape.OutHeight(height) * shape.OutWidth(width);
            float[] x = Uniform(random, batch * channels * height * width), residual = Uniform(random, outputs), bias = Uniform(random, shape.OutChannels), plain = new float[outputs];
            var convolution = new PreparedSparseConvolution(shape, weight);
            using (CompiledMatrix.Forbid()) convolution.Forward(x, batch, height, width, plain, bias, residual, Clamp.Relu);
            Near.BitEqual(plain, SameEverywhere(outputs, y => convolution.Forward(x, batch, height, width, y, bias, residual, Clamp.Relu)));
        }
    }

    private static void Multiply(CountedMatrix matrix, float[] b, int n, float[] c, float[] bias, float[] residual, Clamp clamp)
    {
        fixed (float* pb = b, pc = c, pBias = bias, pResidual = residual)
        {
            new CompiledProduct<LineSource>
            {
                Matrix = matrix,
                Source = new LineSource { Base = pb, Stride = n, Columns = n, Lines = matrix.Lines },
                Columns = n,
                Output = pc,
                RowStride = n,
                Bias = pBias,
                Residual = pResidual,
                Clamp = clamp,
            }.Run();
        }
    }

    private static void Linear(CountedMatrix matrix, float[] x, int n, float[] y, float[] bias, float[] residual, Clamp clamp)
    {
        fixed (float* px = x, py = y, pBias = bias, pResidual = residual)
        {
            new CompiledProduct<TurnedSource>
            {
                Matrix = matrix,
                Source = new TurnedSource { Base = px, Stride = x.Length / n, Columns = n, Lines = matrix.Lines },
                Columns = n,
                Output = py,
                RowStride = matrix.RowCount,
                Turned = true,
                Bias = pBias,
                Residual = pResidual,
                Clamp = clamp,
            }.Run();
        }
    }

    /// <summary>So many threads until it is disposed.</summary>
    private readonly struct Threads : IDisposable
    {
        private readonly int _before;

        public Threads(int threads) => (_before, WorkPool.Threads) = (WorkPool.Threads, threads);

        public void Dispose() => WorkPool.Threads = _before;
    }
}

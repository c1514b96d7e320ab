using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Vector;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class PreparedSpMVTests
{
    public static TheoryData<int, int> Sizes => new()
    {
        { 1, 1 }, { 5, 1 }, { 1, 70 }, { 13, 64 }, { 37, 129 }, { 64, 300 }, { 17, 128 }, { 16, 256 }, { 6, 255 }, { 7, 257 }, { 70, 1100 }, { 3, 2500 }, { 300, 40 },
    };

    [Theory, MemberData(nameof(Sizes))]
    public void Every_type_gives_the_products_of_its_dense_form_on_every_level(int rows, int columns)
    {
        var random = new Random(rows + (columns * 100));
        foreach (double density in (double[])[0, 0.02, 0.1, 0.3, 0.5, 0.9, 1])
        {
            float[] dense = SparseDense(random, rows, columns, density), x = Uniform(random, columns), bias = Uniform(random, rows);
            foreach (ValueKind kind in Enum.GetValues<ValueKind>())
            {
                CompactMatrix masked = CompactMatrix.FromMask(Mask.FromNonZeros([rows, columns], dense), dense, rows, columns, kind);
                foreach (CompactMatrix w in (CompactMatrix[])[masked, masked.WithoutMask()])
                {
                    if (!PreparedSpMV.Fits(w)) continue;
                    foreach (WindowForm form in Enum.GetValues<WindowForm>())
                    {
                        string what = $"{w} density {density} {form}";
                        var prepared = new PreparedSpMV(w, form);
                        Assert.Equal(w.StoredCount, prepared.StoredCount);
                        if (form == WindowForms.OfMachine) Assert.InRange(PreparedSpMV.CountBytes(w), 0, prepared.Bytes);
                        float[] held = new float[dense.Length];
                        w.ToDense(held);
                        float[] expected = Product(held, rows, columns, kind.IsQuantized() ? Rounded(x) : x, 1);
                        Near.Equal(expected, SameEverywhere(rows, y => prepared.Multiply(x, y, default, Clamp.None), what: what), 2e-5, 1e-5, what);
                        for (int r = 0; r < rows; r++) expected[r] = Math.Clamp(expected[r] + bias[r], 0f, 0.5f);
                        Near.Equal(expected, SameEverywhere(rows, y => prepared.Multiply(x, y, bias, new Clamp(0, 0.5f)), what: what), 2e-5, 1e-5, what);
                    }
                }
            }
        }
    }

    [Fact]
    public void Integers_give_the_sums_of_the_bit_mask()
    {
        const int Rows = 500, Columns = 1300;
        var random = new Random(7);
        float[] dense = SparseDense(random, Rows, Columns, 0.15), x = Uniform(random, Columns);
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Int8, ValueKind.Int4])
        {
            CompactMatrix w = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, kind);
            float[] expected = new float[Rows];
            Gemv.Multiply(w, x, expected);
            // The same integers; floating point adds up windows instead of lanes.
            float[] wide = SameEverywhere(Rows, y => new PreparedSpMV(w, WindowForm.Wide).Multiply(x, y, default, Clamp.None));
            Near.Equal(expected, wide, 1e-6, 1e-6, $"{kind}");
            Assert.Equal(wide, SameEverywhere(Rows, y => new PreparedSpMV(w, WindowForm.Narrow).Multiply(x, y, default, Clamp.None)));
        }
    }

    /// <summary>Rows that fill parts of one size and of another, and sums of a full window that take all of 16 bits.</summary>
    [Theory]
    [InlineData(3, 64)]
    [InlineData(1500, 64)]
    [InlineData(4500, 70)]
    public void Lowest_4_bit_values_fill_windows(int rows, int columns)
    {
        var random = new Random(rows);
        int words = (columns + 63) / 64;
        var scales = new byte[2 * rows];
        for (int i = 1; i < scales.Length; i += 2) scales[i] = (byte)(i % 3 == 0 ? 0xC0 : 0x3C);
        foreach (double density in (double[])[0.2, 1])
        {
            var bits = new ulong[rows * words];
            for (int r = 0; r < rows; r++)
            {
                for (int c = 0; c < columns; c++) bits[(r * words) + (c / 64)] |= random.NextDouble() < density ? 1ul << c : 0;
            }
            CompactMatrix w = CompactMatrix.FromParts(rows, columns, ValueKind.Int4, System.Runtime.InteropServices.MemoryMarshal.AsBytes(bits.AsSpan()).ToArray(), new byte[(rows * (columns + 1) / 2) + CompactMatrix.Slack], scales, PreparedSpMV.IntegerWindow);
            var held = new float[rows * columns];
            w.ToDense(held);
            foreach (int sign in (int[])[-1, 1])
            {
                // Exactly 127 steps of 1.
                float[] x = [.. Enumerable.Repeat(127f * sign, columns)];
                foreach (WindowForm form in Enum.GetValues<WindowForm>())
                {
                    var prepared = new PreparedSpMV(w, form);
                    Near.BitEqual(Product(held, rows, columns, x, 1), SameEverywhere(rows, y => prepared.Multiply(x, y, default, Clamp.None)), $"{w} {form}");
                }
            }
        }
    }

    /// <summary>Parts of 64 rows, of more, and of as many as a byte names, the last of them shorter; rows of none to all entries.</summary>
    [Theory]
    [InlineData(ValueKind.Int8, 1000, 64)]
    [InlineData(ValueKind.Int8, 2100, 144)]
    [InlineData(ValueKind.Int8, 4101, 256)]
    [InlineData(ValueKind.Int4, 2100, 144)]
    [InlineData(ValueKind.Int4, 4101, 256)]
    public void Parts_of_many_rows_of_integers_give_exact_sums(ValueKind kind, int rows, int partRows)
    {
        const int Columns = 333, Words = (Columns + 63) / 64;
        var random = new Random(rows);
        var bits = new ulong[rows * Words];
        for (int r = 0; r < rows; r++)
        {
            double density = r % 7 == 0 ? 0 : r % 11 == 0 ? 1 : random.NextDouble();
            for (int c = 0; c < Columns; c++) bits[(r * Words) + (c / 64)] |= random.NextDouble() < density ? 1ul << c : 0;
        }
        byte[] values = new byte[(rows * Columns) + CompactMatrix.Slack], scales;
        random.NextBytes(values);
        if (kind == ValueKind.Int8)
        {
            for (int i = 0; i < values.Length; i++) values[i] = values[i] == 0x80 ? (byte)0x7F : values[i];
            scales = System.Runtime.InteropServices.MemoryMarshal.AsBytes(Enumerable.Range(0, rows).Select(r => 0.5f * (1 + (r % 2))).ToArray().AsSpan()).ToArray();
        }
        else
        {
            // Halves of 1 and -2 for 256 columns each.
            scales = new byte[rows * 4];
            for (int i = 1; i < scales.Length; i += 2) scales[i] = (byte)(i % 3 == 0 ? 0xC0 : 0x3C);
        }
        CompactMatrix w = CompactMatrix.FromParts(rows, Columns, kind, System.Runtime.InteropServices.MemoryMarshal.AsBytes(bits.AsSpan()).ToArray(), values, scales, kind == ValueKind.Int4 ? PreparedSpMV.IntegerWindow : 0);
        Assert.Equal(VectorUnits.AreHalf256 ? WindowLayout.NarrowPartRows : partRows, new WindowLayout.WindowShape(WindowSource.Of(w), WindowForm.Narrow).PartRows);
        var held = new float[rows * Columns];
        w.ToDense(held);
        // Steps of 1 in both blocks of the input: every sum is exact.
        float[] x = [.. Enumerable.Range(0, Columns).Select(c => c % PreparedSpMV.IntegerWindow == 5 ? -127f : random.Next(-127, 128))];
        foreach (WindowForm form in Enum.GetValues<WindowForm>())
        {
            var prepared = new PreparedSpMV(w, form);
            Near.BitEqual(Product(held, rows, Columns, x, 1), SameEverywhere(rows, y => prepared.Multiply(x, y, default, Clamp.None)), $"{w} {form}");
        }
    }

    /// <summary>Parts that go through their windows together, of which one has groups or steps that the other does not have, and a last one that is alone.</summary>
    [Theory, InlineData(ValueKind.Float32), InlineData(ValueKind.BFloat16), InlineData(ValueKind.Int8), InlineData(ValueKind.Int4)]
    public void Neighbouring_parts_may_have_fewer_entries_or_more(ValueKind kind)
    {
        const int Rows = 310, Columns = 520, PartRows = 64;
        double[] most = [0, 0.7, 0.6, 0.01, 0.2];
        var random = new Random(3);
        float[] dense = new float[Rows * Columns], x = Uniform(random, Columns);
        for (int i = 0; i < dense.Length; i++)
        {
            int row = i / Columns;
            // Rows of a part differ as well, and a window of it is empty.
            bool isThere = i % Columns / 128 != row / PartRows && random.NextDouble() < most[row / PartRows] * (1 + (row % 5)) / 5;
            dense[i] = isThere ? random.NextSingle() - 0.5f : 0;
        }
        CompactMatrix w = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, kind);
        Assert.Equal(PartRows, new WindowLayout.WindowShape(WindowSource.Of(w), WindowForm.Wide).PartRows);
        PreparedSpMV alone = new(w, WindowForm.Wide) { PartsAtOnce = 1 }, pairs = new(w, WindowForm.Wide) { PartsAtOnce = WindowParts.MostParts };
        var held = new float[dense.Length];
        w.ToDense(held);
        float[] expected = Product(held, Rows, Columns, kind.IsQuantized() ? Rounded(x) : x, 1), found = SameEverywhere(Rows, y => pairs.Multiply(x, y, default, Clamp.None));
        Near.Equal(expected, found, 2e-5, 1e-5, $"{kind}");
        Near.BitEqual(SameEverywhere(Rows, y => alone.Multiply(x, y, default, Clamp.None)), found, $"{kind}, two parts together");
    }

    /// <summary>32 of the 64 products of a narrow window are added up in 16 bits: 32 x 8 x 127 is 32512, and two more would not fit.</summary>
    [Theory]
    [InlineData(1, 64)]
    [InlineData(9, 320)]
    [InlineData(9, 300)]
    public void Full_rows_of_the_lowest_4_bit_value_fit_16_bits(int rows, int columns)
    {
        const float Input = 127f / 4;
        int groups = (columns + PreparedSpMV.IntegerWindow - 1) / PreparedSpMV.IntegerWindow;
        var ones = new byte[rows * groups * 2];
        for (int i = 1; i < ones.Length; i += 2) ones[i] = 0x3C;
        CompactMatrix w = CompactMatrix.FromParts(rows, columns, ValueKind.Int4, null, new byte[(rows * ((columns + 1) / 2)) + CompactMatrix.Slack], ones, PreparedSpMV.IntegerWindow);
        // All inputs of one sign, and every second pair of the other: both bounds side by side.
        foreach (Func<int, bool> isNegative in (Func<int, bool>[])[_ => false, _ => true, c => c % 4 < 2, c => c % 4 >= 2, c => c % 64 < 32])
        {
            float[] x = [.. Enumerable.Range(0, columns).Select(c => isNegative(c) ? -Input : Input)], expected = new float[rows];
            Array.Fill(expected, 0f - (8f * x.Sum()));
            foreach (WindowForm form in Enum.GetValues<WindowForm>())
            {
                var prepared = new PreparedSpMV(w, form);
                Near.BitEqual(expected, SameEverywhere(rows, y => prepared.Multiply(x, y, default, Clamp.None)), $"{w} {form}");
            }
        }
    }

    /// <summary>Lanes without a row and places without an entry add +0 in some forms and nothing in others.</summary>
    [Theory, InlineData(ValueKind.Float32), InlineData(ValueKind.BFloat16)]
    public void Products_that_underflow_to_minus_zero_add_up_to_zero(ValueKind kind)
    {
        foreach (int rows in (int[])[1, 3])
        {
            foreach (int columns in (int[])[4, 8, 256, 260])
            {
                float[] dense = new float[rows * columns], x = new float[columns];
                Array.Fill(dense, 1e-30f);
                Array.Fill(x, -1e-30f);
                CompactMatrix w = CompactMatrix.FromDense(dense, rows, columns, kind);
                foreach (WindowForm form in Enum.GetValues<WindowForm>())
                {
                    var prepared = new PreparedSpMV(w, form);
                    Near.BitEqual(new float[rows], SameEverywhere(rows, y => prepared.Multiply(x, y, default, Clamp.None), what: $"{w} {form}"), $"{w} {form}");
                }
            }
        }
    }

    [Fact]
    public void Rows_are_sorted_in_every_window()
    {
        // Every row has 64 entries, each in one of 16 windows of its own: 16 rows of a window fill a group of their own, beside none.
        const int Columns = 16 * 128, Rows = 256;
        var dense = new float[Rows * Columns];
        for (int r = 0; r < Rows; r++) dense.AsSpan((r * Columns) + (r % 16 * 128), 64).Fill(1);
        CsrMatrix csr = CsrMatrix.FromDense(dense, Rows, Columns);
        const int Step = (64 * 4) + 32, Head = 16;
        // Parts of 64 rows: four of them have entries in a window, in a group of 16 lanes.
        Assert.Equal(4 * 16 * ((64 / 4 * Step) + Head), WindowLayout.Count(WindowSource.Of(csr), WindowForm.Wide).Bytes);
        // Narrow: eight of a part, in two groups of 4 lanes, a byte for each column.
        Assert.Equal(4 * 8 * 2 * ((64 / 4 * ((16 * 4) + 16)) + 4), WindowLayout.Count(WindowSource.Of(csr), WindowForm.Narrow).Bytes);
        Assert.Equal(0, PreparedSpMV.CountBytes(CsrMatrix.FromDense(new float[12], 3, 4)));
    }

    [Fact]
    public void Thin_and_wide_matrices_skip_windows()
    {
        const int Columns = 2_500_000;
        var csr = new CsrMatrix(2, Columns, [0, 2, 3], [5, Columns - 1, 1_200_000], [2f, 3f, 4f]);
        var x = new float[Columns];
        (x[5], x[1_200_000], x[Columns - 1]) = (7f, 0.5f, 11f);
        float[] y = SameEverywhere(2, y => new PreparedSpMV(csr).Multiply(x, y, default, Clamp.None));
        Assert.Equal(47f, y[0]);
        Assert.Equal(2f, y[1]);
    }

    [Fact]
    public void A_matrix_without_columns_gives_its_bias()
    {
        PreparedSpMV[] empty = [new(CsrMatrix.FromDense([], 3, 0)), new(CompactMatrix.FromDense([], 3, 0, ValueKind.BFloat16)), new(CompactMatrix.FromDense([], 3, 0, ValueKind.Int8))];
        foreach (PreparedSpMV w in empty) Assert.Equal([1f, 0f, 3f], SameEverywhere(3, y => w.Multiply([], y, [1f, -2f, 3f], Clamp.Relu)));
    }

    [Fact]
    public void Gaps_of_every_width_are_told()
    {
        // The first of a row at every place of a window, the second at every distance from it.
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            const int Columns = 256;
            var dense = new float[Columns * Columns];
            for (int r = 0; r < Columns; r++)
            {
                dense[(r * Columns) + r] = 1;
                dense[(r * Columns) + ((r * 7) % Columns)] = -1;
                for (int c = 3; c < Columns; c += 2 + (r % 5)) dense[(r * Columns) + c] = 0.5f;
            }
            CompactMatrix w = CompactMatrix.FromMask(Mask.FromNonZeros([Columns, Columns], dense), dense, Columns, Columns, kind);
            if (!PreparedSpMV.Fits(w)) w = CompactMatrix.FromParts(Columns, Columns, kind, w.Bits, w.Values, new byte[CompactMatrix.ScaleBytes(Columns, Columns, kind, 256)], 256);
            float[] x = Uniform(new Random(3), Columns), held = new float[dense.Length];
            w.ToDense(held);
            foreach (WindowForm form in Enum.GetValues<WindowForm>())
                Near.Equal(Product(held, Columns, Columns, kind.IsQuantized() ? Rounded(x) : x, 1), SameEverywhere(Columns, y => new PreparedSpMV(w, form).Multiply(x, y, default, Clamp.None)), 2e-5, 1e-5, $"{kind} {form}");
        }
    }

    [Fact]
    public void Infinite_and_missing_inputs_touch_stored_entries_only_and_blocks_of_integer_inputs()
    {
        const int Rows = 6, Columns = 600;
        var dense = new float[Rows * Columns];
        for (int r = 0; r < Rows; r++) dense[(r * Columns) + (100 * r)] = 1 + r;
        var kept = new bool[dense.Length];
        for (int i = 0; i < kept.Length; i++) kept[i] = dense[i] != 0;
        // An entry that is kept and zero, of either sign: zero times infinity is NaN, as IEEE says.
        kept[(4 * Columns) + 7] = kept[(5 * Columns) + 7] = true;
        dense[(5 * Columns) + 7] = -0f;
        var x = new float[Columns];
        Array.Fill(x, float.PositiveInfinity);
        x[0] = 1.5f;
        x[100] = float.NaN;
        Mask mask = Mask.FromFlags([Rows, Columns], kept);
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Float32, ValueKind.BFloat16])
        {
            foreach (WindowForm form in Enum.GetValues<WindowForm>())
            {
                var w = new PreparedSpMV(CompactMatrix.FromMask(mask, dense, Rows, Columns, kind), form);
                float[] y = SameEverywhere(Rows, y => w.Multiply(x, y, default, Clamp.None));
                Assert.Equal([1.5f, float.NaN, float.PositiveInfinity, float.PositiveInfinity, float.NaN, float.NaN], y);
            }
        }
        var one = new float[Columns];
        one[300] = float.NaN;
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Int8, ValueKind.Int4])
        {
            foreach (WindowForm form in Enum.GetValues<WindowForm>())
            {
                var w = new PreparedSpMV(CompactMatrix.FromMask(mask, dense, Rows, Columns, kind), form);
                Assert.All(SameEverywhere(Rows, y => w.Multiply(one, y, default, Clamp.None)), v => Assert.True(float.IsNaN(v)));
            }
        }
    }

    [Theory, InlineData(ValueKind.Float32), InlineData(ValueKind.BFloat16)]
    public void Special_values_in_weights_and_inputs_go_where_the_definition_sends_them(ValueKind kind)
    {
        var random = new Random(8);
        foreach ((int rows, int columns) in ((int, int)[])[(2, 2), (5, 1), (17, 128), (70, 1100), (300, 40)])
        {
            float[] dense = SparseDense(random, rows, columns, 0.3), x = Uniform(random, columns);
            for (int i = 0; i < dense.Length; i += 1 + random.Next(columns + 9)) dense[i] = Special[random.Next(Special.Length)];
            x[^1] = Special[random.Next(Special.Length)];
            Mask mask = Mask.FromFlags([rows, columns], [.. dense.Select(v => v != 0 || float.IsNegative(v))]);
            CompactMatrix w = CompactMatrix.FromMask(mask, dense, rows, columns, kind);
            float[] held = new float[dense.Length], expected = new float[rows];
            w.ToDense(held);
            for (int i = 0; i < held.Length; i++) if (mask[i]) expected[i / columns] += held[i] * x[i % columns];
            foreach (WindowForm form in Enum.GetValues<WindowForm>())
            {
                var prepared = new PreparedSpMV(w, form);
                Everywhere(rows, expected, y => prepared.Multiply(x, y, default, Clamp.None), $"{w} {form}", near: true);
            }
        }
    }

    [Theory, InlineData(ValueKind.Float32), InlineData(ValueKind.BFloat16), InlineData(ValueKind.Int8), InlineData(ValueKind.Int4)]
    public void Denormal_products_are_exact(ValueKind kind)
    {
        foreach ((int rows, int columns) in ((int, int)[])[(1, 1), (13, 300), (70, 64)])
        {
            foreach ((CompactMatrix w, float[] x) in Denormal(kind, rows, columns))
            {
                var held = new float[rows * columns];
                w.ToDense(held);
                foreach (WindowForm form in Enum.GetValues<WindowForm>())
                {
                    var prepared = new PreparedSpMV(w, form);
                    Everywhere(rows, Product(held, rows, columns, x, 1), y => prepared.Multiply(x, y, default, Clamp.None), $"{w} {form}");
                }
            }
        }
    }

    [Fact]
    public void Fine_groups_of_scales_lowest_integers_and_wrong_lengths_are_refused()
    {
        CompactMatrix fine = CompactMatrix.FromDense(new float[4 * 300], 4, 300, ValueKind.Int4);
        Assert.Equal(64, fine.GroupColumns);
        Assert.Contains("64 columns", Assert.Throws<ArgumentException>(() => new PreparedSpMV(fine)).Message);
        // 256 of these sum up to what 16 bits cannot negate.
        var lowest = new byte[256];
        Array.Fill(lowest, (byte)0x80);
        Assert.Contains("-128", Assert.Throws<ArgumentException>(() => new PreparedSpMV(CompactMatrix.FromParts(1, 256, ValueKind.Int8, null, lowest, new byte[4]))).Message);
        var w = new PreparedSpMV(CsrMatrix.FromDense([1f, 2f], 1, 2));
        Assert.Throws<ArgumentException>(() => w.Multiply(new float[3], new float[1], default, Clamp.None));
        Assert.Throws<ArgumentException>(() => w.Multiply(new float[2], new float[2], default, Clamp.None));
        Assert.Throws<ArgumentException>(() => w.Multiply(new float[2], new float[1], new float[2], Clamp.None));
    }

    /// <summary>What integer products take the input as: see <see cref="PreparedSpMV"/>.</summary>
    private static float[] Rounded(float[] x)
    {
        var rounded = new float[x.Length];
        for (int first = 0; first < x.Length; first += PreparedSpMV.IntegerWindow)
        {
            Span<float> block = x.AsSpan(first, Math.Min(PreparedSpMV.IntegerWindow, x.Length - first));
            float largest = 0;
            foreach (float v in block) largest = Math.Max(largest, Math.Abs(v));
            float scale = largest / 127f;
            for (int i = 0; i < block.Length; i++) rounded[first + i] = scale == 0 ? 0 : MathF.Round(block[i] / scale) * scale;
        }
        return rounded;
    }
}

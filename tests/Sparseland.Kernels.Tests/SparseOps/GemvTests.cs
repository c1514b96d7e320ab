using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Compiled;
using Sparseland.Kernels.SparseOps.Vector;
using Sparseland.Kernels.Threading;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class GemvTests
{
    public static TheoryData<int, int> Sizes => new()
    {
        { 1, 1 }, { 5, 1 }, { 1, 70 }, { 13, 64 }, { 37, 129 }, { 64, 300 }, { 9, 31 }, { 8, 33 }, { 6, 255 }, { 7, 257 }, { 4, 1100 }, { 3, 2500 }, { 9, 128 }, { 22, 1024 },
    };

    [Theory, MemberData(nameof(Sizes))]
    public void Every_type_gives_the_products_of_its_dense_form_on_every_level(int rows, int columns)
    {
        var random = new Random(rows + (columns * 100));
        foreach (double density in (double[])[0, 0.05, 0.3, 0.5, 0.9, 1])
        {
            float[] dense = SparseDense(random, rows, columns, density), x = Uniform(random, columns), bias = Uniform(random, rows);
            foreach (ValueKind kind in Enum.GetValues<ValueKind>())
            {
                foreach (CompactMatrix w in (CompactMatrix[])[CompactMatrix.FromDense(dense, rows, columns, kind), CompactMatrix.FromMask(Mask.FromNonZeros([rows, columns], dense), dense, rows, columns, kind)])
                {
                    string what = $"{w} density {density}";
                    float[] held = new float[dense.Length];
                    w.ToDense(held);
                    float[] input = kind.IsQuantized() ? Rounded(x) : x;
                    float[] expected = Product(held, rows, columns, input, 1);
                    Near.Equal(expected, SameEverywhere(rows, y => Gemv.Multiply(w, x, y), what: what), 2e-5, 1e-5, what);
                    for (int r = 0; r < rows; r++) expected[r] = Math.Clamp(expected[r] + bias[r], 0f, 0.5f);
                    Near.Equal(expected, SameEverywhere(rows, y => Gemv.Multiply(w, x, y, bias, new Clamp(0, 0.5f))), 2e-5, 1e-5, what);
                }
            }
        }
    }

    /// <summary>Registers end behind the row's last column: the next row, which holds no numbers here, has no part in it.</summary>
    [Theory, InlineData(1), InlineData(31), InlineData(33), InlineData(63), InlineData(100)]
    public void Rows_that_are_not_whole_registers_know_nothing_of_their_neighbours(int columns)
    {
        const int Rows = 24;
        var random = new Random(columns);
        float[] dense = Uniform(random, Rows * columns), x = Uniform(random, columns);
        for (int r = 1; r < Rows; r += 2) dense.AsSpan(r * columns, columns).Fill(r % 4 == 1 ? float.NaN : float.PositiveInfinity);
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Float32, ValueKind.BFloat16])
        {
            CompactMatrix w = CompactMatrix.FromDense(dense, Rows, columns, kind);
            float[] held = new float[dense.Length];
            w.ToDense(held);
            float[] found = SameEverywhere(Rows, y => Gemv.Multiply(w, x, y)), expected = Product(held, Rows, columns, x, 1);
            for (int r = 0; r < Rows; r += 2) Near.Equal([expected[r]], [found[r]], 2e-5, 1e-5, $"{w} row {r}");
            for (int r = 1; r < Rows; r += 2) Assert.False(float.IsFinite(found[r]));
        }
    }

    [Fact]
    public void Large_products_are_cut_into_parts_that_give_the_same_bits()
    {
        const int Rows = 700, Columns = 1500;
        var random = new Random(7);
        float[] dense = SparseDense(random, Rows, Columns, 0.4), x = Uniform(random, Columns);
        Array.Clear(dense, 100 * Columns, 50 * Columns);
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            CompactMatrix all = CompactMatrix.FromDense(dense, Rows, Columns, kind), masked = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, kind);
            float[] a = SameEverywhere(Rows, y => Gemv.Multiply(all, x, y)), b = SameEverywhere(Rows, y => Gemv.Multiply(masked, x, y));
            // Skipping a zero and adding it give the same bits where both hold the same numbers: scales of 4-bit groups differ.
            if (kind != ValueKind.Int4) Near.BitEqual(a, b);
            Assert.All(b[100..150], v => Assert.Equal(0f, v));
        }
    }

    /// <summary>Machine code goes from four rows to the next four without a call, while they are alike: more of them than one call takes, changing after runs of every length, in rows that are no whole words.</summary>
    [Theory, InlineData(200), InlineData(321)]
    public void Rows_that_go_on_from_one_another_give_the_products_of_their_dense_form(int columns)
    {
        const int Rows = (8 * RowSums.FoursAtOnce) + 135, Quarter = Rows / 4;
        var random = new Random(columns);
        float[] dense = new float[Rows * columns], x = Uniform(random, columns);
        for (int r = 0, run = 1, left = 1, few = 1; r < Quarter; r++)
        {
            for (int i = 0; i < 4; i++) SparseDense(random, 1, columns, few == 1 ? 0.2 : 0.9).CopyTo(dense, ((i * Quarter) + r) * columns);
            if (--left > 0) continue;
            left = run = (run % 37) + 1;
            few ^= 1;
        }
        Array.Fill(dense, 0.25f, 4 * Quarter * columns, Rows % 4 * columns);
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            foreach (CompactMatrix w in (CompactMatrix[])[CompactMatrix.FromDense(dense, Rows, columns, kind), CompactMatrix.FromMask(Mask.FromNonZeros([Rows, columns], dense), dense, Rows, columns, kind)])
            {
                float[] held = new float[dense.Length];
                w.ToDense(held);
                Near.Equal(Product(held, Rows, columns, kind.IsQuantized() ? Rounded(x) : x, 1), SameEverywhere(Rows, y => Gemv.Multiply(w, x, y), what: $"{w}"), 2e-5, 1e-5, $"{w}");
            }
        }
    }

    /// <summary>Rows of words that keep 0 to 16 values: all of them, and as the last word of the matrix, behind which nothing may be read.</summary>
    [Fact]
    public void Words_of_few_values_give_the_products_of_their_dense_form()
    {
        const int Rows = 17, Words = 5, Columns = Words * 64;
        var random = new Random(5);
        float[] dense = new float[Rows * Columns], x = Uniform(random, Columns);
        for (int r = 0; r < Rows; r++)
        {
            for (int w = 0; w < Words; w++)
            {
                int count = w == Words - 1 ? 16 - r : (r + (5 * w)) % 17;
                int[] columns = [.. Enumerable.Range(0, 64)];
                random.Shuffle(columns);
                foreach (int c in columns.AsSpan(0, count)) dense[(r * Columns) + (w * 64) + c] = 0.5f + random.NextSingle();
                if (count > 0 && r % 2 == 0) dense[(r * Columns) + (w * 64) + 63 - w] = 1f;
            }
        }
        CompactMatrix m = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, ValueKind.Float32);
        CompactMatrix bare = CompactMatrix.FromParts(Rows, Columns, ValueKind.Float32, m.Bits, m.Values.ToArray(), m.Scales, 0);
        float[] expected = Product(dense, Rows, Columns, x, 1), found = SameEverywhere(Rows, y => Gemv.Multiply(m, x, y));
        Near.Equal(expected, found, 2e-5, 1e-5, $"{m}");
        Near.BitEqual(found, SameEverywhere(Rows, y => Gemv.Multiply(bare, x, y)));
    }

    /// <summary>Every mask of eight columns, in rows of many values and of few: values that follow are not multiplied by the zeros of removed columns.</summary>
    [Theory, InlineData(ValueKind.Float32), InlineData(ValueKind.BFloat16)]
    public void Infinite_values_stay_in_their_columns(ValueKind kind)
    {
        const int Rows = 512, Columns = 192;
        var dense = new float[Rows * Columns];
        for (int r = 0; r < Rows; r++)
        {
            for (int b = 0; b < 8; b++) dense[(r * Columns) + 64 + b] = (r >> b & 1) != 0 ? 1f : 0f;
            // Right behind them in memory.
            dense[(r * Columns) + 72] = float.PositiveInfinity;
            if (r >= 256) Array.Fill(dense, 1f, r * Columns, 32);
        }
        float[] x = new float[Columns];
        Array.Fill(x, 0.5f);
        CompactMatrix w = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, kind);
        Assert.All(SameEverywhere(Rows, y => Gemv.Multiply(w, x, y)), v => Assert.Equal(float.PositiveInfinity, v));
        x[72] = 0;
        Assert.All(SameEverywhere(Rows, y => Gemv.Multiply(w, x, y)), v => Assert.True(float.IsNaN(v)));
        // Beside the infinity in its own byte: columns 64 to 71 alone are finite.
        for (int r = 0; r < Rows; r++) dense[(r * Columns) + 72] = 0;
        w = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, kind);
        float[] sums = SameEverywhere(Rows, y => Gemv.Multiply(w, x, y));
        for (int r = 0; r < Rows; r++) Assert.Equal(0.5f * (System.Numerics.BitOperations.PopCount((uint)(r & 255)) + (r >= 256 ? 32 : 0)), sums[r]);
    }

    /// <summary>Beyond the caches rows of AVX2 take turns: rows and columns that are no multiple of four, a word or a line.</summary>
    [Theory]
    [InlineData(ValueKind.Float32, 1101, 2033)]
    [InlineData(ValueKind.BFloat16, 2203, 2033)]
    [InlineData(ValueKind.BFloat16, 1029, 4160)]
    public void Matrices_beyond_the_caches_give_the_same_bits(ValueKind kind, int rows, int columns)
    {
        Assert.True((long)(rows - 2) * columns * kind.Bits() / 8 > FloatRows.FarBytes);
        var random = new Random(columns);
        float[] dense = Uniform(random, rows * columns), x = Uniform(random, columns);
        CompactMatrix w = CompactMatrix.FromDense(dense, rows, columns, kind);
        float[] held = new float[dense.Length];
        w.ToDense(held);
        Near.Equal(Product(held, rows, columns, x, 1), SameEverywhere(rows, y => Gemv.Multiply(w, x, y)), 5e-5, 1e-5, $"{w}");
    }

    /// <summary>Every mask of 16 columns, an odd number of words, and a filler of 0 and of 8.</summary>
    [SkippableFact]
    public unsafe void Shuffles_made_in_registers_spread_values_as_the_definition_does()
    {
        Skip.IfNot(System.Runtime.Intrinsics.X86.Avx2.IsSupported, "needs AVX2");
        const int Words = (1 << 14) + 1;
        var bits = new ulong[Words];
        for (int m = 0; m < 1 << 16; m++) bits[m / 4] |= (ulong)m << (16 * (m % 4));
        bits[^1] = 0xF00F_1248_8421_5AA5;
        var values = new byte[(Words * 64) + CompactMatrix.Slack];
        for (int i = 0; i < values.Length; i++) values[i] = (byte)(1 + (i % 253));
        byte[] expected = new byte[Words * 64], found = new byte[Words * 64];
        foreach (byte filler in (byte[])[0, 8])
        {
            fixed (ulong* b = bits)
            fixed (byte* v = values, e = expected, f = found)
            {
                ByteExpansion.Portable(v, b, Words, e, filler);
                NibbleExpansion.Row(v, b, Words, f, filler);
            }
            Assert.Equal(expected, found);
        }
    }

    /// <summary>Every width of a scale, an odd and an even number of words, and values and inputs whose sums of 16 bits are the largest.</summary>
    [Theory]
    [InlineData(64)]
    [InlineData(128)]
    [InlineData(256)]
    [InlineData(512)]
    public void Lowest_4_bit_values_under_a_mask_meet_inputs_of_both_signs(int group)
    {
        const int Rows = 9;
        var random = new Random(group);
        foreach (int columns in (int[])[1, 64, 100, 192, 256, 448, 1100])
        {
            int words = (columns + 63) / 64, groups = (columns + group - 1) / group;
            foreach (double density in (double[])[0, 0.3, 1])
            {
                var bits = new ulong[Rows * words];
                for (int r = 0; r < Rows; r++)
                {
                    for (int c = 0; c < columns; c++) bits[(r * words) + (c / 64)] |= random.NextDouble() < density ? 1ul << c : 0;
                }
                byte[] lowest = new byte[(Rows * (columns + 1) / 2) + CompactMatrix.Slack], any = new byte[lowest.Length], scales = new byte[Rows * groups * 2];
                random.NextBytes(any);
                // Halves of 1 and -2.
                for (int i = 1; i < scales.Length; i += 2) scales[i] = (byte)(i % 3 == 0 ? 0xC0 : 0x3C);
                foreach (byte[] values in (byte[][])[lowest, any])
                {
                    CompactMatrix w = CompactMatrix.FromParts(Rows, columns, ValueKind.Int4, System.Runtime.InteropServices.MemoryMarshal.AsBytes(bits.AsSpan()).ToArray(), values, scales, group);
                    var held = new float[Rows * columns];
                    w.ToDense(held);
                    foreach (int signs in (int[])[-1, 1, 0])
                    {
                        // Exactly -127 or 127 steps of 1.
                        float[] x = [.. Enumerable.Range(0, columns).Select(_ => 127f * (signs == 0 ? random.Next(2) * 2 - 1 : signs))];
                        Near.BitEqual(Product(held, Rows, columns, x, 1), SameEverywhere(Rows, y => Gemv.Multiply(w, x, y)), $"{w} group {group}");
                    }
                }
            }
        }
    }

    /// <summary>
    /// Masks that are not full, with scales for 64 columns and for more, of odd and even numbers of words, beside memory that may be read behind the values and where they end with it: there the last rows take the definition, which puts
    /// the signs of the input back where they lie apart.
    /// </summary>
    [Theory]
    [InlineData(64)]
    [InlineData(128)]
    [InlineData(256)]
    public void Masked_4_bit_values_give_exact_sums_with_and_without_slack(int group)
    {
        const int Rows = 5;
        var random = new Random(group);
        foreach (int columns in (int[])[1, 50, 64, 100, 150, 192, 257, 300, 320, 600])
        {
            int words = (columns + 63) / 64, groups = (columns + group - 1) / group;
            foreach (double density in (double[])[0.1, 0.6])
            {
                var bits = new ulong[Rows * words];
                for (int r = 0; r < Rows; r++)
                {
                    for (int c = 0; c < columns; c++) bits[(r * words) + (c / 64)] |= random.NextDouble() < density ? 1ul << c : 0;
                }
                byte[] values = new byte[(Rows * (columns + 1) / 2) + CompactMatrix.Slack], scales = new byte[Rows * groups * 2];
                random.NextBytes(values);
                // Halves of 1 and -2.
                for (int i = 1; i < scales.Length; i += 2) scales[i] = (byte)(i % 3 == 0 ? 0xC0 : 0x3C);
                CompactMatrix w = CompactMatrix.FromParts(Rows, columns, ValueKind.Int4, System.Runtime.InteropServices.MemoryMarshal.AsBytes(bits.AsSpan()).ToArray(), values, scales, group);
                CompactMatrix bare = CompactMatrix.FromParts(Rows, columns, ValueKind.Int4, w.Bits, w.Values.ToArray(), scales, group);
                Assert.Equal(Rows, w.WideRows);
                Assert.InRange(bare.WideRows, 0, Rows - 1);
                var held = new float[Rows * columns];
                w.ToDense(held);
                foreach (int most in (int[])[0, 127])
                {
                    // Steps of 1 in every block: negative alone, and of both signs.
                    float[] x = [.. Enumerable.Range(0, columns).Select(c => c % 256 == 0 ? -127f : random.Next(-127, most + 1))], expected = Product(held, Rows, columns, x, 1);
                    Near.BitEqual(expected, SameEverywhere(Rows, y => Gemv.Multiply(w, x, y)), $"{w} group {group}");
                    Near.BitEqual(expected, SameEverywhere(Rows, y => Gemv.Multiply(bare, x, y)), $"{w} group {group} without slack");
                }
            }
        }
    }

    /// <summary>
    /// Machine code goes from one masked row of 4-bit values to the next: more of them than one call takes, and of parts, rows of no values and of few, numbers of columns that are no whole words or pieces, groups of one piece and of several. Sums are
    /// exact, so that the reference is met bit for bit.
    /// </summary>
    [Theory]
    [InlineData(70, 64)]
    [InlineData(321, 128)]
    [InlineData(1000, 256)]
    [InlineData(1000, 512)]
    [InlineData(4096, 64)]
    [InlineData(4100, 512)]
    [InlineData(4481, 1024)]
    [InlineData(8250, 2048)]
    [InlineData(8200, 8192)]
    public void Masked_4_bit_rows_that_go_on_from_one_another_give_exact_sums_on_any_number_of_threads(int columns, int group)
    {
        const int Rows = (4 * RowSums.FoursAtOnce) + 55;
        var random = new Random(columns + group);
        int words = (columns + 63) / 64, groups = (columns + group - 1) / group;
        var bits = new ulong[Rows * words];
        for (int r = 0; r < Rows; r++)
        {
            double density = random.Next(4) switch { 0 => 0.1, 1 => 0.5, 2 => 0.9, _ => r % 3 == 0 ? 0 : 0.3 };
            for (int c = 0; c < columns; c++) bits[(r * words) + (c / 64)] |= random.NextDouble() < density ? 1ul << c : 0;
        }
        byte[] values = new byte[(Rows * ((columns + 1) / 2)) + CompactMatrix.Slack], scales = new byte[Rows * groups * 2];
        random.NextBytes(values);
        // Halves of 1 and -2.
        for (int i = 1; i < scales.Length; i += 2) scales[i] = (byte)(random.Next(2) == 0 ? 0xC0 : 0x3C);
        CompactMatrix w = CompactMatrix.FromParts(Rows, columns, ValueKind.Int4, System.Runtime.InteropServices.MemoryMarshal.AsBytes(bits.AsSpan()).ToArray(), values, scales, group);
        CompactMatrix bare = CompactMatrix.FromParts(Rows, columns, ValueKind.Int4, w.Bits, w.Values.ToArray(), scales, group);
        var held = new float[Rows * columns];
        w.ToDense(held);
        // Steps of 1 in every block.
        float[] x = [.. Enumerable.Range(0, columns).Select(c => c % 256 == 0 ? -127f : random.Next(-127, 128))], expected = Product(held, Rows, columns, x, 1);
        int threads = WorkPool.Threads;
        try
        {
            for (int t = 1; t <= 5; t++)
            {
                WorkPool.Threads = t;
                foreach (SimdLevel level in Levels)
                {
                    using (SimdDispatch.Force(level))
                    {
                        foreach (CompactMatrix m in (CompactMatrix[])[w, bare])
                        {
                            var y = new float[Rows];
                            Gemv.Multiply(m, x, y);
                            Near.BitEqual(expected, y, $"{m} group {group} {level} threads {t} rows that may be read beyond {m.WideRows}");
                        }
                    }
                }
            }
        }
        finally
        {
            WorkPool.Threads = threads;
        }
    }

    /// <summary>Rows of at most 16 values a word look at the input right behind the word, too: what is not finite there, at its last column or in memory that was used before reaches stored entries only.</summary>
    [Theory]
    [InlineData(320)]
    [InlineData(300)]
    public void Words_of_few_values_do_not_meet_inputs_behind_them(int columns)
    {
        const int Few = 17, Rows = Few + 1, Before = 512;
        var random = new Random(columns);
        int[] places = [64, 128, 192, 256, columns - 1];
        var dense = new float[Rows * columns];
        for (int r = 0; r < Few; r++)
        {
            for (int first = 0; first < columns; first += 64)
            {
                int[] free = [.. Enumerable.Range(first + 1, Math.Min(64, columns - first) - 1).Except(places)];
                random.Shuffle(free);
                foreach (int c in free.AsSpan(0, r)) dense[(r * columns) + c] = 0.5f + random.NextSingle();
                // Right before the next word.
                if (r > 0 && first + 63 < columns - 1)
                {
                    dense[(r * columns) + free[0]] = 0;
                    dense[(r * columns) + first + 63] = 1f;
                }
            }
        }
        foreach (int place in places) dense[(Few * columns) + place] = 1f;
        CompactMatrix w = CompactMatrix.FromMask(Mask.FromNonZeros([Rows, columns], dense), dense, Rows, columns, ValueKind.Float32);
        CompactMatrix bare = CompactMatrix.FromParts(Rows, columns, ValueKind.Float32, w.Bits, w.Values.ToArray());
        CompactMatrix before = CompactMatrix.FromDense(new float[Before], 1, Before, ValueKind.Float32);
        float[] x = Uniform(random, columns), missing = new float[Before];
        Array.Fill(missing, float.NaN);
        foreach (int place in places) x[place] = 0;
        float[] expected = Product(dense, Rows, columns, x, 1);
        foreach (CompactMatrix m in (CompactMatrix[])[w, bare])
        {
            float[] finite = SameEverywhere(Rows, y =>
            {
                for (int i = 0; i < 4; i++) Gemv.Multiply(before, missing, new float[1]);
                Gemv.Multiply(m, x, y);
            });
            Near.Equal(expected, finite, 2e-5, 1e-5, $"{m}");
            Assert.All(m.RowFlags!, f => Assert.NotEqual(0, f & VectorCode.IsRanked));
            foreach (float bad in (float[])[float.PositiveInfinity, float.NegativeInfinity, float.NaN])
            {
                foreach (int place in places)
                {
                    float[] other = [.. x];
                    other[place] = bad;
                    float[] found = SameEverywhere(Rows, y => Gemv.Multiply(m, other, y));
                    Near.BitEqual(finite.AsSpan(0, Few), found.AsSpan(0, Few), $"{bad} at {place}");
                    Assert.Equal(bad, found[Few]);
                }
            }
        }
    }

    /// <summary>Registers multiply removed columns as zeros, which makes a sum of -0 one of +0, and the definition leaves them out.</summary>
    [Theory, InlineData(ValueKind.Float32), InlineData(ValueKind.BFloat16)]
    public void Products_that_underflow_to_minus_zero_add_up_to_zero(ValueKind kind)
    {
        const int Rows = 24, Columns = 192;
        foreach (float sign in (float[])[-1, 1])
        {
            float[] dense = new float[Rows * Columns], x = new float[Columns];
            Array.Fill(x, 1e-30f * sign);
            for (int r = 0; r < Rows; r++)
            {
                // All of a word or, in rows of few values, as many as there are sums; then none, one, or as many again.
                int count = r % 2 == 0 ? 64 : 16;
                Array.Fill(dense, -1e-30f * sign, r * Columns, count);
                Array.Fill(dense, -1e-30f * sign, (r * Columns) + 64, r / 2 % 3 == 2 ? count : r / 2 % 3);
            }
            Mask mask = Mask.FromNonZeros([Rows, Columns], dense);
            foreach (CompactMatrix w in (CompactMatrix[])[CompactMatrix.FromMask(mask, dense, Rows, Columns, kind), CompactMatrix.FromDense(dense, Rows, Columns, kind)])
                Near.BitEqual(new float[Rows], SameEverywhere(Rows, y => Gemv.Multiply(w, x, y), what: $"{w}"), $"{w}");
        }
    }

    [SkippableFact]
    public void Machine_code_and_intrinsics_give_the_same_bits()
    {
        Skip.IfNot(VectorCode.IsUsable, "machine code for vectors is not used on this machine");
        const int Rows = 43;
        var random = new Random(11);
        foreach (int columns in (int[])[1, 63, 64, 200, 256, 896, 1300])
        {
            foreach (double density in (double[])[0.02, 0.1, 0.2, 0.5, 0.95])
            {
                float[] dense = SparseDense(random, Rows, columns, density), x = Uniform(random, columns);
                foreach (ValueKind kind in Enum.GetValues<ValueKind>())
                {
                    foreach (CompactMatrix w in (CompactMatrix[])[CompactMatrix.FromDense(dense, Rows, columns, kind), CompactMatrix.FromMask(Mask.FromNonZeros([Rows, columns], dense), dense, Rows, columns, kind)])
                    {
                        float[] code = new float[Rows], intrinsics = new float[Rows];
                        Gemv.Multiply(w, x, code);
                        using (CompiledMatrix.Forbid()) Gemv.Multiply(w, x, intrinsics);
                        Near.BitEqual(code, intrinsics, $"{w}");
                    }
                }
            }
        }
    }

    [Fact]
    public void Infinite_and_missing_inputs_touch_stored_entries_only_and_blocks_of_integer_inputs()
    {
        const int Rows = 6, Columns = 600;
        var dense = new float[Rows * Columns];
        for (int r = 0; r < Rows; r++) dense[(r * Columns) + (100 * r)] = 1 + r;
        var x = new float[Columns];
        Array.Fill(x, float.PositiveInfinity);
        x[0] = 1.5f;
        x[100] = float.NaN;
        Mask mask = Mask.FromNonZeros([Rows, Columns], dense);
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Float32, ValueKind.BFloat16])
        {
            CompactMatrix w = CompactMatrix.FromMask(mask, dense, Rows, Columns, kind);
            float[] y = SameEverywhere(Rows, y => Gemv.Multiply(w, x, y));
            Assert.Equal([1.5f, float.NaN, float.PositiveInfinity, float.PositiveInfinity, float.PositiveInfinity, float.PositiveInfinity], y);
            // A dense zero times infinity is NaN, as IEEE says.
            CompactMatrix all = CompactMatrix.FromDense(dense, Rows, Columns, kind);
            Assert.All(SameEverywhere(Rows, y => Gemv.Multiply(all, x, y)), v => Assert.True(float.IsNaN(v)));
        }
        var one = new float[Columns];
        one[300] = float.NaN;
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Int8, ValueKind.Int4])
        {
            CompactMatrix w = CompactMatrix.FromMask(mask, dense, Rows, Columns, kind);
            Assert.All(SameEverywhere(Rows, y => Gemv.Multiply(w, one, y)), v => Assert.True(float.IsNaN(v)));
        }
    }

    [Fact]
    public void Infinite_weights_propagate_in_floating_point_and_are_refused_in_integers()
    {
        float[] dense = [1f, float.PositiveInfinity, 0f, 2f];
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Float32, ValueKind.BFloat16])
            Assert.Equal([float.PositiveInfinity, 2f], SameEverywhere(2, y => Gemv.Multiply(CompactMatrix.FromDense(dense, 2, 2, kind), [1f, 1f], y)));
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Int8, ValueKind.Int4])
        {
            Assert.Throws<ArgumentException>(() => CompactMatrix.FromDense(dense, 2, 2, kind));
            // What a mask removes is not looked at.
            Mask mask = Mask.FromFlags([2, 2], [true, false, false, true]);
            Assert.Equal(2, CompactMatrix.FromMask(mask, dense, 2, 2, kind).StoredCount);
        }
    }

    [Fact]
    public void Denormal_weights_and_inputs_are_not_lost()
    {
        var dense = new float[3 * 100];
        for (int i = 0; i < dense.Length; i++) dense[i] = (i % 7 - 3) * 1e-42f;
        float[] x = new float[100];
        Array.Fill(x, 1e20f);
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Float32, ValueKind.Int8])
        {
            CompactMatrix w = CompactMatrix.FromDense(dense, 3, 100, kind);
            Near.Equal(Product(dense, 3, 100, x, 1), SameEverywhere(3, y => Gemv.Multiply(w, x, y)), 1e-21, kind == ValueKind.Int8 ? 0.02 : 1e-5, $"{kind}");
        }
        float[] tiny = new float[100];
        Array.Fill(tiny, 1e-42f);
        for (int i = 0; i < dense.Length; i++) dense[i] = 1e10f;
        foreach (ValueKind kind in (ValueKind[])[ValueKind.Float32, ValueKind.BFloat16, ValueKind.Int8])
        {
            CompactMatrix w = CompactMatrix.FromDense(dense, 3, 100, kind);
            Near.Equal(Product(dense, 3, 100, tiny, 1), SameEverywhere(3, y => Gemv.Multiply(w, tiny, y)), 1e-35, 0.02, $"{kind}");
        }
    }

    [Theory, InlineData(ValueKind.Float32), InlineData(ValueKind.BFloat16), InlineData(ValueKind.Int8), InlineData(ValueKind.Int4)]
    public void Denormal_products_are_exact(ValueKind kind)
    {
        foreach ((int rows, int columns) in ((int, int)[])[(1, 1), (13, 300), (40, 64)])
        {
            foreach ((CompactMatrix w, float[] x) in Denormal(kind, rows, columns))
            {
                var held = new float[rows * columns];
                w.ToDense(held);
                Everywhere(rows, Product(held, rows, columns, x, 1), y => Gemv.Multiply(w, x, y), $"{w}");
            }
        }
    }

    [Fact]
    public void Memory_without_slack_gives_the_same_bits()
    {
        const int Rows = 40, Columns = 200;
        var random = new Random(3);
        float[] dense = SparseDense(random, Rows, Columns, 0.3), x = Uniform(random, Columns);
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            foreach (CompactMatrix w in (CompactMatrix[])[CompactMatrix.FromDense(dense, Rows, Columns, kind), CompactMatrix.FromMask(Mask.FromNonZeros([Rows, Columns], dense), dense, Rows, Columns, kind)])
            {
                // The values end where the memory ends: a kernel that read past them would fault or read the guard.
                CompactMatrix bare = CompactMatrix.FromParts(Rows, Columns, kind, w.HasMask ? w.Bits : default(ReadOnlyMemory<byte>?), w.Values.ToArray(), w.Scales, kind == ValueKind.Int4 ? w.GroupColumns : 0);
                Near.BitEqual(SameEverywhere(Rows, y => Gemv.Multiply(w, x, y)), SameEverywhere(Rows, y => Gemv.Multiply(bare, x, y)));
            }
        }
    }

    [Fact]
    public void Wrong_lengths_are_refused()
    {
        CompactMatrix w = CompactMatrix.FromDense(new float[6], 2, 3, ValueKind.BFloat16);
        Assert.Throws<ArgumentException>(() => Gemv.Multiply(w, new float[2], new float[2]));
        Assert.Throws<ArgumentException>(() => Gemv.Multiply(w, new float[3], new float[1]));
        Assert.Throws<ArgumentException>(() => Gemv.Multiply(w, new float[3], new float[2], new float[1], Clamp.None));
        Gemv.Multiply(CompactMatrix.FromDense([], 0, 3, ValueKind.Int4), new float[3], []);
        float[] y = [7f, 7f];
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            Gemv.Multiply(CompactMatrix.FromDense([], 2, 0, kind), [], y, [1f, -1f], Clamp.None);
            Assert.Equal([1f, -1f], y);
        }
    }

    /// <summary>What integer products see of an input: written apart from the kernels, from the documentation.</summary>
    private static float[] Rounded(float[] x)
    {
        var rounded = new float[x.Length];
        for (int first = 0; first < x.Length; first += 256)
        {
            ReadOnlySpan<float> block = x.AsSpan(first, Math.Min(256, x.Length - first));
            float largest = 0;
            foreach (float v in block) largest = Math.Max(largest, Math.Abs(v));
            for (int i = 0; i < block.Length; i++) rounded[first + i] = largest == 0 ? 0 : MathF.Round(block[i] / (largest / 127f)) * (largest / 127f);
        }
        return rounded;
    }
}

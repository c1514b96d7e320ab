using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class ColumnGemvTests
{
    public static TheoryData<int, int> Sizes => new() { { 1, 1 }, { 5, 1 }, { 1, 70 }, { 16, 3 }, { 37, 129 }, { 300, 64 }, { 1000, 40 }, { 2500, 31 }, { 17000, 9 } };

    [Theory, MemberData(nameof(Sizes))]
    public void Columns_beside_zeros_are_left_out_and_the_rest_is_the_dense_product(int outputs, int inputs)
    {
        var random = new Random(outputs + (inputs * 100));
        float[] w = Uniform(random, outputs * inputs), columns = Transpose(w, outputs, inputs), bias = Uniform(random, outputs);
        foreach (double density in (double[])[0, 0.1, 0.5, 1])
        {
            float[] x = Uniform(random, inputs);
            for (int c = 0; c < inputs; c++) x[c] = random.NextDouble() < density ? x[c] : 0;
            string what = $"[{outputs}, {inputs}] density {density}";
            int active = -1;
            float[] expected = Product(w, outputs, inputs, x, 1);
            Near.Equal(expected, SameEverywhere(outputs, y => active = ColumnGemv.Multiply(columns, x, 0, y), what: what), 2e-5, 1e-5, what);
            Assert.Equal(x.Count(v => v != 0), active);
            for (int r = 0; r < outputs; r++) expected[r] = Math.Clamp(expected[r] + bias[r], -0.25f, 0.5f);
            Near.Equal(expected, SameEverywhere(outputs, y => ColumnGemv.Multiply(columns, x, 0, y, bias, new Clamp(-0.25f, 0.5f)), what: what), 2e-5, 1e-5, what);

            // A threshold is the same as zeros in the input.
            float[] cut = Array.ConvertAll(x, v => Math.Abs(v) <= 0.3f ? 0 : v);
            Near.BitEqual(SameEverywhere(outputs, y => ColumnGemv.Multiply(columns, cut, 0, y)), SameEverywhere(outputs, y => ColumnGemv.Multiply(columns, x, 0.3f, y)));
        }
    }

    [Theory, InlineData(40), InlineData(1000), InlineData(1024)]
    public void Where_columns_begin_in_a_line_changes_no_bits(int outputs)
    {
        const int inputs = 23;
        var random = new Random(outputs);
        float[] columns = Uniform(random, inputs * outputs), x = Uniform(random, inputs);
        float[] expected = SameEverywhere(outputs, y => ColumnGemv.Multiply(columns, x, 0, y));
        Memory<float> room = LineMemory.Allocate<float>(columns.Length + 16);
        for (int offset = 0; offset < 16; offset++)
        {
            Memory<float> moved = room.Slice(offset, columns.Length);
            columns.CopyTo(moved.Span);
            Near.BitEqual(expected, SameEverywhere(outputs, y => ColumnGemv.Multiply(moved.Span, x, 0, y), what: $"offset {offset}"));
        }
    }

    [Fact]
    public void A_skipped_column_may_hold_anything_and_what_is_not_a_number_takes_part()
    {
        // Five inputs, three outputs; column 1 is infinite, column 3 has no number.
        float[] columns = [1, 2, 3, float.PositiveInfinity, float.PositiveInfinity, float.PositiveInfinity, 4, 5, 6, float.NaN, float.NaN, float.NaN, 1e-42f, 0, -1e-42f];
        Assert.Equal([9f, 12f, 15f], SameEverywhere(3, y => ColumnGemv.Multiply(columns, [1, 0, 2, -0f, 0], 0, y)));
        Assert.Equal([1e-42f, 0f, -1e-42f], SameEverywhere(3, y => ColumnGemv.Multiply(columns, [0, 0, 0, 0, 1], 0, y)));
        Assert.All(SameEverywhere(3, y => ColumnGemv.Multiply(columns, [1, 0, 0, 1, 0], 0, y)), v => Assert.True(float.IsNaN(v)));
        Assert.All(SameEverywhere(3, y => ColumnGemv.Multiply(columns, [float.NaN, 0, 0, 0, 0], 100, y)), v => Assert.True(float.IsNaN(v)));
        Assert.Equal([float.PositiveInfinity, float.PositiveInfinity, float.PositiveInfinity], SameEverywhere(3, y => ColumnGemv.Multiply(columns, [float.PositiveInfinity, 0.5f, 1, 1, 1], 2, y)));
    }

    [Theory, InlineData(0f), InlineData(0.5f), InlineData(float.PositiveInfinity)]
    public void Inputs_are_chosen_alike_sixteen_at_a_time_and_one_by_one(float threshold)
    {
        // Every kind of input at every place of a register; the second output tells which of them took part.
        float[] kinds = [0, -0f, 0.5f, -0.5f, 0.75f, -0.75f, float.NaN, 1e-42f, float.PositiveInfinity, float.NegativeInfinity];
        for (int inputs = 0; inputs < 70; inputs++)
        {
            float[] x = [.. Enumerable.Range(0, inputs).Select(c => kinds[c * 7 % kinds.Length])];
            float[] columns = [.. Enumerable.Range(0, inputs).SelectMany(c => new[] { 1f, c })];
            float[] expected = new float[2];
            int count = 0, active = -1;
            for (int c = 0; c < inputs; c++)
            {
                if (Math.Abs(x[c]) <= threshold) continue;
                count++;
                for (int j = 0; j < 2; j++) expected[j] = MathF.FusedMultiplyAdd(x[c], columns[(c * 2) + j], expected[j]);
            }
            float[] sums = SameEverywhere(2, y => active = ColumnGemv.Multiply(columns, x, threshold, y));
            Assert.Equal(expected, sums);
            Assert.Equal(count, active);
        }
    }

    [Fact]
    public void Empty_sizes_and_wrong_lengths()
    {
        float[] y = [7f, 7f];
        Assert.Equal(0, ColumnGemv.Multiply([], [], 0, y, [1f, -1f], new Clamp(0, 5)));
        Assert.Equal([1f, 0f], y);
        Assert.Equal(2, ColumnGemv.Multiply([], [1f, 2f, 0f], 0, []));
        Assert.Throws<ArgumentException>(() => ColumnGemv.Multiply(new float[5], new float[3], 0, new float[2]));
        Assert.Throws<ArgumentException>(() => ColumnGemv.Multiply(new float[6], new float[3], 0, new float[2], new float[3], Clamp.None));
        Assert.Throws<ArgumentOutOfRangeException>(() => ColumnGemv.Multiply(new float[6], new float[3], -1, new float[2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => ColumnGemv.Multiply(new float[6], new float[3], float.NaN, new float[2]));
    }
}

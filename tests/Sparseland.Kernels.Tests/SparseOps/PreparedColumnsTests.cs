using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

[Collection("threads")]
public class PreparedColumnsTests
{
    /// <summary>Outputs whose columns lie in whole pages, in whole lines and one after the other, also where parts of a product end inside them.</summary>
    public static TheoryData<int, int> Sizes => new() { { 1, 1 }, { 5, 9 }, { 16, 3 }, { 37, 129 }, { 250, 70 }, { 300, 64 }, { 770, 33 }, { 1000, 40 }, { 1024, 5 }, { 2500, 31 }, { 17000, 9 } };

    [Theory, MemberData(nameof(Sizes))]
    public void Where_columns_lie_changes_no_bits(int outputs, int inputs)
    {
        var random = new Random(outputs + (inputs * 100));
        float[] w = Uniform(random, outputs * inputs), columns = Transpose(w, outputs, inputs), bias = Uniform(random, outputs);
        PreparedColumns byRows = PreparedColumns.FromRows(w, outputs, inputs), byColumns = PreparedColumns.FromColumns(columns, inputs, outputs);
        foreach (double density in (double[])[0, 0.1, 0.5, 1])
        {
            float[] x = Uniform(random, inputs);
            for (int c = 0; c < inputs; c++) x[c] = random.NextDouble() < density ? x[c] : 0;
            foreach (float threshold in (float[])[0, 0.3f])
            {
                string what = $"[{outputs}, {inputs}] density {density}, threshold {threshold}";
                float[] expected = new float[outputs];
                int taken = ColumnGemv.Multiply(columns, x, threshold, expected, bias, new Clamp(-0.25f, 0.5f));
                foreach (PreparedColumns prepared in (PreparedColumns[])[byRows, byColumns])
                {
                    int active = -1;
                    Near.BitEqual(expected, SameEverywhere(outputs, y => active = prepared.Multiply(x, threshold, y, bias, new Clamp(-0.25f, 0.5f)), what: what));
                    Assert.Equal(taken, active);
                }
            }
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 1)]
    [InlineData(100, 100)]
    [InlineData(250, 256)]
    [InlineData(512, 512)]
    [InlineData(770, 784)]
    [InlineData(963, 976)]
    [InlineData(964, 1024)]
    [InlineData(1024, 1024)]
    [InlineData(1025, 1040)]
    [InlineData(11008, 11264)]
    public void Columns_end_with_a_page_or_a_line_where_that_costs_a_sixteenth_at_most(int outputs, int distance)
    {
        PreparedColumns columns = PreparedColumns.FromColumns(new float[outputs * 3], 3, outputs);
        Assert.Equal(3L * distance * sizeof(float), columns.Bytes);
        Assert.Equal((3, outputs), (columns.Inputs, columns.Outputs));
        Assert.InRange((distance - outputs) * 16, 0, outputs);
    }

    // Their last lines are computed whole: infinity times what lies between columns is no number, and nothing of it may be written.
    [Theory, InlineData(1000), InlineData(770), InlineData(17000), InlineData(37)]
    public void What_lies_between_columns_reaches_no_output(int outputs)
    {
        const int Inputs = 11, Guards = 32;
        PreparedColumns columns = PreparedColumns.FromColumns([.. Enumerable.Repeat(1f, Inputs * outputs)], Inputs, outputs);
        float[] x = [.. Enumerable.Repeat(2f, Inputs)];
        x[4] = float.PositiveInfinity;
        float[] y = SameEverywhere(outputs + Guards, y => columns.Multiply(x, 0, y.AsSpan(0, outputs)), initial: 7);
        Assert.All(y[..outputs], v => Assert.Equal(float.PositiveInfinity, v));
        Assert.All(y[outputs..], v => Assert.Equal(7, v));
    }

    [Fact]
    public unsafe void Columns_begin_with_a_page()
    {
        PreparedColumns columns = PreparedColumns.FromColumns(new float[3000], 3, 1000);
        using System.Buffers.MemoryHandle first = columns.Values.Pin();
        Assert.Equal(0, (nint)first.Pointer % 4096);
        Assert.Equal(1024, columns.Distance);
    }

    [Fact]
    public void Empty_sizes_and_wrong_lengths()
    {
        float[] y = [7f, 7f];
        Assert.Equal(0, PreparedColumns.FromRows([], 2, 0).Multiply([], 0, y, [1f, -1f], new Clamp(0, 5)));
        Assert.Equal([1f, 0f], y);
        Assert.Equal(2, PreparedColumns.FromRows([], 0, 3).Multiply([1f, 2f, 0f], 0, []));
        Assert.Throws<ArgumentException>(() => PreparedColumns.FromRows(new float[5], 2, 3));
        Assert.Throws<ArgumentException>(() => PreparedColumns.FromColumns(new float[5], 3, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => PreparedColumns.FromRows([], -1, 0));
        PreparedColumns columns = PreparedColumns.FromRows(new float[6], 2, 3);
        Assert.Throws<ArgumentException>(() => columns.Multiply(new float[2], 0, new float[2]));
        Assert.Throws<ArgumentException>(() => columns.Multiply(new float[3], 0, new float[3]));
        Assert.Throws<ArgumentException>(() => columns.Multiply(new float[3], 0, new float[2], new float[3], Clamp.None));
        Assert.Throws<ArgumentOutOfRangeException>(() => columns.Multiply(new float[3], float.NaN, new float[2]));
    }
}

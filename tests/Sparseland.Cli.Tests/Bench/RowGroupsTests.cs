using Sparseland.Bench.Figures;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Cli.Tests.Bench;

public class RowGroupsTests
{
    [Fact]
    public void RowsThatHaveTheSameColumnsComeTogether()
    {
        // Four kinds of rows, dealt out in turn: no two neighbours share a column, and every group of four could.
        const int Kinds = 4, Height = 4, Columns = 130;
        const int Rows = Kinds * Height;
        Mask mask = Of(Rows, Columns, (r, c) => c % Kinds == r % Kinds);
        int[] order = RowGroups.Order(mask, Rows, Columns, Height);
        Assert.Equal(Enumerable.Range(0, Rows), order.Order());
        for (int group = 0; group < Kinds; group++) Assert.Single(order.Skip(group * Height).Take(Height).Select(r => r % Kinds).Distinct());
    }

    [Theory]
    [InlineData(10, 70, 4)]
    [InlineData(3, 5, 4)]
    [InlineData(7, 64, 1)]
    [InlineData(8, 128, 16)]
    public void EveryRowStaysOnceAndEachAddsTheFewestColumnsToItsGroup(int rows, int columns, int height)
    {
        var random = new Random(3);
        Mask mask = Of(rows, columns, (_, _) => random.Next(4) == 0);
        int[] order = RowGroups.Order(mask, rows, columns, height);
        Assert.Equal(Enumerable.Range(0, rows), order.Order());
        // Each row after the first of its group adds the fewest columns of all that are left.
        for (int at = 0; at < rows; at++)
        {
            if (at % height == 0) continue;
            int[] group = order[(at - at % height)..at];
            int added = Added(order[at]);
            Assert.All(order[at..], r => Assert.True(Added(r) >= added));

            int Added(int row) => Enumerable.Range(0, columns).Count(c => mask[row * columns + c] && !group.Any(g => mask[g * columns + c]));
        }
    }

    private static Mask Of(int rows, int columns, Func<int, int, bool> kept)
    {
        var values = new float[rows * columns];
        for (int i = 0; i < values.Length; i++) values[i] = kept(i / columns, i % columns) ? 1 : 0;
        return Mask.FromNonZeros([rows, columns], values);
    }
}

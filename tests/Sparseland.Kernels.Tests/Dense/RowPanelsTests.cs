using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.Tests.Dense;

public sealed class RowPanelsTests
{
    [Theory]
    [InlineData(6)]
    [InlineData(8)]
    public void PanelsCoverAllRowsAndBeginWhereTilesAreCut(int height)
    {
        for (int rows = 1; rows < 1100; rows++)
        {
            var panels = new RowPanels(rows, height);
            var begins = new HashSet<int>();
            int end = 0;
            while (end < rows)
            {
                begins.Add(end);
                end += panels.HeightAt(end);
            }
            Assert.Equal(panels.Rows, end);
            // Tiles are cut at multiples of 24.
            for (int cut = 0; cut < rows; cut += 24) Assert.Contains(cut, begins);
            Assert.True(panels.Rows <= (rows + height - 1) / height * height);
        }
    }

    [Theory]
    [InlineData(4)]
    [InlineData(8)]
    [InlineData(16)]
    [InlineData(32)]
    [InlineData(64)]
    [InlineData(512)]
    public void PowersOfTwoHaveNoRowsOfZeros(int rows) => Assert.Equal(rows, new RowPanels(rows, 6).Rows);
}

using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.Tests.Dense;

public sealed unsafe class PackingTests
{
    public static TheoryData<int, int> Lengths
    {
        get
        {
            var data = new TheoryData<int, int>();
            foreach (int panel in (int[])[4, 6, 8, 16, 32])
            {
                foreach (int k in (int[])[1, 7, 8, 9, 16, 17]) data.Add(panel, k);
            }
            return data;
        }
    }

    /// <summary>Full panels and panels that are not, of rows that lie apart: what is left of a panel is zero, and nothing is written behind the last.</summary>
    [Theory, MemberData(nameof(Lengths))]
    public void Panels_hold_rows_in_the_order_of_the_inner_dimension(int panel, int k)
    {
        foreach (int rows in (int[])[1, panel - 1, panel, panel + 1, 3 * panel, (3 * panel) + 2])
        {
            foreach (bool transposed in (bool[])[false, true])
            {
                foreach (float alpha in (float[])[1, -2])
                {
                    int ld = (transposed ? rows : k) + 3, panels = (rows + panel - 1) / panel, length = panels * panel * k;
                    float[] source = DenseTesting.Random((transposed ? k : rows) * ld, k + rows), left = new float[length + 16], right = new float[length + 16];
                    Array.Fill(left, float.NaN);
                    Array.Fill(right, float.NaN);
                    fixed (float* from = source, toLeft = left, toRight = right)
                    {
                        Packing.Left(transposed, from, ld, rows, k, panel, alpha, toLeft);
                        // Columns of a right operand are rows of its transpose.
                        Packing.Right(!transposed, from, ld, k, rows, panel, toRight);
                    }
                    for (int i = 0; i < length; i++)
                    {
                        int row = (i / (panel * k) * panel) + (i % panel), p = i / panel % k;
                        float value = row >= rows ? 0f : transposed ? source[(p * ld) + row] : source[(row * ld) + p];
                        Assert.True(alpha * value == left[i] && value == right[i], $"panel {panel} k {k} rows {rows} transposed {transposed}: [{i}] {left[i]} and {right[i]} instead of {value}");
                    }
                    Assert.All(left[length..].Concat(right[length..]), v => Assert.True(float.IsNaN(v)));
                }
            }
        }
    }
}

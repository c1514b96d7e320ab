using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.Tests.Dense;

public sealed unsafe class EveryNthTests
{
    /// <summary>Counts around registers of four, eight and sixteen, both phases of a stride of two and some of others.</summary>
    [Theory]
    [InlineData(2, 1), InlineData(2, 3), InlineData(2, 4), InlineData(2, 5), InlineData(2, 7), InlineData(2, 8), InlineData(2, 9), InlineData(2, 15), InlineData(2, 16), InlineData(2, 17), InlineData(2, 40), InlineData(3, 9), InlineData(3, 17)]
    public void Copies_are_the_values_at_equal_distances_and_nothing_more(int stride, int count)
    {
        float[] row = DenseTesting.Random(count * stride, 1), to = new float[count + 16];
        for (int first = 0; first < stride; first++)
        {
            fixed (float* from = row, at = to)
            {
                Array.Fill(to, float.NaN);
                EveryNth.Copy(from + first, stride, at, count);
                Check(first);
                Array.Fill(to, float.NaN);
                EveryNth.Copy(from, first, stride, at, count);
                Check(first);
            }
        }

        void Check(int first)
        {
            for (int i = 0; i < count; i++) Assert.Equal(row[first + i * stride], to[i]);
            Assert.All(to[count..], v => Assert.True(float.IsNaN(v)));
        }
    }
}

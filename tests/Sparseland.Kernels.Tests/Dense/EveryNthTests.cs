using System.Runtime.Intrinsics.X86;
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

    /// <summary>Both halves of rows and each alone, rows with gaps and without.</summary>
    [SkippableTheory]
    [InlineData(8, 1), InlineData(9, 3), InlineData(15, 2), InlineData(16, 5), InlineData(28, 3), InlineData(30, 0)]
    public void Rows_are_taken_apart_into_even_and_odd_floats(int count, int rows)
    {
        Skip.IfNot(Avx.IsSupported, "needs AVX");
        Assert.Equal(!Avx512F.IsSupported, EveryNth.TakesApart(2, count));
        Assert.False(EveryNth.TakesApart(3, count) || EveryNth.TakesApart(2, 7));
        foreach (int gap in (int[])[0, 2 * count])
        {
            int apart = 2 * count + gap;
            float[] image = DenseTesting.Random(Math.Max(0, (rows - 1) * apart + 2 * count) + 1, 2);
            foreach ((bool even, bool odd) in ((bool, bool)[])[(true, true), (true, false), (false, true)])
            {
                float[] evens = new float[rows * count + 8], odds = new float[rows * count + 8];
                Array.Fill(evens, float.NaN);
                Array.Fill(odds, float.NaN);
                fixed (float* from = image, e = evens, o = odds) EveryNth.Apart(from, apart, rows, even ? e : null, odd ? o : null, count);
                for (int i = 0; i < evens.Length; i++)
                {
                    int place = i / count * apart + i % count * 2;
                    Assert.Equal(even && i < rows * count ? image[place] : float.NaN, evens[i]);
                    Assert.Equal(odd && i < rows * count ? image[place + 1] : float.NaN, odds[i]);
                }
            }
        }
    }
}

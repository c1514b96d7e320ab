using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Tests.SparseOps;

namespace Sparseland.Kernels.Tests.Sparse;

public class FormatTests
{
    [Fact]
    public void Every_format_gives_back_what_went_in()
    {
        var random = new Random(1);
        foreach ((int rows, int columns) in new[] { (0, 0), (0, 5), (4, 0), (1, 1), (3, 64), (5, 65), (9, 130), (17, 31) })
        {
            foreach (double density in SparseTesting.Densities)
            {
                float[] dense = SparseTesting.SparseDense(random, rows, columns, density), back = new float[dense.Length];
                Mask mask = Mask.FromNonZeros([rows, columns], dense);

                CsrMatrix csr = CsrMatrix.FromDense(dense, rows, columns);
                csr.ToDense(back);
                Near.BitEqual(dense, back);
                Assert.Equal(mask, csr.ToMask());
                csr.Transpose().Transpose().ToDense(back);
                Near.BitEqual(dense, back);
                csr.Transpose().ToDense(back);
                Near.BitEqual(SparseTesting.Transpose(dense, rows, columns), back);

                foreach ((int r, int c) in new[] { (1, 1), (4, 1), (2, 3), (64, 64) })
                {
                    BlockCsrMatrix block = BlockCsrMatrix.FromDense(dense, rows, columns, r, c);
                    block.ToDense(back);
                    Near.BitEqual(dense, back);
                    Assert.True(mask.IsSubsetOf(block.ToMask()));
                    Assert.True(PatternCheck.Conforms(SparsityPattern.Block(r, c), block.ToMask(), rows, columns));
                }
            }
        }
    }

    [Fact]
    public void Masked_zeros_keep_their_place()
    {
        Mask mask = Mask.FromFlags([2, 2], [true, true, false, true]);
        float[] dense = [1f, 0f, 9f, -0f];
        Assert.Equal(3, CsrMatrix.FromMask(mask, dense, 2, 2).StoredCount);
        // A convolution's mask has four dimensions.
        Assert.Equal(3, CsrMatrix.FromMask(mask.Reshape(2, 1, 1, 2), dense, 2, 2).StoredCount);
    }

    [Fact]
    public void Contradicting_parts_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new CsrMatrix(2, 3, [0, 1], [0], [1f]));
        Assert.Throws<ArgumentException>(() => new CsrMatrix(1, 3, [0, 2], [0], [1f]));
        Assert.Throws<ArgumentException>(() => new CsrMatrix(1, 3, [0, 1], [3], [1f]));
        Assert.Throws<ArgumentException>(() => new CsrMatrix(1, 3, [0, 1], [-1], [1f]));
        Assert.Throws<ArgumentException>(() => new CsrMatrix(1, 3, [0, 2], [1, 1], [1f, 2f]));
        Assert.Throws<ArgumentException>(() => new CsrMatrix(2, 3, [0, 2, 1], [0, 1], [1f, 2f]));
        Assert.Throws<ArgumentException>(() => new CsrMatrix(2, 3, [1, 1, 2], [0, 1], [1f, 2f]));
        Assert.Throws<ArgumentException>(() => new BlockCsrMatrix(3, 3, 2, 2, [0, 1, 1], [1], [1f, 1f, 5f, 0f]));
        Assert.Throws<ArgumentException>(() => new BlockCsrMatrix(3, 3, 2, 2, [0, 1, 1], [1], [1f, 1f]));
    }

    [Fact]
    public void The_first_violation_is_named()
    {
        float[] w =
        [
            1, 1, 0, 0, 0, 1,
            1, 0, 0, 0, 1, 1,
            1, 1, 1, 0, 0, 0,
        ];
        Mask mask = Mask.FromNonZeros([3, 6], w);
        PatternViolation? violation = PatternCheck.FirstViolation(SparsityPattern.NofM(2, 4), mask, 3, 6);
        Assert.NotNull(violation);
        Assert.Equal((2, 0), (violation.Row, violation.Column));
        Assert.Contains("3 kept, pattern 2:4 allows 2", violation.Message);
        Assert.True(PatternCheck.Conforms(SparsityPattern.NofM(3, 4), mask, 3, 6));
        violation = PatternCheck.FirstViolation(SparsityPattern.Block(2, 2), mask, 3, 6);
        Assert.Equal((0, 0), (violation!.Row, violation.Column));
        Assert.Equal((0, 0), (PatternCheck.FirstViolation(SparsityPattern.Row, mask, 3, 6)!.Row, 0));
        violation = PatternCheck.FirstViolation(SparsityPattern.Column, mask, 3, 6);
        Assert.Equal((0, 1), (violation!.Row, violation.Column));
        Assert.Null(PatternCheck.FirstViolation(SparsityPattern.Unstructured, mask, 3, 6));
    }

    [Fact]
    public void Projection_keeps_an_exact_number_and_breaks_ties_by_index()
    {
        var random = new Random(2);
        foreach (string name in new[] { "unstructured", "row", "column", "4x1", "3x5", "2:4", "1:3" })
        {
            SparsityPattern pattern = SparsityPattern.Parse(name);
            foreach ((int rows, int columns) in new[] { (8, 12), (7, 13), (1, 1) })
            {
                float[] scores = SparseTesting.Uniform(random, rows * columns);
                Mask mask = PatternProjection.KeepBest(pattern, scores, rows, columns, 0.4);
                Assert.True(PatternCheck.Conforms(pattern, mask, rows, columns), name);
                if (name == "unstructured") Assert.Equal((int)Math.Round(0.4 * rows * columns), mask.KeptCount);
                if (name == "2:4") Assert.Equal(rows * (columns / 4 * 2 + Math.Min(2, columns % 4)), mask.KeptCount);
            }
        }
        Mask ties = PatternProjection.KeepBest(SparsityPattern.Unstructured, new float[10], 2, 5, 0.3);
        Assert.Equal([true, true, true, false, false, false, false, false, false, false], ties.ToFlags());
        Mask nan = PatternProjection.KeepBest(SparsityPattern.Unstructured, [float.NaN, -5f, 1f, float.NegativeInfinity], 1, 4, 0.75);
        Assert.Equal([false, true, true, true], nan.ToFlags());
        Assert.Throws<ArgumentOutOfRangeException>(() => PatternProjection.KeepBest(SparsityPattern.Row, [1f], 1, 1, 1.1));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(1000)]
    public void Kept_entries_move_to_another_mask_as_through_the_dense_form(int length)
    {
        var random = new Random(length);
        Mask before = Draw(), after = Draw();
        float[] kept = [.. Enumerable.Range(1, before.KeptCount).Select(i => (float)i)], dense = new float[length];
        before.Scatter(kept, dense);
        float[] expected = new float[after.KeptCount], moved = new float[after.KeptCount];
        after.Gather(dense, expected);
        before.Move(kept, after, moved);
        Assert.Equal(expected, moved);
        Assert.Throws<ArgumentException>(() => before.Move(kept, Mask.Ones([length + 1]), new float[length + 1]));
        Assert.Equal(before, Mask.FromFlags([length], before.ToFlags()));

        Mask Draw() => Mask.FromFlags([length], [.. Enumerable.Range(0, length).Select(_ => random.Next(3) == 0)]);
    }

    [Fact]
    public void A_matrix_from_kept_entries_is_the_one_from_the_dense_form()
    {
        var random = new Random(3);
        float[] dense = [.. Enumerable.Range(0, 7 * 30).Select(_ => random.NextSingle())];
        Mask mask = Mask.FromFlags([7, 30], [.. dense.Select(v => v < 0.3f)]);
        float[] kept = new float[mask.KeptCount];
        mask.Gather(dense, kept);
        CsrMatrix a = CsrMatrix.FromMask(mask, dense, 7, 30), b = CsrMatrix.FromKept(mask, kept, 7, 30);
        Assert.Equal(a.RowPointers.ToArray(), b.RowPointers.ToArray());
        Assert.Equal(a.ColumnIndices.ToArray(), b.ColumnIndices.ToArray());
        Assert.Equal(a.Values.ToArray(), b.Values.ToArray());
        Assert.Throws<ArgumentException>(() => CsrMatrix.FromKept(mask, dense, 7, 30));
    }

    [Fact]
    public void Masks_of_any_length_choose_entry_by_entry()
    {
        var random = new Random(3);
        foreach (int length in (int[])[0, 1, 7, 8, 15, 16, 63, 64, 65, 80, 127, 128, 200])
        {
            bool[] flags = [.. Enumerable.Range(0, length).Select(i => i < 70 ? random.Next(2) == 0 : i < 140)];
            Mask mask = Mask.FromFlags([length], flags);
            Assert.Equal(flags, mask.ToFlags());
            float[] kept = [.. Enumerable.Range(0, length).Select(i => i % 5 == 0 ? float.NaN : i + 1f)], removed = [.. Enumerable.Range(0, length).Select(i => i % 7 == 0 ? float.PositiveInfinity : -i)], result = new float[length];
            mask.Blend(kept, removed, result);
            Near.BitEqual(flags.Select((f, i) => f ? kept[i] : removed[i]).ToArray(), result);
            mask.Blend(kept, removed, removed);
            Near.BitEqual(result, removed);
            mask.Apply(kept);
            Near.BitEqual(flags.Select((f, i) => f ? result[i] : 0f).ToArray(), kept);
        }
        Assert.Throws<ArgumentException>(() => Mask.Ones([3]).Blend(new float[3], new float[2], new float[3]));
    }

    [Fact]
    public void A_matrix_with_more_entries_than_a_mask_counts_says_so()
    {
        var csr = new CsrMatrix(100_000, 100_000, [.. Enumerable.Repeat(0, 100_000), 1], [99_999], [1f]);
        Assert.Equal(1e-10, csr.Density, 1e-15);
        Assert.Contains("[100000, 100000]", Assert.Throws<InvalidOperationException>(csr.ToMask).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => csr.ToDense(new float[10]));
        Assert.Equal(1, csr.Transpose().StoredCount);
        var blocks = new BlockCsrMatrix(100_000, 100_000, 4, 1, [.. Enumerable.Repeat(0, 25_000), 1], [99_999], new float[4]);
        Assert.Throws<InvalidOperationException>(blocks.ToMask);
    }
}

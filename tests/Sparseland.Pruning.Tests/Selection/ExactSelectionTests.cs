using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Selection;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Selection;

public class ExactSelectionTests
{
    [Fact]
    public void Agrees_with_a_stable_sort_for_every_count_and_with_many_ties()
    {
        for (int seed = 0; seed < 60; seed++)
        {
            var random = SeededRandom.Of(seed);
            float[][] scores = [.. Enumerable.Range(0, 1 + random.NextInt(4)).Select(_ => Enumerable.Range(0, random.NextInt(40)).Select(_ => random.NextInt(8) switch
            {
                0 => float.NaN, 1 => 0f, 2 => -0f, 3 => -1.5f, 4 => float.PositiveInfinity, 5 => 1e-40f, _ => (float)random.NextNormal(),
            }).ToArray())];
            bool[]?[] alive = [.. scores.Select(s => seed % 3 == 0 ? null : s.Select(_ => random.NextBool(0.7)).ToArray())];
            (int L, int I, float S)[] all = [.. scores.SelectMany((s, l) => s.Select((v, i) => (l, i, v))).Where(e => alive[e.l]?[e.i] ?? true)];
            var order = all.OrderByDescending(e => float.IsNaN(e.S) ? double.NegativeInfinity : e.S).ThenBy(e => e.L).ThenBy(e => e.I).ToArray();
            for (int keep = 0; keep <= all.Length; keep += 1 + random.NextInt(5))
            {
                bool[][] kept = ExactSelection.KeepBest(scores, keep, alive);
                Assert.Equal(keep, kept.Sum(k => k.Count(f => f)));
                foreach ((int l, int i, _) in order[..keep]) Assert.True(kept[l][i]);
            }
            Assert.Throws<ArgumentOutOfRangeException>(() => ExactSelection.KeepBest(scores, all.Length + 1, alive));
        }
    }

    [Theory]
    [InlineData("normal")]
    [InlineData("ties")]
    [InlineData("the sample misses all that matters")]
    public void Large_rankings_agree_with_a_sort_whatever_a_sample_says(string kind)
    {
        var random = SeededRandom.Of(5);
        const int Length = 60_000;
        // A sample takes every 59th entry or so: the others of the third kind are larger.
        float[][] scores = [.. Enumerable.Range(0, 2).Select(l => Enumerable.Range(0, Length / 2 + l).Select(i => kind switch
        {
            "normal" => (float)random.NextNormal(),
            "ties" => MathF.Round(10 * (float)random.NextNormal()),
            _ => (i + l * (Length / 2)) % 117 == 58 ? (float)random.NextDouble() : 1e6f + i,
        }).ToArray())];
        bool[]?[] alive = [null, [.. scores[1].Select(_ => random.NextBool(0.3))]];
        (int L, int I, float S)[] order = [.. scores.SelectMany((s, l) => s.Select((v, i) => (l, i, v))).Where(e => alive[e.l]?[e.i] ?? true).OrderByDescending(e => e.v).ThenBy(e => e.l).ThenBy(e => e.i)];
        foreach (int keep in (int[])[0, 1, 37, order.Length / 20, order.Length / 2, order.Length - 3, order.Length])
        {
            bool[][] kept = ExactSelection.KeepBest(scores, keep, alive);
            Assert.Equal(keep, kept.Sum(k => k.Count(f => f)));
            foreach ((int l, int i, _) in order[..keep]) Assert.True(kept[l][i]);
        }
    }

    [Theory]
    [InlineData(0.5, 5, 2)]
    [InlineData(0.5, 7, 4)]
    [InlineData(0.1, 4, 0)]
    [InlineData(1, 9, 9)]
    public void Counts_are_rounded_half_to_even(double density, long length, int expected) => Assert.Equal(expected, ExactSelection.Count(density, length));

    [Theory]
    [InlineData(100, 40)]
    [InlineData(200_000, 500)]
    [InlineData(200_000, 90_000)]
    [InlineData(200_000, 150_000)]
    public void The_best_that_are_not_set_are_those_of_the_whole_ranking(int length, int count)
    {
        var random = new Random(length + count);
        // Many ties, some NaN, and a run of equal values that a sample cannot tell apart.
        float[] scores = [.. Enumerable.Range(0, length).Select(i => i % 97 == 0 ? float.NaN : i % 3 == 0 ? 0.5f : MathF.Round(random.NextSingle() * 200) / 100)];
        bool[] set = [.. Enumerable.Range(0, length).Select(_ => random.Next(8) == 0)];
        ulong[] words = Mask.FromFlags([length], set).Words.ToArray();
        ExactSelection.AddBest(scores, count, words);
        bool[] best = ExactSelection.KeepBest(scores, count, Array.ConvertAll(set, f => !f));
        Assert.Equal(set.Zip(best, (a, b) => a || b), Mask.FromWords([length], words).ToFlags());
        Assert.Throws<ArgumentOutOfRangeException>(() => ExactSelection.AddBest(scores, length + 1, words));
    }
}

using Sparseland.Pruning.Analysis;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Analysis;

public class PqIndexTests
{
    [Theory]
    [InlineData(0.5, 1, 0.066987, 1.866025, new float[] { 3, 1 })]
    [InlineData(1, 2, 0.105573, 1.6, new float[] { 3, 1 })]
    [InlineData(0.5, 1, 0.107143, 3.571429, new float[] { 4, 1, 1, 1 })]
    [InlineData(1, 2, 0.197045, 2.578947, new float[] { 4, 1, 1, 1 })]
    [InlineData(0.5, 1, 0.528292, 1.886833, new float[] { 10, 1, 0.1f, 0.01f })]
    [InlineData(1, 2, 0.447284, 1.221978, new float[] { 10, 1, 0.1f, 0.01f })]
    public void The_worked_examples_of_the_card(double p, double q, double index, double bound, float[] weights)
    {
        Assert.Equal(index, PqIndex.Of(weights, p, q), 6);
        Assert.Equal(bound, PqIndex.Bound(weights.Length, PqIndex.Of(weights, p, q), p, q), 6);
    }

    [Fact]
    public void What_is_kept_and_removed_in_the_worked_examples()
    {
        Assert.Equal(new PqStep(4, PqIndex.Of([4, 1, 1, 1], 1, 2), 3, 1), PqIndex.Step([4, 1, 1, 1], 1, 2));
        Assert.Equal((2, 2), (PqIndex.Step([10, 1, 0.1f, 0.01f], 1, 2).Retain, PqIndex.Step([10, 1, 0.1f, 0.01f], 1, 2).Remove));
        Assert.Equal((2, 2), (PqIndex.Step([10, 1, 0.1f, 0.01f], 0.5, 1).Retain, PqIndex.Step([10, 1, 0.1f, 0.01f], 0.5, 1).Remove));
        // The literal form loses this weight in floating point: floor(5 * (1 - 4/5)) is 0.
        Assert.Equal(1, PqIndex.Remove(5, 4));
        Assert.Equal(0.75, PqIndex.Of([0, 7, 0, 0], 0.5, 1), 12);
        Assert.Equal(0.5, PqIndex.Of([0, 7, 0, 0], 1, 2), 12);
        Assert.Equal(0.75, PqIndex.Maximum(4, 0.5, 1), 12);
        Assert.Equal(0, PqIndex.Of([], 1, 2));
    }

    [Fact]
    public void Range_scaling_cloning_and_the_bound_hold_for_random_vectors()
    {
        for (long seed = 0; seed < 200; seed++)
        {
            SeededRandom random = SeededRandom.Of(seed, 77);
            int d = 2 + random.NextInt(40);
            float[] w = [.. Make.Random(d, seed).Select(v => v * v * v)];
            foreach ((double p, double q) in ((double, double)[])[(0.5, 1), (1, 2), (0.3, 4)])
            {
                double index = PqIndex.Of(w, p, q);
                Assert.InRange(index, 0, PqIndex.Maximum(d, p, q) + 1e-9);
                Assert.Equal(index, PqIndex.Of([.. w.Select(v => -37.5f * v)], p, q), 1e-6);
                Assert.Equal(index, PqIndex.Of([.. w, .. w], p, q), 1e-10);
                // Theorem 2: r >= d (1 + eta_r)^(-q/(q-p)) (1 - I)^(pq/(q-p)) for every number r of kept weights.
                double[] powers = [.. w.Select(v => Math.Pow(Math.Abs(v), p)).OrderDescending()];
                double all = powers.Sum(), inside = 0;
                for (int r = 1; r <= d; r++)
                {
                    inside += powers[r - 1];
                    if (inside == 0) continue;
                    Assert.True(r >= PqIndex.Bound(d, index, p, q, Math.Max(0, (all - inside) / inside)) - 1e-6, $"seed {seed}, p {p}, r {r}");
                }
                PqStep step = PqIndex.Step(w, p, q, gamma: 3, beta: 0.6);
                Assert.InRange(step.Remove, 0, (long)(0.6 * d + 1e-9));
                Assert.Equal(0, PqIndex.Step(w, p, q, gamma: 0).Remove);
            }
        }
        Assert.Equal(0, PqIndex.Of([2, -2, 2, 2], 0.5, 1), 9);
    }

    [Fact]
    public void Removed_weights_do_not_count_and_tiny_exponents_do_not_overflow()
    {
        bool[] alive = [true, false, true, false];
        Assert.Equal(PqIndex.Of([3, 1], 1, 2), PqIndex.Of([3, 0, 1, 0], 1, 2, alive), 12);
        Assert.Equal(2, PqIndex.Step([3, 0, 1, 0], 1, 2, alive).Alive);
        Assert.InRange(PqIndex.Of(Make.Random(5000, 1), 0.01, 1), 0, 1);
        Assert.InRange(PqIndex.Of([1e38f, 1e-38f, 1e30f], 1, 50), 0, 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => PqIndex.Of([1, 2], 2, 1));
    }

    [Fact]
    public void Values_agree_with_an_independent_implementation()
    {
        foreach (System.Text.Json.JsonElement e in Golden.Data.GetProperty("pq").EnumerateArray())
        {
            float[] w = Golden.Singles(e.GetProperty("w"));
            foreach (System.Text.Json.JsonElement v in e.GetProperty("values").EnumerateArray())
            {
                double[] row = Golden.Doubles(v);
                Assert.Equal(row[2], PqIndex.Of(w, row[0], row[1]), 9);
            }
        }
    }
}

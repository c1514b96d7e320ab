using Sparseland.Pruning.Analysis;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Analysis;

public class SimilarityTests
{
    [Fact]
    public void The_worked_examples_of_the_three_regimes_card()
    {
        float[] x = [1, 0, 0, 1, -1, 0, 0, -2], first = [1, 0, -1, 0];
        Assert.Equal(0.388057, Similarity.LinearCka(x, first, 4), 6);
        Assert.Equal(0, Similarity.LinearCka([1, 2, 3], [1, 0, 1], 3), 12);
    }

    [Fact]
    public void Cka_does_not_change_under_rotation_shift_and_scale_and_is_symmetric()
    {
        for (long seed = 0; seed < 20; seed++)
        {
            const int Samples = 40, Width = 4;
            float[] x = Make.Random(Samples * Width, seed), y = Make.Random(Samples * 3, seed + 100), turned = new float[x.Length];
            double angle = 0.1 + seed, c = Math.Cos(angle), s = Math.Sin(angle);
            for (int n = 0; n < Samples; n++)
            {
                // A rotation in two planes, a shift and a scale.
                float a = x[n * Width], b = x[n * Width + 1], d = x[n * Width + 2], e = x[n * Width + 3];
                turned[n * Width] = (float)(5 * (c * a - s * b) + 3);
                turned[n * Width + 1] = (float)(5 * (s * a + c * b) - 1);
                turned[n * Width + 2] = (float)(5 * (s * d + c * e));
                turned[n * Width + 3] = (float)(5 * (c * d - s * e) + 7);
            }
            Assert.Equal(1, Similarity.LinearCka(x, x, Samples), 10);
            Assert.Equal(1, Similarity.LinearCka(x, turned, Samples), 5);
            double cka = Similarity.LinearCka(x, y, Samples);
            Assert.Equal(cka, Similarity.LinearCka(turned, y, Samples), 5);
            Assert.Equal(cka, Similarity.LinearCka(y, x, Samples), 12);
            Assert.InRange(cka, 0, 1);
        }
    }

    [Fact]
    public void Cka_agrees_with_an_independent_implementation_through_gram_matrices()
    {
        foreach (System.Text.Json.JsonElement e in Golden.Data.GetProperty("cka").EnumerateArray())
        {
            Assert.Equal(e.GetProperty("value").GetDouble(), Similarity.LinearCka(Golden.Singles(e.GetProperty("x")), Golden.Singles(e.GetProperty("y")), e.GetProperty("samples").GetInt32()), 10);
        }
    }

    [Fact]
    public void Softmax_rows_add_up_to_one_and_agreement_counts_equal_classes()
    {
        float[] logits = [1, 2, 3, 1000, 1001, 999];
        Similarity.Softmax(logits, 3);
        Assert.Equal(1, logits[..3].Sum(), 6);
        Assert.Equal(0.66524094, logits[2], 6);
        Assert.All(logits, v => Assert.True(float.IsFinite(v)));
        Assert.Equal(1, Similarity.Agreement(logits, logits, 3));
        Assert.Equal(0.5, Similarity.Agreement([1, 2, 5, 0], [3, 9, 1, 2], 2));
    }
}

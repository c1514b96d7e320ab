using Sparseland.Training.Metrics;

namespace Sparseland.Training.Tests.Metrics;

public class ConfidenceTests
{
    [Fact]
    public void Worked_areas_under_the_curve()
    {
        // Six pairs, one lost: 0.4 against 0.7.
        Assert.Equal(5.0 / 6, Confidence.AreaUnderRoc([0.9, 0.8, 0.4], [0.7, 0.3]), 12);
        Assert.Equal(1, Confidence.AreaUnderRoc([3, 2], [1, 0]));
        Assert.Equal(0, Confidence.AreaUnderRoc([1, 0], [3, 2]));
        // A tie is half a win.
        Assert.Equal(0.5, Confidence.AreaUnderRoc([1, 1], [1, 1]));
        Assert.Equal(0.75, Confidence.AreaUnderRoc([1, 2], [1]));
        Assert.True(double.IsNaN(Confidence.AreaUnderRoc([], [1])));
        Assert.True(double.IsNaN(Confidence.AreaUnderRoc([double.NaN, 1], [1])));
    }

    [Fact]
    public void The_area_is_the_share_of_pairs_that_are_in_order()
    {
        for (long seed = 0; seed < 20; seed++)
        {
            SeededRandom random = SeededRandom.Of(seed);
            double[] high = new double[30], low = new double[20];
            foreach (ref double v in high.AsSpan()) v = random.NextInt(8) + 1;
            foreach (ref double v in low.AsSpan()) v = random.NextInt(8);
            double pairs = high.Sum(h => low.Sum(l => h > l ? 1.0 : h == l ? 0.5 : 0));
            Assert.Equal(pairs / 600, Confidence.AreaUnderRoc(high, low), 12);
            Assert.Equal(1 - pairs / 600, Confidence.AreaUnderRoc(low, high), 12);
        }
    }

    [Fact]
    public void Scores_rank_as_the_largest_softmax_probability_does_even_where_it_rounds_to_one()
    {
        (int predicted, double others) = Confidence.Of([1, 3, 2]);
        Assert.Equal(1, predicted);
        Assert.Equal(Math.Exp(-2) + Math.Exp(-1), others, 12);
        double[] scores = Confidence.Scores([0, 1, 0, 60, 0, 80, 5, 5], 2);
        Assert.True(scores[3] < scores[0] && scores[0] < scores[1] && scores[1] < scores[2]);
        Assert.Equal(0, Confidence.Of([7, 7]).Predicted);
        Assert.Throws<ArgumentException>(() => Confidence.Of([]));
        Assert.Throws<ArgumentException>(() => Confidence.Scores([1, 2, 3], 2));
    }
}

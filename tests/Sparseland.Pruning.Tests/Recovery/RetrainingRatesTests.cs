using Sparseland.Pruning.Recovery;
using Sparseland.Training.LearningRates;

namespace Sparseland.Pruning.Tests.Recovery;

public class RetrainingRatesTests
{
    private static readonly LearningRate s_original = new StepDecay(0.1, 0.1, 50, 75);

    private static LearningRate Of(string id, long steps) => RetrainingRates.Create(id, s_original, 100, steps, 3, 5, 0.36);

    [Fact]
    public void Fine_tuning_is_the_smallest_rate_and_rewinding_replays_the_last_ones()
    {
        Assert.Equal(0.001, Of("ft", 20).At(0), 12);
        Assert.Equal(0.001, Of("ft", 20).At(19), 12);
        Assert.Equal(0.01, Of("lrw", 40).At(0), 12);
        Assert.Equal(0.01, Of("lrw", 40).At(14), 12);
        Assert.Equal(0.001, Of("lrw", 40).At(15), 12);
        Assert.Equal(0.1, Of("lrw", 100).At(0), 12);
    }

    [Fact]
    public void The_others_rise_over_a_tenth_and_run_their_curve_over_the_rest()
    {
        foreach (string id in (string[])["slr", "clr", "llr", "allr"])
        {
            LearningRate curve = Of(id, 40);
            Assert.Equal(0, curve.At(0));
            Assert.Equal(curve.At(4) / 2, curve.At(2), 12);
        }
        // The whole original curve in 36 steps: milestones at 18 and 27 of the rest.
        Assert.Equal([0.1, 0.1, 0.01, 0.01, 0.001], new[] { 4, 21, 22, 30, 31 }.Select(t => Math.Round(Of("slr", 40).At(t), 12)));
        Assert.Equal(0.1, Of("clr", 40).At(4), 12);
        Assert.Equal((0.1 + 0.001) / 2, Of("clr", 40).At(22), 12);
        Assert.Equal(0.05, Of("llr", 40).At(22), 12);
        Assert.Equal(0, Of("llr", 40).At(40), 12);
    }

    [Fact]
    public void Allr_starts_from_what_pruning_changed()
    {
        // 0.1 * (3 / 5) / sqrt(0.36) = 0.1: the peak.
        Assert.Equal(0.1, Of("allr", 40).At(4), 12);
        Assert.Equal(0.05, RetrainingRates.Create("allr", s_original, 100, 40, 1.5, 5, 0.36).At(4), 12);
        // Never below the share of the retraining in the original length.
        Assert.Equal(0.04, RetrainingRates.Create("allr", s_original, 100, 40, 0.01, 5, 0.36).At(4), 12);
        Assert.Throws<ArgumentException>(() => RetrainingRates.Create("allr", s_original, 100, 40));
        Assert.Throws<ArgumentException>(() => RetrainingRates.Create("xyz", s_original, 100, 40));
    }
}

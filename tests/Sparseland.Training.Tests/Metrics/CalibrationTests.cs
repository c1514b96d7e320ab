using Sparseland.Training.Data;
using Sparseland.Training.Metrics;

namespace Sparseland.Training.Tests.Metrics;

public class CalibrationTests
{
    /// <summary>Logits of two classes whose first has this probability.</summary>
    private static float[] Of(params double[] first) => [.. first.SelectMany(p => (float[])[(float)Math.Log(p), (float)Math.Log(1 - p)])];

    [Fact]
    public void A_worked_example()
    {
        // Confidences 0.95 (right), 0.95 (wrong), 0.65 (right), 0.55 (wrong) in ten bins: gaps of 0.45, 0.35 and 0.55 that count 2, 1 and 1 of 4.
        var calibration = new Calibration(10);
        calibration.Add(Of(0.95, 0.95, 0.65, 0.45), [0, 1, 0, 0]);
        Assert.Equal(4, calibration.Count);
        Assert.Equal(0.5, calibration.Accuracy);
        Assert.Equal((2 * 0.45 + 0.35 + 0.55) / 4, calibration.ExpectedError, 6);
        Assert.Equal(0.55, calibration.MaximumError, 6);
        Assert.Equal(-(Math.Log(0.95) + Math.Log(0.05) + Math.Log(0.65) + Math.Log(0.45)) / 4, calibration.NegativeLogLikelihood, 6);
        Assert.Equal([0, 0, 0, 0, 0, 1, 1, 0, 0, 2], calibration.Bins.Select(b => (int)b.Count));
        Assert.Equal((0.9, 1.0, 0.5), (calibration.Bins[9].From, calibration.Bins[9].To, calibration.Bins[9].Accuracy));
    }

    [Fact]
    public void Bins_are_closed_above_and_certainty_belongs_to_the_last()
    {
        var calibration = new Calibration(2);
        // Two equal logits: 0.5 lies on the edge and belongs to the lower bin; the lowest index wins.
        calibration.Add([0, 0, 1000, 0], [0, 0]);
        Assert.Equal([1, 1], calibration.Bins.Select(b => (int)b.Count));
        Assert.Equal(1, calibration.Accuracy);
    }

    [Fact]
    public void Predictions_that_are_as_often_right_as_they_say_have_no_error_and_batches_add_up()
    {
        var whole = new Calibration(10);
        float[] logits = Of([.. Enumerable.Repeat(0.75, 40)]);
        int[] targets = [.. Enumerable.Range(0, 40).Select(i => i % 4 == 3 ? 1 : 0)];
        whole.Add(logits, targets);
        Assert.Equal(0, whole.ExpectedError, 6);
        var parts = new Calibration(10);
        for (int i = 0; i < 40; i += 8) parts.Add(logits.AsSpan(2 * i, 16), targets.AsSpan(i, 8));
        Assert.Equal(whole.ExpectedError, parts.ExpectedError, 12);
        Assert.Equal(whole.NegativeLogLikelihood, parts.NegativeLogLikelihood, 12);
    }

    [Fact]
    public void What_is_not_scored_does_not_count_and_what_cannot_be_is_an_error()
    {
        var calibration = new Calibration();
        Assert.True(double.IsNaN(calibration.ExpectedError) && double.IsNaN(calibration.MaximumError));
        calibration.Add(Of(0.9, 0.9), [IDataset.IgnoredTarget, 0]);
        Assert.Equal(1, calibration.Count);
        Assert.Throws<ArgumentException>(() => calibration.Add([1, 2, 3], [0, 1]));
        Assert.Throws<ArgumentException>(() => calibration.Add([1, 2], [2]));
        calibration.Add([float.NaN, 0], [0]);
        Assert.True(double.IsNaN(calibration.ExpectedError) && double.IsNaN(calibration.NegativeLogLikelihood) && double.IsNaN(calibration.MaximumError));
    }
}

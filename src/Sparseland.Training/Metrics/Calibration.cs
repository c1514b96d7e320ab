using Sparseland.Training.Data;

namespace Sparseland.Training.Metrics;

/// <summary>Predictions of one range of confidence.</summary>
/// <param name="From">Lower end, exclusive.</param>
/// <param name="To">Upper end, inclusive.</param>
/// <param name="Count">Number of predictions.</param>
/// <param name="Confidence">Their mean confidence; NaN when there are none.</param>
/// <param name="Accuracy">Share of them that is right; NaN when there are none.</param>
public sealed record CalibrationBin(double From, double To, long Count, double Confidence, double Accuracy);

/// <summary>Whether a classifier is as often right as it says: expected calibration error and negative log-likelihood, gathered batch by batch.</summary>
/// <remarks>
/// Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 2 (equations 3 to 5): confidence is the largest softmax probability, bins are equally wide and
/// open below; ECE = sum over bins of n_b / n |accuracy - confidence|. Logits that are not numbers make errors and likelihood NaN.
/// </remarks>
public sealed class Calibration
{
    private readonly long[] _count, _right;
    private readonly double[] _confidence;
    private double _nll;

    /// <summary>Starts with no predictions.</summary>
    /// <param name="bins">Number of bins, at least 1; 15 is the paper's.</param>
    public Calibration(int bins = 15)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bins, 1);
        _count = new long[bins];
        _right = new long[bins];
        _confidence = new double[bins];
    }

    /// <summary>Predictions so far.</summary>
    public long Count => _count.Sum();

    /// <summary>Share of predictions that are right (ties: the lowest index wins); NaN when there are none.</summary>
    public double Accuracy => (double)_right.Sum() / Count;

    /// <summary>Mean negative log-likelihood, natural logarithm; NaN when there are no predictions.</summary>
    public double NegativeLogLikelihood => _nll / Count;

    /// <summary>ECE, 0 to 1; NaN when there are no predictions.</summary>
    public double ExpectedError => Bins.Where(b => b.Count > 0).Sum(b => b.Count * Math.Abs(b.Accuracy - b.Confidence)) / Count;

    /// <summary>MCE: the largest gap of a bin that is not empty, 0 to 1; NaN when there are no predictions.</summary>
    public double MaximumError => Count == 0 ? double.NaN : Bins.Where(b => b.Count > 0).Aggregate(0.0, (most, b) => Math.Max(most, Math.Abs(b.Accuracy - b.Confidence)));

    /// <summary>The bins, from low to high confidence: the points of a reliability diagram.</summary>
    public IReadOnlyList<CalibrationBin> Bins => [.. Enumerable.Range(0, _count.Length).Select(b => new CalibrationBin(
        (double)b / _count.Length, (b + 1.0) / _count.Length, _count[b], _confidence[b] / _count[b], (double)_right[b] / _count[b]))];

    /// <summary>Adds predictions.</summary>
    /// <param name="logits">[predictions, classes], row-major.</param>
    /// <param name="targets">One class per prediction; <see cref="IDataset.IgnoredTarget"/> is not scored.</param>
    /// <exception cref="ArgumentException">Lengths do not fit or a target is no class.</exception>
    public void Add(ReadOnlySpan<float> logits, ReadOnlySpan<int> targets)
    {
        if (targets.IsEmpty) return;
        int classes = logits.Length / targets.Length;
        if (classes == 0 || classes * targets.Length != logits.Length) throw new ArgumentException($"{logits.Length} logits do not fit {targets.Length} targets.", nameof(logits));
        for (int i = 0; i < targets.Length; i++)
        {
            int target = targets[i];
            if (target == IDataset.IgnoredTarget) continue;
            if ((uint)target >= (uint)classes) throw new ArgumentException($"Target {target} is none of {classes} classes.", nameof(targets));
            ReadOnlySpan<float> row = logits.Slice(i * classes, classes);
            (int predicted, double others) = Confidence.Of(row);
            double confidence = 1 / (1 + others);
            // Right-closed: a confidence on an edge belongs to the bin below it.
            int bin = Math.Clamp((int)Math.Ceiling(confidence * _count.Length) - 1, 0, _count.Length - 1);
            _count[bin]++;
            _confidence[bin] += confidence;
            if (predicted == target) _right[bin]++;
            _nll += Math.Log(1 + others) - ((double)row[target] - row[predicted]);
        }
    }
}

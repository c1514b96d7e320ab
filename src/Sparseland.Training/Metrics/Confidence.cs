namespace Sparseland.Training.Metrics;

/// <summary>The largest softmax probability, and how well it tells known inputs from unknown ones.</summary>
/// <remarks>Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks", ICLR 2017, sections 2 and 3.</remarks>
public static class Confidence
{
    /// <summary>The predicted class (ties: the lowest index wins) and how much the others weigh beside it.</summary>
    /// <param name="logits">One row, at least one class.</param>
    /// <returns>Others: sum of exp(x_c - max) over all classes but the predicted one, 0 or more; the largest softmax probability is 1 / (1 + others).</returns>
    public static (int Predicted, double Others) Of(ReadOnlySpan<float> logits)
    {
        if (logits.IsEmpty) throw new ArgumentException("There are no classes.", nameof(logits));
        int predicted = 0;
        for (int c = 1; c < logits.Length; c++)
        {
            if (logits[c] > logits[predicted]) predicted = c;
        }
        double others = 0;
        for (int c = 0; c < logits.Length; c++)
        {
            if (c != predicted) others += Math.Exp((double)logits[c] - logits[predicted]);
        }
        return (predicted, others);
    }

    /// <summary>A score that ranks rows as their largest softmax probability does, without its rounding to 1: minus what the other classes weigh.</summary>
    /// <param name="logits">[rows, classes], row-major.</param>
    /// <param name="classes">Number of classes.</param>
    public static double[] Scores(ReadOnlySpan<float> logits, int classes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        if (logits.Length % classes != 0) throw new ArgumentException($"{logits.Length} logits are no rows of {classes}.", nameof(logits));
        double[] scores = new double[logits.Length / classes];
        for (int i = 0; i < scores.Length; i++) scores[i] = -Of(logits.Slice(i * classes, classes)).Others;
        return scores;
    }

    /// <summary>Area under the ROC curve: the probability that a positive scores above a negative, ties counted as one half (Mann and Whitney's U over the number of pairs).</summary>
    /// <param name="positives">Scores of what should rank high.</param>
    /// <param name="negatives">Scores of what should rank low.</param>
    /// <returns>0 to 1; 0.5 is chance; NaN when either is empty or a score is not a number.</returns>
    public static double AreaUnderRoc(ReadOnlySpan<double> positives, ReadOnlySpan<double> negatives)
    {
        double[] high = positives.ToArray(), low = negatives.ToArray();
        Array.Sort(high);
        Array.Sort(low);
        // Not-a-numbers sort before everything.
        if (high.Length == 0 || low.Length == 0 || double.IsNaN(high[0]) || double.IsNaN(low[0])) return double.NaN;
        double wins = 0;
        int below = 0, notAbove = 0;
        foreach (double score in high)
        {
            while (below < low.Length && low[below] < score) below++;
            while (notAbove < low.Length && low[notAbove] <= score) notAbove++;
            wins += below + 0.5 * (notAbove - below);
        }
        return wins / ((double)high.Length * low.Length);
    }
}

using Sparseland.Model;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Metrics;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis;

/// <summary>What accuracy alone does not say about a classifier: whether its confidence can be trusted, whether it notices unknown inputs, and what a small attack does to it.</summary>
/// <param name="Accuracy">Share of samples that are classified correctly.</param>
/// <param name="Calibration">Expected calibration error, bins, negative log-likelihood.</param>
/// <param name="UnknownArea">Area under the ROC curve of the largest softmax probability, samples against unknown inputs; 0.5 is chance; null when there were no unknown inputs.</param>
/// <param name="AttackedAccuracy">Accuracy after one step of the fast gradient sign attack.</param>
/// <remarks>
/// The axes on which Liu et al., "The Unreasonable Effectiveness of Random Pruning", ICLR 2022, compare sparse networks with dense ones (abstract; section 4). Measures: Guo et al. 2017 (calibration), Hendrycks
/// and Gimpel 2017 (unknown inputs), Goodfellow et al. 2015 (attack). Which unknown inputs and which step that paper used is not known here.
/// </remarks>
public sealed record Reliability(double Accuracy, Calibration Calibration, double? UnknownArea, double AttackedAccuracy)
{
    /// <summary>The usual step for photographs, in pixels from 0 to 1.</summary>
    public const double UsualEpsilon = 8.0 / 255;

    /// <summary>Measures a classifier in evaluation mode.</summary>
    /// <param name="model">The classifier; it is not changed.</param>
    /// <param name="data">Labelled pictures, 0 to 1.</param>
    /// <param name="unknown">Pictures of the same shape that belong to none of the classes; null leaves that measure out.</param>
    /// <param name="normalization">The model's input normalisation, for both.</param>
    /// <param name="epsilon">Largest change of a pixel by the attack, 0 or more.</param>
    /// <param name="bins">Bins of the calibration error.</param>
    /// <param name="batch">Samples per forward pass.</param>
    /// <param name="cancellation">Stops between batches.</param>
    /// <exception cref="ArgumentException">The shapes of data and unknown inputs differ, or they are no pictures.</exception>
    public static Reliability Measure(TrainableModel model, IDataset data, IDataset? unknown, InputNormalization normalization, double epsilon = UsualEpsilon, int bins = 15, int batch = 256, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(normalization);
        if (unknown is not null && !unknown.SampleShape.SequenceEqual(data.SampleShape))
            throw new ArgumentException($"Unknown inputs are [{string.Join(", ", unknown.SampleShape.ToArray())}], the data [{string.Join(", ", data.SampleShape.ToArray())}].", nameof(unknown));
        NetworkOutputs known = NetworkOutputs.Collect(model, data, normalization, batch, [], cancellation)[0];
        var calibration = new Calibration(bins);
        calibration.Add(known.Values, known.Targets);
        double? area = null;
        if (unknown is not null)
        {
            NetworkOutputs other = NetworkOutputs.Collect(model, unknown, normalization, batch, [], cancellation)[0];
            area = Confidence.AreaUnderRoc(Confidence.Scores(known.Values, known.Width), Confidence.Scores(other.Values, other.Width));
        }
        double attacked = FastGradientSign.Accuracy(model, data, epsilon, new EvaluationOptions { BatchSize = batch, Normalization = normalization }, cancellation);
        return new Reliability(calibration.Accuracy, calibration, area, attacked);
    }
}

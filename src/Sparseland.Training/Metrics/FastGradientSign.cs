using Sparseland.Model;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Losses;
using Sparseland.Training.Runs;

namespace Sparseland.Training.Metrics;

/// <summary>Accuracy when every pixel moves one small step in the direction that raises the loss most.</summary>
/// <remarks>
/// Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015, section 4: x + epsilon sign(dJ/dx) for the true class. The step is taken in pixels, 0 to 1, and clipped to them; the
/// network is in evaluation mode and attacked with its own gradients.
/// </remarks>
public static class FastGradientSign
{
    /// <summary>Moves pictures against a model.</summary>
    /// <param name="model">The model; its values do not change, its gradients are forgotten.</param>
    /// <param name="pixels">[samples, channels, height, width], 0 to 1; moved in place.</param>
    /// <param name="shape">The four dimensions.</param>
    /// <param name="targets">True classes.</param>
    /// <param name="epsilon">Largest change of a pixel, 0 or more.</param>
    /// <param name="normalization">The model's input normalisation.</param>
    public static void Attack(TrainableModel model, Span<float> pixels, ReadOnlySpan<int> shape, ReadOnlySpan<int> targets, double epsilon, InputNormalization normalization)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(normalization);
        ArgumentOutOfRangeException.ThrowIfNegative(epsilon);
        if (shape.Length != 4) throw new ArgumentException("Pictures have the shape [samples, channels, height, width].", nameof(shape));
        bool training = model.IsTraining, records = model.RecordsInEvaluation;
        model.IsTraining = false;
        model.RecordsInEvaluation = true;
        try
        {
            Tensor x = Normalized(pixels, shape, normalization);
            x.RequiresGrad = true;
            model.ZeroGrad();
            Loss.CrossEntropy(model.Forward(new ModelValue(x)), targets).Backward();
            // No gradient: no input reaches the output (a layer is empty), so no step raises the loss.
            if (x.Grad is { } gradient)
            {
                ReadOnlySpan<float> g = gradient.Values;
                float step = (float)epsilon;
                for (int i = 0; i < pixels.Length; i++) pixels[i] = Math.Clamp(pixels[i] + (g[i] > 0 ? step : g[i] < 0 ? -step : 0), 0f, 1f);
            }
        }
        finally
        {
            model.ZeroGrad();
            model.IsTraining = training;
            model.RecordsInEvaluation = records;
        }
    }

    /// <summary>Share of pictures that are still classified correctly after the step (ties: the lowest index wins).</summary>
    /// <param name="model">The model.</param>
    /// <param name="data">Labelled pictures, 0 to 1.</param>
    /// <param name="epsilon">Largest change of a pixel, 0 or more; 8/255 is usual for photographs.</param>
    /// <param name="options">Batch size, normalisation, limit.</param>
    /// <param name="cancellation">Stops between batches.</param>
    /// <exception cref="ArgumentException">The samples are no pictures.</exception>
    public static double Accuracy(TrainableModel model, IDataset data, double epsilon, EvaluationOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(data);
        if (data.Kind != SampleKind.Picture) throw new ArgumentException("Pixels are needed: pictures [channels, height, width] with values 0 to 1.", nameof(data));
        options ??= new EvaluationOptions();
        IDataset part = options.Limit is { } limit && limit < data.Count ? data.Slice(0, limit) : data;
        // Pixels come without normalisation: the step and its limits are theirs.
        var loader = new BatchLoader(part, new BatchOptions { BatchSize = options.BatchSize, Shuffle = false });
        bool training = model.IsTraining;
        model.IsTraining = false;
        int right = 0, done = 0;
        try
        {
            for (int b = 0; b < loader.BatchesPerEpoch; b++)
            {
                cancellation.ThrowIfCancellationRequested();
                Batch batch = loader.At(0, b);
                float[] pixels = batch.Inputs.ToSingles();
                Attack(model, pixels, batch.Inputs.Shape, batch.Targets, epsilon, options.Normalization);
                ReadOnlySpan<float> logits;
                using (GradientMode.Off()) logits = model.Forward(new ModelValue(Normalized(pixels, batch.Inputs.Shape, options.Normalization))).Values.ToArray();
                int classes = logits.Length / batch.Count;
                for (int i = 0; i < batch.Count; i++)
                {
                    if (Confidence.Of(logits.Slice(i * classes, classes)).Predicted == batch.Targets[i]) right++;
                }
                done += batch.Count;
                options.Progress?.Report((done, part.Count));
            }
        }
        finally
        {
            model.IsTraining = training;
        }
        return (double)right / done;
    }

    private static Tensor Normalized(ReadOnlySpan<float> pixels, ReadOnlySpan<int> shape, InputNormalization normalization)
    {
        float[] values = pixels.ToArray();
        normalization.Apply(values, shape[1], shape[2] * shape[3]);
        return Tensor.Wrap(values, shape.ToArray());
    }
}

using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;

namespace Sparseland.Training.Runs;

/// <summary>How good a model is on a data set.</summary>
/// <param name="Samples">Labelled samples, or windows of tokens.</param>
/// <param name="Scored">Targets that counted: samples, or predicted tokens.</param>
/// <param name="Loss">Mean cross-entropy per target, natural logarithm.</param>
/// <param name="Top1">Share of targets whose class has the highest logit (ties: the lowest index wins).</param>
/// <param name="Top5">Share of targets among the five highest logits.</param>
/// <param name="BitsPerByte">For text whose bytes are known: total cross-entropy in bits by bytes of text.</param>
public sealed record Evaluation(int Samples, long Scored, double Loss, double Top1, double Top5, double? BitsPerByte)
{
    /// <summary>exp(loss): perplexity per token.</summary>
    public double Perplexity => Math.Exp(Loss);
}

/// <summary>What is evaluated.</summary>
public sealed record EvaluationOptions
{
    /// <summary>Samples per forward pass.</summary>
    public int BatchSize { get; init; } = 256;

    /// <summary>Shift and scale of pictures.</summary>
    public InputNormalization Normalization { get; init; } = InputNormalization.None;

    /// <summary>Largest number of samples, from the first; null takes all.</summary>
    public int? Limit { get; init; }

    /// <summary>Called with (done, total) samples after every batch.</summary>
    public IProgress<(int Done, int Total)>? Progress { get; init; }
}

/// <summary>Measures models on data: top-1, top-5 and loss; perplexity and bits per byte for text.</summary>
public static class Evaluator
{
    /// <summary>Evaluates a model in evaluation mode; the mode is put back afterwards.</summary>
    public static Evaluation Evaluate(TrainableModel model, IDataset data, EvaluationOptions? options = null, Func<Batch, IReadOnlyDictionary<string, ModelValue>>? feed = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        bool training = model.IsTraining;
        model.IsTraining = false;
        try
        {
            using (GradientMode.Off())
                return Evaluate(batch => Forward(model, batch, feed).ToTensorData(), data, options, cancellation);
        }
        finally
        {
            model.IsTraining = training;
        }
    }

    /// <summary>Evaluates anything that turns a batch into logits [samples, classes] or [samples, window, vocabulary]: a compiled plan, a remote peer.</summary>
    /// <exception cref="DataException">SL3006: the logits do not fit the data.</exception>
    public static Evaluation Evaluate(Func<Batch, TensorData> forward, IDataset data, EvaluationOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(forward);
        ArgumentNullException.ThrowIfNull(data);
        options ??= new EvaluationOptions();
        IDataset part = options.Limit is { } limit && limit < data.Count ? data.Slice(0, limit) : data;
        var loader = new BatchLoader(part, new BatchOptions { BatchSize = options.BatchSize, Shuffle = false, Normalization = options.Normalization });
        double loss = 0;
        long scored = 0, top1 = 0, top5 = 0;
        int done = 0;
        for (int b = 0; b < loader.BatchesPerEpoch; b++)
        {
            cancellation.ThrowIfCancellationRequested();
            Batch batch = loader.At(0, b);
            TensorData logits = forward(batch);
            int classes = logits.Rank == 0 ? 0 : logits.Shape[^1];
            if (classes == 0 || logits.Length != (long)batch.Targets.Length * classes)
            {
                throw new DataException("SL3006", $"the model's output {logits} does not fit {batch.Targets.Length} targets")
                {
                    Because = $"{batch.Count} samples with {data.TargetsPerSample} targets each were fed as {batch.Inputs}",
                };
            }
            ReadOnlySpan<float> values = logits.ToSingles();
            for (int i = 0; i < batch.Targets.Length; i++)
            {
                int target = batch.Targets[i];
                if (target == IDataset.IgnoredTarget) continue;
                if (target >= classes)
                {
                    throw new DataException("SL3006", $"the data has class {target}, the model's output has {classes} classes")
                    {
                        Try = "use data with the classes that the model was trained for",
                    };
                }
                (double nll, int rank) = Score(values.Slice(i * classes, classes), target);
                loss += nll;
                scored++;
                if (rank == 0) top1++;
                if (rank < 5) top5++;
            }
            done += batch.Count;
            options.Progress?.Report((done, part.Count));
        }
        double n = Math.Max(1, scored);
        double? bitsPerByte = part is TokenDataset { ByteCount: > 0 } text && text.Stride == text.SampleShape[0] ? loss / Math.Log(2) / text.ByteCount : null;
        return new Evaluation(done, scored, loss / n, top1 / n, top5 / n, bitsPerByte);
    }

    /// <summary>Feeds a batch and returns the first output.</summary>
    internal static Tensor Forward(TrainableModel model, Batch batch, Func<Batch, IReadOnlyDictionary<string, ModelValue>>? feed)
    {
        if (feed is null) return model.Forward(new ModelValue(batch.Inputs));
        return model.Forward(feed(batch))[model.Graph.Outputs[0].Name].Tensor;
    }

    /// <summary>Cross-entropy and rank of the target; NaN logits rank before everything and make the loss NaN.</summary>
    private static (double Nll, int Rank) Score(ReadOnlySpan<float> logits, int target)
    {
        float own = logits[target];
        double max = double.NegativeInfinity;
        int rank = 0;
        for (int c = 0; c < logits.Length; c++)
        {
            float x = logits[c];
            if (x > max) max = x;
            if (x > own || float.IsNaN(x) || (x == own && c < target)) rank++;
        }
        double sum = 0;
        foreach (float x in logits) sum += Math.Exp(x - max);
        return (Math.Log(sum) - (own - max), rank);
    }
}

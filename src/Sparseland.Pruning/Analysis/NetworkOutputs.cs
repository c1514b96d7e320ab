using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis;

/// <summary>What a network gives for every sample of a data set, in evaluation mode.</summary>
/// <param name="Values">[samples, width], row-major; for text one row per position.</param>
/// <param name="Width">Numbers per row.</param>
/// <param name="Targets">One per row.</param>
internal sealed record NetworkOutputs(float[] Values, int Width, int[] Targets)
{
    /// <summary>Number of rows.</summary>
    public int Rows => Width == 0 ? 0 : Values.Length / Width;

    public ReadOnlySpan<float> Row(int index) => Values.AsSpan(index * Width, Width);

    /// <summary>Collects the first output, or the values of that name in the graph.</summary>
    public static NetworkOutputs Collect(TrainableModel model, IDataset data, InputNormalization normalization, int batch, string? value = null, CancellationToken cancellation = default) =>
        Collect(model, data, normalization, batch, value is null ? [] : [value], cancellation)[value is null ? 0 : 1];

    /// <summary>Collects the first output and, after it, values of the graph.</summary>
    public static NetworkOutputs[] Collect(TrainableModel model, IDataset data, InputNormalization normalization, int batch, IReadOnlyList<string> values, CancellationToken cancellation = default)
    {
        var loader = new BatchLoader(data, new BatchOptions { BatchSize = Math.Min(batch, data.Count), Shuffle = false, Normalization = normalization });
        var lists = new List<float>[values.Count + 1];
        int[] widths = new int[values.Count + 1];
        for (int i = 0; i < lists.Length; i++) lists[i] = [];
        var targets = new List<int>();
        bool training = model.IsTraining;
        model.IsTraining = false;
        var observers = new List<IDisposable>();
        try
        {
            for (int i = 0; i < values.Count; i++)
            {
                int slot = i + 1;
                observers.Add(model.Observe(values[i], v => Keep(slot, v.Data)));
            }
            for (int b = 0; b < loader.BatchesPerEpoch; b++)
            {
                cancellation.ThrowIfCancellationRequested();
                Batch samples = loader.At(0, b);
                targets.AddRange(samples.Targets);
                Keep(0, model.Forward(new ModelValue(samples.Inputs)).ToTensorData());
            }
        }
        finally
        {
            foreach (IDisposable observer in observers) observer.Dispose();
            model.IsTraining = training;
        }
        int[] labels = [.. targets];
        return [.. lists.Select((l, i) => new NetworkOutputs([.. l], widths[i], labels))];

        void Keep(int slot, TensorData data)
        {
            widths[slot] = data.Rank == 0 ? 1 : data.Shape[^1];
            lists[slot].AddRange(data.ToSingles());
        }
    }

    /// <summary>Loss and accuracy of a graph; the graph is not changed.</summary>
    public static Evaluation Evaluate(ModelGraph graph, IDataset data, InputNormalization normalization, int batch, CancellationToken cancellation = default) =>
        Evaluator.Evaluate(new TrainableModel(graph), data, new EvaluationOptions { BatchSize = batch, Normalization = normalization }, cancellation: cancellation);

    /// <summary>As <see cref="Evaluate"/>, for the model that others are compared with.</summary>
    /// <exception cref="PruningException">SL4013: its loss is no number, so nothing can be compared with it.</exception>
    internal static Evaluation EvaluateWhole(ModelGraph graph, IDataset data, InputNormalization normalization, int batch, CancellationToken cancellation = default)
    {
        Evaluation whole = Evaluate(graph, data, normalization, batch, cancellation);
        return double.IsFinite(whole.Loss)
            ? whole
            : throw new PruningException("SL4013", $"the model's loss on {whole.Samples} samples is {whole.Loss}") { Because = "nothing can be compared with a loss that is not finite", Try = "check the data and the weights for NaN" };
    }

    /// <summary>The first samples of a data set.</summary>
    public static IDataset First(IDataset data, int? limit) => limit is { } l && l < data.Count ? data.Slice(0, l) : data;
}

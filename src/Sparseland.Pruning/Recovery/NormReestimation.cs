using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Recovery;

/// <summary>Measures the running statistics of batch normalisations again, over training batches, without labels and without changing a weight.</summary>
/// <remarks>
/// Statistics are averages over the batches weighted by their sizes, not exponential ones: Yang et al., "Taxonomizing local versus global structure in neural network loss landscapes"
/// (the three-regime protocol), NeurIPS 2021, appendix; Li et al., "EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning", ECCV 2020, section 3.3 (adaptive batch normalisation).
/// </remarks>
/// <param name="batches">Batches that are looked at.</param>
/// <param name="batchSize">Samples per batch.</param>
public sealed class NormReestimation(int batches = 50, int batchSize = 128) : IRecovery
{
    /// <inheritdoc/>
    public string Id => "norm-statistics";

    /// <inheritdoc/>
    public TrainingResult? Recover(TrainableModel model, RecoveryContext context, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(context);
        if (model.Buffers.Count == 0) return null;
        IDataset data = context.Data.ForTraining;
        var loader = new BatchLoader(data, new BatchOptions { BatchSize = Math.Min(batchSize, data.Count), DropLast = true, Normalization = context.Normalization });
        bool training = model.IsTraining;
        long passes = model.TrainingPasses;
        double[][] sums = [.. model.Buffers.Select(b => new double[b.Value.Length])];
        float[][] original = [.. model.Buffers.Select(b => b.Value.ToArray())];
        float[] momenta = Momenta(model);
        bool done = false;
        int used = Math.Min(batches, loader.BatchesPerEpoch);
        try
        {
            model.IsTraining = true;
            using (Training.Autograd.GradientMode.Off())
            {
                for (int b = 0; b < used; b++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    float[][] before = [.. model.Buffers.Select(x => x.Value.ToArray())];
                    model.Forward(new ModelValue(loader.At(0, b).Inputs));
                    for (int i = 0; i < sums.Length; i++)
                    {
                        // running' = m * running + (1 - m) * batch, solved for the batch's own statistic; running is zeroed so that nothing cancels.
                        Span<float> now = model.Buffers[i].Value.Values;
                        for (int k = 0; k < now.Length; k++) sums[i][k] += (now[k] - momenta[i] * (double)before[i][k]) / (1 - momenta[i]);
                        now.Clear();
                    }
                }
            }
            done = true;
        }
        finally
        {
            model.IsTraining = training;
            model.TrainingPasses = passes;
            for (int i = 0; i < original.Length && !done; i++) original[i].CopyTo(model.Buffers[i].Value.Values);
        }
        for (int i = 0; i < sums.Length; i++)
        {
            Span<float> values = model.Buffers[i].Value.Values;
            for (int k = 0; k < values.Length; k++) values[k] = (float)(sums[i][k] / used);
        }
        return null;
    }

    private static float[] Momenta(TrainableModel model)
    {
        var byName = new Dictionary<string, float>(StringComparer.Ordinal);
        foreach (Model.Graph.Node node in model.Graph.Nodes)
        {
            if (node.OpType != "BatchNormalization") continue;
            byName[node.Input(3)] = byName[node.Input(4)] = node.Attributes.Float("momentum", 0.9f);
        }
        return [.. model.Buffers.Select(b => byName.GetValueOrDefault(b.Name, 0.9f))];
    }
}

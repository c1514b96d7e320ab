using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Probing;

/// <summary>Runs a network to find something out and leaves no trace: values, statistics, mode and gradients are put back when it is disposed.</summary>
/// <remarks>
/// Between construction and disposal the values of parameters and statistics may be changed at will (<see cref="SetValues"/>, or directly);
/// masks may not. Not for use by several threads at once.
/// </remarks>
public sealed class NetworkProbe : IDisposable
{
    private readonly float[][] _values, _statistics;
    private readonly bool[] _dense;
    private readonly bool _training;
    private readonly long _passes;

    /// <summary>Remembers the state of a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="context">Data, loss and feed.</param>
    public NetworkProbe(TrainableModel model, PruningContext context)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(context);
        Model = model;
        Context = context;
        _values = [.. model.Parameters.Select(p => p.Value.ToArray())];
        _statistics = [.. model.Buffers.Select(b => b.Value.ToArray())];
        _dense = [.. model.Parameters.Select(p => p.WantsDenseGradient)];
        _training = model.IsTraining;
        _passes = model.TrainingPasses;
    }

    /// <summary>The model.</summary>
    public TrainableModel Model { get; }

    /// <summary>Data, loss and feed.</summary>
    public PruningContext Context { get; }

    /// <summary>The data.</summary>
    /// <exception cref="PruningException">SL4005: there is none.</exception>
    public BatchLoader Data => Context.Data ?? throw new PruningException("SL4005", "data is needed to run the network on") { Try = "give data with --data, for example --data shapes" };

    /// <summary>The first batches of the data.</summary>
    public IReadOnlyList<Batch> Batches(int count) => [.. Enumerable.Range(0, count).Select(b => Data.At(b))];

    /// <summary>As many samples of every class, in the order of the data's first epoch; for text, that many samples in all.</summary>
    /// <param name="perClass">Samples of each class; classes with fewer give what they have.</param>
    public Batch Balanced(int perClass)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(perClass, 1);
        IDataset set = Data.Dataset;
        ReadOnlySpan<int> order = Data.OrderOf(0);
        float[] sample = new float[set.SampleLength()];
        int[] targets = new int[set.TargetsPerSample];
        int[] taken = new int[Math.Max(1, set.ClassCount)];
        var chosen = new List<int>();
        bool text = set.Kind == SampleKind.Tokens;
        for (int i = 0; i < order.Length && chosen.Count < perClass * (text ? 1 : set.ClassCount); i++)
        {
            set.Fill(order[i], sample, targets);
            if (!text && (targets[0] < 0 || taken[targets[0]]++ >= perClass)) continue;
            chosen.Add(order[i]);
        }
        IDataset part = set.Select(chosen.ToArray());
        return new BatchLoader(part, new BatchOptions { BatchSize = part.Count, Shuffle = false, Normalization = Data.Options.Normalization }).At(0);
    }

    /// <summary>Writes values of layers, in the weights' own order; entries that the model's masks remove stay zero.</summary>
    public void SetValues(IReadOnlyList<PrunableLayer> layers, IReadOnlyList<float[]> values)
    {
        ArgumentNullException.ThrowIfNull(layers);
        ArgumentNullException.ThrowIfNull(values);
        for (int l = 0; l < layers.Count; l++)
        {
            Parameter parameter = Find(layers[l]);
            values[l].CopyTo(parameter.Value.Values);
            parameter.TouchValues();
        }
    }

    /// <summary>The gradient of the mean loss over batches with respect to layers, at the present values, at removed entries as well.</summary>
    /// <param name="layers">The layers.</param>
    /// <param name="batches">The batches; each weighs the same.</param>
    /// <param name="loss">The loss; null takes the context's.</param>
    /// <returns>One array per layer, in the weight's own order.</returns>
    public float[][] Gradients(IReadOnlyList<PrunableLayer> layers, IReadOnlyList<Batch> batches, LossFunction? loss = null)
    {
        ArgumentNullException.ThrowIfNull(layers);
        ArgumentNullException.ThrowIfNull(batches);
        Parameter[] parameters = [.. layers.Select(Find)];
        double[][] sums = [.. layers.Select(l => new double[l.Length])];
        foreach (Parameter p in parameters) p.WantsDenseGradient = true;
        Model.IsTraining = true;
        for (int b = 0; b < batches.Count; b++)
        {
            Context.Cancellation.ThrowIfCancellationRequested();
            Model.ZeroGrad();
            (loss ?? Context.Loss)(Forward(batches[b]), batches[b]).Backward();
            for (int l = 0; l < parameters.Length; l++)
            {
                if (parameters[l].Grad is not { } gradient) continue;
                Span<float> g = gradient.Values;
                for (int i = 0; i < g.Length; i++) sums[l][i] += g[i];
            }
        }
        Model.ZeroGrad();
        return [.. sums.Select(s => Array.ConvertAll(s, v => (float)(v / Math.Max(1, batches.Count))))];
    }

    /// <summary>The network's first output on batches, in evaluation mode, at the present values; batch after batch.</summary>
    public float[] Outputs(IReadOnlyList<Batch> batches)
    {
        ArgumentNullException.ThrowIfNull(batches);
        var all = new List<float>();
        Model.IsTraining = false;
        using (GradientMode.Off())
        {
            foreach (Batch batch in batches)
            {
                Context.Cancellation.ThrowIfCancellationRequested();
                all.AddRange(Forward(batch).Values);
            }
        }
        return [.. all];
    }

    /// <summary>One forward pass of a batch in the model's present mode.</summary>
    public Tensor Forward(Batch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        return Context.Feed is { } feed ? Model.Forward(feed(batch))[Model.Graph.Outputs[0].Name].Tensor : Model.Forward(new ModelValue(batch.Inputs));
    }

    /// <summary>Puts everything back as it was.</summary>
    public void Dispose()
    {
        for (int i = 0; i < _values.Length; i++)
        {
            Parameter p = Model.Parameters[i];
            _values[i].CopyTo(p.Value.Values);
            p.TouchValues();
            p.WantsDenseGradient = _dense[i];
        }
        for (int i = 0; i < _statistics.Length; i++) _statistics[i].CopyTo(Model.Buffers[i].Value.Values);
        Model.TrainingPasses = _passes;
        Model.IsTraining = _training;
        Model.ZeroGrad();
    }

    private Parameter Find(PrunableLayer layer) => Model.FindParameter(layer.Name)
        ?? throw new PruningException("SL4005", $"'{layer.Name}' is not trained, so it has no gradient") { Try = "leave the layer out with --ignore" };
}

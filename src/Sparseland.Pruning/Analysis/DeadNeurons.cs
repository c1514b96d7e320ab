using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Analysis;

/// <summary>How many ReLU outputs are zero.</summary>
/// <param name="Rate">Share of (unit, input) pairs whose output is 0.</param>
/// <param name="Static">The part of it that comes from units all of whose incoming weights are removed.</param>
public sealed record DeadNeurons(double Rate, double Static)
{
    /// <summary>What depends on the inputs: <see cref="Rate"/> - <see cref="Static"/>.</summary>
    public double Dynamic => Rate - Static;

    /// <summary>Share of zeros among outputs.</summary>
    public static double RateOf(ReadOnlySpan<float> outputs)
    {
        int zeros = 0;
        foreach (float v in outputs)
        {
            if (v == 0) zeros++;
        }
        return outputs.IsEmpty ? 0 : (double)zeros / outputs.Length;
    }

    /// <summary>Measures a network in evaluation mode over the first batches of a loader.</summary>
    /// <remarks>Liu et al., "Selective Activation for De-sparsifying Pruned Neural Networks", TMLR 2023, section 3 (dead neuron rate, its static and dynamic part).</remarks>
    /// <param name="model">The network; unchanged.</param>
    /// <param name="data">Inputs.</param>
    /// <param name="batches">Batches that are looked at.</param>
    /// <param name="cancellation">Stops between batches.</param>
    /// <exception cref="PruningException">SL4005: the network has no ReLU.</exception>
    public static DeadNeurons Measure(TrainableModel model, BatchLoader data, int batches = 8, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(data);
        ModelGraph graph = model.Graph;
        Node[] units = [.. graph.Nodes.Where(n => n.OpType == "Relu")];
        if (units.Length == 0) throw new PruningException("SL4005", "the network has no ReLU whose outputs could be counted") { Try = "a network with Relu nodes" };
        Dictionary<string, bool[]> cut = Cut(model);
        long zeros = 0, fixedZeros = 0, all = 0;
        var observers = new List<IDisposable>();
        bool training = model.IsTraining;
        try
        {
            model.IsTraining = false;
            foreach (Node unit in units)
            {
                bool[]? dead = cut.GetValueOrDefault(unit.Input(0));
                observers.Add(model.Observe(unit.Output(0), v => Count(v.Tensor, dead)));
            }
            using (GradientMode.Off())
            {
                for (int b = 0; b < Math.Min(batches, data.BatchesPerEpoch); b++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    model.Forward(new ModelValue(data.At(0, b).Inputs));
                }
            }
        }
        finally
        {
            foreach (IDisposable observer in observers) observer.Dispose();
            model.IsTraining = training;
        }
        return new DeadNeurons((double)zeros / all, (double)fixedZeros / all);

        void Count(Tensor output, bool[]? dead)
        {
            Span<float> values = output.Values;
            all += values.Length;
            // Channels stand second in pictures, last elsewhere.
            int inner = output.Shape.Length == 4 ? output.Shape[2] * output.Shape[3] : 1;
            for (int i = 0; i < values.Length; i++)
            {
                if (values[i] != 0) continue;
                zeros++;
                if (dead is not null && dead[i / inner % dead.Length]) fixedZeros++;
            }
        }
    }

    /// <summary>Which units have lost every incoming weight, by the value that goes into their ReLU: behind a layer, its bias and its norm.</summary>
    private static Dictionary<string, bool[]> Cut(TrainableModel model)
    {
        var result = new Dictionary<string, bool[]>(StringComparer.Ordinal);
        Dictionary<string, List<Node>> consumers = model.Graph.Consumers();
        foreach (PrunableLayer layer in LayerDiscovery.Find(model.Graph))
        {
            if (model.FindParameter(layer.Name)?.Mask is not { } mask || model.Graph.Nodes.Find(n => n.Name == layer.Node) is not { } node) continue;
            bool[] kept = layer.ToMatrix(mask.ToFlags());
            bool[] dead = [.. Enumerable.Range(0, layer.Rows).Select(r => !kept.AsSpan(r * layer.Columns, layer.Columns).Contains(true))];
            string value = node.Output(0);
            result[value] = dead;
            while (consumers.GetValueOrDefault(value) is { Count: 1 } next && next[0].OpType is "Add" or "BatchNormalization" && next[0].Inputs.Where(i => i != value).All(model.Graph.Weights.ContainsKey))
            {
                value = next[0].Output(0);
                result[value] = dead;
            }
        }
        return result;
    }
}

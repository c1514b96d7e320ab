using Sparseland.Model.Graph;
using Sparseland.Pruning.Probing;
using Sparseland.Training;
using Sparseland.Training.Autograd;

namespace Sparseland.Pruning.Criteria;

/// <summary>score = |theta dR/dtheta|, R = sum of the outputs for an input of ones when every parameter is replaced by its absolute value: how much flow passes through the weight.</summary>
/// <remarks>
/// Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively conserving synaptic flow" (SynFlow), NeurIPS 2020, section 5, equation 8, and algorithm 1. Evaluation
/// mode; needs neither data nor labels, only sizes of the inputs. Scores are to be taken again in many rounds.
/// The authors compute in float64 because the products overflow. Here R is scaled instead: input and everything that is added (biases, shifts, means) times 2^-k and the backward
/// pass from 2^-k; in networks of linear layers, normalisations with fixed statistics, ReLU and pooling this changes all scores by the same power of two and no order.
/// </remarks>
public sealed class SynFlowCriterion : INetworkCriterion
{
    // 2^-96 leaves the smallest flow far above the smallest float and lets it grow to 1e67.
    private static readonly double[] s_scales = [1, 5.421010862427522e-20, 1.262177448353619e-29];

    /// <inheritdoc/>
    public string Id => "synflow";

    /// <inheritdoc/>
    public CriterionNeeds Needs => CriterionNeeds.Network;

    /// <inheritdoc/>
    public float[][] Score(NetworkScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        NetworkProbe probe = input.RequireProbe();
        TrainableModel model = probe.Model;
        float[][] values = [.. model.Parameters.Select(p => p.Value.ToArray())], statistics = [.. model.Buffers.Select(b => b.Value.ToArray())];
        HashSet<string> added = Added(model);
        try
        {
            model.IsTraining = false;
            model.RecordsInEvaluation = true;
            foreach (double scale in s_scales)
            {
                float s = (float)scale;
                for (int i = 0; i < values.Length; i++) Write(model.Parameters[i].Value.Values, values[i], added.Contains(model.Parameters[i].Name) ? s : 1);
                foreach (Parameter p in model.Parameters) p.TouchValues();
                for (int i = 0; i < statistics.Length; i++) Write(model.Buffers[i].Value.Values, statistics[i], added.Contains(model.Buffers[i].Name) ? s : 1);
                foreach (Layers.PrunableLayer layer in input.Layers) model.Parameter(layer.Name).WantsDenseGradient = true;
                model.ZeroGrad();
                Tensor output = model.Forward(Ones(model.Graph, s))[model.Graph.Outputs[0].Name].Tensor;
                output.Backward(Tensor.Full(s, output.Shape));
                float[][] scores = [.. input.Layers.Select(l => Product(model.Parameter(l.Name)))];
                if (scores.All(l => l.All(float.IsFinite)) || scale == s_scales[^1]) return scores;
            }
            throw new InvalidOperationException("There is no scale.");
        }
        finally
        {
            model.RecordsInEvaluation = false;
            model.ZeroGrad();
            for (int i = 0; i < values.Length; i++)
            {
                values[i].CopyTo(model.Parameters[i].Value.Values);
                model.Parameters[i].TouchValues();
            }
            for (int i = 0; i < statistics.Length; i++) statistics[i].CopyTo(model.Buffers[i].Value.Values);
        }
    }

    /// <summary>What is added to activations rather than multiplied: biases, shifts of normalisations, running means.</summary>
    private static HashSet<string> Added(TrainableModel model)
    {
        var names = new HashSet<string>(model.Parameters.Where(p => p.Kind == ParameterKind.Bias).Select(p => p.Name), StringComparer.Ordinal);
        foreach (Node node in model.Graph.Nodes)
        {
            if (node.OpType != "BatchNormalization") continue;
            names.Add(node.Input(2));
            names.Add(node.Input(3));
        }
        return names;
    }

    private static Dictionary<string, ModelValue> Ones(ModelGraph graph, float value)
    {
        var inputs = new Dictionary<string, ModelValue>(StringComparer.Ordinal);
        foreach (GraphValue input in graph.Inputs)
        {
            if (input.Type.Shape is not { Rank: > 0 } shape || input.Type.ElementType != ElementType.Float32 || Enumerable.Range(1, shape.Rank - 1).Any(d => !shape[d].IsKnown))
            {
                throw new PruningException("SL4005", $"SynFlow needs an input of known size and real numbers; '{input.Name}' is {input.Type}") { Try = "the method snip with data, or a model whose input sizes are fixed" };
            }
            inputs[input.Name] = new ModelValue(Tensor.Full(value, [1, .. Enumerable.Range(1, shape.Rank - 1).Select(d => shape[d].Value)]));
        }
        return inputs;
    }

    private static void Write(Span<float> to, float[] from, float scale)
    {
        for (int i = 0; i < from.Length; i++) to[i] = MathF.Abs(from[i]) * scale;
    }

    private static float[] Product(Parameter p)
    {
        float[] scores = p.Value.ToArray();
        ReadOnlySpan<float> gradient = p.Grad is { } g ? g.Values : new float[scores.Length];
        for (int i = 0; i < scores.Length; i++) scores[i] = MathF.Abs(scores[i] * gradient[i]);
        return scores;
    }
}

using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Passes;

/// <summary>Folds an inference batch normalisation into the convolution or linear layer before it.</summary>
/// <remarks>
/// y = gamma (W x + b - mean) / sqrt(variance + epsilon) + beta is again a layer: each output's weights times
/// s = gamma / sqrt(variance + epsilon), and the bias (b - mean) s + beta. Zero times s is zero, so a mask stays as it is.
/// </remarks>
internal sealed class BatchNormFoldingPass : IGraphPass
{
    public string Name => "batch-norm folding";

    public int Apply(ModelGraph graph)
    {
        int changes = 0;
        var index = new GraphIndex(graph);
        foreach (Node norm in graph.Nodes.ToArray())
        {
            if (norm.OpType != "BatchNormalization" || norm.Domain.Length > 0 || norm.Attributes.Int("training_mode", 0) != 0) continue;
            if (norm.Outputs.Skip(1).Any(o => o.Length > 0)) continue;
            if (index.Producer(norm.Inputs[0]) is not { } layer || !index.HasOneReader(norm.Inputs[0])) continue;
            if (Fold(graph, index, layer, norm)) changes++;
        }
        return changes;
    }

    private static bool Fold(ModelGraph graph, GraphIndex index, Node layer, Node norm)
    {
        if (layer.Domain.Length > 0 || !graph.Weights.TryGetValue(layer.Input(1), out Weight? weight) || weight.ElementType != ElementType.Float32) return false;
        int outputAxis;
        switch (layer.OpType)
        {
            case "Conv": outputAxis = 0; break;
            case "ConvTranspose" when layer.Attributes.Int("group", 1) == 1: outputAxis = 1; break;
            case "Gemm" when layer.Attributes.Float("alpha", 1) == 1 && layer.Attributes.Float("beta", 1) == 1:
                outputAxis = layer.Attributes.Int("transB", 0) != 0 ? 0 : 1;
                break;
            default: return false;
        }
        float[]?[] parameters = [.. Enumerable.Range(1, 4).Select(i => index.Constant(norm.Input(i))?.ToSingles())];
        if (parameters.Any(p => p is null)) return false;
        int outputs = weight.Shape[outputAxis];
        if (parameters.Any(p => p!.Length != outputs)) return false;
        float[]? oldBias = layer.HasInput(2) ? index.Constant(layer.Input(2))?.ToSingles() : new float[outputs];
        if (oldBias is null || oldBias.Length != outputs) return false;

        float epsilon = norm.Attributes.Float("epsilon", 1e-5f);
        var bias = new float[outputs];
        var scale = new float[outputs];
        for (int c = 0; c < outputs; c++)
        {
            double s = parameters[0]![c] / Math.Sqrt((double)parameters[3]![c] + epsilon);
            scale[c] = (float)s;
            bias[c] = (float)((oldBias[c] - (double)parameters[2]![c]) * s + parameters[1]![c]);
        }

        float[] values = (float[])weight.Read().ToSingles().Clone();
        int inner = 1;
        foreach (int d in weight.Shape[(outputAxis + 1)..]) inner *= d;
        for (int i = 0; i < values.Length; i++) values[i] *= scale[i / inner % outputs];

        // The old weight may have other readers, so the folded one gets a name of its own.
        string weightName = GraphIndex.FreshWeightName(graph, weight.Name + ".folded");
        Mask? mask = weight.Mask;
        graph.AddWeight(new Weight(weightName, WeightStorage.InMemory(TensorData.Wrap(values, weight.Shape)), mask));
        string biasName = GraphIndex.FreshWeightName(graph, weight.Name + ".folded_bias");
        graph.AddWeight(new Weight(biasName, TensorData.Vector(bias)));
        layer.Inputs[1] = weightName;
        while (layer.Inputs.Count < 3) layer.Inputs.Add("");
        layer.Inputs[2] = biasName;
        layer.Outputs[0] = norm.Outputs[0];
        graph.Nodes.Remove(norm);
        return true;
    }
}

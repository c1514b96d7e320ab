using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;

namespace Sparseland.Runtime.Planning;

/// <summary>Infers the types of a graph that holds fused nodes, by inferring their plain counterparts.</summary>
internal static class FusedShapeInference
{
    /// <summary>Types and constants of all values, with the given input types.</summary>
    public static ShapeInference Run(ModelGraph graph, IReadOnlyDictionary<string, TensorType>? inputTypes = null)
    {
        if (!graph.Nodes.Any(n => n.Domain == FusionPass.Domain)) return ShapeInference.Run(graph, inputTypes);
        var plain = new ModelGraph(graph.Name);
        plain.Inputs.AddRange(graph.Inputs);
        plain.Outputs.AddRange(graph.Outputs);
        foreach (Weight weight in graph.Weights.Values) plain.AddWeight(weight);
        foreach (Node node in graph.Nodes) plain.Nodes.AddRange(node.Domain == FusionPass.Domain ? ToPlain(node) : [node]);
        return ShapeInference.Run(plain, inputTypes);
    }

    /// <summary>The plain operators behind a fused node: a residual, a clamp, a cache and a bias along the outputs change no shape.</summary>
    public static Node[] ToPlain(Node fused)
    {
        Node copy = fused.Clone();
        copy.Domain = "";
        copy.Attributes.Remove("low");
        copy.Attributes.Remove("high");
        if (copy.OpType == "Attention")
        {
            copy.Attributes.Remove(KeyValueCachePass.IndexAttribute);
            return [copy];
        }
        int inputs = copy.OpType == "MatMul" ? 2 : 3;
        if (copy.Inputs.Count > inputs) copy.Inputs.RemoveRange(inputs, copy.Inputs.Count - inputs);
        if (copy.OpType != "MatMul" || !copy.Attributes.Remove(TransposedWeightPass.Attribute)) return [copy];
        string turned = copy.Outputs[0] + ".weight_transposed";
        var transpose = new Node(copy.Name + ".weight_transposed", "Transpose", [copy.Inputs[1]], [turned]);
        transpose.Attributes.Set("perm", 1L, 0L);
        copy.Inputs[1] = turned;
        return [transpose, copy];
    }
}

using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;

namespace Sparseland.Runtime.Planning;

/// <summary>Infers the types of a graph that holds fused nodes, by inferring their plain counterparts.</summary>
internal static class FusedShapeInference
{
    /// <summary>Types of all values, with the given input types.</summary>
    public static IReadOnlyDictionary<string, TensorType> Run(ModelGraph graph, IReadOnlyDictionary<string, TensorType> inputTypes)
    {
        if (!graph.Nodes.Any(n => n.Domain == FusionPass.Domain)) return ShapeInference.Run(graph, inputTypes).Types;
        var plain = new ModelGraph(graph.Name);
        plain.Inputs.AddRange(graph.Inputs);
        plain.Outputs.AddRange(graph.Outputs);
        foreach (Weight weight in graph.Weights.Values) plain.AddWeight(weight);
        foreach (Node node in graph.Nodes)
        {
            if (node.Domain != FusionPass.Domain)
            {
                plain.Nodes.Add(node);
                continue;
            }
            plain.Nodes.Add(ToPlain(node));
        }
        return ShapeInference.Run(plain, inputTypes).Types;
    }

    /// <summary>The plain operator behind a fused node: a residual, a clamp and a bias along the outputs change no shape.</summary>
    public static Node ToPlain(Node fused)
    {
        Node copy = fused.Clone();
        copy.Domain = "";
        int inputs = copy.OpType == "MatMul" ? 2 : 3;
        if (copy.Inputs.Count > inputs) copy.Inputs.RemoveRange(inputs, copy.Inputs.Count - inputs);
        copy.Attributes.Remove("low");
        copy.Attributes.Remove("high");
        return copy;
    }
}

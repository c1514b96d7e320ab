using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Passes;

/// <summary>Lets a MatMul read a transposed constant weight as it is stored: no copy is made, and the weight keeps its mask.</summary>
internal sealed class TransposedWeightPass : IGraphPass
{
    /// <summary>Attribute of a fused MatMul whose weight is stored [outputs, inputs].</summary>
    public const string Attribute = "transB";

    public string Name => "transposed weights";

    public int Apply(ModelGraph graph)
    {
        int changes = 0;
        var index = new GraphIndex(graph);
        foreach (Node node in graph.Nodes)
        {
            if (node.OpType != "MatMul" || node.Domain.Length > 0) continue;
            if (index.Producer(node.Inputs[1]) is not { OpType: "Transpose", Domain: "" } transpose) continue;
            if (!graph.Weights.TryGetValue(transpose.Inputs[0], out Weight? weight) || weight.Shape.Length != 2 || weight.ElementType != ElementType.Float32) continue;
            if (transpose.Attributes.Ints("perm") is { } perm && !perm.AsSpan().SequenceEqual([1L, 0L])) continue;
            node.Inputs[1] = weight.Name;
            FusionPass.MakeFused(node);
            node.Attributes.Set(Attribute, 1L);
            changes++;
        }
        return changes;
    }
}

using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Passes;

/// <summary>Moves a residual addition and a clamp (Relu, Clip) behind a layer into the layer's own store.</summary>
/// <remarks>
/// A fused node keeps its operator's name under the domain <see cref="Domain"/>: inputs X, W, bias, residual (each may
/// be left out from the third on), attributes of the original plus <c>low</c> and <c>high</c>.
/// </remarks>
internal sealed class FusionPass(IReadOnlyDictionary<string, TensorType> types) : IGraphPass
{
    /// <summary>Domain of fused nodes; they exist inside a plan only.</summary>
    public const string Domain = "sparseland.fused";

    public string Name => "fusion";

    public int Apply(ModelGraph graph)
    {
        int changes = 0;
        changes += FuseBias(graph);
        changes += FuseResidual(graph);
        changes += FuseClamp(graph);
        return changes;
    }

    /// <summary>Whether a plan can compile this layer with a fused store: a constant single-precision weight.</summary>
    private static bool IsLayer(ModelGraph graph, Node node)
    {
        if (node.Domain == Domain) return node.OpType != "Attention";
        if (node.Domain.Length > 0 || !graph.Weights.TryGetValue(node.Input(1), out Weight? weight) || weight.ElementType != ElementType.Float32) return false;
        return node.OpType switch
        {
            "Conv" => weight.Shape.Length == 4,
            "MatMul" => weight.Shape.Length == 2,
            "Gemm" => node.Attributes.Int("transA", 0) == 0 && node.Attributes.Float("alpha", 1) == 1 && node.Attributes.Float("beta", 1) == 1
                && (!node.HasInput(2) || graph.Weights.TryGetValue(node.Input(2), out Weight? bias) && bias.Shape.Length == 1 && bias.Length > 1),
            _ => false,
        };
    }

    /// <summary>Moves a node to the fused domain: bias, residual and clamp left out.</summary>
    internal static void MakeFused(Node node)
    {
        if (node.Domain == Domain) return;
        node.Domain = Domain;
        while (node.Inputs.Count < 4) node.Inputs.Add("");
        node.Attributes.Set("low", float.NegativeInfinity).Set("high", float.PositiveInfinity);
    }

    /// <summary>MatMul followed by the addition of a constant vector: exporters write linear layers so.</summary>
    private static int FuseBias(ModelGraph graph)
    {
        int changes = 0;
        var index = new GraphIndex(graph);
        foreach (Node add in graph.Nodes.ToArray())
        {
            if (add.OpType != "Add" || add.Domain.Length > 0) continue;
            for (int side = 0; side < 2; side++)
            {
                if (index.Producer(add.Inputs[side]) is not { OpType: "MatMul" } layer || !IsLayer(graph, layer) || layer.HasInput(2)) continue;
                if (!index.HasOneReader(add.Inputs[side]) || !graph.Weights.TryGetValue(add.Inputs[1 - side], out Weight? bias)) continue;
                if (bias.Shape.Length != 1 || bias.Length != graph.Weights[layer.Input(1)].Shape[layer.Attributes.Int(TransposedWeightPass.Attribute, 0) != 0 ? 0 : 1] || bias.ElementType != ElementType.Float32) continue;
                MakeFused(layer);
                layer.Inputs[2] = bias.Name;
                layer.Outputs[0] = add.Outputs[0];
                graph.Nodes.Remove(add);
                changes++;
                break;
            }
        }
        return changes;
    }

    private int FuseResidual(ModelGraph graph)
    {
        int changes = 0;
        var index = new GraphIndex(graph);
        foreach (Node add in graph.Nodes.ToArray())
        {
            if (add.OpType != "Add" || add.Domain.Length > 0) continue;
            if (!types.TryGetValue(add.Inputs[0], out TensorType? a) || !types.TryGetValue(add.Inputs[1], out TensorType? b)) continue;
            if (a != b && (a.Shape is null || !a.Shape.Equals(b.Shape) || a.ElementType != b.ElementType)) continue;
            if (a.ElementType != ElementType.Float32 || a.Shape is null || a.Shape.Any(d => !d.IsKnown && d.Symbol is null)) continue;
            // The later of two candidates is taken, so that the earlier one's result is ready as the residual.
            for (int side = 1; side >= 0; side--)
            {
                if (index.Producer(add.Inputs[side]) is not { } layer || !IsLayer(graph, layer) || layer.HasInput(3)) continue;
                if (layer.Domain == Domain && HasClamp(layer)) continue;
                if (!index.HasOneReader(add.Inputs[side]) || add.Inputs[0] == add.Inputs[1]) continue;
                MakeFused(layer);
                layer.Inputs[3] = add.Inputs[1 - side];
                layer.Outputs[0] = add.Outputs[0];
                graph.Nodes.Remove(layer);
                graph.Nodes[graph.Nodes.IndexOf(add)] = layer;
                index = new GraphIndex(graph);
                changes++;
                break;
            }
        }
        return changes;
    }

    private static int FuseClamp(ModelGraph graph)
    {
        int changes = 0;
        var index = new GraphIndex(graph);
        foreach (Node clamp in graph.Nodes.ToArray())
        {
            if (!TryReadClamp(clamp, index, out float low, out float high)) continue;
            if (index.Producer(clamp.Inputs[0]) is not { } layer || !IsLayer(graph, layer) || !index.HasOneReader(clamp.Inputs[0])) continue;
            if (layer.Domain == Domain && HasClamp(layer)) continue;
            MakeFused(layer);
            layer.Attributes.Set("low", low).Set("high", high);
            layer.Outputs[0] = clamp.Outputs[0];
            graph.Nodes.Remove(clamp);
            index = new GraphIndex(graph);
            changes++;
        }
        return changes;
    }

    private static bool HasClamp(Node layer) =>
        !float.IsNegativeInfinity(layer.Attributes.Float("low", 0)) || !float.IsPositiveInfinity(layer.Attributes.Float("high", 0));

    private static bool TryReadClamp(Node node, GraphIndex index, out float low, out float high)
    {
        (low, high) = (0f, float.PositiveInfinity);
        if (node.Domain.Length > 0) return false;
        if (node.OpType == "Relu") return true;
        if (node.OpType != "Clip") return false;
        low = float.NegativeInfinity;
        if (node.HasInput(1))
        {
            if (index.Constant(node.Input(1)) is not { Length: 1, ElementType: ElementType.Float32 } min) return false;
            low = min.Span<float>()[0];
        }
        if (node.HasInput(2))
        {
            if (index.Constant(node.Input(2)) is not { Length: 1, ElementType: ElementType.Float32 } max) return false;
            high = max.Span<float>()[0];
        }
        return low <= high;
    }
}

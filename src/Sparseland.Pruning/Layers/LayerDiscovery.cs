using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Layers;

/// <summary>Finds the weights of a graph that single entries can be removed from.</summary>
/// <remarks>No list of architectures (R30): the operators that read a weight decide.</remarks>
public static class LayerDiscovery
{
    /// <summary>All prunable weights in the order in which the graph first uses them.</summary>
    public static IReadOnlyList<PrunableLayer> Find(ModelGraph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        // A weight may reach its layer through transpositions; what is read then is the original.
        var views = new Dictionary<string, (string Weight, bool Transposed)>(StringComparer.Ordinal);
        foreach (Weight weight in graph.Weights.Values)
        {
            if (weight.ElementType.IsFloat() && weight.Shape.Length >= 2 && weight.Length > 0) views[weight.Name] = (weight.Name, false);
        }
        var found = new OrderedDictionary<string, List<Use>>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            if (node.Domain is not ("" or "ai.onnx")) continue;
            if (views.TryGetValue(node.Input(0), out (string Weight, bool Transposed) view))
            {
                if (node.OpType == "Identity") views[node.Output(0)] = view;
                if (node.OpType == "Transpose" && IsSwap(node, graph.Weights[view.Weight].Shape.Length)) views[node.Output(0)] = (view.Weight, !view.Transposed);
            }
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                if (!views.TryGetValue(node.Inputs[i], out view)) continue;
                if (UseOf(node, i, graph.Weights[view.Weight].Shape, view.Transposed) is not { } use) continue;
                if (!found.TryGetValue(view.Weight, out List<Use>? uses)) found[view.Weight] = uses = [];
                uses.Add(use);
            }
        }

        var layers = new List<(Weight Weight, Use Use, bool Tied)>();
        foreach ((string name, List<Use> uses) in found)
        {
            Use first = uses[0];
            bool table = uses.Exists(u => u.Kind == LayerKind.Embedding);
            bool tied = uses.Exists(u => u.Kind != first.Kind || u.OutputsFirst != first.OutputsFirst);
            layers.Add((graph.Weights[name], table ? first with { Kind = LayerKind.Embedding } : first, tied));
        }
        List<string> order = [.. layers.Where(l => l.Use.Kind != LayerKind.Embedding).Select(l => l.Weight.Name)];
        return [.. layers.Select(l => new PrunableLayer(l.Weight.Name, l.Use.Node, l.Use.Input, l.Use.Kind, l.Weight.Shape.ToArray(), l.Use.OutputsFirst,
            order.Count > 0 && l.Weight.Name == order[0], order.Count > 0 && l.Weight.Name == order[^1], l.Tied))];
    }

    private sealed record Use(string Node, string Input, LayerKind Kind, bool OutputsFirst);

    private static Use? UseOf(Node node, int input, ReadOnlySpan<int> shape, bool transposed)
    {
        int rank = shape.Length;
        switch (node.OpType)
        {
            case "Conv" when input == 1 && !transposed && rank >= 3:
                long groups = node.Attributes.Int("group", 1);
                return new(node.Name, node.Input(0), groups > 1 && shape[1] == 1 ? LayerKind.Depthwise : LayerKind.Convolution, true);
            case "ConvTranspose" when input == 1 && !transposed && rank >= 3:
                return new(node.Name, node.Input(0), LayerKind.TransposedConvolution, false);
            case "Gemm" when input == 1 && rank == 2:
                return new(node.Name, node.Input(0), LayerKind.Linear, node.Attributes.Int("transB", 0) != 0 != transposed);
            case "Gemm" when input == 0 && rank == 2:
                return new(node.Name, node.Input(1), LayerKind.Linear, node.Attributes.Int("transA", 0) == 0 != transposed);
            case "MatMul" when input == 1 && rank == 2:
                return new(node.Name, node.Input(0), LayerKind.Linear, transposed);
            case "MatMul" when input == 0 && rank == 2:
                return new(node.Name, node.Input(1), LayerKind.Linear, !transposed);
            case "Gather" when input == 0 && rank == 2:
                return new(node.Name, node.Input(1), LayerKind.Embedding, true);
            default:
                return null;
        }
    }

    private static bool IsSwap(Node node, int rank)
    {
        if (rank != 2) return false;
        long[]? order = node.Attributes.Ints("perm");
        return order is null || (order.Length == 2 && order[0] == 1 && order[1] == 0);
    }
}

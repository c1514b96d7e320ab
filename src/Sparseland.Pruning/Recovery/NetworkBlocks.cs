using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;

namespace Sparseland.Pruning.Recovery;

/// <summary>A part of a network between two values that everything flows through.</summary>
/// <param name="Name">Name for people: the common beginning of its layers' names.</param>
/// <param name="Input">The value that goes in.</param>
/// <param name="Output">The value that comes out.</param>
/// <param name="Layers">Its prunable layers.</param>
public sealed record NetworkBlock(string Name, string Input, string Output, IReadOnlyList<PrunableLayer> Layers);

/// <summary>Cuts a network into blocks that can be run on their own.</summary>
/// <remarks>
/// A network can be cut at a value when no other value that depends on the input is still needed behind it: between the blocks of a transformer or a residual network, and nowhere inside them. Stretches whose layers have one
/// block number in their names are one block (as for Wanda); what lies between, such as a normalisation, belongs to the block before it. Sizes of the network's input (positions are made from them) do not count: in a block they are
/// those of its own input.
/// </remarks>
public static class NetworkBlocks
{
    /// <summary>The blocks in the order in which they are run; what lies before the first layer (embeddings) and behind the last belongs to none.</summary>
    /// <param name="graph">The network; one input.</param>
    /// <param name="wanted">Which layers matter; null takes all.</param>
    public static IReadOnlyList<NetworkBlock> Find(ModelGraph graph, Func<PrunableLayer, bool>? wanted = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        List<PrunableLayer> layers = [.. LayerDiscovery.Find(graph).Where(l => wanted?.Invoke(l) ?? true)];
        Dictionary<PrunableLayer, int> keys = [];
        foreach ((List<PrunableLayer> group, int key) in WandaPruning.Blocks(layers).Select((g, i) => (g, i))) foreach (PrunableLayer layer in group) keys[layer] = key;
        var blocks = new List<NetworkBlock>();
        string? from = null;
        int present = -1;
        var inside = new List<PrunableLayer>();
        var stretch = new List<PrunableLayer>();
        string last = graph.Inputs[0].Name;
        string end = last;
        foreach ((Node node, string? cut) in Walk(graph))
        {
            stretch.AddRange(layers.Where(l => l.Node == node.Name));
            if (cut is null) continue;
            int key = stretch.Count == 0 ? present : keys[stretch[0]];
            if (stretch.Count > 0 && key != present)
            {
                Close(last);
                (from, present) = (last, key);
            }
            if (from is not null)
            {
                inside.AddRange(stretch);
                if (stretch.Count > 0) end = cut;
            }
            stretch.Clear();
            last = cut;
        }
        Close(end);
        return blocks;

        void Close(string to)
        {
            if (from is not null && inside.Count > 0) blocks.Add(new NetworkBlock(Common([.. inside.Select(l => l.Name)]), from, to, [.. inside]));
            inside.Clear();
        }
    }

    /// <summary>A block as a network of its own, with copies of its weights and masks.</summary>
    /// <param name="graph">The network that it is cut from.</param>
    /// <param name="block">The block.</param>
    /// <exception cref="PruningException">SL4006: it needs sizes of the network's input that its own input does not have.</exception>
    public static ModelGraph Extract(ModelGraph graph, NetworkBlock block)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(block);
        Dictionary<string, Node> producers = graph.Producers();
        ShapeInference types = ShapeInference.Run(graph);
        // What depends on the block's input; sizes of anything else are taken from that input.
        var inside = new HashSet<string>([block.Input], StringComparer.Ordinal);
        foreach (Node node in graph.Nodes.Where(n => GraphOrder.Reads(n).Any(inside.Contains))) inside.UnionWith(node.Outputs);
        bool Outer(Node node) => node.OpType == "Shape" && !inside.Contains(node.Input(0));
        var needed = new HashSet<Node>(ReferenceEqualityComparer.Instance);
        var open = new Stack<string>([block.Output]);
        while (open.TryPop(out string? value))
        {
            if (value == block.Input || !producers.TryGetValue(value, out Node? node) || !needed.Add(node)) continue;
            if (Outer(node)) continue;
            foreach (string read in GraphOrder.Reads(node)) open.Push(read);
        }
        var part = new ModelGraph(block.Name);
        TensorType input = types.TypeOf(block.Input) ?? new TensorType(ElementType.Float32, null);
        part.Inputs.Add(new GraphValue(block.Input, input.Shape is { Rank: > 0 } shape ? input with { Shape = shape.With(0, Dimension.Named("batch")) } : input));
        foreach (Node node in graph.Nodes.Where(needed.Contains))
        {
            part.Nodes.Add(Outer(node) ? OwnSizes(node, block, types) : node.Clone());
            if (Outer(node)) continue;
            foreach (string name in GraphOrder.Reads(node))
            {
                if (graph.Weights.TryGetValue(name, out Weight? weight) && !part.Weights.ContainsKey(name)) part.AddWeight(weight.Clone());
            }
        }
        part.Outputs.Add(new GraphValue(block.Output, new TensorType(ElementType.Float32, null)));
        return part;
    }

    private static Node OwnSizes(Node node, NetworkBlock block, ShapeInference types)
    {
        TensorShape? outer = types.TypeOf(node.Input(0))?.Shape, own = types.TypeOf(block.Input)?.Shape;
        if (outer is null || own is null || own.Rank < outer.Rank || Enumerable.Range(0, outer.Rank).Any(d => outer[d] != own[d]))
            throw new PruningException("SL4006", $"the block '{block.Name}' needs the sizes {outer} of '{node.Input(0)}', which its input {own} does not have") { Try = "another recovery, for example fine-tuning with retrain biases,norms" };
        var copy = new Node(node.Name, node.OpType, [block.Input], node.Outputs);
        copy.Attributes.Set("end", (long)outer.Rank);
        return copy;
    }

    /// <summary>Every node, with the value at which the network can be cut behind it, or null.</summary>
    private static IEnumerable<(Node Node, string? Cut)> Walk(ModelGraph graph)
    {
        var lastUse = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < graph.Nodes.Count; i++)
        {
            if (graph.Nodes[i].OpType == "Shape") continue;
            foreach (string read in GraphOrder.Reads(graph.Nodes[i])) lastUse[read] = i;
        }
        foreach (GraphValue output in graph.Outputs) lastUse[output.Name] = int.MaxValue;
        // What is computed from weights or sizes alone is there on either side of a cut.
        var live = new HashSet<string>(graph.Inputs.Select(i => i.Name), StringComparer.Ordinal);
        for (int i = 0; i < graph.Nodes.Count; i++)
        {
            Node node = graph.Nodes[i];
            bool depends = node.OpType != "Shape" && GraphOrder.Reads(node).Any(live.Contains);
            if (depends) live.UnionWith(node.Outputs.Where(o => o.Length > 0 && lastUse.ContainsKey(o)));
            live.RemoveWhere(v => lastUse.GetValueOrDefault(v, -1) <= i);
            yield return (node, depends && live.Count == 1 ? live.First() : null);
        }
    }

    private static string Common(string[] names)
    {
        if (names.Length == 1) return names[0];
        int length = 0;
        while (length < names.Min(n => n.Length) && names.All(n => n[length] == names[0][length])) length++;
        return names[0][..length].TrimEnd('.', '/', '_') is { Length: > 0 } common ? common : names[0];
    }
}

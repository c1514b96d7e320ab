using Sparseland.Model.Graph;
using Sparseland.Training;

namespace Sparseland.Pruning.Structured;

/// <summary>A residual block whose shortcut is the identity: y = x + branch(x).</summary>
/// <param name="Name">Name of its first layer's node.</param>
/// <param name="Sum">The addition.</param>
/// <param name="Shortcut">The value x.</param>
/// <param name="Branch">The value that is added to it.</param>
/// <param name="Nodes">The branch's nodes, in the graph's order.</param>
/// <param name="Stage">Blocks of equal output shape form a stage; its name is the shape without the batch.</param>
public sealed record ResidualBlock(string Name, Node Sum, string Shortcut, string Branch, IReadOnlyList<Node> Nodes, string Stage);

/// <summary>Finds residual blocks and takes them out.</summary>
/// <remarks>
/// A block is a candidate when its shortcut is the identity and nothing outside uses what its branch computes. Blocks that change resolution or width are counted in their stage and never candidates.
/// Jordao et al., "When Layers Play the Lottery, all Tickets Win at Initialization", 2023; rules as in the same group's layer-pruning code.
/// </remarks>
public sealed class ResidualBlocks
{
    private ResidualBlocks(ModelGraph graph, IReadOnlyList<ResidualBlock> candidates, IReadOnlyDictionary<string, int> stages)
    {
        Graph = graph;
        Candidates = candidates;
        Stages = stages;
    }

    /// <summary>The graph.</summary>
    public ModelGraph Graph { get; }

    /// <summary>Blocks that can be taken out one by one.</summary>
    public IReadOnlyList<ResidualBlock> Candidates { get; }

    /// <summary>Residual blocks of every stage, those that are no candidates included.</summary>
    public IReadOnlyDictionary<string, int> Stages { get; }

    /// <summary>Finds the blocks of a graph.</summary>
    public static ResidualBlocks Find(ModelGraph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        Dictionary<string, Node> producers = graph.Producers();
        Dictionary<string, List<Node>> consumers = graph.Consumers();
        ShapeInference types = ShapeInference.Run(graph);
        HashSet<string> outputs = [.. graph.Outputs.Select(o => o.Name)];
        var candidates = new List<ResidualBlock>();
        var stages = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (Node sum in graph.Nodes.Where(n => n.OpType == "Add" && n.Inputs.Count == 2))
        {
            string a = sum.Input(0), b = sum.Input(1);
            if (!Computed(a) || !Computed(b)) continue;
            HashSet<string> behindA = Ancestors(a), behindB = Ancestors(b);
            if (!behindA.Overlaps(behindB)) continue;
            string stage = types.TypeOf(sum.Output(0))?.Shape is { } shape ? string.Join("x", shape.Skip(1).Select(d => d.ToString())) : "";
            stages[stage] = stages.GetValueOrDefault(stage) + 1;
            // The later of the two is the branch: it depends on the earlier.
            (string shortcut, string branch) = behindB.Contains(a) ? (a, b) : behindA.Contains(b) ? (b, a) : ("", "");
            if (shortcut.Length == 0 || outputs.Contains(sum.Output(0))) continue;
            if (Branch(shortcut, branch) is not { } nodes) continue;
            HashSet<Node> inside = [.. nodes, sum];
            if (nodes.Any(n => n.Outputs.Any(o => outputs.Contains(o) || consumers.GetValueOrDefault(o, []).Any(c => !inside.Contains(c))))) continue;
            Node[] ordered = [.. graph.Nodes.Where(nodes.Contains)];
            Node first = ordered.FirstOrDefault(n => n.Inputs.Any(graph.Weights.ContainsKey)) ?? ordered[0];
            candidates.Add(new ResidualBlock(first.Name, sum, shortcut, branch, ordered, stage));
        }
        return new ResidualBlocks(graph, candidates, stages);

        bool Computed(string value) => producers.ContainsKey(value) || graph.Inputs.Any(i => i.Name == value);

        HashSet<string> Ancestors(string value)
        {
            var seen = new HashSet<string>(StringComparer.Ordinal);
            var open = new Stack<string>([value]);
            while (open.TryPop(out string? v))
            {
                if (graph.Weights.ContainsKey(v) || !seen.Add(v) || !producers.TryGetValue(v, out Node? node)) continue;
                foreach (string input in node.Inputs.Where(i => i.Length > 0)) open.Push(input);
            }
            return seen;
        }

        // The nodes between, or null when the branch depends on something else that is computed.
        HashSet<Node>? Branch(string from, string to)
        {
            var nodes = new HashSet<Node>(ReferenceEqualityComparer.Instance);
            var open = new Stack<string>([to]);
            while (open.TryPop(out string? v))
            {
                if (v == from || graph.Weights.ContainsKey(v)) continue;
                if (!producers.TryGetValue(v, out Node? node)) return null;
                if (!nodes.Add(node)) continue;
                foreach (string input in node.Inputs.Where(i => i.Length > 0)) open.Push(input);
            }
            return nodes.Any(n => n.Inputs.Contains(from)) ? nodes : null;
        }
    }

    /// <summary>Candidates of stages that keep at least so many blocks.</summary>
    /// <param name="least">Blocks that every stage keeps.</param>
    public IEnumerable<ResidualBlock> Removable(int least) => Candidates.Where(c => Stages[c.Stage] > least);

    /// <summary>The graph without blocks: whoever used their sums uses the shortcuts, and what nobody uses any more is gone. Weights that stay keep their values.</summary>
    public ModelGraph Without(params IEnumerable<ResidualBlock> blocks)
    {
        ArgumentNullException.ThrowIfNull(blocks);
        ModelGraph result = Graph.Clone();
        var renamed = new Dictionary<string, string>(StringComparer.Ordinal);
        var gone = new HashSet<string>(StringComparer.Ordinal);
        foreach (ResidualBlock block in blocks)
        {
            renamed[block.Sum.Output(0)] = block.Shortcut;
            foreach (Node node in block.Nodes.Append(block.Sum)) gone.UnionWith(node.Outputs.Where(o => o.Length > 0));
        }
        result.Nodes.RemoveAll(n => n.Outputs.Any(gone.Contains));
        foreach (Node node in result.Nodes)
        {
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                // A shortcut may itself be the sum of a block that goes too.
                while (renamed.TryGetValue(node.Inputs[i], out string? shortcut)) node.Inputs[i] = shortcut;
            }
        }
        HashSet<string> used = [.. result.Nodes.SelectMany(n => n.Inputs), .. result.Outputs.Select(o => o.Name)];
        foreach (string name in result.Weights.Keys.Where(w => !used.Contains(w)).ToArray()) result.Weights.Remove(name);
        return result;
    }

    /// <summary>Sets a block's branch to zero in a model: scale and shift of its last norm, or weight and bias of its last layer where it has none.</summary>
    /// <exception cref="PruningException">SL4009: the branch ends in something that cannot be silenced.</exception>
    public static void Silence(TrainableModel model, ResidualBlock block)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(block);
        Node last = block.Nodes.First(n => n.Outputs.Contains(block.Branch));
        Parameter[] parameters = [.. last.Inputs.Skip(1).Select(model.FindParameter).OfType<Parameter>()];
        if (last.OpType is not ("BatchNormalization" or "Conv" or "Gemm" or "MatMul" or "LayerNormalization") || parameters.Length == 0)
            throw new PruningException("SL4009", $"the branch of block '{block.Name}' ends in {last.OpType}, which cannot be set to zero") { Try = "another score" };
        foreach (Parameter p in parameters)
        {
            p.Value.Values.Clear();
            p.TouchValues();
        }
    }
}

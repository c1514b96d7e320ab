using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Passes;

/// <summary>Turns a causal language model into one that continues: its attentions keep their keys and values, and positions count from what was seen.</summary>
/// <remarks>
/// Works on any graph whose attentions are causal Attention nodes and whose positions come from a Range that starts at zero,
/// from an input of positions, or from nowhere. Whether that is all that looks along the sequence is checked by running it
/// (see <see cref="TextGenerator"/>).
/// </remarks>
internal sealed class KeyValueCachePass : IGraphPass
{
    /// <summary>Attribute that numbers the attentions.</summary>
    public const string IndexAttribute = "cache_index";

    /// <summary>Input that the pass adds: how many tokens were seen, an integer scalar.</summary>
    public const string PastLength = "sparseland.past_length";

    public string Name => "key/value cache";

    /// <summary>Why the graph cannot keep a cache; null after a successful pass.</summary>
    public string? Refusal { get; private set; }

    /// <summary>The shortest table of positions that bounds the sequence; null when there is none.</summary>
    public int? ContextLength { get; private set; }

    public int Apply(ModelGraph graph)
    {
        ContextLength = FindContextLength(graph);
        List<Node> attentions = [.. graph.Nodes.Where(n => n.OpType == "Attention" && n.Domain.Length == 0)];
        Refusal = Refuse(graph, attentions);
        if (Refusal is not null) return 0;
        for (int i = 0; i < attentions.Count; i++)
        {
            attentions[i].Domain = FusionPass.Domain;
            attentions[i].Attributes.Set(IndexAttribute, (long)i);
        }
        int ranges = OffsetPositions(graph);
        return attentions.Count + ranges;
    }

    /// <summary>Rows of the smallest constant table that is read by position: rotary angles or learned positions.</summary>
    internal static int? FindContextLength(ModelGraph graph)
    {
        int? length = null;
        var positions = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            string? table = null;
            if (node.OpType == "Range") positions.Add(node.Outputs[0]);
            else if (node.OpType is "Expand" or "Unsqueeze" or "Add" or "Cast" or "Reshape" && positions.Contains(node.Inputs[0])) positions.Add(node.Outputs[0]);
            else if (node.OpType == "RotaryEmbedding" && node.HasInput(3)) table = node.Inputs[1];
            else if (node.OpType == "Gather" && positions.Contains(node.Inputs[1])) table = node.Inputs[0];
            if (table is not null && graph.Weights.TryGetValue(table, out Weight? weight) && weight.Shape.Length == 2) length = Math.Min(length ?? int.MaxValue, weight.Shape[0]);
        }
        return length;
    }

    private static string? Refuse(ModelGraph graph, List<Node> attentions)
    {
        if (attentions.Count == 0) return "the graph has no Attention node";
        if (graph.Nodes.Any(n => GraphOrder.Bodies(n).Any())) return "the graph has subgraphs";
        foreach (Node node in attentions)
        {
            if (node.Attributes.Int("is_causal", 0) == 0) return $"attention '{node.Name}' is not causal";
            if (node.HasInput(3)) return $"attention '{node.Name}' has a mask";
            if (node.HasInput(4) || node.HasInput(6) || node.Outputs.Skip(1).Any(o => o.Length > 0)) return $"attention '{node.Name}' has a cache of its own";
        }
        return null;
    }

    private static int OffsetPositions(ModelGraph graph)
    {
        int changes = 0;
        var index = new GraphIndex(graph);
        foreach (Node range in graph.Nodes.ToArray())
        {
            if (range.OpType != "Range" || range.Domain.Length > 0) continue;
            if (index.Constant(range.Inputs[0]) is not { ElementType: ElementType.Int64, Length: 1 } start || start.ToInt64s()[0] != 0) continue;
            string value = range.Outputs[0], counted = value + ".counted";
            GraphIndex.ReplaceReads(graph, value, counted);
            graph.Nodes.Insert(graph.Nodes.IndexOf(range) + 1, new Node(range.Name + ".counted", "Add", [value, PastLength], [counted]));
            changes++;
        }
        if (changes > 0) graph.Inputs.Add(new GraphValue(PastLength, new TensorType(ElementType.Int64, TensorShape.Scalar)));
        return changes;
    }
}

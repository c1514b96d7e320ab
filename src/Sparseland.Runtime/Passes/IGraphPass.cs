using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Passes;

/// <summary>A rewrite of a graph that keeps its results.</summary>
internal interface IGraphPass
{
    /// <summary>The name that the plan prints.</summary>
    string Name { get; }

    /// <summary>Rewrites the graph in place; returns how many changes it made.</summary>
    int Apply(ModelGraph graph);
}

/// <summary>What one pass did.</summary>
/// <param name="Name">The pass.</param>
/// <param name="Changes">Number of rewrites.</param>
public sealed record PassResult(string Name, int Changes);

/// <summary>Small questions that several passes ask about a graph.</summary>
internal sealed class GraphIndex
{
    private readonly ModelGraph _graph;
    private readonly Dictionary<string, Node> _producers;
    private readonly Dictionary<string, int> _readers = new(StringComparer.Ordinal);
    private readonly HashSet<string> _outputs;

    public GraphIndex(ModelGraph graph)
    {
        _graph = graph;
        _producers = graph.Producers();
        foreach (Node node in graph.Nodes)
        {
            foreach (string name in GraphOrder.Reads(node)) _readers[name] = _readers.GetValueOrDefault(name) + 1;
        }
        _outputs = [.. graph.Outputs.Select(o => o.Name)];
    }

    /// <summary>The node that makes a value, or null.</summary>
    public Node? Producer(string value) => _producers.GetValueOrDefault(value);

    /// <summary>Whether exactly one node reads a value and it is no graph output.</summary>
    public bool HasOneReader(string value) => _readers.GetValueOrDefault(value) == 1 && !_outputs.Contains(value);

    /// <summary>Whether the value is a graph output.</summary>
    public bool IsOutput(string value) => _outputs.Contains(value);

    /// <summary>The constant behind a name, or null.</summary>
    public TensorData? Constant(string name) => name.Length > 0 && _graph.Weights.TryGetValue(name, out Weight? w) ? w.Read() : null;

    /// <summary>A weight name that is not taken.</summary>
    public static string FreshWeightName(ModelGraph graph, string hint)
    {
        string name = hint;
        for (int i = 1; graph.Weights.ContainsKey(name); i++) name = $"{hint}_{i}";
        return name;
    }

    /// <summary>Lets every reader of <paramref name="from"/> read <paramref name="to"/>, subgraphs included.</summary>
    public static void ReplaceReads(ModelGraph graph, string from, string to)
    {
        foreach (Node node in graph.Nodes)
        {
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                if (node.Inputs[i] == from) node.Inputs[i] = to;
            }
            foreach (ModelGraph body in GraphOrder.Bodies(node)) ReplaceReads(body, from, to);
        }
        for (int i = 0; i < graph.Outputs.Count; i++)
        {
            if (graph.Outputs[i].Name == from) graph.Outputs[i] = graph.Outputs[i] with { Name = to };
        }
    }
}

namespace Sparseland.Model.Graph;

/// <summary>A graph input or output.</summary>
/// <param name="Name">The value's name.</param>
/// <param name="Type">What is known about it.</param>
public sealed record GraphValue(string Name, TensorType Type)
{
    /// <summary>The ONNX type in text when the value is no tensor of our element types, such as <c>seq(tensor(float))</c>; else null.</summary>
    /// <remarks>Such values are carried from file to file; nothing here computes with them.</remarks>
    public string? ForeignType { get; init; }
}

/// <summary>The one model type: ONNX semantics, named weights, typed values.</summary>
/// <remarks>
/// Values are named once (static single assignment). <see cref="Nodes"/> are in topological order. A value is a graph
/// input, a weight or a node's output. Semantics are those of ONNX opset 23; readers bring older files up to it.
/// </remarks>
public sealed class ModelGraph
{
    /// <summary>The opset whose semantics every graph in memory has.</summary>
    public const int Opset = 23;

    /// <summary>An empty graph.</summary>
    public ModelGraph(string name) => Name = name;

    /// <summary>The graph's name.</summary>
    public string Name { get; set; }

    /// <summary>Nodes in topological order.</summary>
    public List<Node> Nodes { get; } = [];

    /// <summary>The inputs that a caller feeds (weights are not among them).</summary>
    public List<GraphValue> Inputs { get; } = [];

    /// <summary>The outputs, in order.</summary>
    public List<GraphValue> Outputs { get; } = [];

    /// <summary>The weights by name, in the order in which they were added.</summary>
    public OrderedDictionary<string, Weight> Weights { get; } = new(StringComparer.Ordinal);

    /// <summary>Free text that travels with the model: architecture, input normalisation, class names, recipe.</summary>
    public SortedDictionary<string, string> Metadata { get; } = new(StringComparer.Ordinal);

    /// <summary>Versions of the operator domains other than the standard one.</summary>
    public SortedDictionary<string, int> CustomDomains { get; } = new(StringComparer.Ordinal);

    /// <summary>Adds a weight under its own name.</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public Weight AddWeight(Weight weight)
    {
        if (!Weights.TryAdd(weight.Name, weight)) throw new GraphException("SL2002", $"weight '{weight.Name}' exists already");
        return weight;
    }

    /// <summary>Every node that produces a value, by value name.</summary>
    public Dictionary<string, Node> Producers()
    {
        var producers = new Dictionary<string, Node>(StringComparer.Ordinal);
        foreach (Node node in Nodes)
        {
            foreach (string output in node.Outputs)
            {
                if (output.Length > 0) producers[output] = node;
            }
        }
        return producers;
    }

    /// <summary>Every node that reads a value, by value name, in order.</summary>
    public Dictionary<string, List<Node>> Consumers()
    {
        var consumers = new Dictionary<string, List<Node>>(StringComparer.Ordinal);
        foreach (Node node in Nodes)
        {
            foreach (string input in node.Inputs.Where(i => i.Length > 0).Distinct())
            {
                if (!consumers.TryGetValue(input, out List<Node>? list)) consumers[input] = list = [];
                list.Add(node);
            }
        }
        return consumers;
    }

    /// <summary>An independent copy; values in files stay there.</summary>
    public ModelGraph Clone()
    {
        var copy = new ModelGraph(Name);
        foreach (Node node in Nodes) copy.Nodes.Add(node.Clone());
        copy.Inputs.AddRange(Inputs);
        copy.Outputs.AddRange(Outputs);
        foreach (Weight weight in Weights.Values) copy.AddWeight(weight.Clone());
        foreach ((string key, string value) in Metadata) copy.Metadata[key] = value;
        foreach ((string key, int value) in CustomDomains) copy.CustomDomains[key] = value;
        return copy;
    }
}

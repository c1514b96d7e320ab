using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Upgrade;

/// <summary>What an upgrade step may see and do while one node is read.</summary>
internal sealed class UpgradeContext(ModelGraph graph, OnnxGraphReader.Scope scope, OnnxNames values, OnnxNames nodeNames, HashSet<string> read, int version, string where)
{
    private readonly List<Node> _after = [];

    /// <summary>The opset in which the node is written.</summary>
    internal int Version { get; } = version;

    /// <summary>What is declared or known about a value; null when nothing is.</summary>
    internal TensorType? TypeOf(string value) => scope.TypeOf(value);

    /// <summary>The value when it is a weight; null otherwise.</summary>
    internal TensorData? ConstantOf(string value) => scope.ConstantOf(value);

    /// <summary>Whether something reads the value.</summary>
    internal bool IsRead(string value) => value.Length > 0 && read.Contains(value);

    /// <summary>Adds a constant and returns its name.</summary>
    internal string Constant(Node node, string hint, TensorData data)
    {
        string name = values.Fresh($"{Prefix(node)}_{hint}");
        graph.AddWeight(new Weight(name, data));
        return name;
    }

    /// <summary>A name for a new value.</summary>
    internal string Value(Node node, string hint) => values.Fresh($"{Prefix(node)}_{hint}");

    /// <summary>Adds a node before the one that is upgraded.</summary>
    internal void Before(Node node, string opType, string[] inputs, string output, Action<NodeAttributes>? attributes = null) =>
        graph.Nodes.Add(Make(node, opType, inputs, output, attributes));

    /// <summary>Adds a node behind the one that is upgraded.</summary>
    internal void After(Node node, string opType, string[] inputs, string output, Action<NodeAttributes>? attributes = null) =>
        _after.Add(Make(node, opType, inputs, output, attributes));

    /// <summary>An error that names the node.</summary>
    internal ModelFormatException Error(string message) => OnnxErrors.OldForm(where, message);

    /// <summary>Puts the upgraded node into the graph.</summary>
    internal void Finish(Node node)
    {
        graph.Nodes.Add(node);
        graph.Nodes.AddRange(_after);
    }

    private Node Make(Node node, string opType, string[] inputs, string output, Action<NodeAttributes>? attributes)
    {
        var made = new Node(nodeNames.Fresh($"{node.Name}_{opType}"), opType, inputs, [output]);
        attributes?.Invoke(made.Attributes);
        return made;
    }

    private static string Prefix(Node node) => node.Outputs.Find(o => o.Length > 0) ?? node.Name;
}

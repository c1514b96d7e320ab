using System.Globalization;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Names that are in use, and fresh ones.</summary>
internal sealed class OnnxNames
{
    private readonly HashSet<string> _used = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _next = new(StringComparer.Ordinal);

    /// <summary>The domain's one spelling: the standard domain has two.</summary>
    internal static string Domain(string domain) => domain == "ai.onnx" ? "" : domain;

    /// <summary>Reserves every value name of a graph and of the graphs inside it.</summary>
    internal void AddAll(GraphProto graph, string path, int depth = 0)
    {
        if (depth > OnnxReader.MaxDepth) throw OnnxErrors.TooDeep(path);
        foreach (ValueInfoProto v in graph.Input) _used.Add(v.Name);
        foreach (TensorProto t in graph.Initializer) _used.Add(t.Name);
        foreach (NodeProto n in graph.Node) AddAll(n, path, depth);
    }

    /// <summary>Reserves every value name of a node and of the graphs inside it.</summary>
    internal void AddAll(NodeProto node, string path, int depth)
    {
        _used.UnionWith(node.Output);
        foreach (AttributeProto a in node.Attribute)
        {
            if (a.G is not null) AddAll(a.G, path, depth + 1);
            foreach (GraphProto g in a.Graphs) AddAll(g, path, depth + 1);
        }
    }

    /// <summary>Reserves a name.</summary>
    /// <returns>Whether it was free.</returns>
    internal bool Add(string name) => _used.Add(name);

    /// <summary>A name that nothing else has: the wish itself, or the wish with a number.</summary>
    internal string Fresh(string wish)
    {
        if (wish.Length > 0 && _used.Add(wish)) return wish;
        int number = _next.GetValueOrDefault(wish);
        string name;
        do name = wish + "_" + (++number).ToString(CultureInfo.InvariantCulture);
        while (!_used.Add(name));
        _next[wish] = number;
        return name;
    }

    /// <summary>Every operator domain that a graph and the graphs inside it use.</summary>
    internal static SortedSet<string> DomainsOf(ModelGraph graph)
    {
        var domains = new SortedSet<string>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            domains.Add(node.Domain);
            foreach (ModelGraph body in GraphOrder.Bodies(node)) domains.UnionWith(DomainsOf(body));
        }
        return domains;
    }
}

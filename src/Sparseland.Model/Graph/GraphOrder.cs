namespace Sparseland.Model.Graph;

/// <summary>Topological order of nodes and the names that nodes read.</summary>
public static class GraphOrder
{
    /// <summary>Every value name that a node reads: its inputs and what the graphs in its attributes capture from outside.</summary>
    public static IEnumerable<string> Reads(Node node)
    {
        foreach (string input in node.Inputs)
        {
            if (input.Length > 0) yield return input;
        }
        foreach (ModelGraph body in Bodies(node))
        {
            foreach (string name in Captures(body)) yield return name;
        }
    }

    /// <summary>The graphs in a node's attributes.</summary>
    public static IEnumerable<ModelGraph> Bodies(Node node)
    {
        foreach (string key in node.Attributes.Names)
        {
            object? value = node.Attributes.Value(key);
            if (value is ModelGraph graph) yield return graph;
            else if (value is ModelGraph[] graphs)
            {
                foreach (ModelGraph g in graphs) yield return g;
            }
        }
    }

    /// <summary>The names that a body reads but does not define: they come from the graph around it.</summary>
    public static IReadOnlyCollection<string> Captures(ModelGraph body)
    {
        var defined = new HashSet<string>(body.Weights.Keys, StringComparer.Ordinal);
        foreach (GraphValue input in body.Inputs) defined.Add(input.Name);
        foreach (Node node in body.Nodes) defined.UnionWith(node.Outputs);
        var captured = new OrderedDictionary<string, bool>(StringComparer.Ordinal);
        foreach (string name in body.Nodes.SelectMany(Reads).Concat(body.Outputs.Select(o => o.Name)))
        {
            if (!defined.Contains(name)) captured[name] = true;
        }
        return captured.Keys;
    }

    /// <summary>Sorts the graph's nodes topologically in place; an order that is valid already is kept.</summary>
    /// <exception cref="GraphException">SL2007: the nodes form a cycle.</exception>
    public static void Sort(ModelGraph graph)
    {
        List<Node> sorted = Sorted(graph);
        graph.Nodes.Clear();
        graph.Nodes.AddRange(sorted);
    }

    /// <summary>The graph's nodes in a topological order that changes the present order as little as possible.</summary>
    /// <exception cref="GraphException">SL2007: the nodes form a cycle.</exception>
    public static List<Node> Sorted(ModelGraph graph)
    {
        Dictionary<string, Node> producers = graph.Producers();
        var sorted = new List<Node>(graph.Nodes.Count);
        var state = new Dictionary<Node, bool>(ReferenceEqualityComparer.Instance);
        var stack = new Stack<(Node Node, IEnumerator<string> Reads)>();
        foreach (Node root in graph.Nodes)
        {
            if (state.ContainsKey(root)) continue;
            state[root] = false;
            stack.Push((root, Reads(root).GetEnumerator()));
            while (stack.Count > 0)
            {
                (Node node, IEnumerator<string> reads) = stack.Peek();
                if (!reads.MoveNext())
                {
                    stack.Pop();
                    state[node] = true;
                    sorted.Add(node);
                    continue;
                }
                if (!producers.TryGetValue(reads.Current, out Node? producer)) continue;
                if (!state.TryGetValue(producer, out bool done))
                {
                    state[producer] = false;
                    stack.Push((producer, Reads(producer).GetEnumerator()));
                }
                else if (!done)
                {
                    string cycle = string.Join(" <- ", stack.Select(s => s.Node.Name).TakeWhile(n => n != producer.Name).Append(producer.Name));
                    throw new GraphException("SL2007", $"graph '{graph.Name}' has a cycle: {cycle} <- {node.Name}")
                    {
                        Where = $"node '{node.Name}' reads '{reads.Current}'",
                    };
                }
            }
        }
        return sorted;
    }
}

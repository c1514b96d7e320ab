using Sparseland.Model.Operators;

namespace Sparseland.Model.Graph;

/// <summary>Checks that a graph obeys the rules: names unique, values defined before use, operators known, arity right.</summary>
public static class GraphValidator
{
    /// <summary>Throws the first violation.</summary>
    /// <param name="graph">The graph; bodies of If, Loop and Scan are checked as well.</param>
    /// <param name="allowUnknownOperators">True to accept operators that cannot be executed here (for inspection).</param>
    /// <exception cref="GraphException">A rule is broken (SL2002, SL2003, SL2006, SL2007).</exception>
    /// <exception cref="UnsupportedOperatorException">An operator is not known.</exception>
    public static void Validate(ModelGraph graph, bool allowUnknownOperators = false)
    {
        foreach (SparselandException violation in Violations(graph, allowUnknownOperators)) throw violation;
    }

    /// <summary>Every violation, in the order in which they are met.</summary>
    public static IEnumerable<SparselandException> Violations(ModelGraph graph, bool allowUnknownOperators = false)
    {
        ArgumentNullException.ThrowIfNull(graph);
        return Violations(graph, allowUnknownOperators, []);
    }

    /// <summary>The operators that a graph uses and that are not known here, with the nodes that use them.</summary>
    public static IReadOnlyList<UnsupportedOperatorException> UnsupportedOperators(ModelGraph graph)
    {
        var found = new List<UnsupportedOperatorException>();
        foreach (Node node in graph.Nodes)
        {
            if (OperatorRegistry.Find(node.OpType, node.Domain) is null) found.Add(new(node.Name, node.Domain, node.OpType));
            foreach (ModelGraph body in GraphOrder.Bodies(node)) found.AddRange(UnsupportedOperators(body));
        }
        return found;
    }

    private static IEnumerable<SparselandException> Violations(ModelGraph graph, bool allowUnknown, HashSet<string> outer)
    {
        var defined = new HashSet<string>(outer, StringComparer.Ordinal);
        var own = new HashSet<string>(StringComparer.Ordinal);
        foreach ((string key, Weight weight) in graph.Weights)
        {
            if (key != weight.Name) yield return new GraphException("SL2002", $"weight '{weight.Name}' is listed as '{key}'");
            own.Add(key);
        }
        foreach (GraphValue input in graph.Inputs)
        {
            if (!own.Add(input.Name)) yield return new GraphException("SL2002", $"graph input '{input.Name}' has the name of another value");
        }
        defined.UnionWith(own);

        Dictionary<string, Node> producers = graph.Producers();
        var nodeNames = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            if (!nodeNames.Add(node.Name)) yield return new GraphException("SL2002", $"two nodes are named '{node.Name}'") { Where = node.ToString() };
            Operator? known = OperatorRegistry.Find(node.OpType, node.Domain);
            if (known is null && !allowUnknown) yield return new UnsupportedOperatorException(node.Name, node.Domain, node.OpType);
            if (known is not null && Arity(node, known) is { } arity) yield return arity;

            foreach (string name in node.Inputs.Where(i => i.Length > 0))
            {
                if (!defined.Contains(name)) yield return Missing(graph, node, name, producers);
            }
            foreach (ModelGraph body in GraphOrder.Bodies(node))
            {
                foreach (SparselandException inner in Violations(body, allowUnknown, defined)) yield return inner;
            }
            foreach (string output in node.Outputs.Where(o => o.Length > 0))
            {
                if (!own.Add(output)) yield return new GraphException("SL2002", $"value '{output}' is defined twice") { Where = node.ToString() };
                defined.Add(output);
            }
        }
        foreach (GraphValue output in graph.Outputs)
        {
            if (!defined.Contains(output.Name))
                yield return new GraphException("SL2006", $"graph output '{output.Name}' is produced by no node") { Where = $"graph '{graph.Name}'" };
        }
    }

    private static GraphException? Arity(Node node, Operator known)
    {
        // A list may be cut short after the last input that is present.
        if (node.Inputs.Count < known.MinInputs)
            return new GraphException("SL2003", $"{node.OpType} node '{node.Name}' lists {node.Inputs.Count} inputs, at least {known.MinInputs} are needed") { Where = node.ToString() };
        if (node.Inputs.Count > known.MaxInputs)
            return new GraphException("SL2003", $"{node.OpType} node '{node.Name}' lists {node.Inputs.Count} inputs, at most {known.MaxInputs} are allowed") { Where = node.ToString() };
        if (node.Outputs.Count > known.MaxOutputs)
            return new GraphException("SL2003", $"{node.OpType} node '{node.Name}' lists {node.Outputs.Count} outputs, at most {known.MaxOutputs} are allowed") { Where = node.ToString() };
        return null;
    }

    private static GraphException Missing(ModelGraph graph, Node node, string name, Dictionary<string, Node> producers)
    {
        if (producers.TryGetValue(name, out Node? producer))
        {
            try
            {
                GraphOrder.Sorted(graph);
            }
            catch (GraphException cycle)
            {
                return cycle;
            }
            return new GraphException("SL2007", $"{node.OpType} node '{node.Name}' reads '{name}' before node '{producer.Name}' computes it")
            {
                Where = node.ToString(),
                Try = "sort the nodes topologically (GraphOrder.Sort)",
            };
        }
        return new GraphException("SL2006", $"{node.OpType} node '{node.Name}' reads '{name}', which is no input, no weight and no node's output") { Where = node.ToString() };
    }
}

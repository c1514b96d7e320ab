using Sparseland.Model.Operators;

namespace Sparseland.Model.Graph;

/// <summary>Runs a graph node by node through <see cref="Operator.Evaluate"/>: the reference that both executors are held to.</summary>
public static class GraphEvaluator
{
    /// <summary>Runs the graph.</summary>
    /// <param name="graph">A valid graph.</param>
    /// <param name="inputs">One tensor per graph input, by name.</param>
    /// <param name="seed">Seed of the operators that draw random numbers.</param>
    /// <param name="cancellation">Stops between nodes.</param>
    /// <returns>The graph's outputs by name, in the graph's order.</returns>
    /// <exception cref="GraphException">An input is missing or of the wrong type or shape, or a node cannot be computed.</exception>
    /// <exception cref="UnsupportedOperatorException">A node's operator is not known.</exception>
    public static OrderedDictionary<string, TensorData> Run(ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs,
        int seed = 0, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(inputs);
        var values = new List<TensorData>();
        foreach (GraphValue input in graph.Inputs)
        {
            if (!inputs.TryGetValue(input.Name, out TensorData? value))
                throw new GraphException("SL2008", $"input '{input.Name}' of graph '{graph.Name}' was not given; it is {input.Type}");
            CheckFeed(input, value);
            values.Add(value);
        }
        TensorData[] outputs = RunBody(graph, values, _ => null, new Random(seed), cancellation);
        var result = new OrderedDictionary<string, TensorData>(StringComparer.Ordinal);
        for (int i = 0; i < outputs.Length; i++) result[graph.Outputs[i].Name] = outputs[i];
        return result;
    }

    /// <summary>Whether a value can be what a type promises: same element type, same rank, same known dimensions.</summary>
    public static bool Fits(TensorType type, TensorData value)
    {
        if (type.ElementType != ElementType.Undefined && type.ElementType != value.ElementType) return false;
        if (type.Shape is null) return true;
        if (type.Shape.Rank != value.Rank) return false;
        for (int i = 0; i < value.Rank; i++)
        {
            if (type.Shape[i].IsKnown && type.Shape[i].Value != value.Shape[i]) return false;
        }
        return true;
    }

    internal static TensorData[] RunBody(ModelGraph graph, IReadOnlyList<TensorData> inputs, Func<string, TensorData?> outer, Random random, CancellationToken cancellation)
    {
        var values = new Dictionary<string, TensorData?>(StringComparer.Ordinal);
        for (int i = 0; i < graph.Inputs.Count; i++)
        {
            if (i >= inputs.Count) throw new GraphException("SL2008", $"graph '{graph.Name}' has {graph.Inputs.Count} inputs; {inputs.Count} were given");
            values[graph.Inputs[i].Name] = inputs[i];
        }

        TensorData? Find(string name) => values.TryGetValue(name, out TensorData? value)
            ? value
            : graph.Weights.TryGetValue(name, out Weight? weight) ? weight.Read() : outer(name);

        // A value is dropped after its last reader, so that memory is what the network needs and not what it ever made.
        var lastRead = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int n = 0; n < graph.Nodes.Count; n++)
        {
            foreach (string name in GraphOrder.Reads(graph.Nodes[n])) lastRead[name] = n;
        }
        foreach (GraphValue output in graph.Outputs) lastRead[output.Name] = int.MaxValue;

        for (int n = 0; n < graph.Nodes.Count; n++)
        {
            cancellation.ThrowIfCancellationRequested();
            Node node = graph.Nodes[n];
            Operator op = OperatorRegistry.Find(node.OpType, node.Domain) ?? throw new UnsupportedOperatorException(node.Name, node.Domain, node.OpType);
            var arguments = new TensorData?[node.Inputs.Count];
            for (int i = 0; i < arguments.Length; i++)
            {
                string name = node.Inputs[i];
                if (name.Length > 0) arguments[i] = Find(name) ?? throw new GraphException("SL2006", $"{node.OpType} node '{node.Name}' reads '{name}', which has no value");
            }
            TensorData?[] results = Evaluate(op, new EvaluationContext(node, arguments) { Random = random, Outer = Find, Cancellation = cancellation });
            for (int i = 0; i < node.Outputs.Count; i++)
            {
                string name = node.Outputs[i];
                if (name.Length == 0 || !lastRead.ContainsKey(name)) continue;
                values[name] = (i < results.Length ? results[i] : null) ?? throw new GraphException("SL2003", $"{node.OpType} node '{node.Name}' did not compute output {i} ('{name}')");
            }
            foreach (string name in GraphOrder.Reads(node))
            {
                if (lastRead[name] == n) values.Remove(name);
            }
        }
        return [.. graph.Outputs.Select(o => Find(o.Name) ?? throw new GraphException("SL2006", $"graph output '{o.Name}' has no value"))];
    }

    /// <summary>Evaluates one node; errors of array code underneath become errors that name the node.</summary>
    public static TensorData?[] Evaluate(Operator op, EvaluationContext context)
    {
        try
        {
            return op.Evaluate(context);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or IndexOutOfRangeException or OverflowException or DivideByZeroException or NotSupportedException)
        {
            GraphException named = context.Error(e.Message);
            throw new GraphException(named.Code, named.Message, e) { Where = named.Where };
        }
    }

    private static void CheckFeed(GraphValue input, TensorData value)
    {
        if (!Fits(input.Type, value))
            throw new GraphException("SL2008", $"input '{input.Name}' must be {input.Type}; the tensor given is {value}");
    }
}

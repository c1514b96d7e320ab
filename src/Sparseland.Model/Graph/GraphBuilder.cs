namespace Sparseland.Model.Graph;

/// <summary>A value of a graph under construction.</summary>
public sealed class Value
{
    internal Value(string name, TensorType? type)
    {
        Name = name;
        Type = type;
    }

    /// <summary>Stands for an optional input that is left out.</summary>
    public static Value None { get; } = new("", null);

    /// <summary>The value's name in the graph; empty for <see cref="None"/>.</summary>
    public string Name { get; internal set; }

    /// <summary>What is known about it; null behind operators without shape inference.</summary>
    public TensorType? Type { get; }

    /// <summary>The shape, as far as it is known.</summary>
    public TensorShape? Shape => Type?.Shape;

    /// <summary>The size of a dimension; negative axes count from the end.</summary>
    /// <exception cref="InvalidOperationException">The size is not known.</exception>
    public int Size(int axis)
    {
        if (Shape is not { } shape) throw new InvalidOperationException($"Nothing is known about the shape of '{Name}'.");
        Dimension d = shape[axis < 0 ? axis + shape.Rank : axis];
        return d.IsKnown ? d.Value : throw new InvalidOperationException($"Dimension {axis} of '{Name}' {shape} is not known.");
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Type?.ToString() ?? "?"}";
}

/// <summary>Writes a <see cref="ModelGraph"/>: how architectures and tests make graphs.</summary>
/// <remarks>
/// Every node is inferred when it is added, so a wrong shape fails on the line that wrote it.
/// <code>
/// var g = new GraphBuilder("lenet", seed: 1);
/// Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 1, 28, 28);
/// Value h = g.Relu(g.Conv(x, "conv1", outChannels: 6, kernel: 5, padding: 2));
/// Value y = g.Linear(g.Flatten(h), "classifier", outFeatures: 10);
/// ModelGraph model = g.Output("logits", y).Build();
/// </code>
/// </remarks>
public sealed partial class GraphBuilder
{
    private readonly ModelGraph _graph;
    private readonly ShapeInference _inference;
    private readonly HashSet<string> _nodeNames = new(StringComparer.Ordinal);
    private readonly HashSet<string> _valueNames = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Value> _values = new(StringComparer.Ordinal);
    private readonly List<Value> _outputs = [];
    private string _prefix = "";

    /// <summary>Starts an empty graph.</summary>
    /// <param name="name">The graph's name.</param>
    /// <param name="seed">Seed of the weights that are drawn; each weight's values depend on the seed and its own name only.</param>
    public GraphBuilder(string name, int seed = 0)
    {
        _graph = new ModelGraph(name);
        _inference = new ShapeInference(_graph);
        Seed = seed;
    }

    /// <summary>Seed of the weights that are drawn.</summary>
    public int Seed { get; }

    /// <summary>Free text that travels with the model.</summary>
    public IDictionary<string, string> Metadata => _graph.Metadata;

    /// <summary>Puts "<paramref name="name"/>." before the names of weights and nodes until it is disposed.</summary>
    public IDisposable Scope(string name)
    {
        string before = _prefix;
        _prefix = before + name + ".";
        return new ScopeEnd(this, before);
    }

    /// <summary>Adds a graph input.</summary>
    public Value Input(string name, ElementType type, params ReadOnlySpan<Dimension> shape)
    {
        var tensor = new TensorType(type, new TensorShape(shape));
        Claim(name);
        _graph.Inputs.Add(new GraphValue(name, tensor));
        _inference.SetInput(name, tensor);
        return Remember(name);
    }

    /// <summary>Adds a weight with given values. Its name is <paramref name="name"/> behind the open scopes.</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public Value Weight(string name, TensorData data)
    {
        name = _prefix + name;
        Claim(name);
        _graph.AddWeight(new Weight(name, data));
        return Remember(name);
    }

    /// <summary>Adds a weight that is drawn now, from the builder's seed and the weight's name.</summary>
    public Value Weight(string name, Initializer initializer, params ReadOnlySpan<int> shape)
    {
        if (!StructureOnly) return Weight(name, initializer.Create(Initializer.RandomFor(Seed, _prefix + name), shape));
        name = _prefix + name;
        Claim(name);
        _graph.AddWeight(new Weight(name, new UndrawnStorage(shape.ToArray())));
        return Remember(name);
    }

    /// <summary>Whether drawn weights are left out, as when a checkpoint's values will take their places.</summary>
    internal bool StructureOnly { get; init; }

    /// <summary>Adds a constant (a weight with a name that is made up).</summary>
    public Value Constant(TensorData data, string hint = "constant")
    {
        string name = Unique(_prefix + hint, _valueNames);
        _graph.AddWeight(new Weight(name, data));
        return Remember(name);
    }

    /// <summary>A constant vector of 64-bit integers.</summary>
    public Value Integers(params long[] values) => Constant(TensorData.Vector(values), "integers");

    /// <summary>A constant scalar.</summary>
    public Value Scalar(float value) => Constant(TensorData.Scalar(value), "scalar");

    /// <summary>Adds a node with one output.</summary>
    /// <param name="opType">The operator's ONNX name.</param>
    /// <param name="inputs">The inputs; <see cref="Value.None"/> leaves one out.</param>
    /// <param name="attributes">Sets attributes; null for none.</param>
    /// <param name="name">The node's name behind the open scopes; null makes one up.</param>
    /// <param name="domain">The operator's domain; empty for the ONNX standard.</param>
    /// <exception cref="GraphException">The inputs break the operator's rules.</exception>
    public Value Add(string opType, ReadOnlySpan<Value> inputs, Action<NodeAttributes>? attributes = null, string? name = null, string domain = "") =>
        AddMany(opType, inputs, 1, attributes, name, domain)[0];

    /// <summary>Adds a node with several outputs.</summary>
    /// <inheritdoc cref="Add(string, ReadOnlySpan{Value}, Action{NodeAttributes}?, string?, string)"/>
    public Value[] AddMany(string opType, ReadOnlySpan<Value> inputs, int outputs, Action<NodeAttributes>? attributes = null, string? name = null, string domain = "")
    {
        string nodeName = name is null ? Unique(_prefix + opType, _nodeNames) : _prefix + name;
        if (name is not null && !_nodeNames.Add(nodeName)) throw new GraphException("SL2002", $"two nodes are named '{nodeName}'");
        int last = inputs.Length;
        while (last > 0 && inputs[last - 1].Name.Length == 0) last--;
        var names = new string[last];
        for (int i = 0; i < last; i++)
        {
            if (inputs[i].Name.Length > 0 && !_values.ContainsKey(inputs[i].Name))
                throw new GraphException("SL2006", $"{opType} node '{nodeName}' reads '{inputs[i].Name}', which belongs to another graph");
            names[i] = inputs[i].Name;
        }
        var results = new string[outputs];
        for (int i = 0; i < outputs; i++) results[i] = Unique(nodeName + (i == 0 ? ".out" : $".out{i}"), _valueNames);
        var node = new Node(nodeName, opType, names, results, domain);
        attributes?.Invoke(node.Attributes);
        _graph.Nodes.Add(node);
        _inference.Add(node);
        return Array.ConvertAll(results, Remember);
    }

    /// <summary>Makes a value a graph output under a name of its own.</summary>
    /// <exception cref="GraphException">The name is taken.</exception>
    public GraphBuilder Output(string name, Value value)
    {
        if (value.Name != name)
        {
            bool isNodeOutput = _graph.Producers().ContainsKey(value.Name);
            if (!isNodeOutput || _outputs.Contains(value)) value = Add("Identity", [value]);
            Rename(value, name);
        }
        _outputs.Add(value);
        return this;
    }

    /// <summary>Makes the values outputs, checks the graph and returns it.</summary>
    /// <param name="outputs">Further outputs, under the names that they have.</param>
    /// <exception cref="GraphException">The graph breaks a rule.</exception>
    /// <exception cref="UnsupportedOperatorException">An operator is not known.</exception>
    public ModelGraph Build(params ReadOnlySpan<Value> outputs)
    {
        _outputs.AddRange(outputs);
        if (_outputs.Count == 0) throw new GraphException("SL2006", $"graph '{_graph.Name}' has no outputs");
        foreach (Value output in _outputs)
            _graph.Outputs.Add(new GraphValue(output.Name, _inference.TypeOf(output.Name) ?? new TensorType(ElementType.Undefined, null)));
        GraphValidator.Validate(_graph);
        return _graph;
    }

    private void Rename(Value value, string name)
    {
        Claim(name);
        string old = value.Name;
        foreach (Node node in _graph.Nodes)
        {
            Replace(node.Inputs, old, name);
            Replace(node.Outputs, old, name);
        }
        _inference.Rename(old, name);
        _values.Remove(old);
        _values[name] = value;
        value.Name = name;

        static void Replace(List<string> names, string from, string to)
        {
            for (int i = 0; i < names.Count; i++)
            {
                if (names[i] == from) names[i] = to;
            }
        }
    }

    private Value Remember(string name) => _values[name] = new Value(name, _inference.TypeOf(name));

    private void Claim(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (!_valueNames.Add(name)) throw new GraphException("SL2002", $"two values are named '{name}'");
    }

    private static string Unique(string stem, HashSet<string> taken)
    {
        string name = stem;
        for (int i = 1; !taken.Add(name); i++) name = $"{stem}_{i}";
        return name;
    }

    /// <summary>Stands where a weight has not been given values yet. Shape inference may fold it as zeros; nothing else reads it.</summary>
    internal sealed class UndrawnStorage(int[] shape) : WeightStorage
    {
        public override ElementType ElementType => ElementType.Float32;

        public override ReadOnlySpan<int> Shape => shape;

        public override TensorData Read() => TensorData.Zeros(ElementType.Float32, shape);
    }

    private sealed class ScopeEnd(GraphBuilder builder, string prefix) : IDisposable
    {
        public void Dispose() => builder._prefix = prefix;
    }
}

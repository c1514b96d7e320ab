using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Downgrade;

/// <summary>Rewrites a graph into the forms of an older opset (17 to 22).</summary>
/// <remarks>
/// A node that is newer than the target is replaced by older forms of itself or by simpler operators; those are looked at
/// again, so a rule may produce forms that another rule takes further down.
/// </remarks>
internal sealed class OpsetDowngrade
{
    private readonly ModelGraph _source;
    private readonly ModelGraph _result;
    private readonly ShapeInference? _types;
    private readonly OnnxNames _values;
    private readonly OnnxNames _nodeNames = new();
    private readonly int _target;

    private OpsetDowngrade(ModelGraph source, ShapeInference? types, OnnxNames values, int target)
    {
        _source = source;
        _result = new ModelGraph(source.Name);
        _types = types;
        _values = values;
        _target = target;
        foreach (Node node in source.Nodes) _nodeNames.Add(node.Name);
    }

    /// <summary>The graph in older forms; weights are shared with the source.</summary>
    /// <exception cref="ModelFormatException">SL1113: a node has no older form.</exception>
    internal static ModelGraph Apply(ModelGraph graph, int target)
    {
        if (OpsetNeeds.Of(graph) <= target) return graph;
        var values = new OnnxNames();
        Reserve(graph, values);
        return new OpsetDowngrade(graph, ShapeInference.Run(graph), values, target).Run();
    }

    private static void Reserve(ModelGraph graph, OnnxNames values)
    {
        foreach (string name in graph.Weights.Keys.Concat(graph.Inputs.Select(i => i.Name)).Concat(graph.Nodes.SelectMany(n => n.Outputs))) values.Add(name);
        foreach (ModelGraph body in graph.Nodes.SelectMany(GraphOrder.Bodies)) Reserve(body, values);
    }

    private ModelGraph Run()
    {
        _result.Inputs.AddRange(_source.Inputs);
        _result.Outputs.AddRange(_source.Outputs);
        foreach (Weight weight in _source.Weights.Values) _result.AddWeight(weight);
        foreach ((string key, string value) in _source.Metadata) _result.Metadata[key] = value;
        foreach ((string key, int value) in _source.CustomDomains) _result.CustomDomains[key] = value;
        foreach (Node node in _source.Nodes) Emit(WithBodies(node));
        return _result;
    }

    private Node WithBodies(Node node)
    {
        Node copy = node.Clone();
        foreach (string key in node.Attributes.Names)
        {
            object value = node.Attributes.Value(key)!;
            if (value is ModelGraph body) copy.Attributes.SetValue(key, Body(body));
            else if (value is ModelGraph[] bodies) copy.Attributes.SetValue(key, Array.ConvertAll(bodies, Body));
        }
        return copy;
    }

    private ModelGraph Body(ModelGraph body) => new OpsetDowngrade(body, _types?.Bodies.GetValueOrDefault(body), _values, _target).Run();

    /// <summary>Puts a node into the result, taken down to the target first.</summary>
    internal void Emit(Node node)
    {
        int types = OpsetNeeds.ByTypes(node, v => TypeOf(v)?.ElementType ?? ElementType.Undefined);
        if (types > _target) throw Cannot(node, "it does not take these element types there", types);
        if (OpsetNeeds.Of(node) <= _target)
        {
            _result.Nodes.Add(node);
            return;
        }
        switch (node.OpType)
        {
            case "Split": SplitEvenly(node); break;
            case "GridSample": GridSampleNames(node); break;
            case "DFT": DftAxis(node); break;
            case string op when op.StartsWith("Reduce", StringComparison.Ordinal): AxesToAttribute(node); break;
            case "Mish": Decompose.Mish(node, this); break;
            case "Gelu": Decompose.Gelu(node, this); break;
            case "GroupNormalization": Decompose.GroupNormalization(node, this); break;
            case "RMSNormalization": Decompose.RmsNormalization(node, this); break;
            case "RotaryEmbedding": DecomposeAttention.RotaryEmbedding(node, this); break;
            case "Attention": DecomposeAttention.Attention(node, this); break;
            default: throw Cannot(node, "it has no older form");
        }
    }

    /// <summary>The rank of a value, or an error that names the node.</summary>
    internal int Rank(Node node, string value) => Shape(value)?.Rank ?? throw Cannot(node, $"the number of dimensions of '{value}' is not known");

    /// <summary>What is known about a shape.</summary>
    internal TensorShape? Shape(string value) => TypeOf(value)?.Shape;

    /// <summary>The element type; single when it is not known.</summary>
    internal ElementType Element(string value) => TypeOf(value) is { ElementType: not ElementType.Undefined } type ? type.ElementType : ElementType.Float32;

    private TensorType? TypeOf(string value) => _types?.TypeOf(value);

    /// <summary>Adds a node with one output and returns the output's name.</summary>
    internal string Op(Node parent, string opType, string[] inputs, Action<NodeAttributes>? attributes = null, string? output = null)
    {
        output ??= _values.Fresh($"{Prefix(parent)}_{opType}");
        var node = new Node(_nodeNames.Fresh($"{parent.Name}_{opType}"), opType, inputs, [output]);
        attributes?.Invoke(node.Attributes);
        Emit(node);
        return output;
    }

    /// <summary>Adds a constant and returns its name.</summary>
    internal string Constant(Node parent, string hint, TensorData data)
    {
        string name = _values.Fresh($"{Prefix(parent)}_{hint}");
        _result.AddWeight(new Weight(name, data));
        return name;
    }

    /// <summary>A scalar of a floating-point type.</summary>
    internal string Number(Node parent, string hint, double value, ElementType type) => Constant(parent, hint, type switch
    {
        ElementType.Float64 => TensorData.Scalar(value),
        ElementType.Float16 => TensorData.Scalar((Half)value),
        ElementType.BFloat16 => TensorData.Scalar((BFloat16)(float)value),
        _ => TensorData.Scalar((float)value),
    });

    /// <summary>A list of integers.</summary>
    internal string Integers(Node parent, string hint, params long[] values) => Constant(parent, hint, TensorData.Vector(values));

    /// <summary>An error that names the node.</summary>
    internal ModelFormatException Cannot(Node node, string why, int needed = 0) => OnnxErrors.CannotExpress($"node '{node.Name}' ({node.OpType})",
        $"{node.OpType} node '{node.Name}' cannot be written in opset {_target}: {why}", Math.Max(needed, OpsetNeeds.Of(node)));

    private static string Prefix(Node node) => node.Outputs.Find(o => o.Length > 0) ?? node.Name;

    private TensorData Value(Node node, int index) => _source.Weights.TryGetValue(node.Input(index), out Weight? weight) || _result.Weights.TryGetValue(node.Input(index), out weight)
        ? weight.Read()
        : _types?.ConstantOf(node.Input(index)) ?? throw Cannot(node, $"input {index} is computed; the older form has it as an attribute");

    private void AxesToAttribute(Node node)
    {
        if (node.Attributes.Int("noop_with_empty_axes", 0) != 0) throw Cannot(node, "the older form has no 'noop_with_empty_axes'");
        node.Attributes.Remove("noop_with_empty_axes");
        if (node.HasInput(1))
        {
            long[] axes = Value(node, 1).ToInt64s();
            if (axes.Length > 0) node.Attributes.Set("axes", axes);
        }
        Shorten(node, 1);
        Emit(node);
    }

    private void SplitEvenly(Node node)
    {
        long parts = node.Attributes.Int("num_outputs", node.Outputs.Count);
        node.Attributes.Remove("num_outputs");
        TensorShape? shape = Shape(node.Inputs[0]);
        long axis = node.Attributes.Int("axis", 0);
        if (axis < 0) axis += shape?.Rank ?? 0;
        if (shape is null || axis >= shape.Rank || !shape[(int)axis].IsKnown)
            throw Cannot(node, "the size that is split is not known, and the older form splits into equal parts only");
        int size = shape[(int)axis].Value;
        if (size % parts != 0)
        {
            long chunk = (size + parts - 1) / parts;
            var sizes = new long[parts];
            for (int i = 0; i < parts; i++) sizes[i] = Math.Max(0, Math.Min(chunk, size - (i * chunk)));
            if (node.Inputs.Count < 2) node.Inputs.Add("");
            node.Inputs[1] = Integers(node, "split", sizes);
        }
        Emit(node);
    }

    private void GridSampleNames(Node node)
    {
        if (Rank(node, node.Inputs[0]) != 4) throw Cannot(node, "before opset 20 only pictures of four dimensions are sampled");
        node.Attributes.Set("mode", node.Attributes.String("mode", "linear") == "cubic" ? "bicubic" : "bilinear");
        Add(node);
    }

    private void DftAxis(Node node)
    {
        long axis = node.HasInput(2) ? Value(node, 2).ToInt64s()[0] : -2;
        if (axis < 0) axis += Rank(node, node.Inputs[0]);
        Shorten(node, 2);
        node.Attributes.Set("axis", axis);
        Add(node);
    }

    /// <summary>Adds a node whose older form the table of needs cannot tell from the newer one.</summary>
    private void Add(Node node) => _result.Nodes.Add(node);

    private static void Shorten(Node node, int inputs)
    {
        if (node.Inputs.Count > inputs) node.Inputs.RemoveRange(inputs, node.Inputs.Count - inputs);
    }
}

using Sparseland.Model.Operators;

namespace Sparseland.Model.Graph;

/// <summary>Types of all values of a graph, found node by node; small constants are computed on the way.</summary>
/// <remarks>
/// Known sizes stay numbers, named sizes keep their names while operators carry them through, others are unknown.
/// Values behind an operator that is not known here have no entry.
/// </remarks>
public sealed class ShapeInference
{
    /// <summary>Tensors with at most this many elements are computed when all inputs of their node are constants.</summary>
    private const int FoldLimit = 4096;

    private readonly ModelGraph _graph;
    private readonly ShapeInference? _outer;
    private readonly Dictionary<string, TensorType> _types = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorData> _constants = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorShape> _shapes = new(StringComparer.Ordinal);
    private readonly Dictionary<ModelGraph, ShapeInference> _bodies = new(ReferenceEqualityComparer.Instance);

    internal ShapeInference(ModelGraph graph, ShapeInference? outer = null)
    {
        _graph = graph;
        _outer = outer;
    }

    /// <summary>The types of inputs, weights and computed values by name.</summary>
    public IReadOnlyDictionary<string, TensorType> Types => _types;

    /// <summary>The same for the graphs in attributes of If, Loop and Scan nodes.</summary>
    public IReadOnlyDictionary<ModelGraph, ShapeInference> Bodies => _bodies;

    /// <summary>Infers a graph whose nodes are in topological order.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="inputTypes">Types that replace what the graph declares for some inputs, such as fixed batch sizes.</param>
    /// <exception cref="GraphException">A node's inputs break its operator's rules.</exception>
    public static ShapeInference Run(ModelGraph graph, IReadOnlyDictionary<string, TensorType>? inputTypes = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        var inference = new ShapeInference(graph);
        foreach (GraphValue input in graph.Inputs) inference._types[input.Name] = inputTypes?.GetValueOrDefault(input.Name) ?? input.Type;
        foreach (Node node in graph.Nodes) inference.Add(node);
        foreach ((string name, Weight weight) in graph.Weights) inference._types.TryAdd(name, weight.Type);
        return inference;
    }

    /// <summary>What is known about a value; null when nothing is.</summary>
    public TensorType? TypeOf(string value)
    {
        if (_types.TryGetValue(value, out TensorType? type)) return type;
        if (_graph.Weights.TryGetValue(value, out Weight? weight)) return weight.Type;
        return _outer?.TypeOf(value);
    }

    /// <summary>The value when it is a constant: a weight (read now), or computed from constants; null otherwise.</summary>
    public TensorData? ConstantOf(string value)
    {
        if (_constants.TryGetValue(value, out TensorData? data)) return data;
        if (_graph.Weights.TryGetValue(value, out Weight? weight)) return weight.Read();
        if (_types.ContainsKey(value)) return null;
        return _outer?.ConstantOf(value);
    }

    internal void SetInput(string name, TensorType type) => _types[name] = type;

    internal void Rename(string from, string to)
    {
        if (_types.Remove(from, out TensorType? type)) _types[to] = type;
        if (_constants.Remove(from, out TensorData? data)) _constants[to] = data;
        if (_shapes.Remove(from, out TensorShape? shape)) _shapes[to] = shape;
    }

    /// <summary>Infers one node whose inputs are inferred already.</summary>
    internal void Add(Node node)
    {
        Operator? op = OperatorRegistry.Find(node.OpType, node.Domain);
        if (op is null) return;
        foreach (string input in node.Inputs)
        {
            if (input.Length > 0 && TypeOf(input) is not { ElementType: not ElementType.Undefined }) return;
        }
        var context = new Context(this, node);
        try
        {
            op.Infer(context);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or IndexOutOfRangeException or OverflowException or DivideByZeroException)
        {
            GraphException named = context.Error(e.Message);
            throw new GraphException(named.Code, named.Message, e) { Where = named.Where };
        }
        Fold(op, node);
    }

    private bool IsSmall(string name) => TypeOf(name) is { Shape: { IsStatic: true } shape } && shape.Aggregate(1L, (n, d) => n * d.Value) <= FoldLimit;

    private void Fold(Operator op, Node node)
    {
        if (!op.IsDeterministic || node.Outputs.All(o => o.Length == 0 || _constants.ContainsKey(o))) return;
        if (!node.Inputs.All(i => i.Length == 0 || IsConstant(i) && IsSmall(i))) return;
        if (!node.Outputs.All(o => o.Length == 0 || IsSmall(o) || node.OpType == "Constant")) return;
        if (GraphOrder.Bodies(node).Any()) return;
        TensorData?[] inputs = [.. node.Inputs.Select(i => i.Length == 0 ? null : ConstantOf(i))];
        TensorData?[] outputs = GraphEvaluator.Evaluate(op, new EvaluationContext(node, inputs));
        for (int i = 0; i < node.Outputs.Count && i < outputs.Length; i++)
        {
            if (node.Outputs[i].Length == 0 || outputs[i] is not { } value) continue;
            _constants[node.Outputs[i]] = value;
            _types[node.Outputs[i]] = new TensorType(value.ElementType, TensorShape.Of(value.Shape));
        }
    }

    private bool IsConstant(string name) => _constants.ContainsKey(name)
        || _graph.Weights.ContainsKey(name) || (!_types.ContainsKey(name) && (_outer?.IsConstant(name) ?? false));

    private TensorShape? AsShape(string name)
    {
        if (_shapes.TryGetValue(name, out TensorShape? shape)) return shape;
        if (TypeOf(name) is not { ElementType: ElementType.Int64 or ElementType.Int32, Shape: { } type }) return null;
        if (IsConstant(name) && IsSmall(name) && type.Rank <= 1)
            return new TensorShape([.. ConstantOf(name)!.ToInt64s().Select(v => v is >= 0 and <= int.MaxValue ? new Dimension((int)v) : Dimension.Unknown)]);
        if (_outer is not null && !_types.ContainsKey(name) && _outer.AsShape(name) is { } outer) return outer;
        if (type.Rank == 0) return new TensorShape(Dimension.Unknown);
        if (type.Rank == 1 && type[0].IsKnown && type[0].Value <= 64) return new TensorShape([.. Enumerable.Repeat(Dimension.Unknown, type[0].Value)]);
        return null;
    }

    private sealed class Context(ShapeInference owner, Node node) : InferenceContext
    {
        public override Node Node => node;

        public override TensorType? InputType(int index) => node.HasInput(index) ? owner.TypeOf(node.Inputs[index]) : null;

        public override TensorData? InputValue(int index) => node.HasInput(index) ? owner.ConstantOf(node.Inputs[index]) : null;

        public override TensorShape? InputAsShape(int index) => node.HasInput(index) ? owner.AsShape(node.Inputs[index]) : null;

        public override void SetOutput(int index, ElementType type, TensorShape? shape)
        {
            if (node.Output(index) is { Length: > 0 } name) owner._types[name] = new TensorType(type, shape);
        }

        public override void SetOutputAsShape(int index, TensorShape shape)
        {
            if (node.Output(index) is not { Length: > 0 } name) return;
            owner._shapes[name] = shape;
            if (!shape.IsStatic || owner.TypeOf(name) is not { Shape: { } own } type || own.Rank > 1) return;
            long[] values = [.. shape.Select(d => (long)d.Value)];
            int[] sizes = own.Rank == 0 ? [] : [values.Length];
            if (type.ElementType == ElementType.Int64) owner._constants[name] = TensorData.Wrap(values, sizes);
            else if (type.ElementType == ElementType.Int32) owner._constants[name] = TensorData.Wrap(Array.ConvertAll(values, v => (int)v), sizes);
        }

        public override TensorType?[] InferSubgraph(ModelGraph body, IReadOnlyList<TensorType?> inputTypes)
        {
            var inner = new ShapeInference(body, owner);
            for (int i = 0; i < body.Inputs.Count; i++)
                inner._types[body.Inputs[i].Name] = (i < inputTypes.Count ? inputTypes[i] : null) ?? body.Inputs[i].Type;
            foreach (Node n in body.Nodes) inner.Add(n);
            owner._bodies[body] = inner;
            return [.. body.Outputs.Select(o => inner.TypeOf(o.Name))];
        }
    }
}

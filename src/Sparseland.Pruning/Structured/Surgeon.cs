using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>The model after a removal, and where everything that stayed came from.</summary>
public sealed class SurgeryResult
{
    internal SurgeryResult(ModelGraph graph, IReadOnlyDictionary<string, int[]?[]> kept)
    {
        Graph = graph;
        KeptPositions = kept;
    }

    /// <summary>The smaller model: valid, its types inferred, masks sliced along with their weights.</summary>
    public ModelGraph Graph { get; }

    /// <summary>For every weight that changed, per axis: the kept positions of the old weight in order, or null where the axis is whole.</summary>
    public IReadOnlyDictionary<string, int[]?[]> KeptPositions { get; }

    /// <summary>Cuts what belongs to a weight, element for element (an optimiser's moment), as the weight was cut (R24).</summary>
    /// <param name="weight">The weight's name.</param>
    /// <param name="values">One value per element of the old weight.</param>
    /// <param name="oldShape">The old weight's shape.</param>
    /// <returns>One value per element of the new weight; a copy when the weight did not change.</returns>
    /// <exception cref="ArgumentException">The shape is not that of the old weight.</exception>
    public float[] Slice(string weight, ReadOnlySpan<float> values, ReadOnlySpan<int> oldShape) =>
        KeptPositions.TryGetValue(weight, out int[]?[]? kept) ? AxisSlicing.Take(values, oldShape, kept) : values.ToArray();
}

/// <summary>Removes channels and heads from a model, or shows what removing them would do.</summary>
/// <remarks>
/// The contract, tested for every operator and on random graphs: the smaller model computes what the model computes in
/// which the same units' weights are zero (<see cref="Zero"/>). The model that was analysed is not changed.
/// </remarks>
public static class Surgeon
{
    /// <summary>The model without the removed units.</summary>
    /// <exception cref="GraphException">
    /// SL2108: a group would be left empty. SL2190: the result would not be consistent, which is a fault of an operator's
    /// coupling; the message names the value. Nothing was changed.
    /// </exception>
    public static SurgeryResult Remove(Removal removal)
    {
        ArgumentNullException.ThrowIfNull(removal);
        DependencyGraph dependencies = removal.Dependencies;
        ModelGraph old = dependencies.Graph;
        KeptEntries kept = removal.Resolve();
        var graph = new ModelGraph(old.Name);
        foreach ((string key, string value) in old.Metadata) graph.Metadata[key] = value;
        foreach ((string key, int value) in old.CustomDomains) graph.CustomDomains[key] = value;
        var positions = new Dictionary<string, int[]?[]>(StringComparer.Ordinal);
        foreach (Weight weight in old.Weights.Values)
        {
            if (kept.OfValue(weight.Name) is not { } cut)
            {
                graph.AddWeight(weight.Clone());
                continue;
            }
            positions[weight.Name] = cut;
            var smaller = new Weight(weight.Name, AxisSlicing.Take(weight.Read(), cut));
            if (weight.Mask is { } mask) smaller.SetMask(AxisSlicing.Take(mask, cut));
            graph.AddWeight(smaller);
        }
        foreach (GraphValue input in old.Inputs) graph.Inputs.Add(Resized(input, kept));
        foreach (GraphValue output in old.Outputs) graph.Outputs.Add(Resized(output, kept));
        var replaced = new HashSet<string>(StringComparer.Ordinal);
        var computed = new HashSet<string>(old.Nodes.Where(n => n.OpType != "Constant").SelectMany(n => n.Outputs), StringComparer.Ordinal);
        foreach (Node node in old.Nodes)
        {
            Node copy = node.Clone();
            graph.Nodes.Add(copy);
            if (removal.Count > 0 && OperatorRegistry.Find(node.OpType, node.Domain) is { } op && node.Inputs.Concat(node.Outputs).All(n => n.Length == 0 || dependencies.Axes.Shape(n) is not null))
                op.AfterRemoval(new Context(dependencies, kept, graph, copy, replaced, computed));
        }
        DropUnread(graph, replaced);
        GraphValidator.Validate(graph, allowUnknownOperators: true);
        Check(old, graph, kept);
        return new SurgeryResult(graph, positions);
    }

    /// <summary>The model with the units' weights set to zero, in every weight that a unit runs through: the same outputs, the old sizes.</summary>
    /// <remarks>Divisors and the like (inputs 1 of Div, running variances) keep their values: they only meet zeros.</remarks>
    /// <exception cref="GraphException">SL2108: a group would be left empty.</exception>
    public static ModelGraph Zero(Removal removal)
    {
        ArgumentNullException.ThrowIfNull(removal);
        ModelGraph old = removal.Dependencies.Graph;
        KeptEntries kept = removal.Resolve();
        var divisors = new HashSet<string>(StringComparer.Ordinal);
        foreach (Node node in old.Nodes)
        {
            if (node.OpType == "Div") divisors.Add(node.Input(1));
            if (node.OpType == "BatchNormalization") divisors.Add(node.Input(4));
        }
        ModelGraph graph = old.Clone();
        foreach (Weight weight in graph.Weights.Values)
        {
            if (divisors.Contains(weight.Name) || !weight.ElementType.IsFloat() || kept.OfValue(weight.Name) is not { } cut) continue;
            TensorData data = weight.Read().Clone();
            Clear(data, cut);
            weight.Set(data);
        }
        return graph;
    }

    private static void Clear(TensorData data, int[]?[] kept)
    {
        int size = data.ElementType.Size();
        int[] shape = data.Shape.ToArray();
        Span<byte> bytes = data.Bytes();
        for (int axis = 0; axis < shape.Length; axis++)
        {
            if (kept[axis] is not { } stay) continue;
            int inner = size, outer = 1;
            for (int i = axis + 1; i < shape.Length; i++) inner *= shape[i];
            for (int i = 0; i < axis; i++) outer *= shape[i];
            var keeps = new bool[shape[axis]];
            foreach (int position in stay) keeps[position] = true;
            for (int o = 0; o < outer; o++)
            {
                for (int i = 0; i < keeps.Length; i++)
                {
                    if (!keeps[i]) bytes.Slice(((o * keeps.Length) + i) * inner, inner).Clear();
                }
            }
        }
    }

    private static GraphValue Resized(GraphValue value, KeptEntries kept) =>
        kept.OfValue(value.Name) is null ? value : value with { Type = value.Type with { Shape = kept.NewShape(value.Name) } };

    private static void DropUnread(ModelGraph graph, HashSet<string> replaced)
    {
        var read = new HashSet<string>(graph.Nodes.SelectMany(GraphOrder.Reads).Concat(graph.Outputs.Select(o => o.Name)), StringComparer.Ordinal);
        // Chains of nodes that only computed a shape that is constant now.
        for (bool more = true; more;)
        {
            more = false;
            for (int n = graph.Nodes.Count - 1; n >= 0; n--)
            {
                Node node = graph.Nodes[n];
                if (!node.Outputs.Any(replaced.Contains) || node.Outputs.Any(read.Contains)) continue;
                graph.Nodes.RemoveAt(n);
                replaced.UnionWith(GraphOrder.Reads(node));
                read = new HashSet<string>(graph.Nodes.SelectMany(GraphOrder.Reads).Concat(graph.Outputs.Select(o => o.Name)), StringComparer.Ordinal);
                more = true;
            }
        }
        foreach (string name in replaced)
        {
            if (!read.Contains(name)) graph.Weights.Remove(name);
        }
    }

    // The shapes that the operators infer from the new graph must be the old ones less what was removed.
    private static void Check(ModelGraph old, ModelGraph graph, KeptEntries kept)
    {
        ShapeInference types;
        try
        {
            types = ShapeInference.Run(graph);
        }
        catch (GraphException e)
        {
            throw new GraphException("SL2190", $"the smaller model is not consistent: {e.Message}", e) { Where = e.Where, Because = "an operator's axis coupling is wrong or incomplete", Try = "report this with the model's graph; exclude the layers around this node meanwhile" };
        }
        foreach (Node node in graph.Nodes)
        {
            foreach (string output in node.Outputs)
            {
                if (output.Length == 0 || kept.OfValue(output) is null || types.TypeOf(output)?.Shape is not { } found) continue;
                TensorShape expected = kept.NewShape(output)!;
                bool fits = found.Rank == expected.Rank && Enumerable.Range(0, found.Rank).All(i => !found[i].IsKnown || !expected[i].IsKnown || found[i].Value == expected[i].Value);
                if (fits) continue;
                throw new GraphException("SL2190", $"the smaller model is not consistent: {node.OpType} node '{node.Name}' would make '{output}' {found}, not {expected}")
                {
                    Where = node.ToString(),
                    Because = $"the axis coupling of {node.OpType} is wrong or incomplete for this node",
                    Try = "report this with the model's graph; exclude the layers around this node meanwhile",
                };
            }
        }
        foreach (GraphValue output in graph.Outputs)
        {
            TensorShape? before = old.Outputs.First(o => o.Name == output.Name).Type.Shape, after = types.TypeOf(output.Name)?.Shape;
            if (kept.OfValue(output.Name) is null && before is not null && after is not null && before.IsStatic && after.IsStatic && !before.Equals(after))
                throw new GraphException("SL2190", $"the smaller model is not consistent: output '{output.Name}' would be {after}, not {before}");
        }
    }

    private sealed class Context(DependencyGraph dependencies, KeptEntries kept, ModelGraph graph, Node node, HashSet<string> replaced, HashSet<string> computed) : RemovalContext
    {
        // Input names from before constants were replaced.
        private readonly string[] _inputs = [.. node.Inputs];

        public override Node Node => node;

        public override TensorShape OldShape(Port port) => dependencies.Axes.Shape(Name(port))!;

        public override TensorShape NewShape(Port port) => kept.NewShape(Name(port))!;

        public override IReadOnlyList<int>? Kept(Port port, int axis) => kept.Of(Name(port), axis < 0 ? axis + OldShape(port).Rank : axis);

        public override TensorData? OldConstant(int input) => input < _inputs.Length && _inputs[input].Length > 0 ? dependencies.Types.ConstantOf(_inputs[input]) : null;

        public override bool OldInputIsComputed(int input) => input < _inputs.Length && computed.Contains(_inputs[input]);

        public override void SetConstant(int input, TensorData value)
        {
            string name = $"{node.Name}.input{input}";
            for (int i = 1; graph.Weights.ContainsKey(name) || dependencies.Graph.Weights.ContainsKey(name) || computed.Contains(name) || dependencies.Axes.Shape(name) is not null; i++) name = $"{node.Name}.input{input}_{i}";
            graph.AddWeight(new Weight(name, value));
            while (node.Inputs.Count <= input) node.Inputs.Add("");
            if (node.Inputs[input].Length > 0) replaced.Add(node.Inputs[input]);
            node.Inputs[input] = name;
        }

        private string Name(Port port) => port.IsOutput ? node.Output(port.Index) : port.Index < _inputs.Length ? _inputs[port.Index] : "";
    }
}

using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Follows sizes that a model reads from its own values (Shape nodes) and freezes those that reach anything but a target shape.</summary>
/// <remarks>
/// A size that only becomes part of a reshape's target is harmless: the target is written anew. A size that turns into a
/// number the model computes with (a mean by hand, a slice bound, positions) would change the result when the axis shrinks.
/// </remarks>
internal static class SizeSources
{
    public static void Freeze(ModelGraph graph, ShapeInference types, AxisTable axes, AtomForest forest)
    {
        if (!graph.Nodes.Any(n => n.OpType is "Shape" or "Size")) return;
        var tracked = new Dictionary<string, Trace>(StringComparer.Ordinal);
        foreach (Node node in graph.Nodes)
        {
            if (node.OpType is "Shape" or "Size")
            {
                if (axes.Shape(node.Input(0)) is { } shape) tracked[node.Output(0)] = OfShape(node, shape);
                continue;
            }
            if (!GraphOrder.Reads(node).Any(tracked.ContainsKey)) continue;
            if (node.OpType is "Reshape" or "Expand" && !tracked.ContainsKey(node.Input(0)) && CanRewrite(node, axes)) continue;
            Trace? moved = Move(node, tracked, types);
            bool counts = node.Outputs.All(o => o.Length == 0 || types.TypeOf(o) is { ElementType: ElementType.Int64 or ElementType.Int32 or ElementType.Bool });
            if (moved is null && !counts)
            {
                foreach (string read in GraphOrder.Reads(node))
                {
                    if (tracked.TryGetValue(read, out Trace? trace)) FreezeAll(trace, node);
                }
                continue;
            }
            Trace result = moved ?? Trace.Blend(GraphOrder.Reads(node).Select(r => tracked.GetValueOrDefault(r)));
            foreach (string output in node.Outputs)
            {
                if (output.Length > 0) tracked[output] = result;
            }
        }
        foreach (GraphValue output in graph.Outputs)
        {
            if (tracked.TryGetValue(output.Name, out Trace? trace)) FreezeAll(trace, null);
        }

        void FreezeAll(Trace trace, Node? node)
        {
            foreach ((string value, int axis) in trace.All)
            {
                AxisSlot slot = axes.Slot(value, axis);
                var refusal = new Refusal(RefusalReason.DynamicShape, $"its size, read from '{value}', is computed with", node?.Name);
                for (int i = 0; i < slot.Size; i++) forest.Freeze(slot.Offset + i, refusal);
            }
        }
    }

    private static bool CanRewrite(Node node, AxisTable axes) =>
        axes.Shape(node.Input(0)) is { } input && axes.Shape(node.Output(0)) is { } output
        && (node.OpType == "Reshape" ? ShapeTargets.Reshape(input, output) : ShapeTargets.Expand(input, output)) is not null;

    private static Trace OfShape(Node node, TensorShape shape)
    {
        string value = node.Input(0);
        var elements = Enumerable.Range(0, shape.Rank).Select(axis => new HashSet<(string, int)> { (value, axis) }).ToList();
        if (node.OpType == "Size") return new Trace(null, [.. elements.SelectMany(e => e)]);
        int start = Clamp(node.Attributes.Int("start", 0)), end = Clamp(node.Attributes.Int("end", shape.Rank));
        return new Trace(elements.GetRange(start, Math.Max(0, end - start)), []);

        int Clamp(long i) => (int)Math.Clamp(i < 0 ? i + shape.Rank : i, 0, shape.Rank);
    }

    // Operators that only move elements of a vector keep the elements apart.
    private static Trace? Move(Node node, Dictionary<string, Trace> tracked, ShapeInference types)
    {
        Trace? first = tracked.GetValueOrDefault(node.Input(0));
        switch (node.OpType)
        {
            case "Cast" or "Identity" or "Unsqueeze" or "Squeeze" or "Reshape" or "Flatten"
                when first is not null && types.TypeOf(node.Output(0)) is { ElementType: ElementType.Int64 or ElementType.Int32 }:
                return first;
            case "Gather" when first?.Elements is { } elements && !tracked.ContainsKey(node.Input(1)) && types.ConstantOf(node.Input(1)) is { } indices:
                {
                    var picked = new List<HashSet<(string, int)>>();
                    foreach (long raw in indices.ToInt64s())
                    {
                        long i = raw < 0 ? raw + elements.Count : raw;
                        if (i < 0 || i >= elements.Count) return null;
                        picked.Add(elements[(int)i]);
                    }
                    return new Trace(picked, []);
                }
            case "Slice" when first?.Elements is { } elements && LengthOf(node.Output(0), types) is { } length:
                {
                    long[]? starts = node.HasInput(1) ? types.ConstantOf(node.Input(1))?.ToInt64s() : node.Attributes.Ints("starts");
                    long[] steps = node.HasInput(4) && types.ConstantOf(node.Input(4)) is { } s ? s.ToInt64s() : [1];
                    if (starts is not [long start] || steps is not [1]) return null;
                    if (start < 0) start += elements.Count;
                    if (start < 0 || start + length > elements.Count) return null;
                    return new Trace(elements.GetRange((int)start, length), []);
                }
            case "Concat":
                {
                    var joined = new List<HashSet<(string, int)>>();
                    foreach (string input in node.Inputs)
                    {
                        if (tracked.TryGetValue(input, out Trace? trace))
                        {
                            if (trace.Elements is null) return null;
                            joined.AddRange(trace.Elements);
                        }
                        else if (LengthOf(input, types) is { } count)
                        {
                            for (int i = 0; i < count; i++) joined.Add([]);
                        }
                        else
                        {
                            return null;
                        }
                    }
                    return new Trace(joined, []);
                }
            default:
                return null;
        }
    }

    private static int? LengthOf(string vector, ShapeInference types) =>
        types.TypeOf(vector)?.Shape is { Rank: 1 } shape && shape[0].IsKnown ? shape[0].Value : null;

    /// <summary>The axes whose sizes a value holds: element by element, or all together.</summary>
    private sealed record Trace(List<HashSet<(string Value, int Axis)>>? Elements, HashSet<(string Value, int Axis)> Together)
    {
        public IEnumerable<(string Value, int Axis)> All => (Elements?.SelectMany(e => e) ?? []).Concat(Together).Distinct();

        public static Trace Blend(IEnumerable<Trace?> traces) => new(null, [.. traces.Where(t => t is not null).SelectMany(t => t!.All)]);
    }
}

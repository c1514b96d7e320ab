using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Structured;

/// <summary>One axis of one value.</summary>
/// <param name="Value">The value's name.</param>
/// <param name="Axis">The axis, 0 outermost.</param>
/// <param name="Size">Number of entries; -1 when unknown, which then has no atoms.</param>
/// <param name="Offset">Number of the first entry among all entries of all values.</param>
internal readonly record struct AxisSlot(string Value, int Axis, int Size, int Offset);

/// <summary>Numbers the entries of all axes of all values of a graph.</summary>
internal sealed class AxisTable
{
    private readonly Dictionary<string, int> _first = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TensorShape> _shapes = new(StringComparer.Ordinal);
    private readonly List<AxisSlot> _slots = [];

    public AxisTable(ModelGraph graph, ShapeInference types)
    {
        // Weights come first in the order in which nodes read them: then the smallest entry of a set belongs to the
        // weight that produces the feature, and sets are numbered in the order of the network.
        foreach (Node node in graph.Nodes)
        {
            foreach (string name in node.Inputs)
            {
                if (graph.Weights.ContainsKey(name)) Add(name, types);
            }
        }
        foreach (GraphValue input in graph.Inputs) Add(input.Name, types);
        foreach (Node node in graph.Nodes)
        {
            foreach (string name in GraphOrder.Reads(node).Concat(node.Outputs)) Add(name, types);
        }
        foreach (GraphValue output in graph.Outputs) Add(output.Name, types);
        WeightCount = graph.Weights.Count;
    }

    public int AtomCount { get; private set; }

    public int WeightCount { get; }

    public IReadOnlyList<AxisSlot> Slots => _slots;

    public TensorShape? Shape(string value) => _shapes.GetValueOrDefault(value);

    /// <summary>Index of the slot of an axis; -1 when the value's rank is unknown.</summary>
    public int SlotIndex(string value, int axis) => _first.TryGetValue(value, out int first) ? first + axis : -1;

    public AxisSlot Slot(string value, int axis) => _slots[_first[value] + axis];

    private void Add(string name, ShapeInference types)
    {
        if (name.Length == 0 || _first.ContainsKey(name) || types.TypeOf(name)?.Shape is not { } shape) return;
        _first[name] = _slots.Count;
        _shapes[name] = shape;
        for (int axis = 0; axis < shape.Rank; axis++)
        {
            _slots.Add(new AxisSlot(name, axis, shape[axis].Value, AtomCount));
            AtomCount = checked(AtomCount + Math.Max(shape[axis].Value, 0));
        }
    }
}

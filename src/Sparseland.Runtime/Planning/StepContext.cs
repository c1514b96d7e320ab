using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;

namespace Sparseland.Runtime.Planning;

/// <summary>What a step factory may ask while a plan is made.</summary>
internal sealed class StepContext(ModelGraph graph, IReadOnlyDictionary<string, TensorType> types, Dictionary<string, Slot> slots, List<Slot> all, SessionOptions options, PreparedWeights prepared, Func<string, TensorData?> constantOf)
{
    private Dictionary<string, Node>? _producers;
    private long? _compactBytes, _weightBytes;

    /// <summary>The session's options.</summary>
    public SessionOptions Options { get; } = options;

    /// <summary>Weights that other plans of the session prepared already.</summary>
    public PreparedWeights Prepared { get; } = prepared;

    /// <summary>Stops the timing of kernels.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>The static shape of a single-precision value; null for everything else.</summary>
    public int[]? FloatShape(string name) =>
        name.Length > 0 && TypeOf(name) is { ElementType: ElementType.Float32, Shape: { IsStatic: true } shape } ? shape.ToSizes() : null;

    /// <summary>Whether a value is what a rectifier made, perhaps reshaped since: about half of it is expected to be zero. A maximum of several is rarely zero.</summary>
    public bool IsRectified(string name)
    {
        _producers ??= graph.Producers();
        while (_producers.TryGetValue(name, out Node? node))
        {
            if (node.OpType == "Relu" || (node.Domain == FusionPass.Domain && node.Attributes.Float("low", float.NegativeInfinity) == 0)) return true;
            if (node.Domain.Length > 0 || node.OpType is not ("Flatten" or "Reshape" or "Squeeze" or "Unsqueeze" or "Dropout" or "Identity")) return false;
            name = node.Input(0);
        }
        return false;
    }

    /// <summary>Bytes that the model's weights of few bits would take without masks: what is read between two uses of one of them.</summary>
    public long CompactBytes => _compactBytes ??= Multiplied().Sum(w => w.Storage.Matrix is { } m && m.Kind != ValueKind.Float32 ? (long)m.Rows * m.Columns * m.Kind.Bits() / 8 : 0);

    /// <summary>Bytes that all weights of the model's products would take without zeros, those of few bits as they are held: what is read between two uses of one of them.</summary>
    public long WeightBytes => _weightBytes ??= CompactBytes + Multiplied().Sum(w => w.Storage.Matrix is { } m && m.Kind != ValueKind.Float32 ? 0 : w.Length * (long)sizeof(float));

    // Of a table that is looked up a few rows are read; values that several weights share are in the caches once.
    private IEnumerable<Weight> Multiplied() => graph.Nodes.Where(n => n.OpType is "Conv" or "ConvTranspose" or "Gemm" or "MatMul").SelectMany(n => n.Inputs).Select(Weight).OfType<Weight>().DistinctBy(w => w.Storage);

    /// <summary>What inference knows about a value; null when nothing.</summary>
    public TensorType? TypeOf(string name) => types.TryGetValue(name, out TensorType? type)
        ? type
        : graph.Weights.TryGetValue(name, out Weight? weight) ? weight.Type : null;

    /// <summary>The constant weight of that name, or null.</summary>
    public Weight? Weight(string name) => name.Length > 0 && graph.Weights.TryGetValue(name, out Weight? weight) ? weight : null;

    /// <summary>The tensor behind a name when it does not depend on the inputs' values: a weight, or what inference found; null otherwise.</summary>
    public TensorData? Constant(string name) => name.Length == 0 ? null
        : graph.Weights.TryGetValue(name, out Weight? weight) ? weight.Read()
        : constantOf(name);

    /// <summary>Makes the slot for a value that inference found.</summary>
    public Slot NewConstant(string name, TensorData value) =>
        Add(new Slot(all.Count, name, SlotKind.Constant) { Constant = value, Shape = value.Shape.ToArray() });

    /// <summary>The slots of a node's inputs.</summary>
    public Slot?[] Inputs(Node node) => [.. node.Inputs.Select(n => n.Length == 0 ? null : Find(n))];

    /// <summary>The slot that holds a value.</summary>
    public Slot Find(string name)
    {
        if (slots.TryGetValue(name, out Slot? slot)) return slot;
        if (graph.Weights.TryGetValue(name, out Weight? weight))
            return Add(new Slot(all.Count, name, SlotKind.Constant) { Constant = weight.Read(), Shape = weight.Shape.ToArray() });
        throw new Model.GraphException("SL2006", $"'{name}' has no value");
    }

    /// <summary>Makes the arena slot for an output of known shape.</summary>
    public Slot NewArena(string name, int[] shape) =>
        Add(new Slot(all.Count, name, SlotKind.Arena) { Shape = shape, Length = TensorData.CountElements(shape) });

    /// <summary>Makes a slot that shows another arena slot's memory under another shape.</summary>
    public Slot NewView(string name, Slot of, int[] shape) =>
        Add(new Slot(all.Count, name, SlotKind.Arena) { Shape = shape, Length = TensorData.CountElements(shape), AliasOf = of });

    /// <summary>Makes the slot for a tensor that appears while the plan runs.</summary>
    public Slot NewTensor(string name) => Add(new Slot(all.Count, name, SlotKind.Tensor));

    private Slot Add(Slot slot)
    {
        all.Add(slot);
        slots[slot.Name] = slot;
        return slot;
    }
}

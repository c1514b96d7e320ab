using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Pruning.Structured;

/// <summary>Asks every operator of a graph how it couples axes and collects the answers in one forest.</summary>
internal sealed class CouplingRun
{
    /// <summary>Attempts at cutting another factor of a reshape; each costs a pass over all reshapes.</summary>
    private const int MaxAttempts = 64;

    private readonly ModelGraph _graph;
    private readonly ShapeInference _types;
    private readonly AxisTable _axes;
    private readonly Dictionary<string, TensorData?> _constants = new(StringComparer.Ordinal);
    private readonly HashSet<(string Value, int Axis)> _zero = [];
    private readonly HashSet<(string Value, int Axis)> _resizable = [];
    private readonly List<Product> _products = [];
    private AtomForest _forest;

    public CouplingRun(ModelGraph graph, ShapeInference types, AxisTable axes)
    {
        _graph = graph;
        _types = types;
        _axes = axes;
        _forest = new AtomForest(axes.AtomCount);
    }

    /// <summary>Axes that number attention heads.</summary>
    public HashSet<int> HeadSlots { get; } = [];

    /// <summary>Operators that say nothing about their axes, with a node of each.</summary>
    public SortedDictionary<string, string> UnknownOperators { get; } = new(StringComparer.Ordinal);

    public AtomForest Run(CancellationToken cancellation)
    {
        foreach (string weight in _graph.Weights.Keys)
        {
            for (int axis = 0; axis < (_axes.Shape(weight)?.Rank ?? 0); axis++) _zero.Add((weight, axis));
        }
        var last = new Refusal(RefusalReason.FloorReached, "it is the only entry of an axis", null);
        foreach (AxisSlot slot in _axes.Slots)
        {
            if (slot.Size == 1) _forest.Freeze(slot.Offset, last);
        }
        foreach (Node node in _graph.Nodes)
        {
            cancellation.ThrowIfCancellationRequested();
            Couple(node);
        }
        foreach (GraphValue input in _graph.Inputs)
            FreezeValue(input.Name, new(RefusalReason.FeedsGraphInput, $"it is an axis of graph input '{input.Name}'", null), _resizable);
        foreach (GraphValue output in _graph.Outputs)
            FreezeValue(output.Name, new(RefusalReason.FeedsGraphOutput, $"it is an axis of graph output '{output.Name}'", null), _resizable);
        SizeSources.Freeze(_graph, _types, _axes, _forest);
        ChooseFactors(cancellation);
        return _forest;
    }

    private void Couple(Node node)
    {
        Operator? op = OperatorRegistry.Find(node.OpType, node.Domain);
        bool nested = GraphOrder.Bodies(node).Any();
        bool open = node.Inputs.Concat(node.Outputs).Any(name => name.Length > 0 && _axes.Shape(name) is null);
        Refusal? refusal = op is null ? new(RefusalReason.UnknownOperator, $"operator '{node.OpType}' is not known", node.Name)
            : nested ? new(RefusalReason.NestedGraph, $"the graph nested in {node.OpType} may use it", node.Name)
            : open ? new(RefusalReason.DynamicShape, $"the number of axes at {node.OpType} is not known", node.Name)
            : null;
        if (op is null) UnknownOperators.TryAdd(node.OpType, node.Name);
        if (refusal is not null)
        {
            foreach (string name in GraphOrder.Reads(node).Concat(node.Outputs)) FreezeValue(name, refusal, null);
            return;
        }
        var coupling = new NodeCoupling(this, node);
        op!.Couple(coupling);
        coupling.FreezeUnspoken();
    }

    private void FreezeValue(string name, Refusal refusal, HashSet<(string, int)>? except)
    {
        if (_axes.Shape(name) is not { } shape) return;
        for (int axis = 0; axis < shape.Rank; axis++)
        {
            if (except?.Contains((name, axis)) ?? false) continue;
            AxisSlot slot = _axes.Slot(name, axis);
            for (int i = 0; i < slot.Size; i++) _forest.Freeze(slot.Offset + i, refusal);
        }
    }

    /// <summary>For every reshape that splits or joins axes: the outermost factor that can be cut is cut, unless another one keeps more of the network free.</summary>
    private void ChooseFactors(CancellationToken cancellation)
    {
        if (_products.Count == 0) return;
        AtomForest start = _forest;
        var forced = new int?[_products.Count];
        AtomForest best = start.Clone();
        int[] chosen = Resolve(best, forced);
        long freedom = Freedom(best, out bool[] dead);
        int attempts = 0;
        for (int p = 0; p < _products.Count && attempts < MaxAttempts; p++)
        {
            if (!dead[p]) continue;
            for (int factor = 0; factor < _products[p].Factors.Length && attempts < MaxAttempts; factor++)
            {
                if (factor == chosen[p] || !CanCut(start, _products[p].Factors[factor])) continue;
                cancellation.ThrowIfCancellationRequested();
                attempts++;
                int? before = forced[p];
                forced[p] = factor;
                AtomForest candidate = start.Clone();
                int[] choice = Resolve(candidate, forced);
                long candidateFreedom = Freedom(candidate, out bool[] candidateDead);
                if (candidateFreedom > freedom)
                {
                    (best, chosen, freedom, dead) = (candidate, choice, candidateFreedom, candidateDead);
                    break;
                }
                forced[p] = before;
            }
        }
        _forest = best;
    }

    private int[] Resolve(AtomForest forest, int?[] forced)
    {
        var chosen = new int[_products.Count];
        for (int p = 0; p < _products.Count; p++)
        {
            Product product = _products[p];
            int pick = forced[p] ?? Array.FindIndex(product.Factors, f => CanCut(forest, f));
            if (pick < 0) pick = 0;
            chosen[p] = pick;
            int inner = 1;
            for (int f = product.Factors.Length - 1; f > pick; f--) inner *= _axes.Slots[product.Factors[f]].Size;
            AxisSlot cut = _axes.Slots[product.Factors[pick]], whole = _axes.Slots[product.Whole];
            for (int i = 0; i < whole.Size; i++) forest.Union(whole.Offset + i, cut.Offset + (i / inner % cut.Size));
            for (int f = 0; f < product.Factors.Length; f++)
            {
                if (f == pick) continue;
                AxisSlot other = _axes.Slots[product.Factors[f]];
                var refusal = new Refusal(RefusalReason.ReshapeFactor, "a reshape joins it with the axis that can be cut", product.Node);
                for (int i = 0; i < other.Size; i++) forest.Freeze(other.Offset + i, refusal);
            }
        }
        return chosen;
    }

    private bool CanCut(AtomForest forest, int slotIndex)
    {
        AxisSlot slot = _axes.Slots[slotIndex];
        int root = forest.Find(slot.Offset);
        bool several = false;
        for (int i = 0; i < slot.Size; i++)
        {
            if (forest.FrozenBy(slot.Offset + i) is not null) return false;
            several |= forest.Find(slot.Offset + i) != root;
        }
        return several;
    }

    // Entries of weight axes that can leave without taking the whole axis along; and the products that are stuck.
    private long Freedom(AtomForest forest, out bool[] dead)
    {
        long free = 0;
        foreach (AxisSlot slot in _axes.Slots)
        {
            if (!_graph.Weights.ContainsKey(slot.Value) || !IsLive(forest, slot)) continue;
            for (int i = 0; i < slot.Size; i++)
            {
                if (forest.FrozenBy(slot.Offset + i) is null) free++;
            }
        }
        AtomForest local = forest;
        dead = [.. _products.Select(p => !IsLive(local, _axes.Slots[p.Whole]))];
        return free;
    }

    private static bool IsLive(AtomForest forest, AxisSlot slot)
    {
        int first = -1;
        for (int i = 0; i < slot.Size; i++)
        {
            if (forest.FrozenBy(slot.Offset + i) is not null) continue;
            int root = forest.Find(slot.Offset + i);
            if (first < 0) first = root;
            else if (root != first) return true;
        }
        return false;
    }

    private sealed record Product(int Whole, int[] Factors, string Node);

    private sealed class NodeCoupling(CouplingRun owner, Node node) : AxisCoupling
    {
        private readonly HashSet<(Port, int)> _spoken = [];

        public override Node Node => node;

        public override TensorShape Shape(Port port) => owner._axes.Shape(Name(port))
            ?? throw new InvalidOperationException($"{port} of node '{node.Name}' is left out.");

        public override TensorData? Constant(int input)
        {
            string name = node.Input(input);
            if (name.Length == 0) return null;
            if (owner._constants.TryGetValue(name, out TensorData? data)) return data;
            // Only numbers that steer operators are asked for; big weights stay where they are.
            return owner._constants[name] = IsSmall(name) ? owner._types.ConstantOf(name) : null;
        }

        public override void LinkRange(Port a, int axisA, int startA, Port b, int axisB, int startB, int count, int strideA = 1, int strideB = 1)
        {
            if (!Has(a) || !Has(b)) return;
            AxisSlot slotA = Speak(a, axisA), slotB = Speak(b, axisB);
            if (slotA.Size < 0 || slotB.Size < 0) return;
            for (int i = 0; i < count; i++) owner._forest.Union(slotA.Offset + startA + (i * strideA), slotB.Offset + startB + (i * strideB));
        }

        public override void LinkProduct(Port product, int productAxis, Port factors, int firstFactor, int factorCount)
        {
            if (!Has(product) || !Has(factors)) return;
            AxisSlot whole = Speak(product, productAxis);
            var axes = new List<int>();
            for (int f = 0; f < factorCount; f++)
            {
                AxisSlot slot = Speak(factors, firstFactor + f);
                if (slot.Size != 1) axes.Add(owner._axes.SlotIndex(slot.Value, slot.Axis));
            }
            if (whole.Size <= 0 || axes.Count == 0) return;
            owner._products.Add(new Product(owner._axes.SlotIndex(whole.Value, whole.Axis), [.. axes], node.Name));
        }

        public override void Tie(Port port, int axis, params ReadOnlySpan<int> entries)
        {
            if (!Has(port)) return;
            AxisSlot slot = Speak(port, axis);
            for (int i = 1; i < entries.Length && slot.Size >= 0; i++) owner._forest.Union(slot.Offset + entries[0], slot.Offset + entries[i]);
        }

        public override void Free(Port port, int axis)
        {
            if (Has(port)) Speak(port, axis);
        }

        public override void Freeze(Port port, int axis, RefusalReason reason, string because)
        {
            if (!Has(port)) return;
            AxisSlot slot = Speak(port, axis);
            if (reason == RefusalReason.UnknownOperator) owner.UnknownOperators.TryAdd(node.OpType, node.Name);
            var refusal = new Refusal(reason, because, node.Name);
            for (int i = 0; i < slot.Size; i++) owner._forest.Freeze(slot.Offset + i, refusal);
        }

        public override void FreezeEntry(Port port, int axis, int entry, RefusalReason reason, string because)
        {
            if (!Has(port)) return;
            AxisSlot slot = Speak(port, axis);
            if (entry >= 0 && entry < slot.Size) owner._forest.Freeze(slot.Offset + entry, new Refusal(reason, because, node.Name));
        }

        public override void MayResizeInterface(Port port, int axis)
        {
            if (Has(port)) owner._resizable.Add((Name(port), Normalize(port, axis)));
        }

        public override void MarkHeads(Port port, int axis)
        {
            if (Has(port)) owner.HeadSlots.Add(owner._axes.SlotIndex(Name(port), Normalize(port, axis)));
        }

        public override bool IsZero(Port port, int axis) => Has(port) && owner._zero.Contains((Name(port), Normalize(port, axis)));

        public override void SetZero(Port output, int axis, bool isZero = true)
        {
            if (Has(output) && isZero) owner._zero.Add((Name(output), Normalize(output, axis)));
        }

        /// <summary>What the operator did not mention stays as it is.</summary>
        public void FreezeUnspoken()
        {
            foreach (Port port in Ports())
            {
                for (int axis = 0; axis < Rank(port); axis++)
                {
                    if (Size(port, axis) > 1 && !_spoken.Contains((port, axis)))
                        Freeze(port, axis, RefusalReason.FixedAxis, $"{node.OpType} needs all its entries");
                }
            }
        }

        private bool IsSmall(string name) => owner._types.TypeOf(name) is { Shape: { IsStatic: true } shape } type
            && (!type.ElementType.IsFloat() || shape.Rank == 0 || shape.All(d => d.Value <= 16));

        private AxisSlot Speak(Port port, int axis)
        {
            axis = Normalize(port, axis);
            _spoken.Add((port, axis));
            return owner._axes.Slot(Name(port), axis);
        }

        private string Name(Port port) => port.IsOutput ? node.Output(port.Index) : node.Input(port.Index);
    }
}

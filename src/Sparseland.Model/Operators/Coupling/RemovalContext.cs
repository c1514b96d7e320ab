using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Coupling;

/// <summary>What an operator sees when entries have left: it brings attributes and constant inputs (targets, sizes, positions) up to date.</summary>
/// <remarks>Weights that have the axis are sliced already; sizes and constants asked for here are those from before.</remarks>
public abstract class RemovalContext
{
    /// <summary>The node of the new graph: attributes may be edited.</summary>
    public abstract Node Node { get; }

    /// <summary>The shape at a port before the removal.</summary>
    public abstract TensorShape OldShape(Port port);

    /// <summary>The shape at a port after the removal.</summary>
    public abstract TensorShape NewShape(Port port);

    /// <summary>The kept entries of an axis in ascending order, as positions before the removal; null when all are kept or the size is unknown.</summary>
    public abstract IReadOnlyList<int>? Kept(Port port, int axis);

    /// <summary>The value that a constant input had before; null when it is not constant.</summary>
    public abstract TensorData? OldConstant(int input);

    /// <summary>Whether an input is computed by nodes, constant or not; false for weights and graph inputs.</summary>
    public abstract bool OldInputIsComputed(int input);

    /// <summary>Gives an input a constant value of its own; other nodes that read the old constant are not affected.</summary>
    public abstract void SetConstant(int input, TensorData value);

    /// <summary>Whether any axis at the port lost entries.</summary>
    public bool IsCut(Port port)
    {
        for (int axis = 0; axis < OldShape(port).Rank; axis++)
        {
            if (Kept(port, axis) is not null) return true;
        }
        return false;
    }

    /// <summary>Number of entries after the removal, or -1 when the size is unknown.</summary>
    public int NewSize(Port port, int axis) => NewShape(port)[axis < 0 ? axis + NewShape(port).Rank : axis].Value;

    /// <summary>Where an old position has moved to: the number of kept entries before it.</summary>
    public int NewPosition(Port port, int axis, int oldPosition)
    {
        if (Kept(port, axis) is not { } kept) return oldPosition;
        int before = 0;
        while (before < kept.Count && kept[before] < oldPosition) before++;
        return before;
    }
}

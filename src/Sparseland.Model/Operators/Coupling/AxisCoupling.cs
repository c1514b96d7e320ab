using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Coupling;

/// <summary>Where an operator says how the axes of its inputs and outputs hang together, so that entries can be removed.</summary>
/// <remarks>
/// <para>An axis of known size is a row of entries. An operator links entries that stand for the same feature: when one
/// leaves, all linked ones leave, in every value, and what the operator computes for the rest must not change as long as
/// the weights' slices of the removed entries were zero ("pruned == the same channels zeroed").</para>
/// <para>An axis that an operator does not mention is frozen when the operator has spoken: silence is never read as
/// consent. Axes of unknown size have no entries; linking one with an axis of known size freezes the latter.</para>
/// <para>Negative axes count from the end. All methods ignore ports that are left out.</para>
/// </remarks>
public abstract class AxisCoupling
{
    /// <summary>The node.</summary>
    public abstract Node Node { get; }

    /// <summary>The shape at a port; every present port has a known rank.</summary>
    /// <exception cref="InvalidOperationException">The port is left out.</exception>
    public abstract TensorShape Shape(Port port);

    /// <summary>Whether an optional input or output is present.</summary>
    public bool Has(Port port) => port.IsOutput ? Node.Output(port.Index).Length > 0 : Node.HasInput(port.Index);

    /// <summary>The value of an input when it is constant; null otherwise.</summary>
    public abstract TensorData? Constant(int input);

    /// <summary>Number of axes at a port.</summary>
    public int Rank(Port port) => Shape(port).Rank;

    /// <summary>Size of an axis, or -1 when it is not known.</summary>
    public int Size(Port port, int axis) => Shape(port)[Normalize(port, axis)].Value;

    /// <summary>The axis counted from the front.</summary>
    public int Normalize(Port port, int axis) => axis < 0 ? axis + Rank(port) : axis;

    /// <summary>Entry i of one axis and entry i of the other are the same feature.</summary>
    public void Link(Port a, int axisA, Port b, int axisB)
    {
        if (!Has(a) || !Has(b)) return;
        int sizeA = Size(a, axisA), sizeB = Size(b, axisB);
        if (sizeA == sizeB)
        {
            LinkRange(a, axisA, 0, b, axisB, 0, Math.Max(sizeA, 0));
            return;
        }
        Freeze(a, axisA, RefusalReason.DynamicShape, "its counterpart's size is not known");
        Freeze(b, axisB, RefusalReason.DynamicShape, "its counterpart's size is not known");
    }

    /// <summary>Entry startA + i * strideA of one axis is entry startB + i * strideB of the other, for i below <paramref name="count"/>.</summary>
    public abstract void LinkRange(Port a, int axisA, int startA, Port b, int axisB, int startB, int count, int strideA = 1, int strideB = 1);

    /// <summary>Entry i of one axis is the block of entries [i * width, (i + 1) * width) of the other; width is the quotient of the sizes.</summary>
    public void LinkBlocks(Port outer, int outerAxis, Port blocks, int blocksAxis)
    {
        if (!Has(outer) || !Has(blocks)) return;
        int count = Size(outer, outerAxis), total = Size(blocks, blocksAxis);
        if (count <= 0 || total < 0 || total % count != 0)
        {
            Freeze(outer, outerAxis, RefusalReason.DynamicShape, "the sizes of its blocks are not known");
            Freeze(blocks, blocksAxis, RefusalReason.DynamicShape, "the sizes of its blocks are not known");
            return;
        }
        int width = total / count;
        for (int j = 0; j < width; j++) LinkRange(outer, outerAxis, 0, blocks, blocksAxis, j, count, 1, width);
    }

    /// <summary>One axis is the product of several axes of another port (row-major, as in a reshape).</summary>
    /// <remarks>
    /// Only one factor can be cut, since an entry of the product belongs to an entry of each factor. The dependency
    /// graph picks the outermost factor that is free to be cut and freezes the others.
    /// </remarks>
    /// <param name="product">The port with the product.</param>
    /// <param name="productAxis">The axis that is the product.</param>
    /// <param name="factors">The port with the factors.</param>
    /// <param name="firstFactor">The first of the factor axes.</param>
    /// <param name="factorCount">Number of factor axes, adjacent.</param>
    public abstract void LinkProduct(Port product, int productAxis, Port factors, int firstFactor, int factorCount);

    /// <summary>These entries of an axis leave together.</summary>
    public abstract void Tie(Port port, int axis, params ReadOnlySpan<int> entries);

    /// <summary>The axis takes part in nothing here: any of its entries may leave as far as this operator is concerned.</summary>
    public abstract void Free(Port port, int axis);

    /// <summary>No entry of the axis may leave.</summary>
    public abstract void Freeze(Port port, int axis, RefusalReason reason, string because);

    /// <summary>One entry of an axis may not leave.</summary>
    public abstract void FreezeEntry(Port port, int axis, int entry, RefusalReason reason, string because);

    /// <summary>No entry of any axis of any input or output may leave.</summary>
    public void FreezeAll(RefusalReason reason, string because)
    {
        foreach (Port port in Ports())
        {
            for (int axis = 0; axis < Rank(port); axis++) Freeze(port, axis, reason, because);
        }
    }

    /// <summary>A graph input or output at this port may change the size of this axis with the model (the heads of a key/value cache).</summary>
    public abstract void MayResizeInterface(Port port, int axis);

    /// <summary>The entries of this axis are attention heads (or belong to heads, whole heads at a time).</summary>
    public abstract void MarkHeads(Port port, int axis);

    /// <summary>Whether entries of the axis are zero in this value once their weights are zero.</summary>
    public abstract bool IsZero(Port port, int axis);

    /// <summary>States for an output what <see cref="IsZero"/> will answer; false for axes about which nothing is stated.</summary>
    public abstract void SetZero(Port output, int axis, bool isZero = true);

    /// <summary>The ports that are present, inputs first.</summary>
    public IEnumerable<Port> Ports()
    {
        for (int i = 0; i < Node.Inputs.Count; i++)
        {
            if (Node.HasInput(i)) yield return Port.In(i);
        }
        for (int i = 0; i < Node.Outputs.Count; i++)
        {
            if (Node.Output(i).Length > 0) yield return Port.Out(i);
        }
    }
}

using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Pad: constant, edge, reflect or wrap; negative pads cut.</summary>
internal sealed class Pad() : Operator("Pad", minInputs: 1, maxInputs: 4)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0);
        long[]? pads = context.Node.HasInput(1) ? context.Integers(1) : context.Node.Attributes.Ints("pads");
        long[]? axes = context.Node.HasInput(3) ? context.Integers(3) : null;
        if (x is null || pads is null || (axes is null && context.Node.HasInput(3)))
        {
            context.SetOutput(0, context.Element(0), x is null ? null : Inference.OfRank(x.Rank));
            return;
        }
        (int[] before, int[] after) = PerAxis(pads, axes, x.Rank);
        context.SetOutput(0, context.Element(0), new TensorShape([.. x.Select((d, i) =>
            before[i] + after[i] == 0 ? d : d.IsKnown ? d.Value + before[i] + after[i] : Dimension.Unknown)]));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        if (Pads(coupling.Node, coupling.Constant, coupling.Rank(x)) is not { } pads) return;
        bool constant = coupling.Node.Attributes.String("mode", "constant") == "constant";
        bool zeros = constant && (coupling.Has(Port.In(2)) ? coupling.Constant(2) is { Length: 1 } fill && fill.ToDoubles()[0] == 0 : coupling.Node.Attributes.Float("value", 0) == 0);
        for (int axis = 0; axis < coupling.Rank(x); axis++)
        {
            int before = pads.Before[axis], after = pads.After[axis];
            if (before == 0 && after == 0) coupling.Link(x, axis, y, axis);
            else if (!constant || before < 0 || after < 0 || coupling.Size(x, axis) < 0) continue;
            else
            {
                coupling.Free(y, axis);
                coupling.LinkRange(x, axis, 0, y, axis, before, coupling.Size(x, axis));
            }
            coupling.SetZero(y, axis, zeros && coupling.IsZero(x, axis));
        }
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        TensorShape x = removal.OldShape(Port.In(0));
        if (!removal.IsCut(Port.Out()) || Pads(removal.Node, removal.OldConstant, x.Rank) is not { } pads) return;
        for (int axis = 0; axis < x.Rank; axis++)
        {
            if (removal.Kept(Port.Out(), axis) is not { } kept || (pads.Before[axis] == 0 && pads.After[axis] == 0)) continue;
            int before = pads.Before[axis];
            pads.Before[axis] = kept.Count(i => i < before);
            pads.After[axis] = kept.Count(i => i >= before + x[axis].Value);
        }
        long[] all = [.. pads.Before.Concat(pads.After).Select(p => (long)p)];
        if (!removal.Node.HasInput(1))
        {
            removal.Node.Attributes.Set("pads", all);
            return;
        }
        removal.SetConstant(1, TensorData.Vector(all));
        if (removal.Node.HasInput(3)) removal.SetConstant(3, TensorData.Vector([.. Enumerable.Range(0, x.Rank).Select(i => (long)i)]));
    }

    private static (int[] Before, int[] After)? Pads(Node node, Func<int, TensorData?> constant, int rank)
    {
        long[]? pads = node.HasInput(1) ? constant(1)?.ToInt64s() : node.Attributes.Ints("pads");
        long[]? axes = node.HasInput(3) ? constant(3)?.ToInt64s() : null;
        return pads is null || (axes is null && node.HasInput(3)) ? null : PerAxis(pads, axes, rank);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        long[] pads = context.Has(1) ? context.Input(1).ToInt64s() : context.Node.Attributes.Ints("pads") ?? throw context.Error("there are no pads");
        (int[] before, int[] after) = PerAxis(pads, context.Has(3) ? context.Input(3).ToInt64s() : null, x.Rank);
        string mode = context.Node.Attributes.String("mode", "constant");
        var shape = new int[x.Rank];
        var maps = new int[x.Rank][];
        int[] strides = Axes.Strides(x.Shape);
        for (int i = 0; i < x.Rank; i++)
        {
            int size = x.Shape[i];
            shape[i] = size + before[i] + after[i];
            if (shape[i] < 0) throw context.Error($"pads cut more than axis {i} has");
            maps[i] = new int[shape[i]];
            for (int k = 0; k < shape[i]; k++) maps[i][k] = Source(context, mode, k - before[i], size);
        }

        var picks = new int[Axes.Product(shape)];
        int[] at = new int[x.Rank];
        for (int to = 0; to < picks.Length; to++)
        {
            int from = 0;
            for (int i = 0; i < at.Length && from >= 0; i++) from = maps[i][at[i]] < 0 ? -1 : from + (maps[i][at[i]] * strides[i]);
            picks[to] = from;
            Axes.Next(at, shape);
        }
        TensorData y = Moving.Pick(x, shape, picks);
        if (mode == "constant") FillHoles(context, y, picks);
        return [y];
    }

    private static void FillHoles(EvaluationContext context, TensorData y, int[] picks)
    {
        float attribute = context.Node.Attributes.Float("value", 0);
        if (!context.Has(2) && attribute == 0) return;
        TensorData fill = context.Has(2) ? context.Input(2) : TensorData.Scalar(attribute).To(y.ElementType);
        if (fill.Length != 1) throw context.Error("the padding value must be a scalar");
        for (int i = 0; i < picks.Length; i++)
        {
            if (picks[i] < 0) Moving.Block(fill, 0, y, i, 1);
        }
    }

    private static int Source(EvaluationContext context, string mode, int position, int size)
    {
        if (position >= 0 && position < size) return position;
        switch (mode)
        {
            case "constant":
                return -1;
            case "edge" when size > 0:
                return Math.Clamp(position, 0, size - 1);
            case "reflect" when size > 0:
                if (size == 1) return 0;
                int period = 2 * (size - 1), r = ((position % period) + period) % period;
                return r < size ? r : period - r;
            case "wrap" when size > 0:
                return ((position % size) + size) % size;
            default:
                throw context.Error($"padding mode '{mode}' is not known or the axis is empty");
        }
    }

    private static (int[] Before, int[] After) PerAxis(long[] pads, long[]? axes, int rank)
    {
        int[] targets = axes is null ? [.. Enumerable.Range(0, rank)] : Axes.Normalize(axes, rank);
        if (pads.Length != 2 * targets.Length) throw new ArgumentException($"{pads.Length} pads for {targets.Length} axes");
        int[] before = new int[rank], after = new int[rank];
        for (int i = 0; i < targets.Length; i++)
            (before[targets[i]], after[targets[i]]) = (checked((int)pads[i]), checked((int)pads[i + targets.Length]));
        return (before, after);
    }
}

/// <summary>CenterCropPad: crops or zero-pads axes around their centres to given sizes.</summary>
internal sealed class CenterCropPad() : Operator("CenterCropPad", minInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = context.Shape(0);
        if (result is not null)
        {
            long[] axes = context.Node.Attributes.Ints("axes") ?? [.. Enumerable.Range(0, result.Rank).Select(i => (long)i)];
            TensorShape? target = context.InputAsShape(1);
            for (int i = 0; i < axes.Length; i++) result = result.With(Axes.Normalize(axes[i], result.Rank), target?[i] ?? Dimension.Unknown);
        }
        context.SetOutput(0, context.Element(0), result);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        long[] target = context.Input(1).ToInt64s();
        long[] axes = context.Node.Attributes.Ints("axes") ?? [.. Enumerable.Range(0, x.Rank).Select(i => (long)i)];
        int[] shape = x.Shape.ToArray(), shift = new int[x.Rank], strides = Axes.Strides(x.Shape);
        for (int i = 0; i < axes.Length; i++)
        {
            int axis = Axes.Normalize(axes[i], x.Rank), size = checked((int)target[i]);
            shift[axis] = size < shape[axis] ? (shape[axis] - size) / 2 : -((size - shape[axis]) / 2);
            shape[axis] = size;
        }
        var picks = new int[Axes.Product(shape)];
        int[] at = new int[x.Rank];
        for (int to = 0; to < picks.Length; to++)
        {
            int from = 0;
            for (int d = 0; d < at.Length && from >= 0; d++)
            {
                int p = at[d] + shift[d];
                from = p < 0 || p >= x.Shape[d] ? -1 : from + (p * strides[d]);
            }
            picks[to] = from;
            Axes.Next(at, shape);
        }
        return [Moving.Pick(x, shape, picks)];
    }
}

/// <summary>DepthToSpace: [n, c b b, h, w] to [n, c, h b, w b].</summary>
internal sealed class DepthToSpace() : Operator("DepthToSpace")
{
    public override void Infer(InferenceContext context)
    {
        int b = (int)context.Node.Attributes.Int("blocksize", 1);
        context.SetOutput(0, context.Element(0), context.Shape(0) is not { Rank: 4 } x ? Inference.OfRank(4)
            : new TensorShape(x[0], Divide(x[1], b * b), Times(x[2], b), Times(x[3], b)));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        int blocks = (int)coupling.Node.Attributes.Int("blocksize", 1), channels = coupling.Size(y, 1);
        bool outer = coupling.Node.Attributes.String("mode", "DCR") == "DCR";
        coupling.Link(x, 0, y, 0);
        if (channels < 0) return;
        // All cells of a block come from the same output channel.
        for (int cell = 0; cell < blocks * blocks; cell++)
            coupling.LinkRange(y, 1, 0, x, 1, outer ? cell * channels : cell, channels, 1, outer ? 1 : blocks * blocks);
        coupling.SetZero(y, 1, coupling.IsZero(x, 1));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int b = (int)context.Node.Attributes.Int("blocksize", 1), n = x.Shape[0], c = x.Shape[1] / (b * b), h = x.Shape[2], w = x.Shape[3];
        TensorData moved = context.Node.Attributes.String("mode", "DCR") == "DCR"
            ? Moving.Transpose(x.Reshape(n, b, b, c, h, w), [0, 3, 4, 1, 5, 2])
            : Moving.Transpose(x.Reshape(n, c, b, b, h, w), [0, 1, 4, 2, 5, 3]);
        return [moved.Reshape(n, c, h * b, w * b)];
    }

    internal static Dimension Times(Dimension d, int factor) => d.IsKnown ? checked(d.Value * factor) : factor == 1 ? d : Dimension.Unknown;

    internal static Dimension Divide(Dimension d, int by) => d.IsKnown ? d.Value / by : by == 1 ? d : Dimension.Unknown;
}

/// <summary>SpaceToDepth: [n, c, h b, w b] to [n, b b c, h, w].</summary>
internal sealed class SpaceToDepth() : Operator("SpaceToDepth")
{
    public override void Infer(InferenceContext context)
    {
        int b = (int)context.Node.Attributes.Int("blocksize", 1);
        context.SetOutput(0, context.Element(0), context.Shape(0) is not { Rank: 4 } x ? Inference.OfRank(4)
            : new TensorShape(x[0], DepthToSpace.Times(x[1], b * b), DepthToSpace.Divide(x[2], b), DepthToSpace.Divide(x[3], b)));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), y = Port.Out();
        int blocks = (int)coupling.Node.Attributes.Int("blocksize", 1), channels = coupling.Size(x, 1);
        coupling.Link(x, 0, y, 0);
        if (channels < 0) return;
        for (int cell = 0; cell < blocks * blocks; cell++) coupling.LinkRange(x, 1, 0, y, 1, cell * channels, channels);
        coupling.SetZero(y, 1, coupling.IsZero(x, 1));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int b = (int)context.Node.Attributes.Int("blocksize", 1), n = x.Shape[0], c = x.Shape[1], h = x.Shape[2] / b, w = x.Shape[3] / b;
        return [Moving.Transpose(x.Reshape(n, c, h, b, w, b), [0, 3, 5, 1, 2, 4]).Reshape(n, c * b * b, h, w)];
    }
}

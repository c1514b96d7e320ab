using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Gather: slices of an axis, picked by an index tensor of any shape.</summary>
internal sealed class Gather() : Operator("Gather", minInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        if (context.Shape(0) is { } x && context.Shape(1) is { } at)
        {
            int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
            result = new TensorShape([.. x.Take(axis), .. at, .. x.Skip(axis + 1)]);
        }
        context.SetOutput(0, context.Element(0), result);
        if (context.Shape(0) is { Rank: 1 } && context.InputAsShape(0) is { } sizes && context.Integers(1) is { } indices && context.Shape(1) is { Rank: <= 1 })
            context.SetOutputAsShape(0, new TensorShape([.. indices.Select(i => sizes[Axes.Normalize(i, sizes.Rank)])]));
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), at = Port.In(1), y = Port.Out();
        int picked = coupling.Normalize(x, (int)coupling.Node.Attributes.Int("axis", 0)), width = coupling.Rank(at), size = coupling.Size(x, picked);
        for (int axis = 0; axis < coupling.Rank(x); axis++)
        {
            if (axis == picked) continue;
            int to = axis < picked ? axis : axis + width - 1;
            coupling.Link(x, axis, y, to);
            coupling.SetZero(y, to, coupling.IsZero(x, axis));
        }
        long[]? indices = coupling.Constant(1)?.ToInt64s();
        if (indices is null || width > 1)
        {
            coupling.Freeze(x, picked, RefusalReason.IndexedAxis, "its entries are picked by index");
            for (int i = 0; i < width; i++) coupling.Link(at, i, y, picked + i);
            return;
        }
        if (size < 0) return;
        coupling.Free(x, picked);
        for (int i = 0; i < indices.Length; i++)
        {
            int entry = (int)(indices[i] < 0 ? indices[i] + size : indices[i]);
            if (width == 0) coupling.FreezeEntry(x, picked, entry, RefusalReason.IndexedAxis, "it is the one entry that is picked");
            else coupling.LinkRange(x, picked, entry, y, picked, i, 1);
        }
        // The list of indices stays unspoken: it is written anew, so that a list shared with other nodes ties nothing together.
        if (width > 0) coupling.SetZero(y, picked, coupling.IsZero(x, picked));
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        TensorShape x = removal.OldShape(Port.In(0));
        int picked = Axes.Normalize(removal.Node.Attributes.Int("axis", 0), x.Rank), size = x[picked].Value;
        if (removal.OldConstant(1) is not { } at || at.Rank > 1 || (removal.Kept(Port.In(0), picked) is null && removal.Kept(Port.Out(), picked) is null)) return;
        long[] indices = at.ToInt64s();
        IEnumerable<int> kept = at.Rank == 0 ? [0] : removal.Kept(Port.Out(), picked) ?? Enumerable.Range(0, indices.Length);
        long[] moved = [.. kept.Select(i => (long)removal.NewPosition(Port.In(0), picked, (int)(indices[i] < 0 ? indices[i] + size : indices[i])))];
        removal.SetConstant(1, at.Rank == 0 ? TensorData.Scalar(moved[0]) : TensorData.Vector(moved));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), at = context.Input(1);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
        (int outer, int size, int inner) = Axes.Around(x.Shape, axis);
        long[] indices = at.ToInt64s();
        TensorData y = TensorData.Zeros(x.ElementType, [.. x.Shape[..axis], .. at.Shape, .. x.Shape[(axis + 1)..]]);
        int[] rows = Array.ConvertAll(indices, i => Index(context, i, size));
        if (inner == 1)
        {
            var picks = new int[y.Length];
            for (int o = 0, to = 0; o < outer; o++)
            {
                foreach (int row in rows) picks[to++] = (o * size) + row;
            }
            return [Moving.Pick(x, y.Shape, picks)];
        }
        for (int o = 0, to = 0; o < outer && inner > 0; o++)
        {
            foreach (int row in rows)
            {
                Moving.Block(x, ((o * size) + row) * inner, y, to, inner);
                to += inner;
            }
        }
        return [y];
    }

    /// <summary>An index counted from the front.</summary>
    internal static int Index(EvaluationContext context, long index, int size)
    {
        if (index < -size || index >= size) throw context.Error($"index {index} is outside an axis of size {size}");
        return (int)(index < 0 ? index + size : index);
    }
}

/// <summary>GatherElements: out[i][j] = x[index[i][j]][j] for axis 0.</summary>
internal sealed class GatherElements() : Operator("GatherElements", minInputs: 2)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, context.Element(0), context.Shape(1));

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), at = context.Input(1);
        return [Moving.Pick(x, at.Shape, Positions(context, x, at, Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank)))];
    }

    /// <summary>For each element of an index tensor, the position in <paramref name="x"/> that it names.</summary>
    internal static int[] Positions(EvaluationContext context, TensorData x, TensorData at, int axis)
    {
        if (x.Rank != at.Rank) throw context.Error("the index tensor must have the input's rank");
        int[] strides = Axes.Strides(x.Shape), sizes = at.Shape.ToArray(), coordinates = new int[at.Rank];
        long[] indices = at.ToInt64s();
        var positions = new int[indices.Length];
        for (int i = 0; i < positions.Length; i++)
        {
            int position = Gather.Index(context, indices[i], x.Shape[axis]) * strides[axis];
            for (int d = 0; d < coordinates.Length; d++)
            {
                if (d == axis) continue;
                if (coordinates[d] >= x.Shape[d]) throw context.Error($"the index tensor is longer than the input along axis {d}");
                position += coordinates[d] * strides[d];
            }
            positions[i] = position;
            Axes.Next(coordinates, sizes);
        }
        return positions;
    }
}

/// <summary>GatherND: slices named by index tuples in the last axis.</summary>
internal sealed class GatherND() : Operator("GatherND", minInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        int batch = (int)context.Node.Attributes.Int("batch_dims", 0);
        if (context.Shape(0) is { } x && context.Shape(1) is { Rank: > 0 } at && at[at.Rank - 1].IsKnown)
            result = new TensorShape([.. at.Take(at.Rank - 1), .. x.Skip(batch + at[at.Rank - 1].Value)]);
        context.SetOutput(0, context.Element(0), result);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), at = context.Input(1);
        int batch = (int)context.Node.Attributes.Int("batch_dims", 0);
        int tuple = at.Shape[^1], inner = Axes.Product(x.Shape[(batch + tuple)..]);
        TensorData y = TensorData.Zeros(x.ElementType, [.. at.Shape[..^1], .. x.Shape[(batch + tuple)..]]);
        int[] strides = Axes.Strides(x.Shape);
        long[] indices = at.ToInt64s();
        int batches = Axes.Product(x.Shape[..batch]), perBatch = indices.Length / Math.Max(1, batches * tuple);
        int batchStride = Axes.Product(x.Shape[batch..]);
        for (int i = 0; i < batches * perBatch && inner > 0; i++)
        {
            int from = i / perBatch * batchStride;
            for (int t = 0; t < tuple; t++) from += Gather.Index(context, indices[(i * tuple) + t], x.Shape[batch + t]) * strides[batch + t];
            Moving.Block(x, from, y, i * inner, inner);
        }
        return [y];
    }
}

/// <summary>ScatterElements (and the older Scatter): a copy of the data with elements replaced or combined.</summary>
internal sealed class ScatterElements(string opType) : Operator(opType, minInputs: 3)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", 0), x.Rank);
        int[] positions = GatherElements.Positions(context, x, context.Input(1), axis);
        return [Scatter(context, x, context.Input(2), positions)];
    }

    /// <summary>Lays updates over a copy of the data; several updates of one place are combined in order.</summary>
    internal static TensorData Scatter(EvaluationContext context, TensorData x, TensorData updates, int[] positions)
    {
        string reduction = context.Node.Attributes.String("reduction", "none");
        if (updates.ElementType != x.ElementType) throw context.Error("updates are of another element type");
        if (updates.Length != positions.Length) throw context.Error("there must be one update per index");
        if (reduction == "none")
        {
            TensorData y = x.Clone();
            for (int i = 0; i < positions.Length; i++) Moving.Block(updates, i, y, positions[i], 1);
            return y;
        }
        if (x.ElementType is ElementType.Int64 or ElementType.Int32 or ElementType.UInt8 or ElementType.Int8 or ElementType.Int16 or ElementType.UInt16 or ElementType.UInt32)
        {
            long[] into = (long[])x.To(ElementType.Int64).Array<long>().Clone(), values = updates.To(ElementType.Int64).Array<long>();
            for (int i = 0; i < positions.Length; i++) into[positions[i]] = Combine(context, reduction, into[positions[i]], values[i]);
            return TensorData.Wrap(into, x.Shape).To(x.ElementType);
        }
        double[] sums = (double[])x.ToDoubles().Clone(), terms = updates.ToDoubles();
        for (int i = 0; i < positions.Length; i++) sums[positions[i]] = Combine(context, reduction, sums[positions[i]], terms[i]);
        return TensorData.Wrap(sums, x.Shape).To(x.ElementType);
    }

    private static T Combine<T>(EvaluationContext context, string reduction, T a, T b) where T : System.Numerics.INumber<T> => reduction switch
    {
        "add" => a + b,
        "mul" => a * b,
        "max" => T.Max(a, b),
        "min" => T.Min(a, b),
        _ => throw context.Error($"reduction '{reduction}' is not known"),
    };
}

/// <summary>ScatterND: a copy of the data with slices replaced or combined.</summary>
internal sealed class ScatterND() : Operator("ScatterND", minInputs: 3)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), at = context.Input(1);
        int tuple = at.Shape[^1], inner = Axes.Product(x.Shape[tuple..]);
        int[] strides = Axes.Strides(x.Shape);
        long[] indices = at.ToInt64s();
        int count = tuple == 0 ? Axes.Product(at.Shape[..^1]) : indices.Length / tuple;
        var positions = new int[count * inner];
        for (int i = 0; i < count; i++)
        {
            int to = 0;
            for (int t = 0; t < tuple; t++) to += Gather.Index(context, indices[(i * tuple) + t], x.Shape[t]) * strides[t];
            for (int k = 0; k < inner; k++) positions[(i * inner) + k] = to + k;
        }
        return [ScatterElements.Scatter(context, x, context.Input(2), positions)];
    }
}

/// <summary>TensorScatter: writes new keys or values into a cache along its sequence axis, at one place per batch entry.</summary>
internal sealed class TensorScatter() : Operator("TensorScatter", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData y = context.Input(0).Clone(), update = context.Input(1);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -2), y.Rank);
        bool circular = context.Node.Attributes.String("mode", "linear") == "circular";
        long[]? writeAt = context.Has(2) ? context.Input(2).ToInt64s() : null;
        (int outer, int size, int inner) = Axes.Around(y.Shape, axis);
        int steps = update.Shape[axis], perBatch = outer / Math.Max(1, y.Shape[0]);
        for (int o = 0; o < outer; o++)
        {
            for (int s = 0; s < steps; s++)
            {
                long at = s + (writeAt?[o / perBatch] ?? 0);
                if (circular) at %= size;
                if (at < 0 || at >= size) throw context.Error($"position {at} is outside a cache of {size}");
                Moving.Block(update, ((o * steps) + s) * inner, y, (int)((o * size) + at) * inner, inner);
            }
        }
        return [y];
    }
}

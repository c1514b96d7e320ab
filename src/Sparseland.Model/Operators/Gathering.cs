using Sparseland.Model.Graph;
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

using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Constant: a value written in the node.</summary>
internal sealed class Constant() : Operator("Constant", minInputs: 0)
{
    public override void Infer(InferenceContext context)
    {
        TensorData value = Value(context.Node) ?? throw context.Error("there is no value");
        context.SetOutput(0, value.ElementType, TensorShape.Of(value.Shape));
    }

    public override void Couple(AxisCoupling coupling)
    {
        for (int axis = 0; axis < coupling.Rank(Port.Out()); axis++) coupling.Free(Port.Out(), axis);
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        if (!removal.IsCut(Port.Out()) || Value(removal.Node) is not { } value) return;
        var kept = new IReadOnlyList<int>?[value.Rank];
        for (int axis = 0; axis < kept.Length; axis++) kept[axis] = removal.Kept(Port.Out(), axis);
        foreach (string name in removal.Node.Attributes.Names.ToList()) removal.Node.Attributes.Remove(name);
        removal.Node.Attributes.Set("value", Moving.Keep(value, kept));
    }

    public override TensorData?[] Evaluate(EvaluationContext context) => [Value(context.Node) ?? throw context.Error("there is no value")];

    private static TensorData? Value(Node node)
    {
        NodeAttributes a = node.Attributes;
        if (a.Tensor("value") is { } tensor) return tensor;
        if (a.Has("value_float")) return TensorData.Scalar(a.Float("value_float", 0));
        if (a.Has("value_int")) return TensorData.Scalar(a.Int("value_int", 0));
        if (a.Has("value_string")) return TensorData.Scalar(a.String("value_string", ""));
        if (a.Floats("value_floats") is { } floats) return TensorData.Vector(floats);
        if (a.Ints("value_ints") is { } integers) return TensorData.Vector(integers);
        return a.Strings("value_strings") is { } strings ? TensorData.Vector(strings) : null;
    }
}

/// <summary>ConstantOfShape: one value everywhere.</summary>
internal sealed class ConstantOfShape() : Operator("ConstantOfShape")
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Node.Attributes.Tensor("value")?.ElementType ?? ElementType.Float32, context.InputAsShape(0));

    public override void Couple(AxisCoupling coupling)
    {
        bool zero = coupling.Node.Attributes.Tensor("value") is not { } value || value.ToDoubles().All(v => v == 0);
        if (coupling.Constant(0) is null) return;
        for (int axis = 0; axis < coupling.Rank(Port.Out()); axis++)
        {
            coupling.Free(Port.Out(), axis);
            coupling.SetZero(Port.Out(), axis, zero);
        }
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        if (removal.IsCut(Port.Out())) removal.SetConstant(0, TensorData.Vector([.. removal.NewShape(Port.Out()).Select(d => (long)d.Value)]));
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        int[] shape = Array.ConvertAll(context.Input(0).ToInt64s(), v => checked((int)v));
        TensorData value = context.Node.Attributes.Tensor("value") ?? TensorData.Scalar(0f);
        return [Moving.Expand(value.Reshape(), shape)];
    }
}

/// <summary>Shape: the sizes as 64-bit integers, perhaps of some axes only.</summary>
internal sealed class Shape() : Operator("Shape")
{
    public override void Infer(InferenceContext context)
    {
        if (context.Shape(0) is not { } x)
        {
            context.SetOutput(0, ElementType.Int64, Inference.OfRank(1));
            return;
        }
        (int start, int end) = Range(context.Node, x.Rank);
        context.SetOutput(0, ElementType.Int64, new TensorShape(end - start));
        context.SetOutputAsShape(0, new TensorShape([.. x.Skip(start).Take(end - start)]));
    }

    // Sizes that are computed with are followed by the dependency graph itself.
    public override void Couple(AxisCoupling coupling)
    {
        for (int axis = 0; axis < coupling.Rank(Port.In(0)); axis++) coupling.Free(Port.In(0), axis);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        (int start, int end) = Range(context.Node, x.Rank);
        return [TensorData.Vector(Array.ConvertAll(x.Shape[start..end].ToArray(), d => (long)d))];
    }

    private static (int Start, int End) Range(Node node, int rank)
    {
        long start = node.Attributes.Int("start", 0), end = node.Attributes.Int("end", rank);
        int from = (int)Math.Clamp(start < 0 ? start + rank : start, 0, rank), to = (int)Math.Clamp(end < 0 ? end + rank : end, 0, rank);
        return (from, Math.Max(from, to));
    }
}

/// <summary>Size: the number of elements.</summary>
internal sealed class Size() : Operator("Size")
{
    public override void Infer(InferenceContext context)
    {
        context.SetOutput(0, ElementType.Int64, TensorShape.Scalar);
        if (context.Shape(0) is { } x) context.SetOutputAsShape(0, new TensorShape(Flatten.Product(x)));
    }

    // Sizes that are computed with are followed by the dependency graph itself.
    public override void Couple(AxisCoupling coupling)
    {
        for (int axis = 0; axis < coupling.Rank(Port.In(0)); axis++) coupling.Free(Port.In(0), axis);
    }

    public override TensorData?[] Evaluate(EvaluationContext context) => [TensorData.Scalar((long)context.Input(0).Length)];
}

/// <summary>Range: start, start + step ... before limit.</summary>
internal sealed class SequenceOfNumbers() : Operator("Range", minInputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        Dimension count = Dimension.Unknown;
        if (context.InputValue(0) is { } a && context.InputValue(1) is { } b && context.InputValue(2) is { } c) count = Count(a, b, c);
        else if (context.InputValue(0)?.ToDoubles()[0] == 0 && context.InputValue(2)?.ToDoubles()[0] == 1 && context.InputAsShape(1) is { Rank: 1 } limit) count = limit[0];
        context.SetOutput(0, context.Element(0), new TensorShape(count));
    }

    // Positions stay as they are.
    public override void Couple(AxisCoupling coupling)
    {
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData start = context.Input(0), step = context.Input(2);
        int count = Count(start, context.Input(1), step);
        if (start.ElementType.IsFloat())
        {
            double from = start.ToDoubles()[0], by = step.ToDoubles()[0];
            return [TensorData.Vector([.. Enumerable.Range(0, count).Select(i => from + (i * by))]).To(start.ElementType)];
        }
        long first = start.ToInt64s()[0], increment = step.ToInt64s()[0];
        return [TensorData.Vector([.. Enumerable.Range(0, count).Select(i => first + (i * increment))]).To(start.ElementType)];
    }

    private static int Count(TensorData start, TensorData limit, TensorData step)
    {
        double by = step.ToDoubles()[0];
        if (by == 0) throw new ArgumentException("the step is 0");
        return checked((int)Math.Max(0, Math.Ceiling((limit.ToDoubles()[0] - start.ToDoubles()[0]) / by)));
    }
}

/// <summary>OneHot: a new axis with the on-value at the index and the off-value elsewhere.</summary>
internal sealed class OneHot() : Operator("OneHot", minInputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        if (context.Shape(0) is { } x)
        {
            int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), x.Rank + 1);
            Dimension depth = context.InputValue(1) is { } d ? (int)d.ToDoubles()[0] : Dimension.Unknown;
            result = new TensorShape([.. x.Take(axis), depth, .. x.Skip(axis)]);
        }
        context.SetOutput(0, context.Element(2), result);
    }

    // Classes stay as they are.
    public override void Couple(AxisCoupling coupling)
    {
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData at = context.Input(0), values = context.Input(2);
        int depth = checked((int)context.Input(1).ToDoubles()[0]);
        int axis = Axes.Normalize(context.Node.Attributes.Int("axis", -1), at.Rank + 1);
        double[] indices = at.ToDoubles();
        int outer = Axes.Product(at.Shape[..axis]), inner = Axes.Product(at.Shape[axis..]);
        var picks = new int[checked(outer * depth * inner)];
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < inner; i++)
            {
                long index = (long)indices[(o * inner) + i];
                if (index < 0) index += depth;
                if (index >= 0 && index < depth) picks[(((o * depth) + (int)index) * inner) + i] = 1;
            }
        }
        return [Moving.Pick(values, [.. at.Shape[..axis], depth, .. at.Shape[axis..]], picks)];
    }
}

/// <summary>EyeLike: ones on a diagonal.</summary>
internal sealed class EyeLike() : Operator("EyeLike")
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, (ElementType)context.Node.Attributes.Int("dtype", (long)context.Element(0)), context.Shape(0));

    // Rows and columns stay as they are.
    public override void Couple(AxisCoupling coupling)
    {
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int rows = x.Shape[0], columns = x.Shape[1];
        long k = context.Node.Attributes.Int("k", 0);
        var y = new float[x.Length];
        for (int i = 0; i < rows; i++)
        {
            if (i + k >= 0 && i + k < columns) y[(i * columns) + i + k] = 1;
        }
        return [TensorData.Wrap(y, x.Shape).To((ElementType)context.Node.Attributes.Int("dtype", (long)x.ElementType))];
    }
}

/// <summary>Trilu: the upper or lower triangle of the last two axes, zeros elsewhere.</summary>
internal sealed class Trilu() : Operator("Trilu", minInputs: 1, maxInputs: 2)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) =>
        coupling.SameExcept(Port.In(0), Port.Out(), [coupling.Rank(Port.In(0)) - 1, coupling.Rank(Port.In(0)) - 2]);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        long k = context.Has(1) ? context.Input(1).ToInt64s()[0] : 0;
        bool upper = context.Node.Attributes.Int("upper", 1) == 1;
        int rows = x.Shape[^2], columns = x.Shape[^1];
        var picks = new int[x.Length];
        for (int i = 0; i < picks.Length; i++)
        {
            int row = i / columns % rows, column = i % columns;
            picks[i] = upper ? (column - row >= k ? i : -1) : (column - row <= k ? i : -1);
        }
        return [Moving.Pick(x, x.Shape, picks)];
    }
}

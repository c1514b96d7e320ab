using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Where: elements of X where the condition holds, of Y elsewhere; all three broadcast.</summary>
internal sealed class Where() : Operator("Where", minInputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        if (context.Element(1) != context.Element(2)) throw context.Error("X and Y are of different element types");
        context.SetOutput(0, context.Element(1), context.Broadcast(context.Shape(0), context.Shape(1), context.Shape(2)));
        InferSizes(context);
    }

    public override void Couple(AxisCoupling coupling)
    {
        coupling.Broadcast(ZeroRule.Never, [0]);
        coupling.Broadcast(ZeroRule.All, [1, 2]);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData condition = context.Input(0), a = context.Input(1), b = context.Input(2);
        int[] shape = Axes.Broadcast(condition.Shape.ToArray(), a.Shape.ToArray(), b.Shape.ToArray());
        ReadOnlySpan<bool> take = Moving.Expand(condition, shape).Span<bool>();
        // One copy of b with elements of a laid over it, run by run.
        a = Moving.Expand(a, shape);
        TensorData y = Moving.Expand(b, shape).Clone();
        for (int i = 0; i < take.Length;)
        {
            if (!take[i])
            {
                i++;
                continue;
            }
            int start = i;
            while (i < take.Length && take[i]) i++;
            Moving.Block(a, start, y, start, i - start);
        }
        return [y];
    }

    private static void InferSizes(InferenceContext context)
    {
        if (context.Element(1) != ElementType.Int64 || context.InputValue(0) is not { } condition) return;
        if (context.InputAsShape(1) is not { } a || context.InputAsShape(2) is not { } b || condition.Rank > 1) return;
        int length = Math.Max(condition.Length, Math.Max(a.Rank, b.Rank));
        if ((a.Rank != 1 && a.Rank != length) || (b.Rank != 1 && b.Rank != length) || (condition.Length != 1 && condition.Length != length)) return;
        var sizes = new Dimension[length];
        for (int i = 0; i < length; i++)
            sizes[i] = condition.Span<bool>()[condition.Length == 1 ? 0 : i] ? a[a.Rank == 1 ? 0 : i] : b[b.Rank == 1 ? 0 : i];
        context.SetOutputAsShape(0, new TensorShape(sizes));
    }
}

/// <summary>Clip: min(max(x, low), high); either bound may be left out. Bounds may be attributes, as before opset 11.</summary>
internal sealed class Clip() : Operator("Clip", minInputs: 1, maxInputs: 3)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling)
    {
        NodeAttributes a = coupling.Node.Attributes;
        double low = Value(1, a.Float("min", float.NegativeInfinity)), high = Value(2, a.Float("max", float.PositiveInfinity));
        coupling.Pointwise(keepsZero: low <= 0 && high >= 0);

        double Value(int input, double fallback) => !coupling.Has(Port.In(input)) ? fallback
            : coupling.Constant(input) is { Length: 1 } bound ? bound.ToDoubles()[0] : double.NaN;
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        TensorData? low = Bound(context, 1, "min"), high = Bound(context, 2, "max");
        if (low is not null) x = Binary.Apply<MaxFunction>(x, low);
        if (high is not null) x = Binary.Apply<MinFunction>(x, high);
        return [x];
    }

    private static TensorData? Bound(EvaluationContext context, int index, string attribute) => context.Has(index)
        ? context.Input(index).Length == 1 ? context.Input(index).Reshape() : throw context.Error("bounds must be scalars")
        : context.Node.Attributes.Has(attribute)
            ? TensorData.Scalar(context.Node.Attributes.Float(attribute, 0)).To(context.Input(0).ElementType)
            : null;
}

/// <summary>Cast to the element type of attribute "to".</summary>
internal sealed class Cast() : Operator("Cast")
{
    public override void Infer(InferenceContext context)
    {
        var to = (ElementType)context.Node.Attributes.Int("to", 0);
        context.SetOutput(0, to, context.Shape(0));
        if (to is ElementType.Int64 or ElementType.Int32 && context.InputAsShape(0) is { } sizes) context.SetOutputAsShape(0, sizes);
    }

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: true);

    public override TensorData?[] Evaluate(EvaluationContext context) => [context.Input(0).To((ElementType)context.Node.Attributes.Int("to", 0))];
}

/// <summary>Cast to the element type of the second input.</summary>
internal sealed class CastLike() : Operator("CastLike", minInputs: 2)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, context.Element(1), context.Shape(0));

    public override void Couple(AxisCoupling coupling)
    {
        coupling.Pointwise(keepsZero: true);
        for (int axis = 0; axis < coupling.Rank(Port.In(1)); axis++) coupling.Free(Port.In(1), axis);
    }

    public override TensorData?[] Evaluate(EvaluationContext context) => [context.Input(0).To(context.Input(1).ElementType)];
}

/// <summary>BitCast: the same bytes under another type of the same width.</summary>
internal sealed class BitCast() : Operator("BitCast")
{
    public override void Infer(InferenceContext context)
    {
        var to = (ElementType)context.Node.Attributes.Int("to", 0);
        if (to.Size() == 0 || to.Size() != context.Element(0).Size()) throw context.Error($"cannot read {context.Element(0)} bits as {to}");
        context.SetOutput(0, to, context.Shape(0));
    }

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: true);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), y = TensorData.Zeros((ElementType)context.Node.Attributes.Int("to", 0), x.Shape);
        if (y.ByteLength != x.ByteLength) throw context.Error($"cannot read {x.ElementType} bits as {y.ElementType}");
        x.Bytes().CopyTo(y.Bytes());
        return [y];
    }
}

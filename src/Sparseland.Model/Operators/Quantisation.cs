using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>What the quantising operators share.</summary>
internal static class Quantisation
{
    /// <summary>round-half-even(values) + zero, clamped to the type's range.</summary>
    public static TensorData Saturate(double[] values, ReadOnlySpan<int> shape, ElementType type, long zero)
    {
        (double low, double high) = Range(type);
        double[] clamped = Array.ConvertAll(values, v => Math.Clamp(Math.Round(v, MidpointRounding.ToEven) + zero, low, high));
        return TensorData.Wrap(clamped, shape).To(type);
    }

    public static (double Low, double High) Range(ElementType type) => type switch
    {
        ElementType.UInt8 => (byte.MinValue, byte.MaxValue),
        ElementType.Int8 => (sbyte.MinValue, sbyte.MaxValue),
        ElementType.UInt16 => (ushort.MinValue, ushort.MaxValue),
        ElementType.Int16 => (short.MinValue, short.MaxValue),
        ElementType.Int32 => (int.MinValue, int.MaxValue),
        _ => throw new NotSupportedException($"cannot quantise to {type}"),
    };

    /// <summary>For each element of a tensor the place of its scale: per tensor, per axis, or per block of an axis.</summary>
    public static int[] ScalePlaces(Node node, ReadOnlySpan<int> shape, TensorData scale)
    {
        var places = new int[Axes.Product(shape)];
        if (scale.Length == 1) return places;
        int axis = Axes.Normalize(node.Attributes.Int("axis", 1), shape.Length);
        int block = (int)node.Attributes.Int("block_size", 0);
        (_, int size, int inner) = Axes.Around(shape, axis);
        bool blocked = scale.Rank == shape.Length && scale.Rank > 1;
        int scales = scale.Shape[blocked ? axis : 0];
        if (blocked && block == 0) block = (size + scales - 1) / scales;
        if (!blocked && scales != size) throw new ArgumentException($"{scales} scales for an axis of {size}");
        for (int i = 0; i < places.Length; i++)
        {
            int along = i / inner % size;
            places[i] = blocked ? (((i / inner / size * scales) + (along / block)) * inner) + (i % inner) : along;
        }
        return places;
    }
}

/// <summary>QuantizeLinear: round(x / scale) + zero point.</summary>
internal sealed class QuantizeLinear() : Operator("QuantizeLinear", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, Target(context.Node, context.InputType(2)?.ElementType), context.Shape(0));

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0);
        coupling.Pointwise(keepsZero: !coupling.Has(Port.In(2)) || (coupling.Constant(2) is { } zero && zero.ToInt64s().All(v => v == 0)));
        int axis = coupling.Normalize(x, (int)coupling.Node.Attributes.Int("axis", 1));
        foreach (Port vector in (Port[])[Port.In(1), Port.In(2)])
        {
            if (coupling.Has(vector) && coupling.Rank(vector) == 1 && coupling.Size(vector, 0) == coupling.Size(x, axis)) coupling.Link(vector, 0, x, axis);
        }
        if (coupling.Node.Attributes.Int("block_size", 0) > 0) coupling.FreezeAll(RefusalReason.FixedAxis, "blocks of it share a scale");
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), scale = context.Input(1);
        ElementType type = Target(context.Node, context.Has(2) ? context.Input(2).ElementType : null);
        int[] places = Quantisation.ScalePlaces(context.Node, x.Shape, scale);
        long[]? zeros = context.Has(2) ? context.Input(2).ToInt64s() : null;
        float[] values = x.ToSingles(), scales = scale.ToSingles();
        (double low, double high) = Quantisation.Range(type);
        var y = new double[values.Length];
        for (int i = 0; i < y.Length; i++)
            y[i] = Math.Clamp(Math.Round((double)(values[i] / scales[places[i]]), MidpointRounding.ToEven) + (zeros?[places[i]] ?? 0), low, high);
        return [TensorData.Wrap(y, x.Shape).To(type)];
    }

    private static ElementType Target(Node node, ElementType? zero) => zero ?? (node.Attributes.Int("output_dtype", 0) is > 0 and var t ? (ElementType)t : ElementType.UInt8);
}

/// <summary>DequantizeLinear: (x - zero point) * scale.</summary>
internal sealed class DequantizeLinear() : Operator("DequantizeLinear", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Node.Attributes.Int("output_dtype", 0) is > 0 and var t ? (ElementType)t : context.Element(1), context.Shape(0));

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0);
        coupling.Pointwise(keepsZero: !coupling.Has(Port.In(2)) || (coupling.Constant(2) is { } zero && zero.ToInt64s().All(v => v == 0)));
        int axis = coupling.Normalize(x, (int)coupling.Node.Attributes.Int("axis", 1));
        foreach (Port vector in (Port[])[Port.In(1), Port.In(2)])
        {
            if (coupling.Has(vector) && coupling.Rank(vector) == 1 && coupling.Size(vector, 0) == coupling.Size(x, axis)) coupling.Link(vector, 0, x, axis);
        }
        if (coupling.Node.Attributes.Int("block_size", 0) > 0) coupling.FreezeAll(RefusalReason.FixedAxis, "blocks of it share a scale");
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), scale = context.Input(1);
        int[] places = Quantisation.ScalePlaces(context.Node, x.Shape, scale);
        long[]? zeros = context.Has(2) ? context.Input(2).ToInt64s() : null;
        long[] values = x.ToInt64s();
        double[] scales = scale.ToDoubles(), y = new double[values.Length];
        for (int i = 0; i < y.Length; i++) y[i] = (values[i] - (zeros?[places[i]] ?? 0)) * scales[places[i]];
        ElementType type = context.Node.Attributes.Int("output_dtype", 0) is > 0 and var t ? (ElementType)t : scale.ElementType;
        return [TensorData.Wrap(y, x.Shape).To(type)];
    }
}

/// <summary>DynamicQuantizeLinear: 8-bit values with scale and zero point from the tensor's own range.</summary>
internal sealed class DynamicQuantizeLinear() : Operator("DynamicQuantizeLinear", maxOutputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        context.SetOutput(0, ElementType.UInt8, context.Shape(0));
        context.SetOutput(1, ElementType.Float32, TensorShape.Scalar);
        context.SetOutput(2, ElementType.UInt8, TensorShape.Scalar);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        float[] x = context.Input(0).ToSingles();
        float high = Math.Max(0, x.DefaultIfEmpty(0).Max()), low = Math.Min(0, x.DefaultIfEmpty(0).Min());
        float scale = (high - low) / 255;
        if (scale == 0) scale = 1;
        long zero = (long)Math.Clamp(Math.Round((double)(-low / scale), MidpointRounding.ToEven), 0, 255);
        return
        [
            Quantisation.Saturate(Array.ConvertAll(x, v => (double)(v / scale)), context.Input(0).Shape, ElementType.UInt8, zero),
            TensorData.Scalar(scale), TensorData.Scalar((byte)zero),
        ];
    }
}

using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>An element-wise function of two operands, vectorised for the three ways in which an inner loop can broadcast.</summary>
internal interface IBinary
{
    static abstract void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y);

    static abstract void Apply(ReadOnlySpan<float> a, float b, Span<float> y);

    static abstract void Apply(float a, ReadOnlySpan<float> b, Span<float> y);
}

/// <summary>Add, Sub, Mul, Div, Pow, Min, Max, Mean, Sum, Where, with broadcasting.</summary>
internal static class Binary
{
    public static Tensor Add(Tensor a, Tensor b, bool reuse = false)
    {
        Tensor y = Compute<AddOp>(a, b, reuse);
        if (!Tape.Records(a, b)) return y;
        int[] shape = y.ShapeArray, shapeA = a.ShapeArray, shapeB = b.ShapeArray;
        return Tape.Record("Add", y, [a, b], [], flow =>
        {
            if (flow.Needs(0)) flow.Give(0, Broadcasting.SumTo(flow.Share(shape), shapeA));
            if (flow.Needs(1)) flow.Give(1, Broadcasting.SumTo(flow.Share(shape), shapeB));
        });
    }

    public static Tensor Subtract(Tensor a, Tensor b)
    {
        Tensor y = Compute<SubtractOp>(a, b);
        if (!Tape.Records(a, b)) return y;
        int[] shape = y.ShapeArray, shapeA = a.ShapeArray, shapeB = b.ShapeArray;
        return Tape.Record("Sub", y, [a, b], [], flow =>
        {
            if (flow.Needs(0)) flow.Give(0, Broadcasting.SumTo(flow.Share(shape), shapeA));
            if (flow.Needs(1))
            {
                Tensor sum = Broadcasting.SumTo(flow.Share(shape), shapeB);
                Tensor negative = Tensor.Uninitialized(shapeB);
                TensorPrimitives.Negate(sum.Values, negative.Values);
                sum.Storage.Release();
                flow.Give(1, negative);
            }
        });
    }

    public static Tensor Multiply(Tensor a, Tensor b)
    {
        Tensor y = Compute<MultiplyOp>(a, b);
        return Tape.Record("Mul", y, [a, b], [a, b], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(0)) flow.Give(0, Broadcasting.SumTo(Compute<MultiplyOp>(g, b), a.Shape));
            if (flow.Needs(1)) flow.Give(1, Broadcasting.SumTo(Compute<MultiplyOp>(g, a), b.Shape));
        });
    }

    public static Tensor Divide(Tensor a, Tensor b)
    {
        Tensor y = Compute<DivideOp>(a, b);
        return Tape.Record("Div", y, [a, b], [a, b], flow =>
        {
            Tensor quotient = Compute<DivideOp>(flow.Output(), b);
            if (flow.Needs(1))
            {
                // d(a/b)/db = -a / b^2 = -(1/b) (a/b)
                Tensor ratio = Compute<DivideOp>(a, b);
                TensorPrimitives.Multiply(ratio.Values, quotient.Values, ratio.Values);
                TensorPrimitives.Negate(ratio.Values, ratio.Values);
                flow.Give(1, Broadcasting.SumTo(ratio, b.Shape));
            }
            if (flow.Needs(0)) flow.Give(0, Broadcasting.SumTo(quotient, a.Shape));
            else quotient.Storage.Release();
        });
    }

    public static Tensor Power(Tensor a, Tensor b)
    {
        Tensor y = Compute<PowerOp>(a, b);
        return Tape.Record("Pow", y, [a, b], [a, b, y], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(0))
            {
                Tensor slope = Compute<PowerSlopeOp>(a, b);
                TensorPrimitives.Multiply(slope.Values, g.Values, slope.Values);
                flow.Give(0, Broadcasting.SumTo(slope, a.Shape));
            }
            if (flow.Needs(1))
            {
                Tensor log = Compute<LogOfFirstOp>(a, b);
                TensorPrimitives.Multiply(log.Values, y.Values, log.Values);
                TensorPrimitives.Multiply(log.Values, g.Values, log.Values);
                flow.Give(1, Broadcasting.SumTo(log, b.Shape));
            }
        });
    }

    /// <summary>The larger (or smaller) of both; where they are equal each gets half the gradient, as in PyTorch.</summary>
    public static Tensor Extreme(Tensor a, Tensor b, bool max)
    {
        Tensor y = max ? Compute<MaxOp>(a, b) : Compute<MinOp>(a, b);
        return Tape.Record(max ? "Max" : "Min", y, [a, b], [a, b], flow =>
        {
            Tensor share = Compute<CompareOp>(a, b);
            // share is 1 where a > b, 1/2 where equal, 0 where a < b.
            Tensor g = flow.Output();
            if (flow.Needs(0))
            {
                Tensor ga = Tensor.Uninitialized(g.Shape);
                Span<float> s = share.Values, target = ga.Values, from = g.Values;
                for (int i = 0; i < s.Length; i++) target[i] = from[i] * (max ? s[i] : 1 - s[i]);
                flow.Give(0, Broadcasting.SumTo(ga, a.Shape));
            }
            if (flow.Needs(1))
            {
                Tensor gb = Tensor.Uninitialized(g.Shape);
                Span<float> s = share.Values, target = gb.Values, from = g.Values;
                for (int i = 0; i < s.Length; i++) target[i] = from[i] * (max ? 1 - s[i] : s[i]);
                flow.Give(1, Broadcasting.SumTo(gb, b.Shape));
            }
            share.Storage.Release();
        });
    }

    /// <summary>a where the condition is true, b elsewhere.</summary>
    public static Tensor Where(TensorData condition, Tensor a, Tensor b)
    {
        // The condition takes part in broadcasting: as 0/1 singles it goes through the same plans.
        Tensor flags = Tensor.From(condition);
        int[] shape = BroadcastPlan.Of(BroadcastPlan.Of(condition.Shape, a.Shape).Shape, b.Shape).Shape;
        Tensor wide = Expand(flags, shape), wideA = Expand(a, shape), wideB = Expand(b, shape), y = Tensor.Uninitialized(shape);
        float[] f = wide.Array, x = wideA.Array, z = wideB.Array, r = y.Array;
        Chunks.Ranges(y.Length, (start, count) =>
        {
            for (int i = start; i < start + count; i++) r[i] = f[i] != 0 ? x[i] : z[i];
        });
        wideA.Storage.Release();
        wideB.Storage.Release();
        int[] shapeA = a.ShapeArray, shapeB = b.ShapeArray;
        Tape.Record("Where", y, [a, b], [wide], flow =>
        {
            for (int side = 0; side < 2; side++)
            {
                if (!flow.Needs(side)) continue;
                Tensor g = flow.Output(), part = Tensor.Uninitialized(shape);
                float[] c = wide.Array, from = g.Array, to = part.Array;
                bool first = side == 0;
                Chunks.Ranges(part.Length, (start, count) =>
                {
                    for (int i = start; i < start + count; i++) to[i] = c[i] != 0 == first ? from[i] : 0;
                });
                flow.Give(side, Broadcasting.SumTo(part, first ? shapeA : shapeB));
            }
        });
        wide.Storage.Release();
        return y;
    }

    /// <summary>An unrecorded copy stretched to a shape.</summary>
    public static Tensor Expand(Tensor x, ReadOnlySpan<int> shape)
    {
        if (x.Shape.SequenceEqual(shape)) return x.Detach();
        BroadcastPlan plan = BroadcastPlan.Of(shape, x.Shape);
        Tensor y = Tensor.Uninitialized(plan.Shape);
        float[] from = x.Array, to = y.Array;
        int inner = plan.Inner;
        bool moves = plan.StridesB[^1] != 0;
        Chunks.Rows(plan.Rows, inner, row =>
        {
            int source = plan.Offsets(row).B;
            Span<float> target = to.AsSpan(row * inner, inner);
            if (moves) from.AsSpan(source, inner).CopyTo(target);
            else target.Fill(from[source]);
        });
        return y;
    }

    /// <summary>Computes without recording.</summary>
    public static Tensor Compute<TOp>(Tensor a, Tensor b, bool reuse = false) where TOp : IBinary
    {
        if (a.Shape.SequenceEqual(b.Shape))
        {
            Tensor same = reuse ? a.Detach() : Tensor.Uninitialized(a.Shape);
            float[] u = a.Array, v = b.Array, w = same.Array;
            Chunks.Ranges(same.Length, (start, count) => TOp.Apply(u.AsSpan(start, count), v.AsSpan(start, count), w.AsSpan(start, count)));
            return same;
        }
        BroadcastPlan plan = BroadcastPlan.Of(a.Shape, b.Shape);
        Tensor y = reuse && plan.Shape.AsSpan().SequenceEqual(a.Shape) ? a.Detach() : Tensor.Uninitialized(plan.Shape);
        float[] x = a.Array, z = b.Array, r = y.Array;
        int inner = plan.Inner, sa = plan.StridesA[^1], sb = plan.StridesB[^1];
        if (plan.Rows == 1 && inner > 1 << 15 && (sa == 0 || sb == 0))
        {
            Chunks.Ranges(inner, (start, count) =>
            {
                if (sb == 0) TOp.Apply(x.AsSpan(start, count), z[0], r.AsSpan(start, count));
                else TOp.Apply(x[0], z.AsSpan(start, count), r.AsSpan(start, count));
            });
            return y;
        }
        Chunks.Rows(plan.Rows, inner, row =>
        {
            (int oa, int ob) = plan.Offsets(row);
            Span<float> target = r.AsSpan(row * inner, inner);
            if (sb == 0) TOp.Apply(x.AsSpan(oa, inner), z[ob], target);
            else if (sa == 0) TOp.Apply(x[oa], z.AsSpan(ob, inner), target);
            else TOp.Apply(x.AsSpan(oa, inner), z.AsSpan(ob, inner), target);
        });
        return y;
    }

    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1)) return null;
        Tensor a = c.Tensor(0), b = c.Tensor(1);
        return
        [
            c.Node.OpType switch
            {
                "Add" => c.MayOverwrite(0) ? Add(a, b, reuse: true) : c.MayOverwrite(1) && a.Shape.SequenceEqual(b.Shape) ? AddInto(a, b) : Add(a, b),
                "Sub" => Subtract(a, b),
                "Mul" => Multiply(a, b),
                "Div" => Divide(a, b),
                _ => Power(a, b),
            },
        ];
    }

    public static ModelValue[]? VariadicFromNode(OperatorContext c)
    {
        for (int i = 0; i < c.Inputs.Length; i++)
        {
            if (!c.AreFloat32(i)) return null;
        }
        Tensor result = c.Tensor(0);
        if (c.Inputs.Length == 1) return [Views.Reshape(result, result.Shape)];
        for (int i = 1; i < c.Inputs.Length; i++)
        {
            Tensor next = c.Tensor(i), before = result;
            result = c.Node.OpType switch
            {
                "Max" => Extreme(result, next, max: true),
                "Min" => Extreme(result, next, max: false),
                _ => Add(result, next),
            };
            if (i > 1) before.Storage.Release();
        }
        if (c.Node.OpType != "Mean") return [result];
        Tensor mean = Multiply(result, Tensor.Scalar(1f / c.Inputs.Length));
        result.Storage.Release();
        return [mean];
    }

    public static ModelValue[]? WhereFromNode(OperatorContext c) =>
        c.AreFloat32(1, 2) ? [Where(c.Inputs[0].Data, c.Tensor(1), c.Tensor(2))] : null;

    private static Tensor AddInto(Tensor a, Tensor b)
    {
        Tensor y = b.Detach();
        Chunks.Add(a.Array, b.Array, y.Array, y.Length);
        int[] shape = y.ShapeArray;
        return Tape.Record("Add", y, [a, b], [], flow =>
        {
            if (flow.Needs(0)) flow.Give(0, flow.Share(shape));
            if (flow.Needs(1)) flow.Give(1, flow.Share(shape));
        });
    }
}

/// <summary>a + b.</summary>
internal readonly struct AddOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Add(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => TensorPrimitives.Add(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Add(b, a, y);
}

/// <summary>a - b.</summary>
internal readonly struct SubtractOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Subtract(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => TensorPrimitives.Subtract(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Subtract(a, b, y);
}

/// <summary>a * b.</summary>
internal readonly struct MultiplyOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Multiply(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => TensorPrimitives.Multiply(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Multiply(b, a, y);
}

/// <summary>a / b.</summary>
internal readonly struct DivideOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Divide(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => TensorPrimitives.Divide(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Divide(a, b, y);
}

/// <summary>The larger, NaN if either is NaN.</summary>
internal readonly struct MaxOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Max(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => TensorPrimitives.Max(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Max(b, a, y);
}

/// <summary>The smaller, NaN if either is NaN.</summary>
internal readonly struct MinOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Min(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => TensorPrimitives.Min(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => TensorPrimitives.Min(b, a, y);
}

/// <summary>A function of two numbers, for operations that need no vectors.</summary>
internal interface IScalarBinary
{
    static abstract float Apply(float a, float b);
}

/// <summary>Lifts a function of two numbers to spans.</summary>
internal readonly struct Scalarwise<T> : IBinary where T : IScalarBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y)
    {
        for (int i = 0; i < y.Length; i++) y[i] = T.Apply(a[i], b[i]);
    }

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y)
    {
        for (int i = 0; i < y.Length; i++) y[i] = T.Apply(a[i], b);
    }

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y)
    {
        for (int i = 0; i < y.Length; i++) y[i] = T.Apply(a, b[i]);
    }
}

/// <summary>a ^ b; squares and roots, which norms are made of, have loops of their own.</summary>
internal readonly struct PowerOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<PowerScalar>.Apply(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y)
    {
        if (b == 2) TensorPrimitives.Multiply(a, a, y);
        else if (b == 1) a.CopyTo(y);
        else Scalarwise<PowerScalar>.Apply(a, b, y);
    }

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<PowerScalar>.Apply(a, b, y);
}

internal readonly struct PowerScalar : IScalarBinary
{
    public static float Apply(float a, float b) => MathF.Pow(a, b);
}

/// <summary>b * a ^ (b - 1), 0 for b = 0.</summary>
internal readonly struct PowerSlopeOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<PowerSlopeScalar>.Apply(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y)
    {
        if (b == 2) TensorPrimitives.Multiply(a, 2, y);
        else Scalarwise<PowerSlopeScalar>.Apply(a, b, y);
    }

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<PowerSlopeScalar>.Apply(a, b, y);
}

internal readonly struct PowerSlopeScalar : IScalarBinary
{
    public static float Apply(float a, float b) => b == 0 ? 0 : b * MathF.Pow(a, b - 1);
}

/// <summary>log a, 0 where a is 0: the slope of a ^ b in b.</summary>
internal readonly struct LogOfFirstOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<LogOfFirstScalar>.Apply(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => Scalarwise<LogOfFirstScalar>.Apply(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<LogOfFirstScalar>.Apply(a, b, y);
}

internal readonly struct LogOfFirstScalar : IScalarBinary
{
    public static float Apply(float a, float b) => a == 0 ? 0 : MathF.Log(a);
}

/// <summary>1 where a is larger, 1/2 where both are equal, 0 elsewhere.</summary>
internal readonly struct CompareOp : IBinary
{
    public static void Apply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<CompareScalar>.Apply(a, b, y);

    public static void Apply(ReadOnlySpan<float> a, float b, Span<float> y) => Scalarwise<CompareScalar>.Apply(a, b, y);

    public static void Apply(float a, ReadOnlySpan<float> b, Span<float> y) => Scalarwise<CompareScalar>.Apply(a, b, y);
}

internal readonly struct CompareScalar : IScalarBinary
{
    public static float Apply(float a, float b) => a > b ? 1 : a == b ? 0.5f : 0;
}

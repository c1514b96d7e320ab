using System.Numerics;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>A function of two numbers; rows may be overridden by vectorised code.</summary>
internal interface IBinaryFunction
{
    static abstract T Apply<T>(T a, T b) where T : unmanaged, INumber<T>;

    static virtual bool TryRow<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<T> y) where T : unmanaged, INumber<T> => false;
}

/// <summary>An element-wise operator on two or more broadcast inputs of one numeric type (Add, Max ...).</summary>
internal class BroadcastOperator<TFunction>(string opType, bool variadic = false)
    : Operator(opType, minInputs: variadic ? 1 : 2, maxInputs: variadic ? int.MaxValue : 2)
    where TFunction : struct, IBinaryFunction
{
    public override void Infer(InferenceContext context)
    {
        var shapes = new TensorShape?[context.Node.Inputs.Count];
        for (int i = 0; i < shapes.Length; i++)
        {
            shapes[i] = context.Shape(i);
            if (context.Element(i) != context.Element(0)) throw context.Error("the inputs are of different element types");
        }
        context.SetOutput(0, context.Element(0), context.Broadcast(shapes));
        if (shapes.Length == 2) InferSizes(context);
    }

    public override void Couple(AxisCoupling coupling) => coupling.Broadcast(
        typeof(TFunction) == typeof(MulFunction) ? ZeroRule.Any
        : typeof(TFunction) == typeof(DivFunction) || typeof(TFunction) == typeof(FloorModFunction) ? ZeroRule.First
        : ZeroRule.All);

    public override TensorData?[] Evaluate(EvaluationContext context) => Conversion.InSingle(context, c =>
    {
        TensorData y = c.Input(0);
        for (int i = 1; i < c.Inputs.Count; i++) y = Binary.Apply<TFunction>(y, c.Input(i));
        return [y];
    });

    // Sizes computed from sizes (height / 2, batch * heads) stay known, so that reshapes behind them can be inferred.
    private static void InferSizes(InferenceContext context)
    {
        if (context.Element(0) is not (ElementType.Int64 or ElementType.Int32)) return;
        if (context.InputAsShape(0) is not { } a || context.InputAsShape(1) is not { } b || (a.Rank != b.Rank && a.Rank != 1 && b.Rank != 1)) return;
        var sizes = new Dimension[Math.Max(a.Rank, b.Rank)];
        for (int i = 0; i < sizes.Length; i++)
        {
            Dimension x = a[a.Rank == 1 ? 0 : i], y = b[b.Rank == 1 ? 0 : i];
            if (x.IsKnown && y.IsKnown)
            {
                if (typeof(TFunction) == typeof(DivFunction) && y.Value == 0) return;
                sizes[i] = (int)Math.Clamp(TFunction.Apply<long>(x.Value, y.Value), -1, int.MaxValue);
            }
            else
            {
                sizes[i] = Identity(x, y);
            }
        }
        context.SetOutputAsShape(0, new TensorShape(sizes));
    }

    private static Dimension Identity(Dimension x, Dimension y)
    {
        bool product = typeof(TFunction) == typeof(MulFunction), quotient = typeof(TFunction) == typeof(DivFunction);
        bool sum = typeof(TFunction) == typeof(AddFunction), difference = typeof(TFunction) == typeof(SubFunction);
        if (((product || quotient) && y is { Value: 1 }) || ((sum || difference) && y is { Value: 0 })) return x;
        if ((product && x is { Value: 1 }) || (sum && x is { Value: 0 })) return y;
        return Dimension.Unknown;
    }
}

/// <summary>Loops of element-wise functions of two inputs.</summary>
internal static class Binary
{
    public static TensorData Apply<TFunction>(TensorData a, TensorData b) where TFunction : struct, IBinaryFunction
    {
        if (a.ElementType != b.ElementType) throw new ArgumentException($"element types differ: {a} and {b}");
        return a.ElementType switch
        {
            ElementType.Float32 => Run<float, TFunction>(a, b),
            ElementType.Float64 => Run<double, TFunction>(a, b),
            ElementType.Float16 or ElementType.BFloat16 => Run<float, TFunction>(a.To(ElementType.Float32), b.To(ElementType.Float32)).To(a.ElementType),
            ElementType.Int8 => Run<sbyte, TFunction>(a, b),
            ElementType.Int16 => Run<short, TFunction>(a, b),
            ElementType.Int32 => Run<int, TFunction>(a, b),
            ElementType.Int64 => Run<long, TFunction>(a, b),
            ElementType.UInt8 => Run<byte, TFunction>(a, b),
            ElementType.UInt16 => Run<ushort, TFunction>(a, b),
            ElementType.UInt32 => Run<uint, TFunction>(a, b),
            ElementType.UInt64 => Run<ulong, TFunction>(a, b),
            _ => throw new ArgumentException($"{a.ElementType} elements are no numbers"),
        };
    }

    private static TensorData Run<T, TFunction>(TensorData a, TensorData b) where T : unmanaged, INumber<T> where TFunction : struct, IBinaryFunction
    {
        int[] shape = Axes.Broadcast(a.Shape.ToArray(), b.Shape.ToArray());
        TensorData result = TensorData.Zeros(a.ElementType, shape);
        if (result.Length == 0) return result;
        Span<T> x = a.Span<T>(), y = b.Span<T>(), z = result.Span<T>();
        var loop = new BroadcastLoop(shape, Axes.BroadcastStrides(a.Shape, shape), Axes.BroadcastStrides(b.Shape, shape));
        int inner = loop.Inner, stepA = loop.Step(0), stepB = loop.Step(1);
        for (int to = 0; to < z.Length; to += inner, loop.Next())
        {
            int i = loop.Offset(0), j = loop.Offset(1);
            Span<T> row = z.Slice(to, inner);
            if (stepA == 1 && stepB == 1 && TFunction.TryRow<T>(x.Slice(i, inner), y.Slice(j, inner), row)) continue;
            for (int k = 0; k < row.Length; k++, i += stepA, j += stepB) row[k] = TFunction.Apply(x[i], y[j]);
        }
        return result;
    }
}

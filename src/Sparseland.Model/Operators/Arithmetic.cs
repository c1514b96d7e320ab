using System.Numerics;
using System.Numerics.Tensors;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

internal readonly struct AddFunction : IBinaryFunction
{
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T> => a + b;

    public static bool TryRow<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<T> y) where T : unmanaged, INumber<T>
    {
        TensorPrimitives.Add(a, b, y);
        return true;
    }
}

internal readonly struct SubFunction : IBinaryFunction
{
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T> => a - b;

    public static bool TryRow<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<T> y) where T : unmanaged, INumber<T>
    {
        TensorPrimitives.Subtract(a, b, y);
        return true;
    }
}

internal readonly struct MulFunction : IBinaryFunction
{
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T> => a * b;

    public static bool TryRow<T>(ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<T> y) where T : unmanaged, INumber<T>
    {
        TensorPrimitives.Multiply(a, b, y);
        return true;
    }
}

/// <summary>Division; of integers rounded towards zero.</summary>
internal readonly struct DivFunction : IBinaryFunction
{
    // MinValue / -1 overflows in hardware; in two's complement it is the negation.
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T> =>
        T.IsNegative(b) && b == -T.One && typeof(T) != typeof(float) && typeof(T) != typeof(double) ? T.Zero - a : a / b;
}

internal readonly struct MaxFunction : IBinaryFunction
{
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T> => T.Max(a, b);
}

internal readonly struct MinFunction : IBinaryFunction
{
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T> => T.Min(a, b);
}

/// <summary>Remainder with the divisor's sign.</summary>
internal readonly struct FloorModFunction : IBinaryFunction
{
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T>
    {
        if (b == T.Zero - T.One) return T.Zero;
        T r = a % b;
        return r != T.Zero && T.IsNegative(r) != T.IsNegative(b) ? r + b : r;
    }
}

/// <summary>Remainder with the dividend's sign, as C's fmod.</summary>
internal readonly struct TruncatedModFunction : IBinaryFunction
{
    public static T Apply<T>(T a, T b) where T : unmanaged, INumber<T> => T.IsNegative(b) && b == -T.One && typeof(T) != typeof(float) && typeof(T) != typeof(double) ? T.Zero : a % b;
}

/// <summary>Mod: remainder, by attribute fmod of either sign convention.</summary>
internal sealed class Mod() : BroadcastOperator<FloorModFunction>("Mod")
{
    public override TensorData?[] Evaluate(EvaluationContext context) => context.Node.Attributes.Int("fmod", 0) == 1
        ? [Binary.Apply<TruncatedModFunction>(context.Input(0), context.Input(1))]
        : base.Evaluate(context);
}

/// <summary>Pow: base of one type, exponent of another; the result has the base's type.</summary>
internal sealed class Pow() : Operator("Pow", minInputs: 2)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(0), context.Broadcast(context.Shape(0), context.Shape(1)));

    // 0 to a positive power is 0; to the power 0 it is 1.
    public override void Couple(AxisCoupling coupling) =>
        coupling.Broadcast(coupling.Constant(1) is { } power && power.ElementType != ElementType.String && power.ToDoubles().All(p => p > 0) ? ZeroRule.First : ZeroRule.Never);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData a = context.Input(0), b = context.Input(1);
        if (a.ElementType is ElementType.Int32 or ElementType.Int64 && !b.ElementType.IsFloat())
            return [Map2.Run<long>(a.To(ElementType.Int64), b.To(ElementType.Int64), IntegerPower).To(a.ElementType)];
        return [Map2.Run<double>(a.To(ElementType.Float64), b.To(ElementType.Float64), Power).To(a.ElementType)];
    }

    private static double Power(double a, double b) => b == 2 ? a * a : Math.Pow(a, b);

    private static long IntegerPower(long a, long b)
    {
        if (b < 0) return a switch { 1 => 1, -1 => (b & 1) == 0 ? 1 : -1, _ => 0 };
        long result = 1;
        for (; b > 0; b >>= 1, a *= a)
        {
            if ((b & 1) == 1) result *= a;
        }
        return result;
    }
}

/// <summary>Mean of any number of broadcast inputs.</summary>
internal sealed class Mean() : BroadcastOperator<AddFunction>("Mean", variadic: true)
{
    public override TensorData?[] Evaluate(EvaluationContext context) => Conversion.InSingle(context, c =>
    {
        TensorData sum = base.Evaluate(c)[0]!;
        return [Binary.Apply<DivFunction>(sum, TensorData.Scalar((float)c.Inputs.Count).To(sum.ElementType))];
    });
}

/// <summary>Loops over broadcast inputs with a function given as a delegate, for what is rarely hot.</summary>
internal static class Map2
{
    public static TensorData Run<T>(TensorData a, TensorData b, Func<T, T, T> function) where T : unmanaged => Run<T, T>(a, b, function);

    public static TensorData Run<T, TResult>(TensorData a, TensorData b, Func<T, T, TResult> function)
    {
        int[] shape = Axes.Broadcast(a.Shape.ToArray(), b.Shape.ToArray());
        var result = new TResult[Axes.Product(shape)];
        if (result.Length == 0) return TensorData.Wrap(result, shape);
        T[] x = a.Array<T>(), y = b.Array<T>();
        var loop = new BroadcastLoop(shape, Axes.BroadcastStrides(a.Shape, shape), Axes.BroadcastStrides(b.Shape, shape));
        for (int to = 0; to < result.Length; to += loop.Inner, loop.Next())
        {
            int i = loop.Offset(0), j = loop.Offset(1);
            for (int k = 0; k < loop.Inner; k++, i += loop.Step(0), j += loop.Step(1)) result[to + k] = function(x[i], y[j]);
        }
        return TensorData.Wrap(result, shape);
    }
}

using System.Numerics;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>A relation of two numbers.</summary>
internal interface IRelation
{
    static abstract bool Holds<T>(T a, T b) where T : unmanaged, INumber<T>;
}

internal readonly struct EqualRelation : IRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a == b;
}

internal readonly struct LessRelation : IRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a < b;
}

internal readonly struct LessOrEqualRelation : IRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a <= b;
}

internal readonly struct GreaterRelation : IRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a > b;
}

internal readonly struct GreaterOrEqualRelation : IRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a >= b;
}

/// <summary>Equal, Less, Greater ...: an element-wise relation of broadcast inputs; the result is boolean.</summary>
internal sealed class Relation<TRelation>(string opType) : Operator(opType, minInputs: 2) where TRelation : struct, IRelation
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, ElementType.Bool, context.Broadcast(context.Shape(0), context.Shape(1)));

    public override void Couple(AxisCoupling coupling) => coupling.Broadcast(ZeroRule.Never);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData a = context.Input(0), b = context.Input(1);
        if (a.ElementType != b.ElementType) throw context.Error("the inputs are of different element types");
        return [a.ElementType switch
        {
            ElementType.Float32 => Run<float>(a, b),
            ElementType.Float64 => Run<double>(a, b),
            ElementType.Float16 or ElementType.BFloat16 => Run<float>(a.To(ElementType.Float32), b.To(ElementType.Float32)),
            ElementType.UInt64 => Run<ulong>(a, b),
            ElementType.String => Map2.Run<string, bool>(a, b, string.Equals),
            _ => Run<long>(a.To(ElementType.Int64), b.To(ElementType.Int64)),
        }];
    }

    private static TensorData Run<T>(TensorData a, TensorData b) where T : unmanaged, INumber<T> => Map2.Run<T, bool>(a, b, TRelation.Holds);
}

/// <summary>IsNaN and IsInf.</summary>
internal sealed class FloatTest(string opType, Func<NodeAttributes, Func<double, bool>> make) : Operator(opType)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, ElementType.Bool, context.Shape(0));

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: false);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        Func<double, bool> test = make(context.Node.Attributes);
        return [TensorData.Wrap(Array.ConvertAll(context.Input(0).ToDoubles(), v => test(v)), context.Input(0).Shape)];
    }
}

/// <summary>And, Or, Xor of broadcast booleans.</summary>
internal sealed class Logical(string opType, Func<bool, bool, bool> function) : Operator(opType, minInputs: 2)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, ElementType.Bool, context.Broadcast(context.Shape(0), context.Shape(1)));

    public override void Couple(AxisCoupling coupling) => coupling.Broadcast(ZeroRule.Never);

    public override TensorData?[] Evaluate(EvaluationContext context) => [Map2.Run<bool>(context.Input(0), context.Input(1), function)];
}

/// <summary>Negation of booleans.</summary>
internal sealed class Not() : Operator("Not")
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: false);

    public override TensorData?[] Evaluate(EvaluationContext context) =>
        [TensorData.Wrap(Array.ConvertAll(context.Input(0).Array<bool>(), v => !v), context.Input(0).Shape)];
}

/// <summary>BitwiseAnd, BitwiseOr, BitwiseXor and BitShift of broadcast integers of any width.</summary>
internal sealed class Bitwise(string opType, Func<NodeAttributes, Func<ulong, ulong, ulong>> make) : Operator(opType, minInputs: 2)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(0), context.Broadcast(context.Shape(0), context.Shape(1)));

    public override void Couple(AxisCoupling coupling) => coupling.Broadcast(ZeroRule.Never);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        // Bits beyond the type's width fall off in the truncating conversion back.
        TensorData a = context.Input(0).To(ElementType.UInt64), b = context.Input(1).To(ElementType.UInt64);
        return [Map2.Run<ulong>(a, b, make(context.Node.Attributes)).To(context.Input(0).ElementType)];
    }
}

/// <summary>Complement of integers.</summary>
internal sealed class BitwiseNot() : Operator("BitwiseNot")
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: false);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData y = context.Input(0).Clone();
        foreach (ref byte b in y.Bytes()) b = (byte)~b;
        return [y];
    }
}

/// <summary>The relations and logic of the standard.</summary>
internal static class Relations
{
    public static IEnumerable<Operator> All() =>
    [
        new Relation<EqualRelation>("Equal"),
        new Relation<LessRelation>("Less"),
        new Relation<LessOrEqualRelation>("LessOrEqual"),
        new Relation<GreaterRelation>("Greater"),
        new Relation<GreaterOrEqualRelation>("GreaterOrEqual"),
        new FloatTest("IsNaN", _ => double.IsNaN),
        new FloatTest("IsInf", a =>
        {
            bool negative = a.Int("detect_negative", 1) != 0, positive = a.Int("detect_positive", 1) != 0;
            return v => (negative && double.IsNegativeInfinity(v)) || (positive && double.IsPositiveInfinity(v));
        }),
        new Logical("And", (a, b) => a && b),
        new Logical("Or", (a, b) => a || b),
        new Logical("Xor", (a, b) => a != b),
        new Not(),
        new Bitwise("BitwiseAnd", _ => (a, b) => a & b),
        new Bitwise("BitwiseOr", _ => (a, b) => a | b),
        new Bitwise("BitwiseXor", _ => (a, b) => a ^ b),
        new Bitwise("BitShift", a => a.String("direction", "LEFT") == "LEFT"
            ? (v, by) => by > 63 ? 0 : v << (int)by
            : (v, by) => by > 63 ? 0 : v >> (int)by),
        new BitwiseNot(),
    ];
}

using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>A function given by value and derivative at one number.</summary>
internal interface IScalarUnary
{
    static abstract float Value(float x);

    /// <summary>The derivative at x, where y = Value(x).</summary>
    static abstract float Slope(float x);
}

/// <summary>Lifts a function of one number to spans.</summary>
internal readonly struct Lifted<T> : IUnary where T : IScalarUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = T.Value(x[i]);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= T.Slope(x[i]);
    }
}

internal readonly struct ExpOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => true;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Exp(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => TensorPrimitives.Multiply(g, y, g);
}

internal readonly struct LogOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Log(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => TensorPrimitives.Divide(g, x, g);
}

internal readonly struct SqrtOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => true;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Sqrt(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= 0.5f / y[i];
    }
}

internal readonly struct AbsOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Abs(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] = x[i] > 0 ? g[i] : x[i] < 0 ? -g[i] : 0;
    }
}

internal readonly struct NegOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Negate(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => TensorPrimitives.Negate(g, g);
}

internal readonly struct ReciprocalOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => true;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Divide(1f, x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= -y[i] * y[i];
    }
}

/// <summary>Piecewise constant: no gradient flows, and zero is the right one almost everywhere.</summary>
internal readonly struct SignOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] > 0 ? 1 : x[i] < 0 ? -1 : x[i];
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => g.Clear();
}

internal readonly struct FloorOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Floor(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => g.Clear();
}

internal readonly struct CeilOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Ceiling(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => g.Clear();
}

/// <summary>To the nearest integer, ties to even.</summary>
internal readonly struct RoundOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Round(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => g.Clear();
}

internal readonly struct ErfFunction : IScalarUnary
{
    public static float Value(float x) => (float)SpanMath.Erf(x);

    public static float Slope(float x) => 1.1283791670955126f * MathF.Exp(-x * x);
}

internal readonly struct SinFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Sin(x);

    public static float Slope(float x) => MathF.Cos(x);
}

internal readonly struct CosFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Cos(x);

    public static float Slope(float x) => -MathF.Sin(x);
}

internal readonly struct TanFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Tan(x);

    public static float Slope(float x)
    {
        float t = MathF.Tan(x);
        return 1 + (t * t);
    }
}

internal readonly struct AsinFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Asin(x);

    public static float Slope(float x) => 1 / MathF.Sqrt(1 - (x * x));
}

internal readonly struct AcosFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Acos(x);

    public static float Slope(float x) => -1 / MathF.Sqrt(1 - (x * x));
}

internal readonly struct AtanFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Atan(x);

    public static float Slope(float x) => 1 / (1 + (x * x));
}

internal readonly struct SinhFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Sinh(x);

    public static float Slope(float x) => MathF.Cosh(x);
}

internal readonly struct CoshFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Cosh(x);

    public static float Slope(float x) => MathF.Sinh(x);
}

internal readonly struct AsinhFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Asinh(x);

    public static float Slope(float x) => 1 / MathF.Sqrt((x * x) + 1);
}

internal readonly struct AcoshFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Acosh(x);

    public static float Slope(float x) => 1 / MathF.Sqrt((x * x) - 1);
}

internal readonly struct AtanhFunction : IScalarUnary
{
    public static float Value(float x) => MathF.Atanh(x);

    public static float Slope(float x) => 1 / (1 - (x * x));
}

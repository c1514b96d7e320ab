using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

// One struct per function: value, and derivative times incoming gradient. At kinks the derivative is PyTorch's choice.

internal readonly struct ReluOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => true;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Max(x, 0f, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments) => SpanMath.KeepWherePositive(y, g);
}

internal readonly struct LeakyReluOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] >= 0 ? x[i] : arguments.Alpha * x[i];
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] = x[i] > 0 ? g[i] : arguments.Alpha * g[i];
    }
}

internal readonly struct ThresholdedReluOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] > arguments.Alpha ? x[i] : 0;
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] = x[i] > arguments.Alpha ? g[i] : 0;
    }
}

/// <summary>x for x above 0, alpha (exp(x) - 1) below.</summary>
internal readonly struct EluOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] > 0 ? x[i] : arguments.Alpha * SpanMath.ExpMinusOne(x[i]);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= x[i] > 0 ? 1 : arguments.Alpha * MathF.Exp(x[i]);
    }
}

/// <summary>gamma (x or alpha (exp(x) - 1)); alpha, gamma.</summary>
internal readonly struct SeluOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = arguments.Beta * (x[i] > 0 ? x[i] : arguments.Alpha * SpanMath.ExpMinusOne(x[i]));
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= arguments.Beta * (x[i] > 0 ? 1 : arguments.Alpha * MathF.Exp(x[i]));
    }
}

/// <summary>max(0, x) + min(0, alpha (exp(x / alpha) - 1)).</summary>
internal readonly struct CeluOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] > 0 ? x[i] : arguments.Alpha * SpanMath.ExpMinusOne(x[i] / arguments.Alpha);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= x[i] > 0 ? 1 : MathF.Exp(x[i] / arguments.Alpha);
    }
}

/// <summary>x Phi(x), Phi the normal distribution function (Hendrycks and Gimpel 2016).</summary>
internal readonly struct GeluOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = (float)(0.5 * x[i] * (1 + SpanMath.Erf(x[i] * SpanMath.InverseRoot2)));
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++)
        {
            double v = x[i];
            g[i] *= (float)(0.5 * (1 + SpanMath.Erf(v * SpanMath.InverseRoot2)) + v * SpanMath.InverseRoot2Pi * Math.Exp(-0.5 * v * v));
        }
    }
}

/// <summary>x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).</summary>
internal readonly struct GeluTanhOp : IUnary
{
    private const float C = 0.7978845608028654f;

    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = 0.5f * x[i] * (1 + MathF.Tanh(C * (x[i] + (0.044715f * x[i] * x[i] * x[i]))));
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++)
        {
            float v = x[i], t = MathF.Tanh(C * (v + (0.044715f * v * v * v)));
            g[i] *= (0.5f * (1 + t)) + (0.5f * v * (1 - (t * t)) * C * (1 + (3 * 0.044715f * v * v)));
        }
    }
}

/// <summary>x sigmoid(alpha x); alpha 1 is SiLU.</summary>
internal readonly struct SwishOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        TensorPrimitives.Multiply(x, arguments.Alpha, y);
        TensorPrimitives.Sigmoid(y, y);
        TensorPrimitives.Multiply(y, x, y);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        Span<float> s = stackalloc float[256];
        for (int start = 0; start < g.Length; start += s.Length)
        {
            int count = Math.Min(s.Length, g.Length - start);
            Span<float> sigmoid = s[..count];
            TensorPrimitives.Multiply(x.Slice(start, count), arguments.Alpha, sigmoid);
            TensorPrimitives.Sigmoid(sigmoid, sigmoid);
            for (int i = 0; i < count; i++)
            {
                float v = sigmoid[i];
                g[start + i] *= v + (arguments.Alpha * x[start + i] * v * (1 - v));
            }
        }
    }
}

internal readonly struct SigmoidOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => true;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Sigmoid(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= y[i] * (1 - y[i]);
    }
}

internal readonly struct TanhOp : IUnary
{
    public static bool ReadsInput => false;

    public static bool ReadsOutput => true;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments) => TensorPrimitives.Tanh(x, y);

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= 1 - (y[i] * y[i]);
    }
}

internal readonly struct SoftplusOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = SpanMath.Softplus(x[i]);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= SpanMath.Sigmoid(x[i]);
    }
}

internal readonly struct SoftsignOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] / (1 + Math.Abs(x[i]));
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++)
        {
            float d = 1 + Math.Abs(x[i]);
            g[i] /= d * d;
        }
    }
}

/// <summary>x tanh(softplus(x)) (Misra 2019).</summary>
internal readonly struct MishOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] * MathF.Tanh(SpanMath.Softplus(x[i]));
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++)
        {
            float t = MathF.Tanh(SpanMath.Softplus(x[i]));
            g[i] *= t + (x[i] * (1 - (t * t)) * SpanMath.Sigmoid(x[i]));
        }
    }
}

/// <summary>max(0, min(1, alpha x + beta)).</summary>
internal readonly struct HardSigmoidOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = Math.Clamp((arguments.Alpha * x[i]) + arguments.Beta, 0, 1);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++)
        {
            float v = (arguments.Alpha * x[i]) + arguments.Beta;
            g[i] = v > 0 && v < 1 ? g[i] * arguments.Alpha : 0;
        }
    }
}

/// <summary>x max(0, min(1, x/6 + 1/2)).</summary>
internal readonly struct HardSwishOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        for (int i = 0; i < y.Length; i++) y[i] = x[i] * Math.Clamp((x[i] / 6) + 0.5f, 0, 1);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] *= x[i] <= -3 ? 0 : x[i] >= 3 ? 1 : (x[i] / 3) + 0.5f;
    }
}

/// <summary>Limits to [alpha, beta]; NaN stays.</summary>
internal readonly struct ClipOp : IUnary
{
    public static bool ReadsInput => true;

    public static bool ReadsOutput => false;

    public static void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments)
    {
        TensorPrimitives.Max(x, arguments.Alpha, y);
        TensorPrimitives.Min(y, arguments.Beta, y);
    }

    public static void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments)
    {
        for (int i = 0; i < g.Length; i++) g[i] = x[i] >= arguments.Alpha && x[i] <= arguments.Beta ? g[i] : 0;
    }
}

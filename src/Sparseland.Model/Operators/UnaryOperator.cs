using System.Numerics.Tensors;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>A vectorised function of single-precision rows.</summary>
internal delegate void RowFunction(ReadOnlySpan<float> x, Span<float> y);

/// <summary>An element-wise function of a real number; computed in double precision where no vectorised form is given.</summary>
/// <param name="opType">The operator's name.</param>
/// <param name="function">The function.</param>
/// <param name="row">A vectorised form for single precision, or null.</param>
/// <param name="integers">Computes integer inputs exactly; null when the operator has none.</param>
internal class UnaryOperator(string opType, Func<double, double> function, RowFunction? row = null, Func<long, long>? integers = null) : Operator(opType)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: function(0) == 0);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        return [x.ElementType.IsFloat() ? Map.Run(x, function, row) : MapIntegers(context, x)];
    }

    private TensorData MapIntegers(EvaluationContext context, TensorData x)
    {
        if (integers is null || x.ElementType is ElementType.Bool or ElementType.String) throw context.Error($"{x.ElementType} inputs are not allowed");
        return TensorData.Wrap(Array.ConvertAll(x.To(ElementType.Int64).Array<long>(), v => integers(v)), x.Shape).To(x.ElementType);
    }

    /// <summary>The element-wise functions of the standard without attributes.</summary>
    public static IEnumerable<Operator> All() =>
    [
        new UnaryOperator("Abs", Math.Abs, TensorPrimitives.Abs, v => v < 0 ? -v : v),
        new UnaryOperator("Neg", v => -v, TensorPrimitives.Negate, v => -v),
        new UnaryOperator("Sign", v => double.IsNaN(v) ? v : Math.Sign(v), null, v => Math.Sign(v)),
        new UnaryOperator("Floor", Math.Floor, TensorPrimitives.Floor),
        new UnaryOperator("Ceil", Math.Ceiling, TensorPrimitives.Ceiling),
        new UnaryOperator("Round", v => Math.Round(v, MidpointRounding.ToEven)),
        new UnaryOperator("Sqrt", Math.Sqrt, TensorPrimitives.Sqrt),
        new UnaryOperator("Reciprocal", v => 1 / v, TensorPrimitives.Reciprocal),
        new UnaryOperator("Exp", Math.Exp, TensorPrimitives.Exp),
        new UnaryOperator("Log", Math.Log, TensorPrimitives.Log),
        new UnaryOperator("Erf", SpecialFunctions.Erf),
        new UnaryOperator("Sin", Math.Sin),
        new UnaryOperator("Cos", Math.Cos),
        new UnaryOperator("Tan", Math.Tan),
        new UnaryOperator("Asin", Math.Asin),
        new UnaryOperator("Acos", Math.Acos),
        new UnaryOperator("Atan", Math.Atan),
        new UnaryOperator("Sinh", Math.Sinh),
        new UnaryOperator("Cosh", Math.Cosh),
        new UnaryOperator("Tanh", Math.Tanh, TensorPrimitives.Tanh),
        new UnaryOperator("Asinh", Math.Asinh),
        new UnaryOperator("Acosh", Math.Acosh),
        new UnaryOperator("Atanh", Math.Atanh),
        new UnaryOperator("Relu", v => v < 0 ? 0 : v, (x, y) => TensorPrimitives.Max(x, 0f, y), v => Math.Max(v, 0)),
        new UnaryOperator("Sigmoid", SpecialFunctions.Sigmoid, TensorPrimitives.Sigmoid),
        new UnaryOperator("Softplus", SpecialFunctions.Softplus),
        new UnaryOperator("Softsign", v => v / (1 + Math.Abs(v))),
        new UnaryOperator("Mish", v => v * Math.Tanh(SpecialFunctions.Softplus(v))),
        new UnaryOperator("HardSwish", v => v * Math.Clamp((v / 6) + 0.5, 0, 1)),
    ];
}

/// <summary>Element-wise application to any floating-point type.</summary>
internal static class Map
{
    public static TensorData Run(TensorData x, Func<double, double> function, RowFunction? row = null)
    {
        switch (x.ElementType)
        {
            case ElementType.Float32:
                {
                    TensorData y = TensorData.Zeros(ElementType.Float32, x.Shape);
                    ReadOnlySpan<float> source = x.Span<float>();
                    Span<float> target = y.Span<float>();
                    if (row is not null && !target.IsEmpty) row(source, target);
                    else
                    {
                        for (int i = 0; i < target.Length; i++) target[i] = (float)function(source[i]);
                    }
                    return y;
                }
            case ElementType.Float64:
                return TensorData.Wrap(Array.ConvertAll(x.Array<double>(), v => function(v)), x.Shape);
            case ElementType.Float16:
                return TensorData.Wrap(Array.ConvertAll(x.Array<Half>(), v => (Half)function((double)v)), x.Shape);
            case ElementType.BFloat16:
                return TensorData.Wrap(Array.ConvertAll(x.Array<BFloat16>(), v => (BFloat16)(float)function((float)v)), x.Shape);
            default:
                return Run(x.To(ElementType.Float32), function, row).To(x.ElementType);
        }
    }
}

/// <summary>Functions that .NET's Math lacks.</summary>
internal static class SpecialFunctions
{
    public static double Sigmoid(double v) => v >= 0 ? 1 / (1 + Math.Exp(-v)) : Math.Exp(v) / (1 + Math.Exp(v));

    /// <summary>log(1 + exp(v)) without overflow.</summary>
    public static double Softplus(double v) => Math.Max(v, 0) + Math.Log(1 + Math.Exp(-Math.Abs(v)));

    /// <summary>The standard normal distribution function.</summary>
    public static double NormalCdf(double v) => 0.5 * Erfc(-v / Math.Sqrt(2));

    /// <summary>The error function, to about 1e-15.</summary>
    public static double Erf(double v)
    {
        if (double.IsNaN(v)) return v;
        double a = Math.Abs(v);
        return a > 2 ? Math.Sign(v) * (1 - Erfc(a)) : ErfSeries(v);
    }

    /// <summary>1 - erf(v), accurate in its tail.</summary>
    public static double Erfc(double v)
    {
        if (v < 0) return 2 - Erfc(-v);
        if (v <= 2) return 1 - ErfSeries(v);
        if (v > 27) return 0;
        // Continued fraction (Abramowitz and Stegun 7.1.14), evaluated from the back.
        double fraction = v;
        for (int k = 80; k >= 1; k--) fraction = v + (k / 2.0 / fraction);
        return Math.Exp(-v * v) / Math.Sqrt(Math.PI) / fraction;
    }

    // Abramowitz and Stegun 7.1.6: all terms positive, so nothing cancels.
    private static double ErfSeries(double v)
    {
        double term = v, sum = v;
        for (int n = 1; n < 100; n++)
        {
            term *= 2 * v * v / ((2 * n) + 1);
            sum += term;
            if (Math.Abs(term) < 1e-17 * Math.Abs(sum)) break;
        }
        return 2 / Math.Sqrt(Math.PI) * Math.Exp(-v * v) * sum;
    }
}

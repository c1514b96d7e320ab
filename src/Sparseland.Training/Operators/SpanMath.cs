using System.Numerics;

namespace Sparseland.Training.Operators;

/// <summary>Scalar functions that the base library lacks, and span loops that it has no primitive for.</summary>
internal static class SpanMath
{
    public const double InverseRoot2 = 0.70710678118654752;
    public const double InverseRoot2Pi = 0.39894228040143268;

    /// <summary>The error function, absolute error below 2e-7.</summary>
    /// <remarks>Maclaurin series near 0, where the quotient form would lose relative accuracy; else the Chebyshev fit of erfc in Press et al., "Numerical Recipes", section 6.2.</remarks>
    public static double Erf(double x)
    {
        double a = Math.Abs(x);
        if (a < 0.5)
        {
            double s = x * x;
            return 1.1283791670955126 * x * (1 - (s * ((1.0 / 3) - (s * ((1.0 / 10) - (s * ((1.0 / 42) - (s * ((1.0 / 216) - (s * ((1.0 / 1320) - (s * (1.0 / 9360)))))))))))));
        }
        double t = 1 / (1 + (0.5 * a));
        double polynomial = -1.26551223 + (t * (1.00002368 + (t * (0.37409196 + (t * (0.09678418 + (t * (-0.18628806 + (t * (0.27886807
            + (t * (-1.13520398 + (t * (1.48851587 + (t * (-0.82215223 + (t * 0.17087277)))))))))))))))));
        double complement = t * Math.Exp((-a * a) + polynomial);
        return x >= 0 ? 1 - complement : complement - 1;
    }

    /// <summary>exp(x) - 1 without cancellation near 0.</summary>
    public static float ExpMinusOne(float x) => Math.Abs(x) < 1e-2f
        ? x * (1 + (x * (0.5f + (x * ((1f / 6) + (x * (1f / 24)))))))
        : (float)(Math.Exp(x) - 1);

    public static float Sigmoid(float x) => 1 / (1 + MathF.Exp(-x));

    /// <summary>log(1 + exp(x)) without overflow.</summary>
    public static float Softplus(float x) => Math.Max(x, 0) + (float)Math.Log(1 + Math.Exp(-Math.Abs((double)x)));

    /// <summary>g = 0 where y is not positive.</summary>
    public static void KeepWherePositive(ReadOnlySpan<float> y, Span<float> g)
    {
        int i = 0;
        for (; i <= g.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var v = new Vector<float>(y[i..]);
            Vector.ConditionalSelect(Vector.GreaterThan(v, Vector<float>.Zero), new Vector<float>(g[i..]), Vector<float>.Zero).CopyTo(g[i..]);
        }
        for (; i < g.Length; i++)
        {
            if (!(y[i] > 0)) g[i] = 0;
        }
    }
}

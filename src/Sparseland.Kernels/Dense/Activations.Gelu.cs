using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

public static unsafe partial class Activations
{
    private const float SqrtHalf = 0.70710678118654752f;
    private const float InverseSqrtTwoPi = 0.39894228040143268f;
    private const float SqrtTwoOverPi = 0.79788456080286536f;
    private const float Cubic = 0.044715f;

    /// <summary>y = erf(x), absolute error below 3e-7.</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Erf(ReadOnlySpan<float> x, Span<float> y)
    {
        SimdLevel level = SimdDispatch.Level;
        Map(x, y, (a, b) =>
        {
            Span<float> tail = stackalloc float[Piece];
            tail = tail[..a.Length];
            ErrorTail(a, tail, level);
            // Near 0 the difference 1 - erfc loses digits; the series of erf does not.
            for (int i = 0; i < a.Length; i++) b[i] = MathF.Abs(a[i]) < 0.4f ? Series(a[i]) : MathF.CopySign(1f - tail[i], a[i]);
        });
    }

    /// <summary>y = x * Phi(x) with the normal distribution function Phi (Hendrycks, Gimpel, "GELU", section 2).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Gelu(ReadOnlySpan<float> x, Span<float> y)
    {
        SimdLevel level = SimdDispatch.Level;
        Map(x, y, (a, b) =>
        {
            Span<float> phi = stackalloc float[Piece];
            phi = phi[..a.Length];
            NormalDistribution(a, phi, level);
            // -infinity times 0 would be NaN; the limit is 0.
            TensorPrimitives.Max(a, float.MinValue, b);
            TensorPrimitives.Multiply(b, phi, b);
        });
    }

    /// <summary>d = g * (Phi(x) + x * phi(x)).</summary>
    /// <param name="x">Input.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void GeluBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d)
    {
        SimdLevel level = SimdDispatch.Level;
        Map(x, g, d, (a, b, c) =>
        {
            Span<float> phi = stackalloc float[Piece], density = stackalloc float[Piece];
            phi = phi[..a.Length];
            density = density[..a.Length];
            NormalDistribution(a, phi, level);
            TensorPrimitives.Multiply(a, a, density);
            TensorPrimitives.Multiply(density, -0.5f, density);
            TensorPrimitives.Exp(density, density);
            // Finite factors, so that the slope of an infinite input is its limit and not infinity times 0.
            TensorPrimitives.Multiply(density, InverseSqrtTwoPi, density);
            Span<float> bounded = stackalloc float[Piece];
            bounded = bounded[..a.Length];
            TensorPrimitives.Max(a, float.MinValue, bounded);
            TensorPrimitives.Min(bounded, float.MaxValue, bounded);
            TensorPrimitives.Multiply(bounded, density, density);
            TensorPrimitives.Add(density, phi, density);
            TensorPrimitives.Multiply(density, b, c);
        });
    }

    /// <summary>y = 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (the approximation of the same paper).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void GeluTanh(ReadOnlySpan<float> x, Span<float> y) =>
        Map(x, y, static (a, b) =>
        {
            Span<float> t = stackalloc float[Piece];
            t = t[..a.Length];
            for (int i = 0; i < a.Length; i++) t[i] = SqrtTwoOverPi * a[i] * (1f + (Cubic * a[i] * a[i]));
            TensorPrimitives.Tanh(t, t);
            for (int i = 0; i < a.Length; i++) b[i] = float.IsNegativeInfinity(a[i]) ? 0f : 0.5f * a[i] * (1f + t[i]);
        });

    /// <summary>The gradient of <see cref="GeluTanh"/>.</summary>
    /// <param name="x">Input.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void GeluTanhBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d) =>
        Map(x, g, d, static (a, b, c) =>
        {
            Span<float> t = stackalloc float[Piece];
            t = t[..a.Length];
            for (int i = 0; i < a.Length; i++) t[i] = SqrtTwoOverPi * a[i] * (1f + (Cubic * a[i] * a[i]));
            TensorPrimitives.Tanh(t, t);
            for (int i = 0; i < a.Length; i++)
            {
                float sech = 1f - (t[i] * t[i]), slope = sech == 0f ? 0f : 0.5f * a[i] * sech * SqrtTwoOverPi * (1f + (3f * Cubic * a[i] * a[i]));
                c[i] = b[i] * ((0.5f * (1f + t[i])) + slope);
            }
        });

    private static void NormalDistribution(ReadOnlySpan<float> x, Span<float> phi, SimdLevel level)
    {
        Span<float> z = stackalloc float[Piece];
        z = z[..x.Length];
        TensorPrimitives.Multiply(x, SqrtHalf, z);
        ErrorTail(z, phi, level);
        // Phi(x) = erfc(-z) / 2: the tail itself on the negative side, so small values keep their digits.
        int at = 0;
        Vector256<float> half = Vector256.Create(0.5f);
        for (; at + 8 <= x.Length; at += 8)
        {
            Vector256<float> tail = Vector256.Create<float>(phi.Slice(at, 8)) * half;
            Vector256.ConditionalSelect(Vector256.LessThan(Vector256.Create(x.Slice(at, 8)), Vector256<float>.Zero), tail, Vector256<float>.One - tail).CopyTo(phi[at..]);
        }
        for (; at < x.Length; at++) phi[at] = x[at] < 0f ? 0.5f * phi[at] : 1f - (0.5f * phi[at]);
    }

    // erfc(|x|) by a Chebyshev fit in t = 1 / (1 + |x| / 2): t * exp(-x^2 + polynomial(t)), relative error 1.2e-7 before rounding
    // (Press et al., "Numerical Recipes", 2nd edition, section 6.2, erfcc).
    private static void ErrorTail(ReadOnlySpan<float> x, Span<float> tail, SimdLevel level)
    {
        Span<float> t = stackalloc float[Piece];
        t = t[..x.Length];
        fixed (float* px = x, pt = t, pe = tail)
        {
            switch (level)
            {
                case SimdLevel.Vector512: Exponent<V512>(px, pt, pe, x.Length); break;
                case SimdLevel.Vector256: Exponent<V256>(px, pt, pe, x.Length); break;
                case SimdLevel.Vector128: Exponent<V128>(px, pt, pe, x.Length); break;
                default: Exponent<V1>(px, pt, pe, x.Length); break;
            }
        }
        TensorPrimitives.Exp(tail, tail);
        TensorPrimitives.Multiply(tail, t, tail);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Exponent<V>(float* x, float* t, float* e, int count) where V : unmanaged, IVector<V>
    {
        int i = 0;
        for (; i + V.Count <= count; i += V.Count) Step<V>(x + i, t + i, e + i);
        for (; i < count; i++) Step<V1>(x + i, t + i, e + i);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static void Step<W>(float* x, float* t, float* e) where W : unmanaged, IVector<W>
        {
            W v = W.Load(x), one = W.Broadcast(1f);
            W absolute = W.Max(v, W.Subtract(W.Zero, v));
            W r = W.Divide(one, W.MultiplyAdd(absolute, W.Broadcast(0.5f), one));
            W p = W.Broadcast(0.17087277f);
            p = W.MultiplyAdd(p, r, W.Broadcast(-0.82215223f));
            p = W.MultiplyAdd(p, r, W.Broadcast(1.48851587f));
            p = W.MultiplyAdd(p, r, W.Broadcast(-1.13520398f));
            p = W.MultiplyAdd(p, r, W.Broadcast(0.27886807f));
            p = W.MultiplyAdd(p, r, W.Broadcast(-0.18628806f));
            p = W.MultiplyAdd(p, r, W.Broadcast(0.09678418f));
            p = W.MultiplyAdd(p, r, W.Broadcast(0.37409196f));
            p = W.MultiplyAdd(p, r, W.Broadcast(1.00002368f));
            p = W.MultiplyAdd(p, r, W.Broadcast(-1.26551223f));
            W.Store(r, t);
            W.Store(W.MultiplyAdd(W.Subtract(W.Zero, v), v, p), e);
        }
    }

    // 2 / sqrt(pi) * (x - x^3 / 3 + x^5 / 10 - x^7 / 42 + x^9 / 216), below 0.4 exact to rounding.
    private static float Series(float x)
    {
        float s = x * x;
        return 1.1283791670955126f * x * (1f + (s * ((-1f / 3f) + (s * (0.1f + (s * ((-1f / 42f) + (s / 216f))))))));
    }
}

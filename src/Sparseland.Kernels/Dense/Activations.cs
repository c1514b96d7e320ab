using System.Numerics.Tensors;
using System.Runtime.Intrinsics;

namespace Sparseland.Kernels.Dense;

/// <summary>Element-wise activation functions, with gradients.</summary>
/// <remarks>
/// Gradients are given by the input x of the function unless the name of the argument says output. Outputs may be the
/// inputs themselves. NaN stays NaN. Large arrays use several threads; every element is computed alike wherever it lies.
/// </remarks>
public static unsafe partial class Activations
{
    // Floats of a piece whose intermediate values stay in the first-level cache.
    private const int Piece = 1024;

    private delegate void Unary(ReadOnlySpan<float> x, Span<float> y);

    private delegate void Binary(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d);

    /// <summary>y = max(x, 0).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output, as long as x.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Relu(ReadOnlySpan<float> x, Span<float> y) => Map(x, y, static (a, b) => TensorPrimitives.Max(a, 0f, b));

    /// <summary>d = g where x &gt; 0, else 0; x may be the input or the output of the function.</summary>
    /// <param name="x">Input or output of ReLU.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void ReluBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d) => ClampBackward(x, g, d, Dense.Clamp.Relu);

    /// <summary>y = min(max(x, low), high).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <param name="clamp">The bounds.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Clamp(ReadOnlySpan<float> x, Span<float> y, Clamp clamp) =>
        Map(x, y, (a, b) =>
        {
            TensorPrimitives.Max(a, clamp.Low, b);
            TensorPrimitives.Min(b, clamp.High, b);
        });

    /// <summary>d = g where low &lt; x &lt; high, else 0 (also for NaN).</summary>
    /// <param name="x">Input or output of the clamp.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <param name="clamp">The bounds.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void ClampBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d, Clamp clamp)
    {
        (float low, float high) = clamp;
        Map(x, g, d, (a, b, c) =>
        {
            // Every training step passes here: a comparison, an AND, at memory speed.
            int i = 0;
            Vector256<float> vl = Vector256.Create(low), vh = Vector256.Create(high);
            for (; i + 8 <= a.Length; i += 8)
            {
                Vector256<float> v = Vector256.Create(a.Slice(i, 8));
                (Vector256.GreaterThan(v, vl) & Vector256.LessThan(v, vh) & Vector256.Create(b.Slice(i, 8))).CopyTo(c[i..]);
            }
            for (; i < a.Length; i++) c[i] = a[i] > low && a[i] < high ? b[i] : 0f;
        });
    }

    /// <summary>y = x for x &gt; 0, else slope * x.</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <param name="slope">Slope of the negative side.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void LeakyRelu(ReadOnlySpan<float> x, Span<float> y, float slope) =>
        Map(x, y, (a, b) =>
        {
            for (int i = 0; i < a.Length; i++) b[i] = a[i] > 0f ? a[i] : slope * a[i];
        });

    /// <summary>The gradient of <see cref="LeakyRelu"/>.</summary>
    /// <param name="x">Input.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <param name="slope">Slope of the negative side.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void LeakyReluBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d, float slope) =>
        Map(x, g, d, (a, b, c) =>
        {
            for (int i = 0; i < a.Length; i++) c[i] = a[i] > 0f ? b[i] : slope * b[i];
        });

    /// <summary>y = 1 / (1 + exp(-x)).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Sigmoid(ReadOnlySpan<float> x, Span<float> y) => Map(x, y, SigmoidPiece);

    /// <summary>d = g * y * (1 - y).</summary>
    /// <param name="output">Output of the function.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void SigmoidBackward(ReadOnlySpan<float> output, ReadOnlySpan<float> g, Span<float> d) =>
        Map(output, g, d, static (y, b, c) =>
        {
            for (int i = 0; i < y.Length; i++) c[i] = b[i] * y[i] * (1f - y[i]);
        });

    /// <summary>y = tanh(x).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Tanh(ReadOnlySpan<float> x, Span<float> y) => Map(x, y, TensorPrimitives.Tanh);

    /// <summary>d = g * (1 - y^2).</summary>
    /// <param name="output">Output of the function.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void TanhBackward(ReadOnlySpan<float> output, ReadOnlySpan<float> g, Span<float> d) =>
        Map(output, g, d, static (y, b, c) =>
        {
            for (int i = 0; i < y.Length; i++) c[i] = b[i] * (1f - (y[i] * y[i]));
        });

    /// <summary>y = x / (1 + exp(-x)), also called swish (Elfwing et al., "Sigmoid-Weighted Linear Units", section 2).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Silu(ReadOnlySpan<float> x, Span<float> y) =>
        Map(x, y, static (a, b) =>
        {
            Span<float> s = stackalloc float[Piece];
            s = s[..a.Length];
            SigmoidPiece(a, s);
            // -infinity times 0 would be NaN; the limit is 0.
            TensorPrimitives.Max(a, float.MinValue, b);
            TensorPrimitives.Multiply(b, s, b);
        });

    /// <summary>d = g * s * (1 + x * (1 - s)) with s = 1 / (1 + exp(-x)).</summary>
    /// <param name="x">Input.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void SiluBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d) =>
        Map(x, g, d, static (a, b, c) =>
        {
            Span<float> s = stackalloc float[Piece];
            s = s[..a.Length];
            SigmoidPiece(a, s);
            Span<float> t = stackalloc float[Piece], bounded = stackalloc float[Piece];
            t = t[..a.Length];
            bounded = bounded[..a.Length];
            TensorPrimitives.Subtract(1f, s, t);
            TensorPrimitives.Max(a, float.MinValue, bounded);
            TensorPrimitives.Min(bounded, float.MaxValue, bounded);
            TensorPrimitives.Multiply(t, bounded, t);
            TensorPrimitives.Add(t, 1f, t);
            TensorPrimitives.Multiply(t, s, t);
            TensorPrimitives.Multiply(t, b, c);
        });

    /// <summary>y = log(1 + exp(x)), computed without overflow.</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Softplus(ReadOnlySpan<float> x, Span<float> y) =>
        Map(x, y, static (a, b) =>
        {
            for (int i = 0; i < a.Length; i++) b[i] = MathF.Max(a[i], 0f) + float.LogP1(MathF.Exp(-MathF.Abs(a[i])));
        });

    /// <summary>y = x for x &gt; 0, else alpha * (exp(x) - 1) (Clevert et al., "ELU", equation 16).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <param name="alpha">Limit of the negative side, negated.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void Elu(ReadOnlySpan<float> x, Span<float> y, float alpha = 1f) =>
        Map(x, y, (a, b) =>
        {
            for (int i = 0; i < a.Length; i++) b[i] = a[i] > 0f ? a[i] : alpha * float.ExpM1(a[i]);
        });

    /// <summary>The gradient of <see cref="Elu"/>.</summary>
    /// <param name="x">Input.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <param name="alpha">Limit of the negative side, negated.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void EluBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d, float alpha = 1f) =>
        Map(x, g, d, (a, b, c) =>
        {
            for (int i = 0; i < a.Length; i++) c[i] = a[i] > 0f ? b[i] : b[i] * alpha * MathF.Exp(a[i]);
        });

    /// <summary>y = min(max(alpha * x + beta, 0), 1).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <param name="alpha">Slope: 0.2 in ONNX, 1/6 in PyTorch.</param>
    /// <param name="beta">Value at 0.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void HardSigmoid(ReadOnlySpan<float> x, Span<float> y, float alpha = 0.2f, float beta = 0.5f) =>
        Map(x, y, (a, b) =>
        {
            for (int i = 0; i < a.Length; i++) b[i] = MathF.Max(0f, MathF.Min(1f, (alpha * a[i]) + beta));
        });

    /// <summary>y = x * min(max(x / 6 + 0.5, 0), 1) (Howard et al., "Searching for MobileNetV3", section 5.2).</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output.</param>
    /// <exception cref="ArgumentException">y is shorter than x.</exception>
    public static void HardSwish(ReadOnlySpan<float> x, Span<float> y) =>
        Map(x, y, static (a, b) =>
        {
            for (int i = 0; i < a.Length; i++) b[i] = a[i] * MathF.Max(0f, MathF.Min(1f, (a[i] / 6f) + 0.5f));
        });

    /// <summary>The gradient of <see cref="HardSwish"/>.</summary>
    /// <param name="x">Input.</param>
    /// <param name="g">Gradient of the output.</param>
    /// <param name="d">Receives the gradient of the input.</param>
    /// <exception cref="ArgumentException">Lengths differ.</exception>
    public static void HardSwishBackward(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d) =>
        Map(x, g, d, static (a, b, c) =>
        {
            for (int i = 0; i < a.Length; i++) c[i] = a[i] <= -3f ? 0f : a[i] >= 3f ? b[i] : b[i] * ((a[i] / 3f) + 0.5f);
        });

    // The library's vector code where inputs are large and negative loses nothing: exp overflows to infinity, 1 / infinity is 0.
    private static void SigmoidPiece(ReadOnlySpan<float> x, Span<float> y) => TensorPrimitives.Sigmoid(x, y);

    private static void Map(ReadOnlySpan<float> x, Span<float> y, Unary function)
    {
        Parts.Need(y.Length, x.Length, nameof(y));
        int length = x.Length;
        fixed (float* fx = x, fy = y)
        {
            float* px = fx, py = fy;
            Pieces(length, (at, count) => function(new ReadOnlySpan<float>(px + at, count), new Span<float>(py + at, count)));
        }
    }

    private static void Map(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d, Binary function)
    {
        Parts.Need(g.Length, x.Length, nameof(g));
        Parts.Need(d.Length, x.Length, nameof(d));
        fixed (float* fx = x, fg = g, fd = d)
        {
            float* px = fx, pg = fg, pd = fd;
            Pieces(x.Length, (at, count) => function(new ReadOnlySpan<float>(px + at, count), new ReadOnlySpan<float>(pg + at, count), new Span<float>(pd + at, count)));
        }
    }

    private static void Pieces(int length, Action<int, int> body)
    {
        int pieces = (length + Piece - 1) / Piece;
        Parts.Rows(pieces, Piece, (first, end) =>
        {
            for (int i = first; i < end; i++) body(i * Piece, Math.Min(Piece, length - (i * Piece)));
        });
    }
}

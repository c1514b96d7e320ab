using Sparseland.Training.Operators;

namespace Sparseland.Training.Autograd;

/// <summary>The everyday operations; <see cref="Functions"/> has the layers.</summary>
public sealed partial class Tensor
{
    /// <summary>a + b, broadcast.</summary>
    /// <exception cref="ArgumentException">The shapes do not broadcast.</exception>
    public static Tensor operator +(Tensor a, Tensor b) => Binary.Add(a, b);

    /// <summary>a + b for every element.</summary>
    public static Tensor operator +(Tensor a, float b) => Binary.Add(a, Scalar(b));

    /// <summary>a - b, broadcast.</summary>
    /// <exception cref="ArgumentException">The shapes do not broadcast.</exception>
    public static Tensor operator -(Tensor a, Tensor b) => Binary.Subtract(a, b);

    /// <summary>a - b for every element.</summary>
    public static Tensor operator -(Tensor a, float b) => Binary.Add(a, Scalar(-b));

    /// <summary>-a.</summary>
    public static Tensor operator -(Tensor a) => Unary.Apply<NegOp>("Neg", a);

    /// <summary>a * b element by element, broadcast.</summary>
    /// <exception cref="ArgumentException">The shapes do not broadcast.</exception>
    public static Tensor operator *(Tensor a, Tensor b) => Binary.Multiply(a, b);

    /// <summary>a * b for every element.</summary>
    public static Tensor operator *(Tensor a, float b) => Binary.Multiply(a, Scalar(b));

    /// <summary>a * b for every element.</summary>
    public static Tensor operator *(float a, Tensor b) => Binary.Multiply(b, Scalar(a));

    /// <summary>a / b element by element, broadcast.</summary>
    /// <exception cref="ArgumentException">The shapes do not broadcast.</exception>
    public static Tensor operator /(Tensor a, Tensor b) => Binary.Divide(a, b);

    /// <summary>a / b for every element.</summary>
    public static Tensor operator /(Tensor a, float b) => Binary.Multiply(a, Scalar(1 / b));

    /// <summary>Matrix product over the last two axes; the others broadcast (NumPy's matmul).</summary>
    /// <exception cref="ArgumentException">The inner dimensions differ.</exception>
    public Tensor MatMul(Tensor other) => Products.MatMul(this, other);

    /// <summary>Each element to a power.</summary>
    public Tensor Pow(float exponent) => Binary.Power(this, Scalar(exponent));

    /// <summary>max(x, 0).</summary>
    public Tensor Relu() => Unary.Apply<ReluOp>("Relu", this);

    /// <summary>x Phi(x).</summary>
    public Tensor Gelu() => Unary.Apply<GeluOp>("Gelu", this);

    /// <summary>x sigmoid(x).</summary>
    public Tensor Silu() => Unary.Apply<SwishOp>("Swish", this, new(1));

    /// <summary>1 / (1 + exp(-x)).</summary>
    public Tensor Sigmoid() => Unary.Apply<SigmoidOp>("Sigmoid", this);

    /// <summary>Hyperbolic tangent.</summary>
    public Tensor Tanh() => Unary.Apply<TanhOp>("Tanh", this);

    /// <summary>e to the x.</summary>
    public Tensor Exp() => Unary.Apply<ExpOp>("Exp", this);

    /// <summary>Natural logarithm.</summary>
    public Tensor Log() => Unary.Apply<LogOp>("Log", this);

    /// <summary>Square root.</summary>
    public Tensor Sqrt() => Unary.Apply<SqrtOp>("Sqrt", this);

    /// <summary>|x|.</summary>
    public Tensor Abs() => Unary.Apply<AbsOp>("Abs", this);

    /// <summary>-1, 0 or 1; no gradient flows.</summary>
    public Tensor Sign() => Unary.Apply<SignOp>("Sign", this);

    /// <summary>Limits every element to [low, high]; no gradient flows outside.</summary>
    public Tensor Clip(float low, float high) => Unary.Apply<ClipOp>("Clip", this, new(low, high));

    /// <summary>Probabilities along an axis (from the end when negative).</summary>
    public Tensor Softmax(int axis = -1) => Operators.Softmax.Apply(this, Views.Axis(axis, Rank), log: false);

    /// <summary>Logarithms of probabilities along an axis (from the end when negative).</summary>
    public Tensor LogSoftmax(int axis = -1) => Operators.Softmax.Apply(this, Views.Axis(axis, Rank), log: true);

    /// <summary>The same elements under another shape; one entry may be -1.</summary>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public Tensor Reshape(params ReadOnlySpan<int> shape)
    {
        int[] target = shape.ToArray();
        int free = System.Array.IndexOf(target, -1);
        if (free >= 0)
        {
            int known = 1;
            for (int i = 0; i < target.Length; i++) known *= i == free ? 1 : target[i];
            if (known <= 0 || Length % known != 0) throw new ArgumentException($"Cannot view {this} as [{string.Join(", ", target)}].", nameof(shape));
            target[free] = Length / known;
        }
        return Views.Reshape(this, target);
    }

    /// <summary>Reorders the axes; without arguments reverses them.</summary>
    /// <exception cref="ArgumentException">The argument is no permutation.</exception>
    public Tensor Transpose(params ReadOnlySpan<int> permutation)
    {
        if (!permutation.IsEmpty || Rank == 0) return Operators.Transpose.Apply(this, permutation);
        int[] reversed = [.. Enumerable.Range(0, Rank).Reverse()];
        return Operators.Transpose.Apply(this, reversed);
    }

    /// <summary>The sum over axes (from the end when negative); over all without arguments.</summary>
    public Tensor Sum(params ReadOnlySpan<int> axes) => Reduced(Reduction.Sum, axes);

    /// <summary>The mean over axes (from the end when negative); over all without arguments.</summary>
    public Tensor Mean(params ReadOnlySpan<int> axes) => Reduced(Reduction.Mean, axes);

    /// <summary>The largest element over axes (from the end when negative); over all without arguments. Ties share the gradient.</summary>
    public Tensor Max(params ReadOnlySpan<int> axes) => Reduced(Reduction.Max, axes);

    /// <summary>Indices start .. start + length - 1 of an axis (from the end when negative).</summary>
    /// <exception cref="ArgumentException">The range is outside the axis.</exception>
    public Tensor Slice(int axis, int start, int length)
    {
        int a = Views.Axis(axis, Rank);
        if (start < 0 || length < 0 || start > Shape[a] - length) throw new ArgumentException($"Range {start} .. {start + length} is outside axis {axis} of {this}.");
        if (length == Shape[a]) return this;
        int[] starts = new int[Rank], steps = [.. Enumerable.Repeat(1, Rank)], counts = Shape.ToArray();
        (starts[a], counts[a]) = (start, length);
        return StridedSlice.Apply(this, starts, steps, counts);
    }

    private Tensor Reduced(Reduction kind, ReadOnlySpan<int> axes)
    {
        int[] list = axes.IsEmpty ? [.. Enumerable.Range(0, Rank)] : axes.ToArray();
        for (int i = 0; i < list.Length; i++) list[i] = Views.Axis(list[i], Rank);
        return Reductions.Apply(this, kind, list, keepDims: false);
    }
}

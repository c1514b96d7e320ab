using System.Numerics.Tensors;

namespace Sparseland.Kernels.Dense;

/// <summary>An element-wise function of two arrays.</summary>
public enum BinaryOperator
{
    /// <summary>a + b.</summary>
    Add,

    /// <summary>a - b.</summary>
    Subtract,

    /// <summary>a * b.</summary>
    Multiply,

    /// <summary>a / b.</summary>
    Divide,

    /// <summary>The larger, NaN if either is.</summary>
    Max,

    /// <summary>The smaller, NaN if either is.</summary>
    Min,

    /// <summary>a to the power of b.</summary>
    Power,
}

/// <summary>Element-wise work on arrays whose shapes are stretched to each other (NumPy's rules), and the sums back for gradients.</summary>
public static unsafe class Broadcast
{
    /// <summary>The shape that two shapes stretch to.</summary>
    /// <param name="a">First shape.</param>
    /// <param name="b">Second shape.</param>
    /// <exception cref="ArgumentException">They do not fit; the message names the axis.</exception>
    public static int[] Shape(ReadOnlySpan<int> a, ReadOnlySpan<int> b)
    {
        var shape = new int[Math.Max(a.Length, b.Length)];
        for (int i = 1; i <= shape.Length; i++)
        {
            int x = i <= a.Length ? a[^i] : 1, y = i <= b.Length ? b[^i] : 1;
            if (x != y && x != 1 && y != 1) throw new ArgumentException($"Shapes [{string.Join(", ", a.ToArray())}] and [{string.Join(", ", b.ToArray())}] do not fit at axis {shape.Length - i}.");
            shape[^i] = x == 1 ? y : x;
        }
        return shape;
    }

    /// <summary>output = operator(a, b), both stretched to the shape of the output.</summary>
    /// <param name="operation">The function.</param>
    /// <param name="a">Values of aShape.</param>
    /// <param name="aShape">Shape of a.</param>
    /// <param name="b">Values of bShape.</param>
    /// <param name="bShape">Shape of b.</param>
    /// <param name="output">Values of shape; may be a or b where their shape is the output's.</param>
    /// <param name="shape">Shape of the output.</param>
    /// <exception cref="ArgumentException">A shape does not stretch to the output's, or a span is too short.</exception>
    public static void Apply(BinaryOperator operation, ReadOnlySpan<float> a, ReadOnlySpan<int> aShape, ReadOnlySpan<float> b, ReadOnlySpan<int> bShape, Span<float> output, ReadOnlySpan<int> shape)
    {
        Parts.Need(a.Length, Count(aShape), nameof(a));
        Parts.Need(b.Length, Count(bShape), nameof(b));
        long count = Count(shape);
        Parts.Need(output.Length, count, nameof(output));
        if (count == 0) return;
        (int[] sizes, long[] aSteps, long[] bSteps) = Plan(aShape, bShape, shape);
        int inner = sizes[^1];
        long innerA = aSteps[^1], innerB = bSteps[^1];
        // A long last axis is cut, so that one large array uses the threads too.
        int piece = Math.Min(inner, Parts.Chunk), pieces = (inner + piece - 1) / piece;
        fixed (float* fa = a, fb = b, fo = output)
        {
            float* pa = fa, pb = fb, po = fo;
            Parts.Rows(checked((int)(count / inner * pieces)), piece, (first, end) =>
            {
                for (int part = first; part < end; part++)
                {
                    long row = part / pieces, ia = 0, ib = 0;
                    int start = part % pieces * piece, length = Math.Min(piece, inner - start);
                    nint to = (nint)(row * inner) + start;
                    for (int axis = sizes.Length - 2; axis >= 0; axis--)
                    {
                        ia += row % sizes[axis] * aSteps[axis];
                        ib += row % sizes[axis] * bSteps[axis];
                        row /= sizes[axis];
                    }
                    Piece(operation, pa + ia + (start * innerA), innerA != 0, pb + ib + (start * innerB), innerB != 0, new Span<float>(po + to, length));
                }
            });
        }
    }

    /// <summary>Sums a gradient of a stretched array back to the array's shape.</summary>
    /// <param name="gradient">Values of gradientShape.</param>
    /// <param name="gradientShape">Shape that the array was stretched to.</param>
    /// <param name="output">Values of shape; overwritten.</param>
    /// <param name="shape">Shape of the array.</param>
    /// <exception cref="ArgumentException">shape does not stretch to gradientShape, or a span is too short.</exception>
    public static void ReduceTo(ReadOnlySpan<float> gradient, ReadOnlySpan<int> gradientShape, Span<float> output, ReadOnlySpan<int> shape)
    {
        int extra = gradientShape.Length - shape.Length;
        if (extra < 0) throw new ArgumentException($"Rank {shape.Length} does not stretch to rank {gradientShape.Length}.", nameof(shape));
        var axes = new List<int>();
        for (int i = 0; i < gradientShape.Length; i++)
        {
            int size = i < extra ? 1 : shape[i - extra];
            if (size == gradientShape[i]) continue;
            if (size != 1) throw new ArgumentException($"Size {size} does not stretch to {gradientShape[i]} at axis {i}.", nameof(shape));
            axes.Add(i);
        }
        for (int i = 0; i < extra; i++) if (gradientShape[i] == 1) axes.Add(i);
        if (axes.Count == 0)
        {
            int count = checked((int)Count(gradientShape));
            Parts.Need(gradient.Length, count, nameof(gradient));
            Parts.Need(output.Length, count, nameof(output));
            gradient[..count].CopyTo(output);
            return;
        }
        Reduction.Reduce(ReductionKind.Sum, gradient, gradientShape, [.. axes], output);
    }

    private static long Count(ReadOnlySpan<int> shape)
    {
        long count = 1;
        foreach (int size in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(size, nameof(shape));
            count = checked(count * size);
        }
        return count;
    }

    // Steps of both operands per axis of the output (0 where stretched); axes that both walk through alike are joined.
    private static (int[] Sizes, long[] ASteps, long[] BSteps) Plan(ReadOnlySpan<int> aShape, ReadOnlySpan<int> bShape, ReadOnlySpan<int> shape)
    {
        long[] a = Steps(aShape, shape), b = Steps(bShape, shape);
        var sizes = new List<int>();
        var aSteps = new List<long>();
        var bSteps = new List<long>();
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] == 1) continue;
            if (sizes.Count > 0 && aSteps[^1] == a[i] * shape[i] && bSteps[^1] == b[i] * shape[i])
            {
                sizes[^1] *= shape[i];
                aSteps[^1] = a[i];
                bSteps[^1] = b[i];
            }
            else
            {
                sizes.Add(shape[i]);
                aSteps.Add(a[i]);
                bSteps.Add(b[i]);
            }
        }
        return sizes.Count == 0 ? ([1], [1], [1]) : ([.. sizes], [.. aSteps], [.. bSteps]);
    }

    private static long[] Steps(ReadOnlySpan<int> shape, ReadOnlySpan<int> target)
    {
        if (shape.Length > target.Length) throw new ArgumentException($"Rank {shape.Length} does not stretch to rank {target.Length}.", nameof(shape));
        var steps = new long[target.Length];
        long step = 1;
        for (int i = 1; i <= shape.Length; i++)
        {
            if (shape[^i] != 1 && shape[^i] != target[^i]) throw new ArgumentException($"Size {shape[^i]} does not stretch to {target[^i]} at axis {target.Length - i}.", nameof(shape));
            steps[^i] = shape[^i] == 1 ? 0 : step;
            step *= shape[^i];
        }
        return steps;
    }

    private static void Piece(BinaryOperator operation, float* a, bool manyA, float* b, bool manyB, Span<float> to)
    {
        if (!manyA && !manyB)
        {
            float one = 0f;
            Piece(operation, a, true, b, true, new Span<float>(ref one));
            to.Fill(one);
            return;
        }
        var x = new ReadOnlySpan<float>(a, manyA ? to.Length : 1);
        var y = new ReadOnlySpan<float>(b, manyB ? to.Length : 1);
        switch (operation)
        {
            case BinaryOperator.Add:
                if (!manyA) TensorPrimitives.Add(y, x[0], to);
                else if (!manyB) TensorPrimitives.Add(x, y[0], to);
                else TensorPrimitives.Add(x, y, to);
                break;
            case BinaryOperator.Subtract:
                if (!manyA) TensorPrimitives.Subtract(x[0], y, to);
                else if (!manyB) TensorPrimitives.Subtract(x, y[0], to);
                else TensorPrimitives.Subtract(x, y, to);
                break;
            case BinaryOperator.Multiply:
                if (!manyA) TensorPrimitives.Multiply(y, x[0], to);
                else if (!manyB) TensorPrimitives.Multiply(x, y[0], to);
                else TensorPrimitives.Multiply(x, y, to);
                break;
            case BinaryOperator.Divide:
                if (!manyA) TensorPrimitives.Divide(x[0], y, to);
                else if (!manyB) TensorPrimitives.Divide(x, y[0], to);
                else TensorPrimitives.Divide(x, y, to);
                break;
            case BinaryOperator.Max:
                if (!manyA) TensorPrimitives.Max(y, x[0], to);
                else if (!manyB) TensorPrimitives.Max(x, y[0], to);
                else TensorPrimitives.Max(x, y, to);
                break;
            case BinaryOperator.Min:
                if (!manyA) TensorPrimitives.Min(y, x[0], to);
                else if (!manyB) TensorPrimitives.Min(x, y[0], to);
                else TensorPrimitives.Min(x, y, to);
                break;
            case BinaryOperator.Power:
                // The library's vector power loses digits; this one is as exact as the scalar function.
                for (int i = 0; i < to.Length; i++) to[i] = MathF.Pow(x[manyA ? i : 0], y[manyB ? i : 0]);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(operation));
        }
    }
}

using System.Numerics.Tensors;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Softmax and its logarithm along one axis of [outer, axis, inner], with gradients.</summary>
/// <remarks>
/// The largest value is subtracted first. A slice that holds NaN or +infinity, or nothing but -infinity, becomes NaN.
/// Outputs may be the inputs themselves but must not overlap them otherwise.
/// </remarks>
public static unsafe class Softmax
{
    /// <summary>output = exp(input) / sum over the axis of exp(input).</summary>
    /// <param name="input">[outer, axis, inner].</param>
    /// <param name="output">[outer, axis, inner].</param>
    /// <param name="outer">Slices before the axis.</param>
    /// <param name="axis">Length of the axis.</param>
    /// <param name="inner">Elements after the axis, 1 for rows.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Forward(ReadOnlySpan<float> input, Span<float> output, int outer, int axis, int inner = 1) => Run(input, output, outer, axis, inner, false);

    /// <summary>output = input - log(sum over the axis of exp(input)).</summary>
    /// <inheritdoc cref="Forward"/>
    public static void LogForward(ReadOnlySpan<float> input, Span<float> output, int outer, int axis, int inner = 1) => Run(input, output, outer, axis, inner, true);

    /// <summary>inputGradient = output * (outputGradient - sum over the axis of outputGradient * output).</summary>
    /// <param name="output">What <see cref="Forward"/> gave, [outer, axis, inner].</param>
    /// <param name="outputGradient">[outer, axis, inner].</param>
    /// <param name="inputGradient">[outer, axis, inner].</param>
    /// <param name="outer">Slices before the axis.</param>
    /// <param name="axis">Length of the axis.</param>
    /// <param name="inner">Elements after the axis.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Backward(ReadOnlySpan<float> output, ReadOnlySpan<float> outputGradient, Span<float> inputGradient, int outer, int axis, int inner = 1) =>
        RunBackward(output, outputGradient, inputGradient, outer, axis, inner, false);

    /// <summary>inputGradient = outputGradient - exp(output) * sum over the axis of outputGradient.</summary>
    /// <inheritdoc cref="Backward"/>
    public static void LogBackward(ReadOnlySpan<float> output, ReadOnlySpan<float> outputGradient, Span<float> inputGradient, int outer, int axis, int inner = 1) =>
        RunBackward(output, outputGradient, inputGradient, outer, axis, inner, true);

    private static void Run(ReadOnlySpan<float> input, Span<float> output, int outer, int axis, int inner, bool log)
    {
        Check(outer, axis, inner);
        long slice = (long)axis * inner;
        Parts.Need(input.Length, outer * slice, nameof(input));
        Parts.Need(output.Length, outer * slice, nameof(output));
        if (outer * slice == 0) return;
        fixed (float* pi = input, po = output)
        {
            SimdDispatch.Run(new Work { Input = pi, Output = po, Outer = outer, Axis = axis, Inner = inner, Log = log });
        }
    }

    private static void RunBackward(ReadOnlySpan<float> output, ReadOnlySpan<float> outputGradient, Span<float> inputGradient, int outer, int axis, int inner, bool log)
    {
        Check(outer, axis, inner);
        long slice = (long)axis * inner;
        Parts.Need(output.Length, outer * slice, nameof(output));
        Parts.Need(outputGradient.Length, outer * slice, nameof(outputGradient));
        Parts.Need(inputGradient.Length, outer * slice, nameof(inputGradient));
        if (outer * slice == 0) return;
        fixed (float* pi = output, pg = outputGradient, po = inputGradient)
        {
            SimdDispatch.Run(new Work { Input = pi, Gradient = pg, Output = po, Outer = outer, Axis = axis, Inner = inner, Log = log });
        }
    }

    private static void Check(int outer, int axis, int inner)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(outer);
        ArgumentOutOfRangeException.ThrowIfNegative(axis);
        ArgumentOutOfRangeException.ThrowIfNegative(inner);
    }

    private struct Work : ILevelWork
    {
        public float* Input;
        public float* Gradient;
        public float* Output;
        public int Outer, Axis, Inner;
        public bool Log;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            Work work = this;
            Parts.Rows(Outer, (long)Axis * Inner * 4, (first, end) =>
            {
                for (int i = first; i < end; i++) work.Slice<V>(i);
            });
        }

        private readonly void Slice<V>(int index) where V : unmanaged, IVector<V>
        {
            nint start = (nint)index * Axis * Inner;
            if (Inner == 1)
            {
                if (Gradient == null) Row<V>(new Span<float>(Input + start, Axis), new Span<float>(Output + start, Axis));
                else BackwardRow<V>(new Span<float>(Input + start, Axis), new Span<float>(Gradient + start, Axis), new Span<float>(Output + start, Axis));
                return;
            }
            using Scratch.Buffer first = Scratch.Rent(Inner), second = Scratch.Rent(Inner);
            var a = new Span<float>(first.Pointer, Inner);
            var b = new Span<float>(second.Pointer, Inner);
            if (Gradient == null) Columns(start, a, b);
            else BackwardColumns(start, a, b);
        }

        private readonly void Row<V>(ReadOnlySpan<float> x, Span<float> y) where V : unmanaged, IVector<V>
        {
            float max = TensorPrimitives.Max(x);
            if (!Log)
            {
                TensorPrimitives.Subtract(x, max, y);
                TensorPrimitives.Exp(y, y);
                fixed (float* py = y) TensorPrimitives.Multiply(y, 1f / LaneSums.Sum<V>(py, y.Length), y);
                return;
            }
            using Scratch.Buffer buffer = Scratch.Rent(x.Length);
            var e = new Span<float>(buffer.Pointer, x.Length);
            TensorPrimitives.Subtract(x, max, e);
            TensorPrimitives.Exp(e, e);
            float logSum = MathF.Log(LaneSums.Sum<V>(buffer.Pointer, x.Length));
            TensorPrimitives.Subtract(x, max, y);
            TensorPrimitives.Subtract(y, logSum, y);
        }

        private readonly void BackwardRow<V>(ReadOnlySpan<float> y, ReadOnlySpan<float> g, Span<float> d) where V : unmanaged, IVector<V>
        {
            fixed (float* py = y, pg = g)
            {
                if (!Log)
                {
                    float dot = LaneSums.Dot<V>(py, pg, y.Length);
                    TensorPrimitives.Subtract(g, dot, d);
                    TensorPrimitives.Multiply(d, y, d);
                    return;
                }
                float sum = LaneSums.Sum<V>(pg, g.Length);
                using Scratch.Buffer buffer = Scratch.Rent(y.Length);
                var e = new Span<float>(buffer.Pointer, y.Length);
                TensorPrimitives.Exp(y, e);
                TensorPrimitives.Multiply(e, sum, e);
                TensorPrimitives.Subtract(g, e, d);
            }
        }

        // The axis is not the last: whole rows of inner elements at a time, summed in the order of the axis.
        private readonly void Columns(nint start, Span<float> max, Span<float> sum)
        {
            new ReadOnlySpan<float>(Input + start, Inner).CopyTo(max);
            for (int i = 1; i < Axis; i++) TensorPrimitives.Max(max, Row(Input, start, i), max);
            sum.Clear();
            using Scratch.Buffer buffer = Scratch.Rent(Inner);
            var e = new Span<float>(buffer.Pointer, Inner);
            for (int i = 0; i < Axis; i++)
            {
                TensorPrimitives.Subtract(Row(Input, start, i), max, e);
                if (Log) e.CopyTo(Row(Output, start, i));
                TensorPrimitives.Exp(e, e);
                if (!Log) e.CopyTo(Row(Output, start, i));
                TensorPrimitives.Add(sum, e, sum);
            }
            if (Log) TensorPrimitives.Log(sum, sum);
            for (int i = 0; i < Axis; i++)
            {
                Span<float> y = Row(Output, start, i);
                if (Log) TensorPrimitives.Subtract(y, sum, y);
                else TensorPrimitives.Divide(y, sum, y);
            }
        }

        private readonly void BackwardColumns(nint start, Span<float> sum, Span<float> product)
        {
            sum.Clear();
            for (int i = 0; i < Axis; i++)
            {
                ReadOnlySpan<float> g = Row(Gradient, start, i);
                if (Log) TensorPrimitives.Add(sum, g, sum);
                else
                {
                    TensorPrimitives.Multiply(g, Row(Input, start, i), product);
                    TensorPrimitives.Add(sum, product, sum);
                }
            }
            for (int i = 0; i < Axis; i++)
            {
                ReadOnlySpan<float> g = Row(Gradient, start, i), y = Row(Input, start, i);
                Span<float> d = Row(Output, start, i);
                if (Log)
                {
                    TensorPrimitives.Exp(y, product);
                    TensorPrimitives.Multiply(product, sum, product);
                    TensorPrimitives.Subtract(g, product, d);
                }
                else
                {
                    TensorPrimitives.Subtract(g, sum, product);
                    TensorPrimitives.Multiply(product, y, d);
                }
            }
        }

        private readonly Span<float> Row(float* values, nint start, int i) => new(values + start + ((nint)i * Inner), Inner);
    }
}

using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>Layer normalisation and root-mean-square normalisation of the rows of [rows, width].</summary>
/// <remarks>
/// Ba, Kiros, Hinton, "Layer Normalization", section 3; Zhang, Sennrich, "Root Mean Square Layer Normalization", section 4.
/// Outputs may be the inputs themselves.
/// </remarks>
public static unsafe class LayerNorm
{
    /// <summary>output = (input - mean) / sqrt(variance + epsilon) * scale + bias.</summary>
    /// <param name="input">[rows, width].</param>
    /// <param name="scale">[width].</param>
    /// <param name="bias">[width] or empty.</param>
    /// <param name="epsilon">Added to the biased variance.</param>
    /// <param name="output">[rows, width].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Elements that are normalised together.</param>
    /// <param name="mean">[rows], receives the means for <see cref="Backward"/>; or empty.</param>
    /// <param name="inverseDeviation">[rows], receives 1 / sqrt(variance + epsilon); or empty.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Forward(ReadOnlySpan<float> input, ReadOnlySpan<float> scale, ReadOnlySpan<float> bias, float epsilon, Span<float> output, int rows, int width,
        Span<float> mean = default, Span<float> inverseDeviation = default) => Run(input, scale, bias, epsilon, output, rows, width, mean, inverseDeviation, true);

    /// <summary>output = input / sqrt(mean of squares + epsilon) * scale.</summary>
    /// <param name="input">[rows, width].</param>
    /// <param name="scale">[width].</param>
    /// <param name="epsilon">Added to the mean of squares.</param>
    /// <param name="output">[rows, width].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Elements that are normalised together.</param>
    /// <param name="inverseDeviation">[rows], receives 1 / sqrt(mean of squares + epsilon) for <see cref="RmsBackward"/>; or empty.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void RmsForward(ReadOnlySpan<float> input, ReadOnlySpan<float> scale, float epsilon, Span<float> output, int rows, int width, Span<float> inverseDeviation = default) =>
        Run(input, scale, default, epsilon, output, rows, width, default, inverseDeviation, false);

    /// <summary>Gradients of <see cref="Forward"/>.</summary>
    /// <param name="input">[rows, width].</param>
    /// <param name="outputGradient">[rows, width].</param>
    /// <param name="scale">[width].</param>
    /// <param name="mean">[rows], from the forward pass.</param>
    /// <param name="inverseDeviation">[rows], from the forward pass.</param>
    /// <param name="inputGradient">[rows, width]; overwritten.</param>
    /// <param name="scaleGradient">[width]; overwritten.</param>
    /// <param name="biasGradient">[width], overwritten; or empty.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Elements that are normalised together.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Backward(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> scale, ReadOnlySpan<float> mean, ReadOnlySpan<float> inverseDeviation,
        Span<float> inputGradient, Span<float> scaleGradient, Span<float> biasGradient, int rows, int width)
    {
        Parts.Need(mean.Length, rows, nameof(mean));
        RunBackward(input, outputGradient, scale, mean, inverseDeviation, inputGradient, scaleGradient, biasGradient, rows, width);
    }

    /// <summary>Gradients of <see cref="RmsForward"/>.</summary>
    /// <param name="input">[rows, width].</param>
    /// <param name="outputGradient">[rows, width].</param>
    /// <param name="scale">[width].</param>
    /// <param name="inverseDeviation">[rows], from the forward pass.</param>
    /// <param name="inputGradient">[rows, width]; overwritten.</param>
    /// <param name="scaleGradient">[width]; overwritten.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Elements that are normalised together.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void RmsBackward(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> scale, ReadOnlySpan<float> inverseDeviation,
        Span<float> inputGradient, Span<float> scaleGradient, int rows, int width) =>
        RunBackward(input, outputGradient, scale, default, inverseDeviation, inputGradient, scaleGradient, default, rows, width);

    private static void Run(ReadOnlySpan<float> input, ReadOnlySpan<float> scale, ReadOnlySpan<float> bias, float epsilon, Span<float> output, int rows, int width,
        Span<float> mean, Span<float> inverse, bool centered)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(width);
        Parts.Need(input.Length, (long)rows * width, nameof(input));
        Parts.Need(output.Length, (long)rows * width, nameof(output));
        Parts.Need(scale.Length, width, nameof(scale));
        if (!bias.IsEmpty) Parts.Need(bias.Length, width, nameof(bias));
        if (!mean.IsEmpty) Parts.Need(mean.Length, rows, nameof(mean));
        if (!inverse.IsEmpty) Parts.Need(inverse.Length, rows, "inverseDeviation");
        fixed (float* pi = input, po = output, ps = scale, pb = bias, pm = mean, pd = inverse)
        {
            SimdDispatch.Run(new ForwardWork { Input = pi, Output = po, Scale = ps, Bias = pb, Mean = pm, Inverse = pd, Epsilon = epsilon, Rows = rows, Width = width, Centered = centered });
        }
    }

    private static void RunBackward(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> scale, ReadOnlySpan<float> mean, ReadOnlySpan<float> inverse,
        Span<float> inputGradient, Span<float> scaleGradient, Span<float> biasGradient, int rows, int width)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(width);
        Parts.Need(input.Length, (long)rows * width, nameof(input));
        Parts.Need(outputGradient.Length, (long)rows * width, nameof(outputGradient));
        Parts.Need(inputGradient.Length, (long)rows * width, nameof(inputGradient));
        Parts.Need(scale.Length, width, nameof(scale));
        Parts.Need(scaleGradient.Length, width, nameof(scaleGradient));
        Parts.Need(inverse.Length, rows, "inverseDeviation");
        if (!biasGradient.IsEmpty) Parts.Need(biasGradient.Length, width, nameof(biasGradient));

        // At most 16 ranges of rows, whose sums for the parameters are added in order.
        int ranges = (int)Math.Clamp((long)rows * width / Parts.Chunk, 1, 16);
        using Scratch.Buffer partial = Scratch.Rent(2L * ranges * width);
        new Span<float>(partial.Pointer, checked(2 * ranges * width)).Clear();
        fixed (float* pi = input, pg = outputGradient, ps = scale, pm = mean, pd = inverse, po = inputGradient)
        {
            SimdDispatch.Run(new BackwardWork { Input = pi, Gradient = pg, Scale = ps, Mean = pm, Inverse = pd, InputGradient = po, Partial = partial.Pointer, Rows = rows, Width = width, Ranges = ranges });
        }
        var sums = new Span<float>(partial.Pointer, 2 * ranges * width);
        Fold(sums[..(ranges * width)], scaleGradient[..width]);
        if (!biasGradient.IsEmpty) Fold(sums[(ranges * width)..], biasGradient[..width]);
    }

    private static void Fold(ReadOnlySpan<float> partial, Span<float> total)
    {
        total.Clear();
        for (int at = 0; total.Length > 0 && at < partial.Length; at += total.Length) TensorPrimitives.Add(total, partial.Slice(at, total.Length), total);
    }

    private struct ForwardWork : ILevelWork
    {
        public float* Input;
        public float* Output;
        public float* Scale;
        public float* Bias;
        public float* Mean;
        public float* Inverse;
        public float Epsilon;
        public int Rows, Width;
        public bool Centered;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            ForwardWork w = this;
            Parts.Rows(Rows, Width, (first, end) =>
            {
                for (int row = first; row < end; row++) w.Row<V>(row);
            });
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Row<V>(int row) where V : unmanaged, IVector<V>
        {
            float* x = Input + ((nint)row * Width);
            float* y = Output + ((nint)row * Width);
            float mean = Centered ? LaneSums.Sum<V>(x, Width) / Width : 0f;
            float inverse = 1f / MathF.Sqrt((LaneSums.Squares<V>(x, Width, mean) / Width) + Epsilon);
            if (Mean != null) Mean[row] = mean;
            if (Inverse != null) Inverse[row] = inverse;
            V m = V.Broadcast(mean), d = V.Broadcast(inverse);
            int i = 0;
            for (; i + V.Count <= Width; i += V.Count)
            {
                V v = V.Multiply(V.Multiply(V.Subtract(V.Load(x + i), m), d), V.Load(Scale + i));
                V.Store(Bias == null ? v : V.Add(v, V.Load(Bias + i)), y + i);
            }
            for (; i < Width; i++)
            {
                float v = (x[i] - mean) * inverse * Scale[i];
                y[i] = Bias == null ? v : v + Bias[i];
            }
        }
    }

    private struct BackwardWork : ILevelWork
    {
        public float* Input;
        public float* Gradient;
        public float* Scale;
        public float* Mean;
        public float* Inverse;
        public float* InputGradient;
        public float* Partial;
        public int Rows, Width, Ranges;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            BackwardWork w = this;
            WorkPool.For(Ranges, range =>
            {
                using Scratch.Buffer buffer = Scratch.Rent(2L * w.Width);
                int first = (int)((long)w.Rows * range / w.Ranges), end = (int)((long)w.Rows * (range + 1) / w.Ranges);
                for (int row = first; row < end; row++) w.Row<V>(row, range, buffer.Pointer);
            });
        }

        private readonly void Row<V>(int row, int range, float* buffer) where V : unmanaged, IVector<V>
        {
            int width = Width;
            nint at = (nint)row * width;
            var normal = new Span<float>(buffer, width);
            var scaled = new Span<float>(buffer + width, width);
            var g = new ReadOnlySpan<float>(Gradient + at, width);
            float mean = Mean == null ? 0f : Mean[row], inverse = Inverse[row];
            TensorPrimitives.Subtract(new ReadOnlySpan<float>(Input + at, width), mean, normal);
            TensorPrimitives.Multiply(normal, inverse, normal);
            var ds = new Span<float>(Partial + ((nint)range * width), width);
            var db = new Span<float>(Partial + ((nint)(Ranges + range) * width), width);
            TensorPrimitives.Multiply(g, normal, scaled);
            TensorPrimitives.Add(ds, scaled, ds);
            TensorPrimitives.Add(db, g, db);
            TensorPrimitives.Multiply(g, new ReadOnlySpan<float>(Scale, width), scaled);
            float sum = Mean == null ? 0f : LaneSums.Sum<V>(buffer + width, width) / width;
            float product = LaneSums.Dot<V>(buffer + width, buffer, width) / width;
            // inverse * (scaled - sum - normal * product)
            BatchNorm.Combine<V>(buffer + width, buffer, InputGradient + at, width, inverse, -inverse * product, -inverse * sum);
        }
    }
}

using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Group normalisation of [batch, channels, spatial]; instance normalisation is groups = channels.</summary>
/// <remarks>Wu, He, "Group Normalization", section 3.1. Outputs may be the inputs themselves.</remarks>
public static unsafe class GroupNorm
{
    /// <summary>Normalises each group of channels of each image, then scales and shifts each channel.</summary>
    /// <param name="input">[batch, channels, spatial].</param>
    /// <param name="scale">[channels].</param>
    /// <param name="bias">[channels].</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="output">[batch, channels, spatial].</param>
    /// <param name="mean">[batch, groups]; receives the means.</param>
    /// <param name="inverseDeviation">[batch, groups]; receives 1 / sqrt(variance + epsilon).</param>
    /// <param name="batch">Images.</param>
    /// <param name="channels">Channels.</param>
    /// <param name="groups">Groups, a divisor of channels.</param>
    /// <param name="spatial">Pixels per channel.</param>
    /// <exception cref="ArgumentException">Groups do not divide channels, or a span is too short.</exception>
    public static void Forward(ReadOnlySpan<float> input, ReadOnlySpan<float> scale, ReadOnlySpan<float> bias, float epsilon, Span<float> output,
        Span<float> mean, Span<float> inverseDeviation, int batch, int channels, int groups, int spatial)
    {
        Check(batch, channels, groups, spatial);
        long all = (long)batch * channels * spatial;
        Parts.Need(input.Length, all, nameof(input));
        Parts.Need(output.Length, all, nameof(output));
        Parts.Need(scale.Length, channels, nameof(scale));
        Parts.Need(bias.Length, channels, nameof(bias));
        Parts.Need(mean.Length, (long)batch * groups, nameof(mean));
        Parts.Need(inverseDeviation.Length, (long)batch * groups, nameof(inverseDeviation));
        fixed (float* pi = input, po = output, ps = scale, pb = bias, pm = mean, pd = inverseDeviation)
        {
            SimdDispatch.Run(new ForwardWork { Input = pi, Output = po, Scale = ps, Bias = pb, Mean = pm, Inverse = pd, Epsilon = epsilon, Batch = batch, Channels = channels, Groups = groups, Spatial = spatial });
        }
    }

    /// <summary>Gradients of <see cref="Forward"/>.</summary>
    /// <param name="input">[batch, channels, spatial].</param>
    /// <param name="outputGradient">[batch, channels, spatial].</param>
    /// <param name="scale">[channels].</param>
    /// <param name="mean">[batch, groups], from the forward pass.</param>
    /// <param name="inverseDeviation">[batch, groups], from the forward pass.</param>
    /// <param name="inputGradient">[batch, channels, spatial]; overwritten.</param>
    /// <param name="scaleGradient">[channels]; overwritten.</param>
    /// <param name="biasGradient">[channels]; overwritten.</param>
    /// <param name="batch">Images.</param>
    /// <param name="channels">Channels.</param>
    /// <param name="groups">Groups, a divisor of channels.</param>
    /// <param name="spatial">Pixels per channel.</param>
    /// <exception cref="ArgumentException">Groups do not divide channels, or a span is too short.</exception>
    public static void Backward(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> scale, ReadOnlySpan<float> mean, ReadOnlySpan<float> inverseDeviation,
        Span<float> inputGradient, Span<float> scaleGradient, Span<float> biasGradient, int batch, int channels, int groups, int spatial)
    {
        Check(batch, channels, groups, spatial);
        long all = (long)batch * channels * spatial;
        Parts.Need(input.Length, all, nameof(input));
        Parts.Need(outputGradient.Length, all, nameof(outputGradient));
        Parts.Need(inputGradient.Length, all, nameof(inputGradient));
        Parts.Need(scale.Length, channels, nameof(scale));
        Parts.Need(scaleGradient.Length, channels, nameof(scaleGradient));
        Parts.Need(biasGradient.Length, channels, nameof(biasGradient));
        Parts.Need(mean.Length, (long)batch * groups, nameof(mean));
        Parts.Need(inverseDeviation.Length, (long)batch * groups, nameof(inverseDeviation));
        using Scratch.Buffer sums = Scratch.Rent(2L * batch * channels);
        fixed (float* pi = input, pg = outputGradient, ps = scale, pm = mean, pd = inverseDeviation, po = inputGradient)
        {
            SimdDispatch.Run(new BackwardWork { Input = pi, Gradient = pg, Scale = ps, Mean = pm, Inverse = pd, InputGradient = po, Sums = sums.Pointer, Batch = batch, Channels = channels, Groups = groups, Spatial = spatial });
        }
        for (int c = 0; c < channels; c++)
        {
            float ds = 0f, db = 0f;
            for (int n = 0; n < batch; n++)
            {
                db += sums.Pointer[(n * channels) + c];
                ds += sums.Pointer[(batch * channels) + (n * channels) + c];
            }
            scaleGradient[c] = ds;
            biasGradient[c] = db;
        }
    }

    private static void Check(int batch, int channels, int groups, int spatial)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        ArgumentOutOfRangeException.ThrowIfNegative(channels);
        ArgumentOutOfRangeException.ThrowIfNegative(spatial);
        if (groups < 1 || channels % groups != 0) throw new ArgumentException($"{groups} groups do not divide {channels} channels.", nameof(groups));
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
        public int Batch, Channels, Groups, Spatial;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            ForwardWork w = this;
            int channels = Channels / Groups, count = channels * Spatial;
            Parts.Rows(Batch * Groups, count, (first, end) =>
            {
                for (int row = first; row < end; row++)
                {
                    float* x = w.Input + ((nint)row * count);
                    float* y = w.Output + ((nint)row * count);
                    float mean = LaneSums.Sum<V>(x, count) / count, inverse = 1f / MathF.Sqrt((LaneSums.Squares<V>(x, count, mean) / count) + w.Epsilon);
                    w.Mean[row] = mean;
                    w.Inverse[row] = inverse;
                    for (int c = 0; c < channels; c++)
                    {
                        int channel = (row % w.Groups * channels) + c;
                        float factor = w.Scale[channel] * inverse;
                        BatchNorm.Affine<V>(x + ((nint)c * w.Spatial), y + ((nint)c * w.Spatial), w.Spatial, factor, w.Bias[channel] - (mean * factor), Clamp.None);
                    }
                }
            });
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
        public float* Sums;
        public int Batch, Channels, Groups, Spatial;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            BackwardWork w = this;
            int channels = Channels / Groups, count = channels * Spatial;
            Parts.Rows(Batch * Groups, count * 2L, (first, end) =>
            {
                float* lanes = stackalloc float[Lanes.Count];
                for (int row = first; row < end; row++)
                {
                    float mean = w.Mean[row], inverse = w.Inverse[row], sum = 0f, product = 0f;
                    for (int c = 0; c < channels; c++)
                    {
                        nint at = ((nint)row * count) + ((nint)c * w.Spatial);
                        int channel = (row % w.Groups * channels) + c, index = (row / w.Groups * w.Channels) + channel;
                        float s = LaneSums.Sum<V>(w.Gradient + at, w.Spatial);
                        new Span<float>(lanes, Lanes.Count).Clear();
                        LaneSums.AddProducts<V>(w.Gradient + at, w.Input + at, w.Spatial, mean, lanes);
                        float p = DotKernel.Fold(lanes) * inverse;
                        w.Sums[index] = s;
                        w.Sums[(w.Batch * w.Channels) + index] = p;
                        sum += w.Scale[channel] * s;
                        product += w.Scale[channel] * p;
                    }
                    float b = -inverse * inverse * product / count, shift = (-inverse * sum / count) - (b * mean);
                    for (int c = 0; c < channels; c++)
                    {
                        nint at = ((nint)row * count) + ((nint)c * w.Spatial);
                        float a = w.Scale[(row % w.Groups * channels) + c] * inverse;
                        BatchNorm.Combine<V>(w.Gradient + at, w.Input + at, w.InputGradient + at, w.Spatial, a, b, shift);
                    }
                }
            });
        }
    }
}

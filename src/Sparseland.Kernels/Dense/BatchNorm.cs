using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>Batch normalisation of [batch, channels, spatial].</summary>
/// <remarks>
/// Ioffe, Szegedy, "Batch Normalization", algorithm 1. Variances are biased (divided by the count); the running statistics
/// are the caller's. Outputs may be the inputs themselves.
/// </remarks>
public static unsafe class BatchNorm
{
    /// <summary>output = clamp((input - mean) / sqrt(variance + epsilon) * scale + bias) with given statistics.</summary>
    /// <param name="input">[batch, channels, spatial].</param>
    /// <param name="scale">[channels].</param>
    /// <param name="bias">[channels].</param>
    /// <param name="mean">[channels].</param>
    /// <param name="variance">[channels].</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="output">[batch, channels, spatial].</param>
    /// <param name="batch">Images.</param>
    /// <param name="channels">Channels.</param>
    /// <param name="spatial">Pixels per channel.</param>
    /// <param name="activation">Applied last; null for none.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Infer(ReadOnlySpan<float> input, ReadOnlySpan<float> scale, ReadOnlySpan<float> bias, ReadOnlySpan<float> mean, ReadOnlySpan<float> variance,
        float epsilon, Span<float> output, int batch, int channels, int spatial, Clamp? activation = null)
    {
        Check(input.Length, output.Length, batch, channels, spatial);
        Parts.Need(scale.Length, channels, nameof(scale));
        Parts.Need(bias.Length, channels, nameof(bias));
        Parts.Need(mean.Length, channels, nameof(mean));
        Parts.Need(variance.Length, channels, nameof(variance));
        using Scratch.Buffer factors = Scratch.Rent(2L * channels);
        for (int c = 0; c < channels; c++)
        {
            float factor = scale[c] / MathF.Sqrt(variance[c] + epsilon);
            factors.Pointer[c] = factor;
            factors.Pointer[channels + c] = bias[c] - (mean[c] * factor);
        }
        fixed (float* pi = input, po = output)
        {
            SimdDispatch.Run(new AffineWork { Input = pi, Output = po, Factor = factors.Pointer, Shift = factors.Pointer + channels, Batch = batch, Channels = channels, Spatial = spatial, Clamp = activation ?? Clamp.None });
        }
    }

    /// <summary>Normalises with the statistics of this batch and returns them.</summary>
    /// <param name="input">[batch, channels, spatial].</param>
    /// <param name="scale">[channels].</param>
    /// <param name="bias">[channels].</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="output">[batch, channels, spatial].</param>
    /// <param name="mean">[channels]; receives the means over batch and spatial.</param>
    /// <param name="variance">[channels]; receives the biased variances.</param>
    /// <param name="batch">Images.</param>
    /// <param name="channels">Channels.</param>
    /// <param name="spatial">Pixels per channel.</param>
    /// <param name="activation">Applied last; null for none.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Train(ReadOnlySpan<float> input, ReadOnlySpan<float> scale, ReadOnlySpan<float> bias, float epsilon, Span<float> output,
        Span<float> mean, Span<float> variance, int batch, int channels, int spatial, Clamp? activation = null)
    {
        Check(input.Length, output.Length, batch, channels, spatial);
        Parts.Need(scale.Length, channels, nameof(scale));
        Parts.Need(bias.Length, channels, nameof(bias));
        Parts.Need(mean.Length, channels, nameof(mean));
        Parts.Need(variance.Length, channels, nameof(variance));
        fixed (float* pi = input, po = output, ps = scale, pb = bias, pm = mean, pv = variance)
        {
            SimdDispatch.Run(new TrainWork
            {
                Input = pi,
                Output = po,
                Scale = ps,
                Bias = pb,
                Mean = pm,
                Variance = pv,
                Epsilon = epsilon,
                Batch = batch,
                Channels = channels,
                Spatial = spatial,
                Clamp = activation ?? Clamp.None,
            });
        }
    }

    /// <summary>Gradients of <see cref="Train"/> (without its activation).</summary>
    /// <param name="input">[batch, channels, spatial].</param>
    /// <param name="outputGradient">[batch, channels, spatial].</param>
    /// <param name="scale">[channels].</param>
    /// <param name="mean">[channels], of this batch.</param>
    /// <param name="variance">[channels], of this batch, biased.</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="inputGradient">[batch, channels, spatial], or empty if not wanted.</param>
    /// <param name="scaleGradient">[channels]; overwritten.</param>
    /// <param name="biasGradient">[channels]; overwritten.</param>
    /// <param name="batch">Images.</param>
    /// <param name="channels">Channels.</param>
    /// <param name="spatial">Pixels per channel.</param>
    /// <param name="fixedStatistics">True for the gradient of <see cref="Infer"/>: mean and variance are constants.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void Backward(ReadOnlySpan<float> input, ReadOnlySpan<float> outputGradient, ReadOnlySpan<float> scale, ReadOnlySpan<float> mean, ReadOnlySpan<float> variance,
        float epsilon, Span<float> inputGradient, Span<float> scaleGradient, Span<float> biasGradient, int batch, int channels, int spatial, bool fixedStatistics = false)
    {
        Check(input.Length, outputGradient.Length, batch, channels, spatial);
        if (!inputGradient.IsEmpty) Parts.Need(inputGradient.Length, (long)batch * channels * spatial, nameof(inputGradient));
        Parts.Need(scale.Length, channels, nameof(scale));
        Parts.Need(mean.Length, channels, nameof(mean));
        Parts.Need(variance.Length, channels, nameof(variance));
        Parts.Need(scaleGradient.Length, channels, nameof(scaleGradient));
        Parts.Need(biasGradient.Length, channels, nameof(biasGradient));
        fixed (float* pi = input, pg = outputGradient, ps = scale, pm = mean, pv = variance, pd = inputGradient, pds = scaleGradient, pdb = biasGradient)
        {
            SimdDispatch.Run(new BackwardWork
            {
                Input = pi,
                Gradient = pg,
                Scale = ps,
                Mean = pm,
                Variance = pv,
                Epsilon = epsilon,
                InputGradient = pd,
                ScaleGradient = pds,
                BiasGradient = pdb,
                Batch = batch,
                Channels = channels,
                Spatial = spatial,
                FixedStatistics = fixedStatistics,
            });
        }
    }

    private static void Check(int input, int output, int batch, int channels, int spatial)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        ArgumentOutOfRangeException.ThrowIfNegative(channels);
        ArgumentOutOfRangeException.ThrowIfNegative(spatial);
        Parts.Need(input, (long)batch * channels * spatial, "input");
        Parts.Need(output, (long)batch * channels * spatial, "output");
    }

    /// <summary>y = clamp(x * factor + shift), contiguous.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void Affine<V>(float* x, float* y, int count, float factor, float shift, Clamp clamp) where V : unmanaged, IVector<V>
    {
        bool clamped = !clamp.IsNone;
        V f = V.Broadcast(factor), s = V.Broadcast(shift), low = V.Broadcast(clamp.Low), high = V.Broadcast(clamp.High), zero = V.Broadcast(clamp.Zero);
        int i = 0;
        for (; i + V.Count <= count; i += V.Count)
        {
            V v = V.MultiplyAdd(V.Load(x + i), f, s);
            if (clamped) v = Clamp.Bounded(v, low, high, zero);
            V.Store(v, y + i);
        }
        for (; i < count; i++)
        {
            float v = MathF.FusedMultiplyAdd(x[i], factor, shift);
            y[i] = clamped ? MathF.Min(MathF.Max(v, clamp.Low), clamp.High) : v;
        }
    }

    /// <summary>d = a * g + (b * x + c), contiguous.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static void Combine<V>(float* g, float* x, float* d, int count, float a, float b, float c) where V : unmanaged, IVector<V>
    {
        V va = V.Broadcast(a), vb = V.Broadcast(b), vc = V.Broadcast(c);
        int i = 0;
        for (; i + V.Count <= count; i += V.Count) V.Store(V.MultiplyAdd(va, V.Load(g + i), V.MultiplyAdd(vb, V.Load(x + i), vc)), d + i);
        for (; i < count; i++) d[i] = MathF.FusedMultiplyAdd(a, g[i], MathF.FusedMultiplyAdd(b, x[i], c));
    }

    private struct AffineWork : ILevelWork
    {
        public float* Input;
        public float* Output;
        public float* Factor;
        public float* Shift;
        public int Batch, Channels, Spatial;
        public Clamp Clamp;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            AffineWork w = this;
            Parts.Rows(Batch * Channels, Spatial, (first, end) =>
            {
                for (int row = first; row < end; row++)
                {
                    nint at = (nint)row * w.Spatial;
                    Affine<V>(w.Input + at, w.Output + at, w.Spatial, w.Factor[row % w.Channels], w.Shift[row % w.Channels], w.Clamp);
                }
            });
        }
    }

    private struct TrainWork : ILevelWork
    {
        public float* Input;
        public float* Output;
        public float* Scale;
        public float* Bias;
        public float* Mean;
        public float* Variance;
        public float Epsilon;
        public int Batch, Channels, Spatial;
        public Clamp Clamp;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            TrainWork w = this;
            Parts.Each(Channels, (long)Batch * Channels * Spatial, c => w.Channel<V>(c));
        }

        // Three passes over one channel, which stays in cache between them.
        private readonly void Channel<V>(int c) where V : unmanaged, IVector<V>
        {
            float* lanes = stackalloc float[Lanes.Count];
            new Span<float>(lanes, Lanes.Count).Clear();
            float count = (float)Batch * Spatial;
            for (int n = 0; n < Batch; n++) LaneSums.Add<V>(Input + At(n, c), Spatial, lanes);
            float mean = DotKernel.Fold(lanes) / count;
            new Span<float>(lanes, Lanes.Count).Clear();
            for (int n = 0; n < Batch; n++) LaneSums.AddSquares<V>(Input + At(n, c), Spatial, mean, lanes);
            float variance = DotKernel.Fold(lanes) / count;
            Mean[c] = mean;
            Variance[c] = variance;
            float factor = Scale[c] / MathF.Sqrt(variance + Epsilon), shift = Bias[c] - (mean * factor);
            for (int n = 0; n < Batch; n++) Affine<V>(Input + At(n, c), Output + At(n, c), Spatial, factor, shift, Clamp);
        }

        private readonly nint At(int n, int c) => (((nint)n * Channels) + c) * Spatial;
    }

    private struct BackwardWork : ILevelWork
    {
        public float* Input;
        public float* Gradient;
        public float* Scale;
        public float* Mean;
        public float* Variance;
        public float* InputGradient;
        public float* ScaleGradient;
        public float* BiasGradient;
        public float Epsilon;
        public int Batch, Channels, Spatial;
        public bool FixedStatistics;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            BackwardWork w = this;
            Parts.Each(Channels, (long)Batch * Channels * Spatial, c => w.Channel<V>(c));
        }

        private readonly void Channel<V>(int c) where V : unmanaged, IVector<V>
        {
            float* sums = stackalloc float[Lanes.Count];
            float* products = stackalloc float[Lanes.Count];
            new Span<float>(sums, Lanes.Count).Clear();
            new Span<float>(products, Lanes.Count).Clear();
            float mean = Mean[c], inverse = 1f / MathF.Sqrt(Variance[c] + Epsilon);
            for (int n = 0; n < Batch; n++)
            {
                LaneSums.Add<V>(Gradient + At(n, c), Spatial, sums);
                LaneSums.AddProducts<V>(Gradient + At(n, c), Input + At(n, c), Spatial, mean, products);
            }
            float sum = DotKernel.Fold(sums), product = DotKernel.Fold(products) * inverse, count = (float)Batch * Spatial;
            BiasGradient[c] = sum;
            ScaleGradient[c] = product;
            if (InputGradient == null) return;
            float a = Scale[c] * inverse, b = FixedStatistics ? 0f : -a * inverse * product / count, shift = FixedStatistics ? 0f : (-a * sum / count) - (b * mean);
            for (int n = 0; n < Batch; n++) Combine<V>(Gradient + At(n, c), Input + At(n, c), InputGradient + At(n, c), Spatial, a, b, shift);
        }

        private readonly nint At(int n, int c) => (((nint)n * Channels) + c) * Spatial;
    }
}

using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Batch normalisation (Ioffe and Szegedy 2015, algorithms 1 and 2).</summary>
internal static class BatchNormalization
{
    // Results of 16 MiB and more leave the caches before the next operator reads them.
    private const int LeavesCaches = 4 << 20;

    // Planes are asked for when so many values lie between.
    private const int AskedAhead = 512;

    /// <summary>Normalises every channel of x [batch, channels, ...] by the statistics of the batch.</summary>
    /// <param name="x">[batch, channels, ...].</param>
    /// <param name="scale">[channels].</param>
    /// <param name="shift">[channels].</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="relu">Whether max(., 0) follows, computed in the same pass.</param>
    /// <param name="mean">[channels]: the batch's mean, written.</param>
    /// <param name="variance">[channels]: the batch's variance (divided by the count), written.</param>
    public static Tensor Train(Tensor x, Tensor scale, Tensor shift, float epsilon, bool relu, float[] mean, float[] variance)
    {
        (int batch, int channels, int spatial) = Geometry(x);
        Tensor y = Tensor.Uninitialized(x.Shape);
        var inverse = new float[channels];
        int count = batch * spatial, ahead = 1 + (AskedAhead / Math.Max(spatial, 1));
        ReadOnlySpan<float> Later(float[] values, int n, int c) => n + ahead < batch ? values.AsSpan((((n + ahead) * channels) + c) * spatial, spatial) : default;
        bool streams = y.Length >= LeavesCaches;
        float[] source = x.Array, target = y.Array, gamma = scale.Array, beta = shift.Array;
        Chunks.Rows(channels, count, c =>
        {
            // Sums are taken around a value of the data, so that a large mean costs no digits, and in double from row to row.
            float around = count == 0 ? 0 : source[c * spatial];
            double sum = 0, squares = 0;
            for (int n = 0; n < batch; n++)
            {
                (float s, float q) = LaneMath.ShiftedMoments(source.AsSpan(((n * channels) + c) * spatial, spatial), around, Later(source, n, c));
                sum += s;
                squares += q;
            }
            double offset = count == 0 ? 0 : sum / count, var = count == 0 ? 0 : Math.Max(0, (squares / count) - (offset * offset));
            mean[c] = (float)(around + offset);
            variance[c] = (float)var;
            inverse[c] = (float)(1 / Math.Sqrt(var + epsilon));
            float a = gamma[c] * inverse[c], b = beta[c] - (mean[c] * a);
            // Backwards: what was read last is still in the cache.
            for (int n = batch - 1; n >= 0; n--)
            {
                int at = ((n * channels) + c) * spatial;
                if (streams) LaneMath.AffineStreaming(source.AsSpan(at, spatial), a, b, target.AsSpan(at, spatial), relu);
                else LaneMath.Affine(source.AsSpan(at, spatial), a, b, target.AsSpan(at, spatial), relu);
            }
        });
        if (!Tape.Records(x, scale, shift)) return y;
        // The statistics may be the caller's to keep: what the gradient needs is copied.
        var centre = (float[])mean.Clone();
        return Tape.Record("BatchNormalization", y, [x, scale, shift], [x, scale, relu ? shift : null], flow =>
        {
            // A gradient that another branch reads as well is left alone.
            Tensor incoming = flow.Output(), gradient = incoming.Storage.IsUnique ? flow.Take() : Tensor.Uninitialized(incoming.Shape);
            Tensor gScale = Tensor.Uninitialized([channels]), gShift = Tensor.Uninitialized([channels]);
            float[] g = incoming.Array, result = gradient.Array, input = x.Array, weight = scale.Array, gs = gScale.Array, gb = gShift.Array;
            // Where the relu let a value through is computed again from the input: one tensor less to keep and to read.
            float[]? shifts = relu ? shift.Array : null;
            Chunks.Rows(channels, count, c =>
            {
                double sum = 0, product = 0;
                float gate = weight[c] * inverse[c], threshold = shifts is null ? 0 : shifts[c] - (centre[c] * gate);
                for (int n = 0; n < batch; n++)
                {
                    int at = ((n * channels) + c) * spatial;
                    (float s, float p) = shifts is null
                        ? LaneMath.GradientMoments(g.AsSpan(at, spatial), input.AsSpan(at, spatial), centre[c], Later(g, n, c), Later(input, n, c))
                        : LaneMath.GatedGradientMoments(g.AsSpan(at, spatial), input.AsSpan(at, spatial), gate, threshold, centre[c], Later(g, n, c), Later(input, n, c));
                    sum += s;
                    product += p;
                }
                gb[c] = (float)sum;
                gs[c] = (float)(product * inverse[c]);
                if (count == 0) return;
                // gx = gamma * inverse * (g - mean(g) - xhat * mean(g xhat)), xhat = (x - centre) * inverse
                double a = (double)weight[c] * inverse[c], b = -a * product / count * inverse[c] * inverse[c];
                float constant = (float)((-a * sum / count) - (b * centre[c]));
                for (int n = batch - 1; n >= 0; n--)
                {
                    int at = ((n * channels) + c) * spatial;
                    if (shifts is null) LaneMath.Combine(g.AsSpan(at, spatial), (float)a, input.AsSpan(at, spatial), (float)b, constant, result.AsSpan(at, spatial));
                    else LaneMath.GatedCombine(g.AsSpan(at, spatial), gate, threshold, (float)a, input.AsSpan(at, spatial), (float)b, constant, result.AsSpan(at, spatial));
                }
            });
            flow.Give(0, gradient);
            flow.Give(1, gScale);
            flow.Give(2, gShift);
        });
    }

    /// <summary>Normalises by given statistics; gradients flow to x, scale and shift.</summary>
    public static Tensor Infer(Tensor x, Tensor scale, Tensor shift, Tensor mean, Tensor variance, float epsilon, bool relu)
    {
        (int batch, int channels, int spatial) = Geometry(x);
        Tensor y = Tensor.Uninitialized(x.Shape);
        var inverse = new float[channels];
        var centre = mean.ToArray();
        for (int c = 0; c < channels; c++) inverse[c] = (float)(1 / Math.Sqrt((double)variance.Values[c] + epsilon));
        float[] source = x.Array, target = y.Array, gamma = scale.Array, beta = shift.Array;
        Chunks.Rows(batch * channels, spatial, row =>
        {
            int c = row % channels;
            float a = gamma[c] * inverse[c];
            LaneMath.Affine(source.AsSpan(row * spatial, spatial), a, beta[c] - (centre[c] * a), target.AsSpan(row * spatial, spatial), relu);
        });
        if (!Tape.Records(x, scale, shift)) return y;
        return Tape.Record("BatchNormalization", y, [x, scale, shift], [x, scale, relu ? shift : null], flow =>
        {
            // A gradient that another branch reads as well is left alone.
            Tensor incoming = flow.Output(), gradient = incoming.Storage.IsUnique ? flow.Take() : Tensor.Uninitialized(incoming.Shape);
            Tensor gScale = Tensor.Uninitialized([channels]), gShift = Tensor.Uninitialized([channels]);
            float[] g = incoming.Array, result = gradient.Array, input = x.Array, weight = scale.Array, gs = gScale.Array, gb = gShift.Array;
            // Where the relu let a value through is computed again from the input: one tensor less to keep and to read.
            float[]? shifts = relu ? shift.Array : null;
            Chunks.Rows(channels, batch * spatial, c =>
            {
                double sum = 0, product = 0;
                float a = weight[c] * inverse[c], threshold = shifts is null ? 0 : shifts[c] - (centre[c] * a);
                for (int n = 0; n < batch; n++)
                {
                    int at = ((n * channels) + c) * spatial;
                    Span<float> part = g.AsSpan(at, spatial);
                    (float s, float p) = shifts is null
                        ? LaneMath.GradientMoments(part, input.AsSpan(at, spatial), centre[c])
                        : LaneMath.GatedGradientMoments(part, input.AsSpan(at, spatial), a, threshold, centre[c]);
                    sum += s;
                    product += p;
                    if (shifts is null) TensorPrimitives.Multiply(part, a, result.AsSpan(at, spatial));
                    else LaneMath.GatedCombine(part, a, threshold, a, input.AsSpan(at, spatial), 0, 0, result.AsSpan(at, spatial));
                }
                gb[c] = (float)sum;
                gs[c] = (float)(product * inverse[c]);
            });
            flow.Give(0, gradient);
            flow.Give(1, gScale);
            flow.Give(2, gShift);
        });
    }

    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2, 3, 4)) return null;
        Tensor x = c.Tensor(0), scale = c.Tensor(1), shift = c.Tensor(2), mean = c.Tensor(3), variance = c.Tensor(4);
        if (x.Rank < 2) throw c.Error("the input needs a batch and a channel axis");
        int channels = x.Shape[1];
        for (int i = 1; i <= 4; i++)
        {
            if (c.Tensor(i).Length != channels) throw c.Error($"input {i} has {c.Tensor(i).Length} elements for {channels} channels");
        }
        float epsilon = c.Attributes.Float("epsilon", 1e-5f), momentum = c.Attributes.Float("momentum", 0.9f);
        bool flagged = c.Attributes.Int("training_mode", 0) != 0, learns = c.IsTraining && !c.FreezesBatchStatistics && c.Buffer(3) is not null && c.Buffer(4) is not null;
        if (!flagged && !learns) return [Infer(x, scale, shift, mean, variance, epsilon, c.FuseRelu)];

        var batchMean = new float[channels];
        var batchVariance = new float[channels];
        Tensor y = Train(x, scale, shift, epsilon, c.FuseRelu, batchMean, batchVariance);
        Tensor newMean = Running(mean, batchMean, momentum), newVariance = Running(variance, batchVariance, momentum);
        if (learns)
        {
            newMean.Values.CopyTo(c.Buffer(3)!.Value.Values);
            newVariance.Values.CopyTo(c.Buffer(4)!.Value.Values);
        }
        return [y, newMean, newVariance];
    }

    private static Tensor Running(Tensor old, float[] batch, float momentum)
    {
        Tensor result = old.Clone();
        Span<float> values = result.Values;
        for (int i = 0; i < values.Length; i++) values[i] = (values[i] * momentum) + (batch[i] * (1 - momentum));
        return result;
    }

    private static (int Batch, int Channels, int Spatial) Geometry(Tensor x)
    {
        if (x.Rank < 2) throw new ArgumentException($"Batch normalisation needs [batch, channels, ...]; got {x}.", nameof(x));
        int spatial = 1;
        for (int d = 2; d < x.Rank; d++) spatial *= x.Shape[d];
        return (x.Shape[0], x.Shape[1], spatial);
    }
}

using System.Runtime.InteropServices;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>What follows a batch normalisation and is computed in the same pass over memory: a sum with another value of the same shape, behind which a relu always comes, and a relu.</summary>
internal readonly record struct Following(Tensor? Added, bool Relu);

/// <summary>Batch normalisation (Ioffe and Szegedy 2015, algorithms 1 and 2).</summary>
internal static class BatchNormalization
{
    // Results of 16 MiB and more leave the caches before the next operator reads them.
    private const int LeavesCaches = 4 << 20;

    // Planes are asked for when so many values lie between.
    private const int AskedAhead = 1536;

    /// <summary>Normalises every channel of x [batch, channels, ...] by the statistics of the batch.</summary>
    /// <param name="x">[batch, channels, ...].</param>
    /// <param name="scale">[channels].</param>
    /// <param name="shift">[channels].</param>
    /// <param name="epsilon">Added to the variance.</param>
    /// <param name="next">What follows, computed in the same pass.</param>
    /// <param name="mean">[channels]: the batch's mean, written.</param>
    /// <param name="variance">[channels]: the batch's variance (divided by the count), written.</param>
    public static Tensor Train(Tensor x, Tensor scale, Tensor shift, float epsilon, Following next, float[] mean, float[] variance)
    {
        (int batch, int channels, int spatial) = Geometry(x);
        Tensor y = Tensor.Uninitialized(x.Shape);
        var inverse = new float[channels];
        int count = batch * spatial;
        bool streams = y.Length >= LeavesCaches;
        float[] source = x.Array, target = y.Array, gamma = scale.Array, beta = shift.Array;
        float[]? added = next.Added?.Array;
        Gates? gates = Gates.For(x, scale, shift, next);
        Chunks.Rows(channels, count, c =>
        {
            var planes = new Planes(batch, channels, spatial, c);
            // Sums are taken around a value of the data, so that a large mean costs no digits, and in double from row to row.
            float around = count == 0 ? 0 : source[c * spatial];
            double sum = 0, squares = 0;
            for (int n = 0; n < batch; n++)
            {
                (float s, float q) = LaneMath.ShiftedMoments(planes.Of(source, n), around, planes.Later(source, n));
                sum += s;
                squares += q;
            }
            double offset = count == 0 ? 0 : sum / count, var = count == 0 ? 0 : Math.Max(0, (squares / count) - (offset * offset));
            mean[c] = (float)(around + offset);
            variance[c] = (float)var;
            inverse[c] = (float)(1 / Math.Sqrt(var + epsilon));
            float a = gamma[c] * inverse[c], b = beta[c] - (mean[c] * a);
            // Backwards: what was read last is still in the cache.
            for (int n = batch - 1; n >= 0; n--) LaneMath.Affine(planes.Of(source, n), a, b, planes.Of(target, n), next.Relu, planes.Of(added, n), streams, planes.Earlier(source, n), planes.Earlier(added, n), gates is null ? default : gates.Of((n * channels) + c));
        });
        // The statistics may be the caller's to keep: what the gradient needs is copied.
        return Recorded(y, x, scale, shift, next, gates, Tape.Records(x, scale, shift, next.Added) ? (float[])mean.Clone() : mean, inverse, isFixed: false);
    }

    /// <summary>Normalises by given statistics; gradients flow to x, scale and shift.</summary>
    public static Tensor Infer(Tensor x, Tensor scale, Tensor shift, Tensor mean, Tensor variance, float epsilon, Following next)
    {
        (int batch, int channels, int spatial) = Geometry(x);
        Tensor y = Tensor.Uninitialized(x.Shape);
        var inverse = new float[channels];
        var centre = mean.ToArray();
        for (int c = 0; c < channels; c++) inverse[c] = (float)(1 / Math.Sqrt((double)variance.Values[c] + epsilon));
        float[] source = x.Array, target = y.Array, gamma = scale.Array, beta = shift.Array;
        float[]? added = next.Added?.Array;
        Gates? gates = Gates.For(x, scale, shift, next);
        Chunks.Rows(batch * channels, spatial, row =>
        {
            int c = row % channels;
            float a = gamma[c] * inverse[c];
            LaneMath.Affine(source.AsSpan(row * spatial, spatial), a, beta[c] - (centre[c] * a), target.AsSpan(row * spatial, spatial), next.Relu, added is null ? default : added.AsSpan(row * spatial, spatial), gates: gates is null ? default : gates.Of(row));
        });
        return Recorded(y, x, scale, shift, next, gates, centre, inverse, isFixed: true);
    }

    // isFixed: whether the statistics do not depend on x.
    private static Tensor Recorded(Tensor y, Tensor x, Tensor scale, Tensor shift, Following next, Gates? gates, float[] centre, float[] inverse, bool isFixed)
    {
        // Where the relu let a value through is computed again from the input: one tensor less to keep and to read. Where a sum follows a bit of each result says it: a thirty-second of the result to read, and more for small planes, since each begins with a float.
        bool byInput = next is { Relu: true, Added: null }, sumFollows = next.Added is not null;
        Tape.Record("BatchNormalization", y, [x, scale, shift, next.Added], [x, scale, byInput ? shift : null, gates?.Bits], flow =>
        {
            (int batch, int channels, int spatial) = Geometry(x);
            int count = batch * spatial;
            Tensor incoming = flow.Output(), gScale = Tensor.Uninitialized([channels]), gShift = Tensor.Uninitialized([channels]);
            // What is added has the gradient that arrived, behind the relu. A gradient that another branch reads as well is left alone.
            bool isOurs = incoming.Storage.IsUnique;
            Tensor counted = sumFollows ? isOurs ? flow.Take() : Tensor.Uninitialized(incoming.Shape) : incoming;
            bool replaces = isOurs && !sumFollows;
            Tensor gradient = replaces ? flow.Take() : Tensor.Uninitialized(incoming.Shape);
            bool streams = !replaces && gradient.Length >= LeavesCaches;
            float[] g = incoming.Array, passed = counted.Array, result = gradient.Array, input = x.Array, weight = scale.Array, gs = gScale.Array, gb = gShift.Array;
            float[]? shifts = byInput ? shift.Array : null;
            Chunks.Rows(channels, count, c =>
            {
                var planes = new Planes(batch, channels, spatial, c);
                double sum = 0, product = 0;
                float gate = weight[c] * inverse[c], threshold = shifts is null ? 0 : shifts[c] - (centre[c] * gate);
                for (int n = 0; n < batch; n++)
                {
                    (float s, float p) = gates is not null
                        ? LaneMath.GatedGradientMoments(planes.Of(g, n), gates.Of((n * channels) + c), planes.Of(input, n), centre[c], planes.Of(passed, n), planes.Later(g, n), planes.Later(input, n), gates.Of(Math.Min(n + 1, batch - 1) * channels + c))
                        : shifts is not null
                        ? LaneMath.GatedGradientMoments(planes.Of(g, n), planes.Of(input, n), gate, threshold, centre[c], planes.Later(g, n), planes.Later(input, n))
                        : LaneMath.GradientMoments(planes.Of(g, n), planes.Of(input, n), centre[c], planes.Later(g, n), planes.Later(input, n));
                    sum += s;
                    product += p;
                }
                gb[c] = (float)sum;
                gs[c] = (float)(product * inverse[c]);
                if (count == 0) return;
                // gx = gamma * inverse * (g - mean(g) - xhat * mean(g xhat)), xhat = (x - centre) * inverse; without the means where the statistics are fixed.
                double a = (double)weight[c] * inverse[c], b = isFixed ? 0 : -a * product / count * inverse[c] * inverse[c];
                float constant = isFixed ? 0 : (float)((-a * sum / count) - (b * centre[c]));
                for (int n = batch - 1; n >= 0; n--)
                {
                    // Fixed statistics without a gate: nothing comes from the input, which need not be finite.
                    if (isFixed && shifts is null) LaneMath.Affine(planes.Of(passed, n), (float)a, 0, planes.Of(result, n), relu: false, default, streams, planes.Earlier(passed, n));
                    else if (shifts is null) LaneMath.Combine(planes.Of(passed, n), (float)a, planes.Of(input, n), (float)b, constant, planes.Of(result, n), streams, planes.Earlier(passed, n), planes.Earlier(input, n));
                    else LaneMath.GatedCombine(planes.Of(g, n), gate, threshold, (float)a, planes.Of(input, n), (float)b, constant, planes.Of(result, n), planes.Earlier(g, n), planes.Earlier(input, n));
                }
            });
            flow.Give(0, gradient);
            flow.Give(1, gScale);
            flow.Give(2, gShift);
            if (sumFollows) flow.Give(3, counted);
        });
        gates?.Bits.Storage.Release();
        return y;
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
        if (!flagged && !learns) return [Infer(x, scale, shift, mean, variance, epsilon, c.Following)];

        var batchMean = new float[channels];
        var batchVariance = new float[channels];
        Tensor y = Train(x, scale, shift, epsilon, c.Following, batchMean, batchVariance);
        Tensor newMean = Running(mean, batchMean, momentum), newVariance = Running(variance, batchVariance, momentum);
        if (learns)
        {
            newMean.Values.CopyTo(c.Buffer(3)!.Value.Values);
            newVariance.Values.CopyTo(c.Buffer(4)!.Value.Values);
        }
        return [y, newMean, newVariance];
    }

    /// <summary>A channel's rows of values, one for each image.</summary>
    private readonly struct Planes(int batch, int channels, int spatial, int channel)
    {
        private readonly int _ahead = 1 + (AskedAhead / Math.Max(spatial, 1));

        public Span<float> Of(float[]? values, int n) => values is null ? default : values.AsSpan(((n * channels) + channel) * spatial, spatial);

        /// <summary>What is asked for meanwhile.</summary>
        public ReadOnlySpan<float> Later(float[] values, int n) => n + _ahead < batch ? Of(values, n + _ahead) : default;

        /// <summary>The same on the way back, from a nearer cache.</summary>
        public ReadOnlySpan<float> Earlier(float[]? values, int n) => n > 0 ? Of(values, n - 1) : default;
    }

    /// <summary>A bit for each value of a result, 16 in an element and rows in whole floats: whether the relu behind a sum let it through.</summary>
    private sealed class Gates(Tensor bits, int spatial)
    {
        private readonly int _floats = Floats(spatial);

        public Tensor Bits => bits;

        /// <summary>Memory for them where a sum follows and gradients will be asked for.</summary>
        public static Gates? For(Tensor x, Tensor scale, Tensor shift, Following next)
        {
            if (next.Added is null || !Tape.Records(x, scale, shift, next.Added)) return null;
            (int batch, int channels, int spatial) = Geometry(x);
            return new Gates(Tensor.Uninitialized([batch * channels * Floats(spatial)]), spatial);
        }

        public Span<ushort> Of(int row) => MemoryMarshal.Cast<float, ushort>(bits.Array.AsSpan(row * _floats, _floats));

        private static int Floats(int spatial) => (spatial + 31) / 32;
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

using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization: rows are brought to unit size, then scaled.</summary>
internal static class Normalizations
{
    /// <summary>Every row of x [rows, length] to mean 0 (unless <paramref name="rms"/>) and mean square 1; also gives mean and 1 / deviation per row.</summary>
    /// <remarks>Ba et al. 2016, "Layer Normalization", equation 3; Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4.</remarks>
    public static (Tensor Y, float[] Mean, float[] Inverse) Standardize(Tensor x, int rows, int length, float epsilon, bool rms)
    {
        Tensor y = Tensor.Uninitialized(x.Shape);
        float[] mean = new float[rows], inverse = new float[rows], from = x.Array, to = y.Array;
        Chunks.Rows(rows, length, r =>
        {
            ReadOnlySpan<float> row = from.AsSpan(r * length, length);
            float centre = rms || length == 0 ? 0 : LaneMath.Sum(row) / length;
            (float rest, float squares) = LaneMath.ShiftedMoments(row, centre);
            // The first mean was rounded; what is left around it corrects both moments.
            double offset = rms || length == 0 ? 0 : (double)rest / length;
            double variance = length == 0 ? 0 : Math.Max(0, ((double)squares / length) - (offset * offset));
            mean[r] = (float)(centre + offset);
            inverse[r] = (float)(1 / Math.Sqrt(variance + epsilon));
            LaneMath.Affine(row, inverse[r], -mean[r] * inverse[r], to.AsSpan(r * length, length), relu: false);
        });
        Tape.Record(rms ? "RMSNormalization" : "Standardize", y, [x], [y], flow =>
        {
            // gx = inverse * (g - mean(g) - y * mean(g y)); without the mean for RMS.
            Tensor gradient = flow.Take();
            float[] g = gradient.Array, output = y.Array;
            Chunks.Rows(rows, length, r =>
            {
                Span<float> part = g.AsSpan(r * length, length);
                ReadOnlySpan<float> normal = output.AsSpan(r * length, length);
                (float sum, float product) = LaneMath.GradientMoments(part, normal, 0);
                LaneMath.Combine(part, inverse[r], normal, -inverse[r] * product / length, rms ? 0 : -inverse[r] * sum / length, part);
            });
            flow.Give(0, gradient);
        });
        return (y, mean, inverse);
    }

    public static Tensor Layer(Tensor x, Tensor? scale, Tensor? shift, int axis, float epsilon, bool rms)
    {
        (int rows, int length) = Split(x, axis);
        Tensor y = Standardize(x, rows, length, epsilon, rms).Y, result = ScaleAndShift(y, scale, shift);
        y.Storage.Release();
        return result;
    }

    /// <summary>x [batch, channels, ...] in groups of channels; scale and shift are [channels].</summary>
    public static Tensor Group(Tensor x, Tensor scale, Tensor shift, int groups, float epsilon)
    {
        int channels = x.Shape[1];
        if (groups < 1 || channels % groups != 0) throw new ArgumentException($"{channels} channels do not split into {groups} groups.", nameof(groups));
        int rows = x.Shape[0] * groups;
        Tensor y = Standardize(x, rows, rows == 0 ? 0 : x.Length / rows, epsilon, rms: false).Y;
        var shape = new int[x.Rank - 1];
        System.Array.Fill(shape, 1);
        shape[0] = channels;
        using var temporaries = new Temporaries();
        return ScaleAndShift(temporaries.Own(y), temporaries.Own(Views.Reshape(scale, shape)), temporaries.Own(Views.Reshape(shift, shape)));
    }

    public static ModelValue[]? LayerFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2) || c.Attributes.Int("stash_type", 1) != 1) return null;
        Tensor x = c.Tensor(0);
        int axis = Views.Axis(c.Attributes.Int("axis", -1), x.Rank);
        (int rows, int length) = Split(x, axis);
        (Tensor y, float[] mean, float[] inverse) = Standardize(x, rows, length, c.Attributes.Float("epsilon", 1e-5f), rms: false);
        Tensor result = ScaleAndShift(y, c.Tensor(1), c.TensorOrNull(2));
        y.Storage.Release();
        if (!c.WantsOutput(1) && !c.WantsOutput(2)) return [result];
        int[] shape = [.. x.Shape];
        for (int d = axis; d < shape.Length; d++) shape[d] = 1;
        return [result, Tensor.Wrap(mean, shape), Tensor.Wrap(inverse, shape)];
    }

    public static ModelValue[]? RmsFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1)) return null;
        Tensor x = c.Tensor(0);
        (int rows, int length) = Split(x, Views.Axis(c.Attributes.Int("axis", -1), x.Rank));
        Tensor y = Standardize(x, rows, length, c.Attributes.Float("epsilon", 1e-5f), rms: true).Y;
        Tensor result = ScaleAndShift(y, c.Tensor(1), null);
        y.Storage.Release();
        return [result];
    }

    public static ModelValue[]? InstanceFromNode(OperatorContext c) => c.AreFloat32(0, 1, 2)
        ? [Group(c.Tensor(0), c.Tensor(1), c.Tensor(2), c.Tensor(0).Shape[1], c.Attributes.Float("epsilon", 1e-5f))]
        : null;

    public static ModelValue[]? GroupFromNode(OperatorContext c) => c.AreFloat32(0, 1, 2)
        ? [Group(c.Tensor(0), c.Tensor(1), c.Tensor(2), (int)c.Attributes.Int("num_groups", 1), c.Attributes.Float("epsilon", 1e-5f))]
        : null;

    /// <summary>x / (sum |x|^p)^(1/p) along one axis.</summary>
    public static ModelValue[]? LpFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        Reduction kind = c.Attributes.Int("p", 2) == 1 ? Reduction.L1 : Reduction.L2;
        Tensor norm = Reductions.Apply(x, kind, [Views.Axis(c.Attributes.Int("axis", -1), x.Rank)], keepDims: true), y = Binary.Divide(x, norm);
        norm.Storage.Release();
        return [y];
    }

    private static Tensor ScaleAndShift(Tensor y, Tensor? scale, Tensor? shift)
    {
        Tensor result = y;
        if (scale is not null) result = Binary.Multiply(result, scale);
        if (shift is null) return ReferenceEquals(result, y) ? Views.Reshape(y, y.Shape) : result;
        // The scaled rows are nobody else's: the sum may take their memory.
        Tensor shifted = Binary.Add(result, shift, reuse: !ReferenceEquals(result, y));
        if (!ReferenceEquals(result, y)) result.Storage.Release();
        return shifted;
    }

    private static (int Rows, int Length) Split(Tensor x, int axis)
    {
        int rows = 1, length = 1;
        for (int d = 0; d < x.Rank; d++)
        {
            if (d < axis) rows *= x.Shape[d];
            else length *= x.Shape[d];
        }
        return (rows, length);
    }
}

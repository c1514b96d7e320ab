using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Resize by nearest neighbours, linear or cubic interpolation, one axis after the other.</summary>
internal static class Resize
{
    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        string mode = c.Attributes.String("mode", "nearest"), transform = c.Attributes.String("coordinate_transformation_mode", "half_pixel");
        if (transform == "tf_crop_and_resize" || c.Attributes.Int("antialias", 0) != 0 || c.Attributes.Int("exclude_outside", 0) != 0
            || c.Attributes.String("keep_aspect_ratio_policy", "stretch") != "stretch")
        {
            return null;
        }
        Tensor x = c.Tensor(0);
        int[] axes = c.Attributes.Ints("axes") is { } given ? System.Array.ConvertAll(given, a => Views.Axis(a, x.Rank)) : [.. Enumerable.Range(0, x.Rank)];
        float[]? scales = c.Has(2) && c.Inputs[2].Shape[0] > 0 ? c.Inputs[2].Tensor.ToArray() : null;
        long[]? sizes = c.Has(3) && c.Inputs[3].Shape[0] > 0 ? c.Integers(3) : null;
        if (scales is null && sizes is null) throw c.Error("scales or sizes are missing");
        float cubic = c.Attributes.Float("cubic_coeff_a", -0.75f);
        string rounding = c.Attributes.String("nearest_mode", "round_prefer_floor");
        Tensor y = x;
        for (int i = 0; i < axes.Length; i++)
        {
            int old = x.Shape[axes[i]];
            int size = sizes is not null ? checked((int)sizes[i]) : (int)Math.Floor((double)old * scales![i]);
            double scale = sizes is not null ? (double)size / old : scales![i];
            if (size == old && scale == 1) continue;
            int taps = mode == "nearest" ? 1 : mode == "linear" ? 2 : 4;
            var indices = new int[size * taps];
            var weights = new float[size * taps];
            for (int o = 0; o < size; o++) Taps(Coordinate(o, scale, old, size, transform), old, mode, rounding, cubic, indices.AsSpan(o * taps, taps), weights.AsSpan(o * taps, taps));
            y = AxisMap.Then(x, y, axes[i], size, indices, taps == 1 ? null : weights);
        }
        return [ReferenceEquals(y, x) ? Views.Reshape(x, x.Shape) : y];
    }

    private static double Coordinate(int o, double scale, int old, int size, string transform) => transform switch
    {
        "asymmetric" => o / scale,
        "align_corners" => size == 1 ? 0 : (double)o * (old - 1) / (size - 1),
        "pytorch_half_pixel" => size > 1 ? ((o + 0.5) / scale) - 0.5 : 0,
        "half_pixel_symmetric" => (old / 2.0 * (1 - (size / (scale * old)))) + ((o + 0.5) / scale) - 0.5,
        _ => ((o + 0.5) / scale) - 0.5,
    };

    private static void Taps(double at, int old, string mode, string rounding, float cubic, Span<int> indices, Span<float> weights)
    {
        int last = old - 1;
        if (mode == "nearest")
        {
            double r = rounding switch
            {
                "floor" => Math.Floor(at),
                "ceil" => Math.Ceiling(at),
                "round_prefer_ceil" => Math.Floor(at + 0.5),
                _ => Math.Ceiling(at - 0.5),
            };
            indices[0] = Math.Clamp((int)r, 0, last);
            weights[0] = 1;
            return;
        }
        int floor = (int)Math.Floor(at);
        double t = at - floor;
        if (mode == "linear")
        {
            indices[0] = Math.Clamp(floor, 0, last);
            indices[1] = Math.Clamp(floor + 1, 0, last);
            weights[0] = (float)(1 - t);
            weights[1] = (float)t;
            return;
        }
        // Keys 1981, "Cubic convolution interpolation", equations 4 with a free coefficient.
        double a = cubic;
        for (int k = 0; k < 4; k++)
        {
            double d = Math.Abs(k - 1 - t);
            weights[k] = (float)(d <= 1
                ? ((a + 2) * d * d * d) - ((a + 3) * d * d) + 1
                : (a * d * d * d) - (5 * a * d * d) + (8 * a * d) - (4 * a));
            indices[k] = Math.Clamp(floor - 1 + k, 0, last);
        }
    }
}

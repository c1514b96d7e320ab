using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Resize (and the older Upsample): nearest, linear or cubic interpolation, axis by axis.</summary>
internal sealed class Resize(string opType) : Operator(opType, minInputs: 1, maxInputs: 4)
{
    private int ScalesInput => OpType == "Upsample" ? 1 : 2;

    public override void Infer(InferenceContext context)
    {
        TensorShape? x = context.Shape(0), result = x is null ? null : Inference.OfRank(x.Rank);
        TensorData? scales = context.InputValue(ScalesInput), sizes = context.InputValue(3);
        if (x is not null && (scales is { Length: > 0 } || sizes is { Length: > 0 } || context.Node.Attributes.Has("scales")))
        {
            int[] known = [.. x.Select(d => d.IsKnown ? d.Value : 1)];
            (int[] shape, double[] factors) = Target(context.Node, known, scales, sizes);
            bool stretch = context.Node.Attributes.String("keep_aspect_ratio_policy", "stretch") == "stretch";
            result = new TensorShape([.. x.Select((d, i) => d.IsKnown || (sizes is { Length: > 0 } && stretch && shape[i] != 1) ? shape[i] : factors[i] == 1 ? d : Dimension.Unknown)]);
        }
        context.SetOutput(0, context.Element(0), result);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        NodeAttributes a = context.Node.Attributes;
        TensorData? scales = context.Has(ScalesInput) ? context.Input(ScalesInput) : null, sizes = context.Has(3) ? context.Input(3) : null;
        (int[] shape, double[] factors) = Target(context.Node, x.Shape.ToArray(), scales, sizes);
        string coordinates = OpType == "Upsample" ? "asymmetric" : a.String("coordinate_transformation_mode", "half_pixel");
        double[] roi = Roi(context, coordinates, x.Rank);
        double[] values = x.ToDoubles();
        int[] now = x.Shape.ToArray();
        var outside = new bool[x.Rank][];
        for (int axis = 0; axis < x.Rank; axis++)
        {
            outside[axis] = new bool[shape[axis]];
            if (shape[axis] == now[axis] && factors[axis] == 1 && coordinates != "tf_crop_and_resize") continue;
            (int Index, double Weight)[][] taps = new (int, double)[shape[axis]][];
            for (int i = 0; i < shape[axis]; i++)
            {
                double at = Source(coordinates, i, now[axis], shape[axis], factors[axis], roi[axis], roi[x.Rank + axis]);
                outside[axis][i] = coordinates == "tf_crop_and_resize" && (at < 0 || at > now[axis] - 1);
                taps[i] = Taps(a, OpType == "Upsample", at, now[axis], factors[axis]);
            }
            values = Apply(values, now, axis, taps);
            now[axis] = shape[axis];
        }
        if (coordinates == "tf_crop_and_resize") Extrapolate(values, shape, outside, a.Float("extrapolation_value", 0));
        return [TensorData.Wrap(values, shape).To(x.ElementType)];
    }

    private static double[] Apply(double[] values, int[] shape, int axis, (int Index, double Weight)[][] taps)
    {
        (int outer, int size, int inner) = Axes.Around(shape, axis);
        var y = new double[outer * taps.Length * inner];
        for (int o = 0; o < outer; o++)
        {
            for (int i = 0; i < taps.Length; i++)
            {
                Span<double> row = y.AsSpan(((o * taps.Length) + i) * inner, inner);
                foreach ((int index, double weight) in taps[i])
                {
                    ReadOnlySpan<double> from = values.AsSpan(((o * size) + index) * inner, inner);
                    for (int k = 0; k < row.Length; k++) row[k] += weight * from[k];
                }
            }
        }
        return y;
    }

    private static void Extrapolate(double[] values, int[] shape, bool[][] outside, float value)
    {
        var at = new int[shape.Length];
        for (int i = 0; i < values.Length; i++)
        {
            for (int d = 0; d < at.Length; d++)
            {
                if (outside[d][at[d]]) values[i] = value;
            }
            Axes.Next(at, shape);
        }
    }

    private static (int[] Shape, double[] Factors) Target(Node node, int[] input, TensorData? scales, TensorData? sizes)
    {
        int rank = input.Length;
        int[] axes = node.Attributes.Ints("axes") is { } listed ? Axes.Normalize(listed, rank) : [.. Enumerable.Range(0, rank)];
        int[] shape = [.. input];
        double[] factors = [.. Enumerable.Repeat(1.0, rank)];
        if (sizes is { Length: > 0 })
        {
            long[] wanted = sizes.ToInt64s();
            if (wanted.Length != axes.Length) throw new ArgumentException($"{wanted.Length} sizes for {axes.Length} axes");
            for (int i = 0; i < axes.Length; i++)
            {
                shape[axes[i]] = checked((int)wanted[i]);
                factors[axes[i]] = (double)wanted[i] / input[axes[i]];
            }
            string policy = node.Attributes.String("keep_aspect_ratio_policy", "stretch");
            if (policy == "stretch") return (shape, factors);
            double common = policy == "not_larger" ? axes.Min(i => factors[i]) : axes.Max(i => factors[i]);
            foreach (int i in axes) (shape[i], factors[i]) = ((int)Math.Floor((common * input[i]) + 0.5), common);
            return (shape, factors);
        }
        double[] given = scales is { Length: > 0 } ? scales.ToDoubles() : Array.ConvertAll(node.Attributes.Floats("scales") ?? throw new ArgumentException("there are neither scales nor sizes"), v => (double)v);
        if (given.Length != axes.Length) throw new ArgumentException($"{given.Length} scales for {axes.Length} axes");
        for (int i = 0; i < axes.Length; i++)
        {
            if (!(given[i] > 0)) throw new ArgumentException("scales must be positive");
            factors[axes[i]] = given[i];
            shape[axes[i]] = checked((int)Math.Floor((float)(input[axes[i]] * given[i])));
        }
        return (shape, factors);
    }

    private static double[] Roi(EvaluationContext context, string coordinates, int rank)
    {
        double[] roi = [.. Enumerable.Repeat(0.0, rank), .. Enumerable.Repeat(1.0, rank)];
        if (coordinates != "tf_crop_and_resize" || !context.Has(1)) return roi;
        double[] given = context.Input(1).ToDoubles();
        int[] axes = context.Node.Attributes.Ints("axes") is { } listed ? Axes.Normalize(listed, rank) : [.. Enumerable.Range(0, rank)];
        if (given.Length != 2 * axes.Length) throw context.Error("the region needs a start and an end per axis");
        for (int i = 0; i < axes.Length; i++) (roi[axes[i]], roi[rank + axes[i]]) = (given[i], given[axes.Length + i]);
        return roi;
    }

    private static double Source(string mode, int i, int input, int output, double scale, double start, double end)
    {
        switch (mode)
        {
            case "half_pixel":
                return ((i + 0.5) / scale) - 0.5;
            case "pytorch_half_pixel":
                return output > 1 ? ((i + 0.5) / scale) - 0.5 : 0;
            case "asymmetric":
                return i / scale;
            case "align_corners":
                return output == 1 ? 0 : i * (input - 1.0) / (output - 1);
            case "half_pixel_symmetric":
                double adjustment = output / (scale * input);
                return (input / 2.0 * (1 - adjustment)) + ((i + 0.5) / scale) - 0.5;
            case "tf_crop_and_resize":
                return output > 1 ? (start * (input - 1)) + (i * (end - start) * (input - 1) / (output - 1)) : 0.5 * (start + end) * (input - 1);
            default:
                throw new ArgumentException($"coordinate transformation '{mode}' is not known");
        }
    }

    private static (int, double)[] Taps(NodeAttributes a, bool floor, double at, int size, double scale)
    {
        int below = (int)Math.Floor(at);
        double ratio = at - below;
        string mode = a.String("mode", "nearest");
        if (mode == "nearest")
        {
            bool up = !floor && ratio > 0 && a.String("nearest_mode", "round_prefer_floor") switch
            {
                "round_prefer_floor" => ratio > 0.5,
                "round_prefer_ceil" => ratio >= 0.5,
                "ceil" => true,
                _ => false,
            };
            return [(Math.Clamp(below + (up ? 1 : 0), 0, size - 1), 1)];
        }
        if (mode is not ("linear" or "cubic")) throw new ArgumentException($"interpolation '{mode}' is not known");

        // Without antialiasing the kernel has the input's resolution; with it, it widens as the image shrinks.
        double width = a.Int("antialias", 0) == 1 ? Math.Min(scale, 1) : 1;
        double support = mode == "linear" ? 1 : 2, cubic = a.Float("cubic_coeff_a", -0.75f);
        int first = (int)Math.Floor(-support / width) + 1, count = 2 - (2 * first);
        bool drop = a.Int("exclude_outside", 0) == 1;
        var taps = new (int Index, double Weight)[count];
        double sum = 0;
        for (int k = 0; k < count; k++)
        {
            double distance = Math.Abs((first + k - ratio) * width);
            double weight = mode == "linear" ? Math.Max(0, 1 - distance) : Cubic(distance, cubic);
            int index = below + first + k;
            if (drop && (index < 0 || index >= size)) weight = 0;
            taps[k] = (Math.Clamp(index, 0, size - 1), weight);
            sum += weight;
        }
        for (int k = 0; k < count; k++) taps[k].Weight /= sum;
        return taps;
    }

    /// <summary>Keys, "Cubic Convolution Interpolation for Digital Image Processing", eq. 15.</summary>
    internal static double Cubic(double d, double a) => d <= 1 ? ((((a + 2) * d) - (a + 3)) * d * d) + 1
        : d < 2 ? (((((a * d) - (5 * a)) * d) + (8 * a)) * d) - (4 * a) : 0;
}

using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>GridSample: values of an image at given places. Jaderberg et al., "Spatial Transformer Networks", section 3.3.</summary>
internal sealed class GridSample() : Operator("GridSample", minInputs: 2)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, context.Element(0),
        context.Shape(0) is { } x && context.Shape(1) is { } grid ? new TensorShape([x[0], x[1], .. grid.Skip(1).Take(grid.Rank - 2)]) : null);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0), grid = context.Input(1);
        NodeAttributes a = context.Node.Attributes;
        string mode = a.String("mode", "linear") switch { "bilinear" => "linear", "bicubic" => "cubic", var m => m }, padding = a.String("padding_mode", "zeros");
        bool align = a.Int("align_corners", 0) == 1;
        int rank = x.Rank - 2, batch = x.Shape[0], channels = x.Shape[1], plane = Axes.Product(x.Shape[2..]), places = Axes.Product(grid.Shape[1..^1]);
        int[] sizes = x.Shape[2..].ToArray();
        int reach = mode == "nearest" ? 1 : mode == "linear" ? 2 : 4;
        double[] values = x.ToDoubles(), points = grid.ToDoubles(), y = new double[batch * channels * places];
        var index = new int[rank][];
        var weight = new double[rank][];
        int[] taps = [.. Enumerable.Repeat(reach, rank)], at = new int[rank];
        for (int n = 0; n < batch; n++)
        {
            for (int p = 0; p < places; p++)
            {
                for (int d = 0; d < rank; d++)
                {
                    // The grid's last axis lists x before y before z.
                    double v = points[(((n * places) + p) * rank) + rank - 1 - d];
                    double position = align ? (v + 1) / 2 * (sizes[d] - 1) : (((v + 1) * sizes[d]) - 1) / 2;
                    (index[d], weight[d]) = Taps(mode, padding, align, position, sizes[d]);
                }
                Array.Clear(at);
                do
                {
                    double w = 1;
                    int from = 0;
                    for (int d = 0; d < rank && from >= 0; d++)
                    {
                        w *= weight[d][at[d]];
                        from = index[d][at[d]] < 0 ? -1 : (from * sizes[d]) + index[d][at[d]];
                    }
                    if (from < 0) continue;
                    for (int c = 0; c < channels; c++) y[(((n * channels) + c) * places) + p] += w * values[(((n * channels) + c) * plane) + from];
                }
                while (Axes.Next(at, taps));
            }
        }
        return [TensorData.Wrap(y, [batch, channels, .. grid.Shape[1..^1]]).To(x.ElementType)];
    }

    private static (int[], double[]) Taps(string mode, string padding, bool align, double at, int size)
    {
        double low = align ? 0 : -0.5, high = align ? size - 1 : size - 0.5;
        if (mode == "nearest") at = Math.Round(at, MidpointRounding.ToEven);
        if (at < low || at > high)
        {
            if (padding == "border") at = Math.Clamp(at, 0, size - 1);
            else if (padding == "reflection") at = Reflect(at, low, high);
        }
        if (mode == "nearest") return ([Place(padding, low, high, Math.Round(at, MidpointRounding.ToEven), size)], [1]);
        double below = Math.Floor(at), ratio = at - below;
        int reach = mode == "linear" ? 2 : 4, first = mode == "linear" ? 0 : -1;
        var index = new int[reach];
        var weight = new double[reach];
        for (int k = 0; k < reach; k++)
        {
            double distance = Math.Abs(first + k - ratio);
            index[k] = Place(padding, low, high, below + first + k, size);
            weight[k] = mode == "linear" ? 1 - distance : Resize.Cubic(distance, -0.75);
        }
        return (index, weight);
    }

    private static int Place(string padding, double low, double high, double at, int size)
    {
        if (at >= 0 && at < size) return (int)at;
        return padding switch
        {
            "border" => (int)Math.Clamp(at, 0, size - 1),
            "reflection" => (int)Math.Clamp(Reflect(at, low, high), 0, size - 1),
            _ => -1,
        };
    }

    private static double Reflect(double at, double low, double high)
    {
        double range = high - low;
        if (range <= 0) return low;
        double away = at < low ? low - at : at > high ? at - high : 0;
        if (away == 0) return at;
        bool even = (long)(away / range) % 2 == 0;
        double rest = away - (Math.Floor(away / range) * range);
        return at < low == even ? low + rest : high - rest;
    }
}

/// <summary>AffineGrid: sampling places of an affine map for GridSample.</summary>
internal sealed class AffineGrid() : Operator("AffineGrid", minInputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        if (context.InputAsShape(1) is { } size) result = new TensorShape([size[0], .. size.Skip(2), size.Rank - 2]);
        context.SetOutput(0, context.Element(0), result);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData theta = context.Input(0);
        int[] size = Window.Narrow(context.Input(1).ToInt64s());
        bool align = context.Node.Attributes.Int("align_corners", 0) == 1;
        int rank = size.Length - 2, batch = size[0];
        int[] spatial = size[2..], at = new int[rank];
        int places = Axes.Product(spatial);
        double[] map = theta.ToDoubles(), y = new double[batch * places * rank];
        for (int n = 0; n < batch; n++)
        {
            Array.Clear(at);
            for (int p = 0; p < places; p++)
            {
                for (int row = 0; row < rank; row++)
                {
                    double v = map[(((n * rank) + row) * (rank + 1)) + rank];
                    for (int k = 0; k < rank; k++)
                    {
                        int axis = rank - 1 - k, length = spatial[axis];
                        double place = align ? (length == 1 ? 0 : -1 + (2.0 * at[axis] / (length - 1))) : -1 + (((2.0 * at[axis]) + 1) / length);
                        v += map[(((n * rank) + row) * (rank + 1)) + k] * place;
                    }
                    y[(((n * places) + p) * rank) + row] = v;
                }
                Axes.Next(at, spatial);
            }
        }
        return [TensorData.Wrap(y, [batch, .. spatial, rank]).To(theta.ElementType)];
    }
}

/// <summary>RoiAlign: regions of a feature map resampled to one size. He et al., "Mask R-CNN", section 3.</summary>
internal sealed class RoiAlign() : Operator("RoiAlign", minInputs: 3)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, context.Element(0), new TensorShape(
        context.Shape(1)?[0] ?? Dimension.Unknown, context.Shape(0)?[1] ?? Dimension.Unknown,
        (int)context.Node.Attributes.Int("output_height", 1), (int)context.Node.Attributes.Int("output_width", 1)));

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        NodeAttributes a = context.Node.Attributes;
        int height = (int)a.Int("output_height", 1), width = (int)a.Int("output_width", 1), ratio = (int)a.Int("sampling_ratio", 0);
        double scale = a.Float("spatial_scale", 1), shift = a.String("coordinate_transformation_mode", "half_pixel") == "half_pixel" ? 0.5 : 0;
        bool max = a.String("mode", "avg") == "max";
        int channels = x.Shape[1], rows = x.Shape[2], columns = x.Shape[3], count = context.Input(1).Shape[0];
        double[] values = x.ToDoubles(), regions = context.Input(1).ToDoubles(), y = new double[count * channels * height * width];
        long[] batches = context.Input(2).ToInt64s();
        for (int r = 0; r < count; r++)
        {
            double left = (regions[4 * r] * scale) - shift, top = (regions[(4 * r) + 1] * scale) - shift;
            double w = (regions[(4 * r) + 2] * scale) - shift - left, h = (regions[(4 * r) + 3] * scale) - shift - top;
            if (shift == 0) (w, h) = (Math.Max(w, 1), Math.Max(h, 1));
            double cellW = w / width, cellH = h / height;
            int samplesX = ratio > 0 ? ratio : (int)Math.Ceiling(cellW), samplesY = ratio > 0 ? ratio : (int)Math.Ceiling(cellH);
            for (int i = 0; i < channels * height * width; i++)
            {
                int c = i / (height * width), ph = i / width % height, pw = i % width;
                ReadOnlySpan<double> plane = values.AsSpan((((int)batches[r] * channels) + c) * rows * columns, rows * columns);
                double sum = 0, best = double.NegativeInfinity;
                for (int sy = 0; sy < samplesY; sy++)
                {
                    for (int sx = 0; sx < samplesX; sx++)
                    {
                        (double value, double largest) = Sample(plane, rows, columns, top + (ph * cellH) + ((sy + 0.5) * cellH / samplesY), left + (pw * cellW) + ((sx + 0.5) * cellW / samplesX));
                        sum += value;
                        best = Math.Max(best, largest);
                    }
                }
                y[(r * channels * height * width) + i] = max ? best : sum / Math.Max(1, samplesX * samplesY);
            }
        }
        return [TensorData.Wrap(y, count, channels, height, width).To(x.ElementType)];
    }

    /// <summary>The bilinear value, and the largest of its four weighted terms (what the standard takes the maximum over).</summary>
    private static (double Value, double Largest) Sample(ReadOnlySpan<double> plane, int rows, int columns, double y, double x)
    {
        if (y < -1 || y > rows || x < -1 || x > columns) return (0, 0);
        (y, x) = (Math.Max(y, 0), Math.Max(x, 0));
        int y0 = Math.Min((int)y, rows - 1), x0 = Math.Min((int)x, columns - 1), y1 = Math.Min(y0 + 1, rows - 1), x1 = Math.Min(x0 + 1, columns - 1);
        if (y0 == rows - 1) y = y0;
        if (x0 == columns - 1) x = x0;
        double dy = y - y0, dx = x - x0;
        double a = (1 - dy) * (1 - dx) * plane[(y0 * columns) + x0], b = (1 - dy) * dx * plane[(y0 * columns) + x1];
        double c = dy * (1 - dx) * plane[(y1 * columns) + x0], d = dy * dx * plane[(y1 * columns) + x1];
        return (a + b + c + d, Math.Max(Math.Max(a, b), Math.Max(c, d)));
    }
}

/// <summary>NonMaxSuppression: per class the best boxes that do not overlap better ones too much.</summary>
internal sealed class NonMaxSuppression() : Operator("NonMaxSuppression", minInputs: 2, maxInputs: 5)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, ElementType.Int64, new TensorShape(Dimension.Unknown, 3));

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData boxes = context.Input(0), scores = context.Input(1);
        long limit = context.Has(2) ? context.Input(2).ToInt64s()[0] : 0;
        double overlap = context.Has(3) ? context.Input(3).ToDoubles()[0] : 0, least = context.Has(4) ? context.Input(4).ToDoubles()[0] : double.NegativeInfinity;
        bool centred = context.Node.Attributes.Int("center_point_box", 0) == 1;
        int batch = scores.Shape[0], classes = scores.Shape[1], count = scores.Shape[2];
        double[] box = boxes.ToDoubles(), score = scores.ToDoubles();
        var found = new List<long>();
        for (int n = 0; n < batch; n++)
        {
            for (int c = 0; c < classes; c++)
            {
                int start = ((n * classes) + c) * count;
                var kept = new List<int>();
                foreach (int i in Enumerable.Range(0, count).Where(i => score[start + i] > least).OrderByDescending(i => score[start + i]))
                {
                    if (kept.Count >= limit) break;
                    if (kept.Any(k => Overlap(box.AsSpan(((n * count) + k) * 4, 4), box.AsSpan(((n * count) + i) * 4, 4), centred) > overlap)) continue;
                    kept.Add(i);
                    found.AddRange([n, c, i]);
                }
            }
        }
        return [TensorData.Wrap(found.ToArray(), found.Count / 3, 3)];
    }

    /// <summary>Intersection over union.</summary>
    private static double Overlap(ReadOnlySpan<double> a, ReadOnlySpan<double> b, bool centred)
    {
        (double top, double left, double bottom, double right) = Corners(a, centred);
        (double top2, double left2, double bottom2, double right2) = Corners(b, centred);
        double both = Math.Max(0, Math.Min(bottom, bottom2) - Math.Max(top, top2)) * Math.Max(0, Math.Min(right, right2) - Math.Max(left, left2));
        double union = ((bottom - top) * (right - left)) + ((bottom2 - top2) * (right2 - left2)) - both;
        return union <= 0 ? 0 : both / union;
    }

    private static (double, double, double, double) Corners(ReadOnlySpan<double> b, bool centred) => centred
        ? (b[1] - (b[3] / 2), b[0] - (b[2] / 2), b[1] + (b[3] / 2), b[0] + (b[2] / 2))
        : (Math.Min(b[0], b[2]), Math.Min(b[1], b[3]), Math.Max(b[0], b[2]), Math.Max(b[1], b[3]));
}

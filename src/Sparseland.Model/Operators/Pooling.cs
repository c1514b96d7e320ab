using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>MaxPool with optional positions of the maxima.</summary>
internal sealed class MaxPool() : Operator("MaxPool", maxOutputs: 2)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? y = context.Shape(0) is { } x ? Window.Infer(context.Node, x, x[1]) : null;
        context.SetOutput(0, context.Element(0), y);
        context.SetOutput(1, ElementType.Int64, y);
    }

    public override void Couple(AxisCoupling coupling)
    {
        // Positions of maxima count through all channels: with them asked for, every channel must stay.
        if (coupling.Has(Port.Out(1))) coupling.FreezeAll(RefusalReason.FixedAxis, "positions of maxima count through all channels");
        else coupling.Windowed(keepsZero: true);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        Window window = Window.Of(context.Node, x.Shape[2..]);
        bool columnMajor = context.Node.Attributes.Int("storage_order", 0) == 1;
        int planes = x.Shape[0] * x.Shape[1], plane = Axes.Product(window.Input), pixels = Axes.Product(window.Output);
        TensorData y = TensorData.Zeros(x.ElementType, [.. x.Shape[..2], .. window.Output]);
        var at = new long[y.Length];
        float[] values = x.ElementType == ElementType.Float64 ? [] : x.ToSingles();
        double[] wide = x.ElementType == ElementType.Float64 ? x.Array<double>() : [];
        var best = new int[pixels];
        var map = new int[pixels];
        for (int p = 0; p < planes; p++)
        {
            Array.Fill(best, -1);
            int from = p * plane;
            for (int cell = 0; cell < window.Cells; cell++)
            {
                Unfolding.Sources(window, cell, map);
                for (int i = 0; i < pixels; i++)
                {
                    if (map[i] < 0) continue;
                    if (best[i] < 0 || (wide.Length > 0 ? wide[from + map[i]] > wide[from + best[i]] : values[from + map[i]] > values[from + best[i]] || float.IsNaN(values[from + map[i]])))
                        best[i] = map[i];
                }
            }
            for (int i = 0; i < pixels; i++)
            {
                int to = (p * pixels) + i;
                if (best[i] >= 0) Moving.Block(x, from + best[i], y, to, 1);
                at[to] = from + (columnMajor ? ColumnMajor(best[i], window.Input) : best[i]);
            }
        }
        return [y, TensorData.Wrap(at, y.Shape)];
    }

    private static int ColumnMajor(int position, int[] sizes)
    {
        int result = 0;
        var coordinates = new int[sizes.Length];
        Axes.Unravel(position, sizes, coordinates);
        for (int d = sizes.Length - 1; d >= 0; d--) result = (result * sizes[d]) + coordinates[d];
        return result;
    }
}

/// <summary>AveragePool and LpPool: a mean or norm over each window.</summary>
internal sealed class WindowReduction(string opType) : Operator(opType)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(0), context.Shape(0) is { } x ? Window.Infer(context.Node, x, x[1]) : null);

    public override void Couple(AxisCoupling coupling) => coupling.Windowed(keepsZero: true);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        Window window = Window.Of(context.Node, x.Shape[2..]);
        bool mean = OpType == "AveragePool", countPadding = context.Node.Attributes.Int("count_include_pad", 0) == 1;
        double p = context.Node.Attributes.Int("p", 2);
        int planes = x.Shape[0] * x.Shape[1], plane = Axes.Product(window.Input), pixels = Axes.Product(window.Output);
        double[] values = x.ToDoubles(), y = new double[planes * pixels], counts = new double[pixels];
        var map = new int[pixels];
        int[] covered = countPadding ? Covered(window) : [];
        for (int cell = 0; cell < window.Cells; cell++)
        {
            Unfolding.Sources(window, cell, map);
            for (int i = 0; i < pixels; i++)
            {
                if (map[i] < 0) continue;
                counts[i]++;
                for (int k = 0; k < planes; k++)
                {
                    double v = values[(k * plane) + map[i]];
                    y[(k * pixels) + i] += mean ? v : Math.Pow(Math.Abs(v), p);
                }
            }
        }
        for (int i = 0; i < y.Length; i++)
        {
            double count = countPadding ? covered[i % pixels] : counts[i % pixels];
            y[i] = mean ? (count == 0 ? 0 : y[i] / count) : Math.Pow(y[i], 1 / p);
        }
        return [TensorData.Wrap(y, [.. x.Shape[..2], .. window.Output]).To(x.ElementType)];
    }

    /// <summary>Cells of each window that lie on the input or its padding: with ceil_mode the last window may reach beyond both.</summary>
    private static int[] Covered(Window window)
    {
        var result = new int[Axes.Product(window.Output)];
        var at = new int[window.Rank];
        for (int i = 0; i < result.Length; i++)
        {
            int cells = 1;
            for (int d = 0; d < at.Length; d++)
            {
                int inside = 0, start = (at[d] * window.Strides[d]) - window.Before[d];
                for (int k = 0; k < window.Kernel[d]; k++)
                {
                    if (start + (k * window.Dilations[d]) < window.Input[d] + window.After[d]) inside++;
                }
                cells *= inside;
            }
            result[i] = cells;
            Axes.Next(at, window.Output);
        }
        return result;
    }
}

/// <summary>GlobalAveragePool, GlobalMaxPool and GlobalLpPool: one value per channel.</summary>
internal sealed class GlobalPool(string opType) : Operator(opType)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(0), context.Shape(0) is { } x ? new TensorShape([.. x.Select((d, i) => i < 2 ? d : 1)]) : null);

    public override void Couple(AxisCoupling coupling) => coupling.Windowed(keepsZero: true);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int planes = x.Shape[0] * x.Shape[1], plane = Axes.Product(x.Shape[2..]);
        double p = context.Node.Attributes.Int("p", 2);
        double[] values = x.ToDoubles(), y = new double[planes];
        for (int i = 0; i < planes; i++)
        {
            ReadOnlySpan<double> part = values.AsSpan(i * plane, plane);
            double sum = OpType == "GlobalMaxPool" ? double.NegativeInfinity : 0;
            foreach (double v in part)
            {
                sum = OpType switch
                {
                    "GlobalMaxPool" => Math.Max(sum, v),
                    "GlobalLpPool" => sum + Math.Pow(Math.Abs(v), p),
                    _ => sum + v,
                };
            }
            y[i] = OpType switch { "GlobalMaxPool" => sum, "GlobalLpPool" => Math.Pow(sum, 1 / p), _ => sum / plane };
        }
        return [TensorData.Wrap(y, [.. x.Shape[..2], .. Window.Ones(x.Rank - 2)]).To(x.ElementType)];
    }
}

/// <summary>MaxUnpool: values back at the positions that MaxPool reported, zeros elsewhere.</summary>
internal sealed class MaxUnpool() : Operator("MaxUnpool", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        if (context.Integers(2) is { } given) result = new TensorShape([.. given.Select(g => (Dimension)(int)g)]);
        else if (!context.Node.HasInput(2) && context.Shape(0) is { } x)
            result = new TensorShape([.. x.Select((d, i) => i < 2 ? d : d.IsKnown ? Size(context.Node, i - 2, d.Value, x.Rank - 2) : Dimension.Unknown)]);
        context.SetOutput(0, context.Element(0), result);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int[] natural = x.Shape.ToArray();
        for (int i = 2; i < natural.Length; i++) natural[i] = Size(context.Node, i - 2, natural[i], natural.Length - 2);
        int[] shape = context.Has(2) ? Array.ConvertAll(context.Input(2).ToInt64s(), v => checked((int)v)) : natural;
        TensorData y = TensorData.Zeros(x.ElementType, shape);
        long[] at = context.Input(1).ToInt64s();
        int[] coordinates = new int[shape.Length], strides = Axes.Strides(shape);
        for (int i = 0; i < at.Length; i++)
        {
            // Positions count in the natural shape; a larger output keeps the coordinates.
            Axes.Unravel(checked((int)at[i]), natural, coordinates);
            int to = 0;
            for (int d = 0; d < coordinates.Length; d++) to += coordinates[d] * strides[d];
            Moving.Block(x, i, y, to, 1);
        }
        return [y];
    }

    private static int Size(Node node, int axis, int input, int rank)
    {
        int[] kernel = Window.Narrow(node.Attributes.Ints("kernel_shape")), strides = Window.Narrow(node.Attributes.Ints("strides")), pads = Window.Narrow(node.Attributes.Ints("pads"));
        int stride = strides.Length > 0 ? strides[axis] : 1;
        return ((input - 1) * stride) + kernel[axis] - (pads.Length > 0 ? pads[axis] + pads[rank + axis] : 0);
    }
}

/// <summary>Col2Im: adds blocks given as columns into an image.</summary>
internal sealed class Col2Im() : Operator("Col2Im", minInputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        if (context.Shape(0) is { } x && context.Integers(1) is { } image && context.Integers(2) is { } block)
        {
            int cells = (int)block.Aggregate(1L, (a, b) => a * b);
            result = new TensorShape([x[0], DepthToSpace.Divide(x[1], cells), .. image.Select(v => (Dimension)(int)v)]);
        }
        context.SetOutput(0, context.Element(0), result);
    }

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        int[] image = Window.Narrow(context.Input(1).ToInt64s()), block = Window.Narrow(context.Input(2).ToInt64s());
        var geometry = new Node("window", "Conv", [], []);
        foreach (string name in (string[])["strides", "dilations", "pads"])
        {
            if (context.Node.Attributes.Ints(name) is { } v) geometry.Attributes.Set(name, v);
        }
        Window window = Window.Of(geometry, image, block);
        int batch = x.Shape[0], channels = x.Shape[1] / window.Cells, plane = Axes.Product(image), columns = x.Shape[1] * x.Shape[2];
        double[] source = x.ToDoubles(), y = new double[batch * channels * plane];
        for (int n = 0; n < batch; n++)
            Unfolding.FromColumns<double>(window, source.AsSpan(n * columns, columns), channels, y.AsSpan(n * channels * plane, channels * plane));
        return [TensorData.Wrap(y, [batch, channels, .. image]).To(x.ElementType)];
    }
}

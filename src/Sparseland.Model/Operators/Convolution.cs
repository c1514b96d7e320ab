using System.Numerics;
using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>Conv: convolution over any number of spatial axes, by unfolding windows into columns of a matrix.</summary>
internal sealed class Conv() : Operator("Conv", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, context.Element(0), InferShape(context, 0, 1));

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), w = Port.In(1), bias = Port.In(2), y = Port.Out();
        int groups = (int)coupling.Node.Attributes.Int("group", 1), filters = coupling.Size(w, 0), perGroup = coupling.Size(w, 1);
        foreach (Port port in (Port[])[x, y, w]) coupling.FreezeFrom(port, 2, "a window moves over it");
        if (filters < 0 || perGroup < 0 || coupling.Size(x, 1) != perGroup * groups)
        {
            coupling.FreezeAll(RefusalReason.DynamicShape, "the number of channels is not known");
            return;
        }
        coupling.Link(x, 0, y, 0);
        coupling.Link(w, 0, y, 1);
        coupling.Link(bias, 0, y, 1);
        coupling.SetZero(y, 1, coupling.IsZero(w, 0) && (!coupling.Has(bias) || coupling.IsZero(bias, 0)));
        if (groups == 1)
        {
            coupling.Contract(x, 1, w, 1);
            return;
        }
        if (perGroup == 1)
        {
            // Depthwise: a channel leaves with the filters that read it, and the number of groups shrinks.
            coupling.LinkBlocks(x, 1, y, 1);
            coupling.Free(w, 1);
            return;
        }
        // Groups stay equally large: the same place leaves from every group.
        int perGroupOut = filters / groups;
        for (int g = 0; g < groups; g++)
        {
            coupling.LinkRange(x, 1, g * perGroup, w, 1, 0, perGroup);
            coupling.LinkRange(y, 1, 0, y, 1, g * perGroupOut, perGroupOut);
        }
        if (!coupling.IsZero(w, 1) && !coupling.IsZero(x, 1)) coupling.Freeze(x, 1, RefusalReason.NonZeroSum, "products of entries that need not be zero are summed over it");
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        bool depthwise = removal.Node.Attributes.Int("group", 1) > 1 && removal.OldShape(Port.In(1))[1] is { Value: 1 };
        if (depthwise && removal.Kept(Port.In(0), 1) is { } kept) removal.Node.Attributes.Set("group", (long)kept.Count);
    }

    public override TensorData?[] Evaluate(EvaluationContext context) => Conversion.InSingle(context, c =>
        [c.Input(0).ElementType == ElementType.Float64
            ? Run<double>(c.Node, c.Input(0), c.Input(1), c.Has(2) ? c.Input(2) : null)
            : Run<float>(c.Node, c.Input(0), c.Input(1), c.Has(2) ? c.Input(2) : null)]);

    internal static TensorShape? InferShape(InferenceContext context, int input, int weight)
    {
        if (context.Shape(input) is not { } x) return null;
        if (context.Shape(weight) is not { } w) return Inference.OfRank(x.Rank);
        if (x.Rank != w.Rank || x.Rank < 3) throw context.Error($"an input {x} does not fit a weight {w}");
        long groups = context.Node.Attributes.Int("group", 1);
        if (x[1].IsKnown && w[1].IsKnown && x[1].Value != w[1].Value * groups)
            throw context.Error($"the input has {x[1]} channels; the weight {w} with {groups} groups needs {w[1].Value * groups}");
        if (w[0].IsKnown && w[0].Value % groups != 0) throw context.Error($"{w[0]} filters cannot be cut into {groups} groups");
        int[] kernel = [.. w.Skip(2).Select(d => d.Value)];
        if (kernel.Any(k => k < 0) && !context.Node.Attributes.Has("kernel_shape")) return new TensorShape([x[0], w[0], .. Inference.OfRank(x.Rank - 2)]);
        return Window.Infer(context.Node, x, w[0], kernel);
    }

    /// <summary>x [n, c, spatial...] * w [f, c / groups, window...] (+ bias [f]) -> [n, f, spatial'...].</summary>
    internal static TensorData Run<T>(Node node, TensorData x, TensorData w, TensorData? bias) where T : unmanaged, INumber<T>
    {
        if (x.Rank != w.Rank || x.Rank < 3) throw new ArgumentException("input and weight have different ranks");
        int groups = (int)node.Attributes.Int("group", 1), batch = x.Shape[0], channels = x.Shape[1], filters = w.Shape[0], perGroup = w.Shape[1];
        if (channels != perGroup * groups || filters % groups != 0) throw new ArgumentException($"{channels} channels do not fit a weight of {perGroup} channels in {groups} groups");
        Window window = Window.Of(node, x.Shape[2..], w.Shape[2..]);
        int pixels = Axes.Product(window.Output), cells = window.Cells, plane = Axes.Product(window.Input), out1 = filters / groups;
        TensorData y = TensorData.Zeros(x.ElementType, [batch, filters, .. window.Output]);
        var columns = new T[perGroup * cells * pixels];
        ReadOnlySpan<T> source = x.Span<T>(), weight = w.Span<T>();
        Span<T> target = y.Span<T>();
        for (int n = 0; n < batch; n++)
        {
            for (int g = 0; g < groups; g++)
            {
                Unfolding.ToColumns(window, source.Slice(((n * channels) + (g * perGroup)) * plane, perGroup * plane), perGroup, columns);
                MatrixProduct.Run<T>(out1, pixels, perGroup * cells, weight.Slice(g * out1 * perGroup * cells, out1 * perGroup * cells),
                    columns, target.Slice(((n * filters) + (g * out1)) * pixels, out1 * pixels));
            }
        }
        if (bias is not null) AddPerChannel(target, bias.Span<T>(), pixels);
        return y;
    }

    internal static void AddPerChannel<T>(Span<T> values, ReadOnlySpan<T> bias, int pixels) where T : INumber<T>
    {
        for (int i = 0, f = 0; i < values.Length; i += pixels, f = f + 1 == bias.Length ? 0 : f + 1)
        {
            foreach (ref T v in values.Slice(i, pixels)) v += bias[f];
        }
    }
}

/// <summary>ConvTranspose: the gradient of a convolution with respect to its input, with output padding or shape.</summary>
internal sealed class ConvTranspose() : Operator("ConvTranspose", minInputs: 2, maxInputs: 3)
{
    public override void Infer(InferenceContext context)
    {
        TensorShape? result = null;
        if (context.Shape(0) is { } x && context.Shape(1) is { } w && w.Skip(2).All(d => d.IsKnown))
        {
            if (x.Rank != w.Rank || x.Rank < 3) throw context.Error($"an input {x} does not fit a weight {w}");
            int[] sizes = [.. x.Skip(2).Select(d => d.IsKnown ? d.Value : 1)];
            Window window = Geometry(context.Node, sizes, [.. w.Skip(2).Select(d => d.Value)]);
            result = new TensorShape([x[0], w[1].IsKnown ? (int)(w[1].Value * context.Node.Attributes.Int("group", 1)) : Dimension.Unknown,
                .. window.Input.Select((o, i) => x[i + 2].IsKnown ? o : Dimension.Unknown)]);
        }
        context.SetOutput(0, context.Element(0), result);
    }

    public override void Couple(AxisCoupling coupling)
    {
        Port x = Port.In(0), w = Port.In(1), bias = Port.In(2), y = Port.Out();
        int groups = (int)coupling.Node.Attributes.Int("group", 1), channels = coupling.Size(w, 0), perGroupOut = coupling.Size(w, 1);
        foreach (Port port in (Port[])[x, y, w]) coupling.FreezeFrom(port, 2, "a window moves over it");
        if (channels < 0 || perGroupOut < 0 || coupling.Size(x, 1) != channels)
        {
            coupling.FreezeAll(RefusalReason.DynamicShape, "the number of channels is not known");
            return;
        }
        coupling.Link(x, 0, y, 0);
        coupling.Link(bias, 0, y, 1);
        bool noBias = !coupling.Has(bias) || coupling.IsZero(bias, 0);
        if (groups == 1)
        {
            coupling.Contract(x, 1, w, 0);
            coupling.Link(w, 1, y, 1);
            coupling.SetZero(y, 1, coupling.IsZero(w, 1) && noBias);
            return;
        }
        coupling.Link(x, 1, w, 0);
        if (groups == channels)
        {
            coupling.LinkBlocks(x, 1, y, 1);
            if (perGroupOut > 1) coupling.Freeze(w, 1, RefusalReason.GroupDivisibility, "its entries stand for different outputs of every group");
            coupling.SetZero(y, 1, coupling.IsZero(w, 0) && noBias);
            return;
        }
        int perGroup = channels / groups;
        for (int g = 0; g < groups; g++)
        {
            coupling.LinkRange(x, 1, 0, x, 1, g * perGroup, perGroup);
            coupling.LinkRange(w, 1, 0, y, 1, g * perGroupOut, perGroupOut);
        }
        if (!coupling.IsZero(w, 0) && !coupling.IsZero(x, 1)) coupling.Freeze(x, 1, RefusalReason.NonZeroSum, "products of entries that need not be zero are summed over it");
        coupling.SetZero(y, 1, coupling.IsZero(w, 1) && noBias);
    }

    public override void AfterRemoval(RemovalContext removal)
    {
        long groups = removal.Node.Attributes.Int("group", 1);
        bool depthwise = groups > 1 && groups == removal.OldShape(Port.In(1))[0].Value;
        if (depthwise && removal.Kept(Port.In(0), 1) is { } kept) removal.Node.Attributes.Set("group", (long)kept.Count);
    }

    public override TensorData?[] Evaluate(EvaluationContext context) => Conversion.InSingle(context, c =>
        [c.Input(0).ElementType == ElementType.Float64 ? Run<double>(c) : Run<float>(c)]);

    private static TensorData Run<T>(EvaluationContext context) where T : unmanaged, INumber<T>
    {
        TensorData x = context.Input(0), w = context.Input(1);
        int groups = (int)context.Node.Attributes.Int("group", 1), batch = x.Shape[0], channels = x.Shape[1], perGroup = channels / groups, out1 = w.Shape[1];
        if (w.Shape[0] != channels || channels % groups != 0) throw context.Error("input channels do not fit the weight");
        Window window = Geometry(context.Node, x.Shape[2..], w.Shape[2..]);
        int pixels = Axes.Product(window.Output), cells = window.Cells, plane = Axes.Product(window.Input);
        TensorData y = TensorData.Zeros(x.ElementType, [batch, out1 * groups, .. window.Input]);
        var columns = new T[out1 * cells * pixels];
        for (int n = 0; n < batch; n++)
        {
            for (int g = 0; g < groups; g++)
            {
                MatrixProduct.Run<T>(out1 * cells, pixels, perGroup, w.Span<T>().Slice(g * perGroup * out1 * cells, perGroup * out1 * cells),
                    x.Span<T>().Slice(((n * channels) + (g * perGroup)) * pixels, perGroup * pixels), columns, transA: true);
                Unfolding.FromColumns(window, columns, out1, y.Span<T>().Slice(((n * groups) + g) * out1 * plane, out1 * plane));
            }
        }
        if (context.Has(2)) Conv.AddPerChannel(y.Span<T>(), context.Input(2).Span<T>(), plane);
        return y;
    }

    /// <summary>The window of the convolution that this one reverses: its input is our output.</summary>
    private static Window Geometry(Node node, ReadOnlySpan<int> input, ReadOnlySpan<int> kernel)
    {
        int rank = input.Length;
        int[] strides = Window.Narrow(node.Attributes.Ints("strides")) is { Length: > 0 } s ? s : Window.Ones(rank);
        int[] dilations = Window.Narrow(node.Attributes.Ints("dilations")) is { Length: > 0 } d ? d : Window.Ones(rank);
        int[] pads = Window.Narrow(node.Attributes.Ints("pads")) is { Length: > 0 } p ? p : new int[2 * rank];
        int[] extra = Window.Narrow(node.Attributes.Ints("output_padding")) is { Length: > 0 } e ? e : new int[rank];
        int[] wanted = Window.Narrow(node.Attributes.Ints("output_shape"));
        string auto = node.Attributes.String("auto_pad", "NOTSET");
        int[] before = pads[..rank], after = pads[rank..], output = new int[rank];
        long plane = 1;
        for (int i = 0; i < rank; i++)
        {
            if (kernel[i] < 1 || strides[i] < 1 || dilations[i] < 1) throw new ArgumentException("kernel, strides and dilations must be positive");
            Convolution2D.RequireSides(input[i], kernel[i], strides[i], dilations[i], before[i], after[i]);
            int full = checked((strides[i] * (input[i] - 1)) + extra[i] + ((kernel[i] - 1) * dilations[i]) + 1);
            if (wanted.Length > 0 || auto is "SAME_UPPER" or "SAME_LOWER")
            {
                output[i] = wanted.Length > 0 ? wanted[wanted.Length - rank + i] : checked(input[i] * strides[i]);
                int total = Math.Max(0, checked(full - output[i]));
                (before[i], after[i]) = auto == "SAME_UPPER" ? (total / 2, total - (total / 2)) : (total - (total / 2), total / 2);
            }
            else
            {
                if (auto == "VALID") (before[i], after[i]) = (0, 0);
                output[i] = checked(full - before[i] - after[i]);
            }
            plane = Convolution2D.RequirePlane(plane, Math.Max(full, output[i]));
        }
        return new Window { Kernel = kernel.ToArray(), Strides = strides, Dilations = dilations, Before = before, After = after, Input = output, Output = input.ToArray() };
    }
}

/// <summary>ConvInteger: 8-bit convolution with zero points, 32-bit result.</summary>
internal sealed class ConvInteger() : Operator("ConvInteger", minInputs: 2, maxInputs: 4)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, ElementType.Int32, Conv.InferShape(context, 0, 1));

    public override TensorData?[] Evaluate(EvaluationContext context) =>
    [
        Conv.Run<int>(context.Node, Centred(context.Input(0), context.Has(2) ? context.Input(2) : null),
            Centred(context.Input(1), context.Has(3) ? context.Input(3) : null), null),
    ];

    internal static TensorData Centred(TensorData x, TensorData? zero)
    {
        x = x.To(ElementType.Int32);
        if (zero is null) return x;
        int[] shape = zero.Length == 1 ? [] : [zero.Length, .. Window.Ones(x.Rank - 1)];
        return Binary.Apply<SubFunction>(x, zero.To(ElementType.Int32).Reshape(shape));
    }
}

/// <summary>QLinearConv: quantised convolution in, quantised out; scales per tensor or per filter.</summary>
internal sealed class QLinearConv() : Operator("QLinearConv", minInputs: 8, maxInputs: 9)
{
    public override void Infer(InferenceContext context) => context.SetOutput(0, context.Element(7), Conv.InferShape(context, 0, 3));

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData sum = Conv.Run<int>(context.Node, ConvInteger.Centred(context.Input(0), context.Input(2)), ConvInteger.Centred(context.Input(3), context.Input(5)),
            context.Has(8) ? context.Input(8).To(ElementType.Int32) : null);
        double[] y = sum.ToDoubles(), scales = context.Input(4).ToDoubles();
        double scale = context.Input(1).ToDoubles()[0] / context.Input(6).ToDoubles()[0];
        int filters = sum.Shape[1], pixels = sum.Length / Math.Max(1, sum.Shape[0] * filters);
        for (int i = 0; i < y.Length; i++) y[i] *= scale * scales[scales.Length == 1 ? 0 : i / pixels % filters];
        TensorData zero = context.Input(7);
        return [Quantisation.Saturate(y, sum.Shape, zero.ElementType, zero.ToInt64s()[0])];
    }
}

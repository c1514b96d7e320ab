using Sparseland.Kernels.Dense;
using Sparseland.Training.Autograd;
using Sparseland.Training.Execution;

namespace Sparseland.Training.Operators;

/// <summary>Conv and ConvTranspose in one and two dimensions, with groups.</summary>
internal static class Convolution
{
    /// <summary>Cross-correlation of x [batch, channels, height, width] with w [out, channels / groups, kernelHeight, kernelWidth].</summary>
    /// <param name="x">The input; its shape is the geometry's up to axes of size 1.</param>
    /// <param name="w">The kernel.</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="geometry">Sizes, strides, pads, dilations, groups.</param>
    /// <param name="shape">The shape of the result.</param>
    /// <param name="parameter">The parameter that w is, or null.</param>
    /// <param name="breakEven">The density at which sparse kernels take over.</param>
    public static Tensor Apply(Tensor x, Tensor w, Tensor? bias, Convolution2D geometry, int[] shape, Parameter? parameter = null, double breakEven = 0)
    {
        geometry.Validate();
        if (SparseParameter.Use(parameter, breakEven) && SparseParameter.Convolution(x, w, bias, geometry, shape, parameter!) is { } sparse) return sparse;
        Tensor y = Tensor.Uninitialized(shape);
        geometry.Forward(x.Values, w.Values, bias is null ? default : bias.Values, y.Values);
        return Tape.Record("Conv", y, [x, w, bias], [x, w], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(1))
            {
                long start = StepClock.Start();
                Tensor gw = Tensor.Uninitialized(w.Shape);
                geometry.BackwardWeight(x.Values, g.Values, gw.Values);
                flow.Give(1, gw);
                StepClock.Stop(StepClock.WeightGradient, "Conv", start);
            }
            if (flow.Needs(2)) flow.Give(2, BiasGradient(geometry, g));
            if (flow.Needs(0))
            {
                Tensor gx = Tensor.Uninitialized(x.Shape);
                geometry.BackwardInput(g.Values, w.Values, gx.Values);
                flow.Give(0, gx);
            }
        });
    }

    /// <summary>The transposed convolution: <paramref name="geometry"/> is the convolution whose input gradient this is.</summary>
    public static Tensor ApplyTransposed(Tensor x, Tensor w, Tensor? bias, Convolution2D geometry, int[] shape)
    {
        geometry.Validate();
        Tensor y = Tensor.Uninitialized(shape);
        geometry.BackwardInput(x.Values, w.Values, y.Values, bias is null ? default : bias.Values);
        return Tape.Record("ConvTranspose", y, [x, w, bias], [x, w], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(0))
            {
                Tensor gx = Tensor.Uninitialized(x.Shape);
                geometry.Forward(g.Values, w.Values, default, gx.Values);
                flow.Give(0, gx);
            }
            if (flow.Needs(1))
            {
                Tensor gw = Tensor.Uninitialized(w.Shape);
                geometry.BackwardWeight(g.Values, x.Values, gw.Values);
                flow.Give(1, gw);
            }
            if (flow.Needs(2))
            {
                int[] plane = [1, .. shape[1..2], .. Enumerable.Repeat(1, shape.Length - 2)];
                flow.Give(2, Views.Reshape(Broadcasting.SumTo(flow.Share(shape), plane), bias!.Shape));
            }
        });
    }

    public static ModelValue[]? FromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2)) return null;
        Tensor x = c.Tensor(0), w = c.Tensor(1);
        if (x.Rank is not (3 or 4) || w.Rank != x.Rank) return null;
        var window = Window.Of(c, x.Shape[2..], w.Shape[2..]);
        bool flat = x.Rank == 3;
        int groups = (int)c.Attributes.Int("group", 1);
        if (groups < 1 || w.Shape[1] * groups != x.Shape[1]) throw c.Error($"a kernel of {w} with {groups} groups does not fit {x.Shape[1]} channels");
        var geometry = new Convolution2D(x.Shape[0], x.Shape[1], flat ? 1 : x.Shape[2], x.Shape[^1], w.Shape[0], flat ? 1 : w.Shape[2], w.Shape[^1])
        {
            StrideY = flat ? 1 : window.Strides[0],
            StrideX = window.Strides[^1],
            DilationY = flat ? 1 : window.Dilations[0],
            DilationX = window.Dilations[^1],
            PadTop = flat ? 0 : window.Begin[0],
            PadLeft = window.Begin[^1],
            PadBottom = flat ? 0 : window.End[0],
            PadRight = window.End[^1],
            Groups = groups,
        };
        int[] shape = flat ? [x.Shape[0], w.Shape[0], geometry.OutWidth] : [x.Shape[0], w.Shape[0], geometry.OutHeight, geometry.OutWidth];
        return [Apply(x, w, c.TensorOrNull(2), geometry, shape, c.Parameter(1), c.Options.ConvolutionBreakEven)];
    }

    public static ModelValue[]? TransposedFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2)) return null;
        Tensor x = c.Tensor(0), w = c.Tensor(1);
        if (x.Rank is not (3 or 4) || w.Rank != x.Rank) return null;
        int axes = x.Rank - 2, groups = (int)c.Attributes.Int("group", 1);
        var window = Window.Of(c, x.Shape[2..], w.Shape[2..], transposed: true);
        long[] extra = c.Attributes.Ints("output_padding") ?? new long[axes];
        long[]? wanted = c.Attributes.Ints("output_shape");
        string auto = c.Attributes.String("auto_pad", "NOTSET");
        int[] size = new int[axes], begin = [.. window.Begin], end = [.. window.End];
        for (int d = 0; d < axes; d++)
        {
            int full = checked((window.Strides[d] * (x.Shape[2 + d] - 1)) + (int)extra[d] + ((w.Shape[2 + d] - 1) * window.Dilations[d]) + 1);
            bool same = auto is "SAME_UPPER" or "SAME_LOWER";
            if (wanted is null && !same)
            {
                size[d] = checked(full - begin[d] - end[d]);
                continue;
            }
            size[d] = checked(wanted is null ? x.Shape[2 + d] * window.Strides[d] : (int)wanted[wanted.Length - axes + d]);
            int total = checked(full - size[d]);
            // An output that is longer than the full product is padded with zeros: negative pads of the convolution.
            (begin[d], end[d]) = auto == "SAME_UPPER" ? (total / 2, total - (total / 2)) : (total - (total / 2), total / 2);
        }
        bool flat = axes == 1;
        int channels = w.Shape[1] * groups;
        var geometry = new Convolution2D(x.Shape[0], channels, flat ? 1 : size[0], size[^1], x.Shape[1], flat ? 1 : w.Shape[2], w.Shape[^1])
        {
            StrideY = flat ? 1 : window.Strides[0],
            StrideX = window.Strides[^1],
            DilationY = flat ? 1 : window.Dilations[0],
            DilationX = window.Dilations[^1],
            PadTop = flat ? 0 : begin[0],
            PadLeft = begin[^1],
            PadBottom = flat ? 0 : end[0],
            PadRight = end[^1],
            Groups = groups,
        };
        if (geometry.OutWidth != x.Shape[^1] || (!flat && geometry.OutHeight != x.Shape[2])) return null;
        return [ApplyTransposed(x, w, c.TensorOrNull(2), geometry, [x.Shape[0], channels, .. size])];
    }

    private static Tensor BiasGradient(Convolution2D geometry, Tensor g)
    {
        Tensor gb = Tensor.Uninitialized([geometry.OutChannels]);
        geometry.BackwardBias(g.Values, gb.Values);
        return gb;
    }
}

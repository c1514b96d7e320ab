using Sparseland.Kernels.Dense;

namespace Sparseland.Training.Operators;

/// <summary>Strides, dilations and pads of a sliding window, per spatial axis.</summary>
internal sealed record Window(int[] Kernel, int[] Strides, int[] Dilations, int[] Begin, int[] End)
{
    /// <summary>Reads kernel_shape, strides, dilations, pads and auto_pad.</summary>
    /// <param name="c">The node.</param>
    /// <param name="sizes">Spatial sizes of the input.</param>
    /// <param name="kernel">Spatial sizes of the kernel; empty to read them from the node.</param>
    /// <param name="transposed">For ConvTranspose, where auto_pad has another meaning and is resolved by the caller.</param>
    public static Window Of(OperatorContext c, ReadOnlySpan<int> sizes, ReadOnlySpan<int> kernel, bool transposed = false)
    {
        int axes = sizes.Length;
        int[] k = kernel.IsEmpty
            ? Narrow(c.Attributes.Ints("kernel_shape") ?? throw c.Error("kernel_shape is missing"))
            : kernel.ToArray();
        int[] strides = c.Attributes.Ints("strides") is { } s ? Narrow(s) : Ones(axes);
        int[] dilations = c.Attributes.Ints("dilations") is { } d ? Narrow(d) : Ones(axes);
        int[] pads = c.Attributes.Ints("pads") is { } p ? Narrow(p) : new int[2 * axes];
        if (k.Length != axes || strides.Length != axes || dilations.Length != axes || pads.Length != 2 * axes)
            throw c.Error($"kernel, strides, dilations and pads must fit {axes} spatial axes");
        int[] begin = pads[..axes], end = pads[axes..];
        string auto = c.Attributes.String("auto_pad", "NOTSET");
        for (int i = 0; i < axes; i++)
        {
            if (strides[i] < 1 || dilations[i] < 1 || k[i] < 1) throw c.Error("kernel, strides and dilations must be at least 1");
            Convolution2D.RequireSides(sizes[i], k[i], strides[i], dilations[i], begin[i], end[i]);
            if (transposed || auto == "NOTSET" || auto.Length == 0) continue;
            int extent = ((k[i] - 1) * dilations[i]) + 1;
            int output = (sizes[i] + strides[i] - 1) / strides[i];
            int total = auto == "VALID" ? 0 : Math.Max(0, ((output - 1) * strides[i]) + extent - sizes[i]);
            (begin[i], end[i]) = auto == "SAME_LOWER" ? (total - (total / 2), total / 2) : (total / 2, total - (total / 2));
        }
        return new Window(k, strides, dilations, begin, end);
    }

    private static int[] Narrow(long[] values) => System.Array.ConvertAll(values, v => checked((int)v));

    private static int[] Ones(int count)
    {
        var ones = new int[count];
        System.Array.Fill(ones, 1);
        return ones;
    }
}

using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Support;

/// <summary>Where the windows of a convolution or pooling lie: kernel, stride, dilation, padding and output size per spatial axis.</summary>
internal sealed class Window
{
    public required int[] Kernel { get; init; }

    public required int[] Strides { get; init; }

    public required int[] Dilations { get; init; }

    public required int[] Before { get; init; }

    public required int[] After { get; init; }

    public required int[] Input { get; init; }

    public required int[] Output { get; init; }

    /// <summary>Number of spatial axes.</summary>
    public int Rank => Kernel.Length;

    /// <summary>Cells of one window.</summary>
    public int Cells => Axes.Product(Kernel);

    /// <summary>Reads the attributes kernel_shape, strides, dilations, pads, auto_pad and ceil_mode.</summary>
    /// <param name="node">The node.</param>
    /// <param name="input">Spatial sizes of the input.</param>
    /// <param name="kernel">Window sizes when the attribute is absent (from a weight).</param>
    /// <param name="known">Whether the sizes are those of an image: of one that is padded to too many values there is no window.</param>
    public static Window Of(Node node, ReadOnlySpan<int> input, ReadOnlySpan<int> kernel = default, bool known = true)
    {
        int rank = input.Length;
        int[] size = node.Attributes.Ints("kernel_shape") is { } k ? Narrow(k) : kernel.ToArray();
        if (size.Length != rank) throw new ArgumentException($"a window [{string.Join(", ", size)}] does not fit {rank} spatial axes");
        int[] strides = Narrow(node.Attributes.Ints("strides")) is { Length: > 0 } s ? s : Ones(rank);
        int[] dilations = Narrow(node.Attributes.Ints("dilations")) is { Length: > 0 } d ? d : Ones(rank);
        int[] pads = Narrow(node.Attributes.Ints("pads")) is { Length: > 0 } p ? p : new int[2 * rank];
        if (strides.Length != rank || dilations.Length != rank || pads.Length != 2 * rank) throw new ArgumentException($"strides, dilations or pads do not fit {rank} spatial axes");
        if (strides.Any(v => v < 1) || dilations.Any(v => v < 1) || size.Any(v => v < 1)) throw new ArgumentException("kernel, strides and dilations must be positive");
        string auto = node.Attributes.String("auto_pad", "NOTSET");
        bool ceil = node.Attributes.Int("ceil_mode", 0) == 1;
        int[] before = new int[rank], after = new int[rank], output = new int[rank];
        long padded = 1;
        for (int i = 0; i < rank; i++)
        {
            Convolution2D.RequireSides(input[i], size[i], strides[i], dilations[i], pads[i], pads[rank + i]);
            (before[i], after[i], output[i]) = Geometry(auto, ceil, input[i], size[i], strides[i], dilations[i], pads[i], pads[rank + i]);
            if (known) padded = Convolution2D.RequirePlane(padded, Math.Max(input[i], input[i] + before[i] + after[i]));
        }
        return new Window { Kernel = size, Strides = strides, Dilations = dilations, Before = before, After = after, Input = input.ToArray(), Output = output };
    }

    /// <summary>The output shape [batch, channels, spatial...] of a window operator, with unknown sizes where the input has them.</summary>
    public static TensorShape Infer(Node node, TensorShape x, Dimension channels, ReadOnlySpan<int> kernel = default)
    {
        // Unknown sizes are computed with a stand-in and forgotten afterwards.
        int rank = x.Rank - 2;
        if (rank < 1) throw new ArgumentException($"{x} has no spatial axes");
        var sizes = new int[rank];
        for (int i = 0; i < rank; i++) sizes[i] = x[i + 2].IsKnown ? x[i + 2].Value : 1 << 16;
        Window window = Of(node, sizes, kernel, x.Skip(2).All(d => d.IsKnown));
        return new TensorShape([x[0], channels, .. window.Output.Select((o, i) => x[i + 2].IsKnown ? o : Dimension.Unknown)]);
    }

    internal static int[] Narrow(long[]? values) => values is null ? [] : Array.ConvertAll(values, v => checked((int)v));

    internal static int[] Ones(int count)
    {
        var ones = new int[count];
        Array.Fill(ones, 1);
        return ones;
    }

    private static (int Before, int After, int Output) Geometry(string auto, bool ceil, int input, int kernel, int stride, int dilation, int before, int after)
    {
        int extent = ((kernel - 1) * dilation) + 1;
        if (auto is "SAME_UPPER" or "SAME_LOWER")
        {
            int same = (input + stride - 1) / stride;
            int total = Math.Max(0, ((same - 1) * stride) + extent - input);
            int small = total / 2;
            return auto == "SAME_UPPER" ? (small, total - small, same) : (total - small, small, same);
        }
        if (auto == "VALID") (before, after) = (0, 0);
        int room = input + before + after - extent;
        if (room < 0) throw new ArgumentException($"a window of {extent} is larger than the padded input of {input + before + after}");
        int output = ((ceil ? room + stride - 1 : room) / stride) + 1;
        // A window that would start in the padding behind the input does not count.
        if (ceil && (output - 1) * stride >= input + before) output--;
        return (before, after, output);
    }
}

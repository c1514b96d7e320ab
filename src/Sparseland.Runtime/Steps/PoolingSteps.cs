using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Pooling over [batch, channels, spatial...] with 1 to 3 spatial axes.</summary>
internal static class PoolingSteps
{
    /// <summary>The step for MaxPool or AveragePool, or null.</summary>
    public static Step? TryWindow(Node node, StepContext context)
    {
        if (node.Output(1).Length > 0 || context.FloatShape(node.Inputs[0]) is not { Length: >= 3 and <= 5 } x || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        NodeAttributes a = node.Attributes;
        int axes = x.Length - 2;
        if (a.String("auto_pad", "NOTSET") is not ("NOTSET" or "VALID") || a.Int("storage_order", 0) != 0 || a.Ints("kernel_shape") is not { } kernel || kernel.Length != axes) return null;
        int[] pads = Read("pads", 2 * axes, 0), strides = Read("strides", axes, 1), dilations = Read("dilations", axes, 1);
        if (pads.Any(p => p < 0)) return null;
        var pooling = new Pooling(x.AsSpan(2), Array.ConvertAll(kernel, k => (int)k), strides, pads.AsSpan(0, axes), pads.AsSpan(axes), dilations, a.Int("ceil_mode", 0) != 0);
        // A pooling window that rounds otherwise is left to the definition.
        if (!pooling.OutputSize.SequenceEqual(y[2..])) return null;
        bool max = node.OpType == "MaxPool", count = a.Int("count_include_pad", 0) != 0;
        int planes = x[0] * x[1];
        Slot input = context.Find(node.Inputs[0]), output = context.NewArena(node.Outputs[0], y);
        return new KernelStep(node, [input], [output], "pooling", state =>
        {
            if (max && x[0] == 1) pooling.MaxOfImage(state.Read(input), state.Write(output), planes);
            else if (max) pooling.Max(state.Read(input), state.Write(output), planes);
            else pooling.Average(state.Read(input), state.Write(output), planes, count);
        });

        int[] Read(string name, int length, int fallback)
        {
            long[]? values = a.Ints(name);
            var result = new int[length];
            for (int i = 0; i < length; i++) result[i] = values is null || i >= values.Length ? fallback : (int)values[i];
            return result;
        }
    }

    /// <summary>The step for a reduction over constant axes (global pooling included), or null.</summary>
    public static Step? TryReduce(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { } x || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        ReductionKind kind;
        int[] axes;
        if (node.OpType is "GlobalAveragePool" or "GlobalMaxPool")
        {
            kind = node.OpType == "GlobalMaxPool" ? ReductionKind.Max : ReductionKind.Mean;
            axes = [.. Enumerable.Range(2, Math.Max(0, x.Length - 2))];
        }
        else
        {
            kind = node.OpType switch
            {
                "ReduceMean" => ReductionKind.Mean,
                "ReduceMax" => ReductionKind.Max,
                "ReduceMin" => ReductionKind.Min,
                _ => ReductionKind.Sum,
            };
            if (node.HasInput(1))
            {
                if (context.Constant(node.Input(1)) is not { } constant) return null;
                axes = Array.ConvertAll(constant.ToInt64s(), v => (int)(v < 0 ? v + x.Length : v));
            }
            else
            {
                axes = [];
            }
            if (axes.Length == 0)
            {
                if (node.Attributes.Int("noop_with_empty_axes", 0) != 0) return null;
                axes = [.. Enumerable.Range(0, x.Length)];
            }
        }
        if (axes.Length == 0 || TensorData.CountElements(x) == 0) return null;
        Slot input = context.Find(node.Inputs[0]), output = context.NewArena(node.Outputs[0], y);
        // Planes of images may lie apart.
        bool means = kind == ReductionKind.Mean && x.Length == 4 && axes.Order().SequenceEqual([2, 3]);
        return new KernelStep(node, [input], [output], "reduction", state =>
        {
            if (input.PlaneDistance == 0) Reduction.Reduce(kind, state.Read(input), x, axes, state.Write(output));
            else Reduction.Means(state.Read(input), x[0] * x[1], x[2] * x[3], input.PlaneDistance, state.Write(output));
        }, spaced: means ? input : null);
    }
}

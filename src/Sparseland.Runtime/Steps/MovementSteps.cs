using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Single-precision values that move: transposed, joined, cut, looked up.</summary>
internal static class MovementSteps
{
    /// <summary>The step for Transpose, or null.</summary>
    public static Step? TryTranspose(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { } x || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        int[] order = node.Attributes.Ints("perm") is { } perm ? Array.ConvertAll(perm, p => (int)p) : [.. Enumerable.Range(0, x.Length).Reverse()];
        if (order.Length != x.Length) return null;
        Slot input = context.Find(node.Inputs[0]), output = context.NewArena(node.Outputs[0], y);
        return new KernelStep(node, [input], [output], "copy", state => Permute.Copy(state.Read(input), x, order, state.Write(output)));
    }

    /// <summary>The step for Concat, or null.</summary>
    public static Step? TryConcat(Node node, StepContext context)
    {
        if (context.FloatShape(node.Outputs[0]) is not { } y) return null;
        var shapes = new int[node.Inputs.Count][];
        for (int i = 0; i < shapes.Length; i++)
        {
            if (context.FloatShape(node.Inputs[i]) is not { } shape || shape.Length != y.Length) return null;
            shapes[i] = shape;
        }
        int axis = Axis(node.Attributes.Int("axis", 0), y.Length), outer = TensorData.CountElements(y.AsSpan(0, axis)), row = TensorData.CountElements(y.AsSpan(axis));
        int[] pieces = Array.ConvertAll(shapes, s => TensorData.CountElements(s.AsSpan(axis)));
        Slot[] inputs = [.. node.Inputs.Select(context.Find)];
        Slot output = context.NewArena(node.Outputs[0], y);
        return new KernelStep(node, inputs, [output], "copy", state =>
        {
            Span<float> to = state.Write(output);
            int start = 0;
            for (int i = 0; i < inputs.Length; i++)
            {
                ReadOnlySpan<float> from = state.Read(inputs[i]);
                for (int o = 0; o < outer; o++) from.Slice(o * pieces[i], pieces[i]).CopyTo(to[(o * row + start)..]);
                start += pieces[i];
            }
        });
    }

    /// <summary>The step for Split, or null.</summary>
    public static Step? TrySplit(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { } x) return null;
        int axis = Axis(node.Attributes.Int("axis", 0), x.Length), outer = TensorData.CountElements(x.AsSpan(0, axis)), row = TensorData.CountElements(x.AsSpan(axis));
        var shapes = new int[node.Outputs.Count][];
        for (int i = 0; i < shapes.Length; i++)
        {
            if (context.FloatShape(node.Outputs[i]) is not { } shape) return null;
            shapes[i] = shape;
        }
        int[] pieces = Array.ConvertAll(shapes, s => TensorData.CountElements(s.AsSpan(axis)));
        Slot?[] inputs = context.Inputs(node);
        Slot input = inputs[0]!;
        Slot[] outputs = [.. node.Outputs.Select((o, i) => context.NewArena(o, shapes[i]))];
        return new KernelStep(node, inputs, outputs, "copy", state =>
        {
            ReadOnlySpan<float> from = state.Read(input);
            int start = 0;
            for (int i = 0; i < outputs.Length; i++)
            {
                Span<float> to = state.Write(outputs[i]);
                for (int o = 0; o < outer; o++) from.Slice(o * row + start, pieces[i]).CopyTo(to[(o * pieces[i])..]);
                start += pieces[i];
            }
        });
    }

    /// <summary>The step for Slice with constant bounds, or null.</summary>
    public static Step? TrySlice(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { } x || context.FloatShape(node.Outputs[0]) is not { } y || TensorData.CountElements(y) == 0) return null;
        if (context.Constant(node.Input(1))?.ToInt64s() is not { } starts) return null;
        long[]? axes = node.HasInput(3) ? context.Constant(node.Input(3))?.ToInt64s() : [.. Enumerable.Range(0, starts.Length)];
        long[]? steps = node.HasInput(4) ? context.Constant(node.Input(4))?.ToInt64s() : [.. Enumerable.Repeat(1L, starts.Length)];
        if (axes is null || steps is null) return null;
        int[] first = new int[x.Length], step = new int[x.Length];
        Array.Fill(step, 1);
        for (int i = 0; i < starts.Length; i++)
        {
            int axis = Axis(axes[i], x.Length);
            long start = starts[i] < 0 ? starts[i] + x[axis] : starts[i];
            first[axis] = (int)Math.Clamp(start, 0, x[axis] - (steps[i] < 0 ? 1 : 0));
            step[axis] = (int)Math.Clamp(steps[i], int.MinValue + 1, int.MaxValue);
        }
        Slot?[] inputs = context.Inputs(node);
        var box = new PaddedBox(x, first, step, y, new int[x.Length], y);
        return new BoxStep(node, inputs, context.NewArena(node.Outputs[0], y), box);
    }

    /// <summary>The step for Pad with a constant value and constant amounts, or null.</summary>
    public static Step? TryPad(Node node, StepContext context)
    {
        if (node.Attributes.String("mode", "constant") != "constant" || context.FloatShape(node.Inputs[0]) is not { } x || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        if (context.Constant(node.Input(1))?.ToInt64s() is not { } pads) return null;
        long[]? axes = node.HasInput(3) ? context.Constant(node.Input(3))?.ToInt64s() : [.. Enumerable.Range(0, x.Length)];
        if (axes is null || pads.Length != 2 * axes.Length) return null;
        float value = 0;
        if (node.HasInput(2))
        {
            if (context.Constant(node.Input(2)) is not { Length: 1, ElementType: ElementType.Float32 } constant) return null;
            value = constant.Span<float>()[0];
        }
        // Amounts below zero cut: the box that is copied starts later and ends earlier.
        int[] from = new int[x.Length], to = new int[x.Length], size = [.. x], step = new int[x.Length];
        Array.Fill(step, 1);
        for (int i = 0; i < axes.Length; i++)
        {
            int axis = Axis(axes[i], x.Length);
            from[axis] = (int)Math.Max(0, -pads[i]);
            to[axis] = (int)Math.Max(0, pads[i]);
            size[axis] = (int)(x[axis] - from[axis] - Math.Max(0, -pads[axes.Length + i]));
            if (size[axis] < 0) return null;
        }
        Slot?[] inputs = context.Inputs(node);
        var box = new PaddedBox(x, from, step, y, to, size, value);
        return new BoxStep(node, inputs, context.NewArena(node.Outputs[0], y), box);
    }

    /// <summary>The step for Gather of whole rows (an embedding), or null.</summary>
    public static Step? TryGather(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { Length: > 0 } table || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        if (Axis(node.Attributes.Int("axis", 0), table.Length) != 0 || context.TypeOf(node.Inputs[1])?.ElementType is not (ElementType.Int64 or ElementType.Int32)) return null;
        int rows = table[0], width = TensorData.CountElements(table.AsSpan(1));
        Slot input = context.Find(node.Inputs[0]), indices = context.Find(node.Inputs[1]), output = context.NewArena(node.Outputs[0], y);
        return new KernelStep(node, [input, indices], [output], "lookup", state =>
        {
            ReadOnlySpan<float> from = state.Read(input);
            Span<float> to = state.Write(output);
            long[] ids = state.Tensor(indices).ToInt64s();
            for (int i = 0; i < ids.Length; i++)
            {
                long row = ids[i] < 0 ? ids[i] + rows : ids[i];
                if (row < 0 || row >= rows)
                {
                    throw new Model.GraphException("SL2003", $"{node.OpType} node '{node.Name}': index {ids[i]} is outside of a table of {rows} rows")
                    {
                        Where = $"node '{node.Name}' ({node.OpType})",
                    };
                }
                from.Slice((int)row * width, width).CopyTo(to[(i * width)..]);
            }
        });
    }

    private static int Axis(long axis, int rank) => (int)(axis < 0 ? axis + rank : axis);
}

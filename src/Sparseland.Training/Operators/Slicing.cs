using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Slice, Split, Concat, Pad, Tile, Expand.</summary>
internal static class Slicing
{
    public static Tensor Concat(ReadOnlySpan<Tensor> parts, int axis)
    {
        if (parts.Length == 1) return Views.Reshape(parts[0], parts[0].Shape);
        int[] shape = [.. parts[0].Shape];
        var widths = new int[parts.Length];
        int total = 0;
        for (int p = 0; p < parts.Length; p++)
        {
            if (parts[p].Rank != shape.Length) throw new ArgumentException($"Cannot concatenate {parts[p]} to {parts[0]}.");
            for (int d = 0; d < shape.Length; d++)
            {
                if (d != axis && parts[p].Shape[d] != shape[d]) throw new ArgumentException($"Cannot concatenate {parts[p]} to {parts[0]} along axis {axis}.");
            }
            widths[p] = parts[p].Shape[axis];
            total += widths[p];
        }
        shape[axis] = total;
        (int outer, int inner) = AxisMap.Around(shape, axis);
        Tensor y = Tensor.Uninitialized(shape);
        int start = 0;
        for (int p = 0; p < parts.Length; p++)
        {
            Copy(parts[p].Array, 0, widths[p] * inner, y.Array, start, total * inner, outer, widths[p] * inner);
            start += widths[p] * inner;
        }
        int[][] shapes = System.Array.ConvertAll(parts.ToArray(), t => t.ShapeArray);
        return Tape.Record("Concat", y, parts.ToArray(), [], flow =>
        {
            int from = 0;
            for (int p = 0; p < shapes.Length; p++)
            {
                int width = widths[p] * inner;
                if (flow.Needs(p))
                {
                    Tensor part = Tensor.Uninitialized(shapes[p]);
                    Copy(flow.Output().Array, from, total * inner, part.Array, 0, width, outer, width);
                    flow.Give(p, part);
                }
                from += width;
            }
        });
    }

    public static Tensor[] Split(Tensor x, int axis, ReadOnlySpan<int> sizes)
    {
        (int outer, int inner) = AxisMap.Around(x.Shape, axis);
        int total = x.Shape[axis];
        int[] widths = sizes.ToArray();
        if (widths.Sum() != total) throw new ArgumentException($"Sizes [{string.Join(", ", widths)}] do not add up to axis {axis} of {x}.", nameof(sizes));
        var parts = new Tensor[widths.Length];
        for (int p = 0, from = 0; p < parts.Length; p++)
        {
            int[] shape = [.. x.Shape];
            shape[axis] = widths[p];
            parts[p] = Tensor.Uninitialized(shape);
            Copy(x.Array, from, total * inner, parts[p].Array, 0, widths[p] * inner, outer, widths[p] * inner);
            from += widths[p] * inner;
        }
        int[] source = x.ShapeArray;
        return Tape.RecordMany("Split", parts, [x], [], flow =>
        {
            Tensor gradient = Tensor.Uninitialized(source);
            for (int p = 0, to = 0; p < widths.Length; p++)
            {
                int width = widths[p] * inner;
                Copy(flow.Output(p).Array, 0, width, gradient.Array, to, total * inner, outer, width);
                to += width;
            }
            flow.Give(0, gradient);
        });
    }

    public static Tensor Expand(Tensor x, ReadOnlySpan<int> shape)
    {
        int[] wide = BroadcastPlan.Of(x.Shape, shape).Shape, narrow = x.ShapeArray;
        Tensor y = Binary.Expand(x, wide);
        return Tape.Record("Expand", y, [x], [], flow => flow.Give(0, Broadcasting.SumTo(flow.Share(wide), narrow)));
    }

    public static ModelValue[]? ConcatFromNode(OperatorContext c)
    {
        for (int i = 0; i < c.Inputs.Length; i++)
        {
            if (!c.AreFloat32(i)) return null;
        }
        var parts = new Tensor[c.Inputs.Length];
        for (int i = 0; i < parts.Length; i++) parts[i] = c.Tensor(i);
        return [Concat(parts, Views.Axis(c.Attributes.Int("axis", 0), parts[0].Rank))];
    }

    public static ModelValue[]? SplitFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        int axis = Views.Axis(c.Attributes.Int("axis", 0), x.Rank), total = x.Shape[axis];
        int[] sizes;
        if ((c.Integers(1) ?? c.Attributes.Ints("split")) is { } given) sizes = System.Array.ConvertAll(given, s => checked((int)s));
        else
        {
            // The last part is smaller when the axis does not divide evenly.
            int count = (int)c.Attributes.Int("num_outputs", c.Node.Outputs.Count), each = (total + count - 1) / count;
            sizes = [.. Enumerable.Range(0, count).Select(i => Math.Clamp(total - (i * each), 0, each))];
        }
        return System.Array.ConvertAll(Split(x, axis, sizes), t => (ModelValue)t);
    }

    public static ModelValue[]? SliceFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        long[] starts = c.Integers(1) ?? throw c.Error("starts are missing"), ends = c.Integers(2) ?? throw c.Error("ends are missing");
        long[] axes = c.Integers(3) ?? [.. Enumerable.Range(0, starts.Length).Select(i => (long)i)];
        long[]? steps = c.Integers(4);
        int[] first = new int[x.Rank], distance = new int[x.Rank], counts = [.. x.Shape];
        System.Array.Fill(distance, 1);
        bool isWhole = true;
        for (int i = 0; i < starts.Length; i++)
        {
            int axis = Views.Axis(axes[i], x.Rank), size = counts[axis];
            long step = steps is null ? 1 : steps[i];
            if (step == 0) throw c.Error("a step is 0");
            if (size == 0) continue;
            long start = starts[i] < 0 ? starts[i] + size : starts[i], end = ends[i] < 0 ? ends[i] + size : ends[i];
            if (step > 0) (start, end) = (Math.Clamp(start, 0, size), Math.Clamp(end, 0, size));
            else (start, end) = (Math.Clamp(start, -1, size - 1), Math.Clamp(end, -1, size - 1));
            int count = (int)Math.Max(0, step > 0 ? (end - start + step - 1) / step : (start - end - step - 1) / -step);
            if (count == size && step == 1) continue;
            isWhole = false;
            counts[axis] = count;
            first[axis] += (int)start * distance[axis];
            // A single index has no next one, however long the step.
            distance[axis] = count < 2 ? 1 : distance[axis] * (int)step;
        }
        return [isWhole ? Views.Reshape(x, x.Shape) : StridedSlice.Apply(x, first, distance, counts)];
    }

    public static ModelValue[]? PadFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 2)) return null;
        Tensor x = c.Tensor(0);
        long[] pads = c.Integers(1) ?? throw c.Error("the pads are missing");
        float fill = c.Has(2) ? c.Tensor(2).Item() : 0;
        int[] axes = c.Integers(3) is { } given ? System.Array.ConvertAll(given, a => Views.Axis(a, x.Rank)) : [.. Enumerable.Range(0, x.Rank)];
        if (pads.Length != 2 * axes.Length) throw c.Error($"{pads.Length} pads for {axes.Length} axes");
        string mode = c.Attributes.String("mode", "constant");
        Tensor y = x;
        for (int i = 0; i < axes.Length; i++)
        {
            int before = (int)pads[i], after = (int)pads[i + axes.Length], size = x.Shape[axes[i]];
            if (before == 0 && after == 0) continue;
            int count = size + before + after;
            if (count < 0 || (mode == "reflect" && size < 2 && (before > 0 || after > 0)))
                throw c.Error($"axis {axes[i]} of size {size} cannot be padded by {before} and {after} in mode '{mode}'");
            var taps = new int[count];
            for (int k = 0; k < count; k++) taps[k] = PadTap(k - before, size, mode);
            y = AxisMap.Then(x, y, axes[i], count, taps, fill: fill);
        }
        return [ReferenceEquals(y, x) ? Views.Reshape(x, x.Shape) : y];
    }

    public static ModelValue[]? TileFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0), y = x;
        long[] repeats = c.Integers(1) ?? throw c.Error("the repeats are missing");
        for (int axis = 0; axis < repeats.Length; axis++)
        {
            if (repeats[axis] == 1) continue;
            int size = x.Shape[axis], count = checked((int)(size * repeats[axis]));
            y = AxisMap.Then(x, y, axis, count, [.. Enumerable.Range(0, count).Select(i => i % size)]);
        }
        return [ReferenceEquals(y, x) ? Views.Reshape(x, x.Shape) : y];
    }

    public static ModelValue[]? ExpandFromNode(OperatorContext c) => c.AreFloat32(0)
        ? [Expand(c.Tensor(0), System.Array.ConvertAll(c.Integers(1) ?? throw c.Error("the shape is missing"), d => checked((int)d)))]
        : null;

    private static int PadTap(int index, int size, string mode)
    {
        if (index >= 0 && index < size) return index;
        switch (mode)
        {
            case "edge":
                return Math.Clamp(index, 0, size - 1);
            case "wrap":
                return ((index % size) + size) % size;
            case "reflect":
                int period = 2 * (size - 1), folded = ((index % period) + period) % period;
                return folded < size ? folded : period - folded;
            default:
                return -1;
        }
    }

    /// <summary>Copies <paramref name="width"/> elements of every one of <paramref name="rows"/> rows.</summary>
    private static void Copy(float[] from, int fromStart, int fromStride, float[] to, int toStart, int toStride, int rows, int width)
    {
        if (width == 0) return;
        Chunks.Rows(rows, width, row => from.AsSpan(fromStart + (row * fromStride), width).CopyTo(to.AsSpan(toStart + (row * toStride), width)));
    }
}

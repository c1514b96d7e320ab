using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Rebuilds one axis: every new index takes a weighted sum of old ones. Pads, tiles and resizes are made of it.</summary>
internal static class AxisMap
{
    /// <summary>y[.., i, ..] = sum over t of weights[i, t] * x[.., taps[i, t], ..]; a tap of -1 contributes <paramref name="fill"/>.</summary>
    /// <param name="x">The input.</param>
    /// <param name="axis">The axis to rebuild, 0 or more.</param>
    /// <param name="length">Its new size.</param>
    /// <param name="taps">[length, t]: old indices.</param>
    /// <param name="weights">[length, t], or null for ones with a single tap.</param>
    /// <param name="fill">What a tap of -1 stands for; single taps only.</param>
    public static Tensor Apply(Tensor x, int axis, int length, int[] taps, float[]? weights = null, float fill = 0)
    {
        int[] shape = [.. x.Shape];
        int old = shape[axis];
        shape[axis] = length;
        (int outer, int inner) = Around(x.Shape, axis);
        Tensor y = Tensor.Uninitialized(shape);
        Forward(x.Array, y.Array, outer, old, length, inner, taps, weights, fill);
        int[] source = x.ShapeArray;
        return Tape.Record("AxisMap", y, [x], [], flow =>
        {
            Tensor gradient = Tensor.Uninitialized(source);
            if (length == 0 || inner == 0) gradient.Values.Clear();
            Backward(flow.Output().Array, gradient.Array, outer, old, length, inner, taps, weights);
            flow.Give(0, gradient);
        });
    }

    /// <summary>One more axis of a chain that began with <paramref name="x"/>: <paramref name="y"/>, unless it is x itself, is given up.</summary>
    public static Tensor Then(Tensor x, Tensor y, int axis, int length, int[] taps, float[]? weights = null, float fill = 0)
    {
        Tensor next = Apply(y, axis, length, taps, weights, fill);
        if (!ReferenceEquals(y, x)) y.Storage.Release();
        return next;
    }

    /// <summary>Number of index combinations before and after an axis.</summary>
    public static (int Outer, int Inner) Around(ReadOnlySpan<int> shape, int axis)
    {
        int outer = 1, inner = 1;
        for (int i = 0; i < axis; i++) outer *= shape[i];
        for (int i = axis + 1; i < shape.Length; i++) inner *= shape[i];
        return (outer, inner);
    }

    private static void Forward(float[] x, float[] y, int outer, int old, int length, int inner, int[] taps, float[]? weights, float fill)
    {
        if (length == 0 || inner == 0) return;
        int perIndex = taps.Length / length;
        int block = weights is null ? Consecutive(taps) : -1;
        Chunks.Rows(outer, length * inner, o =>
        {
            int from = o * old * inner, to = o * length * inner;
            if (block >= 0)
            {
                x.AsSpan(from + (block * inner), length * inner).CopyTo(y.AsSpan(to));
                return;
            }
            if (inner == 1 && weights is null)
            {
                ReadOnlySpan<float> row = x.AsSpan(from, old);
                Span<float> picked = y.AsSpan(to, length);
                for (int i = 0; i < picked.Length; i++) picked[i] = taps[i] < 0 ? fill : row[taps[i]];
                return;
            }
            for (int i = 0; i < length; i++)
            {
                Span<float> target = y.AsSpan(to + (i * inner), inner);
                if (weights is null)
                {
                    int tap = taps[i];
                    if (tap < 0) target.Fill(fill);
                    else x.AsSpan(from + (tap * inner), inner).CopyTo(target);
                    continue;
                }
                target.Clear();
                for (int t = i * perIndex; t < (i + 1) * perIndex; t++)
                {
                    if (taps[t] < 0 || weights[t] == 0) continue;
                    TensorPrimitives.MultiplyAdd(x.AsSpan(from + (taps[t] * inner), inner), weights[t], target, target);
                }
            }
        });
    }

    private static void Backward(float[] g, float[] gx, int outer, int old, int length, int inner, int[] taps, float[]? weights)
    {
        if (length == 0 || inner == 0) return;
        int perIndex = taps.Length / length;
        int block = weights is null ? Consecutive(taps) : -1;
        Chunks.Rows(outer, length * inner, o =>
        {
            int to = o * old * inner, from = o * length * inner;
            gx.AsSpan(to, old * inner).Clear();
            if (block >= 0)
            {
                g.AsSpan(from, length * inner).CopyTo(gx.AsSpan(to + (block * inner)));
                return;
            }
            if (inner == 1 && weights is null)
            {
                // Numbers one by one: a span of each would cost ten times the sum.
                ReadOnlySpan<float> row = g.AsSpan(from, length);
                Span<float> sums = gx.AsSpan(to, old);
                for (int t = 0; t < taps.Length; t++)
                {
                    if (taps[t] >= 0) sums[taps[t]] += row[t / perIndex];
                }
                return;
            }
            for (int t = 0; t < taps.Length; t++)
            {
                if (taps[t] < 0) continue;
                ReadOnlySpan<float> part = g.AsSpan(from + (t / perIndex * inner), inner);
                Span<float> target = gx.AsSpan(to + (taps[t] * inner), inner);
                if (weights is null) TensorPrimitives.Add(target, part, target);
                else TensorPrimitives.MultiplyAdd(part, weights[t], target, target);
            }
        });
    }

    private static int Consecutive(int[] taps)
    {
        for (int i = 0; i < taps.Length; i++)
        {
            if (taps[i] < 0 || taps[i] != taps[0] + i) return -1;
        }
        return taps[0];
    }
}

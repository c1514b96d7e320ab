namespace Sparseland.Kernels.Dense;

/// <summary>The k largest or smallest values of rows, and arg max / arg min along an axis.</summary>
/// <remarks>Exact and deterministic: equal values are ordered by index, -0 equals 0, and NaN counts as larger than everything.</remarks>
public static class TopK
{
    /// <summary>The k extreme values of each row in order, with their positions.</summary>
    /// <param name="input">[rows, width].</param>
    /// <param name="rows">Rows.</param>
    /// <param name="width">Values per row.</param>
    /// <param name="k">How many, 0 to width.</param>
    /// <param name="values">[rows, k], or empty if not wanted.</param>
    /// <param name="indices">[rows, k].</param>
    /// <param name="largest">True for the largest, in falling order; false for the smallest, in rising order.</param>
    /// <exception cref="ArgumentException">k is out of range or a span is too short.</exception>
    public static unsafe void Rows(ReadOnlySpan<float> input, int rows, int width, int k, Span<float> values, Span<int> indices, bool largest = true)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(width);
        if (k < 0 || k > width) throw new ArgumentException($"The top {k} of {width} values.", nameof(k));
        Parts.Need(input.Length, (long)rows * width, nameof(input));
        Parts.Need(indices.Length, (long)rows * k, nameof(indices));
        if (!values.IsEmpty) Parts.Need(values.Length, (long)rows * k, nameof(values));
        if (k == 0) return;
        fixed (float* fi = input, fv = values)
        {
            fixed (int* fx = indices)
            {
                float* pi = fi, pv = fv;
                int* px = fx;
                Parts.Rows(rows, width * 4L, (first, end) =>
                {
                    var keys = new ulong[k < width / 4 ? k : width];
                    for (int r = first; r < end; r++)
                    {
                        var row = new ReadOnlySpan<float>(pi + ((nint)r * width), width);
                        ReadOnlySpan<ulong> best = Select(row, k, largest, keys);
                        for (int i = 0; i < k; i++)
                        {
                            int index = (int)(uint)best[i];
                            px[((nint)r * k) + i] = index;
                            if (pv != null) pv[((nint)r * k) + i] = row[index];
                        }
                    }
                });
            }
        }
    }

    /// <summary>The position of the largest (smallest) value along the axis of [outer, axis, inner]; the first of equals.</summary>
    /// <param name="input">[outer, axis, inner].</param>
    /// <param name="outer">Slices before the axis.</param>
    /// <param name="axis">Length of the axis, at least 1.</param>
    /// <param name="inner">Elements after the axis.</param>
    /// <param name="indices">[outer, inner].</param>
    /// <param name="largest">False for the smallest; NaN is then chosen only where there is nothing else.</param>
    /// <param name="last">Whether the last of equals is taken.</param>
    /// <exception cref="ArgumentException">The axis is empty or a span is too short.</exception>
    public static void ArgExtreme(ReadOnlySpan<float> input, int outer, int axis, int inner, Span<int> indices, bool largest = true, bool last = false)
    {
        if (outer < 0 || inner < 0) throw new ArgumentException($"[{outer}, {axis}, {inner}] has a negative size.");
        if (axis < 1) throw new ArgumentException("The axis is empty.", nameof(axis));
        Parts.Need(input.Length, (long)outer * axis * inner, nameof(input));
        Parts.Need(indices.Length, (long)outer * inner, nameof(indices));
        for (int o = 0; o < outer; o++)
        {
            for (int j = 0; j < inner; j++)
            {
                int best = 0;
                uint bestKey = 0;
                for (int a = 0; a < axis; a++)
                {
                    uint key = Key(input[(((o * axis) + a) * inner) + j]);
                    if (!largest) key = ~key;
                    if (a == 0 || key > bestKey || (last && key == bestKey)) (best, bestKey) = (a, key);
                }
                indices[(o * inner) + j] = best;
            }
        }
    }

    /// <summary>An unsigned integer that orders as the float does: -0 equals 0, all NaNs are equal and largest.</summary>
    internal static uint Key(float x)
    {
        if (float.IsNaN(x)) return uint.MaxValue;
        uint bits = BitConverter.SingleToUInt32Bits(x == 0f ? 0f : x);
        return (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
    }

    // Keys (order << 32 | index), of which the smallest come first.
    private static ReadOnlySpan<ulong> Select(ReadOnlySpan<float> row, int k, bool largest, ulong[] keys)
    {
        if (keys.Length == row.Length)
        {
            for (int i = 0; i < row.Length; i++) keys[i] = OrderKey(row[i], i, largest);
            Array.Sort(keys);
            return keys;
        }

        // A heap of the k best with the worst on top.
        for (int i = 0; i < k; i++) keys[i] = OrderKey(row[i], i, largest);
        for (int i = (k / 2) - 1; i >= 0; i--) SiftDown(keys, i, k);
        for (int i = k; i < row.Length; i++)
        {
            ulong key = OrderKey(row[i], i, largest);
            if (key >= keys[0]) continue;
            keys[0] = key;
            SiftDown(keys, 0, k);
        }
        Array.Sort(keys, 0, k);
        return keys;
    }

    private static ulong OrderKey(float x, int index, bool largest)
    {
        uint key = Key(x);
        return ((ulong)(largest ? ~key : key) << 32) | (uint)index;
    }

    private static void SiftDown(ulong[] heap, int at, int count)
    {
        ulong value = heap[at];
        while (true)
        {
            int child = (2 * at) + 1;
            if (child >= count) break;
            if (child + 1 < count && heap[child + 1] > heap[child]) child++;
            if (heap[child] <= value) break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = value;
    }
}

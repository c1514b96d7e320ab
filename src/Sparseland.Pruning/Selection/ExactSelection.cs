namespace Sparseland.Pruning.Selection;

/// <summary>Keeps exactly the K best of the scores of several layers.</summary>
/// <remarks>
/// Rule [T1] of the toolkit: exact counts; among equal scores the earlier layer, then the lower index is kept first; NaN ranks below every number.
/// Linear time: two counting passes over the high and low half of an order-preserving integer image of the score. Independent of threads.
/// </remarks>
public static class ExactSelection
{
    [ThreadStatic]
    private static int[]? t_high;

    [ThreadStatic]
    private static int[]? t_low;

    /// <summary>The number to keep of <paramref name="length"/> at a density: rounded, halves to even.</summary>
    public static int Count(double density, long length) => checked((int)Math.Round(density * length, MidpointRounding.ToEven));

    /// <summary>Flags of the best <paramref name="keep"/> entries over all layers.</summary>
    /// <param name="scores">Per layer one score per entry, higher = more important.</param>
    /// <param name="keep">How many, 0 to the number of entries that are alive.</param>
    /// <param name="alive">Per layer the entries that may be kept; null = all.</param>
    /// <exception cref="ArgumentOutOfRangeException">More are to be kept than are alive.</exception>
    public static bool[][] KeepBest(IReadOnlyList<float[]> scores, long keep, IReadOnlyList<bool[]?>? alive = null)
    {
        ArgumentNullException.ThrowIfNull(scores);
        ArgumentOutOfRangeException.ThrowIfNegative(keep);
        // Two tables of 256 KB, kept per thread: masks are chosen every few steps of a training.
        int[] high = t_high ??= new int[1 << 16], low = t_low ??= new int[1 << 16];
        Array.Clear(high);
        Array.Clear(low);
        long total = 0;
        for (int l = 0; l < scores.Count; l++)
        {
            ReadOnlySpan<float> layer = scores[l];
            if (alive?[l] is not { } live)
            {
                foreach (float score in layer) high[Key(score) >> 16]++;
                total += layer.Length;
                continue;
            }
            for (int i = 0; i < layer.Length; i++)
            {
                if (!live[i]) continue;
                high[Key(layer[i]) >> 16]++;
                total++;
            }
        }
        ArgumentOutOfRangeException.ThrowIfGreaterThan(keep, total);
        bool[][] kept = [.. scores.Select(s => new bool[s.Length])];
        if (keep == 0) return kept;

        long above = 0;
        int top = high.Length - 1;
        while (above + high[top] < keep) above += high[top--];
        for (int l = 0; l < scores.Count; l++)
        {
            bool[]? live = alive?[l];
            ReadOnlySpan<float> layer = scores[l];
            for (int i = 0; i < layer.Length; i++)
            {
                uint key = Key(layer[i]);
                if (key >> 16 == top && (live is null || live[i])) low[key & 0xFFFF]++;
            }
        }
        int bottom = low.Length - 1;
        while (above + low[bottom] < keep) above += low[bottom--];
        uint threshold = (uint)top << 16 | (uint)bottom;
        long ties = keep - above;
        for (int l = 0; l < scores.Count; l++)
        {
            bool[]? live = alive?[l];
            bool[] flags = kept[l];
            ReadOnlySpan<float> layer = scores[l];
            for (int i = 0; i < layer.Length; i++)
            {
                uint key = Key(layer[i]);
                if (key < threshold || (live is not null && !live[i])) continue;
                flags[i] = key > threshold || ties-- > 0;
            }
        }
        return kept;
    }

    /// <summary>Flags of the best <paramref name="keep"/> entries of one layer.</summary>
    public static bool[] KeepBest(float[] scores, int keep, bool[]? alive = null) => KeepBest([scores], keep, [alive])[0];

    // Floats in the order of unsigned integers; NaN is 0, -0 equals +0.
    private static uint Key(float score)
    {
        if (float.IsNaN(score)) return 0;
        if (score == 0) score = 0;
        uint bits = BitConverter.SingleToUInt32Bits(score);
        return (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
    }
}

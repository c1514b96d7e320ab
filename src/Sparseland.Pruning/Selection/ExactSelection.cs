namespace Sparseland.Pruning.Selection;

/// <summary>Keeps exactly the K best of the scores of several layers.</summary>
/// <remarks>
/// Rule [T1] of the toolkit: exact counts; among equal scores the earlier layer, then the lower index is kept first; NaN ranks below every number.
/// Linear time: two counting passes over the high and low half of an order-preserving integer image of the score. Independent of threads.
/// </remarks>
public static class ExactSelection
{
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
        long[] high = new long[1 << 16];
        long total = 0;
        for (int l = 0; l < scores.Count; l++)
        {
            bool[]? live = alive?[l];
            for (int i = 0; i < scores[l].Length; i++)
            {
                if (live is not null && !live[i]) continue;
                high[Key(scores[l][i]) >> 16]++;
                total++;
            }
        }
        ArgumentOutOfRangeException.ThrowIfGreaterThan(keep, total);
        bool[][] kept = [.. scores.Select(s => new bool[s.Length])];
        if (keep == 0) return kept;

        long above = 0;
        int top = high.Length - 1;
        while (above + high[top] < keep) above += high[top--];
        long[] low = new long[1 << 16];
        for (int l = 0; l < scores.Count; l++)
        {
            bool[]? live = alive?[l];
            for (int i = 0; i < scores[l].Length; i++)
            {
                if (live is not null && !live[i]) continue;
                uint key = Key(scores[l][i]);
                if (key >> 16 == top) low[key & 0xFFFF]++;
            }
        }
        int bottom = low.Length - 1;
        while (above + low[bottom] < keep) above += low[bottom--];
        uint threshold = (uint)top << 16 | (uint)bottom;
        long ties = keep - above;
        for (int l = 0; l < scores.Count; l++)
        {
            bool[]? live = alive?[l];
            for (int i = 0; i < scores[l].Length; i++)
            {
                if (live is not null && !live[i]) continue;
                uint key = Key(scores[l][i]);
                if (key > threshold || (key == threshold && ties-- > 0)) kept[l][i] = true;
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

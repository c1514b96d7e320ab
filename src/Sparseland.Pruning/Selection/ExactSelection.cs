using System.Numerics;
using System.Runtime.Intrinsics;

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

    /// <summary>Adds the best <paramref name="count"/> entries that are not set to the bits of a mask: <see cref="KeepBest(float[], int, bool[])"/> for few among many.</summary>
    /// <param name="scores">One per entry, higher = more important.</param>
    /// <param name="count">How many to add.</param>
    /// <param name="words">The bits, as in <see cref="Kernels.Sparse.Mask.Words"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer entries are not set.</exception>
    public static void AddBest(ReadOnlySpan<float> scores, int count, Span<ulong> words)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        int free = scores.Length;
        foreach (ulong word in words) free -= BitOperations.PopCount(word);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, free);
        if (count == 0) return;
        // A sample says about where the best begin; what lies above is ranked exactly. Where the guess was too high, everything is.
        (float[] Scores, int[] Places, int Count) above = Above(scores, words, Guess(scores, words, (double)count / free));
        if (above.Count < count) above = Above(scores, words, null);
        bool[] best = KeepBest(above.Scores.AsSpan(0, above.Count).ToArray(), count);
        for (int i = 0; i < best.Length; i++)
        {
            if (best[i]) words[above.Places[i] >> 6] |= 1UL << (above.Places[i] & 63);
        }
    }

    // A score that somewhat more than this share of the entries that are not set reach; null when all are wanted.
    private static float? Guess(ReadOnlySpan<float> scores, ReadOnlySpan<ulong> words, double share)
    {
        const int Wanted = 16384;
        // An odd step meets all columns of matrices whose width is a power of two.
        int step = (scores.Length / Wanted) | 1;
        if (scores.Length < 4 * Wanted) return null;
        var sample = new List<float>(2 * Wanted);
        for (int i = 0; i < scores.Length; i += step)
        {
            if ((words[i >> 6] >> (i & 63) & 1) == 0 && !float.IsNaN(scores[i])) sample.Add(scores[i]);
        }
        double expected = share * sample.Count;
        int rank = (int)(expected + (4 * Math.Sqrt(expected)) + 8);
        if (rank >= sample.Count) return null;
        sample.Sort();
        return sample[sample.Count - 1 - rank];
    }

    // Entries that are not set, of at least this score (null: all, NaN included), in their order.
    private static (float[] Scores, int[] Places, int Count) Above(ReadOnlySpan<float> scores, ReadOnlySpan<ulong> words, float? least)
    {
        float[] found = new float[1024];
        int[] places = new int[1024];
        int count = 0;
        Vector512<float> bound = Vector512.Create(least ?? 0);
        for (int w = 0; w < words.Length; w++)
        {
            ReadOnlySpan<float> part = scores.Slice(w << 6, Math.Min(64, scores.Length - (w << 6)));
            ulong bits = ~words[w];
            if (part.Length < 64) bits &= (1UL << part.Length) - 1;
            if (least is not null && part.Length == 64)
            {
                ulong reach = 0;
                for (int q = 0; q < 4; q++) reach |= Vector512.GreaterThanOrEqual(Vector512.Create(part[(q * 16)..]), bound).ExtractMostSignificantBits() << (q * 16);
                bits &= reach;
            }
            else if (least is { } small)
            {
                for (int i = 0; i < part.Length; i++)
                {
                    if (!(part[i] >= small)) bits &= ~(1UL << i);
                }
            }
            if (count + 64 > found.Length)
            {
                Array.Resize(ref found, 2 * found.Length);
                Array.Resize(ref places, found.Length);
            }
            for (; bits != 0; bits &= bits - 1, count++)
            {
                int i = BitOperations.TrailingZeroCount(bits);
                found[count] = part[i];
                places[count] = (w << 6) + i;
            }
        }
        return (found, places, count);
    }

    // Floats in the order of unsigned integers; NaN is 0, -0 equals +0.
    private static uint Key(float score)
    {
        if (float.IsNaN(score)) return 0;
        if (score == 0) score = 0;
        uint bits = BitConverter.SingleToUInt32Bits(score);
        return (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
    }
}

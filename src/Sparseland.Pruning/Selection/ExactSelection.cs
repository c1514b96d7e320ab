using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Pruning.Selection;

/// <summary>Keeps exactly the K best of the scores of several layers.</summary>
/// <remarks>
/// Rule [T1] of the toolkit: exact counts; among equal scores the earlier layer, then the lower index is kept first; NaN ranks below every number.
/// Linear time: scores become integers of the same order; a sample of them says between which two values the K-th lies, and what lies there is halved bit by bit.
/// Everything is exact whatever the sample says, and independent of threads.
/// </remarks>
public static class ExactSelection
{
    // Keys of entries that may not be kept and of NaN; every number's is larger.
    private const uint Dead = 0, NotANumber = 1;

    // Below so many entries a sample costs more than it saves.
    private const int WorthASample = 8192, SampleSize = 1024;

    private static readonly Vector512<uint> s_lanes = Vector512.Create(1u, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15);

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
        Mask[] masks = BestOf(scores, keep, alive is null ? null : [.. alive.Select(a => a is null ? null : Mask.FromFlags([a.Length], a))]);
        return [.. masks.Select(m => m.ToFlags())];
    }

    /// <summary>Flags of the best <paramref name="keep"/> entries of one layer.</summary>
    public static bool[] KeepBest(float[] scores, int keep, bool[]? alive = null) => KeepBest([scores], keep, [alive])[0];

    /// <summary>The best <paramref name="keep"/> entries of one layer as a mask of a shape.</summary>
    internal static Mask BestOf(ReadOnlySpan<int> shape, float[] scores, int keep, Mask? alive = null) => BestOf([scores], keep, [alive])[0].Reshape(shape);

    /// <summary>The best <paramref name="keep"/> entries over all layers, one flat mask for each layer.</summary>
    internal static Mask[] BestOf(IReadOnlyList<float[]> scores, long keep, IReadOnlyList<Mask?>? alive)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(keep);
        var keys = new uint[scores.Count][];
        try
        {
            long total = 0;
            for (int l = 0; l < keys.Length; l++)
            {
                keys[l] = ArrayPool<uint>.Shared.Rent(scores[l].Length);
                total += alive?[l]?.KeptCount ?? scores[l].Length;
                MakeKeys(scores[l], alive?[l], keys[l].AsSpan(0, scores[l].Length));
            }
            ArgumentOutOfRangeException.ThrowIfGreaterThan(keep, total);
            // Nothing is above the largest key, and everything alive above the dead.
            (uint threshold, long ties) = keep == 0 ? (uint.MaxValue, 0) : Threshold(keys, scores, keep);
            var masks = new Mask[keys.Length];
            for (int l = 0; l < masks.Length; l++) masks[l] = AtLeast(keys[l].AsSpan(0, scores[l].Length), threshold, ref ties);
            return masks;
        }
        finally
        {
            foreach (uint[]? rented in keys)
            {
                if (rented is not null) ArrayPool<uint>.Shared.Return(rented);
            }
        }
    }

    /// <summary>The key of the keep-th best, and how many entries of that key are kept.</summary>
    private static (uint Threshold, long Ties) Threshold(uint[][] keys, IReadOnlyList<float[]> scores, long keep)
    {
        long total = scores.Sum(s => (long)s.Length);
        (uint low, uint high) = total < WorthASample ? (0, uint.MaxValue) : Bracket(keys, scores, total, keep);
        (uint[] between, int count, long above) = Between(keys, scores, total, low, high);
        if (above >= keep || above + count < keep)
        {
            // The sample was wrong, which some orders of scores make it.
            ArrayPool<uint>.Shared.Return(between);
            (low, high) = (0, uint.MaxValue);
            (between, count, above) = Between(keys, scores, total, low, high);
        }
        try
        {
            ReadOnlySpan<uint> candidates = between.AsSpan(0, count);
            // The bits that low and high share are known; each further bit is set when as many keys still reach it.
            int open = 32 - BitOperations.LeadingZeroCount(low ^ high);
            uint threshold = open == 32 ? 0 : high >> open << open;
            for (int bit = open - 1; bit >= 0; bit--)
            {
                uint trial = threshold | 1u << bit;
                if (above + CountAtLeast(candidates, trial) >= keep) threshold = trial;
            }
            long better = above + (threshold == uint.MaxValue ? 0 : CountAtLeast(candidates, threshold + 1));
            return (threshold, keep - better);
        }
        finally
        {
            ArrayPool<uint>.Shared.Return(between);
        }
    }

    /// <summary>Two keys between which the keep-th best most likely lies.</summary>
    private static (uint Low, uint High) Bracket(uint[][] keys, IReadOnlyList<float[]> scores, long total, long keep)
    {
        // An odd step meets all columns of matrices whose width is a power of two.
        long step = (total / SampleSize) | 1, at = step / 2;
        var sample = new List<uint>(2 * SampleSize);
        for (int l = 0; l < keys.Length; l++)
        {
            for (; at < scores[l].Length; at += step) sample.Add(keys[l][at]);
            at -= scores[l].Length;
        }
        sample.Sort();
        double share = (double)keep / total, expected = share * sample.Count, spread = (4 * Math.Sqrt(expected * (1 - share))) + 8;
        int first = sample.Count - 1 - (int)(expected + spread), last = sample.Count - 1 - (int)Math.Floor(expected - spread);
        return (first < 0 ? 0 : sample[first], last >= sample.Count ? uint.MaxValue : sample[last]);
    }

    /// <summary>The keys from low to high, rented, and the number of those above.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static (uint[] Keys, int Count, long Above) Between(uint[][] keys, IReadOnlyList<float[]> scores, long total, uint low, uint high)
    {
        uint[] found = ArrayPool<uint>.Shared.Rent((int)Math.Min(total, Array.MaxLength));
        int count = 0;
        long above = 0;
        Vector512<uint> from = Vector512.Create(low), to = Vector512.Create(high);
        for (int l = 0; l < keys.Length; l++)
        {
            ReadOnlySpan<uint> layer = keys[l].AsSpan(0, scores[l].Length);
            int i = 0;
            for (; i + Vector512<uint>.Count <= layer.Length; i += Vector512<uint>.Count)
            {
                Vector512<uint> key = Vector512.Create(layer[i..]);
                ulong higher = Vector512.GreaterThan(key, to).ExtractMostSignificantBits();
                above += BitOperations.PopCount(higher);
                for (ulong bits = Vector512.GreaterThanOrEqual(key, from).ExtractMostSignificantBits() & ~higher; bits != 0; bits &= bits - 1) found[count++] = layer[i + BitOperations.TrailingZeroCount(bits)];
            }
            for (; i < layer.Length; i++)
            {
                if (layer[i] > high) above++;
                else if (layer[i] >= low) found[count++] = layer[i];
            }
        }
        return (found, count, above);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static int CountAtLeast(ReadOnlySpan<uint> keys, uint least)
    {
        Vector512<uint> bound = Vector512.Create(least), sum = Vector512<uint>.Zero;
        int i = 0, count = 0;
        // A comparison that holds is minus one.
        for (; i + Vector512<uint>.Count <= keys.Length; i += Vector512<uint>.Count) sum -= Vector512.GreaterThanOrEqual(Vector512.Create(keys[i..]), bound);
        for (; i < keys.Length; i++) count += keys[i] >= least ? 1 : 0;
        return count + (int)Vector512.Sum(sum);
    }

    /// <summary>Entries above a key, and the first of those that equal it while ties are left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static Mask AtLeast(ReadOnlySpan<uint> keys, uint threshold, ref long ties)
    {
        var words = new ulong[(keys.Length + 63) / 64];
        Vector512<uint> bound = Vector512.Create(threshold);
        for (int w = 0; w < words.Length; w++)
        {
            ReadOnlySpan<uint> part = keys.Slice(w << 6, Math.Min(64, keys.Length - (w << 6)));
            ulong above = 0, equal = 0;
            if (part.Length == 64)
            {
                for (int q = 0; q < 64; q += 16)
                {
                    Vector512<uint> key = Vector512.Create(part[q..]);
                    above |= Vector512.GreaterThan(key, bound).ExtractMostSignificantBits() << q;
                    equal |= Vector512.Equals(key, bound).ExtractMostSignificantBits() << q;
                }
            }
            else
            {
                for (int i = 0; i < part.Length; i++)
                {
                    if (part[i] > threshold) above |= 1UL << i;
                    else if (part[i] == threshold) equal |= 1UL << i;
                }
            }
            for (; equal != 0 && ties > 0; equal &= equal - 1, ties--) above |= equal & (~equal + 1);
            words[w] = above;
        }
        return Mask.FromWords([keys.Length], words);
    }

    /// <summary>Floats in the order of unsigned integers; -0 equals +0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void MakeKeys(ReadOnlySpan<float> scores, Mask? alive, Span<uint> keys)
    {
        ReadOnlySpan<ulong> words = alive is null ? default : alive.Words;
        int i = 0;
        for (; i + Vector512<uint>.Count <= scores.Length; i += Vector512<uint>.Count)
        {
            // Adding zero turns -0 into +0.
            Vector512<float> score = Vector512.Create(scores[i..]) + Vector512<float>.Zero;
            Vector512<uint> bits = score.AsUInt32(), key = bits ^ ((score.AsInt32() >> 31).AsUInt32() | Vector512.Create(0x80000000));
            key = Vector512.ConditionalSelect(Vector512.Equals(score, score).AsUInt32(), key, Vector512.Create(NotANumber));
            if (alive is not null)
            {
                Vector512<uint> lanes = Vector512.Create((uint)(words[i >> 6] >> (i & 63)) & 0xFFFF) & s_lanes;
                key = Vector512.ConditionalSelect(Vector512.Equals(lanes, Vector512<uint>.Zero), Vector512.Create(Dead), key);
            }
            key.CopyTo(keys[i..]);
        }
        for (; i < scores.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(scores[i] + 0f);
            keys[i] = alive is not null && !alive[i] ? Dead : float.IsNaN(scores[i]) ? NotANumber : (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
        }
    }

    /// <summary>Adds the best <paramref name="count"/> entries that are not set to the bits of a mask: <see cref="KeepBest(float[], int, bool[])"/> for few among many.</summary>
    /// <param name="scores">One per entry, higher = more important.</param>
    /// <param name="count">How many to add.</param>
    /// <param name="words">The bits, as in <see cref="Mask.Words"/>.</param>
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
}

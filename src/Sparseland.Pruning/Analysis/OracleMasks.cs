using System.Numerics;
using Sparseland.Training;

namespace Sparseland.Pruning.Analysis;

/// <summary>Which units to remove from several groups: all combinations, or distinct random ones.</summary>
public static class OracleMasks
{
    /// <summary>Units that a rate removes from a group: floor(rate * units), and never all of them.</summary>
    public static int RemovedOf(int units, double rate) => Math.Clamp((int)Math.Floor(rate * units + 1e-9), 0, Math.Max(0, units - 1));

    /// <summary>Number of combinations: the product over the groups of (units choose removed).</summary>
    public static BigInteger Count(IReadOnlyList<int> units, double rate)
    {
        ArgumentNullException.ThrowIfNull(units);
        BigInteger count = BigInteger.One;
        foreach (int n in units) count *= Choose(n, RemovedOf(n, rate));
        return count;
    }

    /// <summary>The removed units of each group, mask by mask: every combination in lexicographic order when there are at most <paramref name="most"/>, else that many distinct random ones.</summary>
    /// <param name="units">Units per group.</param>
    /// <param name="rate">Share of each group that is removed, 0 to below 1.</param>
    /// <param name="most">Largest number of masks.</param>
    /// <param name="seed">Seed of random masks.</param>
    public static IReadOnlyList<int[][]> Make(IReadOnlyList<int> units, double rate, int most, long seed)
    {
        ArgumentNullException.ThrowIfNull(units);
        ArgumentOutOfRangeException.ThrowIfLessThan(most, 1);
        if (rate is not (>= 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(rate), rate, "0 to below 1.");
        return Count(units, rate) <= most ? Everything(units, rate) : Random(units, rate, most, seed);
    }

    private static List<int[][]> Everything(IReadOnlyList<int> units, double rate)
    {
        var masks = new List<int[][]> { Array.Empty<int[]>() };
        foreach (int n in units)
        {
            List<int[]> choices = Combinations(n, RemovedOf(n, rate));
            masks = [.. masks.SelectMany(m => choices.Select(c => (int[][])[.. m, c]))];
        }
        return masks;
    }

    private static List<int[][]> Random(IReadOnlyList<int> units, double rate, int most, long seed)
    {
        var masks = new List<int[][]>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        SeededRandom random = SeededRandom.Of(seed, 0x04AC1E);
        while (masks.Count < most)
        {
            int[][] mask = new int[units.Count][];
            for (int g = 0; g < mask.Length; g++)
            {
                int[] order = [.. Enumerable.Range(0, units[g])];
                random.Shuffle<int>(order);
                mask[g] = order[..RemovedOf(units[g], rate)];
                Array.Sort(mask[g]);
            }
            if (seen.Add(Key(mask))) masks.Add(mask);
        }
        return masks;
    }

    /// <summary>A mask as text, for keys and tables: removed units, groups apart by a bar.</summary>
    internal static string Key(int[][] mask) => string.Join('|', mask.Select(g => string.Join(',', g)));

    private static List<int[]> Combinations(int n, int k)
    {
        var result = new List<int[]>();
        int[] current = [.. Enumerable.Range(0, k)];
        while (true)
        {
            result.Add([.. current]);
            int i = k - 1;
            while (i >= 0 && current[i] == n - k + i) i--;
            if (i < 0) return result;
            current[i]++;
            for (int j = i + 1; j < k; j++) current[j] = current[j - 1] + 1;
        }
    }

    private static BigInteger Choose(int n, int k)
    {
        BigInteger result = BigInteger.One;
        for (int i = 1; i <= k; i++) result = result * (n - k + i) / i;
        return result;
    }
}

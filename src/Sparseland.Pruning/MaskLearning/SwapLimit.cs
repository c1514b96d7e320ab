using System.Numerics;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Pruning.MaskLearning;

/// <summary>Limits how much of a mask may change in one step.</summary>
/// <remarks>
/// Zhang et al., "Lottery Jackpots Exist in Pre-trained Models", TPAMI 2023, section 3.4 (short restriction): of the weights that the scores would exchange only ceil(rho |S|) are, the
/// highest-scored ones that would come in and the lowest-scored ones that would go out, with rho = (1 - t/T)^4.
/// </remarks>
public static class SwapLimit
{
    /// <summary>rho at a share of the run, 0 to 1.</summary>
    public static double Share(double progress) => Math.Pow(1 - Math.Clamp(progress, 0, 1), 4);

    /// <summary>The mask after a limited exchange; as many entries are on as before.</summary>
    /// <param name="present">Entries that are on.</param>
    /// <param name="wanted">Entries that the scores want on; as many.</param>
    /// <param name="scores">Scores.</param>
    /// <param name="share">rho, 0 to 1.</param>
    /// <exception cref="ArgumentException">The masks differ in shape or count.</exception>
    public static Mask Apply(Mask present, Mask wanted, float[] scores, double share)
    {
        ArgumentNullException.ThrowIfNull(present);
        ArgumentNullException.ThrowIfNull(wanted);
        ArgumentNullException.ThrowIfNull(scores);
        if (!present.Shape.SequenceEqual(wanted.Shape) || present.Length != scores.Length) throw new ArgumentException($"{present}, {wanted} and {scores.Length} scores.", nameof(wanted));
        List<int> enter = Only(wanted, present), leave = Only(present, wanted);
        if (enter.Count != leave.Count) throw new ArgumentException($"{enter.Count} entries would come for {leave.Count} that go.", nameof(wanted));
        int count = (int)Math.Ceiling(share * enter.Count - 1e-9);
        if (count == enter.Count) return wanted;
        ulong[] words = present.Words.ToArray();
        foreach (int i in enter.OrderByDescending(i => scores[i]).ThenBy(i => i).Take(count)) words[i >> 6] |= 1UL << (i & 63);
        foreach (int i in leave.OrderBy(i => scores[i]).ThenByDescending(i => i).Take(count)) words[i >> 6] &= ~(1UL << (i & 63));
        return Mask.FromWords(present.Shape, words);
    }

    private static List<int> Only(Mask here, Mask there)
    {
        var found = new List<int>();
        for (int w = 0; w < here.Words.Length; w++)
        {
            for (ulong bits = here.Words[w] & ~there.Words[w]; bits != 0; bits &= bits - 1) found.Add((w << 6) + BitOperations.TrailingZeroCount(bits));
        }
        return found;
    }
}

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
    public static bool[] Apply(bool[] present, bool[] wanted, float[] scores, double share)
    {
        ArgumentNullException.ThrowIfNull(present);
        ArgumentNullException.ThrowIfNull(wanted);
        ArgumentNullException.ThrowIfNull(scores);
        int[] enter = [.. Enumerable.Range(0, present.Length).Where(i => wanted[i] && !present[i])], leave = [.. Enumerable.Range(0, present.Length).Where(i => present[i] && !wanted[i])];
        if (enter.Length != leave.Length) throw new ArgumentException($"{enter.Length} entries would come for {leave.Length} that go.", nameof(wanted));
        bool[] result = (bool[])present.Clone();
        if (enter.Length == 0) return result;
        int count = (int)Math.Ceiling(share * enter.Length - 1e-9);
        foreach (int i in enter.OrderByDescending(i => scores[i]).ThenBy(i => i).Take(count)) result[i] = true;
        foreach (int i in leave.OrderBy(i => scores[i]).ThenByDescending(i => i).Take(count)) result[i] = false;
        return result;
    }
}

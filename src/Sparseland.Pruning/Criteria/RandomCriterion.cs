using Sparseland.Training;

namespace Sparseland.Pruning.Criteria;

/// <summary>Independent uniform scores: the baseline that every other criterion must beat. Counts stay exact.</summary>
/// <remarks>The numbers depend on (seed, layer name) alone, so that adding a layer does not change another layer's mask.</remarks>
public sealed class RandomCriterion : ICriterion
{
    /// <inheritdoc/>
    public string Id => "random";

    /// <inheritdoc/>
    public CriterionNeeds Needs => CriterionNeeds.None;

    /// <inheritdoc/>
    public ComparisonGroup Group => ComparisonGroup.Layer;

    /// <inheritdoc/>
    public float[] Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        SeededRandom random = ForLayer(input.Seed, input.Layer.Name);
        float[] scores = new float[input.Weights.Length];
        // 24 bits: every float in [0, 1) that is drawn is exact.
        for (int i = 0; i < scores.Length; i++) scores[i] = (random.NextUInt64() >> 40) * (1f / (1 << 24));
        return scores;
    }

    internal static SeededRandom ForLayer(long seed, string name, long purpose = 0)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in name) hash = (hash ^ c) * 1099511628211;
        return SeededRandom.Of(seed, (long)hash, purpose);
    }
}

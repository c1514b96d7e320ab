using System.Numerics.Tensors;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Regrowth;

/// <summary>What comes back? Higher scores are grown first.</summary>
public interface IRegrowth
{
    /// <summary>Stable name.</summary>
    string Id { get; }

    /// <summary>Whether a dense gradient is needed at the step of the exchange.</summary>
    bool NeedsGradient { get; }

    /// <summary>One score per weight, in the weight's own order; kept entries are ignored.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="gradient">Dense gradient, or null when none is needed.</param>
    /// <param name="seed">Seed of random growth.</param>
    /// <param name="step">The step of the exchange.</param>
    float[] Score(PrunableLayer layer, float[]? gradient, long seed, long step);
}

/// <summary>Grows where the gradient is largest: score = |dL/dw|, taken at all positions.</summary>
/// <remarks>Evci, Gale, Menick, Castro and Elsen, "Rigging the Lottery: Making All Tickets Winners" (RigL), ICML 2020, section 3, "Grow criterion".</remarks>
public sealed class GradientRegrowth : IRegrowth
{
    /// <inheritdoc/>
    public string Id => "gradient";

    /// <inheritdoc/>
    public bool NeedsGradient => true;

    /// <inheritdoc/>
    public float[] Score(PrunableLayer layer, float[]? gradient, long seed, long step)
    {
        ArgumentNullException.ThrowIfNull(gradient);
        var scores = new float[gradient.Length];
        TensorPrimitives.Abs(gradient, scores);
        return scores;
    }
}

/// <summary>Grows at random.</summary>
/// <remarks>Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science" (SET), Nature Communications 2018.</remarks>
public sealed class RandomRegrowth : IRegrowth
{
    /// <inheritdoc/>
    public string Id => "random";

    /// <inheritdoc/>
    public bool NeedsGradient => false;

    /// <inheritdoc/>
    public float[] Score(PrunableLayer layer, float[]? gradient, long seed, long step)
    {
        ArgumentNullException.ThrowIfNull(layer);
        Training.SeededRandom random = RandomCriterion.ForLayer(seed, layer.Name, step + 1);
        float[] scores = new float[layer.Length];
        for (int i = 0; i < scores.Length; i++) scores[i] = (random.NextUInt64() >> 40) * (1f / (1 << 24));
        return scores;
    }
}

using System.Numerics;

namespace Sparseland.Pruning.Criteria;

/// <summary>score = |w|.</summary>
/// <remarks>
/// Han, Pool, Tran and Dally, "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015, section 3.
/// Needs the weights alone.
/// </remarks>
public sealed class MagnitudeCriterion : ICriterion
{
    /// <inheritdoc/>
    public string Id => "magnitude";

    /// <inheritdoc/>
    public CriterionNeeds Needs => CriterionNeeds.None;

    /// <inheritdoc/>
    public ComparisonGroup Group => ComparisonGroup.Global;

    /// <inheritdoc/>
    public float[] Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return Of(input.Weights);
    }

    /// <summary>|w| of every weight.</summary>
    internal static float[] Of(ReadOnlySpan<float> weights)
    {
        // Not TensorPrimitives: from 256 KiB on that writes past the caches, and the ranking reads next.
        float[] magnitudes = GC.AllocateUninitializedArray<float>(weights.Length);
        int i = 0;
        for (; i + Vector<float>.Count <= magnitudes.Length; i += Vector<float>.Count) Vector.Abs(new Vector<float>(weights[i..])).CopyTo(magnitudes, i);
        for (; i < magnitudes.Length; i++) magnitudes[i] = MathF.Abs(weights[i]);
        return magnitudes;
    }
}

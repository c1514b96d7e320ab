namespace Sparseland.Pruning.Criteria;

/// <summary>score = |w * dL/dw|: how much the loss reacts to switching the connection off.</summary>
/// <remarks>
/// Lee, Ajanthan and Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019, section 4.1, equations 4 to 6.
/// The paper's division by the sum over all weights does not change the order and is left out. Needs gradients, hence labels.
/// </remarks>
public sealed class SnipCriterion : ICriterion
{
    /// <inheritdoc/>
    public string Id => "snip";

    /// <inheritdoc/>
    public CriterionNeeds Needs => CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients;

    /// <inheritdoc/>
    public ComparisonGroup Group => ComparisonGroup.Global;

    /// <inheritdoc/>
    public float[] Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        float[] gradient = input.Gradient ?? throw new ArgumentException("SNIP needs a gradient.", nameof(input));
        float[] scores = new float[input.Weights.Length];
        for (int i = 0; i < scores.Length; i++) scores[i] = MathF.Abs(input.Weights[i] * gradient[i]);
        return scores;
    }
}

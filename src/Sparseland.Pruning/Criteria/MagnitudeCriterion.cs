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
        return Array.ConvertAll(input.Weights, MathF.Abs);
    }
}

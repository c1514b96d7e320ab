namespace Sparseland.Pruning.Criteria;

/// <summary>score[o, i] = |W[o, i]| * ||X[:, i]||: magnitude times the norm of the input, compared within each output.</summary>
/// <remarks>
/// Sun, Liu, Bair and Kolter, "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024, section 3, equation 1.
/// Needs calibration inputs; needs no labels, no gradients.
/// </remarks>
public sealed class WandaCriterion : ICriterion
{
    /// <inheritdoc/>
    public string Id => "wanda";

    /// <inheritdoc/>
    public CriterionNeeds Needs => CriterionNeeds.Data | CriterionNeeds.InputNorms;

    /// <inheritdoc/>
    public ComparisonGroup Group => ComparisonGroup.Row;

    /// <inheritdoc/>
    public float[] Score(ScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        float[] norms = input.InputNorms ?? throw new ArgumentException("Wanda needs the norms of the layer's inputs.", nameof(input));
        int rows = input.Layer.Rows, columns = input.Layer.Columns;
        if (norms.Length != columns) throw new ArgumentException($"{norms.Length} norms for {columns} inputs.", nameof(input));
        float[] scores = new float[input.Weights.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                int at = input.Layer.OutputsFirst ? r * columns + c : c * rows + r;
                scores[at] = MathF.Abs(input.Weights[at]) * norms[c];
            }
        }
        return scores;
    }
}

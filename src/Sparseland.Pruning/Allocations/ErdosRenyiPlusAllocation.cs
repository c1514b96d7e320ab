using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Allocations;

/// <summary>ERK+: the classifier keeps a chosen density, ERK shares what is left among the other layers.</summary>
/// <remarks>
/// Liu et al., "The Unreasonable Effectiveness of Random Pruning", ICLR 2022, section 3.1 and appendix. A target so small that the classifier alone exceeds it cannot be
/// reached; the error names the smallest density that can.
/// </remarks>
/// <param name="classifier">Density of the last layer, above 0 and up to 1.</param>
/// <param name="power">Exponent on the ERK weights of the other layers.</param>
public sealed class ErdosRenyiPlusAllocation(double classifier = 1, double power = 1) : DensityAllocation
{
    private readonly double _classifier = classifier is > 0 and <= 1 ? classifier : throw new ArgumentOutOfRangeException(nameof(classifier), classifier, "Above 0, up to 1.");

    /// <inheritdoc/>
    public override string Id => "erk+";

    /// <inheritdoc/>
    protected override double[] Densities(IReadOnlyList<PrunableLayer> layers, double density)
    {
        ArgumentNullException.ThrowIfNull(layers);
        if (layers.Count < 2) return [.. layers.Select(_ => density)];
        // The network's own last layer where it is pruned, else the last of those that are.
        int last = layers.Count - 1;
        for (int l = 0; l < layers.Count; l++)
        {
            if (layers[l].IsLast) last = l;
        }
        double total = layers.Sum(l => (double)l.Length), rest = total - layers[last].Length, budget = density * total - _classifier * layers[last].Length;
        if (budget < 0)
        {
            throw new PruningException("SL4004", $"erk+ cannot reach a sparsity of {1 - density:P2}")
            {
                Because = $"the classifier alone keeps {_classifier * layers[last].Length:N0} of {total:N0} weights",
                Try = $"at most {1 - _classifier * layers[last].Length / total:P2}, or the allocation erk",
            };
        }
        PrunableLayer[] others = [.. layers.Where((_, l) => l != last)];
        double[] solved = new ErdosRenyiAllocation(power: power).Solve(others, Math.Min(1, budget / rest)), result = new double[layers.Count];
        for (int l = 0, o = 0; l < result.Length; l++) result[l] = l == last ? _classifier : solved[o++];
        return result;
    }
}

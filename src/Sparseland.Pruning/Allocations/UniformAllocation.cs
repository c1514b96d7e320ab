using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Allocations;

/// <summary>Every layer keeps the same share.</summary>
/// <remarks>Zhu and Gupta, "To prune, or not to prune", 2017, section 3.</remarks>
public sealed class UniformAllocation : DensityAllocation
{
    /// <inheritdoc/>
    public override string Id => "uniform";

    /// <inheritdoc/>
    protected override double[] Densities(IReadOnlyList<PrunableLayer> layers, double density)
    {
        ArgumentNullException.ThrowIfNull(layers);
        return [.. layers.Select(_ => density)];
    }
}

/// <summary>The first convolution stays dense, the last layer keeps at least a fifth, the others share one density.</summary>
/// <remarks>Gale, Elsen and Hooker, "The State of Sparsity in Deep Neural Networks", 2019, section 5; in the form of the LAMP authors (ICLR 2021).</remarks>
public sealed class UniformPlusAllocation : DensityAllocation
{
    /// <inheritdoc/>
    public override string Id => "uniform+";

    /// <inheritdoc/>
    protected override double[] Densities(IReadOnlyList<PrunableLayer> layers, double density)
    {
        ArgumentNullException.ThrowIfNull(layers);
        double[] densities = new double[layers.Count];
        if (layers.Count == 0) return densities;
        double budget = Selection.ExactSelection.Count(density, layers.Sum(l => (long)l.Length));
        double fixedKeep = 0, rest = layers.Sum(l => (double)l.Length);
        int last = layers.Count - 1;
        bool firstDense = layers[0].Shape.Count >= 3;
        if (firstDense)
        {
            densities[0] = 1;
            fixedKeep += layers[0].Length;
            rest -= layers[0].Length;
        }
        if (rest == 0) return densities;
        double share = (budget - fixedKeep) / rest;
        if (share < 0.2 && last > 0)
        {
            double least = Math.Round(0.2 * layers[last].Length, MidpointRounding.ToEven);
            densities[last] = least / layers[last].Length;
            fixedKeep += least;
            rest -= layers[last].Length;
            share = rest > 0 ? (budget - fixedKeep) / rest : 0;
        }
        if (share < 0)
        {
            double total = layers.Sum(l => (double)l.Length);
            throw new PruningException("SL4004", $"uniform+ cannot reach a sparsity of {1 - density:P2}")
            {
                Because = $"the dense first layer and a fifth of the last alone are {fixedKeep:N0} weights",
                Try = $"at most {1 - fixedKeep / total:P2}, or the allocation erk",
            };
        }
        for (int l = 0; l < densities.Length; l++)
        {
            if (densities[l] == 0) densities[l] = share;
        }
        return densities;
    }
}

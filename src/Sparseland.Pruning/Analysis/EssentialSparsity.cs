using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;

namespace Sparseland.Pruning.Analysis;

/// <summary>Quality of one-shot pruned models by sparsity.</summary>
/// <param name="Name">How they were pruned.</param>
/// <param name="Levels">Sparsities, ascending from 0.</param>
/// <param name="Qualities">Quality at each level, higher is better: accuracy, or the inverse of the perplexity.</param>
public sealed record SparsityCurve(string Name, IReadOnlyList<double> Levels, IReadOnlyList<double> Qualities)
{
    /// <summary>The largest level whose quality is within a tolerance of the dense one: essential sparsity.</summary>
    /// <param name="tolerance">Largest loss of quality.</param>
    /// <param name="relative">Whether the tolerance is a share of the dense quality or an absolute difference.</param>
    public double Essential(double tolerance = 0.01, bool relative = true) => EssentialSparsity.Largest(Levels, Qualities, tolerance, relative);

    /// <summary>The level at which the slope of the curve grows most.</summary>
    public double Knee => EssentialSparsity.Knee(Levels, Qualities);
}

/// <summary>How much of a trained model one-shot magnitude pruning may take before quality falls off.</summary>
/// <remarks>
/// Jaiswal, Liu, Chen and Wang, "The Emergence of Essential Sparsity in Large Pre-trained Models: The Weights that Matter", NeurIPS 2023, section 3.1 (definition) and 3.2 (sweep). The
/// tolerance of 1 % is that of a published summary of the paper. The knee, and controls by random and uniform masks, are the toolkit's.
/// </remarks>
public static class EssentialSparsity
{
    /// <summary>The largest level whose quality is within a tolerance of that of the first level.</summary>
    /// <param name="levels">Sparsities, the dense model first.</param>
    /// <param name="qualities">Quality at each level, higher is better.</param>
    /// <param name="tolerance">Largest loss of quality, 0 or more.</param>
    /// <param name="relative">Whether the tolerance is a share of the dense quality or an absolute difference.</param>
    /// <exception cref="ArgumentException">The lists are empty or differ in length.</exception>
    public static double Largest(IReadOnlyList<double> levels, IReadOnlyList<double> qualities, double tolerance = 0.01, bool relative = true)
    {
        Check(levels, qualities);
        double least = relative ? qualities[0] - tolerance * Math.Abs(qualities[0]) : qualities[0] - tolerance, largest = levels[0];
        for (int i = 1; i < levels.Count; i++)
        {
            // 1e-12 is the rounding of the comparison, not a tolerance.
            if (qualities[i] >= least - 1e-12 * Math.Abs(least) && levels[i] > largest) largest = levels[i];
        }
        return largest;
    }

    /// <summary>The level after which quality falls faster than before by the largest difference of slopes; the first of equals; NaN for fewer than three levels.</summary>
    /// <exception cref="ArgumentException">The lists are empty or differ in length.</exception>
    public static double Knee(IReadOnlyList<double> levels, IReadOnlyList<double> qualities)
    {
        Check(levels, qualities);
        double knee = double.NaN, most = double.NegativeInfinity;
        for (int i = 1; i + 1 < levels.Count; i++)
        {
            double before = (qualities[i - 1] - qualities[i]) / (levels[i] - levels[i - 1]), after = (qualities[i] - qualities[i + 1]) / (levels[i + 1] - levels[i]);
            if (after - before > most) (most, knee) = (after - before, levels[i]);
        }
        return knee;
    }

    /// <summary>Prunes a copy of a model in one shot.</summary>
    /// <param name="graph">The model; it is not changed.</param>
    /// <param name="settings">Sparsity, pattern, policy, seed; the bounds are not used: the sweep wants the plain threshold.</param>
    /// <param name="how"><c>magnitude</c> (one threshold over all layers), <c>uniform</c> (the smallest of every layer), <c>random</c> (the counts of magnitude, positions at random) or <c>random-erk</c>.</param>
    /// <exception cref="ArgumentException">Another word.</exception>
    public static ModelGraph Prune(ModelGraph graph, PruningSettings settings, string how = "magnitude")
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(settings);
        settings = settings with { Bounds = LayerBounds.None };
        ModelGraph copy = graph.Clone();
        PruningTarget target = PruningTarget.Of(copy);
        switch (how)
        {
            case "magnitude":
                Score(new MagnitudeCriterion(), new GlobalAllocation()).Apply(target);
                break;
            case "uniform":
                Score(new MagnitudeCriterion(), new UniformAllocation()).Apply(target);
                break;
            case "random-erk":
                Score(new RandomCriterion(), new ErdosRenyiAllocation()).Apply(target);
                break;
            case "random":
                // The counts that magnitude gives each layer; only the positions are random.
                PruningTarget model = PruningTarget.Of(graph.Clone());
                PruningResult counts = Score(new MagnitudeCriterion(), new GlobalAllocation()).Apply(model);
                new ScoredPruning("random", PruningStage.After, settings, new RandomCriterion(), new FixedCounts([.. counts.Layers.Select(l => l.After)])).Apply(target);
                break;
            default:
                throw new ArgumentException($"There is no way '{how}' to prune in a sweep.", nameof(how));
        }
        return copy;

        ScoredPruning Score(ICriterion criterion, IAllocation allocation) => new(criterion.Id, PruningStage.After, settings, criterion, allocation);
    }

    /// <summary>Share of the weights whose magnitude is below a threshold: over checkpoints of a training it jumps where a network becomes sparse by itself (section 4.3).</summary>
    /// <param name="graph">The model.</param>
    /// <param name="threshold">The threshold; the paper's is not known.</param>
    /// <param name="policy">Which layers count.</param>
    public static double SmallShare(ModelGraph graph, double threshold, LayerPolicy? policy = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        long small = 0, all = 0;
        foreach (PrunableLayer layer in (policy ?? new LayerPolicy()).Apply(LayerDiscovery.Find(graph)).Layers)
        {
            foreach (float w in graph.Weights[layer.Name].Read().ToSingles())
            {
                all++;
                if (Math.Abs(w) < threshold) small++;
            }
        }
        return all == 0 ? 0 : (double)small / all;
    }

    private static void Check(IReadOnlyList<double> levels, IReadOnlyList<double> qualities)
    {
        ArgumentNullException.ThrowIfNull(levels);
        ArgumentNullException.ThrowIfNull(qualities);
        if (levels.Count == 0 || levels.Count != qualities.Count) throw new ArgumentException("There must be one quality per level, and at least one.", nameof(qualities));
    }

    private sealed class FixedCounts(int[] counts) : IAllocation
    {
        public string Id => "fixed";

        public AllocationResult Allocate(AllocationRequest request) => new(counts, []);
    }
}

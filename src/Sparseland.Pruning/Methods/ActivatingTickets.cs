using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Selection;

namespace Sparseland.Pruning.Methods;

/// <summary>Activating while pruning: each round of iterative magnitude pruning spends a small part of its removals on negative weights that moved least, which wakes ReLU units.</summary>
/// <remarks>
/// Liu et al., "Selective Activation for De-sparsifying Pruned Neural Networks", TMLR 2023, section 4 and algorithm 1. Per round with rate p and AP share q of the weights alive: train from the start weights; the base method (one global
/// magnitude threshold) removes p - q; of the survivors with a negative trained value the floor(q alive) with the smallest |w_end - w_start| go too; survivors go back to the start. With fewer negative weights alive all of them go and the base method
/// takes the rest. The next round's training is the retraining, as in the lottery setting. With q = 0 it is iterative magnitude pruning. For networks of ReLU units whose inputs are not negative.
/// </remarks>
public sealed class ActivatingTickets : TrainingProgram
{
    private readonly int _rounds;
    private readonly double _share;

    /// <summary>Makes the method.</summary>
    /// <param name="settings">What every method is told.</param>
    /// <param name="rounds">Rounds, n; each removes the same share p = 1 - d^(1/n) of what is left.</param>
    /// <param name="share">q / p: the part of each round's removals that is spent on negative weights, 0 to 1.</param>
    public ActivatingTickets(PruningSettings settings, int rounds, double share) : base("ap", PruningStage.Before, settings)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rounds, 1);
        if (share is not (>= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(share), share, "0 to 1.");
        (_rounds, _share) = (rounds, share);
    }

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "ap",
        Title = "Activating while pruning (AP)",
        Paper = "Liu et al.: Selective Activation for De-sparsifying Pruned Neural Networks, Transactions on Machine Learning Research 2023",
        Section = "section 4, algorithm 1",
        Description = "iterative magnitude pruning that also removes the negative weights that moved least, so that fewer ReLU units are dead",
        Stage = PruningStage.Before,
        Path = TrainingPath.DenseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Retraining,
        Parameters =
        [
            new("rounds", ParameterType.Integer, "10", "rounds of training and pruning before the ticket is trained") { Min = 1, Max = 1000 },
            new("share", ParameterType.Share, "0.1", "part of each round's removals that goes to negative weights that moved least") { Min = 0, Max = 1 },
        ],
        DefaultSparsity = 0.9,
        Create = r => new ActivatingTickets(r.Settings, r.Arguments.Int("rounds"), r.Arguments.Number("share")),
    };

    /// <inheritdoc/>
    public override double Trainings => _rounds + 1;

    /// <inheritdoc/>
    public override PruningResult Run(ProgramRun run)
    {
        ArgumentNullException.ThrowIfNull(run);
        LayerPlan plan = Plan(run.Target);
        if (plan.Layers.Count == 0) return Describe(run.Target, plan);
        Dictionary<string, int> before = plan.Layers.ToDictionary(l => l.Name, run.Target.KeptCount);
        ModelSnapshot start = run.Train("dense", null, null, 0).State(0);
        for (int round = 1; round <= _rounds; round++)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            float[][] trained = [.. plan.Layers.Select(run.Target.Values)];
            float[][] initial = [.. plan.Layers.Select(l => start.Values(l.Name).ToArray())];
            bool[][] alive = [.. plan.Layers.Select(l => run.Target.Mask(l)?.ToFlags() ?? [.. Enumerable.Repeat(true, l.Length)])];
            long kept = alive.Sum(a => a.LongCount(k => k)), target = ExactSelection.Count(Math.Pow(Settings.Density, (double)round / _rounds), plan.Length);
            if (target < kept)
            {
                bool[][] masks = Prune(plan.Layers, trained, initial, alive, target, (long)Math.Floor(_share * (kept - target) + 1e-9), Settings.Bounds);
                for (int l = 0; l < masks.Length; l++) run.Target.SetMask(plan.Layers[l], Mask.FromFlags(plan.Layers[l].Shape.ToArray(), masks[l]));
            }
            start.Rewind(run.Model);
            run.Train(round == _rounds ? "ticket" : string.Create(CultureInfo.InvariantCulture, $"round-{round}"));
        }
        return Describe(run.Target, plan, before);
    }

    /// <summary>What one round keeps.</summary>
    /// <param name="layers">The layers.</param>
    /// <param name="trained">Weights at the end of the round's training.</param>
    /// <param name="initial">Weights at its start.</param>
    /// <param name="alive">Entries that are there.</param>
    /// <param name="keep">Weights that stay in all.</param>
    /// <param name="negatives">Of the removals, how many are spent on negative weights.</param>
    /// <param name="bounds">Floors and ceilings; hold for the base method, and no layer loses its last weight to the second step.</param>
    internal static bool[][] Prune(IReadOnlyList<PrunableLayer> layers, float[][] trained, float[][] initial, bool[][] alive, long keep, long negatives, LayerBounds bounds)
    {
        float[][] magnitudes = [.. trained.Select(w => Array.ConvertAll(w, MathF.Abs))];
        long total = layers.Sum(l => (long)l.Length);
        bool[][] Base(long count)
        {
            IReadOnlyList<int> shares = new GlobalAllocation().Allocate(new AllocationRequest(layers, (double)count / total) { Scores = magnitudes, Alive = alive, Bounds = bounds }).Keep;
            return [.. magnitudes.Select((m, l) => ExactSelection.KeepBest(m, shares[l], alive[l]))];
        }
        bool[][] kept = Base(keep + negatives);
        while (negatives > 0)
        {
            int[] left = [.. kept.Select(k => k.Count(x => x))];
            (int Layer, int Index)[] candidates = [.. kept.SelectMany((k, l) => Enumerable.Range(0, k.Length).Where(i => k[i] && trained[l][i] < 0).Select(i => (l, i)))
                .OrderBy(c => MathF.Abs(trained[c.l][c.i] - initial[c.l][c.i])).ThenByDescending(c => c.l).ThenByDescending(c => c.i)];
            var removed = new List<(int Layer, int Index)>();
            foreach ((int layer, int index) in candidates)
            {
                if (removed.Count == negatives) break;
                if (left[layer] <= Math.Max(1, Math.Min(left[layer], bounds.Floor(layers[layer].Length, (double)keep / total)))) continue;
                left[layer]--;
                removed.Add((layer, index));
            }
            if (removed.Count == negatives)
            {
                foreach ((int layer, int index) in removed) kept[layer][index] = false;
                return kept;
            }
            // Too few negative weights: all of them go, the base method takes the rest.
            negatives = removed.Count;
            kept = Base(keep + negatives);
        }
        return kept;
    }
}

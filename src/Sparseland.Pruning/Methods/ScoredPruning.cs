using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Probing;
using Sparseland.Pruning.Schedules;
using Sparseland.Pruning.Selection;

namespace Sparseland.Pruning.Methods;

/// <summary>How often weights are scored until the target is reached.</summary>
/// <param name="Count">Rounds, at least 1.</param>
public sealed record ScoringRounds(int Count = 1)
{
    /// <summary>Whether the density falls by the same factor per round (d^(t/T)); otherwise by the same amount.</summary>
    public bool Exponential { get; init; } = true;

    /// <summary>Whether a weight that an earlier round removed may come back in a later one; masks are set when all rounds are done.</summary>
    public bool Revival { get; init; }

    /// <summary>Sparsity after round t of 1 to <see cref="Count"/>.</summary>
    public double SparsityAfter(int round, double sparsity) => round >= Count
        ? sparsity
        : Exponential ? new ExponentialRamp(0, sparsity, 0, Count, 1).At(round) : new LinearRamp(0, sparsity, 0, Count, 1).At(round);
}

/// <summary>One-shot pruning: score every weight, share the budget out, keep the best; once, or in rounds that score again under the masks so far.</summary>
/// <remarks>Nothing is trained. The methods of the catalogue that are built on it name their papers.</remarks>
/// <param name="id">The method's id.</param>
/// <param name="stage">When it acts.</param>
/// <param name="settings">What every method is told.</param>
/// <param name="criterion">Scores.</param>
/// <param name="allocation">Budgets; not used by N:M patterns.</param>
/// <param name="rounds">Rounds of scoring; null = one.</param>
public sealed class ScoredPruning(string id, PruningStage stage, PruningSettings settings, INetworkCriterion criterion, IAllocation allocation, ScoringRounds? rounds = null) : OneShotSparsifier(id, stage, settings)
{
    private readonly ScoringRounds _rounds = rounds is null || rounds.Count >= 1 ? rounds ?? new ScoringRounds() : throw new ArgumentOutOfRangeException(nameof(rounds), rounds.Count, "At least 1.");

    /// <summary>Scores layer by layer, once.</summary>
    /// <param name="id">The method's id.</param>
    /// <param name="stage">When it acts.</param>
    /// <param name="settings">What every method is told.</param>
    /// <param name="criterion">Scores.</param>
    /// <param name="allocation">Budgets; not used by N:M patterns.</param>
    /// <param name="batches">Batches over which gradients are averaged, for criteria that need gradients.</param>
    public ScoredPruning(string id, PruningStage stage, PruningSettings settings, ICriterion criterion, IAllocation allocation, int batches = 1)
        : this(id, stage, settings, new LayerwiseScoring(criterion, batches), allocation)
    {
    }

    /// <summary>The criterion.</summary>
    public INetworkCriterion Criterion => criterion;

    /// <summary>The allocation.</summary>
    public IAllocation Allocation => allocation;

    /// <inheritdoc/>
    public override CriterionNeeds Requires => criterion.Needs | allocation.Needs;

    /// <inheritdoc/>
    public override PruningResult Apply(PruningTarget target, PruningContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(target);
        context ??= new PruningContext();
        LayerPlan plan = Plan(target);
        IReadOnlyList<PrunableLayer> layers = plan.Layers;
        if (layers.Count == 0) return Describe(target, plan);
        CriterionNeeds needs = Requires;
        if (needs != CriterionNeeds.None && target.Model is null) throw Needs("a model that can be run");
        if (needs.HasFlag(CriterionNeeds.Data) && context.Data is null) throw Needs(needs.HasFlag(CriterionNeeds.Labels) ? "labelled data" : "data");
        if (needs.HasFlag(CriterionNeeds.Labels) && context.Data is { Dataset.TargetsPerSample: 0 }) throw Needs("labelled data; these samples have no labels");
        bool fixedPattern = Settings.Pattern.Kind == SparsityKind.NofM;
        int count = fixedPattern ? 1 : _rounds.Count;
        Mask?[] original = [.. layers.Select(target.Mask)], present = [.. original];
        float[][] weights = [.. layers.Select(target.Values)];
        for (int l = 0; l < layers.Count; l++) RequireFinite(weights[l], layers[l]);
        (Mask[] Masks, string?[] Notes, IReadOnlyList<string> Warnings) made = ([], [], []);
        float[][] scores = [];
        // A network that is as sparse already as a round asks for skips that round.
        long kept = layers.Sum(l => (long)target.KeptCount(l));
        using (NetworkProbe? probe = needs == CriterionNeeds.None ? null : new NetworkProbe(target.Model!, context))
        {
            for (int round = 1; round <= count; round++)
            {
                context.Cancellation.ThrowIfCancellationRequested();
                double sparsity = fixedPattern ? Settings.Sparsity : _rounds.SparsityAfter(round, Settings.Sparsity);
                if (round < count && ExactSelection.Count(1 - sparsity, plan.Length) >= kept) continue;
                var input = new NetworkScoreInput(layers, weights) { Alive = [.. present.Select(m => m?.ToFlags())], Probe = probe, Round = round - 1, Seed = Settings.Seed };
                probe?.SetValues(layers, [.. layers.Select((_, l) => input.Masked(l))]);
                scores = criterion.Score(input);
                for (int l = 0; l < layers.Count; l++) RequireFinite(scores[l], layers[l], criterion.Id);
                made = MaskMaker.Make(layers, Settings.Pattern, 1 - sparsity, allocation, Settings.Bounds, scores, weights, _rounds.Revival ? original : present, probe, Settings.Seed);
                present = [.. made.Masks];
                context.Progress?.Report(new PruningProgress(round, count, count == 1 ? "scores" : $"round {round} of {count}"));
            }
        }
        var outcomes = new List<LayerOutcome>(layers.Count);
        for (int l = 0; l < layers.Count; l++)
        {
            int before = target.KeptCount(layers[l]);
            if (made.Masks[l].KeptCount < before) target.SetMask(layers[l], made.Masks[l]);
            (float lowest, float highest) = Range(scores[l], made.Masks[l], original[l]);
            outcomes.Add(new LayerOutcome(layers[l], before, made.Masks[l].KeptCount, lowest, highest, made.Notes[l]));
        }
        return new PruningResult(Id, fixedPattern ? null : Settings.Sparsity, outcomes, [.. plan.Decisions.Where(d => !d.IsPruned)], made.Warnings);
    }

    /// <summary>A NaN would rank last and be pruned in silence: it is an error instead.</summary>
    internal static void RequireFinite(float[] values, PrunableLayer layer, string? criterion = null)
    {
        int bad = Array.FindIndex(values, w => !float.IsFinite(w));
        if (bad < 0) return;
        throw new PruningException("SL4013", criterion is null ? $"weight '{layer.Name}' holds {values[bad]} at index {bad}" : $"'{criterion}' scores weight '{layer.Name}' with {values[bad]} at index {bad}")
        {
            Because = criterion is null ? "scores of values that are not finite mean nothing" : "the loss or its gradient is not finite on this data",
            Try = criterion is null ? "train again with a smaller learning rate, or leave the layer out with --ignore" : "check the data for NaN, or another criterion",
        };
    }

    private static (float LowestKept, float HighestRemoved) Range(float[] scores, Mask mask, Mask? before)
    {
        float lowest = float.NaN, highest = float.NaN;
        for (int i = 0; i < scores.Length; i++)
        {
            if (mask[i])
            {
                if (!(scores[i] >= lowest)) lowest = scores[i];
            }
            else if ((before is null || before[i]) && !(scores[i] <= highest))
            {
                highest = scores[i];
            }
        }
        return (lowest, highest);
    }
}

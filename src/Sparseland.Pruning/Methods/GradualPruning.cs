using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Schedules;
using Sparseland.Pruning.Selection;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Methods;

/// <summary>Gradual magnitude pruning: the sparsity rises along a schedule while the network is trained; what is removed stays removed.</summary>
/// <remarks>
/// Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", 2017, section 3. The paper uses the same
/// sparsity in every layer (allocation uniform); the global threshold is the stronger variant and the default of the catalogue.
/// Updates happen before the forward pass of their step; the state is the masks and the step, so there is nothing else to save.
/// </remarks>
/// <param name="settings">What every method is told.</param>
/// <param name="schedule">Sparsity by step.</param>
/// <param name="criterion">Scores from the weights alone.</param>
/// <param name="allocation">Budgets.</param>
public sealed class GradualPruning(PruningSettings settings, ISchedule schedule, ICriterion criterion, IAllocation allocation) : TrainingSparsifier("gmp", settings)
{
    private readonly ICriterion _criterion = criterion.Needs == CriterionNeeds.None ? criterion : throw new ArgumentException($"'{criterion.Id}' needs more than the weights.", nameof(criterion));

    /// <summary>Sparsity by step.</summary>
    public ISchedule Schedule => schedule;

    /// <inheritdoc/>
    public override void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStart(context);
        if (schedule is IntervalSchedule interval && interval.Last >= context.TotalSteps)
        {
            throw new PruningException("SL4008", $"the sparsity would rise until step {interval.Last}, the run has {context.TotalSteps} steps")
            {
                Try = "an earlier end or a longer run",
            };
        }
    }

    /// <inheritdoc/>
    public override void OnStepStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (!schedule.IsUpdate(context.Step)) return;
        double sparsity = schedule.At(context.Step);
        if (sparsity <= 0) return;
        IReadOnlyList<PrunableLayer> layers = LayerPlan.Layers;
        Mask?[] present = [.. layers.Select(Target.Mask)];
        // A model that is sparser already (a restart with masks) is left as it is: density never rises.
        long kept = layers.Sum(l => (long)Target.KeptCount(l)), wanted = ExactSelection.Count(1 - sparsity, LayerPlan.Length);
        if (Settings.Pattern.Kind == SparsityKind.Unstructured && kept <= wanted) return;
        float[][] weights = [.. layers.Select(Target.Values)];
        float[][] scores = [.. layers.Select((l, i) => _criterion.Score(new ScoreInput(l, weights[i]) { Seed = Settings.Seed }))];
        (Mask[] masks, string?[] notes, IReadOnlyList<string> warnings) = MaskMaker.Make(layers, Settings.Pattern, 1 - sparsity, allocation, Settings.Bounds, scores, weights, present);
        for (int l = 0; l < layers.Count; l++)
        {
            if (masks[l].KeptCount < Target.KeptCount(layers[l])) Target.SetMask(layers[l], masks[l]);
            if (notes[l] is { } note) Warn($"{layers[l].Name}: {note}");
        }
        // Floors on the way are normal; what matters is who needed one at the end.
        if (sparsity >= Settings.Sparsity) foreach (string warning in warnings) Warn(warning);
    }
}

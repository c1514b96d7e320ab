using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
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

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "gmp",
        Title = "Gradual magnitude pruning",
        Paper = "Zhu and Gupta: To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017",
        Section = "section 3, equation 1",
        Description = "raises the sparsity along a cubic curve while the network is trained",
        Stage = PruningStage.During,
        Path = TrainingPath.DenseToSparse,
        Granularities = SharedParameters.AnyMask,
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels,
        Parameters =
        [
            .. SharedParameters.Allocations,
            new("schedule", ParameterType.Choice, "cubic", "shape of the rise") { Choices = ["cubic", "linear", "exponential", "one-shot"], OpenCounts = true },
            new("initial", ParameterType.Share, "0", "sparsity at the first update") { Min = 0, Max = 0.999, OpenCounts = true },
            new("start", ParameterType.Share, "0.05", "where in the run the rise begins") { Min = 0, Max = 1 },
            new("end", ParameterType.Share, "0.7", "where in the run the final sparsity is reached") { Min = 0, Max = 1, OpenCounts = true },
            SharedParameters.Interval with { Default = "10", OpenCounts = true },
        ],
        DefaultSparsity = 0.9,
        Create = Create,
    };

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
    public override IReadOnlyList<string> Foresee(long steps) => schedule is IntervalSchedule ramp && OneCut(ramp) is { } sentence ? [sentence] : [];

    /// <summary>What to say of a rise that is one step high although it was to be gradual; null when it is not, or was to be one cut.</summary>
    internal static string? OneCut(IntervalSchedule ramp) => ramp.Last > ramp.First && ramp.Interval >= ramp.Last - ramp.First
        ? $"the sparsity rises in one cut, at step {ramp.Last}: the interval of {ramp.Interval} steps is as long as the rise from step {ramp.First}; give a smaller interval or a longer run"
        : null;

    /// <inheritdoc/>
    public override void OnStepStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (!schedule.IsUpdate(context.Step)) return;
        PruneTo(Target, LayerPlan, Settings, schedule.At(context.Step), _criterion, allocation, Warn);
    }

    /// <summary>Cuts to a sparsity by scores from the weights; a model that is sparser already (a restart with masks) is left as it is: density never rises.</summary>
    internal static void PruneTo(PruningTarget target, LayerPlan plan, PruningSettings settings, double sparsity, ICriterion criterion, IAllocation allocation, Action<string> warn)
    {
        if (sparsity <= 0) return;
        IReadOnlyList<PrunableLayer> layers = plan.Layers;
        Mask?[] present = [.. layers.Select(target.Mask)];
        long kept = layers.Sum(l => (long)target.KeptCount(l)), wanted = ExactSelection.Count(1 - sparsity, plan.Length);
        if (settings.Pattern.Kind == SparsityKind.Unstructured && kept <= wanted) return;
        float[][] weights = [.. layers.Select(target.Values)];
        float[][] scores = [.. layers.Select((l, i) => criterion.Score(new ScoreInput(l, weights[i]) { Seed = settings.Seed }))];
        (Mask[] masks, string?[] notes, IReadOnlyList<string> warnings) = MaskMaker.Make(layers, settings.Pattern, 1 - sparsity, allocation, settings.Bounds, scores, weights, present);
        for (int l = 0; l < layers.Count; l++)
        {
            if (masks[l].KeptCount < target.KeptCount(layers[l])) target.SetMask(layers[l], masks[l]);
            if (notes[l] is { } note) warn($"{layers[l].Name}: {note}");
        }
        // Floors on the way are normal; what matters is who needed one at the end.
        if (sparsity >= settings.Sparsity) foreach (string warning in warnings) warn(warning);
    }

    private static GradualPruning Create(MethodRequest r)
    {
        long steps = r.RequireRun("gmp");
        long first = (long)Math.Round(steps * r.Arguments.Number("start")), last = Math.Min(steps - 1, (long)Math.Round(steps * r.Arguments.Number("end")));
        if (last < first) throw new PruningException("SL4002", "'end' lies before 'start'") { Try = "start 0.05 and end 0.7, for example" };
        double initial = r.Arguments.Number("initial"), final = r.Settings.Sparsity;
        if (initial > final) throw new PruningException("SL4002", $"the initial sparsity of {initial:P0} exceeds the final one of {final:P0}");
        int interval = r.Arguments.Int("interval");
        ISchedule schedule = r.Settings.Pattern.Kind == SparsityKind.NofM ? new OneShot(Math.Max(final, 1e-9), first) : r.Arguments.Choice("schedule") switch
        {
            "cubic" => new CubicRamp(initial, final, first, last, interval),
            "linear" => new LinearRamp(initial, final, first, last, interval),
            "exponential" => new ExponentialRamp(initial, final, first, last, interval),
            _ => new OneShot(final, first),
        };
        return new GradualPruning(r.Settings, schedule, new MagnitudeCriterion(), r.Allocation);
    }
}

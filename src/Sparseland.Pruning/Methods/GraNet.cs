using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Regrowth;
using Sparseland.Pruning.Schedules;
using Sparseland.Pruning.Selection;
using Sparseland.Training;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Methods;

/// <summary>GraNet: gradual magnitude pruning in which, after every cut, a share of each layer's weights is replaced by new ones where the gradient is largest.</summary>
/// <remarks>
/// Liu et al., "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration", NeurIPS 2021, section 4 and algorithm 1. Starts dense, or sparse with a random ERK mask. An update comes after the
/// optimizer's step: (a) from the start to the end of the ramp one threshold cuts to the cubic curve's sparsity; (b) to the end of the training ceil(r_t active) of every layer's smallest
/// weights go and as many come among all that are off, by |g| of the step's batch; r_t falls from r_0 to 0.005 along half a cosine and is never 0. New weights start at 0; those that (b) took and gave back at once keep their value.
/// Difference to the authors' code: the ramp's last update is made, so that the target is met exactly (theirs ends one update earlier).
/// </remarks>
public sealed class GraNet : TrainingSparsifier
{
    private const double LeastShare = 0.005;
    private readonly CubicRamp _ramp;
    private readonly double _initial, _share;
    private readonly IAllocation _allocation;
    private readonly GradientRegrowth _regrowth = new();
    private bool _initialised;
    private long _exchanged;

    /// <summary>Composes the method.</summary>
    /// <param name="settings">What every method is told; unstructured patterns only.</param>
    /// <param name="initial">Sparsity at the start: 0 is dense-to-sparse, 0.5 the paper's sparse-to-sparse.</param>
    /// <param name="first">First step of the ramp.</param>
    /// <param name="last">Last step of the ramp.</param>
    /// <param name="interval">Steps between updates.</param>
    /// <param name="share">r_0: share of a layer's weights that is replaced at first; 0 replaces nothing, which is gradual magnitude pruning.</param>
    /// <param name="allocation">How a cut is shared out.</param>
    public GraNet(PruningSettings settings, double initial, long first, long last, int interval, double share, IAllocation allocation) : base("granet", settings)
    {
        ArgumentNullException.ThrowIfNull(allocation);
        if (initial > settings.Sparsity) throw new PruningException("SL4002", $"the initial sparsity of {initial:P0} exceeds the final one of {settings.Sparsity:P0}") { Try = $"initial {settings.Sparsity:0.##} or less" };
        if (settings.Pattern.Kind != SparsityKind.Unstructured) throw new PruningException("SL4009", $"'granet' exchanges single weights; the pattern {settings.Pattern} is not possible") { Try = "the pattern unstructured, or the method gmp" };
        _ramp = new CubicRamp(initial, settings.Sparsity, first, last, interval);
        _initial = initial;
        _share = share is >= 0 and <= 1 ? share : throw new ArgumentOutOfRangeException(nameof(share), share, "0 to 1.");
        _allocation = allocation;
    }

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "granet",
        Title = "GraNet",
        Paper = "Liu et al.: Sparse Training via Boosting Pruning Plasticity with Neuroregeneration, NeurIPS 2021",
        Section = "section 4, algorithm 1",
        Description = "raises the sparsity along a cubic curve and replaces small weights by new ones where the gradient is large",
        Stage = PruningStage.During,
        Path = TrainingPath.DenseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Connectivity = new Connectivity("smallest magnitudes of each layer", "largest dense gradients, from zero", "every interval, a share that falls along a cosine to 0.5 %", "the end of the training"),
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients,
        Parameters =
        [
            .. SharedParameters.Allocations,
            new("initial", ParameterType.Share, "0.5", "sparsity at the first step, drawn at random with ERK, at most the final one; 0 starts dense") { Min = 0, Max = 0.999 },
            new("start", ParameterType.Share, "0", "where in the run the rise begins") { Min = 0, Max = 1 },
            new("end", ParameterType.Share, "0.5", "where in the run the final sparsity is reached") { Min = 0, Max = 1 },
            new("share", ParameterType.Share, "0.5", "share of a layer's weights that is replaced at first") { Min = 0, Max = 1 },
            SharedParameters.Interval,
        ],
        DefaultSparsity = 0.9,
        Create = r =>
        {
            long steps = r.RequireRun("granet"), first = (long)Math.Round(steps * r.Arguments.Number("start")), last = Math.Min(steps - 1, (long)Math.Round(steps * r.Arguments.Number("end")));
            if (last < first) throw new PruningException("SL4002", "'end' lies before 'start'") { Try = "start 0 and end 0.5, for example" };
            // The default gives way to a lower target; a value that was asked for does not.
            double initial = r.Arguments.IsGiven("initial") ? r.Arguments.Number("initial") : Math.Min(r.Arguments.Number("initial"), r.Settings.Sparsity);
            return new GraNet(r.Settings, initial, first, last, r.Arguments.Int("interval"), r.Arguments.Number("share"), r.Allocation);
        },
    };

    /// <summary>Weights that were exchanged so far.</summary>
    public long Exchanged => _exchanged;

    /// <summary>The sparsity that the ramp asks for at a step.</summary>
    public double SparsityAt(long step) => step < _ramp.First ? _initial : _ramp.At(step);

    /// <summary>r_t: share of a layer's weights that is replaced at a step of a run.</summary>
    public double ShareAt(long step, long total) => _share == 0 ? 0 : LeastShare + (_share - LeastShare) * 0.5 * (1 + Math.Cos(Math.PI * step / Math.Max(1, total)));

    /// <inheritdoc/>
    public override void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStart(context);
        if (_ramp.Last >= context.TotalSteps && context.TotalSteps > 0)
            throw new PruningException("SL4008", $"the sparsity would rise until step {_ramp.Last}, the run has {context.TotalSteps} steps") { Try = "an earlier end or a longer run" };
        if (_initialised) return;
        _initialised = true;
        if (_initial > 0) DynamicSparseTraining.DrawMasks(Target, LayerPlan, Settings with { Sparsity = _initial }, new ErdosRenyiAllocation(), Warn);
    }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Foresee(long steps)
    {
        var sentences = new List<string>();
        if (GradualPruning.OneCut(_ramp) is { } sentence) sentences.Add(sentence);
        long replaced = _ramp.First > 0 ? _ramp.First : _ramp.Interval;
        if (_share > 0 && replaced >= steps) sentences.Add($"no weight is replaced: the first replacement would come at step {replaced}, the run has {steps} steps; give a smaller interval or a longer run");
        return sentences;
    }

    /// <inheritdoc/>
    public override void OnStepStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        SetDenseGradients(context.Model, Regrows(context.Step));
    }

    /// <inheritdoc/>
    public override void OnStepEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (_ramp.IsUpdate(context.Step)) GradualPruning.PruneTo(Target, LayerPlan, Settings, SparsityAt(context.Step), new MagnitudeCriterion(), _allocation, Warn);
        if (!Regrows(context.Step)) return;
        double share = ShareAt(context.Step, context.TotalSteps);
        foreach (PrunableLayer layer in LayerPlan.Layers)
        {
            Parameter parameter = context.Model.Parameter(layer.Name);
            if (parameter.Mask is not { } before || before.KeptCount == before.Length || before.KeptCount == 0 || parameter.Grad is not { } gradient) continue;
            int count = Math.Min(before.KeptCount, (int)Math.Ceiling(share * before.KeptCount - 1e-9));
            Mask after = DynamicSparseTraining.Exchange(parameter.KeptValues(), before, DynamicSparseTraining.GrowthScores(_regrowth, layer, gradient.ToArray(), Settings.Seed, context.Step), count);
            if (after.Equals(before)) continue;
            _exchanged += after.KeptCount - after.And(before).KeptCount;
            context.Model.SetMask(parameter, after);
        }
        SetDenseGradients(context.Model, false);
    }

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorData> Export() => new Dictionary<string, TensorData>
    {
        ["initialised"] = TensorData.Scalar(_initialised ? 1L : 0L),
        ["exchanged"] = TensorData.Scalar(_exchanged),
    };

    /// <inheritdoc/>
    public override void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        _initialised = state["initialised"].ToInt64s()[0] != 0;
        _exchanged = state["exchanged"].ToInt64s()[0];
    }

    private bool Regrows(long step) => _share > 0 && step > 0 && step >= _ramp.First && (step - _ramp.First) % _ramp.Interval == 0;

    private void SetDenseGradients(TrainableModel model, bool wanted)
    {
        foreach (PrunableLayer layer in LayerPlan.Layers) model.Parameter(layer.Name).WantsDenseGradient = wanted;
    }
}

using System.Numerics.Tensors;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
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

/// <summary>Sparse from the first step to the last: now and then the smallest weights of every layer are dropped and as many grown elsewhere.</summary>
/// <remarks>
/// RigL: Evci, Gale, Menick, Castro and Elsen, "Rigging the Lottery: Making All Tickets Winners", ICML 2020, section 3 and algorithm 1: grown where the dense
/// gradient is largest; at the step of an exchange the masks are updated instead of the weights. SET: Mocanu et al., Nature Communications 2018: grown at random,
/// and the weights are updated as well. A position can be dropped and grown in the same exchange; it then keeps its value and its moments.
/// Grown weights start at zero with fresh moments. The number of weights per layer never changes. Difference to the authors' code: a step on which masks are
/// exchanged counts as a step of the run (learning rate and data go on).
/// </remarks>
public sealed class DynamicSparseTraining : TrainingSparsifier
{
    private readonly IAllocation _allocation;
    private readonly IntervalSchedule _drop;
    private readonly IRegrowth _regrowth;
    private readonly bool _replacesUpdate;
    private bool _initialised;
    private long _exchanged;

    /// <summary>Composes the method.</summary>
    /// <param name="id">The method's id.</param>
    /// <param name="settings">What every method is told; unstructured patterns only.</param>
    /// <param name="allocation">Density per layer, from shapes.</param>
    /// <param name="drop">Share of the active weights that is exchanged, by step; a share of 0 keeps the first masks (static sparse training).</param>
    /// <param name="regrowth">What comes back.</param>
    /// <param name="replacesUpdate">Whether the optimizer is left out on steps of exchange (RigL).</param>
    /// <exception cref="PruningException">SL4009: the pattern is not unstructured.</exception>
    public DynamicSparseTraining(string id, PruningSettings settings, IAllocation allocation, IntervalSchedule drop, IRegrowth regrowth, bool replacesUpdate) : base(id, settings)
    {
        ArgumentNullException.ThrowIfNull(allocation);
        ArgumentNullException.ThrowIfNull(drop);
        ArgumentNullException.ThrowIfNull(regrowth);
        if (settings.Pattern.Kind != SparsityKind.Unstructured) throw new PruningException("SL4009", $"'{id}' exchanges single weights; the pattern {settings.Pattern} is not possible") { Try = "the pattern unstructured, or the method gmp" };
        _allocation = allocation;
        _drop = drop;
        _regrowth = regrowth;
        _replacesUpdate = replacesUpdate;
    }

    /// <summary>Parameters of the methods that exchange weights.</summary>
    internal static IReadOnlyList<MethodParameter> Parameters { get; } =
    [
        .. SharedParameters.ShapeAllocations,
        new("share", ParameterType.Share, "0.3", "share of the active weights that is exchanged at first") { Min = 0, Max = 1 },
        new("end", ParameterType.Share, "0.75", "where in the run the masks come to rest") { Min = 0, Max = 1 },
        SharedParameters.Interval,
    ];

    /// <summary>Builds it from the values of <see cref="Parameters"/>.</summary>
    internal static DynamicSparseTraining Of(string id, MethodRequest request, IRegrowth regrowth, bool replacesUpdate)
    {
        MethodArguments arguments = request.Arguments;
        long last = Math.Max(1, (long)Math.Round(request.RequireRun(id) * arguments.Number("end")));
        var drop = new CosineDrop(arguments.Number("share"), last, arguments.Int("interval"), Math.Min(last, arguments.Int("interval")));
        return new DynamicSparseTraining(id, request.Settings, request.Allocation, drop, regrowth, replacesUpdate);
    }

    /// <summary>Weights that were exchanged so far.</summary>
    public long Exchanged => _exchanged;

    /// <inheritdoc/>
    public override void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStart(context);
        if (_initialised) return;
        _initialised = true;
        DrawMasks(Target, LayerPlan, Settings, _allocation, Warn);
    }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Foresee(long steps) => _drop.First >= _drop.Last && _drop.At(0) > 0
        ? [$"no weight is exchanged: the first exchange would come at step {_drop.Interval}, and the masks rest from step {_drop.Last} on; give a smaller interval, a later end or a longer run"]
        : [];

    /// <summary>Random masks with exact counts per layer; a network that is as sparse as asked for brings its own.</summary>
    internal static void DrawMasks(PruningTarget target, LayerPlan layerPlan, PruningSettings settings, IAllocation allocation, Action<string> warn)
    {
        IReadOnlyList<PrunableLayer> layers = layerPlan.Layers;
        long wanted = ExactSelection.Count(settings.Density, layerPlan.Length), kept = layers.Sum(l => (long)target.KeptCount(l));
        if (kept <= wanted)
        {
            if (kept < wanted) warn($"the model already has a sparsity of {1 - (double)kept / layerPlan.Length:P1}; its masks are the start");
            return;
        }
        AllocationResult plan = allocation.Allocate(new AllocationRequest(layers, settings.Density)
        {
            Bounds = settings.Bounds,
            Alive = [.. layers.Select(l => target.Mask(l)?.ToFlags())],
        });
        var random = new RandomCriterion();
        for (int l = 0; l < layers.Count; l++)
        {
            float[] scores = random.Score(new ScoreInput(layers[l], target.Values(layers[l])) { Seed = settings.Seed });
            bool[] flags = ExactSelection.KeepBest(scores, plan.Keep[l], target.Mask(layers[l])?.ToFlags());
            target.SetMask(layers[l], Mask.FromFlags(layers[l].Shape.ToArray(), flags));
        }
        foreach (string warning in plan.Warnings) warn(warning);
    }

    /// <inheritdoc/>
    public override void OnStepStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        SetDenseGradients(context.Model, _regrowth.NeedsGradient && IsExchange(context.Step));
    }

    /// <inheritdoc/>
    public override void OnGradients(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (!IsExchange(context.Step)) return;
        double share = _drop.At(context.Step);
        foreach (PrunableLayer layer in LayerPlan.Layers) Exchange(context, layer, share);
        SetDenseGradients(context.Model, false);
        if (_replacesUpdate) context.SkipUpdate = true;
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

    /// <summary>The new mask of one layer: floor(share * active) smallest magnitudes go, the best by the growth score among all that are not kept come.</summary>
    /// <param name="weights">Values.</param>
    /// <param name="active">Entries that are active.</param>
    /// <param name="growth">Growth scores.</param>
    /// <param name="share">Share of the active entries that is dropped.</param>
    /// <returns>As many active entries as before.</returns>
    public static bool[] Exchange(ReadOnlySpan<float> weights, bool[] active, float[] growth, double share)
    {
        ArgumentNullException.ThrowIfNull(active);
        ArgumentNullException.ThrowIfNull(growth);
        Mask mask = Mask.FromFlags([active.Length], active);
        var kept = new float[mask.KeptCount];
        mask.Gather(weights, kept);
        return Exchange(kept, mask, growth, Dropped(share, mask.KeptCount)).ToFlags();
    }

    /// <summary>Growth scores of a layer, all of them numbers: NaN would rank last and infinity first without a word.</summary>
    /// <exception cref="SparselandException">SL3012: a gradient by which weights are grown is not a number.</exception>
    internal static float[] GrowthScores(IRegrowth regrowth, PrunableLayer layer, float[]? gradient, long seed, long step)
    {
        float[] scores = regrowth.Score(layer, gradient, seed, step);
        if (float.IsFinite(TensorPrimitives.MaxMagnitude(scores))) return scores;
        int bad = Array.FindIndex(scores, s => !float.IsFinite(s));
        throw new SparselandException("SL3012", $"the gradient of '{layer.Name}' holds {scores[bad]} at index {bad}, at step {step}")
        {
            Because = "weights are grown where the gradient is largest",
            Try = "a smaller learning rate, a warm-up, gradient clipping, or check the data for NaN",
        };
    }

    private static int Dropped(double share, int kept) => (int)Math.Floor(share * kept + 1e-9);

    /// <summary>As the other, from the kept entries alone, for a number of entries that are dropped.</summary>
    /// <param name="kept">Values of the active entries, in the mask's order.</param>
    /// <param name="active">Entries that are active.</param>
    /// <param name="growth">Growth scores of all entries.</param>
    /// <param name="drop">How many are dropped and grown, 0 to the number of active entries.</param>
    /// <returns>As many active entries as before.</returns>
    public static Mask Exchange(ReadOnlySpan<float> kept, Mask active, ReadOnlySpan<float> growth, int drop)
    {
        ArgumentNullException.ThrowIfNull(active);
        var magnitudes = new float[kept.Length];
        TensorPrimitives.Abs(kept, magnitudes);
        bool[] stays = ExactSelection.KeepBest(magnitudes, kept.Length - drop);
        ulong[] words = active.Words.ToArray();
        int next = 0;
        for (int w = 0; w < words.Length; w++)
        {
            for (ulong bits = words[w]; bits != 0; bits &= bits - 1)
            {
                if (!stays[next++]) words[w] &= ~(bits & (~bits + 1));
            }
        }
        ExactSelection.AddBest(growth, drop, words);
        return Mask.FromWords(active.Shape, words);
    }

    private void Exchange(TrainingContext context, PrunableLayer layer, double share)
    {
        Parameter parameter = context.Model.Parameter(layer.Name);
        if (parameter.Mask is not { } before || before.KeptCount == before.Length || before.KeptCount == 0) return;
        float[]? gradient = _regrowth.NeedsGradient
            ? (parameter.Grad ?? throw new InvalidOperationException($"Parameter '{layer.Name}' has no gradient.")).ToArray()
            : null;
        Mask after = Exchange(parameter.KeptValues(), before, GrowthScores(_regrowth, layer, gradient, Settings.Seed, context.Step), Dropped(share, before.KeptCount));
        if (after.Equals(before)) return;
        _exchanged += after.KeptCount - after.And(before).KeptCount;
        context.Model.SetMask(parameter, after);
    }

    private bool IsExchange(long step) => _drop.IsUpdate(step) && _drop.At(step) > 0;

    private void SetDenseGradients(TrainableModel model, bool wanted)
    {
        foreach (PrunableLayer layer in LayerPlan.Layers) model.Parameter(layer.Name).WantsDenseGradient = wanted;
    }
}

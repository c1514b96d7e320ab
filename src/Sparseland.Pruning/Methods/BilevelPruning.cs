using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.MaskLearning;
using Sparseland.Pruning.Selection;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Methods;

/// <summary>BiP: a step on the surviving weights and a step on the mask scores in turn; the mask's gradient includes how the retrained weights react.</summary>
/// <remarks>
/// Zhang, Yao, Ram, Zhao, Chen, Hong, Wang and Liu, "Advancing Model Pruning via Bi-level Optimization", NeurIPS 2022, section 4, algorithm 1. Lower level: the trainer's own step through z = m * theta. Upper level, on
/// a batch of its own: dl/dm = theta g - (1/gamma) (m g) g with g = dl/dz (the implicit gradient without second derivatives, equation 9), times sign(r), and a step of momentum SGD on the scores r, which start
/// at the weights. Both levels minimise the run's own loss, label smoothing and teacher included. The mask keeps the largest |r| over all layers. Structured: the pattern <c>row</c> keeps whole filters, <c>column</c> whole
/// input channels, by the L2 norm of their scores, in every layer n - floor((1 - d) n) of n, or more where the layer's floor asks for more; the classifier is not structured and stays dense, as in the authors' code. That code lets r and theta share their memory; here
/// they are two. Each step costs a second, dense, backward pass.
/// </remarks>
/// <param name="settings">What every method is told; single weights, rows or columns.</param>
/// <param name="scores">How scores are trained.</param>
/// <param name="implicitWeight">1/gamma; 0 leaves the straight-through gradient alone.</param>
public sealed class BilevelPruning(PruningSettings settings, ScoreTraining scores, double implicitWeight) : MaskLearner("bip", settings, scores)
{
    private BatchLoader? _upper;

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "bip",
        Title = "Bi-level pruning (BiP)",
        Paper = "Zhang, Yao, Ram, Zhao, Chen, Hong, Wang and Liu: Advancing Model Pruning via Bi-level Optimization, NeurIPS 2022",
        Section = "section 4, equation 9, algorithm 1",
        Description = "trains weights and mask scores of a trained network in turn, so that one run replaces rounds of pruning",
        Stage = PruningStage.During,
        Path = TrainingPath.DenseToSparse,
        Granularities = [Granularity.Unstructured, Granularity.Row, Granularity.Column],
        MaskSource = MaskSource.LearnedScores,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients,
        Connectivity = new Connectivity("lowest scores", "highest scores, with the value they left with", "every step", "the end of the run"),
        Parameters =
        [
            new("rate", ParameterType.Number, "0.1", "learning rate of the scores, a tenth after half and again after three quarters of the run") { Min = 1e-6, Max = 1000 },
            new("momentum", ParameterType.Number, "0.9", "momentum of the scores") { Min = 0, Max = 0.999 },
            new("implicit", ParameterType.Number, "0.0001", "weight 1/gamma of the implicit term; 0 leaves it out") { Min = 0, Max = 1000 },
        ],
        DefaultSparsity = 0.9,
        Create = r =>
        {
            long steps = r.RequireRun("bip");
            LearningRate rate = steps >= 4 ? new StepDecay(r.Arguments.Number("rate"), 0.1, steps / 2, steps * 3 / 4) : new Constant(r.Arguments.Number("rate"));
            return new BilevelPruning(r.Settings, new ScoreTraining(rate, r.Arguments.Number("momentum")), r.Arguments.Number("implicit"));
        },
    };

    /// <inheritdoc/>
    protected override bool TrainsWeights => true;

    /// <inheritdoc/>
    protected override bool LearnsFromTrainingStep => false;

    /// <summary>dl/dm of one entry: theta g - (1/gamma) (m g) g.</summary>
    /// <param name="weight">theta.</param>
    /// <param name="mask">m, 0 or 1.</param>
    /// <param name="gradient">g = dl/dz at z = m theta.</param>
    /// <param name="implicitWeight">1/gamma.</param>
    public static double MaskGradient(double weight, double mask, double gradient, double implicitWeight) => weight * gradient - implicitWeight * mask * gradient * gradient;

    /// <inheritdoc/>
    public override LayerPlan Plan(PruningTarget target)
    {
        LayerPlan plan = base.Plan(target);
        return Settings.Pattern.Kind == SparsityKind.Unstructured
            ? plan
            : new LayerPlan([.. plan.Decisions.Select(d => d.IsPruned && d.Layer.IsLast ? new LayerDecision(d.Layer, false, "the classifier is not structured: its rows are the classes") : d)]);
    }

    /// <inheritdoc/>
    public override void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStart(context);
        // A second stream of the same samples in another order; batches are functions of the step, so nothing needs to be saved.
        _upper = new BatchLoader(context.Loader.Dataset, context.Loader.Options with { Seed = context.Loader.Options.Seed ^ 0x5B1F_0000_0000L });
    }

    /// <inheritdoc/>
    public override void OnStepEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        base.OnStepEnd(context);
        Batch batch = _upper!.At(context.Step);
        TrainableModel model = context.Model;
        Parameter[] parameters = [.. LayerPlan.Layers.Select(l => model.Parameter(l.Name))];
        foreach (Parameter p in parameters) p.WantsDenseGradient = true;
        model.IsTraining = true;
        model.ZeroGrad();
        context.Objective(batch).Backward();
        UpdateScores(context, [.. parameters.Select(p => p.Grad)]);
        foreach (Parameter p in parameters) p.WantsDenseGradient = false;
        model.ZeroGrad();
    }

    /// <inheritdoc/>
    protected override float[][] InitialScores(TrainingContext context, IReadOnlyList<float[]> weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        return [.. weights.Select(w => (float[])w.Clone())];
    }

    /// <inheritdoc/>
    protected override void ScoreGradients(int layer, ReadOnlySpan<float> weights, ReadOnlySpan<float> gradient, ReadOnlySpan<float> scores, Span<float> result)
    {
        Mask? mask = Target.Mask(LayerPlan.Layers[layer]);
        for (int i = 0; i < result.Length; i++)
        {
            // |r| is ranked, so the gradient of the mask entry reaches r with r's sign; a score of exactly 0 counts as positive.
            double value = MaskGradient(weights[i], mask is null || mask[i] ? 1 : 0, gradient[i], implicitWeight);
            result[i] = (float)(scores[i] < 0 ? -value : value);
        }
    }

    /// <summary>Keeps n - floor((1 - d) n) of a layer's n filters or input channels, and no fewer than a floor needs: those with the largest L2 norm of scores, of equal ones the first.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="scores">Scores in the weight's own order.</param>
    /// <param name="filters">Filters, which are rows of [outputs, inputs]; otherwise input channels: all columns of a channel's kernel.</param>
    /// <param name="density">d.</param>
    /// <param name="least">Fewest weights that the layer keeps.</param>
    internal static bool[] KeepGroups(PrunableLayer layer, float[] scores, bool filters, double density, int least = 0)
    {
        float[] matrix = layer.ToMatrix(scores);
        int columns = layer.Columns, kernel = layer.Kind == LayerKind.Linear ? 1 : layer.Shape.Skip(2).Aggregate(1, (a, b) => a * b);
        int Group(int index) => filters ? index / columns : index % columns / kernel;
        double[] squares = new double[filters ? layer.Rows : columns / kernel];
        for (int i = 0; i < matrix.Length; i++) squares[Group(i)] += (double)matrix[i] * matrix[i];
        int size = matrix.Length / squares.Length, floor = Math.Min(squares.Length, (least + size - 1) / size);
        int keep = Math.Max(floor, squares.Length - (int)Math.Floor((1 - density) * squares.Length + 1e-9));
        bool[] groups = ExactSelection.KeepBest(Array.ConvertAll(squares, s => (float)Math.Sqrt(s)), keep);
        return layer.FromMatrix([.. Enumerable.Range(0, matrix.Length).Select(i => groups[Group(i)])]);
    }

    /// <inheritdoc/>
    protected override Mask[] Select(IReadOnlyList<float[]> scores, IReadOnlyList<Mask>? present, long step)
    {
        ArgumentNullException.ThrowIfNull(scores);
        IReadOnlyList<PrunableLayer> layers = LayerPlan.Layers;
        if (Settings.Pattern.Kind != SparsityKind.Unstructured)
        {
            // A group that stays does not bring back what had been removed from it before.
            return [.. scores.Select((s, l) => Mask.FromFlags(layers[l].Shape.ToArray(),
                KeepGroups(layers[l], s, Settings.Pattern.Kind == SparsityKind.Row, Settings.Density, Settings.Bounds.Floor(s.Length, Settings.Density))))
                .Select((m, l) => Earlier[l] is { } earlier ? m.And(earlier) : m)];
        }
        float[][] magnitudes = [.. scores.Select(s => MagnitudeCriterion.Of(s))];
        AllocationResult shares = new GlobalAllocation().Allocate(new AllocationRequest(layers, Settings.Density) { Scores = magnitudes, Bounds = Settings.Bounds, Alive = [.. Earlier.Select(m => m?.ToFlags())] });
        return [.. magnitudes.Select((m, l) => ExactSelection.BestOf(layers[l].Shape.ToArray(), m, shares.Keep[l], Earlier[l]))];
    }
}

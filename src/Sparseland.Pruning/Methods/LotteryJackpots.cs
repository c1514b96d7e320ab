using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.MaskLearning;
using Sparseland.Pruning.Selection;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Methods;

/// <summary>Lottery jackpots: the weights of a trained network stay as they are; only which of them are used is learned.</summary>
/// <remarks>
/// Zhang, Lin, Zhong, Chao and Ji, "Lottery Jackpots Exist in Pre-trained Models", TPAMI 2023, section 3. Scores start at 1 for what a magnitude mask keeps and at 0.99 for the rest, and follow the
/// straight-through gradient theta * g at all positions; a random mask of the same counts may take the magnitude mask's place, as a control of where the search starts. Every layer keeps as many weights as under one global magnitude threshold. Weights, biases and norm parameters are frozen; running statistics still move.
/// The restriction of swaps counts steps where the paper counts epochs; the released code rounds it up to 1, which switches it off (<paramref name="restrict"/> false).
/// </remarks>
/// <param name="settings">What every method is told.</param>
/// <param name="scores">How scores are trained.</param>
/// <param name="allocation">How many weights each layer keeps.</param>
/// <param name="restrict">Whether swaps are restricted by (1 - t/T)^4.</param>
/// <param name="steps">Steps of the run, T.</param>
/// <param name="randomStart">Whether the search starts at a random mask instead of the magnitude mask; layers keep the same counts.</param>
public sealed class LotteryJackpots(PruningSettings settings, ScoreTraining scores, IAllocation allocation, bool restrict, long steps, bool randomStart = false) : MaskLearner("jackpots", settings, scores)
{
    private const float Kept = 1f, Removed = 0.99f;

    private int[]? _keep;

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "jackpots",
        Title = "Lottery jackpots",
        Paper = "Zhang, Lin, Zhong, Chao and Ji: Lottery Jackpots Exist in Pre-trained Models, IEEE TPAMI 2023",
        Section = "section 3",
        Description = "finds a subnetwork of a trained network by learning scores; no weight is changed",
        Stage = PruningStage.During,
        Path = TrainingPath.PostTraining,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.LearnedScores,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients,
        Connectivity = new Connectivity("lowest scores", "highest scores, with the value they left with", "every step", "the end of the run"),
        Parameters =
        [
            .. SharedParameters.Allocations,
            new("rate", ParameterType.Number, "0.1", "learning rate of the scores, falling along a cosine") { Min = 1e-6, Max = 1000 },
            new("momentum", ParameterType.Number, "0.9", "momentum of the scores") { Min = 0, Max = 0.999 },
            new("decay", ParameterType.Number, "0.0005", "weight decay of the scores") { Min = 0, Max = 1 },
            new("start", ParameterType.Choice, "magnitude", "where the search starts: at the mask of the largest weights, or, as a control, at a random one with the same counts") { Choices = ["magnitude", "random"] },
            new("restrict", ParameterType.Switch, "true", "let fewer and fewer weights be exchanged: (1 - t/T)^4 of those that the scores would exchange"),
        ],
        DefaultPolicy = new LayerPolicy { Last = false },
        TrainsWeights = false,
        DefaultSparsity = 0.9,
        Create = r => new LotteryJackpots(r.Settings, new ScoreTraining(new Cosine(r.Arguments.Number("rate"), r.RequireRun("jackpots")), r.Arguments.Number("momentum"), r.Arguments.Number("decay")),
            r.Allocation, r.Arguments.Switch("restrict"), r.RequireRun("jackpots"), r.Arguments.Choice("start") == "random"),
    };

    /// <inheritdoc/>
    protected override bool TrainsWeights => false;

    /// <inheritdoc/>
    protected override float[][] InitialScores(TrainingContext context, IReadOnlyList<float[]> weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        float[][] magnitudes = [.. weights.Select(w => Array.ConvertAll(w, MathF.Abs))];
        AllocationResult shares = allocation.Allocate(new AllocationRequest(LayerPlan.Layers, Settings.Density) { Scores = magnitudes, Weights = weights, Bounds = Settings.Bounds, Alive = [.. Earlier.Select(m => m?.ToFlags())] });
        foreach (string warning in shares.Warnings) Warn(warning);
        _keep = [.. shares.Keep];
        float[] Ranked(int l) => randomStart ? new RandomCriterion().Score(new ScoreInput(LayerPlan.Layers[l], weights[l]) { Seed = Settings.Seed }) : magnitudes[l];
        return [.. LayerPlan.Layers.Select((_, l) => Array.ConvertAll(ExactSelection.KeepBest(Ranked(l), _keep[l], Earlier[l]?.ToFlags()), k => k ? Kept : Removed))];
    }

    /// <inheritdoc/>
    protected override Mask[] Select(IReadOnlyList<float[]> scores, IReadOnlyList<Mask>? present, long step)
    {
        ArgumentNullException.ThrowIfNull(scores);
        // After a resumption the masks say how many each layer keeps.
        _keep ??= [.. present!.Select(p => p.KeptCount)];
        double share = restrict ? SwapLimit.Share((double)step / steps) : 1;
        return [.. scores.Select((s, l) =>
        {
            Mask wanted = ExactSelection.BestOf(LayerPlan.Layers[l].Shape.ToArray(), s, _keep[l], Earlier[l]);
            return present is null ? wanted : SwapLimit.Apply(present[l], wanted, s, share);
        })];
    }
}

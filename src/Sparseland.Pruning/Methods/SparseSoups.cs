using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Pruning.Selection;
using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;

namespace Sparseland.Pruning.Methods;

/// <summary>In what the copies of a soup differ.</summary>
public enum SoupVariation
{
    /// <summary>The order of the batches.</summary>
    Seed,

    /// <summary>The learning rate: copies are spread from half to one and a half times the plan's.</summary>
    LearningRate,

    /// <summary>The weight decay: copies are spread from a half to twice the plan's, by equal factors.</summary>
    WeightDecay,

    /// <summary>The length of the retraining: copies are spread from a half to one and a half times.</summary>
    Length,
}

/// <summary>Sparse model soups: iterative magnitude pruning whose every retraining is done by several copies that are then averaged.</summary>
/// <remarks>
/// Zimmer, Spiegel and Pokutta, "Sparse Model Soups: A Recipe for Improved Pruning via Model Averaging", ICLR 2024, section 3. Each of n phases removes the same share 1 - d^(1/n) of what is left under one global
/// threshold, trains copies from the same pruned network that differ in one thing, takes their uniform average (the mask stays: <see cref="ModelSoup"/>), measures running
/// statistics again over the training data, and goes on from there. With one copy it is iterative magnitude pruning with retraining. The greedy soup (Wortsman et al., "Model soups", ICML 2022, algorithm 1) takes copies in
/// the order of their accuracy on training samples that were held out and keeps each that does not lower the soup's; test data is not looked at.
/// </remarks>
public sealed class SparseSoups : TrainingProgram
{
    private readonly int _phases, _copies;
    private readonly double _retrain;
    private readonly SoupVariation _variation;
    private readonly string _rate;
    private readonly bool _dense;
    private readonly double _heldOut;

    /// <summary>Makes the method.</summary>
    /// <param name="settings">What every method is told.</param>
    /// <param name="phases">Phases of pruning, n.</param>
    /// <param name="copies">Copies per phase.</param>
    /// <param name="retrain">Length of a retraining as a share of a whole training.</param>
    /// <param name="variation">In what the copies differ.</param>
    /// <param name="rate">The retraining's learning rate: a name of <see cref="RetrainingRates"/> that needs no norms, or <c>constant</c> for the plan's peak.</param>
    /// <param name="dense">Whether the dense network is trained first; otherwise the model given is trained already.</param>
    /// <param name="heldOut">Share of the training samples that a greedy soup chooses copies with and nothing is trained on; 0 averages all copies.</param>
    public SparseSoups(PruningSettings settings, int phases, int copies, double retrain, SoupVariation variation, string rate, bool dense, double heldOut = 0) : base("soups", PruningStage.After, settings)
    {
        if (heldOut is not (>= 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(heldOut), heldOut, "0 to below 1.");
        ArgumentOutOfRangeException.ThrowIfLessThan(phases, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(copies, 1);
        if (retrain is not (> 0 and <= 10)) throw new ArgumentOutOfRangeException(nameof(retrain), retrain, "Above 0, at most 10.");
        (_phases, _copies, _retrain, _variation, _rate, _dense, _heldOut) = (phases, copies, retrain, variation, rate, dense, heldOut);
    }

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "soups",
        Title = "Sparse model soups",
        Paper = "Zimmer, Spiegel and Pokutta: Sparse Model Soups: A Recipe for Improved Pruning via Model Averaging, ICLR 2024",
        Section = "section 3",
        Description = "prunes in phases, retrains several copies after each and goes on from their average, which is as sparse as each of them",
        Stage = PruningStage.After,
        Path = TrainingPath.DenseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Retraining,
        Parameters =
        [
            new("phases", ParameterType.Integer, "3", "phases of pruning; each removes the same share of what is left") { Min = 1, Max = 100 },
            new("copies", ParameterType.Integer, "3", "copies that are retrained and averaged in each phase") { Min = 1, Max = 100 },
            new("retrain", ParameterType.Number, "0.25", "length of a retraining as a share of a whole training") { Min = 0.001, Max = 10 },
            new("vary", ParameterType.Choice, "seed", "in what the copies differ") { Choices = ["seed", "learning-rate", "weight-decay", "length"] },
            new("rate", ParameterType.Choice, "llr", "learning rate of retrainings: linear, cosine or compressed with a rise, smallest or last of the training, or its constant peak") { Choices = ["llr", "clr", "slr", "ft", "lrw", "constant"] },
            new("dense", ParameterType.Switch, "false", "train the dense network first, for a model that is not trained yet"),
            new("soup", ParameterType.Choice, "uniform", "which copies are averaged: all, or the best ones on samples that are held out") { Choices = ["uniform", "greedy"] },
            new("held-out", ParameterType.Share, "0.1", "share of the training samples that a greedy soup chooses with") { Min = 0.001, Max = 0.9, Only = new("soup", "greedy") },
        ],
        DefaultSparsity = 0.9,
        Create = r => new SparseSoups(r.Settings, r.Arguments.Int("phases"), r.Arguments.Int("copies"), r.Arguments.Number("retrain"),
            r.Arguments.Choice("vary") switch { "learning-rate" => SoupVariation.LearningRate, "weight-decay" => SoupVariation.WeightDecay, "length" => SoupVariation.Length, _ => SoupVariation.Seed },
            r.Arguments.Choice("rate"), r.Arguments.Switch("dense"), r.Arguments.Choice("soup") == "greedy" ? r.Arguments.Number("held-out") : 0),
    };

    /// <summary>Measured after every phase: mean over the copies, and the soup.</summary>
    public IReadOnlyList<SoupPhase> Soups => _soups;

    private readonly List<SoupPhase> _soups = [];

    /// <inheritdoc/>
    public override double Trainings => (_dense ? 1 : 0) + _phases * Enumerable.Range(0, _copies).Sum(c => _retrain * Factor(SoupVariation.Length, c));

    /// <summary>The density after a phase of n: d^(phase/n).</summary>
    public static double DensityAfter(int phase, int phases, double density) => Math.Pow(density, (double)phase / phases);

    /// <inheritdoc/>
    public override PruningResult Run(ProgramRun run)
    {
        ArgumentNullException.ThrowIfNull(run);
        LayerPlan plan = Plan(run.Target);
        if (plan.Layers.Count == 0) return Describe(run.Target, plan);
        _soups.Clear();
        Dictionary<string, int> before = plan.Layers.ToDictionary(l => l.Name, run.Target.KeptCount);
        IDataset? heldOut = _heldOut > 0 ? run.HoldOut(_heldOut) : null;
        if (_dense) run.Train("dense");
        for (int phase = 1; phase <= _phases; phase++)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            Prune(run.Target, plan.Layers, DensityAfter(phase, _phases, Settings.Density));
            ModelSnapshot pruned = ModelSnapshot.Of(run.Model);
            var copies = new List<ModelSnapshot>(_copies);
            for (int c = 0; c < _copies; c++)
            {
                pruned.Restore(run.Model);
                run.Train(string.Create(CultureInfo.InvariantCulture, $"phase-{phase}-copy-{c + 1}"), Retraining(run, phase, c));
                copies.Add(ModelSnapshot.Of(run.Model));
            }
            IReadOnlyList<int> chosen = heldOut is null ? [.. Enumerable.Range(0, _copies)] : Choose(run, copies, heldOut);
            Cook(run, [.. chosen.Select(c => copies[c])]);
            WeightDistance apart = WeightDistances.Between(copies[0], copies[Math.Min(1, _copies - 1)], run.Model.Parameters.Select(p => p.Name));
            _soups.Add(new SoupPhase(phase, copies, ModelSnapshot.Of(run.Model), apart.Euclidean, apart.Degrees) { Chosen = chosen });
        }
        return Describe(run.Target, plan, before);
    }

    /// <summary>Averages ingredients in the model; what was averaged has its running statistics measured again.</summary>
    private static void Cook(ProgramRun run, IReadOnlyList<ModelSnapshot> ingredients)
    {
        ModelSoup.Average(run.Model, ingredients);
        if (ingredients.Count > 1) new NormReestimation(int.MaxValue, run.Plan.BatchSize).Recover(run.Model, new RecoveryContext(run.Data with { Test = null }, run.Normalization), run.Cancellation);
    }

    /// <summary>The copies of a greedy soup, best first.</summary>
    private static List<int> Choose(ProgramRun run, List<ModelSnapshot> copies, IDataset heldOut)
    {
        double Accuracy(IEnumerable<int> soup)
        {
            Cook(run, [.. soup.Select(c => copies[c])]);
            return run.Evaluate(heldOut).Top1;
        }
        double[] own = [.. copies.Select((_, c) => Accuracy([c]))];
        int[] order = [.. Enumerable.Range(0, copies.Count).OrderByDescending(c => own[c])];
        List<int> chosen = [order[0]];
        double best = own[order[0]];
        foreach (int next in order[1..])
        {
            double together = Accuracy([.. chosen, next]);
            if (together < best) continue;
            chosen.Add(next);
            best = together;
        }
        return chosen;
    }

    private void Prune(PruningTarget target, IReadOnlyList<PrunableLayer> layers, double density)
    {
        float[][] scores = [.. layers.Select(l => Array.ConvertAll(target.Values(l), MathF.Abs))];
        bool[]?[] alive = [.. layers.Select(l => target.Mask(l)?.ToFlags())];
        long kept = layers.Sum(l => (long)target.KeptCount(l));
        var request = new AllocationRequest(layers, density) { Scores = scores, Alive = alive, Bounds = Settings.Bounds };
        // A model that is sparser already is left as it is: density never rises.
        if (request.Keep >= kept) return;
        IReadOnlyList<int> keep = new GlobalAllocation().Allocate(request).Keep;
        for (int l = 0; l < layers.Count; l++) target.SetMask(layers[l], Mask.FromFlags(layers[l].Shape.ToArray(), ExactSelection.KeepBest(scores[l], keep[l], alive[l])));
    }

    private TrainingPlan Retraining(ProgramRun run, int phase, int copy)
    {
        long steps = Math.Max(1, (long)Math.Round(run.Steps * _retrain * Factor(SoupVariation.Length, copy)));
        LearningRate original = run.Plan.CreateLearningRate(run.Steps);
        LearningRate curve = _rate == "constant" ? new Constant(run.Plan.LearningRate) : RetrainingRates.Create(_rate, original, run.Steps, steps);
        double factor = Factor(SoupVariation.LearningRate, copy);
        return run.Plan with
        {
            Steps = steps,
            Curve = factor == 1 ? curve : new Scaled(curve, factor),
            WeightDecay = run.Plan.WeightDecay * Factor(SoupVariation.WeightDecay, copy),
            Seed = run.Plan.Seed + (_variation == SoupVariation.Seed ? 1_000_003L * (phase * _copies + copy + 1) : 1_000_003L * phase),
        };
    }

    // Copies are spread evenly; one copy alone is the plan itself.
    private double Factor(SoupVariation variation, int copy)
    {
        if (variation != _variation || _copies == 1) return 1;
        double t = (double)copy / (_copies - 1);
        return variation == SoupVariation.WeightDecay ? Math.Pow(2, 2 * t - 1) : 0.5 + t;
    }

    private sealed class Scaled(LearningRate curve, double factor) : LearningRate
    {
        protected override double Evaluate(long step) => factor * curve.At(step);

        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{factor:R} times {curve}");
    }
}

/// <summary>The networks of one phase.</summary>
/// <param name="Phase">The phase, from 1.</param>
/// <param name="Copies">The retrained copies.</param>
/// <param name="Soup">Their average, with statistics measured again.</param>
/// <param name="Distance">Distance between the first two copies, biases and norm parameters included; 0 with one copy.</param>
/// <param name="Angle">Angle between them, in degrees.</param>
public sealed record SoupPhase(int Phase, IReadOnlyList<ModelSnapshot> Copies, ModelSnapshot Soup, double Distance, double Angle)
{
    /// <summary>Which copies were averaged: all, or those of the greedy soup, the best on held-out samples first.</summary>
    public IReadOnlyList<int> Chosen { get; init; } = [];
}

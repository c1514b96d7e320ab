using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Selection;
using Sparseland.Training;

namespace Sparseland.Pruning.Methods;

/// <summary>What survivors are set to after a round of pruning.</summary>
public enum TicketReset
{
    /// <summary>Their values after a step of the first training; 0 is the initialisation.</summary>
    Rewind,

    /// <summary>As <see cref="Rewind"/> while the mask is found; the ticket itself starts from each layer's initial values in another order, as if drawn anew: the control with the same mask that shows what the initialisation is worth.</summary>
    Reinitialise,

    /// <summary>Nothing: training goes on from where it ended (prune and fine-tune).</summary>
    Continue,

    /// <summary>As <see cref="Rewind"/> while the mask is found; the ticket itself has random positions with the same counts in every layer and the original values there: the control that shows what the positions are worth.</summary>
    RandomMask,
}

/// <summary>Iterative magnitude pruning: train, remove the smallest weights, set the others back, and again; the ticket is then trained.</summary>
/// <remarks>
/// Frankle and Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", ICLR 2019, section 2 and figure 1. With a rewinding step k &gt; 0: Frankle, Dziugaite, Roy and Carbin,
/// "Stabilizing the Lottery Ticket Hypothesis", 2019, section 3: survivors take their values after step k, and training continues at step k of the schedule with fresh momentum.
/// Layer-wise by default (small networks), each round removes the same share of the remaining weights, the output layer half of it; globally for deep ones. Biases, normalisations and their statistics go back too.
/// </remarks>
public sealed class LotteryTicket : TrainingProgram
{
    private readonly int _rounds;
    private readonly double _rewind;
    private readonly bool _global;
    private readonly TicketReset _reset;

    /// <summary>Composes the method.</summary>
    /// <param name="settings">What every method is told.</param>
    /// <param name="rounds">Rounds of training and pruning before the final training.</param>
    /// <param name="global">One threshold for the whole network; otherwise layer by layer with half the rate at the output.</param>
    /// <param name="rewind">Where in the run survivors go back to, as a share of its steps; 0 is the initialisation.</param>
    /// <param name="reset">What survivors are set to.</param>
    public LotteryTicket(PruningSettings settings, int rounds, bool global = false, double rewind = 0, TicketReset reset = TicketReset.Rewind) : base("imp", PruningStage.Before, settings)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rounds, 1);
        if (rewind is not (>= 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(rewind), rewind, "0 to below 1.");
        if (reset == TicketReset.Reinitialise && rewind > 0)
            throw new PruningException("SL4002", "survivors cannot be drawn anew and go back to a later step") { Try = "rewind 0 with reset reinitialise, or reset rewind" };
        if (reset == TicketReset.Continue && rewind > 0)
            throw new PruningException("SL4002", "survivors cannot both go on from where they are and go back to an earlier step") { Try = "rewind 0 with reset continue, or reset rewind" };
        _rounds = rounds;
        _global = global;
        _rewind = rewind;
        _reset = reset;
    }

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "imp",
        Title = "Lottery ticket: iterative magnitude pruning with rewinding",
        Paper = "Frankle and Carbin: The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks, ICLR 2019; Frankle, Dziugaite, Roy and Carbin: Stabilizing the Lottery Ticket Hypothesis, 2019",
        Section = "section 2; section 3",
        Description = "trains, removes the smallest weights and sets the others back to their start, in rounds; then trains the ticket",
        Stage = PruningStage.Before,
        Path = TrainingPath.DenseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Retraining,
        Parameters =
        [
            new("rounds", ParameterType.Integer, "5", "rounds of training and pruning before the ticket is trained") { Min = 1, Max = 1000 },
            new("global", ParameterType.Switch, "false", "one threshold for the whole network; otherwise layer by layer, with half the rate at the output"),
            new("rewind", ParameterType.Share, "0", "where in the run survivors go back to; 0 is the initialisation") { Min = 0, Max = 0.99 },
            new("reset", ParameterType.Choice, "rewind", "what survivors are set to: their early values, for the ticket the same in another order (the control of the initialisation), nothing (fine-tuning), or their early values at random positions (the control of the mask)") { Choices = ["rewind", "reinitialise", "continue", "random-mask"] },
        ],
        DefaultSparsity = 0.9,
        Create = r => new LotteryTicket(r.Settings, r.Arguments.Int("rounds"), r.Arguments.Switch("global"), r.Arguments.Number("rewind"),
            r.Arguments.Choice("reset") switch { "reinitialise" => TicketReset.Reinitialise, "continue" => TicketReset.Continue, "random-mask" => TicketReset.RandomMask, _ => TicketReset.Rewind }),
    };

    /// <inheritdoc/>
    public override double Trainings => _rounds * (1 - _rewind) + 1;

    /// <summary>The share of the remaining weights that every round removes so that a target is reached: p = 1 - d^(1/n).</summary>
    public static double RatePerRound(double sparsity, int rounds) => 1 - Math.Pow(1 - sparsity, 1.0 / rounds);

    /// <inheritdoc/>
    public override PruningResult Run(ProgramRun run)
    {
        ArgumentNullException.ThrowIfNull(run);
        LayerPlan plan = Plan(run.Target);
        if (plan.Layers.Count == 0) return Describe(run.Target, plan);
        long rewindTo = (long)Math.Round(run.Steps * _rewind);
        // What was removed before the program stays removed, also where positions are drawn anew.
        bool[]?[] given = [.. plan.Layers.Select(l => run.Target.Mask(l)?.ToFlags())];
        PhaseResult first = run.Train("dense", null, null, rewindTo);
        ModelSnapshot start = first.State(rewindTo);
        Dictionary<string, int> before = plan.Layers.ToDictionary(l => l.Name, run.Target.KeptCount);
        for (int round = 1; round <= _rounds; round++)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            Prune(run.Target, plan.Layers, round);
            string phase = round == _rounds ? "ticket" : string.Create(CultureInfo.InvariantCulture, $"round-{round}");
            if (_reset == TicketReset.RandomMask && round == _rounds) DrawMasks(run.Target, plan.Layers, given, Settings.Seed);
            if (_reset == TicketReset.Continue)
            {
                run.Train(phase);
                continue;
            }
            start.Rewind(run.Model);
            if (_reset == TicketReset.Reinitialise && round == _rounds) Redraw(run.Model, start, plan.Layers, Settings.Seed);
            run.Train(phase, run.Plan with { FirstStep = rewindTo });
        }
        return Describe(run.Target, plan, before);
    }

    /// <summary>Weights that each layer keeps after a round, from its length: (1 - p)^round, at the output with half the rate; rounded, halves to even.</summary>
    internal static int KeptAfter(PrunableLayer layer, double rate, int round) => ExactSelection.Count(Math.Pow(1 - (layer.IsLast ? rate / 2 : rate), round), layer.Length);

    private void Prune(PruningTarget target, IReadOnlyList<PrunableLayer> layers, int round)
    {
        float[][] scores = [.. layers.Select(l => Array.ConvertAll(target.Values(l), MathF.Abs))];
        bool[]?[] alive = [.. layers.Select(l => target.Mask(l)?.ToFlags())];
        int[] keep;
        if (_global)
        {
            double density = Math.Pow(Settings.Density, (double)round / _rounds);
            keep = [.. new GlobalAllocation().Allocate(new AllocationRequest(layers, density) { Scores = scores, Alive = alive, Bounds = Settings.Bounds }).Keep];
        }
        else
        {
            // The output's smaller rate leaves more than the target; the others' common rate is solved so that the total is exact in the last round.
            double rate = SolveRate(layers, Settings.Density, _rounds);
            keep = [.. layers.Select(l => Math.Max(KeptAfter(l, rate, round), Settings.Bounds.Floor(l.Length, Settings.Density)))];
            if (round == _rounds) Settle(keep, layers);
        }
        for (int l = 0; l < layers.Count; l++)
        {
            int kept = Math.Min(keep[l], target.KeptCount(layers[l]));
            target.SetMask(layers[l], Mask.FromFlags(layers[l].Shape.ToArray(), ExactSelection.KeepBest(scores[l], kept, alive[l])));
        }
    }

    private void Settle(int[] keep, IReadOnlyList<PrunableLayer> layers)
    {
        // Layers that floors hold up take what the others give.
        int[] low = [.. layers.Select((l, i) => Math.Min(keep[i], Math.Max(1, Settings.Bounds.Floor(l.Length, Settings.Density))))], high = [.. layers.Select((l, i) => Math.Min(l.Length, keep[i] + layers.Count))];
        Budget.Settle(keep, low, high, ExactSelection.Count(Settings.Density, layers.Sum(l => (long)l.Length)), layers);
    }

    /// <summary>The rate p with sum over layers of N (1 - p)^n (output: (1 - p/2)^n) = d N.</summary>
    internal static double SolveRate(IReadOnlyList<PrunableLayer> layers, double density, int rounds)
    {
        double total = layers.Sum(l => (double)l.Length), low = 0, high = 1;
        for (int i = 0; i < 200; i++)
        {
            double p = (low + high) / 2, kept = layers.Sum(l => l.Length * Math.Pow(1 - (l.IsLast ? p / 2 : p), rounds));
            if (kept > density * total) low = p;
            else high = p;
        }
        return (low + high) / 2;
    }

    /// <summary>Random masks with the present counts inside those of the start; what they bring back takes its early value when the network is rewound.</summary>
    private static void DrawMasks(PruningTarget target, IReadOnlyList<PrunableLayer> layers, bool[]?[] given, long seed)
    {
        foreach ((PrunableLayer layer, bool[]? alive) in layers.Zip(given))
        {
            float[] scores = new RandomCriterion().Score(new ScoreInput(layer, new float[layer.Length]) { Seed = seed });
            target.SetMask(layer, Mask.FromFlags(layer.Shape.ToArray(), ExactSelection.KeepBest(scores, target.KeptCount(layer), alive)));
        }
    }

    /// <summary>New values for every layer: a permutation of its initial ones, which is how independent draws of the same distribution look.</summary>
    private static void Redraw(TrainableModel model, ModelSnapshot start, IReadOnlyList<PrunableLayer> layers, long seed)
    {
        foreach (PrunableLayer layer in layers)
        {
            Parameter p = model.Parameter(layer.Name);
            float[] values = [.. start.Values(layer.Name)];
            SeededRandom random = RandomCriterion.ForLayer(seed, layer.Name, 0x1717);
            random.Shuffle<float>(values);
            values.CopyTo(p.Value.Values);
            p.TouchValues();
        }
    }
}

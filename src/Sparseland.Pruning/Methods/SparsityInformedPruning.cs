using System.Globalization;
using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Selection;

namespace Sparseland.Pruning.Methods;

/// <summary>Among which weights the index is taken and the smallest are removed.</summary>
public enum IndexScope
{
    /// <summary>All layers together.</summary>
    Global,

    /// <summary>Every layer on its own.</summary>
    Layer,

    /// <summary>Every output of every layer on its own.</summary>
    Neuron,
}

/// <summary>Sparsity-informed adaptive pruning: after every training the PQ index of the surviving weights says how many of them go; the others are set back and trained again.</summary>
/// <remarks>
/// Diao, Wang, Zhang, Yang, Ding and Tarokh, "Pruning Deep Neural Networks from a Sparsity Perspective", ICLR 2023, section 3.2 and algorithm 1. There is no fixed rate: what a round removes
/// shrinks by itself as the network becomes incompressible. The sparsity that is asked for is where it stops: a round never removes more than is left to it. Differences to the authors' code: ties are
/// broken by position instead of being kept, the number to remove is not subject to single-precision rounding, and every round prunes the last weights, not those of the best test epoch.
/// </remarks>
public sealed class SparsityInformedPruning : TrainingProgram
{
    private readonly int _rounds;
    private readonly double _p, _q, _eta, _gamma, _beta;
    private readonly IndexScope _scope;
    private readonly List<double> _shares = [], _indices = [];

    /// <summary>Composes the method.</summary>
    /// <param name="settings">What every method is told; the sparsity is where it stops at the latest.</param>
    /// <param name="rounds">Rounds of training and pruning before the final training.</param>
    /// <param name="p">The smaller exponent of the index.</param>
    /// <param name="q">The larger exponent.</param>
    /// <param name="eta">Share of the p-norm that removed weights may have.</param>
    /// <param name="gamma">Speed; 1 removes down to the bound.</param>
    /// <param name="beta">Largest share that a round removes.</param>
    /// <param name="scope">Among which weights.</param>
    /// <exception cref="PruningException">SL4002: not 0 &lt; p &lt; q.</exception>
    public SparsityInformedPruning(PruningSettings settings, int rounds, double p = 0.5, double q = 1, double eta = 0, double gamma = 1, double beta = 0.9, IndexScope scope = IndexScope.Global)
        : base("sap", PruningStage.Before, settings)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rounds, 1);
        if (!(p > 0 && p < q)) throw new PruningException("SL4002", $"p is {p:G}, q is {q:G}: p must be the smaller one, above 0") { Try = "p=0.5 and q=1, or p=1 and q=2" };
        ArgumentOutOfRangeException.ThrowIfNegative(eta);
        ArgumentOutOfRangeException.ThrowIfNegative(gamma);
        if (beta is not (>= 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(beta), beta, "0 to below 1.");
        (_rounds, _p, _q, _eta, _gamma, _beta, _scope) = (rounds, p, q, eta, gamma, beta, scope);
    }

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "sap",
        Title = "Sparsity-informed adaptive pruning",
        Paper = "Diao, Wang, Zhang, Yang, Ding and Tarokh: Pruning Deep Neural Networks from a Sparsity Perspective, ICLR 2023",
        Section = "section 3.2, algorithm 1",
        Description = "trains, lets the PQ index of the surviving weights say how many go, sets the others back to their start, in rounds; the sparsity is where it stops at the latest",
        Stage = PruningStage.Before,
        Path = TrainingPath.DenseToSparse,
        Granularities = SharedParameters.SingleWeights,
        MaskSource = MaskSource.Magnitude,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Retraining,
        Parameters =
        [
            new("rounds", ParameterType.Integer, "10", "rounds of training and pruning before the last training") { Min = 1, Max = 1000 },
            new("p", ParameterType.Number, "0.5", "the smaller exponent of the index") { Min = 0.01, Max = 100 },
            new("q", ParameterType.Number, "1", "the larger exponent of the index") { Min = 0.02, Max = 200 },
            new("eta", ParameterType.Number, "0", "share of the p-norm that removed weights may have") { Min = 0, Max = 1000 },
            new("gamma", ParameterType.Number, "1", "speed: 1 removes down to the bound, 0 removes nothing") { Min = 0, Max = 1000 },
            new("beta", ParameterType.Share, "0.9", "largest share that a round removes") { Min = 0, Max = 0.999 },
            new("scope", ParameterType.Choice, "global", "among which weights the index is taken and the smallest are removed") { Choices = ["global", "layer", "neuron"] },
        ],
        DefaultSparsity = 0.95,
        Create = r => new SparsityInformedPruning(r.Settings, r.Arguments.Int("rounds"), r.Arguments.Number("p"), r.Arguments.Number("q"), r.Arguments.Number("eta"), r.Arguments.Number("gamma"), r.Arguments.Number("beta"),
            r.Arguments.Choice("scope") switch { "layer" => IndexScope.Layer, "neuron" => IndexScope.Neuron, _ => IndexScope.Global }),
    };

    /// <inheritdoc/>
    public override double Trainings => _rounds + 1;

    /// <summary>Share of the surviving weights that each round removed.</summary>
    public IReadOnlyList<double> RemovedShares => _shares;

    /// <summary>PQ index of all surviving weights before each round removed some.</summary>
    public IReadOnlyList<double> Indices => _indices;

    /// <inheritdoc/>
    public override PruningResult Run(ProgramRun run)
    {
        ArgumentNullException.ThrowIfNull(run);
        _shares.Clear();
        _indices.Clear();
        LayerPlan plan = Plan(run.Target);
        if (plan.Layers.Count == 0) return Describe(run.Target, plan);
        Dictionary<string, int> before = plan.Layers.ToDictionary(l => l.Name, run.Target.KeptCount);
        ModelSnapshot start = run.Train("dense", null, null, 0).State(0);
        for (int round = 1; round <= _rounds; round++)
        {
            run.Cancellation.ThrowIfCancellationRequested();
            Prune(run.Target, plan.Layers);
            start.Rewind(run.Model);
            run.Train(round == _rounds ? "last" : string.Create(CultureInfo.InvariantCulture, $"round-{round}"));
        }
        return Describe(run.Target, plan, before);
    }

    /// <summary>Removes what the index allows now, from every scope, and no more in all than the target leaves.</summary>
    /// <returns>The number of weights that were removed.</returns>
    public long Prune(PruningTarget target, IReadOnlyList<PrunableLayer> layers)
    {
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(layers);
        float[][] magnitudes = [.. layers.Select(l => Array.ConvertAll(target.Values(l), MathF.Abs))];
        bool[][] alive = [.. layers.Select((l, i) => target.Mask(l)?.ToFlags() ?? [.. Enumerable.Repeat(true, l.Length)])];
        long left = alive.Sum(a => (long)a.Count(x => x)), room = Math.Max(0, left - ExactSelection.Count(Settings.Density, layers.Sum(l => (long)l.Length)));
        _indices.Add(PqIndex.Of([.. magnitudes.SelectMany(m => m)], _p, _q, [.. alive.SelectMany(a => a)]));
        bool[][] kept = _scope == IndexScope.Global
            ? Cut(magnitudes, alive, room)
            : [.. layers.Select((l, i) => _scope == IndexScope.Layer ? Cut([magnitudes[i]], [alive[i]], long.MaxValue)[0] : ByRow(l, magnitudes[i], alive[i]))];
        // Scopes decide on their own; where together they would overshoot, the largest of what they give up stay.
        long removed = left - kept.Sum(k => (long)k.Count(x => x));
        if (removed > room)
        {
            bool[][] candidates = [.. alive.Select((a, i) => a.Select((x, j) => x && !kept[i][j]).ToArray())];
            bool[][] saved = ExactSelection.KeepBest(magnitudes, removed - room, candidates);
            for (int l = 0; l < kept.Length; l++)
            {
                for (int i = 0; i < kept[l].Length; i++) kept[l][i] |= saved[l][i];
            }
            removed = room;
        }
        for (int l = 0; l < layers.Count; l++)
        {
            // No layer falls below its floor: the largest of what it would give up stay.
            int floor = Math.Min(alive[l].Count(x => x), Settings.Bounds.Floor(layers[l].Length, Settings.Density)), count = kept[l].Count(x => x);
            if (count < floor)
            {
                kept[l] = ExactSelection.KeepBest(magnitudes[l], floor, alive[l]);
                removed -= floor - count;
            }
            target.SetMask(layers[l], Mask.FromFlags(layers[l].Shape.ToArray(), kept[l]));
        }
        _shares.Add(left == 0 ? 0 : (double)removed / left);
        return removed;
    }

    private bool[][] Cut(float[][] magnitudes, bool[][] alive, long room)
    {
        PqStep step = PqIndex.Step([.. magnitudes.SelectMany(m => m)], _p, _q, [.. alive.SelectMany(a => a)], _eta, _gamma, _beta);
        return ExactSelection.KeepBest(magnitudes, step.Alive - Math.Min(step.Remove, room), alive);
    }

    private bool[] ByRow(PrunableLayer layer, float[] magnitudes, bool[] alive)
    {
        float[] matrix = layer.ToMatrix(magnitudes);
        bool[] flags = layer.ToMatrix(alive), kept = new bool[matrix.Length];
        for (int row = 0; row < layer.Rows; row++)
        {
            Range range = (row * layer.Columns)..((row + 1) * layer.Columns);
            Cut([matrix[range]], [flags[range]], long.MaxValue)[0].CopyTo(kept.AsSpan(range));
        }
        return layer.FromMatrix(kept);
    }
}

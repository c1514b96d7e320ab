using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Structured;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Methods;

/// <summary>Random search over sparse architectures: many random subsets of an untrained network's units are drawn, and the one with the lowest loss before training is kept.</summary>
/// <remarks>
/// "Random Search as a Baseline for Sparse Neural Network Architecture Search", 2024. Structure from the abstract; the number of draws, the score (loss of the untrained subnetwork on training batches) and equal kept shares of all groups
/// are inferred. The paper finds that the searched network is no better than a single draw, so this is the control of every search. Subnetworks are cut out, not masked, and keep their initial weights.
/// </remarks>
/// <param name="settings">What every method is told; the sparsity is the share of the units of every group that goes.</param>
/// <param name="draws">Subsets that are drawn; 1 is a random subnetwork.</param>
/// <param name="batches">Batches of training data for the score.</param>
public sealed class NodeSearch(PruningSettings settings, int draws, int batches = 4) : GraphSparsifier("node-search", PruningStage.Before, settings)
{
    private readonly int _draws = draws >= 1 ? draws : throw new ArgumentOutOfRangeException(nameof(draws), draws, "At least 1.");

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "node-search",
        Title = "Random search over sparse architectures",
        Paper = "Random Search as a Baseline for Sparse Neural Network Architecture Search, 2024",
        Section = "abstract",
        Description = "draws random subsets of an untrained network's units and keeps the one whose loss is lowest before training: the control of every search",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = [Granularity.Channel],
        MaskSource = MaskSource.Output,
        Needs = CriterionNeeds.Data | CriterionNeeds.Labels,
        Parameters =
        [
            new("draws", ParameterType.Integer, "100", "subsets that are drawn; 1 is a random subnetwork") { Min = 1, Max = 1_000_000 },
            new("batches", ParameterType.Integer, "4", "batches of training data on which each is scored") { Min = 1, Max = 10_000 },
        ],
        DefaultSparsity = 0.8,
        Create = r => new NodeSearch(r.Settings, r.Arguments.Int("draws"), r.Arguments.Int("batches")),
    };

    /// <inheritdoc/>
    public override CriterionNeeds Requires => _draws > 1 ? CriterionNeeds.Data | CriterionNeeds.Labels : CriterionNeeds.None;

    /// <summary>Losses of all draws of the last search, in order.</summary>
    public IReadOnlyList<double> Losses => _losses;

    private readonly List<double> _losses = [];

    /// <inheritdoc/>
    public override GraphResult Rewrite(ModelGraph graph, PruningContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        context ??= new PruningContext();
        if (_draws > 1 && context.Data is null) throw new PruningException("SL4005", "a search scores subnetworks on labelled data") { Try = "give data with --data, or draws=1" };
        DependencyGraph dependencies = DependencyGraph.Build(graph, context.Cancellation);
        if (dependencies.Groups.Count == 0) throw new PruningException("SL4006", "the model has no units that could be left out") { Because = string.Join("; ", dependencies.Refused.Take(3)) };
        int[] kept = [.. dependencies.Groups.Select(g => Math.Max(1, (int)Math.Round(Settings.Density * g.UnitCount, MidpointRounding.ToEven)))];
        Batch[] data = _draws == 1 ? [] : [.. Enumerable.Range(0, batches).Select(b => context.Data!.At(b))];
        _losses.Clear();
        (double Loss, ModelGraph? Graph) best = (double.PositiveInfinity, null);
        for (int draw = 0; draw < _draws; draw++)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            ModelGraph candidate = Surgeon.Remove(Draw(dependencies, kept, draw)).Graph;
            if (_draws == 1) return Result(candidate, dependencies, kept);
            double loss = Loss(candidate, data, context);
            _losses.Add(loss);
            // Of equal losses the earlier draw; a loss that is no number never wins.
            if (loss < best.Loss || best.Graph is null) best = (double.IsNaN(loss) ? double.PositiveInfinity : loss, candidate);
            context.Progress?.Report(new PruningProgress(draw + 1, _draws, "draws"));
        }
        return double.IsFinite(best.Loss)
            ? Result(best.Graph!, dependencies, kept)
            : throw new PruningException("SL4013", $"no subnetwork of {_draws} has a loss that is a number") { Because = "the data or the weights hold NaN", Try = "check the data for NaN, or draws=1, which scores nothing" };
    }

    private Removal Draw(DependencyGraph dependencies, int[] kept, int draw)
    {
        var removal = new Removal(dependencies);
        for (int g = 0; g < kept.Length; g++)
        {
            ChannelGroup group = dependencies.Groups[g];
            int[] units = [.. Enumerable.Range(0, group.UnitCount)];
            SeededRandom random = RandomCriterion.ForLayer(Settings.Seed, group.Name, draw);
            random.Shuffle<int>(units);
            removal.Add(group, units.Skip(kept[g]));
        }
        return removal;
    }

    private static double Loss(ModelGraph graph, Batch[] data, PruningContext context)
    {
        var model = new TrainableModel(graph.Clone()) { IsTraining = false };
        double sum = 0;
        using (GradientMode.Off())
        {
            foreach (Batch batch in data) sum += context.Loss(model.Forward(new ModelValue(batch.Inputs)), batch).Item();
        }
        return sum / data.Length;
    }

    private static GraphResult Result(ModelGraph graph, DependencyGraph dependencies, int[] kept) => new(graph,
        [.. dependencies.Groups.Select((g, i) => new GraphChange(g.Name, g.Kind == UnitKind.Head ? "heads" : "channels", g.UnitCount, kept[i]))],
        [.. dependencies.Refused.Select(f => f.ToString())], []);
}

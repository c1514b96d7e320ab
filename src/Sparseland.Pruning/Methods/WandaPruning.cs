using System.Text.RegularExpressions;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Selection;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Methods;

/// <summary>Wanda: weights of small magnitude times small input go, the same number from every output; no training.</summary>
/// <remarks>
/// Sun, Liu, Bair and Kolter, "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024, section 3 and algorithm 1. Block after block: the
/// inputs of a block's layers are measured while the blocks before it are pruned already and its own layers are not. Each row of [outputs, inputs] loses
/// exactly floor(inputs * sparsity) weights, of equal scores the lower index first (as in the authors' code); N:M keeps the N best of every M.
/// Linear layers only. Embeddings, norms and the output head stay dense by default.
/// </remarks>
/// <param name="settings">What every method is told; unstructured or N:M patterns.</param>
/// <param name="samples">Calibration samples.</param>
/// <param name="sequential">Whether later blocks see pruned earlier ones; otherwise all norms come from one pass over the dense model.</param>
public sealed partial class WandaPruning(PruningSettings settings, int samples = 32, bool sequential = true) : OneShotSparsifier("wanda", PruningStage.After, settings)
{
    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "wanda",
        Title = "Wanda",
        Paper = "Sun, Liu, Bair and Kolter: A Simple and Effective Pruning Approach for Large Language Models, ICLR 2024",
        Section = "section 3, equation 1, algorithm 1",
        Description = "removes weights of linear layers by magnitude times input norm, row by row, block after block",
        Stage = PruningStage.After,
        Path = TrainingPath.PostTraining,
        Granularities = [Granularity.Unstructured, Granularity.NofM],
        MaskSource = MaskSource.Activation,
        Needs = CriterionNeeds.Data | CriterionNeeds.InputNorms,
        Parameters =
        [
            new("samples", ParameterType.Integer, "32", "calibration samples") { Min = 1, Max = 1_000_000 },
            new("sequential", ParameterType.Switch, "true", "measure each block behind pruned earlier blocks"),
        ],
        DefaultPolicy = new LayerPolicy { Last = false },
        Create = r => new WandaPruning(r.Settings, r.Arguments.Int("samples"), r.Arguments.Switch("sequential")),
    };

    private readonly int _samples = samples >= 1 ? samples : throw new ArgumentOutOfRangeException(nameof(samples), samples, "At least 1.");

    /// <inheritdoc/>
    public override LayerPlan Plan(PruningTarget target)
    {
        ArgumentNullException.ThrowIfNull(target);
        return new LayerPlan([.. base.Plan(target).Decisions.Select(d => !d.IsPruned || Column(target.Graph, d.Layer)
            ? d
            : new LayerDecision(d.Layer, false, "Wanda measures inputs of linear layers only"))]);
    }

    /// <inheritdoc/>
    public override PruningResult Apply(PruningTarget target, PruningContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(target);
        context ??= new PruningContext();
        if (Settings.Pattern.Kind is not (SparsityKind.Unstructured or SparsityKind.NofM))
            throw new PruningException("SL4009", $"'{Id}' compares single weights within a row; the pattern {Settings.Pattern} is not possible") { Try = "unstructured, or N:M such as 2:4" };
        LayerPlan plan = Plan(target);
        if (plan.Layers.Count == 0) return Describe(target, plan);
        TrainableModel model = target.Model ?? throw Needs("a model that can be run");
        BatchLoader data = context.Data ?? throw Needs("calibration data");
        Dictionary<string, int> before = plan.Layers.ToDictionary(l => l.Name, target.KeptCount);
        var notes = new Dictionary<string, string>();
        List<List<PrunableLayer>> groups = sequential ? Blocks(plan.Layers) : [[.. plan.Layers]];
        int done = 0;
        foreach (List<PrunableLayer> group in groups)
        {
            Dictionary<string, float[]> norms = Norms(model, data, group, context);
            foreach (PrunableLayer layer in group)
            {
                float[] weights = target.Values(layer);
                ScoredPruning.RequireFinite(weights, layer);
                float[] scores = new WandaCriterion().Score(new ScoreInput(layer, weights) { InputNorms = norms[layer.Input] });
                Mask? present = target.Mask(layer);
                string? note = null;
                Mask mask = Settings.Pattern.Kind == SparsityKind.NofM
                    ? MaskMaker.NofM(layer, Settings.Pattern, scores, present, out note)
                    : Rows(layer, scores, Settings.Sparsity, present);
                if (note is not null) notes[layer.Name] = note;
                if (mask.KeptCount < target.KeptCount(layer)) target.SetMask(layer, mask);
                context.Progress?.Report(new PruningProgress(++done, plan.Layers.Count, layer.Name));
            }
        }
        return Describe(target, plan, before, null, notes);
    }

    /// <summary>Removes exactly floor(inputs * sparsity) weights of every row; weights that are removed already count and stay removed.</summary>
    internal static Mask Rows(PrunableLayer layer, float[] scores, double sparsity, Mask? present)
    {
        int rows = layer.Rows, columns = layer.Columns, remove = (int)(columns * sparsity + 1e-9);
        float[] matrix = layer.ToMatrix(scores);
        bool[]? alive = present is null ? null : layer.ToMatrix(present.ToFlags());
        bool[] kept = new bool[matrix.Length];
        int[] order = new int[columns];
        for (int r = 0; r < rows; r++)
        {
            int start = r * columns;
            for (int c = 0; c < columns; c++) order[c] = c;
            Array.Sort(order, (a, b) =>
            {
                bool liveA = alive is null || alive[start + a], liveB = alive is null || alive[start + b];
                if (liveA != liveB) return liveA ? 1 : -1;
                int byScore = matrix[start + a].CompareTo(matrix[start + b]);
                return byScore != 0 ? byScore : a.CompareTo(b);
            });
            for (int k = remove; k < columns; k++) kept[start + order[k]] = alive is null || alive[start + order[k]];
        }
        return layer.MaskFromMatrix(kept);
    }

    /// <summary>Layers whose names share a block number, in order; a layer without one is a block of its own.</summary>
    internal static List<List<PrunableLayer>> Blocks(IReadOnlyList<PrunableLayer> layers)
    {
        var groups = new OrderedDictionary<string, List<PrunableLayer>>(StringComparer.Ordinal);
        foreach (PrunableLayer layer in layers)
        {
            Match match = BlockNumber().Match(layer.Name);
            string key = match.Success ? layer.Name[..(match.Index + match.Length)] : layer.Name;
            if (!groups.TryGetValue(key, out List<PrunableLayer>? group)) groups[key] = group = [];
            group.Add(layer);
        }
        return [.. groups.Values];
    }

    [GeneratedRegex(@"(?:^|[./_])(?:layers?|blocks?|h)[./_]?\d+(?=[./_])", RegexOptions.CultureInvariant)]
    private static partial Regex BlockNumber();

    /// <summary>Whether the layer's inputs are the last axis of what it is multiplied with.</summary>
    private static bool Column(ModelGraph graph, PrunableLayer layer)
    {
        if (layer.Kind != LayerKind.Linear) return false;
        Node? node = graph.Nodes.Find(n => n.Name == layer.Node);
        return node is not null && node.Input(0) == layer.Input && (node.OpType == "MatMul" || node.Attributes.Int("transA", 0) == 0);
    }

    private Dictionary<string, float[]> Norms(TrainableModel model, BatchLoader data, List<PrunableLayer> layers, PruningContext context)
    {
        var squares = new Dictionary<string, double[]>(StringComparer.Ordinal);
        foreach (PrunableLayer layer in layers) squares[layer.Input] = new double[layer.Columns];
        var observers = new List<IDisposable>();
        bool training = model.IsTraining;
        int[] targets = [];
        bool isText = data.Dataset.Kind == SampleKind.Tokens;
        try
        {
            model.IsTraining = false;
            // Windows of text are filled up with token 0 where it ends: those positions are no data.
            foreach ((string value, double[] sums) in squares) observers.Add(model.Observe(value, v => Accumulate(v.Tensor, sums, isText ? targets : [])));
            using (GradientMode.Off())
            {
                int seen = 0;
                for (int b = 0; b < data.BatchesPerEpoch && seen < _samples; b++)
                {
                    context.Cancellation.ThrowIfCancellationRequested();
                    Batch batch = data.At(0, b);
                    targets = batch.Targets;
                    if (context.Feed is { } feed) model.Forward(feed(batch));
                    else model.Forward(new ModelValue(batch.Inputs));
                    seen += batch.Count;
                }
            }
        }
        finally
        {
            foreach (IDisposable observer in observers) observer.Dispose();
            model.IsTraining = training;
        }
        return squares.ToDictionary(s => s.Key, s => Array.ConvertAll(s.Value, v => (float)Math.Sqrt(v)), StringComparer.Ordinal);
    }

    private static void Accumulate(Tensor tensor, double[] sums, int[] targets)
    {
        Span<float> x = tensor.Values;
        if (x.Length % sums.Length != 0 || tensor.Shape[^1] != sums.Length) throw new InvalidOperationException($"An input of {tensor} for {sums.Length} columns.");
        bool aligned = targets.Length == x.Length / sums.Length;
        for (int start = 0; start < x.Length; start += sums.Length)
        {
            if (aligned && targets[start / sums.Length] == IDataset.IgnoredTarget) continue;
            ReadOnlySpan<float> row = x.Slice(start, sums.Length);
            for (int c = 0; c < row.Length; c++) sums[c] += (double)row[c] * row[c];
        }
    }
}

using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Structured;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Analysis;

/// <summary>How a model reacts when one group of coupled channels, or the weights of one layer, are cut and nothing else.</summary>
/// <param name="Name">The group or layer.</param>
/// <param name="Kind"><c>channels</c>, <c>heads</c>, <c>weights</c>, or <c>frozen</c>.</param>
/// <param name="Units">Units that it has.</param>
/// <param name="Removed">Units that were removed; 0 where nothing was.</param>
/// <param name="After">The model's result with the cut; null when nothing was cut.</param>
/// <param name="Refusal">Why nothing could be cut; such a group is frozen, which says nothing about its robustness (R25).</param>
public sealed record SensitivityRow(string Name, string Kind, int Units, int Removed, Evaluation? After, Refusal? Refusal)
{
    /// <summary>Whether the group cannot be cut.</summary>
    public bool IsFrozen => Refusal is not null;
}

/// <summary>The sensitivities of a model.</summary>
/// <param name="Whole">The result of the whole model.</param>
/// <param name="Rows">Groups in the order of the network, then layers, then what is frozen.</param>
public sealed record SensitivityResult(Evaluation Whole, IReadOnlyList<SensitivityRow> Rows)
{
    /// <summary>By how much the loss rises when the row's units leave; NaN for a frozen row.</summary>
    public double LossRise(SensitivityRow row)
    {
        ArgumentNullException.ThrowIfNull(row);
        return row.After is { } after ? after.Loss - Whole.Loss : double.NaN;
    }
}

/// <summary>Measures the sensitivity of each coupled group and each layer on its own.</summary>
/// <remarks>
/// Li, Kadav, Durdanovic, Samet and Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.2 (sensitivity of single layers to the removal of their smallest filters), carried
/// over to groups of channels that must leave together: Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023, section 3.2.
/// </remarks>
public static class GroupSensitivity
{
    /// <summary>Cuts a share of every group (and, if asked for, of every layer's weights) alone and evaluates.</summary>
    /// <param name="graph">The model; it is not changed.</param>
    /// <param name="data">Samples to evaluate on.</param>
    /// <param name="normalization">The model's input normalisation.</param>
    /// <param name="options">What is cut.</param>
    /// <param name="cancellation">Stops between groups.</param>
    /// <exception cref="PruningException">SL4002: the share is not between 0 and 1; SL4013: the whole model's loss is no number.</exception>
    public static SensitivityResult Measure(ModelGraph graph, IDataset data, InputNormalization normalization, SensitivityOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(data);
        options ??= new SensitivityOptions();
        if (options.Share is not (> 0 and < 1)) throw new PruningException("SL4002", $"a share of {options.Share:0.##} cannot be cut from a group") { Try = "above 0 and below 1, for example 0.5" };
        DependencyGraph dependencies = DependencyGraph.Build(graph, cancellation);
        IReadOnlyList<PrunableLayer> layers = LayerDiscovery.Find(graph);
        double total = 1 + (options.Channels ? dependencies.Groups.Count : 0) + (options.Weights ? layers.Count : 0);
        Evaluation whole = NetworkOutputs.EvaluateWhole(graph, data, normalization, options.BatchSize, cancellation);
        var rows = new List<SensitivityRow>();
        double done = 1;
        if (options.Channels)
        {
            foreach (ChannelGroup group in dependencies.Groups)
            {
                options.Progress?.Report(new AnalysisProgress(done++, total, group.Name));
                rows.Add(Cut(dependencies, group, data, normalization, options, cancellation));
            }
        }
        if (options.Weights)
        {
            foreach (PrunableLayer layer in layers)
            {
                options.Progress?.Report(new AnalysisProgress(done++, total, layer.Name));
                rows.Add(Cut(graph, layer, data, normalization, options, cancellation));
            }
        }
        if (options.Channels)
        {
            foreach (FrozenAxis frozen in dependencies.Refused) rows.Add(new SensitivityRow($"{frozen.Weight} axis {frozen.Axis}", "frozen", frozen.Entries, 0, null, frozen.Refusal));
        }
        return new SensitivityResult(whole, rows);
    }

    private static SensitivityRow Cut(DependencyGraph dependencies, ChannelGroup group, IDataset data, InputNormalization normalization, SensitivityOptions options, CancellationToken cancellation)
    {
        string kind = group.Kind == UnitKind.Head ? "heads" : "channels";
        if (group.UnitCount < 2) return new SensitivityRow(group.Name, "frozen", group.UnitCount, 0, null, new Refusal(RefusalReason.FloorReached, "the group has a single unit", null));
        int count = Math.Clamp((int)Math.Round(options.Share * group.UnitCount), 1, group.UnitCount - 1);
        double[] scores = options.Importance.Score(dependencies.Graph, group);
        var removal = new Removal(dependencies).Add(group, Enumerable.Range(0, group.UnitCount).OrderBy(u => scores[u]).ThenBy(u => u).Take(count));
        ModelGraph smaller = Surgeon.Remove(removal).Graph;
        return new SensitivityRow(group.Name, kind, group.UnitCount, count, NetworkOutputs.Evaluate(smaller, data, normalization, options.BatchSize, cancellation), null);
    }

    private static SensitivityRow Cut(ModelGraph graph, PrunableLayer layer, IDataset data, InputNormalization normalization, SensitivityOptions options, CancellationToken cancellation)
    {
        ModelGraph copy = graph.Clone();
        int before = copy.Weights[layer.Name].Mask?.KeptCount ?? layer.Length;
        // The share refers to what is still there.
        var settings = new PruningSettings { Sparsity = 1 - (1 - options.Share) * before / layer.Length, Policy = new LayerPolicy { Targets = [layer.Name] }, Bounds = LayerBounds.None, Pattern = SparsityPattern.Unstructured };
        new ScoredPruning("magnitude", PruningStage.After, settings, new MagnitudeCriterion(), new UniformAllocation()).Apply(PruningTarget.Of(copy));
        int after = copy.Weights[layer.Name].Mask?.KeptCount ?? layer.Length;
        return new SensitivityRow(layer.Name, "weights", before, before - after, NetworkOutputs.Evaluate(copy, data, normalization, options.BatchSize, cancellation), null);
    }
}

/// <summary>What a sensitivity analysis cuts.</summary>
public sealed record SensitivityOptions
{
    /// <summary>Share of the units that is cut, above 0 and below 1; at least one unit goes and one stays.</summary>
    public double Share { get; init; } = 0.5;

    /// <summary>Whether groups of channels are cut.</summary>
    public bool Channels { get; init; } = true;

    /// <summary>Whether single weights of layers are cut, the smallest first.</summary>
    public bool Weights { get; init; } = true;

    /// <summary>Which units of a group go first: those of the lowest score.</summary>
    public GroupImportance Importance { get; init; } = new();

    /// <summary>Samples per forward pass.</summary>
    public int BatchSize { get; init; } = 256;

    /// <summary>Reports.</summary>
    public IProgress<AnalysisProgress>? Progress { get; init; }
}

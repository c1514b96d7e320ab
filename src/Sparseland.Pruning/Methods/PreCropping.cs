using Sparseland.Model.Analysis;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Structured;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Methods;

/// <summary>PreCropping: densities per layer become widths, and the narrower dense network is trained; nothing is masked.</summary>
/// <remarks>
/// Cai et al., "Structured Pruning is All You Need for Pruning CNNs at Initialization", 2022, sections 3 and 4. Densities maximise sum log p_l under a budget of parameters or multiply-adds (<see cref="LogDensityAllocation"/>).
/// A layer between channel groups a and b has density r_a r_b, so log r_a + log r_b is fitted to log p_l by least squares with r at most 1, groups that an addition joins being one; then one factor for all groups is found
/// with which the widths max(1, floor(r C)) meet the budget. (The paper's own rule for widths could not be checked; this one is derived.) Channels are interchangeable at initialisation, so the last ones go, and what stays of
/// a weight is scaled by sqrt(old / new inputs): the values are those of a network that was initialised at the smaller size.
/// </remarks>
/// <param name="settings">What every method is told; the sparsity is the share of the budget's unit that goes.</param>
/// <param name="unit">What the budget counts.</param>
/// <param name="multiple">Widths are multiples of this where a group has as many units.</param>
public sealed class PreCropping(PruningSettings settings, BudgetUnit unit, int multiple = 1) : GraphSparsifier("precrop", PruningStage.Before, settings)
{
    private readonly int _multiple = multiple >= 1 ? multiple : throw new ArgumentOutOfRangeException(nameof(multiple), multiple, "At least 1.");

    /// <summary>The catalogue's entry.</summary>
    public static MethodInfo Info { get; } = new()
    {
        Id = "precrop",
        Title = "PreCropping",
        Paper = "Cai, Hua, Chen, Suh, De Sa and Zhang: Structured Pruning is All You Need for Pruning CNNs at Initialization, 2022",
        Section = "sections 3 and 4",
        Description = "makes an untrained network narrower, with widths from the layer densities that keep most of its flow; needs no data",
        Stage = PruningStage.Before,
        Path = TrainingPath.SparseToSparse,
        Granularities = [Granularity.Channel],
        MaskSource = MaskSource.Architecture,
        Needs = CriterionNeeds.None,
        Parameters =
        [
            new("budget", ParameterType.Choice, "parameters", "what the sparsity is a share of") { Choices = ["parameters", "macs"] },
            new("multiple", ParameterType.Integer, "1", "widths are multiples of this where a group has as many channels") { Min = 1, Max = 1024 },
        ],
        DefaultSparsity = 0.7,
        Create = r => new PreCropping(r.Settings, r.Arguments.Choice("budget") == "macs" ? BudgetUnit.Macs : BudgetUnit.Parameters, r.Arguments.Int("multiple")),
    };

    /// <inheritdoc/>
    public override GraphResult Rewrite(ModelGraph graph, PruningContext? context = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        context ??= new PruningContext();
        DependencyGraph dependencies = DependencyGraph.Build(graph, context.Cancellation);
        IReadOnlyList<ChannelGroup> groups = dependencies.Groups;
        if (groups.Count == 0) throw new PruningException("SL4006", "the model has no channels that could be left out") { Because = string.Join("; ", dependencies.Refused.Take(3)) };
        Dictionary<string, TensorType>? types = context.Data?.Dataset is { Kind: SampleKind.Picture } data && graph.Inputs.Count == 1
            ? new() { [graph.Inputs[0].Name] = new TensorType(graph.Inputs[0].Type.ElementType, new TensorShape([1, .. data.SampleShape.ToArray()])) }
            : null;
        var estimate = new CostEstimate(dependencies, types);
        long Cost(int[] kept) => ChannelPlan.Count(estimate.Of(groups.Select((g, i) => (g, kept[i]))), unit);
        int[] all = [.. groups.Select(g => g.UnitCount)];
        long whole = Cost(all);
        double budget = whole * Settings.Density;
        double[] ratios = Ratios(graph, dependencies, estimate, budget, whole);
        int[] widths = Fit(groups, ratios, kept => Cost(kept) <= budget, _multiple)
            ?? throw new PruningException("SL4004", $"{Settings.Sparsity:P1} of the {(unit == BudgetUnit.Macs ? "multiply-adds" : "parameters")} cannot be left out")
            {
                Because = $"with the narrowest network {(double)Cost(Widths(groups, [.. ratios.Select(_ => 0.0)], _multiple)) / whole:P1} remain",
                Try = "a smaller sparsity",
            };
        var removal = new Removal(dependencies);
        for (int g = 0; g < groups.Count; g++) removal.Add(groups[g], Enumerable.Range(widths[g], all[g] - widths[g]));
        ModelGraph cropped = Surgeon.Remove(removal).Graph;
        Rescale(graph, cropped);
        return new GraphResult(cropped, [.. groups.Select((g, i) => new GraphChange(g.Name, g.Kind == UnitKind.Head ? "heads" : "channels", all[i], widths[i]))], [.. dependencies.Refused.Select(f => f.ToString())], []);
    }

    /// <summary>The kept fraction of every group: least squares of log r_a + log r_b against log p_l, r at most 1.</summary>
    /// <param name="pairs">The groups on the two sides of each layer; -1 where a side is fixed.</param>
    /// <param name="densities">p_l, above 0.</param>
    /// <param name="groups">Number of groups.</param>
    public static double[] FitRatios(IReadOnlyList<(int Input, int Output)> pairs, IReadOnlyList<double> densities, int groups)
    {
        ArgumentNullException.ThrowIfNull(pairs);
        ArgumentNullException.ThrowIfNull(densities);
        double[] x = new double[groups], next = new double[groups], wanted = [.. densities.Select(d => Math.Log(d))];
        // What touches a group, once: every sweep then looks at each layer twice, however many groups there are.
        (int Layer, int Times)[][] touching = [.. Enumerable.Range(0, groups).Select(g => pairs.Select((p, l) => (l, (p.Input == g ? 1 : 0) + (p.Output == g ? 1 : 0))).Where(t => t.Item2 > 0).ToArray())];
        // All at once and half way, from 0: of several solutions the one that treats groups alike, which Gauss-Seidel would not find.
        for (int sweep = 0; sweep < 20_000; sweep++)
        {
            double moved = 0;
            for (int g = 0; g < groups; g++)
            {
                double residual = 0, diagonal = 0;
                foreach ((int l, int times) in touching[g])
                {
                    residual += times * (wanted[l] - (pairs[l].Input >= 0 ? x[pairs[l].Input] : 0) - (pairs[l].Output >= 0 ? x[pairs[l].Output] : 0));
                    diagonal += times * times;
                }
                next[g] = diagonal == 0 ? 0 : Math.Min(0, x[g] + 0.5 * residual / diagonal);
                moved = Math.Max(moved, Math.Abs(next[g] - x[g]));
            }
            (x, next) = (next, x);
            if (moved < 1e-12) break;
        }
        return [.. x.Select(Math.Exp)];
    }

    /// <summary>The widest widths max(1, floor(t r C)) that fit, over a common factor t; null when the narrowest do not.</summary>
    internal static int[]? Fit(IReadOnlyList<ChannelGroup> groups, double[] ratios, Func<int[], bool> fits, int multiple)
    {
        double low = -40, high = 40;
        if (!fits(Widths(groups, [.. ratios.Select(r => r * Math.Exp(low))], multiple))) return null;
        for (int i = 0; i < 80; i++)
        {
            double middle = (low + high) / 2;
            if (fits(Widths(groups, [.. ratios.Select(r => r * Math.Exp(middle))], multiple))) low = middle;
            else high = middle;
        }
        return Widths(groups, [.. ratios.Select(r => r * Math.Exp(low))], multiple);
    }

    private static int[] Widths(IReadOnlyList<ChannelGroup> groups, double[] ratios, int multiple) => [.. groups.Select((g, i) =>
    {
        int width = Math.Max(1, (int)Math.Floor(Math.Min(1, ratios[i]) * g.UnitCount + 1e-9)), step = Math.Min(multiple, g.UnitCount);
        return width == g.UnitCount ? width : Math.Max(step, width / step * step);
    })];

    private double[] Ratios(ModelGraph graph, DependencyGraph dependencies, CostEstimate estimate, double budget, long whole)
    {
        List<PrunableLayer> layers = [.. LayerDiscovery.Find(graph)];
        var pairs = new List<(int, int)>();
        var costs = new List<double>();
        ModelCost dense = estimate.Of([]);
        foreach (PrunableLayer layer in layers)
        {
            int outAxis = layer.OutputsFirst ? 0 : 1, inAxis = 1 - outAxis;
            int output = dependencies.GroupOf(layer.Name, outAxis)?.Index ?? -1, input = layer.Kind == LayerKind.Depthwise ? -1 : dependencies.GroupOf(layer.Name, inAxis)?.Index ?? -1;
            if (input < 0 && output < 0) continue;
            pairs.Add((input, output));
            costs.Add(unit == BudgetUnit.Parameters ? layer.Length : dense.Nodes.Where(n => n.Node.Name == layer.Node).Sum(n => n.Macs));
        }
        // What no layer accounts for (biases, norms, frozen layers) comes off the budget in proportion.
        double counted = costs.Sum();
        return FitRatios(pairs, [.. LogDensityAllocation.Solve(costs, budget * counted / Math.Max(1, whole)).Select(p => Math.Max(p, 1e-9))], dependencies.Groups.Count);
    }

    private static void Rescale(ModelGraph before, ModelGraph after)
    {
        foreach (PrunableLayer layer in LayerDiscovery.Find(after))
        {
            PrunableLayer? old = LayerDiscovery.Find(before).FirstOrDefault(l => l.Name == layer.Name);
            if (old is null || old.Columns == layer.Columns || layer.Columns == 0) continue;
            float scale = MathF.Sqrt((float)old.Columns / layer.Columns);
            Weight weight = after.Weights[layer.Name];
            float[] values = [.. weight.Read().ToSingles()];
            for (int i = 0; i < values.Length; i++) values[i] *= scale;
            weight.Set(TensorData.Wrap(values, [.. layer.Shape]));
        }
    }
}

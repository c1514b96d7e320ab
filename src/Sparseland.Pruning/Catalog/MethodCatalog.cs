using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Regrowth;
using Sparseland.Pruning.Schedules;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Catalog;

/// <summary>Every method, as an explicit list: one line here, one file for the method, one test, one page.</summary>
public static class MethodCatalog
{
    private static readonly string[] s_any = ["unstructured", "N:M", "block", "row", "column"];
    private static readonly string[] s_single = ["unstructured"];

    private static readonly MethodParameter s_allocation = new("allocation", ParameterType.Choice, "global", "how the budget is shared out among the layers")
    {
        Choices = ["global", "uniform", "uniform+", "erk", "er", "lamp"],
    };

    private static readonly MethodParameter s_shapeAllocation = s_allocation with { Default = "erk", Choices = ["erk", "er", "uniform", "uniform+"] };
    private static readonly MethodParameter s_batches = new("batches", ParameterType.Integer, "1", "batches over which gradients are averaged") { Min = 1, Max = 10_000 };
    private static readonly MethodParameter s_interval = new("interval", ParameterType.Integer, "100", "steps between mask updates") { Min = 1, Max = 1_000_000 };

    /// <summary>All methods in the order in which they are listed.</summary>
    public static IReadOnlyList<MethodInfo> All { get; } =
    [
        new("magnitude", "Global magnitude pruning", "Gupta, Camci, Keneta, Vaidyanathan, Kanodia, Foo, Wu and Lin: Is Complexity Required for Neural Network Pruning? A Case Study on Global Magnitude Pruning, 2022",
            "section 3", PruningStage.After, s_any, CriterionNeeds.None, "removes the smallest weights of a trained network in one go, with a floor per layer", [s_allocation],
            r => new ScoredPruning("magnitude", PruningStage.After, r.Settings, new MagnitudeCriterion(), Allocation(r.Arguments.Choice("allocation")))),
        new("random", "Random pruning", "Liu et al.: The Unreasonable Effectiveness of Random Pruning, ICLR 2022", "section 3", PruningStage.Before, s_any, CriterionNeeds.None,
            "removes weights at random, with exact counts: the baseline", [s_shapeAllocation],
            r => new ScoredPruning("random", PruningStage.Before, r.Settings, new RandomCriterion(), Allocation(r.Arguments.Choice("allocation")))),
        new("snip", "SNIP", "Lee, Ajanthan and Torr: SNIP: Single-shot Network Pruning based on Connection Sensitivity, ICLR 2019", "section 4, equation 6", PruningStage.Before, s_any,
            CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients, "removes the weights of an untrained network to which the loss reacts least", [s_allocation, s_batches],
            r => new ScoredPruning("snip", PruningStage.Before, r.Settings, new SnipCriterion(), Allocation(r.Arguments.Choice("allocation")), r.Arguments.Int("batches"))) { DefaultSparsity = 0.9 },
        new("gmp", "Gradual magnitude pruning", "Zhu and Gupta: To prune, or not to prune: exploring the efficacy of pruning for model compression, 2017", "section 3, equation 1", PruningStage.During, s_any,
            CriterionNeeds.Data | CriterionNeeds.Labels, "raises the sparsity along a cubic curve while the network is trained",
            [
                s_allocation,
                new("schedule", ParameterType.Choice, "cubic", "shape of the rise") { Choices = ["cubic", "linear", "exponential", "one-shot"] },
                new("initial", ParameterType.Share, "0", "sparsity at the first update") { Min = 0, Max = 0.999 },
                new("start", ParameterType.Share, "0.05", "where in the run the rise begins") { Min = 0, Max = 1 },
                new("end", ParameterType.Share, "0.7", "where in the run the final sparsity is reached") { Min = 0, Max = 1 },
                s_interval with { Default = "10" },
            ], Gradual) { DefaultSparsity = 0.9 },
        new("rigl", "RigL", "Evci, Gale, Menick, Castro and Elsen: Rigging the Lottery: Making All Tickets Winners, ICML 2020", "section 3, algorithm 1", PruningStage.During, s_single,
            CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients, "trains sparse from the first step; small weights move to where the dense gradient is largest", Dynamic("0.3"),
            r => DynamicTraining("rigl", r, new GradientRegrowth(), true)) { DefaultSparsity = 0.9 },
        new("set", "Sparse evolutionary training", "Mocanu et al.: Scalable training of artificial neural networks with adaptive sparse connectivity inspired by network science, Nature Communications 2018", "section 2",
            PruningStage.During, s_single, CriterionNeeds.Data | CriterionNeeds.Labels, "trains sparse from the first step; small weights move at random", Dynamic("0.3"),
            r => DynamicTraining("set", r, new RandomRegrowth(), false)) { DefaultSparsity = 0.9 },
        new("static", "Static sparse training", "Evci et al.: Rigging the Lottery, ICML 2020 (baseline)", "section 4", PruningStage.During, s_single, CriterionNeeds.Data | CriterionNeeds.Labels,
            "trains a random sparse network whose masks never change", [s_shapeAllocation],
            r => new DynamicSparseTraining("static", r.Settings, Allocation(r.Arguments.Choice("allocation")), new CosineDrop(0, 1, 1), new RandomRegrowth(), false)) { DefaultSparsity = 0.9 },
        new("wanda", "Wanda", "Sun, Liu, Bair and Kolter: A Simple and Effective Pruning Approach for Large Language Models, ICLR 2024", "section 3, equation 1, algorithm 1", PruningStage.After,
            ["unstructured", "N:M"], CriterionNeeds.Data | CriterionNeeds.InputNorms, "removes weights of linear layers by magnitude times input norm, row by row, block after block",
            [
                new("samples", ParameterType.Integer, "32", "calibration samples") { Min = 1, Max = 1_000_000 },
                new("sequential", ParameterType.Switch, "true", "measure each block behind pruned earlier blocks"),
            ], r => new WandaPruning(r.Settings, r.Arguments.Int("samples"), r.Arguments.Switch("sequential"))) { DefaultPolicy = new LayerPolicy { Last = false } },
        new("channels", "Channel removal by group norm", "Li et al.: Pruning Filters for Efficient ConvNets, ICLR 2017; Fang et al.: DepGraph: Towards Any Structural Pruning, CVPR 2023", "section 3; sections 3.2, 3.3",
            PruningStage.After, ["channel"], CriterionNeeds.None, "removes whole channels, heads and neurons until a share of the multiply-accumulates or parameters is gone; the file becomes smaller everywhere",
            [
                new("budget", ParameterType.Choice, "macs", "what the sparsity is a share of") { Choices = ["macs", "parameters"] },
                new("spread", ParameterType.Choice, "global", "whether all units are ranked together or every group loses the same share") { Choices = ["global", "uniform"] },
                new("floor", ParameterType.Share, "0.1", "least share of its units that every group keeps") { Min = 0, Max = 1 },
                new("multiple", ParameterType.Integer, "8", "widths are rounded up to a multiple of this") { Min = 1, Max = 1024 },
                new("norm", ParameterType.Choice, "l2", "norm of a unit") { Choices = ["l1", "l2"] },
                new("scope", ParameterType.Choice, "group", "all weights that leave together, or the filter alone") { Choices = ["group", "producer"] },
            ], Channels),
    ];

    /// <summary>The method of that id, or null.</summary>
    public static MethodInfo? Find(string id) => All.FirstOrDefault(m => string.Equals(m.Id, id, StringComparison.OrdinalIgnoreCase));

    /// <summary>The method of that id.</summary>
    /// <exception cref="PruningException">SL4011: there is none; near misses are named.</exception>
    public static MethodInfo Get(string id)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        if (Find(id) is { } method) return method;
        string[] near = [.. All.Select(m => m.Id).Where(m => NameFilter.Distance(m, id.ToLowerInvariant()) <= 2)];
        throw new PruningException("SL4011", $"there is no method '{id}'") { Try = near.Length > 0 ? "did you mean " + string.Join(", ", near) : "methods: " + string.Join(", ", All.Select(m => m.Id)) };
    }

    /// <summary>The allocation of that name.</summary>
    /// <exception cref="ArgumentException">There is none.</exception>
    public static IAllocation Allocation(string id) => id switch
    {
        "global" => new GlobalAllocation(),
        "uniform" => new UniformAllocation(),
        "uniform+" => new UniformPlusAllocation(),
        "erk" => new ErdosRenyiAllocation(),
        "er" => new ErdosRenyiAllocation(kernel: false),
        "lamp" => new LampAllocation(),
        _ => throw new ArgumentException($"There is no allocation '{id}'.", nameof(id)),
    };

    private static ChannelPruning Channels(MethodRequest r) => new(r.Settings,
        new ChannelBudget(r.Arguments.Choice("budget") == "macs" ? BudgetUnit.Macs : BudgetUnit.Parameters, 1)
        {
            Spread = r.Arguments.Choice("spread") == "uniform" ? ChannelSpread.Uniform : ChannelSpread.Global,
            Floor = r.Arguments.Number("floor"),
            Rounding = new WidthRounding(r.Arguments.Int("multiple")),
        },
        new GroupImportance { Norm = r.Arguments.Choice("norm") == "l1" ? UnitNorm.L1 : UnitNorm.L2, Scope = r.Arguments.Choice("scope") == "producer" ? UnitScope.Producer : UnitScope.Group });

    private static MethodParameter[] Dynamic(string share) =>
    [
        s_shapeAllocation,
        new("share", ParameterType.Share, share, "share of the active weights that is exchanged at first") { Min = 0, Max = 1 },
        new("end", ParameterType.Share, "0.75", "where in the run the masks come to rest") { Min = 0, Max = 1 },
        s_interval,
    ];

    private static DynamicSparseTraining DynamicTraining(string id, MethodRequest r, IRegrowth regrowth, bool replaces)
    {
        long last = Math.Max(1, (long)Math.Round(RequireRun(id, r) * r.Arguments.Number("end")));
        return new DynamicSparseTraining(id, r.Settings, Allocation(r.Arguments.Choice("allocation")), new CosineDrop(r.Arguments.Number("share"), last, r.Arguments.Int("interval"), Math.Min(last, r.Arguments.Int("interval"))), regrowth, replaces);
    }

    private static GradualPruning Gradual(MethodRequest r)
    {
        long steps = RequireRun("gmp", r);
        long first = (long)Math.Round(steps * r.Arguments.Number("start")), last = Math.Min(steps - 1, (long)Math.Round(steps * r.Arguments.Number("end")));
        if (last < first) throw new PruningException("SL4002", "'end' lies before 'start'") { Try = "start 0.05 and end 0.7, for example" };
        double initial = r.Arguments.Number("initial"), final = r.Settings.Sparsity;
        if (initial > final) throw new PruningException("SL4002", $"the initial sparsity of {initial:P0} exceeds the final one of {final:P0}");
        int interval = r.Arguments.Int("interval");
        ISchedule schedule = r.Settings.Pattern.Kind == SparsityKind.NofM ? new OneShot(Math.Max(final, 1e-9), first) : r.Arguments.Choice("schedule") switch
        {
            "cubic" => new CubicRamp(initial, final, first, last, interval),
            "linear" => new LinearRamp(initial, final, first, last, interval),
            "exponential" => new ExponentialRamp(initial, final, first, last, interval),
            _ => new OneShot(final, first),
        };
        return new GradualPruning(r.Settings, schedule, new MagnitudeCriterion(), Allocation(r.Arguments.Choice("allocation")));
    }

    private static long RequireRun(string id, MethodRequest r) => r.TotalSteps >= 1
        ? r.TotalSteps
        : throw new PruningException("SL4005", $"the method '{id}' acts while a network is trained; there is no training run") { Try = "sparseland train with this method, or give the number of epochs" };
}

namespace Sparseland.Pruning.Analysis;

/// <summary>What is known about an experiment, as its run folder tells; null where it tells nothing.</summary>
public sealed record ExperimentFacts
{
    /// <summary>The method's id; null for a dense training.</summary>
    public string? Method { get; init; }

    /// <summary>When the method acts.</summary>
    public PruningStage? Stage { get; init; }

    /// <summary>Whether whole channels or the like leave (and not single weights).</summary>
    public bool IsStructured { get; init; }

    /// <summary>Whether masks change while the network is trained.</summary>
    public bool IsDynamic { get; init; }

    /// <summary>Whether the training, and not only its result, is sparse.</summary>
    public bool TrainsSparse { get; init; }

    /// <summary>Whether a dense network of the same shape was measured on the same data.</summary>
    public bool HasDense { get; init; }

    /// <summary>Other experiments that were laid beside this one.</summary>
    public IReadOnlyList<ExperimentFacts> Beside { get; init; } = [];

    /// <summary>Whether file sizes before and after are known.</summary>
    public bool HasBytes { get; init; }

    /// <summary>Whether operations that count are known.</summary>
    public bool HasOperations { get; init; }

    /// <summary>Whether time beside the dense twin was measured.</summary>
    public bool HasLatency { get; init; }

    /// <summary>Whether the cost of training was recorded.</summary>
    public bool HasTrainingCost { get; init; }

    /// <summary>Whether the peak memory was recorded.</summary>
    public bool HasPeakMemory { get; init; }

    /// <summary>Whether the dense phase is part of the record of training (the run trained it, or names the run that did).</summary>
    public bool KnowsDensePhase { get; init; }

    /// <summary>Share of the weights that were ever active.</summary>
    public double? ExploredShare { get; init; }

    /// <summary>Kept share by layer; empty when it is not known.</summary>
    public IReadOnlyList<double> LayerDensities { get; init; } = [];

    /// <summary>Sparsity over the layers that may be pruned.</summary>
    public double? Sparsity { get; init; }

    /// <summary>Sparsity over all parameters.</summary>
    public double? WholeSparsity { get; init; }

    /// <summary>Seed of the run.</summary>
    public long? Seed { get; init; }

    /// <summary>Optimizer steps.</summary>
    public long? Steps { get; init; }

    /// <summary>The recipe as text, without seed and method: what must be equal in arms that are compared.</summary>
    public string? Recipe { get; init; }

    /// <summary>Parameters that are not zero.</summary>
    public long? NonZeros { get; init; }
}

/// <summary>How an experiment stands to a rule.</summary>
public enum LessonVerdict
{
    /// <summary>It honours the rule.</summary>
    Honoured,

    /// <summary>Something is missing.</summary>
    Missing,

    /// <summary>The rule does not concern it.</summary>
    NotApplicable,
}

/// <summary>One rule and how an experiment stands to it.</summary>
/// <param name="Number">1 to 10.</param>
/// <param name="Rule">The rule, one sentence.</param>
/// <param name="Verdict">How it stands.</param>
/// <param name="Reason">What was found or is missing.</param>
/// <param name="Try">What to do, or null.</param>
public sealed record LessonFinding(int Number, string Rule, LessonVerdict Verdict, string Reason, string? Try = null);

/// <summary>Ten rules of fair comparison for sparse networks, checked against the record of an experiment.</summary>
/// <remarks>
/// After "Ten Lessons We Have Learned in the New Sparseland: A Short Handbook for Sparse Neural Network Researchers" (2023). The paper names confusions; these rules and
/// their wording are this toolkit's reading of them.
/// </remarks>
public static class ExperimentChecklist
{
    /// <summary>Seeds that a comparison needs.</summary>
    public const int Seeds = 3;

    /// <summary>Checks all ten rules, in order.</summary>
    public static IReadOnlyList<LessonFinding> Check(ExperimentFacts facts)
    {
        ArgumentNullException.ThrowIfNull(facts);
        bool sparse = facts.Method is not null;
        return
        [
            DenseTwins(facts, sparse), SizeAndTime(facts, sparse), WhatIsSparse(facts, sparse), WholeBill(facts, sparse), StaticOrDynamic(facts, sparse),
            StageFirst(facts, sparse), RealSparsity(facts, sparse), Baselines(facts, sparse), EqualArms(facts), NamedSet(facts, sparse),
        ];
    }

    private static LessonFinding DenseTwins(ExperimentFacts f, bool sparse)
    {
        const string Rule = "beside a dense network of the same shape stands a small dense one with as many non-zero weights, trained alike";
        if (!sparse) return None(1, Rule);
        // Ten per cent either way is what widths in whole channels allow.
        bool small = f.NonZeros is { } n && f.Beside.Any(b => b.Method is null && b.NonZeros is { } m && Math.Abs(m - n) <= 0.1 * n);
        bool dense = f.HasDense || f.Beside.Any(b => b.Method is null && b.NonZeros is { } m && f.NonZeros is { } k && m > 1.5 * k);
        return (dense, small) switch
        {
            (true, true) => Good(1, Rule, "both are there"),
            (true, false) => Bad(1, Rule, $"no small dense network of about {f.NonZeros:N0} weights lies beside it", "train a narrower network with the same data and epochs, and name its run with --beside"),
            (false, true) => Bad(1, Rule, "the dense network of the same shape was not measured", "prune with --data, or name the dense run with --beside"),
            _ => Bad(1, Rule, "neither was measured", "prune with --data, train a narrower network too, and name its run with --beside"),
        };
    }

    private static LessonFinding SizeAndTime(ExperimentFacts f, bool sparse)
    {
        const string Rule = "parameter counts never stand alone: bytes on disk, operations and measured time stand beside them";
        if (!sparse) return None(2, Rule);
        string[] missing = [.. new[] { f.HasBytes ? null : "bytes", f.HasOperations ? null : "operations", f.HasLatency ? null : "time beside the dense twin" }.OfType<string>()];
        return missing.Length == 0 ? Good(2, Rule, $"all three are there, for {(f.IsStructured ? "a smaller model" : "zeros in place")}")
            : Bad(2, Rule, "missing: " + string.Join(", ", missing), "prune without --no-bench, or run: sparseland bench MODEL");
    }

    private static LessonFinding WhatIsSparse(ExperimentFacts f, bool sparse)
    {
        const string Rule = "sparse inference and sparse training are told apart, with the cost and peak memory of training";
        if (!sparse) return None(3, Rule);
        string what = f.TrainsSparse ? "training and inference are sparse" : "inference is sparse, training is not";
        string[] missing = [.. new[] { f.HasTrainingCost ? null : "cost of training", f.HasPeakMemory ? null : "peak memory" }.OfType<string>()];
        return missing.Length == 0 ? Good(3, Rule, what) : Bad(3, Rule, $"{what}; missing: {string.Join(", ", missing)}", "record them with the run");
    }

    private static LessonFinding WholeBill(ExperimentFacts f, bool sparse)
    {
        const string Rule = "the cost of training includes the dense phase and every round";
        if (!sparse || f.Stage == PruningStage.Before || f.TrainsSparse) return None(4, Rule, "nothing was trained densely before");
        return f.KnowsDensePhase ? Good(4, Rule, "the dense phase is on record")
            : Bad(4, Rule, "nothing says what the training of the dense network cost", "name its run with --beside");
    }

    private static LessonFinding StaticOrDynamic(ExperimentFacts f, bool sparse)
    {
        const string Rule = "for masks that move: how many distinct weights were ever active, and when the last mask changed";
        if (!sparse || !f.IsDynamic) return None(5, Rule, sparse ? "masks do not move once a weight is gone" : "nothing is sparse");
        return f.ExploredShare is { } share ? Good(5, Rule, $"{share:P1} of the weights were active at some step")
            : Bad(5, Rule, "the explored share is not on record", "train with the ExploredWeights callback");
    }

    private static LessonFinding StageFirst(ExperimentFacts f, bool sparse)
    {
        const string Rule = "methods are compared inside their stage (before, during, after training) first";
        if (!sparse) return None(6, Rule);
        if (f.Stage is null) return Bad(6, Rule, $"the stage of '{f.Method}' is not known", "use a method of the catalogue");
        string[] others = [.. f.Beside.Where(b => b.Method is not null && b.Method != f.Method && b.Stage != f.Stage).Select(b => b.Method!).Distinct()];
        bool same = f.Beside.Any(b => b.Method is not null && b.Method != f.Method && b.Stage == f.Stage);
        return others.Length > 0 && !same ? Bad(6, Rule, $"only methods of other stages lie beside it: {string.Join(", ", others)}", "add a method of the same stage with --beside")
            : Good(6, Rule, $"acts {f.Stage.ToString()!.ToLowerInvariant()} training" + (same ? "; a method of the same stage lies beside it" : ""));
    }

    private static LessonFinding RealSparsity(ExperimentFacts f, bool sparse)
    {
        const string Rule = "it is said whether zeros were multiplied or skipped";
        if (!sparse) return None(7, Rule);
        return f.HasLatency ? Good(7, Rule, "the plan of the timed model says which kernel each layer got")
            : Bad(7, Rule, "the model was not timed, so nothing says which kernels ran", "sparseland bench MODEL --plan");
    }

    private static LessonFinding Baselines(ExperimentFacts f, bool sparse)
    {
        const string Rule = "random masks at the same densities, and magnitude with retraining, are there to be beaten";
        if (!sparse) return None(8, Rule);
        bool Has(params string[] ids) => ids.Contains(f.Method) || f.Beside.Any(b => ids.Contains(b.Method) && Close(b.Sparsity, f.Sparsity));
        string[] missing = [.. new[] { Has("random", "static") ? null : "random masks (method random or static)", Has("magnitude", "gmp") ? null : "magnitude (method magnitude or gmp)" }.OfType<string>()];
        return missing.Length == 0 ? Good(8, Rule, "both are there") : Bad(8, Rule, "missing at this sparsity: " + string.Join(", ", missing), "run them with the same data and epochs, and name the runs with --beside");
    }

    private static LessonFinding EqualArms(ExperimentFacts f)
    {
        string rule = $"arms have the same steps and recipe, and at least {Seeds} seeds with their spread";
        int seeds = f.Beside.Where(b => b.Method == f.Method && Close(b.Sparsity, f.Sparsity)).Select(b => b.Seed).Append(f.Seed).Where(s => s is not null).Distinct().Count();
        string[] odd = [.. f.Beside.Where(b => b.Steps is { } s && f.Steps is { } t && s != t).Select(b => $"{b.Method ?? "dense"} with {b.Steps:N0} steps").Distinct()];
        string[] recipes = [.. f.Beside.Where(b => b.Recipe is not null && f.Recipe is not null && b.Recipe != f.Recipe).Select(b => b.Method ?? "dense").Distinct()];
        string[] wrong =
        [
            .. seeds < Seeds ? new[] { $"{seeds} of {Seeds} seeds" } : [],
            .. odd.Length > 0 ? new[] { $"other lengths than {f.Steps:N0} steps: {string.Join(", ", odd)}" } : [],
            .. recipes.Length > 0 ? new[] { $"other training settings: {string.Join(", ", recipes)}" } : [],
        ];
        return wrong.Length == 0 ? Good(9, rule, $"{seeds} seeds, equal lengths and settings") : Bad(9, rule, string.Join("; ", wrong), "repeat with other --seed values and the same settings, and name the runs with --beside");
    }

    private static LessonFinding NamedSet(ExperimentFacts f, bool sparse)
    {
        const string Rule = "a sparsity names the set that it is taken over, and whether it is the same in every layer";
        if (!sparse) return None(10, Rule);
        if (f.LayerDensities.Count == 0 || f.WholeSparsity is null) return Bad(10, Rule, "layers, or the whole model's sparsity, are not on record", "run again with this version: it records both");
        double low = f.LayerDensities.Min(), high = f.LayerDensities.Max();
        string spread = high - low < 0.005 ? $"the same in every layer ({low:P1} kept)" : $"{low:P1} to {high:P1} kept by layer";
        string over = f.Sparsity is { } s ? $"{s:P1} of {f.LayerDensities.Count} layers, " : "";
        return Good(10, Rule, $"{over}{f.WholeSparsity:P1} of the whole model; {spread}");
    }

    // Within half a point: exact counts differ by rounding between layers.
    private static bool Close(double? a, double? b) => a is null || b is null ? a == b : Math.Abs(a.Value - b.Value) < 0.005;

    private static LessonFinding Good(int number, string rule, string reason) => new(number, rule, LessonVerdict.Honoured, reason);

    private static LessonFinding Bad(int number, string rule, string reason, string next) => new(number, rule, LessonVerdict.Missing, reason, next);

    private static LessonFinding None(int number, string rule, string reason = "nothing is sparse") => new(number, rule, LessonVerdict.NotApplicable, reason);
}

using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A kernel that could compute a layer.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Cost">Expected work as a fraction of the dense one, see <see cref="BreakEvenTable.Speedup"/>.</param>
/// <param name="Key">Under which the prepared weight is shared among plans.</param>
/// <param name="Prepare">Prepares the weight.</param>
/// <param name="Note">A fact about the weight for the plan's reason, ending in ", " or empty.</param>
internal sealed record Candidate<T>(KernelKind Kind, double Cost, string Key, Func<T> Prepare, string Note) where T : class;

/// <summary>The kernel that was chosen, and why.</summary>
/// <param name="Kernel">The prepared kernel.</param>
/// <param name="Kind">Which.</param>
/// <param name="Density">Kept fraction of the weight.</param>
/// <param name="Reason">For the plan.</param>
internal sealed record KernelChoice<T>(T Kernel, KernelKind Kind, double Density, string Reason) where T : class;

/// <summary>Which rules of the break-even table are asked.</summary>
/// <param name="Work">What the table's rules are compared with.</param>
/// <param name="Text">The same for the plan's reason, beginning with a space, or empty.</param>
/// <param name="Uncertainty">Where a kernel is expected to be less than so many times as fast as the dense one, or as slow, no rule decides: candidates are timed, once in a session.</param>
internal sealed record KernelRules(KernelWork Work, string Text = "", double Uncertainty = 1)
{
    /// <summary>The same work where what is stored comes from farther away than the dense weight: the lesser point of both counts. Null for <see cref="Work"/>.</summary>
    public KernelWork? Stored { get; init; }

    /// <summary>What follows <see cref="Text"/> where the rule that counts is one of weights that no cache holds.</summary>
    public string FarText { get; init; } = "";

    /// <summary>The rule that counts for a kernel; null where there is none.</summary>
    public BreakEven? Find(BreakEvenTable table, KernelKind kernel)
    {
        BreakEven? rule = table.Find(kernel, Work);
        return rule is not null && Stored is { } stored && table.Find(kernel, stored) is { } other && other.Density < rule.Density ? other : rule;
    }

    /// <summary>The text for the plan's reason beside a rule.</summary>
    public string TextOf(BreakEven? rule) => rule is not null && Math.Max(rule.Size, rule.WeightBytes) >= BreakEvenMeasurement.BeyondCaches ? Text + FarText : Text;
}

/// <summary>Chooses among kernels by the break-even table, or by timing them.</summary>
internal static class KernelChooser
{
    /// <summary>For how long each candidate is timed.</summary>
    public const double TuningMilliseconds = 20;

    // Half a microsecond or so: calls cost more than the work.
    private const long SmallestWorthwhile = 20_000;

    /// <summary>The density from which on a weight is full: its zeros are too few to gain from.</summary>
    public const double Full = 0.95;

    /// <summary>Chooses; the first candidate is the dense one.</summary>
    /// <param name="candidates">At least one.</param>
    /// <param name="rules">Which rules of the table count.</param>
    /// <param name="density">Kept fraction of the weight.</param>
    /// <param name="multiplyAdds">Of the dense layer.</param>
    /// <param name="context">The plan in the making.</param>
    /// <param name="work">A runnable call of the layer with a kernel, for timing.</param>
    public static KernelChoice<T> Choose<T>(IReadOnlyList<Candidate<T>> candidates, KernelRules rules, double density, long multiplyAdds, StepContext context, Func<T, Action> work) where T : class
    {
        Candidate<T> dense = candidates[0];
        // Full weights have no zeros to skip; their inputs may.
        if (density >= Full) candidates = [.. candidates.Where(c => c.Kind is KernelKind.Dense or KernelKind.Columns)];
        if (candidates.Count == 1) return Take(dense, density >= 1 ? "" : $"density {density:0.00}");
        if (context.Options.ForceDense) return Take(dense, "dense was asked for");
        if (multiplyAdds < SmallestWorthwhile && !context.Options.AutoTune) return Take(dense, "too little work to gain from zeros");
        BreakEvenTable table = context.Options.BreakEven;
        var ranked = candidates.Skip(1).Select(c => (Candidate: c, Speedup: BreakEvenTable.SpeedupOf(rules.Find(table, c.Kind), c.Cost))).OrderByDescending(c => c.Speedup).ToList();

        // All: a table that was not measured here may be wrong about any of them.
        List<Candidate<T>> tried = [dense, .. ranked.Select(r => r.Candidate).Where(c => double.IsFinite(c.Cost))];
        if (context.Options.AutoTune) return Fastest(tried, density, context, work, out _);
        if (ranked[0].Speedup > 1 / rules.Uncertainty && ranked[0].Speedup < rules.Uncertainty)
        {
            // Kernels may differ in the last bits: what one image size found holds for all that no rule decides. The key of the sparse weight is the layer's.
            Dictionary<string, (KernelKind Kind, string Times)> timed = context.Prepared.Timed;
            lock (timed)
            {
                string layer = ranked[0].Candidate.Key;
                if (timed.TryGetValue(layer, out (KernelKind Kind, string Times) found) && tried.Find(c => c.Kind == found.Kind) is { } chosen)
                    return Take(chosen, $"{chosen.Note}as timed with other shapes: {found.Times}");
                KernelChoice<T> fastest = Fastest(tried, density, context, work, out string times);
                timed[layer] = (fastest.Kind, times);
                return fastest;
            }
        }

        (Candidate<T> first, double speedup) = ranked[0];
        BreakEven? rule = rules.Find(table, first.Kind);
        double breakEven = rule?.Density ?? 0;
        string text = rules.TextOf(rule);
        if (speedup < BreakEvenTable.Margin)
            return Take(dense, $"density {density:0.00}, cost {first.Cost:0.00} is not below break-even {breakEven:0.00} / {BreakEvenTable.Margin}{text} ({table.Origin})");
        return Take(first, $"{first.Note}density {density:0.000}, cost {first.Cost:0.000} below break-even {breakEven:0.00}{text} ({table.Origin})");

        KernelChoice<T> Take(Candidate<T> chosen, string reason) => new(context.Prepared.Get(chosen.Key, chosen.Prepare), chosen.Kind, density, reason);
    }

    /// <summary>Times candidates, the dense one first; what lost and no other plan has is not held.</summary>
    private static KernelChoice<T> Fastest<T>(List<Candidate<T>> tried, double density, StepContext context, Func<T, Action> work, out string text) where T : class
    {
        bool[] known = [.. tried.Select(c => context.Prepared.Has(c.Key))];
        int best = -1;
        try
        {
            T[] kernels = [.. tried.Select(c => context.Prepared.Get(c.Key, c.Prepare))];
            double[] times = KernelTimer.Best(TuningMilliseconds, context.Cancellation, [.. kernels.Select(work)]);
            best = 0;
            for (int i = 1; i < times.Length; i++)
            {
                // Within noise the dense kernel stays.
                if (times[i] < times[best] / (best == 0 ? 1.05 : 1)) best = i;
            }
            text = string.Join(", ", tried.Select((c, i) => $"{c.Kind} {times[i]:0} us"));
            return new KernelChoice<T>(kernels[best], tried[best].Kind, density, $"{tried[best].Note}timed: {text}");
        }
        finally
        {
            for (int i = 0; i < tried.Count; i++)
            {
                if (i != best && !known[i]) context.Prepared.Drop(tried[i].Key);
            }
        }
    }
}

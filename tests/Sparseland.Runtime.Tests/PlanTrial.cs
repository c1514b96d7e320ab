using System.Globalization;
using System.Text.RegularExpressions;
using Sparseland.Bench.Figures;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Tests;

/// <summary>What came of a trial.</summary>
internal enum Verdict
{
    /// <summary>Most attempts were within noise of the better of dense twin and best candidate.</summary>
    Passed,

    /// <summary>Most attempts were slower than the dense twin, nobody else using the processors.</summary>
    Slower,

    /// <summary>Not slower than the dense twin, but most attempts were slower than the best candidate.</summary>
    NotBest,

    /// <summary>Slower than the best candidate alone, which runs the kernel that the plan runs: a better choice there is not.</summary>
    SameKernel,

    /// <summary>Slower than the best candidate alone, and the table's point is so near that measured once more it may decide the other way.</summary>
    AtThePoint,

    /// <summary>The machine was never quiet for long enough.</summary>
    Undecided,
}

/// <summary>Whether the plan of one layer is as fast as its dense twin and as the best of all kernels that can compute it.</summary>
/// <remarks>
/// A first attempt far within noise decides for a plan (assumed, not counted: one beyond noise hardly comes so near to the best times of two others). After any miss, and else, the median of up to five attempts decides: three within noise, or three misses. A miss counts only when nobody else had the processors just before and just after it; a table that may have been measured beside
/// other work is measured again, and a verdict against a plan is given by a table of this moment: a neighbour on the host who takes its share of a cache makes other kernels the best, and nothing on the guest shows him. After each
/// miss all sessions are made anew: one of two equal sessions may be slow for as long as it lives.
/// </remarks>
internal static class PlanTrial
{
    /// <summary>A plan may take so many times as long as another session of the same kernel.</summary>
    public const double Noise = 1.25;

    // A first attempt within so much needs no second one.
    private const double Clear = 1.1;

    // What a call costs by itself: smaller differences are none.
    private const double CallMicroseconds = 2;

    // Points that are measured twice differ by so much: 1.15 for rows of few bits, 1.2 for convolutions of one class (four calibrations of a Zen 5).
    private const double NoiseOfPoints = 1.2;

    private const double BudgetMilliseconds = 20;
    private const int Attempts = 16, Majority = 3;

    /// <summary>Measures.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="points">The table of the threads in use.</param>
    /// <returns>The verdict, and what was measured, with the plans where it failed.</returns>
    public static (Verdict Verdict, string Text) Run(LayerCase layer, MeasuredPoints points)
    {
        ModelGraph graph = layer.Build();
        Dictionary<string, TensorData> inputs = graph.Inputs.Select((g, i) => (g.Name, Value: RandomNetworks.Input(i + 1, g.Type.Shape!.ToSizes()))).ToDictionary(i => i.Name, i => i.Value);
        InferenceSession session = Planned(), twin = Twin(), tuned = Tuned();
        int passes = 0, misses = 0, missesOfTwin = 0;
        bool renewed = false, missed = false;
        string text = layer.ToString();
        string? before = "not looked yet", disturbed = null;
        for (int attempt = 0; attempt < Attempts && passes < Majority && misses < Majority; attempt++)
        {
            double[] times = KernelTimer.Best(BudgetMilliseconds, CancellationToken.None, () => twin.Run(inputs), () => tuned.Run(inputs), () => session.Run(inputs));
            text = $"{layer}: {times[0] / times[2]:0.00}x the dense twin, {times[1] / times[2]:0.00}x the best candidate ({times[2]:0} us)";
            bool losesToTwin = times[2] > Noise * (times[0] + CallMicroseconds), loses = times[2] > Noise * (times[1] + CallMicroseconds);
            if (!losesToTwin && !loses)
            {
                passes += !missed && times[2] <= Clear * (Math.Min(times[0], times[1]) + CallMicroseconds) ? Majority : 1;
                continue;
            }
            missed = true;
            string? after = Disturbance.Now();
            disturbed = after ?? disturbed;
            if (!points.InQuiet && points.MeasureAgain())
            {
                (passes, misses, missesOfTwin) = (0, 0, 0);
            }
            else if (before is null && after is null && points.InQuiet)
            {
                misses++;
                if (losesToTwin) missesOfTwin++;
                if (misses == Majority && !renewed && points.MeasureAgain())
                {
                    renewed = true;
                    (passes, misses, missesOfTwin) = (0, 0, 0);
                }
            }
            (session, twin, tuned) = (Planned(), Twin(), Tuned());
            before = after;
        }
        if (passes >= Majority) return (Verdict.Passed, text);
        if (misses < Majority) return (Verdict.Undecided, $"{text}, but {disturbed ?? points.Table.Disturbance ?? "it is slow in some attempts alone"}");
        if (missesOfTwin <= misses / 2 && KernelOf(session) is { Length: > 0 } kernel && kernel == KernelOf(tuned)) return (Verdict.SameKernel, $"{text}, with the same kernel ({kernel})");
        string plan = session.DescribePlan(inputs);
        return (missesOfTwin > misses / 2 ? Verdict.Slower : IsAtThePoint(plan) ? Verdict.AtThePoint : Verdict.NotBest, $"{text}{Environment.NewLine}{plan}{tuned.DescribePlan(inputs)}");

        InferenceSession Planned() => new(graph, new SessionOptions { BreakEven = points.Table, Values = Values() });

        InferenceSession Twin() => new(graph, new SessionOptions { ForceDense = true, Values = Values() });

        // Times every candidate and keeps the fastest.
        InferenceSession Tuned() => new(graph, new SessionOptions { AutoTune = true, Values = Values() });

        Kernels.Sparse.ValueKind? Values() => layer.Values == Kernels.Sparse.ValueKind.Float32 ? null : layer.Values;

        // Of the step that holds the weight: the one with multiply-adds.
        string KernelOf(InferenceSession s) => s.TimeSteps(inputs, 1).SingleOrDefault(t => t.MultiplyAdds > 0)?.Kernel ?? "";
    }

    /// <summary>Whether the plan's reason names a cost that is as far from its break-even point as the point is uncertain.</summary>
    internal static bool IsAtThePoint(string plan)
    {
        Match reason = Regex.Match(plan, @"cost ([0-9.]+) (?:is not )?below break-even ([0-9.]+)");
        if (!reason.Success) return false;
        double ratio = double.Parse(reason.Groups[2].Value, CultureInfo.InvariantCulture) / (BreakEvenTable.Margin * double.Parse(reason.Groups[1].Value, CultureInfo.InvariantCulture));
        return ratio is > 1 / NoiseOfPoints and < NoiseOfPoints;
    }
}

/// <summary>The break-even table of a number of threads, measured when it is first asked for.</summary>
internal sealed class MeasuredPoints
{
    private const int MostMeasurements = 6;

    private BreakEvenTable? _table;
    private int _count;

    /// <summary>The latest measurement.</summary>
    public BreakEvenTable Table => _table ??= Measure();

    /// <summary>Whether nobody else had the processors before and after it.</summary>
    public bool InQuiet => Table.Disturbance is null;

    /// <summary>Measures once more, a few times at most.</summary>
    public bool MeasureAgain()
    {
        if (_count >= MostMeasurements) return false;
        _table = Measure();
        return true;
    }

    private BreakEvenTable Measure()
    {
        _count++;
        return BreakEvenTable.Measure();
    }
}

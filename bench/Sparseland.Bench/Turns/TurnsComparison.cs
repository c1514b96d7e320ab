using System.Text.Json.Nodes;
using Sparseland.Bench.Figures;
using Sparseland.Cli.Hosting;
using Sparseland.Cli.Measuring;

namespace Sparseland.Bench.Turns;

/// <summary>One time of a figure in two builds that took turns.</summary>
/// <param name="Row">The figure's row.</param>
/// <param name="Variant">What was timed.</param>
/// <param name="Before">The other build's medians, a number for each turn.</param>
/// <param name="After">This build's.</param>
internal sealed record TurnsComparison(string Row, string Variant, double[] Before, double[] After)
{
    /// <summary>How many times as fast this build is, turn by turn: a ratio of neighbours, which what drifts meets alike.</summary>
    public Timing SpeedUp => new("", [.. Before.Zip(After, static (before, after) => before / after)]);

    /// <summary>The same of the least times: what a noisy neighbour took from neither.</summary>
    public double LeastSpeedUp => Before.Min() / After.Min();

    /// <summary>Lines up the times of builds that ran the same command.</summary>
    /// <param name="turns">The two builds' documents of each turn.</param>
    /// <param name="left">What some run has and not all, row and variant.</param>
    /// <exception cref="VerbException">There are no times, or the builds timed different things.</exception>
    public static IReadOnlyList<TurnsComparison> Of(IReadOnlyList<(JsonObject Before, JsonObject After)> turns, out IReadOnlyList<string> left)
    {
        IReadOnlyList<string> naming = TimedCase.Naming(turns[0].Before);
        TimedCase[][] before = [.. turns.Select(t => TimedCase.Of(t.Before, naming).ToArray())], after = [.. turns.Select(t => TimedCase.Of(t.After, naming).ToArray())];
        // Once each, in the order of the first run that has it.
        (string Row, string Variant)[] all = [.. before.Concat(after).SelectMany(d => d).Select(c => (c.Row, c.Variant)).Distinct()];
        // A peer's variants are named after what it chose, which may be another one each time.
        (string Row, string Variant)[] common = [.. all.Where(k => before.Concat(after).All(d => d.Any(c => (c.Row, c.Variant) == k)))];
        left = [.. all.Except(common).Select(k => $"{k.Row}, {k.Variant}")];
        if (common.Length == 0) throw VerbException.Usage(all.Length == 0 ? "the figure has no times" : $"the builds timed different things: not every run has {left[0]}", "take a figure, and options, that both builds know");
        return
        [
            .. common.Select(k => new TurnsComparison(k.Row, k.Variant, Times(before, k), Times(after, k))),
        ];
    }

    /// <summary>As a row of a figure.</summary>
    public JsonObject ToJson() => new()
    {
        ["row"] = Row,
        ["variant"] = Variant,
        ["beforeMs"] = Figure.Round(new Timing("", Before).Median),
        ["afterMs"] = Figure.Round(new Timing("", After).Median),
        ["repetitions"] = Before.Length,
        ["speedUp"] = Figure.RatioJson(SpeedUp),
        ["leastSpeedUp"] = Figure.Round(LeastSpeedUp),
    };

    private static double[] Times(TimedCase[][] documents, (string Row, string Variant) key) => [.. documents.Select(d => d.First(c => (c.Row, c.Variant) == key).Milliseconds)];
}

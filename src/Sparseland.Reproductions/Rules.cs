namespace Sparseland.Reproductions;

/// <summary>What became of a claim.</summary>
public enum Verdict
{
    /// <summary>Every rule holds beyond the spread over seeds.</summary>
    Reproduced,

    /// <summary>At least one rule is broken beyond the spread over seeds.</summary>
    NotReproduced,

    /// <summary>At this scale and with this spread nothing can be said.</summary>
    Inconclusive,
}

/// <summary>The measured values of one seed.</summary>
/// <param name="Seed">The seed.</param>
/// <param name="Values">Values by name.</param>
/// <param name="Seconds">Processor time that it took.</param>
public sealed record SeedValues(int Seed, IReadOnlyDictionary<string, double> Values, double Seconds)
{
    /// <summary>A value by name.</summary>
    /// <exception cref="KeyNotFoundException">It was not measured; the names that were are listed.</exception>
    public double this[string name] => Values.TryGetValue(name, out double value)
        ? value
        : throw new KeyNotFoundException($"'{name}' was not measured; measured are {string.Join(", ", Values.Keys)}.");
}

/// <summary>A condition on a quantity that every seed gives one value of, written down before the first run.</summary>
/// <remarks>
/// The quantity's mean has a 90 % interval over seeds (Student's t). The rule holds when the whole interval lies within the limits, is broken when it lies wholly outside,
/// and is undecided otherwise, or with fewer than two seeds. Differences are taken within a seed: arms share initialisation, data and order.
/// </remarks>
/// <param name="Name">Short name.</param>
/// <param name="Statement">The condition in words, with its reason.</param>
/// <param name="Quantity">The value of one seed.</param>
public sealed record Rule(string Name, string Statement, Func<SeedValues, double> Quantity)
{
    /// <summary>Smallest mean.</summary>
    public double AtLeast { get; init; } = double.NegativeInfinity;

    /// <summary>Largest mean.</summary>
    public double AtMost { get; init; } = double.PositiveInfinity;

    /// <summary>The value <paramref name="better"/> exceeds the value <paramref name="worse"/> by at least so much.</summary>
    public static Rule Exceeds(string better, string worse, double by, string why) =>
        new($"{better} - {worse}", $"{better} exceeds {worse} by at least {by.ToString(System.Globalization.CultureInfo.InvariantCulture)}: {why}", v => v[better] - v[worse]) { AtLeast = by };

    /// <summary>Two values differ by at most so much.</summary>
    public static Rule Close(string a, string b, double by, string why) =>
        new($"{a} - {b}", $"{a} and {b} differ by at most {by.ToString(System.Globalization.CultureInfo.InvariantCulture)}: {why}", v => v[a] - v[b]) { AtLeast = -by, AtMost = by };

    /// <summary>Judges the values of all seeds.</summary>
    public RuleOutcome Judge(IReadOnlyList<SeedValues> seeds)
    {
        ArgumentNullException.ThrowIfNull(seeds);
        double[] values = [.. seeds.Select(Quantity)];
        double mean = values.Length == 0 ? double.NaN : values.Average();
        if (values.Length < 2) return new RuleOutcome(Name, Statement, mean, double.NaN, double.NaN, Verdict.Inconclusive);
        double half = Spread.HalfWidth(values), low = mean - half, high = mean + half;
        Verdict verdict = low >= AtLeast && high <= AtMost ? Verdict.Reproduced : high < AtLeast || low > AtMost ? Verdict.NotReproduced : Verdict.Inconclusive;
        return new RuleOutcome(Name, Statement, mean, low, high, verdict);
    }

    /// <summary>The verdict over all rules: one that is broken breaks the claim, one that is undecided leaves it undecided.</summary>
    public static Verdict Overall(IEnumerable<RuleOutcome> outcomes)
    {
        Verdict[] all = [.. outcomes.Select(o => o.Verdict)];
        return all.Contains(Verdict.NotReproduced) ? Verdict.NotReproduced : all.Length == 0 || all.Contains(Verdict.Inconclusive) ? Verdict.Inconclusive : Verdict.Reproduced;
    }
}

/// <summary>What became of one rule.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Statement">The condition in words.</param>
/// <param name="Mean">Mean over seeds.</param>
/// <param name="Low">Lower end of the 90 % interval; NaN with one seed.</param>
/// <param name="High">Upper end.</param>
/// <param name="Verdict">What follows.</param>
public sealed record RuleOutcome(string Name, string Statement, double Mean, double Low, double High, Verdict Verdict);

/// <summary>Spread over seeds.</summary>
public static class Spread
{
    // 95 % quantiles of Student's t for 1 to 10 degrees of freedom.
    private static readonly double[] s_t = [6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812];

    /// <summary>Sample standard deviation; 0 for fewer than two values.</summary>
    public static double Deviation(IReadOnlyList<double> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Count < 2) return 0;
        double mean = values.Average();
        return Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Count - 1));
    }

    /// <summary>Half the width of the two-sided 90 % interval of the mean.</summary>
    public static double HalfWidth(IReadOnlyList<double> values)
    {
        ArgumentNullException.ThrowIfNull(values);
        int freedom = values.Count - 1;
        double t = freedom < 1 ? double.PositiveInfinity : freedom <= s_t.Length ? s_t[freedom - 1] : 1.812;
        return t * Deviation(values) / Math.Sqrt(values.Count);
    }
}

using System.Globalization;

namespace Sparseland.Bench.Page;

/// <summary>What must be reached, and every measured case of it.</summary>
/// <param name="Text">The aim in words.</param>
/// <param name="Bound">The number that every case must reach.</param>
/// <param name="Cases">Where it was measured, what the median is, and the end of its interval that is nearer to missing (NaN where none is stored).</param>
/// <param name="AtMost">Whether the bound is an upper one.</param>
internal sealed record Aim(string Text, double Bound, IEnumerable<(string Where, double Value, double End)> Cases, bool AtMost = false)
{
    /// <summary>Cases without intervals.</summary>
    public Aim(string text, double bound, IEnumerable<(string Where, double Value)> cases, bool AtMost = false) : this(text, bound, cases.Select(c => (c.Where, c.Value, double.NaN)), AtMost)
    {
    }

    /// <summary>What the aim asks for and no file has, in words; empty when nothing is missing.</summary>
    public string Missing { get; init; } = "";

    /// <summary>What a machine has of it, for its column in the table of aims: verdict, then the numbers.</summary>
    /// <remarks>The verdict is by medians. How many intervals reach across the bound stands behind it, and so does what was not measured.</remarks>
    public string Cell()
    {
        (string Where, double Value, double End)[] all = [.. Cases], cases = [.. all.Where(c => double.IsFinite(c.Value)).OrderBy(c => AtMost ? -c.Value : c.Value)];
        if (cases.Length == 0) return "**open**: not measured";
        bool misses(double value) => AtMost ? value > Bound : value < Bound;
        int missed = cases.Count(c => misses(c.Value));
        double median = cases.Length % 2 == 1 ? cases[cases.Length / 2].Value : (cases[cases.Length / 2 - 1].Value + cases[cases.Length / 2].Value) / 2;
        string measured = cases.Length == 1 ? $"{Number(cases[0].Value)} ({cases[0].Where})"
            : $"median {Number(median)}, worst {Number(cases[0].Value)} ({cases[0].Where}), best {Number(cases[^1].Value)}";
        string verdict = missed == 0 ? "met" : cases.Length == 1 ? "**missed**" : $"**missed** in {missed} of {cases.Length}";
        double[] ends = [.. cases.Select(c => c.End).Where(double.IsFinite)];
        if (ends.Length > 0) verdict += $" ({(AtMost ? "upper" : "lower")} bounds: {ends.Count(misses)} of {ends.Length} {(AtMost ? "above" : "below")})";
        string rest = all.Length > cases.Length ? $"; {all.Length - cases.Length} without its peer" : "";
        if (Missing.Length > 0) rest += $"; **open**: {Missing}";
        return $"{verdict}: {measured}{rest}";
    }

    /// <summary>Three significant digits.</summary>
    public static string Number(double value)
    {
        if (!double.IsFinite(value)) return "";
        int digits = value == 0 ? 0 : Math.Clamp(2 - (int)Math.Floor(Math.Log10(Math.Abs(value))), 0, 6);
        return value.ToString("F" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }
}

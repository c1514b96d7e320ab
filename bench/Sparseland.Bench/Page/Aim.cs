using System.Globalization;

namespace Sparseland.Bench.Page;

/// <summary>What must be reached, and every measured case of it.</summary>
/// <param name="Text">The aim in words.</param>
/// <param name="Bound">The number that every case must reach.</param>
/// <param name="Cases">Where it was measured, and what.</param>
/// <param name="AtMost">Whether the bound is an upper one.</param>
internal sealed record Aim(string Text, double Bound, IEnumerable<(string Where, double Value)> Cases, bool AtMost = false)
{
    /// <summary>A line of the table of aims: aim, measured, verdict.</summary>
    public string Line()
    {
        (string Where, double Value)[] cases = [.. Cases.Where(c => double.IsFinite(c.Value)).OrderBy(c => AtMost ? -c.Value : c.Value)];
        if (cases.Length == 0) return $"| {Text} | not measured | **open** |";
        int missed = cases.Count(c => AtMost ? c.Value > Bound : c.Value < Bound);
        double median = cases.Length % 2 == 1 ? cases[cases.Length / 2].Value : (cases[cases.Length / 2 - 1].Value + cases[cases.Length / 2].Value) / 2;
        string measured = cases.Length == 1 ? $"{Number(cases[0].Value)} ({cases[0].Where})"
            : $"median {Number(median)}, worst {Number(cases[0].Value)} ({cases[0].Where}), best {Number(cases[^1].Value)}";
        string verdict = missed == 0 ? "met" : cases.Length == 1 ? "**missed**" : $"**missed** in {missed} of {cases.Length}";
        return $"| {Text} | {measured} | {verdict} |";
    }

    /// <summary>Three significant digits.</summary>
    public static string Number(double value)
    {
        if (!double.IsFinite(value)) return "";
        int digits = value == 0 ? 0 : Math.Clamp(2 - (int)Math.Floor(Math.Log10(Math.Abs(value))), 0, 6);
        return value.ToString("F" + digits.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }
}

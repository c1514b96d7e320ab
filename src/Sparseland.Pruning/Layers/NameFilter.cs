using System.Text;
using System.Text.RegularExpressions;

namespace Sparseland.Pruning.Layers;

/// <summary>A pattern for layer names: a glob (* and ?), or a regular expression after <c>re:</c>.</summary>
/// <remarks>
/// It matches a layer if it matches the weight's name, that name without a trailing <c>.weight</c>, or the node's name, each in full
/// (<c>*</c> also crosses dots and slashes). Regular expressions match anywhere; they run without backtracking, so no name can make them slow.
/// </remarks>
public sealed class NameFilter
{
    private readonly Regex _regex;

    /// <summary>Reads a filter.</summary>
    /// <exception cref="PruningException">SL4003: the regular expression is none.</exception>
    public NameFilter(string text)
    {
        ArgumentException.ThrowIfNullOrEmpty(text);
        Text = text;
        try
        {
            _regex = text.StartsWith("re:", StringComparison.Ordinal)
                ? new Regex(text[3..], RegexOptions.NonBacktracking | RegexOptions.CultureInvariant)
                : new Regex(Glob(text), RegexOptions.NonBacktracking | RegexOptions.CultureInvariant | RegexOptions.Singleline);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new PruningException("SL4003", $"'{text}' is no usable filter: {e.Message}", e) { Try = "a glob such as layer1.*, or re: and a regular expression without look-around and back-references" };
        }
    }

    /// <summary>The filter as it was written.</summary>
    public string Text { get; }

    /// <summary>Whether it matches a layer.</summary>
    public bool Matches(PrunableLayer layer)
    {
        ArgumentNullException.ThrowIfNull(layer);
        return Names(layer).Any(_regex.IsMatch);
    }

    /// <summary>Whether it matches a weight's name, with or without a trailing <c>.weight</c>.</summary>
    public bool Matches(string weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        return _regex.IsMatch(weight) || (weight.EndsWith(".weight", StringComparison.Ordinal) && _regex.IsMatch(weight[..^7]));
    }

    /// <summary>Refuses filters that match none of the names (R30).</summary>
    /// <exception cref="PruningException">SL4001, with near misses.</exception>
    internal static void RequireMatches(IEnumerable<string> filters, IReadOnlyList<string> names)
    {
        foreach (string text in filters)
        {
            var filter = new NameFilter(text);
            if (!names.Any(filter.Matches)) throw NoMatch(text, names, names.Count);
        }
    }

    internal static PruningException NoMatch(string filter, IEnumerable<string> names, int count)
    {
        IReadOnlyList<string> all = [.. names.Distinct(StringComparer.Ordinal)], near = NearMisses(filter, all);
        return new PruningException("SL4001", $"the filter '{filter}' matches none of the {count} weights that could be pruned")
        {
            Try = near.Count > 0 ? "did you mean " + string.Join(", ", near) : all.Count > 0 ? "for example " + string.Join(", ", all.Take(3)) : null,
        };
    }

    /// <summary>The names under which a layer can be found.</summary>
    internal static IEnumerable<string> Names(PrunableLayer layer)
    {
        yield return layer.Name;
        if (layer.Name.EndsWith(".weight", StringComparison.Ordinal)) yield return layer.Name[..^7];
        if (layer.Node.Length > 0) yield return layer.Node;
    }

    /// <summary>Up to five of the given names that are close to a filter, nearest first: for error messages.</summary>
    public static IReadOnlyList<string> NearMisses(string filter, IEnumerable<string> names)
    {
        string wanted = filter.StartsWith("re:", StringComparison.Ordinal) ? filter[3..] : filter;
        string plain = new([.. wanted.Where(c => char.IsLetterOrDigit(c) || c is '.' or '_' or '-' or '/')]);
        return [.. names.Distinct(StringComparer.Ordinal)
            .Select(n => (Name: n, Distance: n.Contains(plain, StringComparison.OrdinalIgnoreCase) ? 0 : Distance(plain.ToLowerInvariant(), n.ToLowerInvariant())))
            .Where(n => n.Distance <= Math.Max(2, plain.Length / 2))
            .OrderBy(n => n.Distance).ThenBy(n => n.Name, StringComparer.Ordinal).Take(5).Select(n => n.Name)];
    }

    /// <summary>Levenshtein distance.</summary>
    internal static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int next = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                (diagonal, row[j]) = (row[j], next);
            }
        }
        return row[^1];
    }

    private static string Glob(string text)
    {
        var regex = new StringBuilder("^");
        foreach (char c in text)
        {
            regex.Append(c switch { '*' => ".*", '?' => ".", _ => Regex.Escape(c.ToString()) });
        }
        return regex.Append('$').ToString();
    }
}

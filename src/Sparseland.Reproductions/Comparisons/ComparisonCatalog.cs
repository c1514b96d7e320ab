using Sparseland.Model;

namespace Sparseland.Reproductions.Comparisons;

/// <summary>Every comparison, as an explicit list.</summary>
public static class ComparisonCatalog
{
    /// <summary>All comparisons in the order of the page.</summary>
    public static IReadOnlyList<IComparison> All { get; } = [new AfterTraining(), new BeforeAndDuringTraining()];

    /// <summary>The comparison of that id.</summary>
    /// <exception cref="SparselandException">SL6006: there is none; the ids are listed.</exception>
    public static IComparison Get(string id) => All.FirstOrDefault(c => string.Equals(c.Id, id, StringComparison.OrdinalIgnoreCase))
        ?? throw new SparselandException("SL6006", $"there is no comparison '{id}'") { Try = "one of " + string.Join(", ", All.Select(c => c.Id)) };
}

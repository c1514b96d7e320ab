using System.Text;
using System.Text.Json.Nodes;

namespace Sparseland.Bench.Page;

/// <summary>A table in Markdown.</summary>
/// <param name="columns">Headings.</param>
/// <param name="left">So many columns are left-aligned, the others right-aligned.</param>
internal sealed class MarkdownTable(string[] columns, int left)
{
    private const int Enough = 30;

    private readonly List<string[]> _rows = [];
    private readonly List<int> _repetitions = [];

    /// <summary>Number of rows.</summary>
    public int Count => _rows.Count;

    /// <summary>A line above the table.</summary>
    public string Caption { get; init; } = "";

    /// <summary>Adds a row.</summary>
    /// <param name="cells">Its cells.</param>
    /// <param name="measured">What of a figure's row it shows: a row of fewer than 30 repetitions gets a mark.</param>
    public void Add(string[] cells, JsonNode? measured = null)
    {
        int repetitions = ResultRow.Repetitions(measured);
        if (repetitions < int.MaxValue) _repetitions.Add(repetitions);
        _rows.Add(repetitions < Enough ? [cells[0] + " †", .. cells[1..]] : cells);
    }

    public override string ToString()
    {
        var text = new StringBuilder();
        int few = _repetitions.Count(r => r < Enough);
        string counted = _repetitions.Count == 0 ? "" : $" At least {_repetitions.Min()} repetitions{(few > 0 ? $"; † fewer than {Enough}: {few} of {_repetitions.Count} rows" : "")}.";
        if (Caption.Length > 0) text.Append(Caption).Append(counted).Append("\n\n");
        text.Append("| ").AppendJoin(" | ", columns).Append(" |\n| ").AppendJoin(" | ", columns.Select((_, i) => i < left ? "---" : "---:")).Append(" |\n");
        foreach (string[] row in _rows) text.Append("| ").AppendJoin(" | ", row).Append(" |\n");
        return text.ToString();
    }
}

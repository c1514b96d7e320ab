using System.Text.Json.Nodes;

namespace Sparseland.Cli.Reporting;

/// <summary>What a report shows, before it is drawn.</summary>
internal sealed class ReportDocument(string title, string subtitle)
{
    public string Title { get; } = title;

    public string Subtitle { get; } = subtitle;

    public List<ReportSection> Sections { get; } = [];

    /// <summary>Adds a section.</summary>
    public ReportSection Section(string heading, string? lead = null)
    {
        var section = new ReportSection(heading, lead);
        Sections.Add(section);
        return section;
    }
}

/// <summary>A heading and what stands below it.</summary>
internal sealed class ReportSection(string heading, string? lead)
{
    public string Heading { get; } = heading;

    public string? Lead { get; } = lead;

    public List<ReportBlock> Blocks { get; } = [];

    public ReportSection Add(ReportBlock block)
    {
        Blocks.Add(block);
        return this;
    }
}

/// <summary>A part of a section.</summary>
internal abstract record ReportBlock;

/// <summary>Large figures side by side.</summary>
internal sealed record TilesBlock(IReadOnlyList<ReportTile> Tiles) : ReportBlock;

/// <summary>One large figure.</summary>
/// <param name="Label">What it is.</param>
/// <param name="Value">The figure with its unit.</param>
/// <param name="Note">Where it comes from or what it is compared with.</param>
/// <param name="Mood">"good", "bad" or empty.</param>
internal sealed record ReportTile(string Label, string Value, string Note, string Mood = "");

/// <summary>Paragraphs.</summary>
internal sealed record TextBlock(string Text) : ReportBlock;

/// <summary>Preformatted text such as a plan or a recipe.</summary>
internal sealed record CodeBlock(string Text) : ReportBlock;

/// <summary>A table; numeric columns are right-aligned.</summary>
/// <param name="Columns">Headings.</param>
/// <param name="Rows">Cells; null is an empty cell.</param>
/// <param name="Numeric">Which columns hold numbers.</param>
internal sealed record TableBlock(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows, IReadOnlyList<bool> Numeric) : ReportBlock;

/// <summary>A chart, with the data behind it as a table that can be unfolded and saved.</summary>
/// <param name="Caption">What the chart shows; also its name for screen readers.</param>
/// <param name="Option">An ECharts option without colours (the page sets them for light and dark).</param>
/// <param name="Data">The data behind the chart.</param>
/// <param name="Height">Pixels.</param>
internal sealed record ChartBlock(string Caption, JsonObject Option, TableBlock Data, int Height = 320) : ReportBlock;

/// <summary>Builds the few chart forms that reports use.</summary>
internal static class Charts
{
    /// <summary>Lines over a numeric x axis.</summary>
    public static ChartBlock Lines(string caption, string xName, string yName, IReadOnlyList<(string Name, IReadOnlyList<(double X, double Y)> Points)> series)
    {
        var list = new JsonArray();
        var rows = new List<IReadOnlyList<string?>>();
        foreach ((string name, IReadOnlyList<(double X, double Y)> points) in series)
        {
            var data = new JsonArray();
            foreach ((double x, double y) in points)
            {
                if (!double.IsFinite(x) || !double.IsFinite(y)) continue;
                data.Add(new JsonArray(x, y));
                rows.Add([name, x.ToString("G6"), y.ToString("G6")]);
            }
            list.Add(new JsonObject { ["type"] = "line", ["name"] = name, ["showSymbol"] = points.Count < 30, ["data"] = data });
        }
        var option = Frame(new JsonObject { ["type"] = "value", ["name"] = xName, ["nameLocation"] = "middle", ["nameGap"] = 26, ["scale"] = true }, new JsonObject { ["type"] = "value", ["name"] = yName, ["scale"] = true }, list);
        if (series.Count > 1) option["legend"] = new JsonObject { ["top"] = 0 };
        return new ChartBlock(caption, option, new TableBlock(["series", xName, yName], rows, [false, true, true]));
    }

    /// <summary>Horizontal bars, one or more series over the same categories.</summary>
    public static ChartBlock Bars(string caption, string valueName, IReadOnlyList<string> categories, IReadOnlyList<(string Name, IReadOnlyList<double> Values)> series)
    {
        var list = new JsonArray();
        foreach ((string name, IReadOnlyList<double> values) in series)
        {
            var data = new JsonArray();
            foreach (double value in values) data.Add(double.IsFinite(value) ? Math.Round(value, 6) : null);
            list.Add(new JsonObject { ["type"] = "bar", ["name"] = name, ["data"] = data, ["barMaxWidth"] = 18 });
        }
        var names = new JsonArray();
        foreach (string category in categories) names.Add(category);
        var option = Frame(
            new JsonObject { ["type"] = "value", ["name"] = valueName, ["nameLocation"] = "middle", ["nameGap"] = 26 },
            new JsonObject { ["type"] = "category", ["data"] = names, ["inverse"] = true, ["axisLabel"] = new JsonObject { ["width"] = 220, ["overflow"] = "truncate" } },
            list);
        if (series.Count > 1) option["legend"] = new JsonObject { ["top"] = 0 };
        var columns = new List<string> { "name" };
        columns.AddRange(series.Select(s => s.Name));
        var rows = new List<IReadOnlyList<string?>>();
        for (int i = 0; i < categories.Count; i++)
        {
            int row = i;
            rows.Add([categories[i], .. series.Select(s => (string?)s.Values[row].ToString("G6"))]);
        }
        int height = Math.Clamp(70 + 20 + categories.Count * (12 + 16 * series.Count), 160, 1600);
        return new ChartBlock(caption, option, new TableBlock(columns, rows, [false, .. series.Select(_ => true)]), height);
    }

    /// <summary>What all charts share.</summary>
    internal static JsonObject Frame(JsonObject x, JsonObject y, JsonArray series) => new()
    {
        ["animation"] = false,
        ["grid"] = new JsonObject { ["left"] = 12, ["right"] = 24, ["top"] = 36, ["bottom"] = 40, ["containLabel"] = true },
        ["tooltip"] = new JsonObject { ["trigger"] = "axis" },
        ["xAxis"] = x,
        ["yAxis"] = y,
        ["series"] = series,
    };
}

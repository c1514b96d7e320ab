using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;
using Sparseland.Pruning.Analysis.Catalog;
using Spectre.Console;

namespace Sparseland.Cli.Reporting;

/// <summary>What an analysis found, for the console, as JSON and as a report: one form for all analyses.</summary>
internal static class AnalysisReport
{
    /// <summary>Longest table that the console shows; the report and the JSON have all rows.</summary>
    private const int ConsoleRows = 40;

    /// <summary>The report of a run.</summary>
    public static ReportDocument Make(AnalysisInfo info, AnalysisResult result, string model, RunFolder run, VerbContext context)
    {
        var report = new ReportDocument($"{info.Title}: {model}", $"Seed {context.Settings.Seed}. {MachineInfo.Current.Describe()}");
        ReportSection summary = report.Section("Result", result.Headline);
        summary.Add(new TilesBlock([.. result.Figures.Where(f => double.IsFinite(f.Value)).Take(8).Select(f => new ReportTile(f.Key, f.Value.ToString("0.####"), ""))]));
        foreach (string note in result.Notes) summary.Add(new TextBlock(note));
        AddTo(report, result);
        report.Section("Source").Add(new TextBlock(info.Description.EndsWith('?') ? info.Description : info.Description + ".")).Add(new TextBlock($"{info.Paper}; {info.Section}."));
        report.Section("Provenance").Add(new CodeBlock(File.ReadAllText(run.File("run.json"))));
        return report;
    }

    /// <summary>Adds charts and tables of an analysis to any report.</summary>
    public static void AddTo(ReportDocument report, AnalysisResult result)
    {
        if (result.Charts.Count > 0)
        {
            ReportSection charts = report.Section("Charts");
            foreach (AnalysisChart chart in result.Charts) charts.Add(Draw(chart));
        }
        foreach (AnalysisTable table in result.Tables)
        {
            report.Section(table.Title).Add(new TableBlock([.. table.Columns.Select(c => c.Name)],
                [.. table.Rows.Select(r => (IReadOnlyList<string?>)[.. r.Select((cell, i) => Text(cell, table.Columns[i].Format))])],
                [.. table.Columns.Select(c => c.Format != ColumnFormat.Text)]));
        }
    }

    /// <summary>The result as the command line's JSON: numbers as numbers, cells by column name.</summary>
    public static JsonObject ToJson(AnalysisInfo info, AnalysisResult result)
    {
        var figures = new JsonObject();
        foreach ((string name, double value) in result.Figures) figures[name] = Number(value);
        var tables = new JsonArray();
        foreach (AnalysisTable table in result.Tables)
        {
            var rows = new JsonArray();
            foreach (IReadOnlyList<object?> row in table.Rows)
            {
                var cells = new JsonObject();
                for (int c = 0; c < table.Columns.Count; c++) cells[table.Columns[c].Name] = Value(row[c]);
                rows.Add(cells);
            }
            tables.Add(new JsonObject { ["title"] = table.Title, ["rows"] = rows });
        }
        return new JsonObject
        {
            ["analysis"] = info.Id,
            ["headline"] = result.Headline,
            ["figures"] = figures,
            ["tables"] = tables,
            ["notes"] = new JsonArray([.. result.Notes.Select(n => (JsonNode)n)]),
        };
    }

    /// <summary>Shows headline, tables and notes on the console.</summary>
    public static void Show(VerbContext context, AnalysisResult result)
    {
        foreach (AnalysisTable table in result.Tables)
        {
            var block = new Table().Border(TableBorder.Simple).Title(Markup.Escape(table.Title));
            foreach (AnalysisColumn column in table.Columns) block.AddColumn(column.Format == ColumnFormat.Text ? new TableColumn(Markup.Escape(column.Name)) : new TableColumn(Markup.Escape(column.Name)).RightAligned());
            foreach (IReadOnlyList<object?> row in table.Rows.Take(ConsoleRows)) block.AddRow([.. row.Select((cell, i) => Markup.Escape(Text(cell, table.Columns[i].Format)))]);
            context.Show(block);
            if (table.Rows.Count > ConsoleRows) context.Say($"  and {table.Rows.Count - ConsoleRows} more rows in the report");
        }
        foreach (string note in result.Notes) context.Say("- " + note);
        context.Conclude(result.Headline);
    }

    private static ChartBlock Draw(AnalysisChart chart) => chart.Kind switch
    {
        ChartKind.Lines => Charts.Lines(chart.Title, chart.XName, chart.YName, [.. chart.Series.Select(s => (s.Name, s.Points))]),
        ChartKind.Scatter => PointCharts.Scatter(chart.Title, chart.XName, chart.YName, [.. chart.Series.Select(s => (s.Name, s.Points))]),
        ChartKind.Bars => Charts.Bars(chart.Title, chart.XName, chart.Categories, [.. chart.Series.Select(s => (s.Name, Dense(s, chart.Categories.Count)))]),
        _ => PointCharts.Heat(chart.Title, chart.Categories, [.. chart.Series.Select(s => (s.Name, Dense(s, chart.Categories.Count)))]),
    };

    private static double[] Dense(AnalysisSeries series, int count)
    {
        double[] values = new double[count];
        Array.Fill(values, double.NaN);
        foreach ((double x, double y) in series.Points) values[(int)x] = y;
        return values;
    }

    private static string Text(object? cell, ColumnFormat format) => cell switch
    {
        null => "",
        string s => s,
        double d when double.IsNaN(d) => "",
        double d => format switch { ColumnFormat.Share => d.ToString("P2"), ColumnFormat.Count => d.ToString("N0"), _ => d.ToString("0.0000") },
        int i => i.ToString("N0"),
        long l => l.ToString("N0"),
        _ => cell.ToString() ?? "",
    };

    private static JsonNode? Value(object? cell) => cell switch
    {
        null => null,
        string s => s,
        double d => Number(d),
        int i => i,
        long l => l,
        _ => cell.ToString(),
    };

    private static JsonNode? Number(double value) => double.IsFinite(value) ? value : null;
}

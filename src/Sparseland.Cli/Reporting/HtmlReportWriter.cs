using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Reporting;

/// <summary>Draws a report as one HTML file: no network, light and dark, printable, every chart with its data.</summary>
internal static class HtmlReportWriter
{
    /// <summary>Writes the file (temporary name, then rename).</summary>
    public static void Write(ReportDocument report, string path) => TextFile.Write(path, Render(report));

    /// <summary>The page.</summary>
    public static string Render(ReportDocument report)
    {
        var body = new StringBuilder();
        var charts = new JsonArray();
        body.Append("<header><h1>").Append(Escape(report.Title)).Append("</h1><p>").Append(Escape(report.Subtitle)).Append("</p></header>\n<main>\n");
        foreach (ReportSection section in report.Sections)
        {
            body.Append("<section><h2>").Append(Escape(section.Heading)).Append("</h2>\n");
            if (section.Lead is not null) body.Append("<p class=\"lead\">").Append(Escape(section.Lead)).Append("</p>\n");
            foreach (ReportBlock block in section.Blocks) Render(block, body, charts);
            body.Append("</section>\n");
        }
        body.Append("</main>\n<footer>Made by Sparseland ").Append(Escape(RunFolder.Version)).Append(". Charts: Apache ECharts (Apache-2.0). This file needs no network.</footer>\n");

        // "</" inside a script element would end it early.
        string chartJson = charts.ToJsonString().Replace("</", "<\\/", StringComparison.Ordinal);
        return $"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>{Escape(report.Title)}</title>
            <style>
            {Asset("report.css")}
            </style>
            </head>
            <body>
            {body}
            <script>
            {Asset("echarts.common.min.js").Replace("</script", "<\\/script", StringComparison.Ordinal)}
            </script>
            <script>
            const charts = {chartJson};
            {Asset("report.js")}
            </script>
            </body>
            </html>
            """;
    }

    private static void Render(ReportBlock block, StringBuilder html, JsonArray charts)
    {
        switch (block)
        {
            case TilesBlock tiles:
                html.Append("<div class=\"tiles\">");
                foreach (ReportTile tile in tiles.Tiles)
                {
                    html.Append("<div class=\"tile ").Append(Escape(tile.Mood)).Append("\"><span>").Append(Escape(tile.Label)).Append("</span><strong>")
                        .Append(Escape(tile.Value)).Append("</strong><small>").Append(Escape(tile.Note)).Append("</small></div>");
                }
                html.Append("</div>\n");
                break;
            case TextBlock text:
                html.Append("<p>").Append(Escape(text.Text)).Append("</p>\n");
                break;
            case CodeBlock code:
                html.Append("<pre>").Append(Escape(code.Text)).Append("</pre>\n");
                break;
            case TableBlock table:
                Render(table, html);
                break;
            case ChartBlock chart:
                html.Append("<figure><figcaption>").Append(Escape(chart.Caption)).Append("</figcaption><div class=\"chart\" role=\"img\" aria-label=\"")
                    .Append(Escape(chart.Caption)).Append("\" style=\"height:").Append(chart.Height).Append("px\" data-chart=\"").Append(charts.Count)
                    .Append("\"></div><details><summary>data</summary><button type=\"button\" class=\"save\">save as CSV</button>");
                Render(chart.Data, html);
                html.Append("</details></figure>\n");
                charts.Add(chart.Option.DeepClone());
                break;
            default:
                throw new InvalidOperationException($"No drawing for {block.GetType().Name}.");
        }
    }

    private static void Render(TableBlock table, StringBuilder html)
    {
        html.Append("<div class=\"scroll\"><table><thead><tr>");
        for (int c = 0; c < table.Columns.Count; c++) html.Append(Cell("th", table, c)).Append(Escape(table.Columns[c])).Append("</th>");
        html.Append("</tr></thead><tbody>\n");
        foreach (IReadOnlyList<string?> row in table.Rows)
        {
            html.Append("<tr>");
            for (int c = 0; c < table.Columns.Count; c++) html.Append(Cell("td", table, c)).Append(Escape(c < row.Count ? row[c] : null)).Append("</td>");
            html.Append("</tr>\n");
        }
        html.Append("</tbody></table></div>\n");
    }

    private static string Cell(string tag, TableBlock table, int column) =>
        column < table.Numeric.Count && table.Numeric[column] ? $"<{tag} class=\"n\">" : $"<{tag}>";

    private static string Escape(string? text) => WebUtility.HtmlEncode(text ?? "");

    private static string Asset(string name)
    {
        using Stream stream = typeof(HtmlReportWriter).Assembly.GetManifestResourceStream("Sparseland.Cli.Reporting.Assets." + name)
            ?? throw new InvalidOperationException($"The embedded file {name} is missing.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}

using System.Text.Json.Nodes;

namespace Sparseland.Cli.Reporting;

/// <summary>Charts of points: scatter plots, and maps of coloured cells.</summary>
internal static class PointCharts
{
    /// <summary>Points over two numeric axes.</summary>
    public static ChartBlock Scatter(string caption, string xName, string yName, IReadOnlyList<(string Name, IReadOnlyList<(double X, double Y)> Points)> series)
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
            // A single point is one that stands out.
            list.Add(new JsonObject { ["type"] = "scatter", ["name"] = name, ["symbolSize"] = points.Count == 1 ? 16 : 7, ["symbol"] = points.Count == 1 ? "diamond" : "circle", ["data"] = data });
        }
        JsonObject option = Charts.Frame(new JsonObject { ["type"] = "value", ["name"] = xName, ["nameLocation"] = "middle", ["nameGap"] = 26, ["scale"] = true }, new JsonObject { ["type"] = "value", ["name"] = yName, ["scale"] = true }, list);
        option["tooltip"] = new JsonObject { ["trigger"] = "item" };
        if (series.Count > 1) option["legend"] = new JsonObject { ["top"] = 0 };
        return new ChartBlock(caption, option, new TableBlock(["series", xName, yName], rows, [false, true, true]), 360);
    }

    /// <summary>A map of cells, coloured from the lowest to the highest value, with the value in each.</summary>
    /// <param name="caption">What it shows.</param>
    /// <param name="columns">Names of the columns.</param>
    /// <param name="rows">Names of the rows with one value per column; NaN leaves a cell empty.</param>
    public static ChartBlock Heat(string caption, IReadOnlyList<string> columns, IReadOnlyList<(string Name, IReadOnlyList<double> Values)> rows)
    {
        double[] all = [.. rows.SelectMany(r => r.Values).Where(double.IsFinite)];
        double low = all.Length > 0 ? all.Min() : 0, high = all.Length > 0 ? all.Max() : 1;
        var cells = new JsonArray();
        for (int y = 0; y < rows.Count; y++)
        {
            for (int x = 0; x < rows[y].Values.Count; x++)
            {
                double value = rows[y].Values[x];
                if (!double.IsFinite(value)) continue;
                double share = high > low ? (value - low) / (high - low) : 0.5;
                cells.Add(new JsonObject
                {
                    ["name"] = $"{rows[y].Name}, {columns[x]}",
                    ["value"] = new JsonArray(x, y, Math.Round(value, 6)),
                    ["itemStyle"] = new JsonObject { ["color"] = Colour(share) },
                    ["label"] = new JsonObject { ["show"] = true, ["formatter"] = value.ToString("0.###"), ["color"] = share > 0.55 ? "#ffffff" : "#1d2125", ["fontSize"] = 11 },
                });
            }
        }
        var series = new JsonArray { new JsonObject { ["type"] = "scatter", ["symbol"] = "rect", ["symbolSize"] = new JsonArray(46, 24), ["data"] = cells } };
        JsonObject option = Charts.Frame(
            new JsonObject { ["type"] = "category", ["data"] = Names(columns), ["axisLabel"] = new JsonObject { ["rotate"] = columns.Count > 6 ? 40 : 0, ["interval"] = 0 } },
            new JsonObject { ["type"] = "category", ["data"] = Names([.. rows.Select(r => r.Name)]), ["inverse"] = true, ["axisLabel"] = new JsonObject { ["width"] = 180, ["overflow"] = "truncate" } },
            series);
        option["tooltip"] = new JsonObject { ["trigger"] = "item" };
        var data = new TableBlock(["", .. columns], [.. rows.Select(r => (IReadOnlyList<string?>)[r.Name, .. r.Values.Select(v => double.IsFinite(v) ? (string?)v.ToString("G6") : "")])], [false, .. columns.Select(_ => true)]);
        return new ChartBlock(caption, option, data, Math.Clamp(130 + 34 * rows.Count, 200, 1200));
    }

    // From sand to the first colour of the palette; legible on light and on dark pages.
    private static string Colour(double share)
    {
        (int r, int g, int b) from = (0xf3, 0xe4, 0xd0), to = (0x0b, 0x5f, 0x73);
        int Mix(int a, int c) => (int)Math.Round(a + share * (c - a));
        return $"#{Mix(from.r, to.r):x2}{Mix(from.g, to.g):x2}{Mix(from.b, to.b):x2}";
    }

    private static JsonArray Names(IReadOnlyList<string> names)
    {
        var array = new JsonArray();
        foreach (string name in names) array.Add(name);
        return array;
    }
}

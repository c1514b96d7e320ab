using System.Diagnostics;
using Sparseland.Cli.Reporting;

namespace Sparseland.Cli.Tests.Reporting;

/// <summary>The report: one file, no network, safe text, charts that a browser draws.</summary>
public class HtmlReportTests
{
    [Fact]
    public void ThePageNeedsNothingFromOutside()
    {
        string html = HtmlReportWriter.Render(Example());
        Assert.DoesNotContain("<link", html);
        Assert.DoesNotContain(" src=", html[..html.IndexOf("<script>", StringComparison.Ordinal)]);
        Assert.DoesNotContain("@import", html);
        Assert.Contains("prefers-color-scheme: dark", html);
    }

    [Fact]
    public void TextFromModelsCannotBecomeMarkup()
    {
        var report = new ReportDocument("<script>alert(1)</script>", "a & b");
        report.Section("<b>").Add(new TableBlock(["name"], [["</script><img src=x>"]], [false]))
            .Add(Charts.Bars("caption\"onload=", "v", ["</script><script>alert(2)</script>"], [("s", [1.0])]));
        string html = HtmlReportWriter.Render(report);
        Assert.DoesNotContain("<script>alert", html);
        Assert.DoesNotContain("<img src=x>", html);
        Assert.DoesNotContain("caption\"onload", html);
    }

    [Fact]
    public void EveryChartOffersItsData()
    {
        string html = HtmlReportWriter.Render(Example());
        Assert.Equal(2, Count(html, "<figure>"));
        Assert.Equal(2, Count(html, "save as CSV"));
        Assert.Contains("<td class=\"n\">0.25</td>", html);
    }

    [SkippableFact]
    public async Task ABrowserDrawsEveryChartOffline()
    {
        string? browser = new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);
        Skip.If(browser is null, "no Chromium on this machine: the report was not looked at in a browser");
        using var folder = new TemporaryFolder();
        HtmlReportWriter.Write(Example(), folder["report.html"]);
        foreach (bool dark in new[] { false, true })
        {
            string dom = await BrowseAsync(browser!, folder, dark);
            // The page's script sets the attribute after the last chart; drawn charts are SVG with series paths in the palette's colour.
            Assert.Contains("data-drawn=\"2\"", dom);
            Assert.Equal(2, Count(dom, "<svg"));
            Assert.Contains(dark ? "#58c4d6" : "#0b6e7f", dom[dom.IndexOf("<svg", StringComparison.Ordinal)..]);
            Assert.Contains("conv2", dom[dom.IndexOf("<svg", StringComparison.Ordinal)..]);
        }
    }

    /// <summary>What a browser does with the page, as far as node can: the page's own scripts draw every form of chart through ECharts' server-side rendering.</summary>
    [SkippableFact]
    public async Task EveryFormOfChartIsAnOptionThatEChartsDraws()
    {
        string? node = ((string[])["/usr/bin/node", "/usr/local/bin/node"]).FirstOrDefault(File.Exists);
        Skip.If(node is null, "no node on this machine: the charts' options were not tried");
        var report = new ReportDocument("Charts", "of every form");
        report.Section("All")
            .Add(Charts.Bars("Bars", "share", ["conv1", "conv2 \"</script>"], [("kept", [0.25, double.NaN]), ("removed", [0.75, 0.5])]))
            .Add(Charts.Lines("Lines", "step", "loss", [("train", [(0, 2.3), (1, 1.1), (2, double.NaN)]), ("test", [(0, 2.4), (2, 1.9)])]))
            .Add(PointCharts.Scatter("Scatter", "degrees", "length", [("dense", [(10, 3), (20, double.PositiveInfinity), (30, 1)]), ("one that stands out", [(15, 2)])]))
            .Add(PointCharts.Heat("Heat", ["5 %", "50 %"], [("hot", [0.1, double.NaN]), ("cold", [-0.3, 0])]));
        using var folder = new TemporaryFolder();
        HtmlReportWriter.Write(report, folder["report.html"]);
        await File.WriteAllTextAsync(folder["draw.js"], """
            const html = require('fs').readFileSync(process.argv[2], 'utf8');
            const [library, page] = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)].map(m => m[1]);
            const module_ = { exports: {} };
            new Function('module', 'exports', library)(module_, module_.exports);
            const drawn = [], elements = [...html.matchAll(/data-chart="(\d+)"/g)].map(m => ({ dataset: { chart: m[1] } }));
            const echarts = { init: () => { const c = module_.exports.init(null, null, { renderer: 'svg', ssr: true, width: 800, height: 360 }); drawn.push(c); return c; } };
            const body = { dataset: {} }, quiet = { addEventListener() { } };
            const document_ = { body, querySelectorAll: s => s === '.chart' ? elements : [] };
            new Function('window', 'document', 'echarts', page)({ matchMedia: () => ({ matches: false, ...quiet }), ...quiet }, document_, echarts);
            // The library leaves a timer behind, so the end is said.
            process.stdout.write(JSON.stringify({ drawn: body.dataset.drawn, svg: drawn.map(c => c.renderToSVGString()) }), () => process.exit(0));
            """);
        using Process process = Process.Start(new ProcessStartInfo(node!, [folder["draw.js"], folder["report.html"]]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        string output = await process.StandardOutput.ReadToEndAsync(timeout.Token);
        await process.WaitForExitAsync(timeout.Token);
        Assert.True(process.ExitCode == 0, await error);
        System.Text.Json.Nodes.JsonNode result = System.Text.Json.Nodes.JsonNode.Parse(output)!;
        Assert.Equal("4", (string?)result["drawn"]);
        string[] svg = [.. result["svg"]!.AsArray().Select(s => (string)s!)];
        Assert.All(svg, s => Assert.DoesNotContain("NaN", s));
        // The first colours of the palette fill bars, lines and points; cells have colours of their own, and their values as text.
        Assert.All(svg[..3], s => Assert.True(Count(s, "#0b6e7f") > 0 && Count(s, "#c8642c") > 0));
        foreach ((int chart, string text) in ((int, string)[])[(0, "conv1"), (0, "removed"), (1, "step"), (2, "degrees"), (2, "one that stands out"), (3, "cold"), (3, "50 %"), (3, "-0.3")]) Assert.Contains(text, svg[chart]);
        Assert.Contains("#f3e4d0", svg[3]);
        Assert.Contains("#0b5f73", svg[3]);
    }

    private static async Task<string> BrowseAsync(string browser, TemporaryFolder folder, bool dark)
    {
        var start = new ProcessStartInfo(browser) { RedirectStandardOutput = true, RedirectStandardError = true };
        string[] arguments =
        [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-quic", "--host-resolver-rules=MAP * ~NOTFOUND", $"--user-data-dir={folder["profile" + dark]}", "--virtual-time-budget=3000", "--window-size=1200,900",
            "--dump-dom", new Uri(folder["report.html"]).AbsoluteUri,
        ];
        if (dark) start.ArgumentList.Add("--blink-settings=preferredColorScheme=0");
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        string dom = await process.StandardOutput.ReadToEndAsync(timeout.Token);
        await process.WaitForExitAsync(timeout.Token);
        Assert.True(dom.Length > 1000, await error);
        return dom;
    }

    private static ReportDocument Example()
    {
        var report = new ReportDocument("Report", "of a test");
        report.Section("Summary").Add(new TilesBlock([new ReportTile("size", "1.2 MB", "was 9.6 MB", "good")]));
        report.Section("Charts")
            .Add(Charts.Bars("Density by layer", "density", ["conv1", "conv2"], [("density", [0.25, 0.5])]))
            .Add(Charts.Lines("Loss", "step", "loss", [("train", [(0, 2.3), (1, 1.1), (2, double.NaN), (3, 0.4)])]));
        return report;
    }

    private static int Count(string text, string part) => text.Split(part).Length - 1;
}

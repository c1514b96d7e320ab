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

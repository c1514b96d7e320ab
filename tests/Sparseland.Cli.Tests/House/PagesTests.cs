using System.Text.RegularExpressions;
using Sparseland.Pruning.Catalog;

namespace Sparseland.Cli.Tests.House;

/// <summary>Pages agree with the catalogues, links lead somewhere, numbers of decision records are unique.</summary>
public partial class PagesTests
{
    private static readonly string[] s_notOurs = ["bin", "obj", "node_modules", ".git", "runs", "shared"];

    public static TheoryData<string> Pages => new(GeneratedPages.All.Select(p => p.Path));

    public static TheoryData<string> MarkdownFiles => new(FindMarkdown(Repository.Root).Select(f => Path.GetRelativePath(Repository.Root, f)));

    /// <summary>Run with SPARSELAND_APPROVE=1 to write the pages anew; notes below the mark are kept.</summary>
    [Theory]
    [MemberData(nameof(Pages))]
    public void APageSaysWhatTheCatalogueSays(string page)
    {
        string file = Path.Combine(Repository.Root, "docs", page), made = GeneratedPages.All.Single(p => p.Path == page).Text.ReplaceLineEndings("\n");
        string present = File.Exists(file) ? File.ReadAllText(file).ReplaceLineEndings("\n") : "";
        int mark = present.IndexOf(GeneratedPages.NotesMark, StringComparison.Ordinal);
        string expected = mark < 0 ? made : made + "\n" + present[mark..];
        if (Environment.GetEnvironmentVariable("SPARSELAND_APPROVE") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.WriteAllText(file, expected);
            present = expected;
        }
        string[] lines = expected.Split('\n'), there = present.Split('\n');
        string? first = lines.Except(there).Select(l => "missing: " + l).Concat(there.Except(lines).Select(l => "extra: " + l)).FirstOrDefault();
        Assert.True(present == expected, $"docs/{page} differs from the catalogue ({first ?? "order or blank lines"}); SPARSELAND_APPROVE=1 writes it anew");
    }

    [Fact]
    public void NoMethodPageIsLeftOver()
    {
        string[] pages = [.. Directory.GetFiles(Path.Combine(Repository.Root, "docs", "methods"), "*.md").Select(f => Path.GetFileNameWithoutExtension(f)).Where(f => f != "README").Order(StringComparer.Ordinal)];
        Assert.Equal(MethodCatalog.All.Select(m => m.Id).Order(StringComparer.Ordinal), pages);
    }

    [Fact]
    public void NoAnalysisPageIsLeftOver()
    {
        string[] pages = [.. Directory.GetFiles(Path.Combine(Repository.Root, "docs", "analyses"), "*.md").Select(f => Path.GetFileNameWithoutExtension(f)).Where(f => f is not ("README" or "ten-lessons")).Order(StringComparer.Ordinal)];
        Assert.Equal(Pruning.Analysis.Catalog.AnalysisCatalog.All.Select(a => a.Id).Order(StringComparer.Ordinal), pages);
    }

    [Fact]
    public void NoPageOfAMachineIsLeftOver()
    {
        string[] pages = [.. Directory.GetFiles(Path.Combine(Repository.Root, "docs"), "performance*.md").Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal)];
        Assert.Equal(GeneratedPages.All.Select(p => p.Path).Where(p => p.StartsWith("performance", StringComparison.Ordinal)).Order(StringComparer.Ordinal), pages);
    }

    [Theory]
    [MemberData(nameof(MarkdownFiles))]
    public void EveryRelativeLinkLeadsSomewhere(string page)
    {
        string file = Path.Combine(Repository.Root, page);
        var broken = new List<string>();
        foreach (Match match in Link().Matches(Fence().Replace(File.ReadAllText(file), "")))
        {
            string target = match.Groups["t"].Value;
            if (target.Contains("://", StringComparison.Ordinal) || target.StartsWith("mailto:", StringComparison.Ordinal) || target.StartsWith('#')) continue;
            string path = Path.Combine(Path.GetDirectoryName(file)!, Uri.UnescapeDataString(target.Split('#')[0]));
            if (!File.Exists(path) && !Directory.Exists(path)) broken.Add(target);
        }
        Assert.True(broken.Count == 0, $"{page} links to what is not there: {string.Join(", ", broken)}");
    }

    [Fact]
    public void TheFrontPageAndTheGuidesAreChecked()
    {
        string[] found = [.. FindMarkdown(Repository.Root).Select(f => Path.GetRelativePath(Repository.Root, f).Replace('\\', '/'))];
        Assert.Contains("README.md", found);
        Assert.Contains("docs/README.md", found);
        Assert.Contains("docs/guides/getting-started.md", found);
    }

    [Fact]
    public void PathsThatContributorsAreSentToExist()
    {
        string text = File.ReadAllText(Path.Combine(Repository.Root, "CONTRIBUTING.md"));
        string[] paths = [.. CodeSpan().Matches(text).Select(m => m.Groups["t"].Value).Where(t => PathStart().IsMatch(t) && !t.Contains('<') && !t.Contains(' ')).Distinct()];
        Assert.True(paths.Length >= 10, $"only {paths.Length} paths were seen");
        Assert.All(paths, p => Assert.True(File.Exists(Path.Combine(Repository.Root, p)) || Directory.Exists(Path.Combine(Repository.Root, p)), $"CONTRIBUTING.md names '{p}', which is not there"));
    }

    [Fact]
    public void DecisionRecordsHaveNumbersOfTheirOwn()
    {
        string[] records = Directory.GetFiles(Path.Combine(Repository.Root, "docs", "adr"), "*.md");
        Assert.NotEmpty(records);
        Assert.Equal(records.Length, records.Select(r => Path.GetFileName(r)[..4]).Distinct().Count());
        foreach (string record in records)
        {
            int number = int.Parse(Path.GetFileName(record)[..4], System.Globalization.CultureInfo.InvariantCulture);
            Assert.StartsWith($"# {number}. ", File.ReadLines(record).First(), StringComparison.Ordinal);
        }
    }

    private static IEnumerable<string> FindMarkdown(string folder)
    {
        foreach (string file in Directory.GetFiles(folder, "*.md").Order(StringComparer.Ordinal)) yield return file;
        foreach (string sub in Directory.GetDirectories(folder).Order(StringComparer.Ordinal))
        {
            if (s_notOurs.Contains(Path.GetFileName(sub)) || new DirectoryInfo(sub).LinkTarget is not null) continue;
            foreach (string file in FindMarkdown(sub)) yield return file;
        }
    }

    [GeneratedRegex(@"\]\((?<t>[^)\s]+)(\s+""[^""]*"")?\)|(src|srcset|href)=""(?<t>[^""]+)""")]
    private static partial Regex Link();

    [GeneratedRegex(@"^(```|~~~).*?^\1", RegexOptions.Singleline | RegexOptions.Multiline)]
    private static partial Regex Fence();

    [GeneratedRegex("`(?<t>[^`\n]+)`")]
    private static partial Regex CodeSpan();

    [GeneratedRegex("^(src|tests|docs|bench|samples|\\.ci)/")]
    private static partial Regex PathStart();
}

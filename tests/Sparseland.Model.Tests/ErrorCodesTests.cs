using System.Text.RegularExpressions;
using Sparseland.Model.Operators.Coupling;

namespace Sparseland.Model.Tests;

public sealed partial class ErrorCodesTests
{
    [Fact]
    public void Every_error_is_documented_and_every_documented_one_exists()
    {
        DirectoryInfo? root = new(AppContext.BaseDirectory);
        while (root is not null && !File.Exists(Path.Combine(root.FullName, "Sparseland.slnx"))) root = root.Parent;
        Assert.NotNull(root);
        string documentation = File.ReadAllText(Path.Combine(root.FullName, "docs", "errors.md"));
        var listed = FileCode().Matches(documentation).Select(m => m.Value).ToHashSet(StringComparer.Ordinal);
        var used = Directory.EnumerateFiles(Path.Combine(root.FullName, "src"), "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .SelectMany(f => QuotedCode().Matches(File.ReadAllText(f))).Select(m => m.Groups[1].Value).ToHashSet(StringComparer.Ordinal);
        Assert.Equal(used.Order(StringComparer.Ordinal), listed.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_reason_of_refusal_is_explained()
    {
        DirectoryInfo root = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "Sparseland.slnx"))) root = root.Parent!;
        string page = File.ReadAllText(Path.Combine(root.FullName, "docs", "refusals.md"));
        Assert.All(Enum.GetValues<RefusalReason>(), r => Assert.Contains(r.Code(), page, StringComparison.Ordinal));
    }

    // SL2101 and up are reasons, made from an enumeration and explained on their own page.
    [GeneratedRegex("SL(?!21[0-8])[0-9]{4}")]
    private static partial Regex FileCode();

    [GeneratedRegex("\"(SL[0-9]{4})\"")]
    private static partial Regex QuotedCode();
}

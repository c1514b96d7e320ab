using System.Text.RegularExpressions;

namespace Sparseland.Model.Tests;

public sealed partial class ErrorCodesTests
{
    [Fact]
    public void Every_file_error_is_documented_and_every_documented_one_exists()
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

    [GeneratedRegex("SL1[0-9]{3}")]
    private static partial Regex FileCode();

    [GeneratedRegex("\"(SL1[0-9]{3})\"")]
    private static partial Regex QuotedCode();
}

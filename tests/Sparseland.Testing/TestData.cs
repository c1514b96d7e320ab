namespace Sparseland.Testing;

/// <summary>Finds real data sets for tests: SPARSELAND_DATA, else a folder "shared/data" beside the checkout.</summary>
public static class TestData
{
    /// <summary>The data root, or null when this machine has none.</summary>
    public static string? Root { get; } = FindRoot();

    /// <summary>The path of a data set or file below the root; skips the test, saying what is missing, when it is not there.</summary>
    public static string Require(params string[] parts)
    {
        string relative = Path.Combine(parts);
        Xunit.Skip.If(Root is null, $"no test data on this machine (wanted {relative}): set SPARSELAND_DATA to run this test");
        string path = Path.Combine(Root!, relative);
        Xunit.Skip.If(!File.Exists(path) && !Directory.Exists(path), $"test data '{relative}' is not below {Root}");
        return path;
    }

    private static string? FindRoot()
    {
        string? configured = Environment.GetEnvironmentVariable("SPARSELAND_DATA");
        if (!string.IsNullOrEmpty(configured)) return Directory.Exists(configured) ? configured : null;
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null; d = d.Parent)
        {
            string candidate = Path.Combine(d.FullName, "shared", "data");
            if (Directory.Exists(candidate)) return candidate;
        }
        return null;
    }
}

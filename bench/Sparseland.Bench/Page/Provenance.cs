namespace Sparseland.Bench.Page;

/// <summary>Whether the code that a figure was measured with can be had again from the commit that its file names.</summary>
internal static class Provenance
{
    private const string Changed = "-dirty";

    /// <summary>What files name and the repository does not have, with the reason. The machines are not at hand, so these stay until such a machine measures anew.</summary>
    public static IReadOnlyDictionary<string, string> Known { get; } = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["4441ca3"] = "this commit was written anew before it was kept: files were added by e829d7f, so the code is that of its parent 91c8d49 or near it",
        ["5436f41-dirty"] = "built from 5436f41 with changes that were not committed yet: files were added by 32d2dca, so the code lies between both",
        ["6b27911-dirty"] = "built with changes that were not committed yet, from a commit that was written anew: the file was added by dbe6d8a, so the code is near that one",
    };

    /// <summary>The commit that a file names, without the mark for changes beside it.</summary>
    public static string Commit(string named) => named.EndsWith(Changed, StringComparison.Ordinal) ? named[..^Changed.Length] : named;

    /// <summary>Why the named commit does not give the code again; null where it does.</summary>
    public static string? Remark(string named) => Known.TryGetValue(named, out string? why) ? why : named.EndsWith(Changed, StringComparison.Ordinal) ? "built with changes that were not committed" : null;
}

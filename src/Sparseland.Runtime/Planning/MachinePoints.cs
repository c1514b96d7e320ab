using Sparseland.Kernels.Simd;
using Sparseland.Model;

namespace Sparseland.Runtime.Planning;

/// <summary>The break-even points that were measured on this machine, as its file holds them.</summary>
internal static class MachinePoints
{
    private static readonly Lock s_gate = new();
    private static (string Path, DateTime Written, BreakEvenTable? Table, string? Refusal)? s_read;

    /// <summary>The file for this processor, level, code and number of threads: a home folder may be shared by several machines.</summary>
    public static string Path => System.IO.Path.Combine(
        Environment.GetEnvironmentVariable(BreakEvenTable.FolderVariable) is { Length: > 0 } folder
            ? folder
            : System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "sparseland"),
        FileName(BreakEvenConditions.Current));

    /// <summary>What the file holds, read again when it was written since; a refusal says why it was not taken.</summary>
    public static (BreakEvenTable? Table, string? Refusal) Read()
    {
        string path = Path;
        lock (s_gate)
        {
            DateTime written;
            try
            {
                written = File.GetLastWriteTimeUtc(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A folder on the way that this user may not enter, or that goes round in circles.
                return (null, e.Message);
            }
            if (s_read is not { } read || read.Path != path || read.Written != written)
            {
                (BreakEvenTable? table, string? refusal) = Load(path);
                s_read = read = (path, written, table, refusal);
            }
            return (read.Table, read.Refusal);
        }
    }

    /// <summary>break-even-PROCESSOR-LEVEL-THREADS.json, in characters that every file system takes.</summary>
    public static string FileName(BreakEvenConditions conditions)
    {
        char[] name = [.. conditions.Processor.ToLowerInvariant().Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-')];
        string loops = conditions.Level == nameof(SimdLevel.Vector512) && !conditions.Compiled ? "-loops" : "";
        return $"break-even-{string.Join('-', new string(name).Split('-', StringSplitOptions.RemoveEmptyEntries))}-{conditions.Level.ToLowerInvariant()}{loops}-{conditions.Threads}.json";
    }

    private static (BreakEvenTable?, string?) Load(string path)
    {
        try
        {
            return (BreakEvenTable.Load(path), null);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return (null, null);
        }
        catch (Exception e) when (e is SparselandException or IOException or UnauthorizedAccessException)
        {
            return (null, e.Message);
        }
    }
}

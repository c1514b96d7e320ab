namespace Sparseland.Cli.Hosting;

/// <summary>Writes files so that a reader sees the old one or the whole new one, never half.</summary>
internal static class AtomicFile
{
    /// <summary>Writes text to a temporary name beside the target, then renames.</summary>
    public static void WriteAllText(string path, string text)
    {
        string temporary = path + ".tmp";
        try
        {
            File.WriteAllText(temporary, text);
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }
}

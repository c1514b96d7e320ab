namespace Sparseland.Model.Formats;

/// <summary>Writes files so that they are either complete or not there.</summary>
public static class AtomicFile
{
    /// <summary>Writes to a temporary name in the same folder, flushes to disk, then renames over <paramref name="path"/>.</summary>
    /// <remarks>When writing fails or is cancelled, the temporary file is removed and an existing file is untouched.</remarks>
    /// <exception cref="ModelFormatException">SL1003: the disk is full, the folder is missing or read-only ...</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        string full = Path.GetFullPath(path);
        string temporary = Path.Combine(Path.GetDirectoryName(full) ?? ".", $".{Path.GetFileName(full)}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp");
        bool done = false;
        try
        {
            if (Directory.Exists(full)) throw new IOException("there is a folder of that name");
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 1 << 16))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, full, overwrite: true);
            done = true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException || IsFileTooLarge(e))
        {
            throw FormatErrors.CannotWrite(path, e);
        }
        finally
        {
            if (!done) TryDelete(temporary);
        }
    }

    // The class library says so of a write beyond the largest size of a file (EFBIG), as if an argument had been wrong.
    private static bool IsFileTooLarge(Exception e) => e is ArgumentOutOfRangeException { ParamName: "value", ActualValue: null, Source: "System.Private.CoreLib" };

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The error that brought us here is the one to report.
        }
    }
}

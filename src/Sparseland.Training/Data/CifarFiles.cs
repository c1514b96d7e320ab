namespace Sparseland.Training.Data;

/// <summary>Reads CIFAR-10 and CIFAR-100 binary files.</summary>
/// <remarks>
/// Records of 3073 bytes: label, then 1024 red, 1024 green, 1024 blue; CIFAR-100 has 3074 with a coarse label before the fine one.
/// Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
/// </remarks>
public static class CifarFiles
{
    private const int PixelBytes = 3072;

    /// <summary>The class names of CIFAR-10.</summary>
    public static IReadOnlyList<string> Cifar10Names { get; } =
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

    /// <summary>Whether the length of the file is that of CIFAR-10 records (of CIFAR-100 with <paramref name="hundred"/>).</summary>
    public static bool HasRecordLength(long bytes, bool hundred = false) => bytes > 0 && bytes % (PixelBytes + (hundred ? 2 : 1)) == 0;

    /// <summary>Reads one or several files, one after the other.</summary>
    /// <param name="paths">At least one file.</param>
    /// <param name="hundred">Whether the records are those of CIFAR-100 (fine labels are taken).</param>
    /// <exception cref="DataException">A file is not made of whole records or a label is out of range.</exception>
    public static PictureDataset Read(IReadOnlyList<string> paths, bool hundred = false)
    {
        ArgumentNullException.ThrowIfNull(paths);
        int header = hundred ? 2 : 1, record = PixelBytes + header, classes = hundred ? 100 : 10;
        long count = 0;
        foreach (string path in paths)
        {
            long bytes = new FileInfo(path).Length;
            if (!HasRecordLength(bytes, hundred)) throw DataException.Damaged(path, $"{bytes:N0} bytes are not whole records of {record}");
            count += bytes / record;
        }
        if (count == 0) throw new ArgumentException("No files.", nameof(paths));
        if (count * PixelBytes > Array.MaxLength) throw DataException.TooLarge(paths[0], $"{count:N0} pictures are more than fit into memory at once ({Array.MaxLength / PixelBytes:N0})");
        byte[] pixels = new byte[count * PixelBytes];
        int[] labels = new int[count];
        byte[] buffer = new byte[record];
        int at = 0;
        foreach (string path in paths)
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
            for (long left = file.Length / record; left > 0; left--, at++)
            {
                file.ReadExactly(buffer);
                int label = buffer[header - 1];
                if (label >= classes) throw DataException.Damaged(path, $"record {file.Position / record - 1} has label {label}; there are {classes} classes");
                labels[at] = label;
                buffer.AsSpan(header).CopyTo(pixels.AsSpan(at * PixelBytes));
            }
        }
        return new PictureDataset(pixels, labels, [3, 32, 32], classes, hundred ? null : Cifar10Names);
    }
}

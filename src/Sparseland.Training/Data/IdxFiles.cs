using System.IO.Compression;

namespace Sparseland.Training.Data;

/// <summary>Reads the IDX files of MNIST and its relatives, plain or gzipped.</summary>
/// <remarks>Big-endian: magic 0, 0, type (8 = unsigned byte), rank; then the dimensions, 4 bytes each; then the bytes.</remarks>
public static class IdxFiles
{
    /// <summary>Largest number of bytes that is read from one file: 2 GiB less a page.</summary>
    public const long MaxBytes = int.MaxValue - 4096;

    /// <summary>Reads an IDX file of unsigned bytes.</summary>
    /// <exception cref="DataException">The file is damaged or holds another type.</exception>
    public static (int[] Shape, byte[] Values) Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using FileStream file = File.OpenRead(path);
        if (!path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase)) return Read(file, path, file.Length);
        using var gzip = new GZipStream(file, CompressionMode.Decompress);
        // Deflate cannot shrink below 1 : 1032.
        return Read(gzip, path, Math.Min(MaxBytes, file.Length * 1040));
    }

    /// <summary>Reads a pair of image and label files.</summary>
    /// <param name="images">[count, height, width] or [count, channels, height, width].</param>
    /// <param name="labels">[count].</param>
    /// <param name="classNames">Names of the classes, if known.</param>
    public static PictureDataset ReadPair(string images, string labels, IReadOnlyList<string>? classNames = null)
    {
        (int[] shape, byte[] pixels) = Read(images);
        (int[] labelShape, byte[] labelBytes) = Read(labels);
        if (shape.Length is not (3 or 4)) throw DataException.Damaged(images, $"pictures must have the shape [count, height, width] or [count, channels, height, width], found [{string.Join(", ", shape)}]");
        if (labelShape.Length != 1 || labelShape[0] != shape[0]) throw DataException.Damaged(labels, $"[{string.Join(", ", labelShape)}] labels for {shape[0]} pictures");
        if (pixels.Length == 0) throw DataException.Damaged(images, "there are no pictures in it");
        int[] values = Array.ConvertAll(labelBytes, b => (int)b);
        int classes = classNames?.Count ?? Math.Max(2, values.Max() + 1);
        if (values.Max() >= classes) throw DataException.Damaged(labels, $"label {values.Max()} is not one of {classes} classes");
        int[] sample = shape.Length == 3 ? [1, shape[1], shape[2]] : shape[1..];
        return new PictureDataset(pixels, values, sample, classes, classNames);
    }

    private static (int[] Shape, byte[] Values) Read(Stream stream, string path, long limit)
    {
        byte[] magic = BoundedRead.Exactly(stream, 4, 4, path);
        if (magic[0] != 0 || magic[1] != 0 || magic[3] is 0 or > 8) throw DataException.Damaged(path, "this is no IDX file (it must start with two zero bytes, a type and a rank)");
        if (magic[2] != 8) throw DataException.Damaged(path, $"IDX element type {magic[2]}; only unsigned bytes (8) are labels or pictures");
        byte[] header = BoundedRead.Exactly(stream, magic[3] * 4, 32, path);
        int[] shape = new int[magic[3]];
        long length = 1;
        for (int i = 0; i < shape.Length; i++)
        {
            uint d = BoundedRead.BigEndian(header.AsSpan(i * 4));
            if (d > int.MaxValue || (d > 0 && length > MaxBytes / d)) throw DataException.TooLarge(path, $"dimension {i} is {d:N0}: the file would hold more than {MaxBytes:N0} bytes");
            shape[i] = (int)d;
            length *= d;
        }
        byte[] values = BoundedRead.Exactly(stream, length, limit, path);
        BoundedRead.ExpectEnd(stream, path);
        return (shape, values);
    }
}

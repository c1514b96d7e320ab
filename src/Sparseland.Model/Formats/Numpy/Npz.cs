using System.IO.Compression;
using Sparseland.Model.Formats.Zip;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Numpy;

/// <summary>Reads NumPy .npz files: a zip of .npy files, stored or deflated.</summary>
public static class NpzReader
{
    /// <summary>Opens a file; the directory and the headers are checked now, values are read when asked for.</summary>
    /// <exception cref="ModelFormatException">SL1001, SL1403 (damaged zip, zip bomb), SL1401, SL1402, SL1004.</exception>
    public static Checkpoint Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        ZipDirectory zip = ZipDirectory.Read(file, "SL1403");
        var checkpoint = new Checkpoint(path, "NumPy .npz");
        foreach (ZipItem item in zip.Items.Values)
        {
            string name = item.Name.EndsWith(".npy", StringComparison.Ordinal) ? item.Name[..^4] : item.Name;
            string where = $"{path}: {item.Name}";
            if (item.Method == 0)
            {
                NpyHeader header = NpyHeader.Parse(ReadHead(file, item), where);
                NpyReader.RequireLength(header, item.Length, where);
                checkpoint.Tensors[name] = new NpyStorage(where, header, destination =>
                {
                    // The checksum covers the header as well: read all, then cut.
                    byte[] all = zip.ReadAll(item);
                    all.AsSpan(header.DataOffset).CopyTo(destination);
                });
            }
            else
            {
                NpyHeader header = NpyHeader.Parse(InflateHead(file, item, where), where);
                NpyReader.RequireLength(header, item.Length, where);
                checkpoint.Tensors[name] = new NpyStorage(where, header, destination => zip.ReadAll(item).AsSpan(header.DataOffset).CopyTo(destination));
            }
        }
        return checkpoint;
    }

    /// <summary>Reads every array.</summary>
    /// <exception cref="ModelFormatException">As <see cref="Open"/>.</exception>
    public static OrderedDictionary<string, TensorData> Read(string path)
    {
        var result = new OrderedDictionary<string, TensorData>(StringComparer.Ordinal);
        foreach ((string name, WeightStorage storage) in Open(path).Tensors) result[name] = storage.Read();
        return result;
    }

    private static byte[] ReadHead(MappedFile file, ZipItem item)
    {
        var head = new byte[(int)Math.Min(item.Length, NpyHeader.MaxHeader)];
        file.CopyTo(item.Offset, head);
        return head;
    }

    private static byte[] InflateHead(MappedFile file, ZipItem item, string where)
    {
        var head = new byte[(int)Math.Min(item.Length, NpyHeader.MaxHeader)];
        try
        {
            using var inflate = new DeflateStream(file.OpenStream(item.Offset, item.CompressedLength), CompressionMode.Decompress);
            int count = inflate.ReadAtLeast(head, head.Length, throwOnEndOfStream: false);
            return head[..count];
        }
        catch (InvalidDataException e)
        {
            throw new ModelFormatException("SL1403", "this is no sound .npz file", e) { Where = where, Because = "its compressed data are damaged" };
        }
    }
}

/// <summary>Writes NumPy .npz files; equal tensors give equal bytes.</summary>
public static class NpzWriter
{
    /// <summary>Writes named tensors, under a temporary name first.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">Names and values.</param>
    /// <param name="compress">Deflate instead of store.</param>
    /// <exception cref="ModelFormatException">SL1003: the file cannot be written.</exception>
    public static void Write(string path, IEnumerable<KeyValuePair<string, TensorData>> tensors, bool compress = false)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        AtomicFile.Write(path, stream =>
        {
            using var zip = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true);
            foreach ((string name, TensorData tensor) in tensors)
            {
                ZipArchiveEntry entry = zip.CreateEntry(name + ".npy", compress ? CompressionLevel.Optimal : CompressionLevel.NoCompression);
                // The earliest time that a zip file knows, so that files can be compared.
                entry.LastWriteTime = new DateTimeOffset(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);
                using Stream contents = entry.Open();
                NpyWriter.Write(contents, tensor);
            }
        });
    }
}

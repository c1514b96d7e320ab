using System.Globalization;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>A model's file with the data files beside it.</summary>
internal sealed class OnnxFile(MappedFile map)
{
    private readonly Dictionary<string, MappedFile> _external = new(StringComparer.Ordinal);

    /// <summary>The .onnx file itself.</summary>
    internal MappedFile Map { get; } = map;

    /// <summary>For errors.</summary>
    internal string Path => Map.Path;

    /// <summary>A tensor whose elements another file holds.</summary>
    /// <exception cref="ModelFormatException">SL1106: the reference leaves the model's folder, or the range is not in the file.</exception>
    internal WeightStorage External(TensorProto proto, ElementType type, int[] shape, long bytes, string where)
    {
        if (type == ElementType.String) throw OnnxErrors.External(where, "a string tensor cannot be in an external file");
        string? location = null;
        long offset = 0, length = bytes;
        foreach (StringStringEntryProto entry in proto.ExternalData)
        {
            switch (entry.Key)
            {
                case "location": location = entry.Value; break;
                case "offset": offset = Number(entry, where); break;
                case "length": length = Number(entry, where); break;
                default: break; // checksum and what later writers add do not change where the bytes are
            }
        }
        if (string.IsNullOrEmpty(location)) throw OnnxErrors.External(where, "the tensor is in an external file, but the file is not named");
        if (length != bytes)
            throw OnnxErrors.External(where, $"a {type} tensor of shape [{string.Join(", ", shape)}] needs {bytes} bytes; its external range has {length}");
        MappedFile file = Open(location, where);
        if (offset > file.Length - bytes)
            throw OnnxErrors.External(where, $"bytes {offset} to {(ulong)offset + (ulong)bytes} are outside '{location}', which has {file.Length}");
        return new MappedTensor(file, offset, type, shape);
    }

    private static long Number(StringStringEntryProto entry, string where) =>
        long.TryParse(entry.Value, NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            ? value
            : throw OnnxErrors.External(where, $"the external {entry.Key} is '{entry.Value}', which is no byte count");

    private MappedFile Open(string location, string where)
    {
        if (_external.TryGetValue(location, out MappedFile? open)) return open;
        string folder = System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path)) ?? "/";
        string[] parts = location.Replace('\\', '/').Split('/');
        bool rooted = parts[0].Length == 0 || location.Contains(':', StringComparison.Ordinal) || location.Contains('\0', StringComparison.Ordinal);
        if (rooted || parts.Contains(".."))
            throw OnnxErrors.External(where, $"the external file '{location}' is outside the model's folder");

        string full = folder;
        foreach (string part in parts)
        {
            if (part is "" or ".") continue;
            full = System.IO.Path.Combine(full, part);
            RequireInside(full, folder, location, where);
        }
        try
        {
            return _external[location] = MappedFile.Open(full);
        }
        catch (ModelFormatException e)
        {
            throw OnnxErrors.External(where, $"the external file '{location}' cannot be opened: {e.Message}", e);
        }
    }

    /// <summary>A link below the model's folder may not lead out of it.</summary>
    private static void RequireInside(string path, string folder, string location, string where)
    {
        FileSystemInfo? target;
        try
        {
            target = new FileInfo(path).LinkTarget is null ? null : File.ResolveLinkTarget(path, returnFinalTarget: true);
        }
        catch (IOException e)
        {
            throw OnnxErrors.External(where, $"the external file '{location}' cannot be resolved: {e.Message}", e);
        }
        if (target is null) return;
        string inside = System.IO.Path.TrimEndingDirectorySeparator(folder) + System.IO.Path.DirectorySeparatorChar;
        if (!target.FullName.StartsWith(inside, StringComparison.Ordinal))
            throw OnnxErrors.External(where, $"the external file '{location}' is a link that leads out of the model's folder");
    }
}

using System.Buffers.Binary;
using System.Text.Json;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Safetensors;

/// <summary>Reads .safetensors files lazily: 8 bytes of header length, a JSON header, then the tensors' bytes.</summary>
/// <remarks>
/// Checked before anything is used: the header's length (at most 100 MB and inside the file), every name once, known
/// element types, sizes that agree with shapes, and ranges that cover the rest of the file without gap or overlap.
/// </remarks>
public static class SafetensorsReader
{
    /// <summary>Opens a file; values are read when asked for.</summary>
    /// <exception cref="ModelFormatException">SL1001, SL1201 (length), SL1202 (JSON), SL1203 (duplicate), SL1204 (type), SL1205 (ranges), SL1004 (too large).</exception>
    public static Checkpoint Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        var checkpoint = new Checkpoint(path, "safetensors");
        List<Entry> entries = ReadHeader(file, checkpoint, out long dataStart);
        entries.Sort((a, b) => a.Begin != b.Begin ? a.Begin.CompareTo(b.Begin) : a.End.CompareTo(b.End));
        long position = 0;
        foreach (Entry entry in entries)
        {
            string where = $"{path}: tensor '{entry.Name}'";
            int count = FormatErrors.CountElements(entry.Shape, entry.Type, "SL1205", where);
            if (entry.Begin != position)
                throw Error("SL1205", where, $"its bytes begin at {entry.Begin}, {(entry.Begin < position ? "inside" : "behind a gap after")} the tensor before it, which ends at {position}");
            if (entry.End - entry.Begin != (long)count * entry.Type.Size())
                throw Error("SL1205", where, $"{entry.Type}[{string.Join(", ", entry.Shape)}] needs {(long)count * entry.Type.Size()} bytes, the header gives it {entry.End - entry.Begin}");
            position = entry.End;
            if (position > file.Length - dataStart) throw Error("SL1205", where, $"its bytes reach beyond the end of the file: {position} of {file.Length - dataStart}");
            checkpoint.Tensors[entry.Name] = new MappedTensor(file, dataStart + entry.Begin, entry.Type, FormatErrors.ToInts(entry.Shape));
        }
        if (position != file.Length - dataStart)
            throw Error("SL1205", path, $"the tensors cover {position} bytes, but {file.Length - dataStart} follow the header");
        return checkpoint;
    }

    /// <summary>Whether a file's first bytes look like this format: a plausible length, then a brace.</summary>
    internal static bool LooksLike(ReadOnlySpan<byte> head) =>
        head.Length >= 9 && BinaryPrimitives.ReadUInt64LittleEndian(head) is >= 2 and <= SafetensorsTypes.MaxHeader && head[8] == '{';

    private static List<Entry> ReadHeader(MappedFile file, Checkpoint checkpoint, out long dataStart)
    {
        if (file.Length < 8) throw Error("SL1201", file.Path, $"the file has {file.Length} bytes, not even the 8 of the header's length");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(file.Head(8));
        if (length > SafetensorsTypes.MaxHeader) throw Error("SL1201", file.Path, $"it declares a header of {length} bytes; the format allows {SafetensorsTypes.MaxHeader}");
        if (length > (ulong)(file.Length - 8)) throw Error("SL1201", file.Path, $"it declares a header of {length} bytes, but only {file.Length - 8} follow: the file is truncated");
        dataStart = 8 + (long)length;
        ReadOnlySpan<byte> json = file.Span(8, (int)length);
        if (json.Length == 0 || json[0] != '{') throw Error("SL1202", file.Path, "the header does not begin with '{'");
        try
        {
            return Parse(json, file.Path, checkpoint);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw Error("SL1202", file.Path, $"the header is no valid JSON of the expected form: {e.Message}", e);
        }
        finally
        {
            GC.KeepAlive(file);
        }
    }

    private static List<Entry> Parse(ReadOnlySpan<byte> json, string path, Checkpoint checkpoint)
    {
        var entries = new List<Entry>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 8 });
        reader.Read();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            if (!names.Add(name)) throw Error("SL1203", path, $"the name '{name}' is there twice");
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject) throw Error("SL1202", path, $"the entry '{name}' is no object");
            if (name == "__metadata__") ReadMetadata(ref reader, path, checkpoint);
            else entries.Add(ReadEntry(ref reader, name, path));
        }
        // Trailing spaces are padding; anything else makes the reader throw.
        reader.Read();
        return entries;
    }

    private static void ReadMetadata(ref Utf8JsonReader reader, string path, Checkpoint checkpoint)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String) throw Error("SL1202", path, $"metadata '{key}' is no text");
            if (!checkpoint.Metadata.TryAdd(key, reader.GetString()!)) throw Error("SL1203", path, $"metadata '{key}' is there twice");
        }
    }

    private static Entry ReadEntry(ref Utf8JsonReader reader, string name, string path)
    {
        string? type = null;
        long[]? shape = null, offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            switch (key)
            {
                case "dtype" when type is null: type = reader.GetString(); break;
                case "shape" when shape is null: shape = ReadLongs(ref reader, name, path); break;
                case "data_offsets" when offsets is null: offsets = ReadLongs(ref reader, name, path); break;
                default: throw Error("SL1202", path, $"the entry '{name}' has an unexpected or repeated field '{key}'");
            }
        }
        if (type is null || shape is null || offsets is not { Length: 2 } || offsets[0] < 0 || offsets[1] < offsets[0])
            throw Error("SL1202", path, $"the entry '{name}' needs dtype, shape and two ascending data_offsets");
        ElementType element = SafetensorsTypes.Parse(type);
        if (element == ElementType.Undefined)
        {
            throw new ModelFormatException("SL1204", $"element type '{type}' of tensor '{name}' is not supported")
            {
                Where = path,
                Because = "supported are F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL",
                Try = "convert the file to F32 or BF16 where it was made",
            };
        }
        return new Entry(name, element, shape, offsets[0], offsets[1]);
    }

    private static long[] ReadLongs(ref Utf8JsonReader reader, string name, string path)
    {
        if (reader.TokenType != JsonTokenType.StartArray) throw Error("SL1202", path, $"the entry '{name}' lacks a list of numbers");
        var values = new List<long>();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (!reader.TryGetInt64(out long value) || values.Count == 64) throw Error("SL1202", path, $"the entry '{name}' has a number that is no size, or too many");
            values.Add(value);
        }
        return [.. values];
    }

    private static ModelFormatException Error(string code, string where, string because, Exception? inner = null) =>
        new(code, "this is no sound safetensors file", inner) { Where = where, Because = because };

    private sealed record Entry(string Name, ElementType Type, long[] Shape, long Begin, long End);
}

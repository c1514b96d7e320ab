using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Safetensors;

/// <summary>Writes .safetensors files; equal tensors and metadata give equal bytes.</summary>
public static class SafetensorsWriter
{
    /// <summary>Writes tensors and metadata, under a temporary name first; lazily stored tensors are read one at a time.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensors">Names and values. Wider elements come first in the file, then order of names, so that all are aligned.</param>
    /// <param name="metadata">Text beside the tensors.</param>
    /// <exception cref="ArgumentException">A name is there twice or is reserved.</exception>
    /// <exception cref="NotSupportedException">A tensor holds text.</exception>
    /// <exception cref="ModelFormatException">SL1003: the file cannot be written; SL1201: the header would exceed the format's limit.</exception>
    public static void Write(string path, IEnumerable<KeyValuePair<string, WeightStorage>> tensors, IEnumerable<KeyValuePair<string, string>>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        List<KeyValuePair<string, WeightStorage>> sorted = [.. tensors
            .OrderByDescending(t => t.Value.ElementType.Size()).ThenBy(t => t.Key, StringComparer.Ordinal)];
        byte[] header = FormatHeader(sorted, metadata);
        if (header.Length > SafetensorsTypes.MaxHeader)
            throw new ModelFormatException("SL1201", $"the header would have {header.Length} bytes; the format allows {SafetensorsTypes.MaxHeader}") { Where = path };
        AtomicFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            stream.Write(length);
            stream.Write(header);
            foreach ((string name, WeightStorage storage) in sorted)
            {
                TensorData data = storage.Read();
                if (data.ElementType != storage.ElementType || !data.Shape.SequenceEqual(storage.Shape))
                    throw new InvalidOperationException($"Storage of '{name}' returned {data}, not what it declares.");
                stream.Write(data.Bytes());
            }
        });
    }

    private static byte[] FormatHeader(List<KeyValuePair<string, WeightStorage>> tensors, IEnumerable<KeyValuePair<string, string>>? metadata)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            List<KeyValuePair<string, string>> texts = [.. (metadata ?? []).OrderBy(m => m.Key, StringComparer.Ordinal)];
            if (texts.Count > 0)
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in texts) json.WriteString(key, value);
                json.WriteEndObject();
            }
            var names = new HashSet<string>(StringComparer.Ordinal) { "__metadata__" };
            long position = 0;
            foreach ((string name, WeightStorage storage) in tensors)
            {
                if (!names.Add(name)) throw new ArgumentException($"The name '{name}' is reserved or there twice.", nameof(tensors));
                json.WriteStartObject(name);
                json.WriteString("dtype", SafetensorsTypes.Name(storage.ElementType));
                json.WriteStartArray("shape");
                foreach (int d in storage.Shape) json.WriteNumberValue(d);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(position);
                position += (long)TensorData.CountElements(storage.Shape) * storage.ElementType.Size();
                json.WriteNumberValue(position);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        // Spaces fill the header up so that the tensors begin at a multiple of 8.
        int padded = (buffer.WrittenCount + 7) / 8 * 8;
        var header = new byte[padded];
        buffer.WrittenSpan.CopyTo(header);
        header.AsSpan(buffer.WrittenCount).Fill((byte)' ');
        return header;
    }
}

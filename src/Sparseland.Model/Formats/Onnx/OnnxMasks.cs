using System.Text.Json;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Masks inside interchange ONNX: the weights are dense with zeros, one metadata entry says which of them are masked.</summary>
/// <remarks>
/// A removed entry is always zero, so a mask is "the non-zeros" plus the kept entries that happen to be zero (just
/// regrown, say). The entry lists, per masked weight, those positions: a JSON array of {"in": node, attribute and
/// number of the body it is in, for every level of nesting, "weight": name, "keptZeros": base64 of gaps as LEB128 numbers}. Weights that another tool
/// changed afterwards stay consistent; weights that it renamed or removed lose their mask.
/// </remarks>
internal static class OnnxMasks
{
    internal const string MetadataKey = "sparseland.masks";

    /// <summary>The metadata entry for a graph, or null when nothing is masked.</summary>
    internal static string? Describe(ModelGraph graph)
    {
        using var stream = new MemoryStream();
        int count = 0;
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartArray();
            Describe(graph, [], json, ref count);
            json.WriteEndArray();
        }
        return count == 0 ? null : System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void Describe(ModelGraph graph, object[] path, Utf8JsonWriter json, ref int count)
    {
        foreach (Weight weight in graph.Weights.Values)
        {
            if (weight.Mask is not { } mask) continue;
            count++;
            json.WriteStartObject();
            if (path.Length > 0)
            {
                json.WriteStartArray("in");
                foreach (object step in path)
                {
                    if (step is int number) json.WriteNumberValue(number);
                    else json.WriteStringValue((string)step);
                }
                json.WriteEndArray();
            }
            json.WriteString("weight", weight.Name);
            byte[] gaps = KeptZeros(mask, weight.Read());
            if (gaps.Length > 0) json.WriteBase64String("keptZeros", gaps);
            json.WriteEndObject();
        }
        foreach (Node node in graph.Nodes)
        {
            foreach (string key in node.Attributes.Names)
            {
                ModelGraph[] bodies = node.Attributes.Value(key) switch { ModelGraph one => [one], ModelGraph[] several => several, _ => [] };
                for (int i = 0; i < bodies.Length; i++) Describe(bodies[i], [.. path, node.Name, key, i], json, ref count);
            }
        }
    }

    private static byte[] KeptZeros(Mask mask, TensorData data)
    {
        Mask nonZeros = NonZeros(data);
        var bytes = new List<byte>();
        int last = -1;
        for (int w = 0; w < mask.Words.Length; w++)
        {
            for (ulong extra = mask.Words[w] & ~nonZeros.Words[w]; extra != 0; extra &= extra - 1)
            {
                int position = (w << 6) + System.Numerics.BitOperations.TrailingZeroCount(extra);
                uint gap = (uint)(position - last - 1);
                last = position;
                for (; gap >= 0x80; gap >>= 7) bytes.Add((byte)(gap | 0x80));
                bytes.Add((byte)gap);
            }
        }
        return [.. bytes];
    }

    /// <summary>The entries that are not zero in their own type; conversion to single would round small doubles and large integers.</summary>
    private static Mask NonZeros(TensorData data)
    {
        if (data.ElementType == ElementType.Float32) return Mask.FromNonZeros(data.Shape, data.Span<float>());
        var kept = new bool[data.Length];
        int size = data.ElementType.Size();
        ReadOnlySpan<byte> bytes = data.Bytes();
        for (int i = 0; i < kept.Length; i++)
        {
            ReadOnlySpan<byte> element = bytes.Slice(i * size, size);
            kept[i] = element.ContainsAnyExcept((byte)0);
            // Minus zero is a zero.
            if (kept[i] && data.ElementType.IsFloat() && element[^1] == 0x80) kept[i] = element[..^1].ContainsAnyExcept((byte)0);
        }
        return Mask.FromFlags(data.Shape, kept);
    }

    /// <summary>Gives the listed weights their masks.</summary>
    /// <exception cref="ModelFormatException">SL1115: the entry is damaged or does not fit the weights.</exception>
    internal static void Apply(ModelGraph graph, string text, string where)
    {
        where = $"{where}, metadata '{MetadataKey}'";
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 8 });
        }
        catch (JsonException e)
        {
            throw OnnxErrors.Masks(where, "the list of masked weights is no JSON", e);
        }
        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Array) throw OnnxErrors.Masks(where, "the list of masked weights is no JSON array");
            foreach (JsonElement entry in document.RootElement.EnumerateArray())
            {
                try
                {
                    Apply(graph, entry, where);
                }
                catch (Exception e) when (e is InvalidOperationException or FormatException or KeyNotFoundException)
                {
                    throw OnnxErrors.Masks(where, "an entry of the list of masked weights has another form than expected", e);
                }
            }
        }
    }

    private static void Apply(ModelGraph graph, JsonElement entry, string where)
    {
        ModelGraph? at = graph;
        if (entry.TryGetProperty("in", out JsonElement path))
        {
            for (int i = 0; i + 2 < path.GetArrayLength() && at is not null; i += 3)
            {
                string node = path[i].GetString()!, attribute = path[i + 1].GetString()!;
                int number = path[i + 2].GetInt32();
                at = at.Nodes.Find(n => n.Name == node)?.Attributes.Value(attribute) switch
                {
                    ModelGraph one when number == 0 => one,
                    ModelGraph[] several when number >= 0 && number < several.Length => several[number],
                    _ => null,
                };
            }
        }
        string name = entry.GetProperty("weight").GetString()!;
        if (at is null || !at.Weights.TryGetValue(name, out Weight? weight)) return;
        if (weight.ElementType == ElementType.String) throw OnnxErrors.Masks(where, $"weight '{name}' holds strings, which cannot be masked");
        Mask mask = NonZeros(weight.Read());
        if (entry.TryGetProperty("keptZeros", out JsonElement zeros)) mask = Add(mask, zeros.GetBytesFromBase64(), name, where);
        weight.SetMask(mask);
    }

    private static Mask Add(Mask mask, ReadOnlySpan<byte> gaps, string name, string where)
    {
        ulong[] words = mask.Words.ToArray();
        long position = -1;
        for (int i = 0; i < gaps.Length;)
        {
            ulong gap = 0;
            int shift = 0;
            byte b;
            do
            {
                if (i == gaps.Length || shift > 28) throw OnnxErrors.Masks(where, $"the mask of weight '{name}' is damaged");
                b = gaps[i++];
                gap |= (ulong)(b & 0x7F) << shift;
                shift += 7;
            }
            while (b >= 0x80);
            position += (long)gap + 1;
            if (position >= mask.Length) throw OnnxErrors.Masks(where, $"the mask of weight '{name}' keeps entry {position}; the weight has {mask.Length}");
            words[position >> 6] |= 1UL << (int)(position & 63);
        }
        return Mask.FromWords(mask.Shape, words);
    }
}

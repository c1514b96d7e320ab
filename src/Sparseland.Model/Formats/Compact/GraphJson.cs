using System.Globalization;
using System.Text.Json;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Compact;

/// <summary>How a weight's description is written and read; values are elsewhere.</summary>
internal interface IWeightTable
{
    /// <summary>Writes what is needed to find the values again, as members of the current JSON object.</summary>
    void Describe(Utf8JsonWriter json, Weight weight);

    /// <summary>Makes the weight that a description stands for.</summary>
    Weight Find(string name, JsonElement description);
}

/// <summary>The structure of a graph as JSON: nodes, attributes, inputs, outputs, names of weights.</summary>
internal static class GraphJson
{
    private const int MaxDepth = 24;

    internal static void Write(Utf8JsonWriter json, ModelGraph graph, IWeightTable weights)
    {
        json.WriteStartObject();
        json.WriteString("name", graph.Name);
        WriteValues(json, "inputs", graph.Inputs);
        WriteValues(json, "outputs", graph.Outputs);
        json.WriteStartObject("domains");
        foreach ((string domain, int version) in graph.CustomDomains) json.WriteNumber(domain, version);
        json.WriteEndObject();
        json.WriteStartArray("weights");
        foreach (Weight weight in graph.Weights.Values)
        {
            json.WriteStartObject();
            json.WriteString("name", weight.Name);
            weights.Describe(json, weight);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("nodes");
        foreach (Node node in graph.Nodes) WriteNode(json, node, weights);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    internal static ModelGraph Read(JsonElement json, IWeightTable weights, int depth = 0)
    {
        if (depth > MaxDepth) throw new FormatException($"graphs are nested more than {MaxDepth} deep");
        var graph = new ModelGraph(Text(json, "name"));
        ReadValues(json.GetProperty("inputs"), graph.Inputs);
        ReadValues(json.GetProperty("outputs"), graph.Outputs);
        foreach (JsonProperty domain in json.GetProperty("domains").EnumerateObject()) graph.CustomDomains[domain.Name] = domain.Value.GetInt32();
        foreach (JsonElement weight in json.GetProperty("weights").EnumerateArray()) graph.AddWeight(weights.Find(Text(weight, "name"), weight));
        foreach (JsonElement node in json.GetProperty("nodes").EnumerateArray()) graph.Nodes.Add(ReadNode(node, weights, depth));
        return graph;
    }

    internal static void WriteTensor(Utf8JsonWriter json, TensorData tensor)
    {
        json.WriteStartObject();
        json.WriteString("type", tensor.ElementType.ToString());
        json.WriteStartArray("shape");
        foreach (int d in tensor.Shape) json.WriteNumberValue(d);
        json.WriteEndArray();
        if (tensor.ElementType == ElementType.String)
        {
            json.WriteStartArray("strings");
            foreach (string text in tensor.Array<string>()) json.WriteStringValue(text);
            json.WriteEndArray();
        }
        else
        {
            json.WriteBase64String("data", tensor.Bytes());
        }
        json.WriteEndObject();
    }

    internal static TensorData ReadTensor(JsonElement json)
    {
        ElementType type = ReadType(json.GetProperty("type"));
        int[] shape = [.. json.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32())];
        if (type == ElementType.String) return TensorData.Wrap(json.GetProperty("strings").EnumerateArray().Select(s => s.GetString()!).ToArray(), shape);
        byte[] data = json.GetProperty("data").GetBytesFromBase64();
        int count = FormatErrors.CountElements(Array.ConvertAll(shape, d => (long)d), type, "SL1602", "graph");
        if (data.Length != (long)count * type.Size()) throw new FormatException("a tensor's bytes do not fill its shape");
        TensorData tensor = TensorData.Zeros(type, shape);
        data.CopyTo(tensor.Bytes());
        if (type == ElementType.Bool) TensorBytes.NormaliseBools(tensor.Bytes());
        return tensor;
    }

    internal static ElementType ReadType(JsonElement json) =>
        Enum.TryParse(json.GetString(), out ElementType type) && Enum.IsDefined(type) ? type : throw new FormatException($"'{json.GetString()}' is no element type");

    private static void WriteNode(Utf8JsonWriter json, Node node, IWeightTable weights)
    {
        json.WriteStartObject();
        json.WriteString("name", node.Name);
        json.WriteString("op", node.OpType);
        if (node.Domain.Length > 0) json.WriteString("domain", node.Domain);
        WriteNames(json, "in", node.Inputs);
        WriteNames(json, "out", node.Outputs);
        if (node.Attributes.Count > 0)
        {
            json.WriteStartObject("attributes");
            foreach (string key in node.Attributes.Names)
            {
                json.WriteStartObject(key);
                WriteAttribute(json, node.Attributes.Value(key)!, weights);
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void WriteAttribute(Utf8JsonWriter json, object value, IWeightTable weights)
    {
        switch (value)
        {
            case long v: json.WriteNumber("int", v); break;
            case float v:
                json.WritePropertyName("float");
                WriteFloat(json, v);
                break;
            case string v: json.WriteString("string", v); break;
            case long[] v:
                json.WriteStartArray("ints");
                foreach (long item in v) json.WriteNumberValue(item);
                json.WriteEndArray();
                break;
            case float[] v:
                json.WriteStartArray("floats");
                foreach (float item in v) WriteFloat(json, item);
                json.WriteEndArray();
                break;
            case string[] v: WriteNames(json, "strings", v); break;
            case TensorData v:
                json.WritePropertyName("tensor");
                WriteTensor(json, v);
                break;
            case TensorData[] v:
                json.WriteStartArray("tensors");
                foreach (TensorData item in v) WriteTensor(json, item);
                json.WriteEndArray();
                break;
            case ModelGraph v:
                json.WritePropertyName("graph");
                Write(json, v, weights);
                break;
            case ModelGraph[] v:
                json.WriteStartArray("graphs");
                foreach (ModelGraph item in v) Write(json, item, weights);
                json.WriteEndArray();
                break;
            default: throw new NotSupportedException($"Attributes of type {value.GetType().Name} cannot be saved.");
        }
    }

    private static Node ReadNode(JsonElement json, IWeightTable weights, int depth)
    {
        var node = new Node(Text(json, "name"), Text(json, "op"), ReadNames(json.GetProperty("in")), ReadNames(json.GetProperty("out")),
            json.TryGetProperty("domain", out JsonElement domain) ? domain.GetString()! : "");
        if (!json.TryGetProperty("attributes", out JsonElement attributes)) return node;
        foreach (JsonProperty attribute in attributes.EnumerateObject())
        {
            JsonProperty kind = attribute.Value.EnumerateObject().Single();
            node.Attributes.SetValue(attribute.Name, kind.Name switch
            {
                "int" => kind.Value.GetInt64(),
                "float" => ReadFloat(kind.Value),
                "string" => kind.Value.GetString()!,
                "ints" => kind.Value.EnumerateArray().Select(v => v.GetInt64()).ToArray(),
                "floats" => kind.Value.EnumerateArray().Select(ReadFloat).ToArray(),
                "strings" => ReadNames(kind.Value),
                "tensor" => ReadTensor(kind.Value),
                "tensors" => kind.Value.EnumerateArray().Select(ReadTensor).ToArray(),
                "graph" => Read(kind.Value, weights, depth + 1),
                "graphs" => (object)kind.Value.EnumerateArray().Select(g => Read(g, weights, depth + 1)).ToArray(),
                _ => throw new FormatException($"'{kind.Name}' is no kind of attribute"),
            });
        }
        return node;
    }

    private static void WriteFloat(Utf8JsonWriter json, float value)
    {
        if (float.IsFinite(value)) json.WriteNumberValue(value);
        else json.WriteStringValue("0x" + BitConverter.SingleToUInt32Bits(value).ToString("x8", CultureInfo.InvariantCulture));
    }

    private static float ReadFloat(JsonElement json) => json.ValueKind == JsonValueKind.String
        ? BitConverter.UInt32BitsToSingle(uint.Parse(json.GetString()!.AsSpan(2), NumberStyles.HexNumber, CultureInfo.InvariantCulture))
        : json.GetSingle();

    private static void WriteValues(Utf8JsonWriter json, string name, List<GraphValue> values)
    {
        json.WriteStartArray(name);
        foreach (GraphValue value in values)
        {
            json.WriteStartObject();
            json.WriteString("name", value.Name);
            json.WriteString("type", value.Type.ElementType.ToString());
            if (value.Type.Shape is { } shape)
            {
                json.WriteStartArray("shape");
                foreach (Dimension d in shape)
                {
                    if (d.IsKnown) json.WriteNumberValue(d.Value);
                    else if (d.Symbol is null) json.WriteNullValue();
                    else json.WriteStringValue(d.Symbol);
                }
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void ReadValues(JsonElement json, List<GraphValue> values)
    {
        foreach (JsonElement value in json.EnumerateArray())
        {
            TensorShape? shape = null;
            if (value.TryGetProperty("shape", out JsonElement dimensions))
            {
                shape = new TensorShape([.. dimensions.EnumerateArray().Select(d => d.ValueKind switch
                {
                    JsonValueKind.Number => d.GetInt32() is >= 0 and var size ? size : throw new FormatException("a dimension is negative"),
                    JsonValueKind.String => Dimension.Named(d.GetString()!),
                    _ => Dimension.Unknown,
                })]);
            }
            values.Add(new GraphValue(Text(value, "name"), new TensorType(ReadType(value.GetProperty("type")), shape)));
        }
    }

    private static void WriteNames(Utf8JsonWriter json, string name, IEnumerable<string> names)
    {
        json.WriteStartArray(name);
        foreach (string item in names) json.WriteStringValue(item);
        json.WriteEndArray();
    }

    private static string[] ReadNames(JsonElement json) => [.. json.EnumerateArray().Select(n => n.GetString() ?? throw new FormatException("a name is null"))];

    private static string Text(JsonElement json, string property) => json.GetProperty(property).GetString() ?? throw new FormatException($"'{property}' is null");
}

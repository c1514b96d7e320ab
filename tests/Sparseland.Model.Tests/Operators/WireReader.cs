using System.Buffers.Binary;
using System.Text;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Operators;

/// <summary>
/// A second, minimal reader of the protobuf wire format of ONNX models and tensors, without any version upgrade:
/// operators are tested through it independently of the product's reader.
/// </summary>
internal static class WireReader
{
    public static ModelGraph Model(byte[] bytes, out long opset)
    {
        opset = 0;
        ModelGraph? graph = null;
        foreach ((int field, ulong _, ReadOnlyMemory<byte> data) in Fields(bytes))
        {
            if (field == 7) graph = Graph(data);
            if (field == 8)
            {
                string domain = "";
                long version = 0;
                foreach ((int f, ulong v, ReadOnlyMemory<byte> d) in Fields(data))
                {
                    if (f == 1) domain = Text(d);
                    if (f == 2) version = (long)v;
                }
                if (domain is "" or "ai.onnx") opset = version;
            }
        }
        return graph ?? throw new InvalidDataException("no graph");
    }

    public static TensorData Tensor(ReadOnlyMemory<byte> bytes)
    {
        var dims = new List<int>();
        var type = ElementType.Undefined;
        var raw = ReadOnlyMemory<byte>.Empty;
        var floats = new List<float>();
        var doubles = new List<double>();
        var integers = new List<long>();
        var strings = new List<string>();
        bool hasRaw = false;
        foreach ((int field, ulong value, ReadOnlyMemory<byte> data) in Fields(bytes))
        {
            switch (field)
            {
                case 1: dims.AddRange(Varints(value, data).Select(v => checked((int)v))); break;
                case 2: type = (ElementType)value; break;
                case 4: floats.AddRange(Floats(value, data)); break;
                case 5 or 7 or 11: integers.AddRange(Varints(value, data)); break;
                case 6: strings.Add(Text(data)); break;
                case 9: (raw, hasRaw) = (data, true); break;
                case 10:
                    for (int i = 0; i < data.Length; i += 8) doubles.Add(BinaryPrimitives.ReadDoubleLittleEndian(data.Span[i..]));
                    break;
            }
        }
        if (type != ElementType.String && type.Size() == 0) throw new NotSupportedException($"element type {(int)type}");
        int[] shape = [.. dims];
        if (type == ElementType.String) return TensorData.Wrap(strings.ToArray(), shape);
        TensorData tensor = TensorData.Zeros(type, shape);
        if (hasRaw) raw.Span.CopyTo(tensor.Bytes());
        else if (type == ElementType.Float32) floats.CopyTo(tensor.Array<float>());
        else if (type == ElementType.Float64) doubles.CopyTo(tensor.Array<double>());
        else
        {
            Span<byte> word = stackalloc byte[8];
            for (int i = 0; i < integers.Count; i++)
            {
                BinaryPrimitives.WriteInt64LittleEndian(word, integers[i]);
                word[..type.Size()].CopyTo(tensor.Bytes()[(i * type.Size())..]);
            }
        }
        return tensor;
    }

    private static ModelGraph Graph(ReadOnlyMemory<byte> bytes)
    {
        var graph = new ModelGraph("graph");
        var inputs = new List<GraphValue>();
        foreach ((int field, ulong _, ReadOnlyMemory<byte> data) in Fields(bytes))
        {
            switch (field)
            {
                case 1: graph.Nodes.Add(NodeOf(data, graph.Nodes.Count)); break;
                case 5:
                    string name = "";
                    foreach ((int f, ulong _, ReadOnlyMemory<byte> d) in Fields(data))
                    {
                        if (f == 8) name = Text(d);
                    }
                    graph.AddWeight(new Weight(name, Tensor(data)));
                    break;
                case 11: inputs.Add(Value(data)); break;
                case 12: graph.Outputs.Add(Value(data)); break;
            }
        }
        graph.Inputs.AddRange(inputs.Where(i => !graph.Weights.ContainsKey(i.Name)));
        return graph;
    }

    private static GraphValue Value(ReadOnlyMemory<byte> bytes)
    {
        string name = "";
        var type = ElementType.Undefined;
        TensorShape? shape = null;
        foreach ((int field, ulong _, ReadOnlyMemory<byte> data) in Fields(bytes))
        {
            if (field == 1) name = Text(data);
            if (field != 2) continue;
            foreach ((int kind, ulong _, ReadOnlyMemory<byte> tensor) in Fields(data))
            {
                if (kind != 1) throw new NotSupportedException("value is no tensor");
                foreach ((int f, ulong v, ReadOnlyMemory<byte> d) in Fields(tensor))
                {
                    if (f == 1) type = (ElementType)v;
                    if (f == 2) shape = new TensorShape([.. Fields(d).Select(dim => Dim(dim.Data))]);
                }
            }
        }
        return new GraphValue(name, new TensorType(type, shape));
    }

    private static Dimension Dim(ReadOnlyMemory<byte> bytes)
    {
        Dimension result = Dimension.Unknown;
        foreach ((int f, ulong v, ReadOnlyMemory<byte> d) in Fields(bytes)) result = f == 1 ? (int)(long)v : Dimension.Named(Text(d));
        return result;
    }

    private static Node NodeOf(ReadOnlyMemory<byte> bytes, int index)
    {
        List<string> inputs = [], outputs = [];
        string name = "", op = "", domain = "";
        var attributes = new List<(string, object)>();
        foreach ((int field, ulong _, ReadOnlyMemory<byte> data) in Fields(bytes))
        {
            switch (field)
            {
                case 1: inputs.Add(Text(data)); break;
                case 2: outputs.Add(Text(data)); break;
                case 3: name = Text(data); break;
                case 4: op = Text(data); break;
                case 5: attributes.Add(Attribute(data)); break;
                case 7: domain = Text(data); break;
            }
        }
        var node = new Node($"{name}#{index}", op, inputs, outputs, domain);
        foreach ((string key, object value) in attributes) node.Attributes.SetValue(key, value);
        return node;
    }

    private static (string, object) Attribute(ReadOnlyMemory<byte> bytes)
    {
        string name = "";
        object? value = null;
        long type = 0;
        var floats = new List<float>();
        var integers = new List<long>();
        var strings = new List<string>();
        foreach ((int field, ulong v, ReadOnlyMemory<byte> data) in Fields(bytes))
        {
            switch (field)
            {
                case 1: name = Text(data); break;
                case 2: value = Floats(v, data)[0]; break;
                case 3: value = (long)v; break;
                case 4: value = Text(data); break;
                case 5: value = Tensor(data); break;
                case 6: value = Graph(data); break;
                case 7: floats.AddRange(Floats(v, data)); break;
                case 8: integers.AddRange(Varints(v, data)); break;
                case 9: strings.Add(Text(data)); break;
                case 20: type = (long)v; break;
            }
        }
        return (name, value ?? type switch
        {
            1 => 0f,
            2 => 0L,
            3 => "",
            6 => floats.ToArray(),
            7 => integers.ToArray(),
            8 => strings.ToArray(),
            _ => throw new NotSupportedException($"attribute '{name}' of type {type}"),
        });
    }

    private static string Text(ReadOnlyMemory<byte> data) => Encoding.UTF8.GetString(data.Span);

    private static float[] Floats(ulong value, ReadOnlyMemory<byte> data)
    {
        if (data.Length == 0) return [BitConverter.UInt32BitsToSingle((uint)value)];
        var result = new float[data.Length / 4];
        for (int i = 0; i < result.Length; i++) result[i] = BinaryPrimitives.ReadSingleLittleEndian(data.Span[(4 * i)..]);
        return result;
    }

    private static IEnumerable<long> Varints(ulong value, ReadOnlyMemory<byte> data)
    {
        if (data.Length == 0) return [(long)value];
        var result = new List<long>();
        for (int at = 0; at < data.Length;) result.Add((long)Varint(data.Span, ref at));
        return result;
    }

    private static ulong Varint(ReadOnlySpan<byte> data, ref int at)
    {
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte b = data[at++];
            value |= (ulong)(b & 127) << shift;
            if (b < 128) return value;
        }
    }

    private static List<(int Field, ulong Value, ReadOnlyMemory<byte> Data)> Fields(ReadOnlyMemory<byte> bytes)
    {
        var fields = new List<(int, ulong, ReadOnlyMemory<byte>)>();
        ReadOnlySpan<byte> span = bytes.Span;
        for (int at = 0; at < span.Length;)
        {
            ulong key = Varint(span, ref at);
            int field = (int)(key >> 3);
            switch (key & 7)
            {
                case 0:
                    fields.Add((field, Varint(span, ref at), default));
                    break;
                case 1:
                    fields.Add((field, BinaryPrimitives.ReadUInt64LittleEndian(span[at..]), default));
                    at += 8;
                    break;
                case 2:
                    int length = (int)Varint(span, ref at);
                    fields.Add((field, 0, bytes.Slice(at, length)));
                    at += length;
                    break;
                case 5:
                    fields.Add((field, BinaryPrimitives.ReadUInt32LittleEndian(span[at..]), default));
                    at += 4;
                    break;
                default:
                    throw new InvalidDataException("wire type");
            }
        }
        return fields;
    }
}

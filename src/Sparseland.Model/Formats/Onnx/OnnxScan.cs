using Sparseland.Model.Formats.Onnx.Proto;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Where the raw bytes of a weight lie in the file.</summary>
/// <param name="Offset">From the file's beginning.</param>
/// <param name="Length">In bytes.</param>
internal readonly record struct RawRange(long Offset, int Length);

/// <summary>Takes the weights' bytes out of a mapped file before it is parsed, so that they are never copied.</summary>
/// <remarks>
/// A protobuf parser copies every byte string. A walk over three levels of the wire format (model, graph, initializer)
/// yields the same message without the raw data of the main graph's initializers, and where each of them lies.
/// </remarks>
internal static class OnnxScan
{
    private const int MaxItems = 2_000_000;
    private const int ModelGraphField = 7, GraphNodeField = 1, GraphInitializerField = 5, TensorRawField = 9;

    /// <summary>Parses the file without copying raw data of initializers.</summary>
    /// <returns>The message, and per initializer of the main graph its raw bytes (null when it has none).</returns>
    internal static (ModelProto Model, List<RawRange?> Raw) Parse(MappedFile file)
    {
        if (file.Length > int.MaxValue)
            throw OnnxErrors.TooLarge(file.Path, "an ONNX file holds at most 2 GB; larger models keep their weights in a file beside it");
        if (file.Length == 0) throw OnnxErrors.Damaged(file.Path, "the file is empty");
        var raw = new List<RawRange?>();
        byte[] skeleton = Strip(file, raw);
        GC.KeepAlive(file);
        return (Parse(ModelProto.Parser, skeleton, file.Path), raw);
    }

    /// <summary>Parses a message; what the parser says becomes a typed error.</summary>
    internal static T Parse<T>(Google.Protobuf.MessageParser<T> parser, byte[] bytes, string where) where T : Google.Protobuf.IMessage<T>
    {
        try
        {
            return parser.WithDiscardUnknownFields(true).ParseFrom(bytes);
        }
        catch (Google.Protobuf.InvalidProtocolBufferException e) when (e.Message.Contains("nesting", StringComparison.Ordinal))
        {
            throw OnnxErrors.TooDeep(where, e);
        }
        catch (Google.Protobuf.InvalidProtocolBufferException e)
        {
            throw OnnxErrors.Damaged(where, e.Message, e);
        }
    }

    private static byte[] Strip(MappedFile file, List<RawRange?> raw)
    {
        var wire = new Wire(file.Span(0, (int)file.Length), 0, file.Path);
        var output = new MemoryStream();
        int nodes = 0;
        while (wire.Next(out int field, out ReadOnlySpan<byte> payload, out int start))
        {
            if (field == ModelGraphField && wire.IsBytes) WriteBytes(output, field, StripGraph(payload, start, file.Path, raw, ref nodes));
            else output.Write(wire.Whole);
        }
        return output.ToArray();
    }

    private static MemoryStream StripGraph(ReadOnlySpan<byte> graph, int offset, string path, List<RawRange?> raw, ref int nodes)
    {
        var wire = new Wire(graph, offset, path);
        var output = new MemoryStream();
        while (wire.Next(out int field, out ReadOnlySpan<byte> payload, out int start))
        {
            if (field == GraphNodeField) nodes++;
            if (nodes + raw.Count > MaxItems) throw OnnxErrors.TooLarge(path, $"the file lists more than {MaxItems} nodes and weights");
            if (field == GraphInitializerField && wire.IsBytes) WriteBytes(output, field, StripTensor(payload, start, path, raw));
            else output.Write(wire.Whole);
        }
        return output;
    }

    private static MemoryStream StripTensor(ReadOnlySpan<byte> tensor, int offset, string path, List<RawRange?> raw)
    {
        var wire = new Wire(tensor, offset, path);
        var output = new MemoryStream();
        RawRange? range = null;
        while (wire.Next(out int field, out ReadOnlySpan<byte> payload, out int start))
        {
            if (field == TensorRawField && wire.IsBytes) range = new RawRange(start, payload.Length);
            else output.Write(wire.Whole);
        }
        raw.Add(range);
        return output;
    }

    private static void WriteBytes(MemoryStream output, int field, MemoryStream payload)
    {
        WriteVarint(output, (uint)field << 3 | 2);
        WriteVarint(output, (uint)payload.Length);
        payload.WriteTo(output);
    }

    private static void WriteVarint(MemoryStream output, uint value)
    {
        for (; value >= 0x80; value >>= 7) output.WriteByte((byte)(value | 0x80));
        output.WriteByte((byte)value);
    }

    /// <summary>Reads the fields of one message; every length is checked against what is left.</summary>
    private ref struct Wire(ReadOnlySpan<byte> bytes, int offset, string path)
    {
        private readonly ReadOnlySpan<byte> _bytes = bytes;
        private int _position;
        private int _start;

        /// <summary>Whether the field just read is a byte string or message.</summary>
        internal bool IsBytes { get; private set; }

        /// <summary>The field just read, tag included.</summary>
        internal readonly ReadOnlySpan<byte> Whole => _bytes[_start.._position];

        /// <summary>Moves to the next field; its payload starts at <paramref name="start"/> in the file.</summary>
        internal bool Next(out int field, out ReadOnlySpan<byte> payload, out int start)
        {
            field = start = 0;
            payload = default;
            if (_position == _bytes.Length) return false;
            _start = _position;
            ulong tag = Varint();
            int type = (int)(tag & 7);
            if (tag >> 3 is 0 or > 0x1FFFFFFF) throw Bad("a field number is impossible");
            field = (int)(tag >> 3);
            IsBytes = type == 2;
            ulong length = type switch
            {
                0 => VarintLength(),
                1 => 8,
                2 => Varint(),
                5 => 4,
                _ => throw Bad("a field has a wire type that ONNX does not use"),
            };
            if (length > (ulong)(_bytes.Length - _position)) throw Bad($"a field of {length} bytes begins {_bytes.Length - _position} bytes before the end of what contains it");
            start = offset + _position;
            payload = _bytes.Slice(_position, (int)length);
            _position += (int)length;
            return true;
        }

        private ulong VarintLength()
        {
            int before = _position;
            Varint();
            int length = _position - before;
            _position = before;
            return (ulong)length;
        }

        private ulong Varint()
        {
            ulong value = 0;
            for (int shift = 0; shift < 70; shift += 7)
            {
                if (_position == _bytes.Length) throw Bad("the file ends inside a number");
                byte b = _bytes[_position++];
                value |= (ulong)(b & 0x7F) << shift;
                if (b < 0x80) return value;
            }
            throw Bad("a number has more than ten bytes");
        }

        private readonly ModelFormatException Bad(string because) => OnnxErrors.Damaged($"{path}, byte {offset + _position}", because);
    }
}

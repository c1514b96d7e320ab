using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Numpy;

/// <summary>The header of a .npy file (NumPy Enhancement Proposal 1, versions 1.0 to 3.0).</summary>
/// <param name="Type">The element type.</param>
/// <param name="BigEndian">Whether elements have to be turned round.</param>
/// <param name="ItemSize">Bytes per element; for text the fixed bytes per string.</param>
/// <param name="Fortran">Whether the first dimension varies fastest.</param>
/// <param name="Shape">The dimensions.</param>
/// <param name="DataOffset">Where the elements begin.</param>
internal sealed record NpyHeader(ElementType Type, bool BigEndian, int ItemSize, bool Fortran, int[] Shape, int DataOffset)
{
    /// <summary>Bytes that are enough to see any header that is accepted.</summary>
    internal const int MaxHeader = 1 << 16;

    /// <summary>The first six bytes of every file.</summary>
    internal static ReadOnlySpan<byte> Signature => [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    internal int Count => TensorData.CountElements(Shape);

    internal long DataLength => (long)Count * ItemSize;

    /// <summary>Parses the head of a file: <paramref name="head"/> holds its first bytes.</summary>
    internal static NpyHeader Parse(ReadOnlySpan<byte> head, string where)
    {
        if (head.Length < 10 || !head[..6].SequenceEqual(Signature))
            throw NumpyErrors.Damaged(where, "it does not begin with the NumPy signature");
        int version = head[6];
        if (version is < 1 or > 3) throw NumpyErrors.Damaged(where, $"version {version}.{head[7]} is not known (1.0 to 3.0 are)");
        int start = version == 1 ? 10 : 12;
        if (head.Length < start) throw NumpyErrors.Damaged(where, "it ends inside the header");
        uint length = version == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(head[8..]) : BinaryPrimitives.ReadUInt32LittleEndian(head[8..]);
        if (length > MaxHeader - start) throw NumpyErrors.Damaged(where, $"it declares a header of {length} bytes (at most {MaxHeader - start})");
        if (head.Length - start < length) throw NumpyErrors.Damaged(where, "it ends inside the header");
        string text = (version == 3 ? Encoding.UTF8 : Encoding.Latin1).GetString(head.Slice(start, (int)length));
        (string descr, bool fortran, long[] shape) = new LiteralReader(text, where).ReadHeader();
        (ElementType type, bool bigEndian, int itemSize) = ParseType(descr, where);
        FormatErrors.CountElements(shape, type, NumpyErrors.DamagedCode, where);
        return new NpyHeader(type, bigEndian, itemSize, fortran, FormatErrors.ToInts(shape), start + (int)length);
    }

    /// <summary>The header bytes of a C-order, little-endian tensor, padded so that data begin at a multiple of 64.</summary>
    internal static byte[] Format(ElementType type, ReadOnlySpan<int> shape, int stringLength)
    {
        var text = new StringBuilder("{'descr': '").Append(Describe(type, stringLength)).Append("', 'fortran_order': False, 'shape': (");
        foreach (int d in shape) text.Append(d.ToString(CultureInfo.InvariantCulture)).Append(", ");
        // Python writes (3,) for one dimension, () for none and (2, 3) for more.
        if (shape.Length > 1) text.Length -= 2;
        else if (shape.Length == 1) text.Length -= 1;
        text.Append("), }");
        int prefix = text.Length + 11 > ushort.MaxValue ? 12 : 10;
        int total = (prefix + text.Length + 1 + 63) / 64 * 64;
        text.Append(' ', total - prefix - text.Length - 1).Append('\n');
        var bytes = new byte[total];
        Signature.CopyTo(bytes);
        bytes[6] = prefix == 10 ? (byte)1 : (byte)2;
        if (prefix == 10) BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(8), (ushort)text.Length);
        else BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), (uint)text.Length);
        Encoding.ASCII.GetBytes(text.ToString()).CopyTo(bytes, prefix);
        return bytes;
    }

    private static string Describe(ElementType type, int stringLength) => type switch
    {
        ElementType.Float32 => "<f4",
        ElementType.Float64 => "<f8",
        ElementType.Float16 => "<f2",
        // NumPy has no bfloat16; its extension packages write two raw bytes.
        ElementType.BFloat16 => "|V2",
        ElementType.Int8 => "|i1",
        ElementType.Int16 => "<i2",
        ElementType.Int32 => "<i4",
        ElementType.Int64 => "<i8",
        ElementType.UInt8 => "|u1",
        ElementType.UInt16 => "<u2",
        ElementType.UInt32 => "<u4",
        ElementType.UInt64 => "<u8",
        ElementType.Bool => "|b1",
        ElementType.String => "<U" + stringLength.ToString(CultureInfo.InvariantCulture),
        _ => throw new NotSupportedException($"NumPy files cannot hold {type}."),
    };

    private static (ElementType, bool, int) ParseType(string descr, string where)
    {
        string t = descr;
        bool bigEndian = false;
        if (t.Length > 0 && "<>|=".Contains(t[0], StringComparison.Ordinal))
        {
            bigEndian = t[0] == '>';
            t = t[1..];
        }
        ElementType type = t switch
        {
            "f4" => ElementType.Float32,
            "f8" => ElementType.Float64,
            "f2" => ElementType.Float16,
            "V2" or "bfloat16" => ElementType.BFloat16,
            "i1" => ElementType.Int8,
            "i2" => ElementType.Int16,
            "i4" => ElementType.Int32,
            "i8" => ElementType.Int64,
            "u1" => ElementType.UInt8,
            "u2" => ElementType.UInt16,
            "u4" => ElementType.UInt32,
            "u8" => ElementType.UInt64,
            "b1" or "?" => ElementType.Bool,
            _ => ElementType.Undefined,
        };
        if (type != ElementType.Undefined) return (type, bigEndian, type.Size());
        if (t.StartsWith('U') && int.TryParse(t.AsSpan(1), NumberStyles.None, CultureInfo.InvariantCulture, out int length) && length <= 1 << 20)
            return (ElementType.String, bigEndian, length * 4);
        throw new ModelFormatException("SL1402", $"NumPy element type '{descr}' is not supported")
        {
            Where = where,
            Because = t is "O" ? "it holds pickled Python objects, which are never executed here" : "numbers, booleans and fixed-length text are",
            Try = "save the array as float32 or int64",
        };
    }

    /// <summary>Reads the Python dictionary literal of the header and nothing else of Python.</summary>
    private ref struct LiteralReader(string text, string where)
    {
        private int _at;

        internal (string Descr, bool Fortran, long[] Shape) ReadHeader()
        {
            string? descr = null;
            bool? fortran = null;
            long[]? shape = null;
            Expect('{');
            while (!TryTake('}'))
            {
                string key = ReadString();
                Expect(':');
                switch (key)
                {
                    case "descr" when descr is null:
                        if (Peek() is '[' or '(')
                            throw new ModelFormatException("SL1402", "structured NumPy arrays are not supported") { Where = where, Try = "save one array per field" };
                        descr = ReadString();
                        break;
                    case "fortran_order" when fortran is null: fortran = ReadBool(); break;
                    case "shape" when shape is null: shape = ReadTuple(); break;
                    default: throw NumpyErrors.Damaged(where, $"its header has an unexpected entry '{key}'");
                }
                if (!TryTake(',') && Peek() != '}') throw NumpyErrors.Damaged(where, "its header is no Python dictionary");
            }
            if (text.AsSpan(_at).Trim(" \n\0").Length > 0 || descr is null || fortran is null || shape is null)
                throw NumpyErrors.Damaged(where, "its header lacks descr, fortran_order or shape, or has more behind it");
            return (descr, fortran.Value, shape);
        }

        private char Peek()
        {
            while (_at < text.Length && char.IsWhiteSpace(text[_at])) _at++;
            return _at < text.Length ? text[_at] : '\0';
        }

        private bool TryTake(char c)
        {
            if (Peek() != c || _at >= text.Length) return false;
            _at++;
            return true;
        }

        private void Expect(char c)
        {
            if (!TryTake(c)) throw NumpyErrors.Damaged(where, $"its header lacks a '{c}' at position {_at}");
        }

        private string ReadString()
        {
            char quote = Peek();
            if (quote is not ('\'' or '"')) throw NumpyErrors.Damaged(where, $"its header lacks text at position {_at}");
            int end = text.IndexOf(quote, _at + 1);
            if (end < 0) throw NumpyErrors.Damaged(where, "its header has text without an end");
            string value = text[(_at + 1)..end];
            _at = end + 1;
            return value;
        }

        private bool ReadBool()
        {
            Peek();
            foreach ((string word, bool value) in new[] { ("True", true), ("False", false) })
            {
                if (!text.AsSpan(_at).StartsWith(word)) continue;
                _at += word.Length;
                return value;
            }
            throw NumpyErrors.Damaged(where, "fortran_order is neither True nor False");
        }

        private long[] ReadTuple()
        {
            var sizes = new List<long>();
            Expect('(');
            while (!TryTake(')'))
            {
                Peek();
                int start = _at;
                while (_at < text.Length && char.IsAsciiDigit(text[_at])) _at++;
                if (!long.TryParse(text.AsSpan(start, _at - start), NumberStyles.None, CultureInfo.InvariantCulture, out long size) || sizes.Count == 64)
                    throw NumpyErrors.Damaged(where, "its shape is no tuple of sizes");
                TryTake('L');
                sizes.Add(size);
                if (!TryTake(',') && Peek() != ')') throw NumpyErrors.Damaged(where, "its shape is no tuple of sizes");
            }
            return [.. sizes];
        }
    }
}

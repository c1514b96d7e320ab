using System.Buffers.Binary;
using System.Text;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Numpy;

/// <summary>Reads NumPy .npy files: versions 1.0 to 3.0, both memory orders, both byte orders; no pickled objects.</summary>
public static class NpyReader
{
    /// <summary>Reads a file into a row-major tensor.</summary>
    /// <exception cref="ModelFormatException">SL1001, SL1401 (damaged), SL1402 (element type), SL1004 (too large).</exception>
    public static TensorData Read(string path) => Open(path).Read();

    /// <summary>Checks a file's header and length; values are read when asked for.</summary>
    /// <exception cref="ModelFormatException">SL1001, SL1401 (damaged), SL1402 (element type), SL1004 (too large).</exception>
    public static WeightStorage Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        NpyHeader header = NpyHeader.Parse(file.Head(NpyHeader.MaxHeader), path);
        RequireLength(header, file.Length, path);
        return new NpyStorage(path, header, destination => file.CopyTo(header.DataOffset, destination));
    }

    /// <summary>Reads a tensor from the bytes of a file.</summary>
    /// <param name="bytes">The whole file.</param>
    /// <param name="where">A name for messages.</param>
    /// <exception cref="ModelFormatException">SL1401 (damaged), SL1402 (element type), SL1004 (too large).</exception>
    public static TensorData Read(ReadOnlySpan<byte> bytes, string where)
    {
        NpyHeader header = NpyHeader.Parse(bytes, where);
        RequireLength(header, bytes.Length, where);
        return Decode(header, bytes.Slice(header.DataOffset, (int)header.DataLength));
    }

    internal static void RequireLength(NpyHeader header, long length, string where)
    {
        if (length - header.DataOffset != header.DataLength)
            throw NumpyErrors.Damaged(where, $"{header.Type}[{string.Join(", ", header.Shape)}] needs {header.DataLength} bytes behind the header, there are {length - header.DataOffset}");
    }

    internal static TensorData Decode(NpyHeader header, ReadOnlySpan<byte> raw)
    {
        TensorData data = TensorData.Zeros(header.Type, header.Shape);
        if (header.Type == ElementType.String)
        {
            DecodeText(header, raw, data.Span<string>());
        }
        else
        {
            Span<byte> bytes = data.Bytes();
            raw.CopyTo(bytes);
            if (header.BigEndian) TensorBytes.SwapEndianness(bytes, header.ItemSize);
            if (header.Type == ElementType.Bool) TensorBytes.NormaliseBools(bytes);
        }
        return header.Fortran && header.Shape.Length > 1 ? FromFortran(data) : data;
    }

    private static void DecodeText(NpyHeader header, ReadOnlySpan<byte> raw, Span<string> texts)
    {
        var text = new StringBuilder();
        for (int i = 0; i < texts.Length; i++)
        {
            text.Clear();
            ReadOnlySpan<byte> item = raw.Slice(i * header.ItemSize, header.ItemSize);
            for (int k = 0; k < item.Length; k += 4)
            {
                uint point = header.BigEndian ? BinaryPrimitives.ReadUInt32BigEndian(item[k..]) : BinaryPrimitives.ReadUInt32LittleEndian(item[k..]);
                if (!Rune.IsValid(point)) throw NumpyErrors.Damaged("text", $"{point:X8} is no Unicode character");
                text.Append(new Rune(point).ToString());
            }
            texts[i] = text.ToString().TrimEnd('\0');
        }
    }

    private static TensorData FromFortran(TensorData data)
    {
        TensorData result = TensorData.Zeros(data.ElementType, data.Shape);
        if (data.ElementType == ElementType.String)
        {
            string[] from = data.Array<string>(), to = result.Array<string>();
            Permute(data.Shape, (c, f) => to[c] = from[f]);
        }
        else
        {
            int size = data.ElementType.Size();
            // Spans cannot be captured: walk the indices here.
            int[] source = new int[data.Length];
            Permute(data.Shape, (c, f) => source[c] = f);
            Span<byte> from = data.Bytes(), to = result.Bytes();
            for (int c = 0; c < source.Length; c++) from.Slice(source[c] * size, size).CopyTo(to[(c * size)..]);
        }
        return result;
    }

    private static void Permute(ReadOnlySpan<int> shape, Action<int, int> move)
    {
        int count = TensorData.CountElements(shape);
        var index = new int[shape.Length];
        var strides = new int[shape.Length];
        for (int i = 0, s = 1; i < shape.Length; s *= shape[i++]) strides[i] = s;
        for (int c = 0, f = 0; c < count; c++)
        {
            move(c, f);
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                f += strides[axis];
                if (++index[axis] < shape[axis]) break;
                f -= strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
    }
}

/// <summary>Writes NumPy .npy files: version 1.0, row-major, little-endian.</summary>
public static class NpyWriter
{
    /// <summary>Writes a tensor to a file, under a temporary name first.</summary>
    /// <exception cref="ModelFormatException">SL1003: the file cannot be written.</exception>
    public static void Write(string path, TensorData tensor) => AtomicFile.Write(path, stream => Write(stream, tensor));

    /// <summary>Writes a tensor. bfloat16 becomes two raw bytes (NumPy type V2), strings become fixed-length text.</summary>
    public static void Write(Stream stream, TensorData tensor)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(tensor);
        if (tensor.ElementType != ElementType.String)
        {
            stream.Write(NpyHeader.Format(tensor.ElementType, tensor.Shape, 0));
            stream.Write(tensor.Bytes());
            return;
        }
        string[] texts = tensor.Array<string>();
        int longest = Math.Max(1, texts.Length == 0 ? 1 : texts.Max(t => t.EnumerateRunes().Count()));
        stream.Write(NpyHeader.Format(ElementType.String, tensor.Shape, longest));
        var item = new byte[longest * 4];
        foreach (string text in texts)
        {
            Array.Clear(item);
            int at = 0;
            foreach (Rune rune in text.EnumerateRunes()) BinaryPrimitives.WriteInt32LittleEndian(item.AsSpan(4 * at++), rune.Value);
            stream.Write(item);
        }
    }
}

/// <summary>Fills a buffer with the raw elements of a tensor.</summary>
internal delegate void RawReader(Span<byte> destination);

/// <summary>A .npy file, or one inside a .npz, that is read when asked for.</summary>
internal sealed class NpyStorage(string where, NpyHeader header, RawReader read) : WeightStorage
{
    public override ElementType ElementType => header.Type;

    public override ReadOnlySpan<int> Shape => header.Shape;

    public override TensorData Read()
    {
        if (header.DataLength > Array.MaxLength)
            throw new ModelFormatException("SL1004", $"{header.DataLength} bytes are more than one tensor can hold here") { Where = where };
        if (header.BigEndian || header.Fortran || header.Type is ElementType.String or ElementType.Bool)
        {
            var raw = new byte[header.DataLength];
            read(raw);
            return NpyReader.Decode(header, raw);
        }
        TensorData data = TensorData.Zeros(header.Type, header.Shape);
        read(data.Bytes());
        return data;
    }
}

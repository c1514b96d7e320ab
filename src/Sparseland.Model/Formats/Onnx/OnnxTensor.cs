using Google.Protobuf;
using Google.Protobuf.Collections;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Single tensors in ONNX's form: the .pb files of conformance data, weights and constants of models.</summary>
public static class OnnxTensor
{
    /// <summary>Raw bytes of at least this size stay in the file until they are asked for.</summary>
    private const int LazyBytes = 16 * 1024;

    /// <summary>Reads a file that holds one TensorProto.</summary>
    /// <exception cref="ModelFormatException">The file is missing (SL1001), damaged (SL1101, SL1103, SL1104) or of an element type that is not supported (SL1105).</exception>
    public static TensorData Read(string path) => ReadNamed(path).Data;

    /// <summary>Reads a file that holds one TensorProto, with the name it has there (may be empty).</summary>
    /// <exception cref="ModelFormatException">As <see cref="Read"/>.</exception>
    public static (string Name, TensorData Data) ReadNamed(string path)
    {
        MappedFile file = MappedFile.Open(path);
        if (file.Length > int.MaxValue) throw OnnxErrors.TooLarge(path, "a tensor file holds at most 2 GB");
        TensorProto proto = OnnxScan.Parse(TensorProto.Parser, file.Head((int)file.Length), path);
        return (proto.Name, Storage(proto, null, new OnnxFile(file), path).Read());
    }

    /// <summary>Writes one tensor as a TensorProto file.</summary>
    /// <exception cref="ModelFormatException">SL1003: the file cannot be written.</exception>
    public static void Write(string path, TensorData data, string name = "")
    {
        ArgumentNullException.ThrowIfNull(data);
        TensorProto proto = ToProto(data, name);
        AtomicFile.Write(path, stream => proto.WriteTo(stream));
    }

    /// <summary>The values of a tensor in a model: lazily from the file when they are many, else at once.</summary>
    /// <param name="proto">The tensor.</param>
    /// <param name="raw">Where its raw bytes lie when they were taken out before parsing.</param>
    /// <param name="file">The model's file.</param>
    /// <param name="where">For errors.</param>
    internal static WeightStorage Storage(TensorProto proto, RawRange? raw, OnnxFile file, string where)
    {
        ElementType type = OnnxTypes.ElementTypeOf(proto.DataType);
        if (type == ElementType.Undefined) throw OnnxErrors.Type(where, OnnxTypes.NameOf(proto.DataType));
        int[] shape = Shape(proto.Dims, where, out int count);
        if (proto.Segment is not null) throw OnnxErrors.Elements(where, "the tensor is stored in segments, which nothing writes any more");
        if (proto.DataLocation == 1) return file.External(proto, type, shape, (long)count * type.Size(), where);
        if (raw is null && !proto.HasRawData) return WeightStorage.InMemory(Typed(proto, type, shape, count, where));

        if (type == ElementType.String) throw OnnxErrors.Elements(where, "a string tensor cannot have raw data");
        long bytes = (long)count * type.Size();
        long present = raw?.Length ?? proto.RawData.Length;
        if (present != bytes)
            throw OnnxErrors.Elements(where, $"a {type} tensor of shape [{string.Join(", ", shape)}] needs {bytes} bytes of raw data; the file has {present}");
        if (raw is { } range)
        {
            var mapped = new MappedTensor(file.Map, range.Offset, type, shape);
            return bytes >= LazyBytes ? mapped : WeightStorage.InMemory(mapped.Read());
        }
        TensorData data = TensorData.Zeros(type, shape);
        Span<byte> target = data.Bytes();
        proto.RawData.Span.CopyTo(target);
        if (!BitConverter.IsLittleEndian) TensorBytes.SwapEndianness(target, type.Size());
        if (type == ElementType.Bool) TensorBytes.NormaliseBools(target);
        return WeightStorage.InMemory(data);
    }

    /// <summary>Checks dimensions before anything is allocated.</summary>
    internal static int[] Shape(RepeatedField<long> dims, string where, out int count)
    {
        long product = 1;
        bool empty = false;
        foreach (long d in dims)
        {
            if (d is < 0 or > int.MaxValue) throw OnnxErrors.Dimensions(where, dims);
            empty |= d == 0;
        }
        if (!empty)
        {
            foreach (long d in dims)
            {
                product *= d;
                if (product > Array.MaxLength) throw OnnxErrors.Dimensions(where, dims);
            }
        }
        count = empty ? 0 : (int)product;
        var shape = new int[dims.Count];
        for (int i = 0; i < shape.Length; i++) shape[i] = (int)dims[i];
        if (empty)
        {
            // Elsewhere the product of the dimensions is formed from the left: it must not overflow before it meets the zero.
            long left = 1;
            foreach (int d in shape)
            {
                left *= d;
                if (left > int.MaxValue) throw OnnxErrors.Dimensions(where, dims);
            }
        }
        return shape;
    }

    private static TensorData Typed(TensorProto p, ElementType type, int[] shape, int count, string where)
    {
        int present = type switch
        {
            ElementType.Float32 => p.FloatData.Count,
            ElementType.Float64 => p.DoubleData.Count,
            ElementType.Int64 => p.Int64Data.Count,
            ElementType.UInt32 or ElementType.UInt64 => p.Uint64Data.Count,
            ElementType.String => p.StringData.Count,
            _ => p.Int32Data.Count,
        };
        if (present != count)
            throw OnnxErrors.Elements(where, $"a {type} tensor of shape [{string.Join(", ", shape)}] needs {count} elements; the file has {present}");
        return type switch
        {
            ElementType.Float32 => TensorData.Wrap(p.FloatData.ToArray(), shape),
            ElementType.Float64 => TensorData.Wrap(p.DoubleData.ToArray(), shape),
            ElementType.Int64 => TensorData.Wrap(p.Int64Data.ToArray(), shape),
            ElementType.UInt64 => TensorData.Wrap(p.Uint64Data.ToArray(), shape),
            ElementType.UInt32 => TensorData.Wrap(Narrow(p.Uint64Data, v => checked((uint)v), type, where), shape),
            ElementType.String => TensorData.Wrap(p.StringData.Select(s => s.ToStringUtf8()).ToArray(), shape),
            ElementType.Int32 => TensorData.Wrap(p.Int32Data.ToArray(), shape),
            ElementType.Int16 => TensorData.Wrap(Narrow(p.Int32Data, v => checked((short)v), type, where), shape),
            ElementType.Int8 => TensorData.Wrap(Narrow(p.Int32Data, v => checked((sbyte)v), type, where), shape),
            ElementType.UInt16 => TensorData.Wrap(Narrow(p.Int32Data, v => checked((ushort)v), type, where), shape),
            ElementType.UInt8 => TensorData.Wrap(Narrow(p.Int32Data, v => checked((byte)v), type, where), shape),
            ElementType.Bool => TensorData.Wrap(Narrow(p.Int32Data, v => v != 0, type, where), shape),
            ElementType.Float16 => TensorData.Wrap(Narrow(p.Int32Data, v => BitConverter.UInt16BitsToHalf(checked((ushort)v)), type, where), shape),
            ElementType.BFloat16 => TensorData.Wrap(Narrow(p.Int32Data, v => new BFloat16(checked((ushort)v)), type, where), shape),
            _ => throw OnnxErrors.Type(where, type.ToString()),
        };
    }

    private static T[] Narrow<TWide, T>(RepeatedField<TWide> values, Func<TWide, T> convert, ElementType type, string where)
    {
        var result = new T[values.Count];
        for (int i = 0; i < result.Length; i++)
        {
            try
            {
                result[i] = convert(values[i]);
            }
            catch (OverflowException)
            {
                throw OnnxErrors.Elements(where, $"element {i} is {values[i]}, which does not fit {type}");
            }
        }
        return result;
    }

    /// <summary>The file's form of a tensor, elements as raw data.</summary>
    internal static TensorProto ToProto(TensorData data, string name)
    {
        TensorProto proto = Header(data.ElementType, data.Shape, name);
        if (data.ElementType == ElementType.String)
        {
            foreach (string s in data.Array<string>()) proto.StringData.Add(ByteString.CopyFromUtf8(s));
            return proto;
        }
        if (BitConverter.IsLittleEndian)
        {
            proto.RawData = ByteString.CopyFrom(data.Bytes());
            return proto;
        }
        byte[] bytes = data.Bytes().ToArray();
        TensorBytes.SwapEndianness(bytes, data.ElementType.Size());
        proto.RawData = UnsafeByteOperations.UnsafeWrap(bytes);
        return proto;
    }

    /// <summary>Type, shape and name without elements.</summary>
    internal static TensorProto Header(ElementType type, ReadOnlySpan<int> shape, string name)
    {
        var proto = new TensorProto { DataType = (int)type, Name = name };
        foreach (int d in shape) proto.Dims.Add(d);
        return proto;
    }
}

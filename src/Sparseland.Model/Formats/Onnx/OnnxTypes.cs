using System.Globalization;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Element types and value types between the file's form and ours.</summary>
internal static class OnnxTypes
{
    // Index = code of TensorProto.data_type.
    private static readonly string[] s_names =
    [
        "undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "double", "uint32", "uint64",
        "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1",
        "float8e8m0", "uint2", "int2",
    ];

    /// <summary>The format's name of an element type.</summary>
    internal static string NameOf(int code) =>
        code >= 0 && code < s_names.Length ? s_names[code] : "number " + code.ToString(CultureInfo.InvariantCulture);

    /// <summary>Our element type, or undefined when there is none.</summary>
    internal static ElementType ElementTypeOf(int code) =>
        Enum.IsDefined((ElementType)code) ? (ElementType)code : ElementType.Undefined;

    /// <summary>What a declared type says about a tensor, and its text when it is no tensor that we can hold.</summary>
    internal static (TensorType Type, string? Foreign) Read(TypeProto? proto, string where)
    {
        if (proto is null || proto.ValueCase == TypeProto.ValueOneofCase.None) return (new TensorType(ElementType.Undefined, null), null);
        if (proto.ValueCase != TypeProto.ValueOneofCase.TensorType) return (new TensorType(ElementType.Undefined, null), Text(proto));
        ElementType element = ElementTypeOf(proto.TensorType.ElemType);
        TensorShape? shape = Shape(proto.TensorType.Shape, where);
        string? foreign = element == ElementType.Undefined && proto.TensorType.ElemType != 0 ? Text(proto) : null;
        return (new TensorType(element, shape), foreign);
    }

    private static TensorShape? Shape(TensorShapeProto? proto, string where)
    {
        if (proto is null) return null;
        var dimensions = new Dimension[proto.Dim.Count];
        for (int i = 0; i < dimensions.Length; i++)
        {
            TensorShapeProto.Types.Dimension d = proto.Dim[i];
            if (d.ValueCase == TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue)
            {
                if (d.DimValue > int.MaxValue) throw OnnxErrors.Dimensions(where, proto.Dim.Select(x => x.DimValue));
                // Some exporters write -1 or 0 for a size that they do not know; 0 is a legal size and is kept.
                dimensions[i] = d.DimValue < 0 ? Dimension.Unknown : (int)d.DimValue;
            }
            else
            {
                dimensions[i] = d.ValueCase == TensorShapeProto.Types.Dimension.ValueOneofCase.DimParam && d.DimParam.Length > 0
                    ? Dimension.Named(d.DimParam)
                    : Dimension.Unknown;
            }
        }
        return new TensorShape(dimensions);
    }

    /// <summary>A type as the standard writes it in text: tensor(float), seq(tensor(int64)), map(string, tensor(float)).</summary>
    internal static string Text(TypeProto? proto) => proto?.ValueCase switch
    {
        TypeProto.ValueOneofCase.TensorType => $"tensor({NameOf(proto.TensorType.ElemType)})",
        TypeProto.ValueOneofCase.SparseTensorType => $"sparse_tensor({NameOf(proto.SparseTensorType.ElemType)})",
        TypeProto.ValueOneofCase.SequenceType => $"seq({Text(proto.SequenceType.ElemType)})",
        TypeProto.ValueOneofCase.OptionalType => $"optional({Text(proto.OptionalType.ElemType)})",
        TypeProto.ValueOneofCase.MapType => $"map({NameOf(proto.MapType.KeyType)}, {Text(proto.MapType.ValueType)})",
        TypeProto.ValueOneofCase.OpaqueType => $"opaque({proto.OpaqueType.Domain}, {proto.OpaqueType.Name})",
        _ => "undefined",
    };

    /// <summary>The declared form of a graph input or output; null when nothing is known.</summary>
    internal static TypeProto? Write(GraphValue value)
    {
        if (value.ForeignType is { } text)
        {
            TypeProto foreign = ParseText(text);
            if (foreign.ValueCase == TypeProto.ValueOneofCase.TensorType && value.Type.Shape is { } foreignShape) foreign.TensorType.Shape = Shape(foreignShape);
            return foreign;
        }
        if (value.Type.ElementType == ElementType.Undefined && value.Type.Shape is null) return null;
        var tensor = new TypeProto.Types.Tensor { ElemType = (int)value.Type.ElementType };
        if (value.Type.Shape is { } shape) tensor.Shape = Shape(shape);
        return new TypeProto { TensorType = tensor };
    }

    private static TensorShapeProto Shape(TensorShape shape)
    {
        var proto = new TensorShapeProto();
        foreach (Dimension d in shape)
        {
            var dim = new TensorShapeProto.Types.Dimension();
            if (d.IsKnown) dim.DimValue = d.Value;
            else if (d.Symbol is not null) dim.DimParam = d.Symbol;
            proto.Dim.Add(dim);
        }
        return proto;
    }

    /// <summary>The inverse of <see cref="Text"/>.</summary>
    internal static TypeProto ParseText(string text)
    {
        int open = text.IndexOf('(', StringComparison.Ordinal);
        if (open < 0 || !text.EndsWith(')'))
            return text == "undefined" ? new TypeProto() : throw OnnxErrors.Attribute(text, "this is not the text of an ONNX type");
        string inner = text[(open + 1)..^1];
        switch (text[..open])
        {
            case "tensor": return new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = Code(inner) } };
            case "sparse_tensor": return new TypeProto { SparseTensorType = new TypeProto.Types.Tensor { ElemType = Code(inner) } };
            case "seq": return new TypeProto { SequenceType = new TypeProto.Types.Sequence { ElemType = ParseText(inner) } };
            case "optional": return new TypeProto { OptionalType = new TypeProto.Types.Sequence { ElemType = ParseText(inner) } };
            case "map" when inner.Split(", ", 2) is [var key, var value]:
                return new TypeProto { MapType = new TypeProto.Types.Map { KeyType = Code(key), ValueType = ParseText(value) } };
            case "opaque" when inner.Split(", ", 2) is [var domain, var name]:
                return new TypeProto { OpaqueType = new TypeProto.Types.Opaque { Domain = domain, Name = name } };
            default: throw OnnxErrors.Attribute(text, "this is not the text of an ONNX type");
        }
    }

    private static int Code(string name)
    {
        int code = Array.IndexOf(s_names, name);
        if (code >= 0) return code;
        return name.StartsWith("number ", StringComparison.Ordinal) && int.TryParse(name.AsSpan(7), NumberStyles.Integer, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw OnnxErrors.Attribute(name, "this is not the name of an ONNX element type");
    }
}

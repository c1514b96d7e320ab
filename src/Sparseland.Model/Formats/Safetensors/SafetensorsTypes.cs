using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Safetensors;

/// <summary>Names of element types and limits of the format.</summary>
internal static class SafetensorsTypes
{
    /// <summary>The format's own limit for the header.</summary>
    internal const int MaxHeader = 100_000_000;

    internal static ElementType Parse(string name) => name switch
    {
        "F32" => ElementType.Float32,
        "F64" => ElementType.Float64,
        "F16" => ElementType.Float16,
        "BF16" => ElementType.BFloat16,
        "I8" => ElementType.Int8,
        "I16" => ElementType.Int16,
        "I32" => ElementType.Int32,
        "I64" => ElementType.Int64,
        "U8" => ElementType.UInt8,
        "U16" => ElementType.UInt16,
        "U32" => ElementType.UInt32,
        "U64" => ElementType.UInt64,
        "BOOL" => ElementType.Bool,
        _ => ElementType.Undefined,
    };

    internal static string Name(ElementType type) => type switch
    {
        ElementType.Float32 => "F32",
        ElementType.Float64 => "F64",
        ElementType.Float16 => "F16",
        ElementType.BFloat16 => "BF16",
        ElementType.Int8 => "I8",
        ElementType.Int16 => "I16",
        ElementType.Int32 => "I32",
        ElementType.Int64 => "I64",
        ElementType.UInt8 => "U8",
        ElementType.UInt16 => "U16",
        ElementType.UInt32 => "U32",
        ElementType.UInt64 => "U64",
        ElementType.Bool => "BOOL",
        _ => throw new NotSupportedException($"safetensors files cannot hold {type}."),
    };
}

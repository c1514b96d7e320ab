namespace Sparseland.Kernels.Sparse;

/// <summary>The types in which a <see cref="CompactMatrix"/> holds its values.</summary>
public enum ValueKind
{
    /// <summary>IEEE single precision, 32 bits, exact.</summary>
    Float32,

    /// <summary>The upper half of a single, 16 bits, rounded to nearest even.</summary>
    BFloat16,

    /// <summary>Signed 8-bit integers, -127 to 127, times one single-precision scale per row.</summary>
    Int8,

    /// <summary>Signed 4-bit integers, -8 to 7, times one half-precision scale per group of columns.</summary>
    Int4,
}

/// <summary>Facts about <see cref="ValueKind"/>.</summary>
public static class ValueKinds
{
    /// <summary>Bits of one value, scales not counted.</summary>
    public static int Bits(this ValueKind kind) => kind switch
    {
        ValueKind.Float32 => 32,
        ValueKind.BFloat16 => 16,
        ValueKind.Int8 => 8,
        _ => 4,
    };

    /// <summary>Whether values are integers times a scale.</summary>
    public static bool IsQuantized(this ValueKind kind) => kind is ValueKind.Int8 or ValueKind.Int4;

    /// <summary>As command lines and plans write it: f32, bf16, int8, int4.</summary>
    public static string ShortName(this ValueKind kind) => kind switch
    {
        ValueKind.Float32 => "f32",
        ValueKind.BFloat16 => "bf16",
        ValueKind.Int8 => "int8",
        _ => "int4",
    };
}

using System.Globalization;
using System.Numerics;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Support;

/// <summary>Element type conversions (ONNX Cast) and half-precision wrappers.</summary>
internal static class Conversion
{
    /// <summary>Converts; the tensor itself when it has the type already.</summary>
    public static TensorData To(this TensorData x, ElementType type)
    {
        if (x.ElementType == type) return x;
        return x.ElementType switch
        {
            ElementType.Float32 => From<float>(x.Array<float>(), x, type),
            ElementType.Float64 => From<double>(x.Array<double>(), x, type),
            ElementType.Float16 => From<Half>(x.Array<Half>(), x, type),
            ElementType.BFloat16 => From<float>(x.ToSingles(), x, type),
            ElementType.Int8 => From<sbyte>(x.Array<sbyte>(), x, type),
            ElementType.Int16 => From<short>(x.Array<short>(), x, type),
            ElementType.Int32 => From<int>(x.Array<int>(), x, type),
            ElementType.Int64 => From<long>(x.Array<long>(), x, type),
            ElementType.UInt8 => From<byte>(x.Array<byte>(), x, type),
            ElementType.UInt16 => From<ushort>(x.Array<ushort>(), x, type),
            ElementType.UInt32 => From<uint>(x.Array<uint>(), x, type),
            ElementType.UInt64 => From<ulong>(x.Array<ulong>(), x, type),
            ElementType.Bool when type == ElementType.String => TensorData.Wrap(Array.ConvertAll(x.Array<bool>(), v => v ? "True" : "False"), x.Shape),
            ElementType.Bool => From<byte>(Array.ConvertAll(x.Array<bool>(), v => (byte)(v ? 1 : 0)), x, type),
            ElementType.String => FromStrings(x, type),
            _ => throw new NotSupportedException($"cannot convert {x.ElementType} to {type}"),
        };
    }

    /// <summary>The elements as doubles.</summary>
    public static double[] ToDoubles(this TensorData x) => x.To(ElementType.Float64).Array<double>();

    /// <summary>Runs <paramref name="body"/> with half and bfloat16 tensors widened to single, and narrows what it returns where <paramref name="narrow"/> says so.</summary>
    public static TensorData?[] InSingle(EvaluationContext context, Func<EvaluationContext, TensorData?[]> body, Func<int, bool>? narrow = null)
    {
        ElementType low = ElementType.Undefined;
        foreach (TensorData? input in context.Inputs)
        {
            if (input?.ElementType is ElementType.Float16 or ElementType.BFloat16)
            {
                low = input.ElementType;
                break;
            }
        }
        if (low == ElementType.Undefined) return body(context);
        TensorData?[] wide = [.. context.Inputs.Select(i => i?.ElementType is ElementType.Float16 or ElementType.BFloat16 ? i.To(ElementType.Float32) : i)];
        TensorData?[] results = body(new EvaluationContext(context.Node, wide) { Random = context.Random, Outer = context.Outer, Cancellation = context.Cancellation });
        for (int i = 0; i < results.Length; i++)
        {
            if (results[i]?.ElementType == ElementType.Float32 && narrow?.Invoke(i) != false) results[i] = results[i]!.To(low);
        }
        return results;
    }

    private static TensorData From<T>(T[] values, TensorData x, ElementType type) where T : unmanaged, INumber<T> => type switch
    {
        ElementType.Float32 => Convert<T, float>(values, x),
        ElementType.Float64 => Convert<T, double>(values, x),
        ElementType.Float16 => Convert<T, Half>(values, x),
        ElementType.BFloat16 => TensorData.Wrap(Array.ConvertAll(values, v => (BFloat16)float.CreateTruncating(v)), x.Shape),
        ElementType.Int8 => Convert<T, sbyte>(values, x),
        ElementType.Int16 => Convert<T, short>(values, x),
        ElementType.Int32 => Convert<T, int>(values, x),
        ElementType.Int64 => Convert<T, long>(values, x),
        ElementType.UInt8 => Convert<T, byte>(values, x),
        ElementType.UInt16 => Convert<T, ushort>(values, x),
        ElementType.UInt32 => Convert<T, uint>(values, x),
        ElementType.UInt64 => Convert<T, ulong>(values, x),
        ElementType.Bool => TensorData.Wrap(Array.ConvertAll(values, v => v != T.Zero), x.Shape),
        ElementType.String => TensorData.Wrap(Array.ConvertAll(values, v => Text(v)), x.Shape),
        _ => throw new NotSupportedException($"cannot convert {x.ElementType} to {type}"),
    };

    private static TensorData Convert<TFrom, TTo>(TFrom[] values, TensorData x)
        where TFrom : unmanaged, INumber<TFrom> where TTo : unmanaged, INumber<TTo>
    {
        var result = new TTo[values.Length];
        for (int i = 0; i < result.Length; i++) result[i] = TTo.CreateTruncating(values[i]);
        return TensorData.Wrap(result, x.Shape);
    }

    private static string Text<T>(T value) where T : INumber<T>
    {
        if (T.IsNaN(value)) return "NaN";
        if (T.IsInfinity(value)) return T.IsNegative(value) ? "-INF" : "INF";
        string text = value.ToString(null, CultureInfo.InvariantCulture);
        return value is float or double or Half && !text.Contains('.') && !text.Contains('E') ? text + ".0" : text;
    }

    private static TensorData FromStrings(TensorData x, ElementType type)
    {
        if (type is ElementType.Int64 or ElementType.UInt64)
        {
            long[] integers = Array.ConvertAll(x.Array<string>(), s => long.TryParse(s, NumberStyles.Integer, CultureInfo.InvariantCulture, out long v) ? v : (long)Parse(s));
            return TensorData.Wrap(integers, x.Shape).To(type);
        }
        return TensorData.Wrap(Array.ConvertAll(x.Array<string>(), Parse), x.Shape).To(type);
    }

    private static double Parse(string text)
    {
        string t = text.Trim();
        return t.ToUpperInvariant() switch
        {
            "INF" or "+INF" or "INFINITY" or "+INFINITY" => double.PositiveInfinity,
            "-INF" or "-INFINITY" => double.NegativeInfinity,
            "NAN" => double.NaN,
            "TRUE" => 1,
            "FALSE" => 0,
            _ => double.TryParse(t, NumberStyles.Float, CultureInfo.InvariantCulture, out double v) ? v : throw new ArgumentException($"'{text}' is no number"),
        };
    }
}

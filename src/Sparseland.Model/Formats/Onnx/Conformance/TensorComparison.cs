using System.Globalization;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Conformance;

/// <summary>Compares tensors of any element type.</summary>
public static class TensorComparison
{
    /// <summary>What differs, or null when nothing does.</summary>
    /// <param name="expected">The reference.</param>
    /// <param name="actual">What was computed; must have the same element type and shape.</param>
    /// <param name="absolute">Allowed absolute difference of floats.</param>
    /// <param name="relative">Allowed difference of floats relative to the expected number. Integers, flags and strings must be equal.</param>
    /// <param name="deviation">Raised to the largest absolute difference that was met.</param>
    public static string? Difference(TensorData expected, TensorData actual, double absolute, double relative, ref double deviation)
    {
        ArgumentNullException.ThrowIfNull(expected);
        ArgumentNullException.ThrowIfNull(actual);
        if (expected.ElementType != actual.ElementType || !expected.Shape.SequenceEqual(actual.Shape))
        {
            deviation = double.PositiveInfinity;
            return $"got {actual}, expected {expected}";
        }
        if (expected.ElementType == ElementType.String) return Strings(expected.Array<string>(), actual.Array<string>(), ref deviation);
        if (!expected.ElementType.IsFloat() && expected.Bytes().SequenceEqual(actual.Bytes())) return null;

        int bad = 0, first = -1;
        for (int i = 0; i < expected.Length; i++)
        {
            double e = At(expected, i), a = At(actual, i);
            if (e.Equals(a) || e == a) continue;
            double difference = Math.Abs(a - e);
            if (double.IsNaN(difference)) difference = double.PositiveInfinity;
            deviation = Math.Max(deviation, difference);
            if (expected.ElementType.IsFloat() && double.IsFinite(e) && difference <= absolute + relative * Math.Abs(e)) continue;
            bad++;
            if (first < 0) first = i;
        }
        return bad == 0 ? null : string.Create(CultureInfo.InvariantCulture,
            $"{bad} of {expected.Length} elements differ; element {first} is {At(actual, first):R}, expected {At(expected, first):R}");
    }

    private static string? Strings(string[] expected, string[] actual, ref double deviation)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            if (expected[i] == actual[i]) continue;
            deviation = double.PositiveInfinity;
            return $"element {i} is '{actual[i]}', expected '{expected[i]}'";
        }
        return null;
    }

    private static double At(TensorData data, int i) => data.Elements switch
    {
        float[] a => a[i],
        double[] a => a[i],
        Half[] a => (double)a[i],
        BFloat16[] a => (float)a[i],
        long[] a => a[i],
        int[] a => a[i],
        bool[] a => a[i] ? 1 : 0,
        byte[] a => a[i],
        sbyte[] a => a[i],
        short[] a => a[i],
        ushort[] a => a[i],
        uint[] a => a[i],
        ulong[] a => a[i],
        _ => double.NaN,
    };
}

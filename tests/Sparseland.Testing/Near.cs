using Xunit;

namespace Sparseland.Testing;

/// <summary>Comparisons of float sequences with a readable difference.</summary>
public static class Near
{
    /// <summary>Asserts |actual - expected| &lt;= absolute + relative * |expected| everywhere; NaN equals NaN, infinities must be equal.</summary>
    public static void Equal(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double absolute = 1e-5, double relative = 1e-5, string? what = null)
    {
        Assert.True(expected.Length == actual.Length, $"{what}: {actual.Length} values, expected {expected.Length}");
        int bad = 0, first = -1, worst = -1;
        double worstBy = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            float e = expected[i], a = actual[i];
            if (e.Equals(a) || e == a) continue;
            double difference = Math.Abs((double)a - e);
            if (!float.IsNaN(a) && !float.IsNaN(e) && !float.IsInfinity(e) && difference <= absolute + relative * Math.Abs((double)e)) continue;
            bad++;
            if (first < 0) first = i;
            if (worst < 0 || difference > worstBy || double.IsNaN(difference)) (worst, worstBy) = (i, difference);
        }
        Assert.True(bad == 0, bad == 0 ? "" :
            $"{what}: {bad} of {expected.Length} values differ; first [{first}] expected {expected[first]:R} got {actual[first]:R}; worst [{worst}] expected {expected[worst]:R} got {actual[worst]:R}");
    }

    /// <summary>Asserts equality bit for bit.</summary>
    public static void BitEqual(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string? what = null)
    {
        Assert.True(expected.Length == actual.Length, $"{what}: {actual.Length} values, expected {expected.Length}");
        for (int i = 0; i < expected.Length; i++)
        {
            if (BitConverter.SingleToInt32Bits(expected[i]) != BitConverter.SingleToInt32Bits(actual[i]))
                Assert.Fail($"{what}: [{i}] expected {expected[i]:R} got {actual[i]:R}");
        }
    }
}

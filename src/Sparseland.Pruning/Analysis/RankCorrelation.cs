namespace Sparseland.Pruning.Analysis;

/// <summary>A correlation and how likely at least that much of it is by chance.</summary>
/// <param name="Value">-1 to 1; NaN when one side is constant.</param>
/// <param name="PValue">Two-sided, by the normal approximation; NaN when the value is.</param>
public readonly record struct Correlation(double Value, double PValue);

/// <summary>How well one list of numbers predicts the order of another.</summary>
public static class RankCorrelation
{
    /// <summary>Kendall's tau-b: (C - D) / sqrt((n0 - tx)(n0 - ty)), with C and D the concordant and discordant pairs, n0 = n(n-1)/2 and tx, ty the tied pairs.</summary>
    /// <remarks>
    /// Kendall, "The treatment of ties in ranking problems", Biometrika 33 (1945), equation 2; the statistic of "Is Oracle Pruning the True Oracle?" (2024), section 3.
    /// The p-value is the normal approximation with the variance for ties (Kendall, "Rank Correlation Methods", chapter 4); for fewer than about ten pairs it is rough.
    /// All pairs are looked at: quadratic in the number of values.
    /// </remarks>
    /// <exception cref="ArgumentException">The lists differ in length, or hold fewer than two values or a NaN.</exception>
    public static Correlation Kendall(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        int n = Check(x, y);
        long concordant = 0, discordant = 0, tiedX = 0, tiedY = 0;
        for (int i = 0; i < n; i++)
        {
            for (int j = i + 1; j < n; j++)
            {
                int a = x[i].CompareTo(x[j]), b = y[i].CompareTo(y[j]);
                if (a == 0) tiedX++;
                if (b == 0) tiedY++;
                if (a == 0 || b == 0) continue;
                if (a > 0 == b > 0) concordant++;
                else discordant++;
            }
        }
        long pairs = (long)n * (n - 1) / 2;
        double scale = Math.Sqrt((double)(pairs - tiedX) * (pairs - tiedY));
        if (scale == 0) return new Correlation(double.NaN, double.NaN);
        double difference = concordant - discordant;
        (double x0, double x1, double x2) = Ties(x);
        (double y0, double y1, double y2) = Ties(y);
        double m = (double)n * (n - 1), variance = (m * (2 * n + 5) - x2 - y2) / 18 + 2 * x0 * y0 / m + (n > 2 ? x1 * y1 / (9 * m * (n - 2)) : 0);
        return new Correlation(difference / scale, variance > 0 ? TwoSided(difference / Math.Sqrt(variance)) : double.NaN);
    }

    /// <summary>Spearman's correlation: Pearson's of the ranks, ties at their mean rank.</summary>
    /// <exception cref="ArgumentException">The lists differ in length, or hold fewer than two values or a NaN.</exception>
    public static Correlation Spearman(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        Check(x, y);
        return Pearson(Ranks(x), Ranks(y));
    }

    /// <summary>Pearson's correlation; the p-value by Fisher's transformation.</summary>
    /// <exception cref="ArgumentException">The lists differ in length, or hold fewer than two values or a NaN.</exception>
    public static Correlation Pearson(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        int n = Check(x, y);
        double meanX = 0, meanY = 0;
        for (int i = 0; i < n; i++)
        {
            meanX += x[i] / n;
            meanY += y[i] / n;
        }
        double xy = 0, xx = 0, yy = 0;
        for (int i = 0; i < n; i++)
        {
            double a = x[i] - meanX, b = y[i] - meanY;
            xy += a * b;
            xx += a * a;
            yy += b * b;
        }
        if (xx == 0 || yy == 0) return new Correlation(double.NaN, double.NaN);
        double r = Math.Clamp(xy / Math.Sqrt(xx * yy), -1, 1);
        return new Correlation(r, n > 3 ? TwoSided(Math.Atanh(Math.Clamp(r, -1 + 1e-15, 1 - 1e-15)) * Math.Sqrt(n - 3)) : double.NaN);
    }

    /// <summary>Ranks from 1; equal values share their mean rank.</summary>
    public static double[] Ranks(ReadOnlySpan<double> values)
    {
        double[] sorted = values.ToArray(), ranks = new double[values.Length];
        int[] order = [.. Enumerable.Range(0, values.Length)];
        Array.Sort(sorted, order);
        for (int i = 0; i < sorted.Length;)
        {
            int end = i + 1;
            while (end < sorted.Length && sorted[end] == sorted[i]) end++;
            for (int k = i; k < end; k++) ranks[order[k]] = (i + 1 + end) / 2.0;
            i = end;
        }
        return ranks;
    }

    // Sums over groups of t equal values: t(t-1)/2, t(t-1)(t-2), t(t-1)(2t+5).
    private static (double Pairs, double Triples, double Weighted) Ties(ReadOnlySpan<double> values)
    {
        double[] sorted = values.ToArray();
        Array.Sort(sorted);
        double pairs = 0, triples = 0, weighted = 0;
        for (int i = 0; i < sorted.Length;)
        {
            int end = i + 1;
            while (end < sorted.Length && sorted[end] == sorted[i]) end++;
            double t = end - i;
            pairs += t * (t - 1) / 2;
            triples += t * (t - 1) * (t - 2);
            weighted += t * (t - 1) * (2 * t + 5);
            i = end;
        }
        return (pairs, triples, weighted);
    }

    private static int Check(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        if (x.Length != y.Length || x.Length < 2) throw new ArgumentException($"A correlation needs two lists of equal length, at least 2; there are {x.Length} and {y.Length} values.", nameof(y));
        foreach (double v in x) RequireNumber(v);
        foreach (double v in y) RequireNumber(v);
        return x.Length;

        static void RequireNumber(double v)
        {
            if (double.IsNaN(v)) throw new ArgumentException("A correlation of values that are not numbers means nothing.");
        }
    }

    private static double TwoSided(double z) => Erfc(Math.Abs(z) / Math.Sqrt(2));

    // The complementary error function: a series for small arguments, a continued fraction (Lentz) for large ones; about 1e-12.
    private static double Erfc(double x)
    {
        if (x < 2)
        {
            double term = x, sum = x;
            for (int k = 1; k < 200; k++)
            {
                term *= -x * x / k;
                double add = term / (2 * k + 1);
                sum += add;
                if (Math.Abs(add) < 1e-17) break;
            }
            return 1 - 2 / Math.Sqrt(Math.PI) * sum;
        }
        double fraction = 0;
        for (int k = 60; k >= 1; k--) fraction = k / 2.0 / (x + fraction);
        return Math.Exp(-x * x) / Math.Sqrt(Math.PI) / (x + fraction);
    }
}

namespace Sparseland.Pruning.Analysis;

/// <summary>How alike two sets of features or outputs of the same samples are.</summary>
public static class Similarity
{
    /// <summary>Linear CKA: ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F) with centred columns, 0 to 1.</summary>
    /// <remarks>
    /// Kornblith, Norouzi, Lee and Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019, section 3, equation 4 with the linear kernel.
    /// Does not change when a side is rotated, shifted or scaled.
    /// </remarks>
    /// <param name="x">[samples, x's features], row-major.</param>
    /// <param name="y">[samples, y's features], row-major.</param>
    /// <param name="samples">Number of rows, at least 2.</param>
    /// <returns>NaN when a side is constant.</returns>
    /// <exception cref="ArgumentException">The lengths are no multiples of the number of samples.</exception>
    public static double LinearCka(ReadOnlySpan<float> x, ReadOnlySpan<float> y, int samples)
    {
        if (samples < 2 || x.Length % samples != 0 || y.Length % samples != 0 || x.Length == 0 || y.Length == 0)
            throw new ArgumentException($"CKA needs at least 2 samples of at least one feature; there are {x.Length} and {y.Length} values for {samples}.", nameof(samples));
        double[] a = Centred(x, samples), b = Centred(y, samples);
        double xx = CrossNorm(a, a, samples), yy = CrossNorm(b, b, samples);
        if (xx == 0 || yy == 0) return double.NaN;
        double xy = CrossNorm(a, b, samples);
        return xy * xy / (xx * yy);
    }

    /// <summary>Share of samples to which both sides give the same class.</summary>
    /// <param name="x">Logits [samples, classes].</param>
    /// <param name="y">Logits [samples, classes].</param>
    /// <param name="classes">Number of classes.</param>
    /// <exception cref="ArgumentException">The lengths differ or are no multiple of the number of classes.</exception>
    public static double Agreement(ReadOnlySpan<float> x, ReadOnlySpan<float> y, int classes)
    {
        if (classes < 1 || x.Length != y.Length || x.Length % classes != 0 || x.Length == 0) throw new ArgumentException("Agreement needs the same number of logits on both sides.", nameof(y));
        int same = 0, count = x.Length / classes;
        for (int i = 0; i < count; i++)
        {
            if (Largest(x.Slice(i * classes, classes)) == Largest(y.Slice(i * classes, classes))) same++;
        }
        return (double)same / count;
    }

    /// <summary>Softmax of every row, in place.</summary>
    /// <param name="logits">[samples, classes].</param>
    /// <param name="classes">Number of classes.</param>
    public static void Softmax(Span<float> logits, int classes)
    {
        for (int start = 0; start < logits.Length; start += classes)
        {
            Span<float> row = logits.Slice(start, classes);
            float max = float.NegativeInfinity;
            foreach (float v in row) max = Math.Max(max, v);
            double sum = 0;
            foreach (float v in row) sum += Math.Exp(v - max);
            foreach (ref float v in row) v = (float)(Math.Exp(v - max) / sum);
        }
    }

    internal static int Largest(ReadOnlySpan<float> row)
    {
        int best = 0;
        for (int c = 1; c < row.Length; c++)
        {
            if (row[c] > row[best]) best = c;
        }
        return best;
    }

    private static double[] Centred(ReadOnlySpan<float> values, int samples)
    {
        int width = values.Length / samples;
        double[] result = new double[values.Length], mean = new double[width];
        for (int i = 0; i < values.Length; i++) mean[i % width] += values[i] / (double)samples;
        for (int i = 0; i < values.Length; i++) result[i] = values[i] - mean[i % width];
        return result;
    }

    // || B^T A ||_F without keeping the product.
    private static double CrossNorm(double[] a, double[] b, int samples)
    {
        int p = a.Length / samples, q = b.Length / samples;
        double total = 0;
        for (int i = 0; i < p; i++)
        {
            for (int j = 0; j < q; j++)
            {
                double sum = 0;
                for (int n = 0; n < samples; n++) sum += a[n * p + i] * b[n * q + j];
                total += sum * sum;
            }
        }
        return Math.Sqrt(total);
    }
}

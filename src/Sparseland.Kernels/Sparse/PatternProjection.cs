namespace Sparseland.Kernels.Sparse;

/// <summary>Turns scores into a mask of a pattern: the best units are kept, an exact number, ties by lower index.</summary>
public static class PatternProjection
{
    /// <summary>Keeps the units (weights, tiles, rows, columns) of the highest total score.</summary>
    /// <remarks>
    /// The number of kept units is <c>round(density * units)</c>, halves rounded to even. N:M ignores the density: every
    /// group keeps its N best entries. A NaN score ranks below every number, so that such a unit goes first.
    /// </remarks>
    /// <param name="pattern">The pattern.</param>
    /// <param name="scores">[rows, columns], row-major, higher = more important.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    /// <param name="density">Fraction of units to keep, 0 to 1.</param>
    /// <returns>A mask of shape [rows, columns].</returns>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The density is not in 0..1.</exception>
    public static Mask KeepBest(SparsityPattern pattern, ReadOnlySpan<float> scores, int rows, int columns, double density)
    {
        CsrMatrix.RequireLength(scores.Length, rows, columns, nameof(scores));
        if (!(density >= 0 && density <= 1)) throw new ArgumentOutOfRangeException(nameof(density), density, "A density is in 0..1.");
        var kept = new bool[scores.Length];
        if (pattern.Kind == SparsityKind.NofM)
        {
            for (int r = 0; r < rows; r++)
            {
                for (int c = 0; c < columns; c += pattern.B)
                {
                    int start = r * columns + c, length = Math.Min(pattern.B, columns - c);
                    foreach (int i in Best(Array.ConvertAll(scores.Slice(start, length).ToArray(), s => (double)s), Math.Min(pattern.A, length))) kept[start + i] = true;
                }
            }
            return Mask.FromFlags([rows, columns], kept);
        }

        (int height, int width) = pattern.Kind switch
        {
            SparsityKind.Block => (pattern.A, pattern.B),
            SparsityKind.Row => (1, Math.Max(columns, 1)),
            SparsityKind.Column => (Math.Max(rows, 1), 1),
            _ => (1, 1),
        };
        int gridRows = (rows + height - 1) / height, gridColumns = (columns + width - 1) / width;
        var totals = new double[gridRows * gridColumns];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) totals[r / height * gridColumns + c / width] += scores[r * columns + c];
        }
        foreach (int unit in Best(totals, (int)Math.Round(density * totals.Length)))
        {
            int top = unit / gridColumns * height, left = unit % gridColumns * width;
            for (int r = top; r < Math.Min(top + height, rows); r++)
                kept.AsSpan(r * columns + left, Math.Min(width, columns - left)).Fill(true);
        }
        return Mask.FromFlags([rows, columns], kept);
    }

    /// <summary>The indices of the <paramref name="count"/> highest scores, ascending: above the threshold all, at it the first ones.</summary>
    private static int[] Best(double[] scores, int count)
    {
        var best = new int[count];
        if (count == 0) return best;
        // Sorting ranks NaN below every number.
        var sorted = (double[])scores.Clone();
        Array.Sort(sorted);
        double threshold = sorted[^count];
        int above = 0;
        while (above < count && sorted[^(above + 1)].CompareTo(threshold) > 0) above++;
        int ties = count - above, next = 0;
        for (int i = 0; i < scores.Length && next < count; i++)
        {
            int order = scores[i].CompareTo(threshold);
            if (order > 0 || (order == 0 && ties-- > 0)) best[next++] = i;
        }
        return best;
    }
}

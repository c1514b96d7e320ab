using System.Numerics;

namespace Sparseland.Kernels.Sparse;

/// <summary>The first place at which a mask breaks a pattern.</summary>
/// <param name="Row">Row (output) of the first entry of the offending group or tile, 0-based.</param>
/// <param name="Column">Column (input) of that entry, 0-based.</param>
/// <param name="Message">What was found and what the pattern asks for.</param>
public sealed record PatternViolation(int Row, int Column, string Message);

/// <summary>Confirms that a mask has a sparsity pattern, or names the first violation.</summary>
public static class PatternCheck
{
    /// <summary>The first violation in row-major order of groups or tiles; null when the mask has the pattern.</summary>
    /// <remarks>
    /// N:M: no group of M consecutive inputs keeps more than N (the last, shorter group of a row may keep up to N as well).
    /// Block, row, column: every tile, row or column is kept whole or removed whole. Unstructured: always holds.
    /// </remarks>
    /// <param name="pattern">The pattern.</param>
    /// <param name="mask">Of rows * columns entries, seen as [outputs, inputs].</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    /// <exception cref="ArgumentException">The mask is not of rows * columns entries.</exception>
    public static PatternViolation? FirstViolation(SparsityPattern pattern, Mask mask, int rows, int columns)
    {
        ArgumentNullException.ThrowIfNull(mask);
        CsrMatrix.RequireLength(mask.Length, rows, columns, nameof(mask));
        return pattern.Kind switch
        {
            SparsityKind.Unstructured => null,
            SparsityKind.NofM => FirstGroup(pattern, mask, rows, columns),
            SparsityKind.Block => FirstTile(pattern, mask, rows, columns, pattern.A, pattern.B),
            SparsityKind.Row => FirstTile(pattern, mask, rows, columns, 1, Math.Max(columns, 1)),
            SparsityKind.Column => FirstTile(pattern, mask, rows, columns, Math.Max(rows, 1), 1),
            _ => throw new ArgumentException($"Unknown pattern {pattern.Kind}.", nameof(pattern)),
        };
    }

    /// <summary>Whether the mask has the pattern (see <see cref="FirstViolation"/>).</summary>
    /// <param name="pattern">The pattern.</param>
    /// <param name="mask">Of rows * columns entries.</param>
    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    /// <exception cref="ArgumentException">The mask is not of rows * columns entries.</exception>
    public static bool Conforms(SparsityPattern pattern, Mask mask, int rows, int columns) =>
        FirstViolation(pattern, mask, rows, columns) is null;

    /// <summary>Kept entries in [start, start + count) of a mask.</summary>
    internal static int CountKept(Mask mask, int start, int count)
    {
        ReadOnlySpan<ulong> words = mask.Words;
        int kept = 0, end = start + count;
        while (start < end)
        {
            int bit = start & 63, take = Math.Min(64 - bit, end - start);
            ulong window = words[start >> 6] >> bit;
            if (take < 64) window &= (1UL << take) - 1;
            kept += BitOperations.PopCount(window);
            start += take;
        }
        return kept;
    }

    private static PatternViolation? FirstGroup(SparsityPattern pattern, Mask mask, int rows, int columns)
    {
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c += pattern.B)
            {
                int length = Math.Min(pattern.B, columns - c);
                int kept = CountKept(mask, r * columns + c, length);
                if (kept > pattern.A)
                    return new(r, c, $"row {r}, columns {c} to {c + length - 1}: {kept} kept, pattern {pattern} allows {pattern.A}");
            }
        }
        return null;
    }

    private static PatternViolation? FirstTile(SparsityPattern pattern, Mask mask, int rows, int columns, int height, int width)
    {
        for (int r = 0; r < rows; r += height)
        {
            int h = Math.Min(height, rows - r);
            for (int c = 0; c < columns; c += width)
            {
                int w = Math.Min(width, columns - c), kept = 0;
                for (int i = 0; i < h; i++) kept += CountKept(mask, (r + i) * columns + c, w);
                if (kept != 0 && kept != h * w)
                    return new(r, c, $"rows {r} to {r + h - 1}, columns {c} to {c + w - 1}: {kept} of {h * w} kept, pattern {pattern} asks for all or none");
            }
        }
        return null;
    }
}

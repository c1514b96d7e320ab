namespace Sparseland.Kernels.SparseOps;

/// <summary>Cuts rows into blocks of nearly equal numbers of stored values: the balance is by work, not by rows.</summary>
internal static class RowPartition
{
    /// <summary>The most blocks that <see cref="Blocks"/> asks for.</summary>
    public const int MaxBlocks = 64;

    /// <summary>blocks + 1 row boundaries; depends on the structure only.</summary>
    public static unsafe void Fill(int* rowPointers, int rows, Span<int> boundaries)
    {
        int blocks = boundaries.Length - 1;
        // Writing a row costs about as much as two stored values, so that empty rows are not free.
        long total = rowPointers[rows] + 2L * rows;
        int row = 0;
        boundaries[0] = 0;
        for (int b = 1; b < blocks; b++)
        {
            long target = total * b / blocks;
            while (row < rows && rowPointers[row] + 2L * row < target) row++;
            boundaries[b] = row;
        }
        boundaries[blocks] = rows;
    }

    /// <summary>How many row blocks to use when the other dimension offers <paramref name="otherParts"/> parts.</summary>
    public static int Blocks(int rows, long stored, int otherParts, long columnsPerPart)
    {
        const int Wanted = 8;
        const long WorthAPart = 16 * 1024;
        if (otherParts >= Wanted || rows <= 1) return 1;
        long byWork = (stored + 2L * rows) * columnsPerPart / WorthAPart;
        int wanted = (Wanted + otherParts - 1) / Math.Max(otherParts, 1);
        return (int)Math.Clamp(Math.Min(byWork, Math.Min(wanted, rows / 4)), 1, MaxBlocks);
    }
}

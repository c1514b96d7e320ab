namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A sparse matrix that machine code multiplies: code of its own (<see cref="CompiledMatrix"/>), or code for all (<see cref="CountedMatrix"/>).</summary>
internal abstract class CodedMatrix
{
    /// <summary>The columns that hold anything, ascending: line i of a product is row Lines[i] of the input.</summary>
    public abstract int[] Lines { get; }

    /// <summary>Stored values.</summary>
    public abstract int StoredCount { get; }

    /// <summary>Bytes of code, structure and values.</summary>
    public abstract long Bytes { get; }

    /// <summary>Takes over values, given in row order.</summary>
    public abstract void SetValues(ReadOnlySpan<float> values);

    /// <summary>The columns that hold anything, ascending, and the number of each column among them; -1 for others.</summary>
    protected static (int[] LineOf, int[] Lines) UsedColumns(int columns, ReadOnlySpan<int> indices)
    {
        var line = new int[columns];
        foreach (int c in indices) line[c] = 1;
        int used = 0;
        for (int c = 0; c < columns; c++) line[c] = line[c] == 0 ? -1 : used++;
        var lines = new int[used];
        for (int c = 0; c < columns; c++)
        {
            if (line[c] >= 0) lines[line[c]] = c;
        }
        return (line, lines);
    }
}

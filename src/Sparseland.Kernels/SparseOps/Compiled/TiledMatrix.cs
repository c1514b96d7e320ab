using System.Runtime.InteropServices;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A sparse matrix whose rows share their columns, four or eight at a time: blocks of 4 x 1, 8 x 1, 16 x 1, whole columns, or no zeros at all.</summary>
/// <remarks>
/// Found in the structure, so every weight that has it gains, however it came by it. Each input that is loaded meets 4 or 8 values, and the columns of a tile are the same for each group of columns of the input: a short loop
/// works at the rate of the multiply-adds, where straight-line code (<see cref="CompiledMatrix"/>) of ten bytes a value has to be fetched for every 16 columns.
/// </remarks>
internal sealed unsafe class TiledMatrix
{
    private readonly int[] _pointers, _counts, _columns, _rowPointers;
    private readonly float[] _values;

    private TiledMatrix(TileCode code, int rows, int depth, int height, int[] pointers, int[] columns, int[] rowPointers)
    {
        Code = code;
        (Rows, Depth, Height) = (rows, depth, height);
        (_pointers, _columns, _rowPointers) = (pointers, columns, rowPointers);
        // Rows that fill up the last tile are zero and stay so.
        _values = GC.AllocateArray<float>(columns.Length * height, pinned: true);
        _counts = GC.AllocateUninitializedArray<int>(Tiles, pinned: true);
        for (int t = 0; t < Tiles; t++) _counts[t] = pointers[t + 1] - pointers[t];
    }

    /// <summary>What its products run; only for the instruction level that it was written for.</summary>
    public TileCode Code { get; }

    /// <summary>Rows of the matrix.</summary>
    public int Rows { get; }

    /// <summary>Columns of the matrix: rows of the input.</summary>
    public int Depth { get; }

    /// <summary>Rows of a tile: 4 or 8.</summary>
    public int Height { get; }

    /// <summary>Tiles: the last one may have fewer rows.</summary>
    public int Tiles => _pointers.Length - 1;

    /// <summary>Values, with those that fill up the last tile.</summary>
    public int StoredCount => _values.Length;

    /// <summary>Bytes of structure and values.</summary>
    public long Bytes => 4L * (_pointers.Length + _counts.Length + _columns.Length + _values.Length);

    /// <summary>Where the columns of each tile start; Tiles + 1 entries.</summary>
    public ReadOnlySpan<int> Pointers => _pointers;

    /// <summary>How many columns each tile has; they do not move.</summary>
    public int* Counts => (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_counts, 0);

    /// <summary>The columns of all tiles; they do not move.</summary>
    public int* Columns => (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_columns, 0);

    /// <summary>For each column of a tile its rows' values; they do not move.</summary>
    public float* Values => (float*)Marshal.UnsafeAddrOfPinnedArrayElement(_values, 0);

    /// <summary>The tiles of a structure; null where it has none, or where the code for them cannot be used.</summary>
    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="rowPointers">Where each row starts; rows + 1 entries, which stay as they are.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    public static TiledMatrix? TryCreate(int rows, int columns, int[] rowPointers, ReadOnlySpan<int> indices)
    {
        if (TileCode.Current is not { } code || indices.Length == 0) return null;
        foreach (int height in code.Heights)
        {
            if (rows < height || !HasTiles(rows, height, rowPointers, indices)) continue;
            int tiles = (rows + height - 1) / height, at = 0;
            var pointers = new int[tiles + 1];
            for (int t = 0; t < tiles; t++) pointers[t + 1] = pointers[t] + rowPointers[t * height + 1] - rowPointers[t * height];
            // Of the padding of the last tile too many values could come for an array; such a matrix is all padding.
            if ((long)pointers[^1] * height > int.MaxValue / 2) return null;
            int[] used = GC.AllocateUninitializedArray<int>(pointers[^1], pinned: true);
            for (int t = 0; t < tiles; t++)
            {
                ReadOnlySpan<int> row = indices[rowPointers[t * height]..rowPointers[t * height + 1]];
                row.CopyTo(used.AsSpan(at));
                at += row.Length;
            }
            return new TiledMatrix(code, rows, columns, height, pointers, used, rowPointers);
        }
        return null;
    }

    /// <summary>Takes over values, given in row order.</summary>
    public void SetValues(ReadOnlySpan<float> values)
    {
        for (int r = 0; r < Rows; r++)
        {
            int to = _pointers[r / Height] * Height + r % Height;
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++, to += Height) _values[to] = values[j];
        }
    }

    private static bool HasTiles(int rows, int height, ReadOnlySpan<int> rowPointers, ReadOnlySpan<int> indices)
    {
        for (int r = 0; r < rows; r++)
        {
            int first = r - r % height;
            if (r > first && !indices[rowPointers[r]..rowPointers[r + 1]].SequenceEqual(indices[rowPointers[first]..rowPointers[first + 1]])) return false;
        }
        return true;
    }
}

using System.Runtime.InteropServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A sparse matrix whose rows share their columns, four or eight at a time: blocks of 4 x 1, 8 x 1, 16 x 1, whole columns, or no zeros at all.</summary>
/// <remarks>
/// Found in the structure, so every weight that has it gains, however it came by it. Each input that is loaded meets 4 or 8 values, and the columns of a tile are the same for each group of columns of the input: a short loop
/// works at the rate of the multiply-adds, where straight-line code (<see cref="CompiledMatrix"/>) of ten bytes a value has to be fetched for every 16 columns.
/// <para>Columns may be cut into blocks of neighbours (<see cref="TiledPanels"/>): then what is stored of the first block stands before what is stored of the next one, tile by tile.</para>
/// </remarks>
internal sealed unsafe class TiledMatrix
{
    // A line of a panel (24 columns) is used so often by some tile, on average, before it pays to pack it: 512 x 2048 by 49 columns takes 0.6 to 0.8 of the time from 6 times on (Zen 3), 128 x 512 and 128 x 1152 by 784 take as long or longer at 3.
    private const int UsesWorthPacking = 6;

    // Lines of a block: 72 KiB of a panel's inputs, which come out of the second cache in a row. With 384 sums wait more often, with 2304 panels and sums leave that cache. And the fewest of a matrix: 1024 x 256 by 196 columns, which the second
    // cache holds as they are, take up to a fifth longer with panels, because tiles of 13 to 26 columns end more often than they go on.
    private const int MostLines = 768, LeastLines = 512;

    private readonly int[] _pointers, _starts, _counts, _columns, _rowPointers;
    private readonly float[] _values;

    private TiledMatrix(TileCode code, int rows, int depth, int height, int[] pointers, int[] starts, int blockDepth, int[] columns, int[] rowPointers)
    {
        Code = code;
        (Rows, Depth, Height, BlockDepth) = (rows, depth, height, blockDepth);
        (_pointers, _starts, _columns, _rowPointers) = (pointers, starts, columns, rowPointers);
        // Rows that fill up the last tile are zero and stay so.
        _values = GC.AllocateArray<float>(columns.Length * height, pinned: true);
        _counts = GC.AllocateUninitializedArray<int>(starts.Length - 1, pinned: true);
        for (int i = 0; i < _counts.Length; i++) _counts[i] = starts[i + 1] - starts[i];
        for (int t = 0; t < Tiles; t++) LargestTile = Math.Max(LargestTile, pointers[t + 1] - pointers[t]);
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

    /// <summary>Columns of the tile that has most.</summary>
    public int LargestTile { get; }

    /// <summary>Values, with those that fill up the last tile.</summary>
    public int StoredCount => _values.Length;

    /// <summary>Bytes of structure and values.</summary>
    public long Bytes => 4L * (_pointers.Length + (_starts == _pointers ? 0 : _starts.Length) + _counts.Length + _columns.Length + _values.Length);

    /// <summary>Columns of a block; 0 where there are no blocks, and products read inputs where they are.</summary>
    public int BlockDepth { get; }

    /// <summary>Blocks of columns, the last one of as many as are left; 1 where there are none.</summary>
    public int Blocks => _counts.Length / Tiles;

    /// <summary>Whether a new matrix of the same structure would be as this one.</summary>
    /// <param name="byBlocks">As for <see cref="TryCreate"/>.</param>
    public bool Serves(bool byBlocks) => BlockDepth > 0 == (byBlocks && PaysByBlocks(Code, _pointers[^1], Depth));

    /// <summary>How many columns the tiles before each have; Tiles + 1 entries. Without blocks this is where its columns start.</summary>
    public ReadOnlySpan<int> Pointers => _pointers;

    /// <summary>Where the columns of each tile of a block start; Tiles entries a block, and one more.</summary>
    public ReadOnlySpan<int> Starts => _starts;

    /// <summary>How many columns each tile of a block has; they do not move.</summary>
    public int* Counts => (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_counts, 0);

    /// <summary>The columns of all tiles, with blocks counted from the first of their block; they do not move.</summary>
    public int* Columns => (int*)Marshal.UnsafeAddrOfPinnedArrayElement(_columns, 0);

    /// <summary>For each column of a tile its rows' values; they do not move.</summary>
    public float* Values => (float*)Marshal.UnsafeAddrOfPinnedArrayElement(_values, 0);

    /// <summary>The tiles of a structure; null where it has none, or where the code for them cannot be used.</summary>
    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="rowPointers">Where each row starts; rows + 1 entries, which stay as they are.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="byBlocks">Whether columns are cut into blocks where that pays.</param>
    public static TiledMatrix? TryCreate(int rows, int columns, int[] rowPointers, ReadOnlySpan<int> indices, bool byBlocks = false)
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
            if (byBlocks && PaysByBlocks(code, pointers[^1], columns)) return ByBlocks(code, rows, columns, height, pointers, used, rowPointers, indices);
            for (int t = 0; t < tiles; t++)
            {
                ReadOnlySpan<int> row = indices[rowPointers[t * height]..rowPointers[t * height + 1]];
                row.CopyTo(used.AsSpan(at));
                at += row.Length;
            }
            return new TiledMatrix(code, rows, columns, height, pointers, pointers, 0, used, rowPointers);
        }
        return null;
    }

    /// <summary>Takes over values, given in row order.</summary>
    public void SetValues(ReadOnlySpan<float> values)
    {
        for (int r = 0; r < Rows; r++)
        {
            int j = _rowPointers[r];
            for (int part = r / Height; part < _counts.Length; part += Tiles)
            {
                int to = _starts[part] * Height + r % Height;
                for (int end = j + _counts[part]; j < end; j++, to += Height) _values[to] = values[j];
            }
        }
    }

    /// <summary>Whether columns that are cut into blocks are worth what packing their inputs costs. Units of half of 256 bits wait for the multiply-adds instead (Zen 1), and registers of 512 bits have not been measured.</summary>
    private static bool PaysByBlocks(TileCode code, int stored, int depth) => code.Packs && !VectorUnits.AreHalf256 && depth >= LeastLines && stored >= (long)UsesWorthPacking * depth;

    private static TiledMatrix ByBlocks(TileCode code, int rows, int depth, int height, int[] pointers, int[] used, int[] rowPointers, ReadOnlySpan<int> indices)
    {
        int tiles = pointers.Length - 1, blocks = (depth + MostLines - 1) / MostLines, blockDepth = (depth + blocks - 1) / blocks, at = 0;
        var starts = new int[checked(blocks * tiles) + 1];
        int[] next = [.. Enumerable.Range(0, tiles).Select(t => rowPointers[t * height])];
        for (int b = 0; b < blocks; b++)
        {
            int first = b * blockDepth;
            for (int t = 0; t < tiles; t++)
            {
                for (int end = rowPointers[t * height + 1]; next[t] < end && indices[next[t]] < first + blockDepth; next[t]++) used[at++] = indices[next[t]] - first;
                starts[b * tiles + t + 1] = at;
            }
        }
        return new TiledMatrix(code, rows, depth, height, pointers, starts, blockDepth, used, rowPointers);
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

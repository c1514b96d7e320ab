namespace Sparseland.Kernels.Sparse;

/// <summary>Compressed rows of r x c tiles: whole tiles are stored or not.</summary>
/// <remarks>
/// Immutable. Tiles lie on a fixed grid; tiles that reach over the last row or column are padded with zeros. Within a
/// tile values are column by column (<c>values[(tile * c + column) * r + row]</c>), so that the r values that meet
/// one input are neighbours. Zeros inside a stored tile take part in the arithmetic as they do in a dense matrix.
/// </remarks>
public sealed class BlockCsrMatrix
{
    private readonly int[] _rowPointers;
    private readonly int[] _blockColumns;
    private readonly float[] _values;

    /// <summary>A matrix from its parts; the arrays are taken over, not copied.</summary>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="blockRows">Rows of a tile, 1 to 256.</param>
    /// <param name="blockColumns">Columns of a tile, 1 to 256.</param>
    /// <param name="rowPointers">Per row of tiles where it starts; one more entry than rows of tiles.</param>
    /// <param name="columnIndices">The column of tiles of each stored tile, ascending within a row of tiles.</param>
    /// <param name="values">blockRows * blockColumns values per tile, column by column; padding must be zero.</param>
    /// <exception cref="ArgumentException">The parts contradict each other.</exception>
    public BlockCsrMatrix(int rows, int columns, int blockRows, int blockColumns, int[] rowPointers, int[] columnIndices, float[] values)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        _ = SparsityPattern.Block(blockRows, blockColumns);
        ArgumentNullException.ThrowIfNull(rowPointers);
        ArgumentNullException.ThrowIfNull(columnIndices);
        ArgumentNullException.ThrowIfNull(values);
        Rows = rows;
        Columns = columns;
        BlockRows = blockRows;
        BlockColumns = blockColumns;
        _rowPointers = rowPointers;
        _blockColumns = columnIndices;
        _values = values;

        int gridRows = GridRows, gridColumns = (columns + blockColumns - 1) / blockColumns;
        if (values.Length != (long)columnIndices.Length * blockRows * blockColumns)
            throw new ArgumentException($"{values.Length} values for {columnIndices.Length} tiles of {blockRows}x{blockColumns}.", nameof(values));
        // The CSR constructor holds the rules for pointers and indices; the values are not looked at.
        _ = new CsrMatrix(gridRows, gridColumns, rowPointers, columnIndices, new float[columnIndices.Length]);
        for (int br = 0; br < gridRows; br++)
        {
            for (int j = rowPointers[br]; j < rowPointers[br + 1]; j++) RequireZeroPadding(br, j);
        }
    }

    /// <summary>Number of rows.</summary>
    public int Rows { get; }

    /// <summary>Number of columns.</summary>
    public int Columns { get; }

    /// <summary>Rows of a tile.</summary>
    public int BlockRows { get; }

    /// <summary>Columns of a tile.</summary>
    public int BlockColumns { get; }

    /// <summary>Number of rows of tiles.</summary>
    public int GridRows => (Rows + BlockRows - 1) / BlockRows;

    /// <summary>Number of stored tiles.</summary>
    public int BlockCount => _blockColumns.Length;

    /// <summary>Number of stored values, padding included.</summary>
    public int StoredCount => _values.Length;

    /// <summary>Stored fraction of all entries; may exceed 1 by the padding.</summary>
    public double Density => (long)Rows * Columns == 0 ? 1 : (double)StoredCount / ((long)Rows * Columns);

    /// <summary>Where each row of tiles starts.</summary>
    public ReadOnlySpan<int> RowPointers => _rowPointers;

    /// <summary>The column of tiles of each tile.</summary>
    public ReadOnlySpan<int> ColumnIndices => _blockColumns;

    /// <summary>The values, tile by tile, column by column within a tile.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>Stores every tile that holds at least one value that is not zero.</summary>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="blockRows">Rows of a tile, 1 to 256.</param>
    /// <param name="blockColumns">Columns of a tile, 1 to 256.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public static BlockCsrMatrix FromDense(ReadOnlySpan<float> dense, int rows, int columns, int blockRows, int blockColumns) =>
        FromMask(Mask.FromNonZeros([rows, columns], dense), dense, rows, columns, blockRows, blockColumns);

    /// <summary>Stores every tile in which the mask keeps at least one entry; removed entries of such a tile become zero.</summary>
    /// <param name="mask">Of rows * columns entries.</param>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="blockRows">Rows of a tile, 1 to 256.</param>
    /// <param name="blockColumns">Columns of a tile, 1 to 256.</param>
    /// <exception cref="ArgumentException">The mask or the span is not of rows * columns entries.</exception>
    public static BlockCsrMatrix FromMask(Mask mask, ReadOnlySpan<float> dense, int rows, int columns, int blockRows, int blockColumns)
    {
        ArgumentNullException.ThrowIfNull(mask);
        CsrMatrix.RequireLength(dense.Length, rows, columns, nameof(dense));
        CsrMatrix.RequireLength(mask.Length, rows, columns, nameof(mask));
        _ = SparsityPattern.Block(blockRows, blockColumns);
        int gridRows = (rows + blockRows - 1) / blockRows, gridColumns = (columns + blockColumns - 1) / blockColumns;
        var rowPointers = new int[gridRows + 1];
        var indices = new List<int>();
        var values = new List<float>();
        var tile = new float[blockRows * blockColumns];
        for (int br = 0; br < gridRows; br++)
        {
            for (int bc = 0; bc < gridColumns; bc++)
            {
                bool kept = false;
                Array.Clear(tile);
                for (int i = 0; i < blockRows && br * blockRows + i < rows; i++)
                {
                    for (int j = 0; j < blockColumns && bc * blockColumns + j < columns; j++)
                    {
                        int at = (br * blockRows + i) * columns + bc * blockColumns + j;
                        if (!mask[at]) continue;
                        kept = true;
                        tile[j * blockRows + i] = dense[at];
                    }
                }
                if (!kept) continue;
                indices.Add(bc);
                values.AddRange(tile);
            }
            rowPointers[br + 1] = indices.Count;
        }
        return new BlockCsrMatrix(rows, columns, blockRows, blockColumns, rowPointers, [.. indices], [.. values]);
    }

    /// <summary>Writes the dense form, zeros where nothing is stored.</summary>
    /// <param name="destination">[rows, columns], row-major; all of it is overwritten.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public void ToDense(Span<float> destination)
    {
        CsrMatrix.RequireLength(destination.Length, Rows, Columns, nameof(destination));
        destination.Clear();
        for (int br = 0; br < GridRows; br++)
        {
            for (int b = _rowPointers[br]; b < _rowPointers[br + 1]; b++)
            {
                for (int j = 0; j < BlockColumns && _blockColumns[b] * BlockColumns + j < Columns; j++)
                {
                    for (int i = 0; i < BlockRows && br * BlockRows + i < Rows; i++)
                        destination[(br * BlockRows + i) * Columns + _blockColumns[b] * BlockColumns + j] = _values[(b * BlockColumns + j) * BlockRows + i];
                }
            }
        }
    }

    /// <summary>Every entry of the stored tiles by itself, zeros included, padding excluded.</summary>
    public CsrMatrix ToCsr()
    {
        var pointers = new int[Rows + 1];
        var indices = new List<int>(StoredCount);
        var values = new List<float>(StoredCount);
        for (int r = 0; r < Rows; r++)
        {
            int br = r / BlockRows, i = r % BlockRows;
            for (int b = _rowPointers[br]; b < _rowPointers[br + 1]; b++)
            {
                for (int j = 0; j < BlockColumns && _blockColumns[b] * BlockColumns + j < Columns; j++)
                {
                    indices.Add(_blockColumns[b] * BlockColumns + j);
                    values.Add(_values[(b * BlockColumns + j) * BlockRows + i]);
                }
            }
            pointers[r + 1] = indices.Count;
        }
        return new CsrMatrix(Rows, Columns, pointers, [.. indices], [.. values]);
    }

    /// <summary>The mask of the stored tiles, of shape [rows, columns]; zeros inside a stored tile count as kept.</summary>
    /// <exception cref="InvalidOperationException">The matrix has more entries than a mask counts (2^31 - 1).</exception>
    public Mask ToMask()
    {
        CsrMatrix.RequireCountable(Rows, Columns);
        var kept = new bool[Rows * Columns];
        for (int br = 0; br < GridRows; br++)
        {
            for (int b = _rowPointers[br]; b < _rowPointers[br + 1]; b++)
            {
                int column = _blockColumns[b] * BlockColumns;
                for (int i = br * BlockRows; i < Math.Min((br + 1) * BlockRows, Rows); i++)
                    kept.AsSpan(i * Columns + column, Math.Min(BlockColumns, Columns - column)).Fill(true);
            }
        }
        return Mask.FromFlags([Rows, Columns], kept);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{BlockRows}x{BlockColumns} blocks [{Rows}, {Columns}] {BlockCount} stored ({Density:P1})";

    private void RequireZeroPadding(int blockRow, int block)
    {
        int rowsInside = Math.Min(BlockRows, Rows - blockRow * BlockRows);
        int columnsInside = Math.Min(BlockColumns, Columns - _blockColumns[block] * BlockColumns);
        if (rowsInside == BlockRows && columnsInside == BlockColumns) return;
        for (int j = 0; j < BlockColumns; j++)
        {
            for (int i = 0; i < BlockRows; i++)
            {
                if ((i >= rowsInside || j >= columnsInside) && _values[(block * BlockColumns + j) * BlockRows + i] != 0)
                    throw new ArgumentException($"Tile {block} holds a value outside of the matrix.", nameof(block));
            }
        }
    }
}

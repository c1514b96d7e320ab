namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The tiles of a structure, which are looked for when it is first used, and their values, which follow those of the owner.</summary>
/// <param name="byBlocks">Whether columns are cut into blocks where that pays: for products whose inputs are rows in memory.</param>
internal sealed class TiledOnce(bool byBlocks)
{
    private readonly Lock _gate = new();
    private TiledMatrix? _matrix;
    private TileCode? _tried;
    private long _version = -1;

    /// <summary>Bytes of structure and values; 0 before the first use and where there are no tiles.</summary>
    public long Bytes
    {
        get
        {
            lock (_gate) return _matrix?.Bytes ?? 0;
        }
    }

    /// <summary>The tiles with the given values, or null when there are none or the calling thread may not use them.</summary>
    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="rowPointers">Where each row starts.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="values">The stored values.</param>
    /// <param name="version">Differs when the values do.</param>
    public TiledMatrix? Get(int rows, int columns, int[] rowPointers, int[] indices, float[] values, long version)
    {
        if (TileCode.Current is not { } code) return null;
        lock (_gate)
        {
            if (_tried != code)
            {
                _matrix = TiledMatrix.TryCreate(rows, columns, rowPointers, indices, byBlocks);
                (_tried, _version) = (code, -1);
            }
            if (_matrix is not null && _version != version)
            {
                _matrix.SetValues(values);
                _version = version;
            }
            return _matrix;
        }
    }
}

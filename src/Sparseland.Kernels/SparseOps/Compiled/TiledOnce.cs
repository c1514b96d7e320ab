namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The tiles of a structure, which are looked for when it is first used, and their values, which follow those of the owner.</summary>
/// <remarks>Where columns are not worth being cut into blocks, one matrix serves products that ask for blocks and products that do not.</remarks>
internal sealed class TiledOnce
{
    private readonly Lock _gate = new();
    private Form? _plain, _blocks;
    private TileCode? _tried;

    /// <summary>Bytes of structure and values; 0 before the first use and where there are no tiles.</summary>
    public long Bytes
    {
        get
        {
            lock (_gate) return (_plain?.Matrix?.Bytes ?? 0) + (_blocks == _plain ? 0 : _blocks?.Matrix?.Bytes ?? 0);
        }
    }

    /// <summary>The tiles with the given values, or null when there are none or the calling thread may not use them.</summary>
    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="rowPointers">Where each row starts.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="values">The stored values.</param>
    /// <param name="version">Differs when the values do.</param>
    /// <param name="byBlocks">Whether columns are cut into blocks where that pays: for products whose inputs are rows in memory.</param>
    public TiledMatrix? Get(int rows, int columns, int[] rowPointers, int[] indices, float[] values, long version, bool byBlocks)
    {
        if (TileCode.Current is not { } code) return null;
        lock (_gate)
        {
            if (_tried != code) (_plain, _blocks, _tried) = (null, null, code);
            ref Form? form = ref byBlocks ? ref _blocks : ref _plain;
            form ??= Shared(byBlocks ? _plain : _blocks, byBlocks) ?? new Form(TiledMatrix.TryCreate(rows, columns, rowPointers, indices, byBlocks));
            if (form.Matrix is not null && form.Version != version)
            {
                form.Matrix.SetValues(values);
                form.Version = version;
            }
            return form.Matrix;
        }
    }

    /// <summary>The other form, if it is the same as the one that is asked for: what has no tiles has none in blocks.</summary>
    private static Form? Shared(Form? other, bool byBlocks) => other is { Matrix: null } || other?.Matrix?.Serves(byBlocks) == true ? other : null;

    private sealed class Form(TiledMatrix? matrix)
    {
        public TiledMatrix? Matrix => matrix;

        /// <summary>Which values these are.</summary>
        public long Version { get; set; } = -1;
    }
}

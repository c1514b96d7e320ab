namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A structure that is compiled when it is first needed, and its values, which follow those of the owner.</summary>
/// <param name="onReuse">Whether it is compiled only when it is used with second values, or often with the same (weights that are frozen, an evaluation).</param>
/// <param name="comesFromFar">As for <see cref="CompiledMatrix.TryCompile"/>.</param>
internal sealed class CompiledOnce(bool onReuse = false, bool comesFromFar = false)
{
    // Packing an input costs about two multiply-adds: below, inputs are better read where they are.
    private const int LeastReuse = 2;

    // A structure that lives for one step is used once, or by a few pieces of a batch.
    private const int UsesBeforeCode = 3;

    private readonly Lock _gate = new();
    private CompiledMatrix? _matrix;
    private bool _tried;
    private long _version = -1;
    private long? _firstVersion;
    private int _uses;

    /// <summary>Bytes of code, of values beside it and of where these come from; 0 before the first use and where nothing was compiled.</summary>
    public long Bytes
    {
        get
        {
            lock (_gate) return _matrix is null ? 0 : _matrix.CodeBytes + 8L * _matrix.StoredCount;
        }
    }

    /// <summary>The compiled matrix with the given values, or null when the calling thread may not use one or it would not pay.</summary>
    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="rowPointers">Where each row starts.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="values">The stored values, or what <paramref name="source"/> finds them in.</param>
    /// <param name="version">Differs when the values do.</param>
    /// <param name="planes">Where the inputs of code that reads them in place lie; null for packed lines. The same in every call.</param>
    /// <param name="source">Where in <paramref name="values"/> each stored value is; null where they lie in order. The same in every call.</param>
    public CompiledMatrix? Get(int rows, int columns, int[] rowPointers, int[] indices, float[] values, long version, ShiftedPlanes? planes = null, int[]? source = null)
    {
        if (!CompiledMatrix.Usable) return null;
        lock (_gate)
        {
            if (onReuse && !_tried && (_firstVersion ??= version) == version && ++_uses <= UsesBeforeCode) return null;
            if (!_tried)
            {
                if (rows > LeastReuse) _matrix = CompiledMatrix.TryCompile(rows, columns, rowPointers, indices, LeastReuse, planes, comesFromFar);
                if (source is not null) _matrix?.TakeFrom(source);
                _tried = true;
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

using Sparseland.Kernels.Threading;

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

    // An order takes some ten bytes a stored value: other widths use the order of the nearest. Its bits are the same.
    private const int MostOrders = 2;

    private readonly Lock _gate = new();
    private readonly Form _compiled = new();
    private readonly Form?[] _counted = new Form?[CountedMatrix.Orders];
    private bool _isReused = !onReuse;
    private long? _firstVersion;
    private int _uses;

    /// <summary>Bytes of code, of values beside it and of where these come from; 0 before the first use and where nothing was compiled.</summary>
    public long Bytes
    {
        get
        {
            lock (_gate) return (_compiled.Matrix?.Bytes ?? 0) + _counted.Sum(f => f?.Matrix?.Bytes ?? 0);
        }
    }

    /// <summary>The matrix for products with so many columns with the given values, or null when the calling thread may not use one or it would not pay.</summary>
    /// <param name="rows">Rows of the matrix.</param>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="rowPointers">Where each row starts.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="values">The stored values, or what <paramref name="source"/> finds them in.</param>
    /// <param name="version">Differs when the values do.</param>
    /// <param name="width">Columns of a product.</param>
    /// <param name="planes">Where the inputs of code that reads them in place lie; null for packed lines. The same in every call.</param>
    /// <param name="source">Where in <paramref name="values"/> each stored value is; null where they lie in order. The same in every call.</param>
    public CodedMatrix? Get(int rows, int columns, int[] rowPointers, int[] indices, float[] values, long version, long width, ShiftedPlanes? planes = null, int[]? source = null)
    {
        bool counts = planes is null && CountedMatrix.Pays(indices.Length, (long)rows * columns, width, comesFromFar);
        if (!counts && !CompiledMatrix.Usable) return null;
        lock (_gate)
        {
            if (!_isReused && (_firstVersion ??= version) == version && ++_uses <= UsesBeforeCode) return null;
            _isReused = true;
            Form form = counts ? CountedFor(width) : _compiled;
            if (!form.IsTried || form.Matrix is CountedMatrix { Threads: var threads } && threads < WorkPool.Threads)
            {
                if (rows > LeastReuse) form.Matrix = counts ? CountedMatrix.TryCreate(rows, columns, rowPointers, indices, width, LeastReuse) : CompiledMatrix.TryCompile(rows, columns, rowPointers, indices, LeastReuse, planes, comesFromFar);
                if (source is not null) form.Matrix?.TakeFrom(source);
                (form.IsTried, form.Version) = (true, -1);
            }
            if (form.Matrix is not null && form.Version != version)
            {
                form.Matrix.SetValues(values);
                form.Version = version;
            }
            return form.Matrix;
        }
    }

    private Form CountedFor(long width)
    {
        int order = CountedMatrix.OrderFor(width);
        if (_counted[order] is { } form) return form;
        int nearest = -1, count = 0;
        for (int i = 0; i < _counted.Length; i++)
        {
            if (_counted[i] is not { } other) continue;
            // Thin weights have one order for several of these widths: a second one would be the same, and take the last place.
            if (other.Matrix is CountedMatrix matrix && matrix.IsOrderFor(width)) return other;
            count++;
            if (nearest < 0 || Math.Abs(i - order) <= Math.Abs(nearest - order)) nearest = i;
        }
        return count >= MostOrders ? _counted[nearest]! : _counted[order] = new Form();
    }

    private sealed class Form
    {
        public CodedMatrix? Matrix { get; set; }

        public bool IsTried { get; set; }

        /// <summary>Which values these are.</summary>
        public long Version { get; set; } = -1;
    }
}

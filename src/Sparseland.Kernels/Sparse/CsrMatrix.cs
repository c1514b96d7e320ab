namespace Sparseland.Kernels.Sparse;

/// <summary>Compressed sparse rows: per row the columns that are stored, ascending, and their values.</summary>
/// <remarks>
/// Immutable. Row r owns entries <c>RowPointers[r] .. RowPointers[r + 1]</c> of <see cref="ColumnIndices"/> and
/// <see cref="Values"/>. Stored values may be zero: structure and value are separate, so that a weight that passes
/// through zero in training keeps its place.
/// </remarks>
public sealed class CsrMatrix
{
    private readonly int[] _rowPointers;
    private readonly int[] _columnIndices;
    private readonly float[] _values;

    /// <summary>A matrix from its parts; the arrays are taken over, not copied.</summary>
    /// <param name="rows">Number of rows, 0 or more.</param>
    /// <param name="columns">Number of columns, 0 or more.</param>
    /// <param name="rowPointers">rows + 1 entries, from 0 to the number of values, never falling.</param>
    /// <param name="columnIndices">One per value, ascending within a row, in 0 .. columns - 1.</param>
    /// <param name="values">The stored values.</param>
    /// <exception cref="ArgumentException">The parts contradict each other.</exception>
    public CsrMatrix(int rows, int columns, int[] rowPointers, int[] columnIndices, float[] values)
        : this(rows, columns, rowPointers, columnIndices, values, validate: true)
    {
    }

    private CsrMatrix(int rows, int columns, int[] rowPointers, int[] columnIndices, float[] values, bool validate)
    {
        if (validate) Validate(rows, columns, rowPointers, columnIndices, values);
        Rows = rows;
        Columns = columns;
        _rowPointers = rowPointers;
        _columnIndices = columnIndices;
        _values = values;
    }

    /// <summary>Number of rows.</summary>
    public int Rows { get; }

    /// <summary>Number of columns.</summary>
    public int Columns { get; }

    /// <summary>Number of stored values.</summary>
    public int StoredCount => _values.Length;

    /// <summary>Stored fraction of all entries, 0 to 1; 1 for a matrix without entries.</summary>
    public double Density => (long)Rows * Columns == 0 ? 1 : (double)StoredCount / ((long)Rows * Columns);

    /// <summary>Where each row starts; Rows + 1 entries.</summary>
    public ReadOnlySpan<int> RowPointers => _rowPointers;

    /// <summary>The column of each stored value.</summary>
    public ReadOnlySpan<int> ColumnIndices => _columnIndices;

    /// <summary>The stored values.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The values that are not zero (NaN counts, -0 does not).</summary>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public static CsrMatrix FromDense(ReadOnlySpan<float> dense, int rows, int columns) =>
        FromMask(Mask.FromNonZeros([rows, columns], dense), dense, rows, columns);

    /// <summary>The entries that the mask keeps, whatever their values.</summary>
    /// <param name="mask">Of rows * columns entries; its shape may have more dimensions (a convolution weight).</param>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <exception cref="ArgumentException">The mask or the span is not of rows * columns entries.</exception>
    public static CsrMatrix FromMask(Mask mask, ReadOnlySpan<float> dense, int rows, int columns)
    {
        ArgumentNullException.ThrowIfNull(mask);
        RequireLength(dense.Length, rows, columns, nameof(dense));
        RequireLength(mask.Length, rows, columns, nameof(mask));
        var values = new float[mask.KeptCount];
        mask.Gather(dense, values);
        return Structure(mask, rows, columns, values);
    }

    /// <summary>As <see cref="FromMask"/>, from kept entries alone.</summary>
    /// <param name="mask">Of rows * columns entries.</param>
    /// <param name="kept">The kept entries in the mask's order; copied.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <exception cref="ArgumentException">The mask is not of rows * columns entries, or there are not as many values as it keeps.</exception>
    public static CsrMatrix FromKept(Mask mask, ReadOnlySpan<float> kept, int rows, int columns)
    {
        ArgumentNullException.ThrowIfNull(mask);
        RequireLength(mask.Length, rows, columns, nameof(mask));
        if (kept.Length != mask.KeptCount) throw new ArgumentException($"{kept.Length} values for {mask.KeptCount} kept entries.", nameof(kept));
        return Structure(mask, rows, columns, kept.ToArray());
    }

    // Stored order is the mask's order.
    private static CsrMatrix Structure(Mask mask, int rows, int columns, float[] values)
    {
        var rowPointers = new int[rows + 1];
        var columnIndices = new int[values.Length];
        ReadOnlySpan<ulong> words = mask.Words;
        int next = 0;
        for (int r = 0; r < rows; r++)
        {
            int start = r * columns, end = start + columns;
            for (int w = start >> 6; w <= (end - 1) >> 6 && end > start; w++)
            {
                ulong bits = words[w];
                int at = w << 6;
                if (at < start) bits &= ulong.MaxValue << (start - at);
                if (at + 64 > end) bits &= ulong.MaxValue >> (at + 64 - end);
                for (; bits != 0; bits &= bits - 1) columnIndices[next++] = at + System.Numerics.BitOperations.TrailingZeroCount(bits) - start;
            }
            rowPointers[r + 1] = next;
        }
        return new CsrMatrix(rows, columns, rowPointers, columnIndices, values, validate: false);
    }

    /// <summary>The same structure with other values (taken over, in stored order).</summary>
    /// <exception cref="ArgumentException">Not <see cref="StoredCount"/> values.</exception>
    public CsrMatrix WithValues(float[] values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Length != StoredCount) throw new ArgumentException($"{values.Length} values for {StoredCount} stored entries.", nameof(values));
        return new CsrMatrix(Rows, Columns, _rowPointers, _columnIndices, values, validate: false);
    }

    /// <summary>The transposed matrix [columns, rows].</summary>
    public CsrMatrix Transpose()
    {
        var source = new int[StoredCount];
        (int[] pointers, int[] indices) = TransposeStructure(source);
        var values = new float[StoredCount];
        for (int i = 0; i < values.Length; i++) values[i] = _values[source[i]];
        return new CsrMatrix(Columns, Rows, pointers, indices, values, validate: false);
    }

    /// <summary>Writes the dense form, zeros where nothing is stored.</summary>
    /// <param name="destination">[rows, columns], row-major; all of it is overwritten.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public void ToDense(Span<float> destination)
    {
        RequireLength(destination.Length, Rows, Columns, nameof(destination));
        destination.Clear();
        for (int r = 0; r < Rows; r++)
        {
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++) destination[r * Columns + _columnIndices[j]] = _values[j];
        }
    }

    /// <summary>The mask of the stored entries, of shape [rows, columns].</summary>
    /// <exception cref="InvalidOperationException">The matrix has more entries than a mask counts (2^31 - 1).</exception>
    public Mask ToMask()
    {
        RequireCountable(Rows, Columns);
        var words = new ulong[((long)Rows * Columns + 63) / 64];
        for (int r = 0; r < Rows; r++)
        {
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++)
            {
                int i = r * Columns + _columnIndices[j];
                words[i >> 6] |= 1UL << (i & 63);
            }
        }
        return Mask.FromWords([Rows, Columns], words);
    }

    /// <inheritdoc/>
    public override string ToString() => $"CSR [{Rows}, {Columns}] {StoredCount} stored ({Density:P1})";

    /// <summary>Structure of the transpose; <paramref name="source"/> receives, per transposed entry, its index here.</summary>
    internal (int[] Pointers, int[] Indices) TransposeStructure(Span<int> source)
    {
        var pointers = new int[Columns + 1];
        foreach (int c in _columnIndices) pointers[c + 1]++;
        for (int c = 0; c < Columns; c++) pointers[c + 1] += pointers[c];
        var indices = new int[StoredCount];
        int[] next = pointers.AsSpan(0, Columns).ToArray();
        for (int r = 0; r < Rows; r++)
        {
            for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++)
            {
                int at = next[_columnIndices[j]]++;
                indices[at] = r;
                source[at] = j;
            }
        }
        return (pointers, indices);
    }

    internal static void RequireLength(int length, int rows, int columns, string name)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        if (length != (long)rows * columns) throw new ArgumentException($"{length} entries for a matrix of [{rows}, {columns}].", name);
    }

    internal static void RequireCountable(int rows, int columns)
    {
        if ((long)rows * columns > int.MaxValue) throw new InvalidOperationException($"A matrix of [{rows}, {columns}] has more entries than a mask counts.");
    }

    private static void Validate(int rows, int columns, int[] rowPointers, int[] columnIndices, float[] values)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        ArgumentNullException.ThrowIfNull(rowPointers);
        ArgumentNullException.ThrowIfNull(columnIndices);
        ArgumentNullException.ThrowIfNull(values);
        if (rowPointers.Length != (long)rows + 1) throw new ArgumentException($"{rowPointers.Length} row pointers for {rows} rows; expected rows + 1.", nameof(rowPointers));
        if (columnIndices.Length != values.Length) throw new ArgumentException($"{columnIndices.Length} column indices for {values.Length} values.", nameof(columnIndices));
        if (rowPointers[0] != 0 || rowPointers[rows] != values.Length)
            throw new ArgumentException($"Row pointers run from {rowPointers[0]} to {rowPointers[rows]}; expected 0 to {values.Length}.", nameof(rowPointers));
        for (int r = 0; r < rows; r++)
        {
            int start = rowPointers[r], end = rowPointers[r + 1];
            if (end < start || end > values.Length) throw new ArgumentException($"Row {r} runs from {start} to {end}.", nameof(rowPointers));
            int last = -1;
            for (int j = start; j < end; j++)
            {
                int c = columnIndices[j];
                if (c <= last || c >= columns)
                    throw new ArgumentException($"Column {c} of row {r} (entry {j}) is not ascending below {columns}.", nameof(columnIndices));
                last = c;
            }
        }
    }
}

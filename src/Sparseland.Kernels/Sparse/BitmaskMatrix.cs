using System.Numerics;

namespace Sparseland.Kernels.Sparse;

/// <summary>One bit per entry and the kept values packed: 1 + density * 32 bits per weight.</summary>
/// <remarks>
/// Immutable. Each row starts at a new 64-bit word (bit c % 64 of word c / 64 belongs to column c; bits past the last
/// column are zero), so that rows can be decoded apart. The format of choice at 40-80 % zeros when memory is the bound.
/// </remarks>
public sealed class BitmaskMatrix
{
    /// <summary>Values behind the last one that a kernel may read and must ignore: one widest register.</summary>
    internal const int Slack = 16;

    private readonly ulong[] _bits;
    private readonly float[] _values;
    private readonly int[] _rowPointers;

    private BitmaskMatrix(int rows, int columns, ulong[] bits, float[] valuesWithSlack, int[] rowPointers)
    {
        Rows = rows;
        Columns = columns;
        WordsPerRow = (columns + 63) / 64;
        _bits = bits;
        _values = valuesWithSlack;
        _rowPointers = rowPointers;
    }

    /// <summary>Number of rows.</summary>
    public int Rows { get; }

    /// <summary>Number of columns.</summary>
    public int Columns { get; }

    /// <summary>64-bit words that hold the bits of one row.</summary>
    public int WordsPerRow { get; }

    /// <summary>Number of stored values.</summary>
    public int StoredCount => _rowPointers[Rows];

    /// <summary>Stored fraction of all entries, 0 to 1; 1 for a matrix without entries.</summary>
    public double Density => (long)Rows * Columns == 0 ? 1 : (double)StoredCount / ((long)Rows * Columns);

    /// <summary>The bits, <see cref="WordsPerRow"/> words a row.</summary>
    public ReadOnlySpan<ulong> Bits => _bits;

    /// <summary>The stored values, row by row, ascending columns.</summary>
    public ReadOnlySpan<float> Values => _values.AsSpan(0, StoredCount);

    /// <summary>Where the values of each row start; Rows + 1 entries.</summary>
    public ReadOnlySpan<int> RowPointers => _rowPointers;

    /// <summary>The values followed by <see cref="Slack"/> zeros.</summary>
    internal ReadOnlySpan<float> ValuesWithSlack => _values;

    /// <summary>A matrix from its parts, which are copied.</summary>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="bits">rows * ceil(columns / 64) words; bits past the last column of a row are zero.</param>
    /// <param name="values">As many values as bits are set.</param>
    /// <exception cref="ArgumentException">The parts contradict each other.</exception>
    public static BitmaskMatrix FromParts(int rows, int columns, ReadOnlySpan<ulong> bits, ReadOnlySpan<float> values)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        int wordsPerRow = (columns + 63) / 64;
        if (bits.Length != (long)rows * wordsPerRow)
            throw new ArgumentException($"{bits.Length} words for {rows} rows of {wordsPerRow} words.", nameof(bits));
        ulong beyond = (columns & 63) == 0 ? 0 : ulong.MaxValue << (columns & 63);
        var rowPointers = new int[rows + 1];
        int count = 0;
        for (int r = 0; r < rows; r++)
        {
            for (int w = 0; w < wordsPerRow; w++) count += BitOperations.PopCount(bits[r * wordsPerRow + w]);
            if (wordsPerRow > 0 && (bits[r * wordsPerRow + wordsPerRow - 1] & beyond) != 0)
                throw new ArgumentException($"A bit of row {r} is set beyond column {columns - 1}.", nameof(bits));
            rowPointers[r + 1] = count;
        }
        if (count != values.Length) throw new ArgumentException($"{values.Length} values for {count} set bits.", nameof(values));
        var padded = new float[count + Slack];
        values.CopyTo(padded);
        return new BitmaskMatrix(rows, columns, bits.ToArray(), padded, rowPointers);
    }

    /// <summary>The values that are not zero (NaN counts, -0 does not).</summary>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public static BitmaskMatrix FromDense(ReadOnlySpan<float> dense, int rows, int columns) =>
        FromCsr(CsrMatrix.FromDense(dense, rows, columns));

    /// <summary>The entries that the mask keeps, whatever their values.</summary>
    /// <param name="mask">Of rows * columns entries.</param>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <exception cref="ArgumentException">The mask or the span is not of rows * columns entries.</exception>
    public static BitmaskMatrix FromMask(Mask mask, ReadOnlySpan<float> dense, int rows, int columns) =>
        FromCsr(CsrMatrix.FromMask(mask, dense, rows, columns));

    /// <summary>The same entries as a CSR matrix.</summary>
    public static BitmaskMatrix FromCsr(CsrMatrix matrix)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        int wordsPerRow = (matrix.Columns + 63) / 64;
        var bits = new ulong[(long)matrix.Rows * wordsPerRow];
        for (int r = 0; r < matrix.Rows; r++)
        {
            foreach (int c in matrix.ColumnIndices[matrix.RowPointers[r]..matrix.RowPointers[r + 1]])
                bits[r * wordsPerRow + (c >> 6)] |= 1UL << (c & 63);
        }
        var padded = new float[matrix.StoredCount + Slack];
        matrix.Values.CopyTo(padded);
        return new BitmaskMatrix(matrix.Rows, matrix.Columns, bits, padded, matrix.RowPointers.ToArray());
    }

    /// <summary>The same entries in CSR form.</summary>
    public CsrMatrix ToCsr()
    {
        var columns = new int[StoredCount];
        for (int r = 0; r < Rows; r++) DecodeColumns(r, columns.AsSpan(_rowPointers[r]));
        return new CsrMatrix(Rows, Columns, (int[])_rowPointers.Clone(), columns, Values.ToArray());
    }

    /// <summary>Writes the dense form, zeros where nothing is stored.</summary>
    /// <param name="destination">[rows, columns], row-major; all of it is overwritten.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public void ToDense(Span<float> destination) => ToCsr().ToDense(destination);

    /// <summary>The mask of the stored entries, of shape [rows, columns].</summary>
    public Mask ToMask() => ToCsr().ToMask();

    /// <inheritdoc/>
    public override string ToString() => $"bit-mask [{Rows}, {Columns}] {StoredCount} stored ({Density:P1})";

    /// <summary>Writes the columns of one row, ascending; returns how many.</summary>
    internal int DecodeColumns(int row, Span<int> columns)
    {
        int n = 0;
        for (int w = 0; w < WordsPerRow; w++)
        {
            for (ulong bits = _bits[row * WordsPerRow + w]; bits != 0; bits &= bits - 1)
                columns[n++] = (w << 6) + BitOperations.TrailingZeroCount(bits);
        }
        return n;
    }
}

namespace Sparseland.Kernels.Sparse;

/// <summary>N:M sparsity: of every M consecutive entries of a row at most N are stored.</summary>
/// <remarks>
/// Immutable. Every group owns exactly N slots; slot s of group g of a row is value <c>(row * groups + g) * N + s</c>,
/// and the byte at the same index is its position within the group. Positions ascend within a group; a slot that is not
/// needed repeats the last position (0 in an empty group) with value +0. When the number of columns is no multiple of
/// M the last group is shorter.
/// </remarks>
public sealed class NmMatrix
{
    private readonly float[] _values;
    private readonly byte[] _positions;
    private readonly ushort[] _used;

    private NmMatrix(int rows, int columns, int n, int m, float[] values, byte[] positions, ushort[] used)
    {
        Rows = rows;
        Columns = columns;
        N = n;
        M = m;
        _values = values;
        _positions = positions;
        _used = used;
    }

    /// <summary>Number of rows.</summary>
    public int Rows { get; }

    /// <summary>Number of columns.</summary>
    public int Columns { get; }

    /// <summary>Slots of a group: the most entries that it may keep.</summary>
    public int N { get; }

    /// <summary>Entries of a group.</summary>
    public int M { get; }

    /// <summary>Groups of one row.</summary>
    public int GroupsPerRow => (Columns + M - 1) / M;

    /// <summary>Number of slots, unused ones included.</summary>
    public int StoredCount => _values.Length;

    /// <summary>Stored fraction of all entries, unused slots included.</summary>
    public double Density => (long)Rows * Columns == 0 ? 1 : (double)StoredCount / ((long)Rows * Columns);

    /// <summary>The values, <see cref="N"/> a group.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The position of each value within its group, 0 .. M - 1.</summary>
    public ReadOnlySpan<byte> Positions => _positions;

    /// <summary>How many slots of each group are used.</summary>
    public ReadOnlySpan<ushort> UsedSlots => _used;

    /// <summary>The values that are not zero (NaN counts, -0 does not).</summary>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="n">Entries that a group may keep, 1 to m.</param>
    /// <param name="m">Entries of a group, at most 256.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns, or the pattern is broken: the message names the first group.</exception>
    public static NmMatrix FromDense(ReadOnlySpan<float> dense, int rows, int columns, int n, int m) =>
        FromMask(Mask.FromNonZeros([rows, columns], dense), dense, rows, columns, n, m);

    /// <summary>The entries that the mask keeps, whatever their values.</summary>
    /// <param name="mask">Of rows * columns entries.</param>
    /// <param name="dense">[rows, columns], row-major.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="n">Entries that a group may keep, 1 to m.</param>
    /// <param name="m">Entries of a group, at most 256.</param>
    /// <exception cref="ArgumentException">The sizes do not fit, or the pattern is broken: the message names the first group.</exception>
    public static NmMatrix FromMask(Mask mask, ReadOnlySpan<float> dense, int rows, int columns, int n, int m)
    {
        ArgumentNullException.ThrowIfNull(mask);
        CsrMatrix.RequireLength(dense.Length, rows, columns, nameof(dense));
        CsrMatrix.RequireLength(mask.Length, rows, columns, nameof(mask));
        SparsityPattern pattern = SparsityPattern.NofM(n, m);
        if (PatternCheck.FirstViolation(pattern, mask, rows, columns) is { } violation)
            throw new ArgumentException(violation.Message, nameof(mask));
        int groups = (columns + m - 1) / m;
        var values = new float[checked(rows * groups * n)];
        var positions = new byte[values.Length];
        var used = new ushort[rows * groups];
        for (int r = 0; r < rows; r++)
        {
            for (int g = 0; g < groups; g++)
            {
                int slot = (r * groups + g) * n, count = 0;
                byte last = 0;
                for (int p = 0; p < m && g * m + p < columns; p++)
                {
                    int at = r * columns + g * m + p;
                    if (!mask[at]) continue;
                    values[slot + count] = dense[at];
                    positions[slot + count++] = last = (byte)p;
                }
                used[r * groups + g] = (ushort)count;
                for (int s = count; s < n; s++) positions[slot + s] = last;
            }
        }
        return new NmMatrix(rows, columns, n, m, values, positions, used);
    }

    /// <summary>Writes the dense form, zeros where nothing is stored.</summary>
    /// <param name="destination">[rows, columns], row-major; all of it is overwritten.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public void ToDense(Span<float> destination) => ToCsr().ToDense(destination);

    /// <summary>The used slots in CSR form.</summary>
    public CsrMatrix ToCsr()
    {
        var rowPointers = new int[Rows + 1];
        var columns = new List<int>(StoredCount);
        var values = new List<float>(StoredCount);
        var columnBuffer = new int[GroupsPerRow * N];
        var valueBuffer = new float[GroupsPerRow * N];
        for (int r = 0; r < Rows; r++)
        {
            int count = DecodeRow(r, columnBuffer, valueBuffer);
            columns.AddRange(columnBuffer.AsSpan(0, count));
            values.AddRange(valueBuffer.AsSpan(0, count));
            rowPointers[r + 1] = columns.Count;
        }
        return new CsrMatrix(Rows, Columns, rowPointers, [.. columns], [.. values]);
    }

    /// <summary>The mask of the used slots, of shape [rows, columns].</summary>
    public Mask ToMask() => ToCsr().ToMask();

    /// <inheritdoc/>
    public override string ToString() => $"{N}:{M} [{Rows}, {Columns}] {StoredCount} slots ({Density:P1})";

    /// <summary>Writes the columns and values of one row's used slots; returns how many.</summary>
    internal int DecodeRow(int row, Span<int> columns, Span<float> values)
    {
        int groups = GroupsPerRow, count = 0;
        for (int g = 0; g < groups; g++)
        {
            int slot = (row * groups + g) * N, used = _used[row * groups + g];
            for (int s = 0; s < used; s++)
            {
                columns[count] = g * M + _positions[slot + s];
                values[count++] = _values[slot + s];
            }
        }
        return count;
    }
}

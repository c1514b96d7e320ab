using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Sparseland.Kernels.Sparse;

/// <summary>A matrix in few bytes, for products with one vector: perhaps a bit per entry, and the values in one of four types.</summary>
/// <remarks>
/// Immutable. Without a mask all entries have a value; with one, bit c % 64 of word c / 64 of a row says whether column c has (each row
/// starts at a new 64-bit word; bits past the last column are zero). Values lie row by row, columns ascending; 4-bit values two
/// a byte as q + 8, each row from a new byte on: of every 128 (or the rest) the first half in the lower bits, the second in the upper ones. Size: (1 with a mask) + density x bits per entry, and scales.
/// Bits and values may be a file mapped into memory: kernels read them where they are.
/// Zeros stay zero in every type, and a mask keeps entries whose value became zero by rounding.
/// </remarks>
public sealed class CompactMatrix
{
    /// <summary>Bytes behind the last value that a register may touch; where there are fewer, the last rows take the portable path.</summary>
    public const int Slack = 64;

    /// <summary>Columns that a matrix may have: whole words of a row can still be counted in 32 bits.</summary>
    public const int MostColumns = 1 << 30;

    private readonly ReadOnlyMemory<byte> _bits;
    private readonly ReadOnlyMemory<byte> _values;
    private readonly ReadOnlyMemory<byte> _scales;
    private readonly long[] _counts;

    private CompactMatrix(int rows, int columns, ValueKind kind, ReadOnlyMemory<byte> bits, bool hasMask, long[] counts, ReadOnlyMemory<byte> values, ReadOnlyMemory<byte> scales, int groupColumns)
    {
        Rows = rows;
        Columns = columns;
        Kind = kind;
        HasMask = hasMask;
        GroupColumns = groupColumns;
        _bits = bits;
        _counts = counts;
        _values = values;
        _scales = scales;
    }

    /// <summary>Number of rows.</summary>
    public int Rows { get; }

    /// <summary>Number of columns.</summary>
    public int Columns { get; }

    /// <summary>The type of the values.</summary>
    public ValueKind Kind { get; }

    /// <summary>Whether a bit per entry says which have a value; otherwise all have.</summary>
    public bool HasMask { get; }

    /// <summary>64-bit words that hold the bits of one row.</summary>
    public int WordsPerRow => (Columns + 63) / 64;

    /// <summary>Columns that share a scale: all for 8-bit values, a power of two from 64 on for 4-bit ones, 0 for the others.</summary>
    public int GroupColumns { get; }

    /// <summary>Scales of one row.</summary>
    public int GroupsPerRow => GroupColumns == 0 ? 0 : Math.Max(1, (Columns + GroupColumns - 1) / GroupColumns);

    /// <summary>Number of entries that have a value.</summary>
    public long StoredCount => HasMask ? _counts[Rows] : (long)Rows * Columns;

    /// <summary>Fraction of the entries that have a value, 0 to 1; 1 for a matrix without entries.</summary>
    public double Density => (long)Rows * Columns == 0 ? 1 : (double)StoredCount / ((long)Rows * Columns);

    /// <summary>Bytes of bits, values and scales.</summary>
    public long ByteCount => (HasMask ? (long)Rows * WordsPerRow * sizeof(ulong) : 0) + ValueBytes + ScaleBytes(Rows, Columns, Kind, GroupColumns);

    /// <summary>The bits, little-endian words; empty without a mask.</summary>
    public ReadOnlyMemory<byte> Bits => _bits;

    /// <summary>The values.</summary>
    public ReadOnlyMemory<byte> Values => _values[..checked((int)ValueBytes)];

    /// <summary>The scales [rows, <see cref="GroupsPerRow"/>]: singles for 8-bit values, halves for 4-bit ones.</summary>
    public ReadOnlyMemory<byte> Scales => _scales;

    /// <summary>The values and what may be read behind them.</summary>
    internal ReadOnlyMemory<byte> ValuesWithSlack => _values;

    /// <summary>How many values precede each row, Rows + 1 entries; empty without a mask.</summary>
    internal ReadOnlySpan<long> Counts => _counts;

    /// <summary>Where the values of each row start in bytes, Rows + 1 entries: only for 4-bit values with a mask, whose rows begin at whole bytes.</summary>
    internal long[]? ByteStarts { get; private init; }

    /// <summary>Whether large pages were asked for.</summary>
    internal bool IsPrepared { get; set; }

    /// <summary>Where the parts of a product begin; found on first use.</summary>
    internal int[]? RowParts { get; set; }

    /// <summary>Facts about the words of each row that products ask for; found on first use.</summary>
    internal byte[]? RowFlags { get; set; }

    /// <summary>Rows from this one on may not be read in whole registers: too few bytes lie behind their values.</summary>
    internal int WideRows
    {
        get
        {
            int r = Rows;
            while (r > 0 && RowStart(r) + Slack > _values.Length) r--;
            return r;
        }
    }

    private long ValueBytes => RowStart(Rows);

    /// <summary>A matrix with a value for every entry.</summary>
    /// <param name="dense">[rows, columns], row-major; finite for integer types.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="kind">The type of the values.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns, or a value cannot be represented.</exception>
    public static CompactMatrix FromDense(ReadOnlySpan<float> dense, int rows, int columns, ValueKind kind)
    {
        CsrMatrix.RequireLength(dense.Length, rows, columns, nameof(dense));
        return CompactEncoding.Encode(dense, null, rows, columns, kind);
    }

    /// <summary>A matrix with values for the entries that a mask keeps.</summary>
    /// <param name="mask">Of rows * columns entries.</param>
    /// <param name="dense">[rows, columns], row-major; what is removed is not looked at.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="kind">The type of the values.</param>
    /// <exception cref="ArgumentException">The sizes do not fit, or a value cannot be represented.</exception>
    public static CompactMatrix FromMask(Mask mask, ReadOnlySpan<float> dense, int rows, int columns, ValueKind kind)
    {
        ArgumentNullException.ThrowIfNull(mask);
        CsrMatrix.RequireLength(dense.Length, rows, columns, nameof(dense));
        CsrMatrix.RequireLength(mask.Length, rows, columns, nameof(mask));
        return CompactEncoding.Encode(dense, CompactEncoding.RowWords(mask, rows, columns), rows, columns, kind);
    }

    /// <summary>A matrix over memory that stays where it is; it must not change while the matrix is in use.</summary>
    /// <param name="rows">Number of rows.</param>
    /// <param name="columns">Number of columns.</param>
    /// <param name="kind">The type of the values.</param>
    /// <param name="bits">rows * ceil(columns / 64) little-endian words; null when every entry has a value.</param>
    /// <param name="values">The values; memory behind them that may be read speeds up the last rows.</param>
    /// <param name="scales">The scales; empty for floating-point values.</param>
    /// <param name="groupColumns">Columns that share a scale, for 4-bit values: a power of two from 64 on.</param>
    /// <exception cref="ArgumentException">The parts contradict each other.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A size is negative, or there are more than <see cref="MostColumns"/> columns.</exception>
    public static CompactMatrix FromParts(int rows, int columns, ValueKind kind, ReadOnlyMemory<byte>? bits, ReadOnlyMemory<byte> values, ReadOnlyMemory<byte> scales = default, int groupColumns = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(rows);
        ArgumentOutOfRangeException.ThrowIfNegative(columns);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(columns, MostColumns);
        if (kind == ValueKind.Int8) groupColumns = Math.Max(columns, 1);
        else if (kind == ValueKind.Int4 ? groupColumns < 64 || !BitOperations.IsPow2(groupColumns) : groupColumns != 0)
            throw new ArgumentException($"Groups of {groupColumns} columns do not go with {kind}.", nameof(groupColumns));
        long scaleBytes = ScaleBytes(rows, columns, kind, groupColumns);
        if (scales.Length != scaleBytes) throw new ArgumentException($"{scales.Length} bytes of scales; the matrix needs {scaleBytes}.", nameof(scales));
        long[] counts = bits is { } b ? Count(rows, columns, b.Span) : [];
        long[]? starts = kind == ValueKind.Int4 && bits is not null ? Starts(counts) : null;
        var matrix = new CompactMatrix(rows, columns, kind, bits ?? default, bits is not null, counts, values, scales, groupColumns) { ByteStarts = starts };
        if (values.Length < matrix.ValueBytes) throw new ArgumentException($"{values.Length} bytes of values; the matrix needs {matrix.ValueBytes}.", nameof(values));
        return matrix;
    }

    /// <summary>A mask's bits with each row from a new word on, as <see cref="FromParts"/> takes them.</summary>
    /// <exception cref="ArgumentException">The mask is not of rows * columns entries.</exception>
    public static ReadOnlyMemory<byte> BitsOf(Mask mask, int rows, int columns)
    {
        ArgumentNullException.ThrowIfNull(mask);
        CsrMatrix.RequireLength(mask.Length, rows, columns, nameof(mask));
        return MemoryMarshal.AsBytes(CompactEncoding.RowWords(mask, rows, columns).AsSpan()).ToArray();
    }

    /// <summary>Bytes of the scales of a matrix.</summary>
    public static long ScaleBytes(int rows, int columns, ValueKind kind, int groupColumns) => kind switch
    {
        ValueKind.Int8 => (long)rows * sizeof(float),
        ValueKind.Int4 => (long)rows * Math.Max(1, (columns + groupColumns - 1) / groupColumns) * sizeof(ushort),
        _ => 0,
    };

    /// <summary>The columns that share a scale of 4-bit values so that about 64 kept values do: a power of two, 64 to 1024.</summary>
    public static int GroupFor(double density)
    {
        int columns = 64;
        while (columns < 1024 && columns * density < 63.5) columns *= 2;
        return columns;
    }

    /// <summary>Writes the dense form; what has no value is zero.</summary>
    /// <param name="destination">[rows, columns], row-major; all of it is overwritten.</param>
    /// <exception cref="ArgumentException">The span's length is not rows * columns.</exception>
    public void ToDense(Span<float> destination)
    {
        CsrMatrix.RequireLength(destination.Length, Rows, Columns, nameof(destination));
        for (int r = 0; r < Rows; r++) CompactEncoding.DecodeRow(this, r, destination.Slice(r * Columns, Columns));
    }

    /// <summary>The same numbers with a value for every entry: removed ones are zeros. Nothing is rounded again; 4-bit groups are cut to 64 columns of the scale that they had.</summary>
    public CompactMatrix WithoutMask() => HasMask ? CompactEncoding.Fill(this) : this;

    /// <summary>The mask of the entries that have a value, of shape [rows, columns].</summary>
    /// <exception cref="InvalidOperationException">The matrix has more entries than a mask holds (2^31 - 1).</exception>
    public Mask ToMask()
    {
        CsrMatrix.RequireCountable(Rows, Columns);
        return HasMask ? CompactEncoding.FlatMask(MemoryMarshal.Cast<byte, ulong>(_bits.Span), Rows, Columns) : Mask.Ones([Rows, Columns]);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Kind.ShortName()}{(HasMask ? " bit-mask" : "")} [{Rows}, {Columns}] {StoredCount} stored ({Density:P1}), {ByteCount} bytes";

    /// <summary>Where the values of a row start, in bytes.</summary>
    internal long RowStart(int row)
    {
        if (ByteStarts is { } starts) return starts[row];
        long before = HasMask ? _counts[row] : (long)row * Columns;
        return Kind switch
        {
            ValueKind.Float32 => before * 4,
            ValueKind.BFloat16 => before * 2,
            ValueKind.Int8 => before,
            _ => (long)row * ((Columns + 1) / 2),
        };
    }

    private static long[] Starts(long[] counts)
    {
        var starts = new long[counts.Length];
        for (int r = 1; r < counts.Length; r++) starts[r] = starts[r - 1] + ((counts[r] - counts[r - 1] + 1) / 2);
        return starts;
    }

    private static long[] Count(int rows, int columns, ReadOnlySpan<byte> bits)
    {
        int wordsPerRow = (columns + 63) / 64;
        if (bits.Length != (long)rows * wordsPerRow * sizeof(ulong))
            throw new ArgumentException($"{bits.Length} bytes of bits for {rows} rows of {wordsPerRow} words.", nameof(bits));
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bits);
        ulong beyond = (columns & 63) == 0 ? 0 : ulong.MaxValue << (columns & 63);
        var counts = new long[rows + 1];
        for (int r = 0; r < rows; r++)
        {
            long count = 0;
            ReadOnlySpan<ulong> row = words.Slice(r * wordsPerRow, wordsPerRow);
            foreach (ulong word in row) count += BitOperations.PopCount(word);
            if (row.Length > 0 && (row[^1] & beyond) != 0) throw new ArgumentException($"A bit of row {r} is set beyond column {columns - 1}.", nameof(bits));
            counts[r + 1] = counts[r] + count;
        }
        return counts;
    }
}

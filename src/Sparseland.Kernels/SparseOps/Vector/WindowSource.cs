using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Where <see cref="WindowLayout"/> takes the entries of its rows from.</summary>
internal abstract class WindowSource(int rows, int columns, ValueKind kind)
{
    public int Rows { get; } = rows;

    public int Columns { get; } = columns;

    public ValueKind Kind { get; } = kind;

    /// <summary>Entries of all rows.</summary>
    public abstract long StoredCount { get; }

    /// <summary>Entries of a row.</summary>
    public abstract int Count(int row);

    /// <summary>The columns of a row's entries, ascending.</summary>
    public abstract void ColumnsOf(int row, Span<int> columns);

    /// <summary>What a row's entries hold: the bits of a floating-point number, or an integer.</summary>
    public abstract void ValuesOf(int row, Span<int> values);

    /// <summary>Scales of 4-bit values: one for the columns from <paramref name="column"/> on.</summary>
    public virtual ushort Scale(int row, int column) => 0;

    public static WindowSource Of(CsrMatrix matrix) => new Csr(matrix);

    public static WindowSource Of(CompactMatrix matrix) => new Compact(matrix);

    private sealed class Csr(CsrMatrix w) : WindowSource(w.Rows, w.Columns, ValueKind.Float32)
    {
        public override long StoredCount => w.StoredCount;

        public override int Count(int row) => w.RowPointers[row + 1] - w.RowPointers[row];

        public override void ColumnsOf(int row, Span<int> columns) => w.ColumnIndices.Slice(w.RowPointers[row], Count(row)).CopyTo(columns);

        public override void ValuesOf(int row, Span<int> values) => MemoryMarshal.Cast<float, int>(w.Values.Slice(w.RowPointers[row], Count(row))).CopyTo(values);
    }

    private sealed class Compact(CompactMatrix w) : WindowSource(w.Rows, w.Columns, w.Kind)
    {
        public override long StoredCount => w.StoredCount;

        public override int Count(int row) => w.HasMask ? (int)(w.Counts[row + 1] - w.Counts[row]) : w.Columns;

        public override void ColumnsOf(int row, Span<int> columns)
        {
            if (!w.HasMask)
            {
                for (int c = 0; c < columns.Length; c++) columns[c] = c;
                return;
            }
            ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(w.Bits.Span).Slice(row * w.WordsPerRow, w.WordsPerRow);
            for (int i = 0, n = 0; i < words.Length; i++)
            {
                for (ulong word = words[i]; word != 0; word &= word - 1) columns[n++] = (i * 64) + BitOperations.TrailingZeroCount(word);
            }
        }

        public override unsafe void ValuesOf(int row, Span<int> values)
        {
            ReadOnlySpan<byte> from = w.ValuesWithSlack.Span[checked((int)w.RowStart(row))..];
            switch (w.Kind)
            {
                case ValueKind.Float32:
                    MemoryMarshal.Cast<byte, int>(from)[..values.Length].CopyTo(values);
                    break;
                case ValueKind.BFloat16:
                    for (int i = 0; i < values.Length; i++) values[i] = BinaryPrimitives.ReadUInt16LittleEndian(from[(2 * i)..]) << 16;
                    break;
                case ValueKind.Int8:
                    for (int i = 0; i < values.Length; i++) values[i] = (sbyte)from[i];
                    break;
                default:
                    var bytes = new byte[values.Length];
                    fixed (byte* packed = from, to = bytes) ByteExpansion.UnpackPortable(packed, values.Length, to);
                    for (int i = 0; i < values.Length; i++) values[i] = bytes[i] - 8;
                    break;
            }
        }

        public override ushort Scale(int row, int column) =>
            BinaryPrimitives.ReadUInt16LittleEndian(w.Scales.Span[(sizeof(ushort) * ((row * w.GroupsPerRow) + (column / w.GroupColumns)))..]);
    }
}

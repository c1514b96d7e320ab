using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps.Vector;

namespace Sparseland.Kernels.Sparse;

/// <summary>Turns single-precision rows into the types of <see cref="CompactMatrix"/> and back.</summary>
/// <remarks>
/// Integers are symmetric about zero: zeros stay zero, and what was removed cannot come back (R19). A row of 8-bit values is scaled by its
/// largest magnitude / 127. A group of 4-bit values gets, of a few scales around its largest magnitude / 7, the one with the least squared error.
/// </remarks>
internal static class CompactEncoding
{
    // Divisors of the largest magnitude that are tried as scales of a group of 4-bit values; a negative one lets -8 stand for the largest.
    private static readonly float[] s_divisors = [7f, 7.5f, 8f, 8.5f, 9f, -8f, -8.5f];

    public static CompactMatrix Encode(ReadOnlySpan<float> dense, ulong[]? words, int rows, int columns, ValueKind kind)
    {
        int wordsPerRow = (columns + 63) / 64;
        long stored = words is null ? (long)rows * columns : Count(words);
        int group = kind == ValueKind.Int4 ? CompactMatrix.GroupFor((long)rows * columns == 0 ? 1 : (double)stored / ((long)rows * columns)) : 0;
        long bytes = (stored * kind.Bits() / 8) + (kind == ValueKind.Int4 ? rows : 0);
        Memory<byte> memory = LineMemory.Allocate<byte>(checked((int)(bytes + CompactMatrix.Slack)));
        Span<byte> values = memory.Span;
        var scales = new byte[checked((int)CompactMatrix.ScaleBytes(rows, columns, kind, Math.Max(group, 1)))];
        int scalesPerRow = rows == 0 ? 0 : scales.Length / rows;
        var kept = new float[columns];
        var quantized = new sbyte[columns];
        var bytes4 = new byte[columns];
        int at = 0;
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<float> row = dense.Slice(r * columns, columns);
            ReadOnlySpan<ulong> bits = words is null ? default : words.AsSpan(r * wordsPerRow, wordsPerRow);
            Span<byte> rowScales = scales.AsSpan(r * scalesPerRow, scalesPerRow);
            if (kind.IsQuantized()) RequireFinite(row, bits, r);
            switch (kind)
            {
                case ValueKind.Float32:
                    {
                        int n = Gather(row, bits, kept);
                        for (int i = 0; i < n; i++) BinaryPrimitives.WriteSingleLittleEndian(values[(at + (4 * i))..], kept[i]);
                        at += 4 * n;
                        break;
                    }
                case ValueKind.BFloat16:
                    {
                        int n = Gather(row, bits, kept);
                        for (int i = 0; i < n; i++) BinaryPrimitives.WriteUInt16LittleEndian(values[(at + (2 * i))..], ToBFloat16(kept[i]));
                        at += 2 * n;
                        break;
                    }
                case ValueKind.Int8:
                    {
                        int n = Gather(row, bits, kept);
                        float scale = Int8(kept.AsSpan(0, n), quantized);
                        BinaryPrimitives.WriteSingleLittleEndian(rowScales, scale);
                        for (int i = 0; i < n; i++) values[at + i] = (byte)quantized[i];
                        at += n;
                        break;
                    }
                default:
                    {
                        int total = 0;
                        for (int g = 0, c = 0; g * 2 < rowScales.Length; g++, c += group)
                        {
                            int width = Math.Min(group, columns - c);
                            int n = Gather(row.Slice(c, width), bits.IsEmpty ? default : bits.Slice(c / 64, (width + 63) / 64), kept);
                            Half scale = Int4(kept.AsSpan(0, n), quantized.AsSpan(total), r);
                            BinaryPrimitives.WriteHalfLittleEndian(rowScales[(2 * g)..], scale);
                            total += n;
                        }
                        for (int i = 0; i < total; i++) bytes4[i] = (byte)(quantized[i] + 8);
                        ByteExpansion.Pack(bytes4.AsSpan(0, total), values[at..]);
                        at += (total + 1) / 2;
                        break;
                    }
            }
        }
        ReadOnlyMemory<byte>? mask = words is null ? default(ReadOnlyMemory<byte>?) : MemoryMarshal.AsBytes(words.AsSpan()).ToArray();
        return CompactMatrix.FromParts(rows, columns, kind, mask, memory[..(at + CompactMatrix.Slack)], scales, group);
    }

    /// <summary>A masked matrix with zeros where it has no values, under the scales that it has.</summary>
    public static unsafe CompactMatrix Fill(CompactMatrix w)
    {
        const int Group = 64;
        bool nibbles = w.Kind == ValueKind.Int4;
        int width = nibbles ? 1 : w.Kind.Bits() / 8;
        long rowBytes = nibbles ? (w.Columns + 1) / 2 : (long)w.Columns * width;
        Memory<byte> memory = LineMemory.Allocate<byte>(checked((int)((w.Rows * rowBytes) + CompactMatrix.Slack)));
        Span<byte> values = memory.Span;
        int groups = nibbles ? Math.Max(1, (w.Columns + Group - 1) / Group) : 0;
        byte[] scales = nibbles ? new byte[checked(w.Rows * groups * sizeof(ushort))] : w.Scales.ToArray();
        byte[] stored = new byte[w.Columns * width], row = new byte[w.Columns * width];
        for (int r = 0; r < w.Rows; r++)
        {
            int count = (int)(w.Counts[r + 1] - w.Counts[r]);
            ReadOnlySpan<byte> from = w.ValuesWithSlack.Span[checked((int)w.RowStart(r))..];
            if (nibbles)
            {
                fixed (byte* packed = from, bytes = stored) ByteExpansion.UnpackPortable(packed, count, bytes);
            }
            else
            {
                from[..(count * width)].CopyTo(stored);
            }
            // 8 stands for zero among packed values.
            Array.Fill(row, nibbles ? (byte)8 : (byte)0);
            for (int c = 0, n = 0; c < w.Columns; c++)
            {
                if ((Word(w, r, c >> 6) >> (c & 63) & 1) == 0) continue;
                stored.AsSpan(n++ * width, width).CopyTo(row.AsSpan(c * width));
            }
            Span<byte> to = values.Slice((int)(r * rowBytes), (int)rowBytes);
            if (!nibbles)
            {
                row.CopyTo(to);
                continue;
            }
            ByteExpansion.Pack(row, to);
            for (int g = 0; g < groups; g++)
                w.Scales.Span.Slice(2 * ((r * w.GroupsPerRow) + (g * Group / w.GroupColumns)), 2).CopyTo(scales.AsSpan(2 * ((r * groups) + g)));
        }
        return CompactMatrix.FromParts(w.Rows, w.Columns, w.Kind, null, memory, scales, nibbles ? Group : 0);
    }

    /// <summary>One row in single precision.</summary>
    public static void DecodeRow(CompactMatrix w, int row, Span<float> destination)
    {
        destination.Clear();
        ReadOnlySpan<byte> values = w.ValuesWithSlack.Span[checked((int)w.RowStart(row))..], scales = w.Scales.Span;
        float rowScale = w.Kind == ValueKind.Int8 ? BinaryPrimitives.ReadSingleLittleEndian(scales[(row * 4)..]) : 1f;
        var nibbles = new byte[w.Kind == ValueKind.Int4 ? w.Columns : 0];
        if (w.Kind == ValueKind.Int4)
        {
            int count = w.HasMask ? (int)(w.Counts[row + 1] - w.Counts[row]) : w.Columns;
            unsafe
            {
                fixed (byte* packed = values, bytes = nibbles) ByteExpansion.UnpackPortable(packed, count, bytes);
            }
        }
        int n = 0;
        for (int c = 0; c < w.Columns; c++)
        {
            if (w.HasMask && (Word(w, row, c >> 6) >> (c & 63) & 1) == 0) continue;
            destination[c] = w.Kind switch
            {
                ValueKind.Float32 => BinaryPrimitives.ReadSingleLittleEndian(values[(4 * n)..]),
                ValueKind.BFloat16 => FromBFloat16(BinaryPrimitives.ReadUInt16LittleEndian(values[(2 * n)..])),
                ValueKind.Int8 => (sbyte)values[n] * rowScale,
                _ => (nibbles[n] - 8) * (float)BinaryPrimitives.ReadHalfLittleEndian(scales[(2 * ((row * w.GroupsPerRow) + (c / w.GroupColumns)))..]),
            };
            n++;
        }
    }

    /// <summary>A mask's bits with each row from a new word on.</summary>
    public static ulong[] RowWords(Mask mask, int rows, int columns)
    {
        if ((columns & 63) == 0) return mask.Words.ToArray();
        int wordsPerRow = (columns + 63) / 64;
        var words = new ulong[rows * wordsPerRow];
        ReadOnlySpan<ulong> flat = mask.Words;
        for (int r = 0; r < rows; r++)
        {
            for (int w = 0; w < wordsPerRow; w++)
            {
                long first = ((long)r * columns) + (w * 64);
                int at = (int)(first >> 6), shift = (int)(first & 63), count = Math.Min(64, columns - (w * 64));
                ulong word = flat[at] >> shift;
                if (shift != 0 && at + 1 < flat.Length) word |= flat[at + 1] << (64 - shift);
                words[(r * wordsPerRow) + w] = count == 64 ? word : word & ((1UL << count) - 1);
            }
        }
        return words;
    }

    /// <summary>The reverse of <see cref="RowWords"/>.</summary>
    public static Mask FlatMask(ReadOnlySpan<ulong> words, int rows, int columns)
    {
        if ((columns & 63) == 0) return Mask.FromWords([rows, columns], words);
        int wordsPerRow = (columns + 63) / 64;
        var flat = new ulong[(((long)rows * columns) + 63) / 64];
        for (int r = 0; r < rows; r++)
        {
            for (int w = 0; w < wordsPerRow; w++)
            {
                long first = ((long)r * columns) + (w * 64);
                int at = (int)(first >> 6), shift = (int)(first & 63);
                ulong word = words[(r * wordsPerRow) + w];
                flat[at] |= word << shift;
                if (shift != 0 && word >> (64 - shift) != 0) flat[at + 1] |= word >> (64 - shift);
            }
        }
        return Mask.FromWords([rows, columns], flat);
    }

    public static ushort ToBFloat16(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return float.IsNaN(value) ? (ushort)(bits >> 16 | 0x40) : (ushort)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
    }

    public static float FromBFloat16(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    private static ulong Word(CompactMatrix w, int row, int word) =>
        BinaryPrimitives.ReadUInt64LittleEndian(w.Bits.Span[(((row * w.WordsPerRow) + word) * sizeof(ulong))..]);

    private static long Count(ulong[] words)
    {
        long count = 0;
        foreach (ulong word in words) count += BitOperations.PopCount(word);
        return count;
    }

    private static int Gather(ReadOnlySpan<float> row, ReadOnlySpan<ulong> bits, Span<float> kept)
    {
        if (bits.IsEmpty)
        {
            row.CopyTo(kept);
            return row.Length;
        }
        int n = 0;
        for (int w = 0; w < bits.Length; w++)
        {
            for (ulong word = bits[w]; word != 0; word &= word - 1) kept[n++] = row[(w << 6) + BitOperations.TrailingZeroCount(word)];
        }
        return n;
    }

    private static void RequireFinite(ReadOnlySpan<float> row, ReadOnlySpan<ulong> bits, int index)
    {
        for (int c = 0; c < row.Length; c++)
        {
            if (!float.IsFinite(row[c]) && (bits.IsEmpty || (bits[c >> 6] >> (c & 63) & 1) != 0))
                throw new ArgumentException($"Entry [{index}, {c}] is {row[c]}: integers times a scale cannot hold it.", nameof(row));
        }
    }

    private static float Largest(ReadOnlySpan<float> values)
    {
        float largest = 0;
        foreach (float v in values) largest = MathF.Max(largest, MathF.Abs(v));
        return largest;
    }

    private static float Int8(ReadOnlySpan<float> values, Span<sbyte> quantized)
    {
        float largest = Largest(values);
        // Denormal rows would lose their scale in the division.
        float scale = largest == 0 ? 0 : MathF.Max(largest / 127f, float.Epsilon);
        for (int i = 0; i < values.Length; i++) quantized[i] = scale == 0 ? (sbyte)0 : (sbyte)Math.Clamp(MathF.Round(values[i] / scale), -127f, 127f);
        return scale;
    }

    private static Half Int4(ReadOnlySpan<float> values, Span<sbyte> quantized, int row)
    {
        float largest = 0;
        foreach (float v in values)
        {
            if (MathF.Abs(v) > MathF.Abs(largest)) largest = v;
        }
        Half best = Half.Zero;
        double least = double.PositiveInfinity;
        foreach (float divisor in largest == 0 ? [] : s_divisors)
        {
            // -8 exists and 8 does not: with a negative divisor the largest value takes -8, and the scale may be negative.
            float exact = divisor < 0 ? largest / divisor : MathF.Abs(largest) / divisor;
            var scale = (Half)exact;
            if (!Half.IsFinite(scale)) continue;
            if (scale == Half.Zero) scale = exact < 0 ? -Half.Epsilon : Half.Epsilon;
            double error = 0;
            foreach (float v in values)
            {
                double d = v - ((double)Round(v, (float)scale) * (float)scale);
                error += d * d;
            }
            if (error < least) (least, best) = (error, scale);
        }
        if (largest != 0 && best == Half.Zero) throw new ArgumentException($"A value of row {row} is {largest}: half-precision scales of 4-bit values end at 65504.");
        for (int i = 0; i < values.Length; i++) quantized[i] = best == Half.Zero ? (sbyte)0 : Round(values[i], (float)best);
        return best;
    }

    private static sbyte Round(float value, float scale) => (sbyte)Math.Clamp(MathF.Round(value / scale), -8f, 7f);
}

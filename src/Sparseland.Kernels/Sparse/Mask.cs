using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Sparseland.Kernels.Sparse;

/// <summary>Which entries of a tensor are kept: a bit set with a shape, row-major, 1 = kept.</summary>
/// <remarks>Immutable. Bits beyond the last entry are zero, so that counting is a popcount over words.</remarks>
public sealed class Mask : IEquatable<Mask>
{
    private static readonly Vector512<int> s_lanes = Vector512.Create(1, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15);

    private readonly ulong[] _words;
    private readonly int[] _shape;

    private Mask(int[] shape, int length, ulong[] words)
    {
        _shape = shape;
        Length = length;
        _words = words;
        int kept = 0;
        foreach (ulong word in words) kept += BitOperations.PopCount(word);
        KeptCount = kept;
    }

    /// <summary>The tensor's dimensions.</summary>
    public ReadOnlySpan<int> Shape => _shape;

    /// <summary>Number of entries: the product of the dimensions.</summary>
    public int Length { get; }

    /// <summary>Number of kept entries.</summary>
    public int KeptCount { get; }

    /// <summary>Kept fraction, 0 to 1; 1 for a tensor without entries.</summary>
    public double Density => Length == 0 ? 1 : (double)KeptCount / Length;

    /// <summary>Removed fraction, 0 to 1.</summary>
    public double Sparsity => 1 - Density;

    /// <summary>The bits, 64 entries a word, entry i at bit i % 64 of word i / 64.</summary>
    public ReadOnlySpan<ulong> Words => _words;

    /// <summary>Whether entry <paramref name="index"/> (row-major) is kept.</summary>
    public bool this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Length, nameof(index));
            return (_words[index >> 6] >> (index & 63) & 1) != 0;
        }
    }

    /// <summary>A mask that keeps everything.</summary>
    public static Mask Ones(ReadOnlySpan<int> shape)
    {
        int length = Count(shape);
        var words = new ulong[(length + 63) / 64];
        Array.Fill(words, ulong.MaxValue);
        if ((length & 63) != 0) words[^1] = (1UL << (length & 63)) - 1;
        return new Mask(shape.ToArray(), length, words);
    }

    /// <summary>A mask from one flag per entry, row-major, true = kept.</summary>
    /// <exception cref="ArgumentException">The number of flags is not the product of the dimensions.</exception>
    public static Mask FromFlags(ReadOnlySpan<int> shape, ReadOnlySpan<bool> kept)
    {
        int length = Count(shape);
        if (kept.Length != length) throw new ArgumentException($"{kept.Length} flags for a shape of {length} entries.", nameof(kept));
        var words = new ulong[(length + 63) / 64];
        int whole = length & ~63;
        for (int i = 0; i < whole; i += 64)
        {
            Vector512<byte> flags = Vector512.Create(MemoryMarshal.AsBytes(kept.Slice(i, 64)));
            words[i >> 6] = ~Vector512.Equals(flags, Vector512<byte>.Zero).ExtractMostSignificantBits();
        }
        for (int i = whole; i < length; i++)
        {
            if (kept[i]) words[i >> 6] |= 1UL << (i & 63);
        }
        return new Mask(shape.ToArray(), length, words);
    }

    /// <summary>A mask from its words (see <see cref="Words"/>).</summary>
    /// <exception cref="ArgumentException">Wrong number of words, or a bit is set beyond the last entry.</exception>
    public static Mask FromWords(ReadOnlySpan<int> shape, ReadOnlySpan<ulong> words)
    {
        int length = Count(shape);
        if (words.Length != (length + 63) / 64) throw new ArgumentException($"{words.Length} words for {length} entries.", nameof(words));
        if ((length & 63) != 0 && words[^1] >> (length & 63) != 0)
            throw new ArgumentException("A bit is set beyond the last entry.", nameof(words));
        return new Mask(shape.ToArray(), length, words.ToArray());
    }

    /// <summary>A mask that keeps exactly the entries that are not zero (NaN is kept, -0 is not).</summary>
    public static Mask FromNonZeros(ReadOnlySpan<int> shape, ReadOnlySpan<float> values)
    {
        int length = Count(shape);
        if (values.Length != length) throw new ArgumentException($"{values.Length} values for a shape of {length} entries.", nameof(values));
        var words = new ulong[(length + 63) / 64];
        for (int i = 0; i < length; i++)
        {
            if (values[i] != 0) words[i >> 6] |= 1UL << (i & 63);
        }
        return new Mask(shape.ToArray(), length, words);
    }

    /// <summary>Sets every removed entry to +0, also where it was NaN or infinite.</summary>
    /// <exception cref="ArgumentException">The number of values is not <see cref="Length"/>.</exception>
    public void Apply(Span<float> values)
    {
        if (values.Length != Length) throw new ArgumentException($"{values.Length} values for a mask of {Length} entries.", nameof(values));
        for (int w = 0; w < _words.Length; w++)
        {
            Span<float> part = values.Slice(w << 6, Math.Min(64, Length - (w << 6)));
            ulong kept = _words[w];
            // A multiplication by zero would keep NaN.
            if (kept == 0) part.Clear();
            else if (kept != ulong.MaxValue) Choose(kept, part, default, part);
        }
    }

    /// <summary>result = kept entries of <paramref name="kept"/> and removed entries of <paramref name="removed"/>; the result may be one of the two.</summary>
    /// <exception cref="ArgumentException">The number of values is not <see cref="Length"/>.</exception>
    public void Blend(ReadOnlySpan<float> kept, ReadOnlySpan<float> removed, Span<float> result)
    {
        if (kept.Length != Length || removed.Length != Length || result.Length != Length) throw new ArgumentException($"{kept.Length}, {removed.Length} and {result.Length} values for a mask of {Length} entries.");
        for (int w = 0; w < _words.Length; w++)
        {
            int start = w << 6, count = Math.Min(64, Length - start);
            Choose(_words[w], kept.Slice(start, count), removed.Slice(start, count), result.Slice(start, count));
        }
    }

    // Up to 64 entries: where a bit is set from kept, else from removed; removed may be empty for zeros.
    private static void Choose(ulong bits, ReadOnlySpan<float> kept, ReadOnlySpan<float> removed, Span<float> result)
    {
        int i = 0;
        for (; i + 16 <= kept.Length; i += 16, bits >>= 16)
        {
            Vector512<int> set = Vector512.Create((int)(bits & 0xFFFF)) & s_lanes;
            Vector512<float> other = removed.IsEmpty ? default : Vector512.Create(removed[i..]);
            Vector512.ConditionalSelect(Vector512.Equals(set, Vector512<int>.Zero).AsSingle(), other, Vector512.Create(kept[i..])).CopyTo(result[i..]);
        }
        for (; i < kept.Length; i++, bits >>= 1) result[i] = (bits & 1) != 0 ? kept[i] : removed.IsEmpty ? 0f : removed[i];
    }

    /// <summary>Copies the kept entries side by side, in row-major order.</summary>
    /// <param name="dense">One value per entry.</param>
    /// <param name="kept"><see cref="KeptCount"/> values, overwritten.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void Gather(ReadOnlySpan<float> dense, Span<float> kept)
    {
        RequireLengths(dense.Length, kept.Length);
        int next = 0;
        for (int w = 0; w < _words.Length; w++)
        {
            for (ulong bits = _words[w]; bits != 0; bits &= bits - 1) kept[next++] = dense[(w << 6) + BitOperations.TrailingZeroCount(bits)];
        }
    }

    /// <summary>Writes kept entries (see <see cref="Gather"/>) to their places; removed entries become +0.</summary>
    /// <param name="kept"><see cref="KeptCount"/> values.</param>
    /// <param name="dense">One value per entry, overwritten.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void Scatter(ReadOnlySpan<float> kept, Span<float> dense)
    {
        RequireLengths(dense.Length, kept.Length);
        dense.Clear();
        int next = 0;
        for (int w = 0; w < _words.Length; w++)
        {
            for (ulong bits = _words[w]; bits != 0; bits &= bits - 1) dense[(w << 6) + BitOperations.TrailingZeroCount(bits)] = kept[next++];
        }
    }

    /// <summary>Moves kept entries to another mask's order: those that it does not keep go, those that only it keeps become +0.</summary>
    /// <param name="kept"><see cref="KeptCount"/> values in this mask's order.</param>
    /// <param name="other">The other mask, of the same shape.</param>
    /// <param name="moved">As many values as the other mask keeps, overwritten.</param>
    /// <exception cref="ArgumentException">The shapes differ or a span has the wrong length.</exception>
    public void Move(ReadOnlySpan<float> kept, Mask other, Span<float> moved)
    {
        RequireSameShape(other);
        RequireLengths(Length, kept.Length);
        other.RequireLengths(Length, moved.Length);
        int from = 0, to = 0;
        for (int w = 0; w < _words.Length; w++)
        {
            ulong before = _words[w], after = other._words[w];
            for (ulong bits = after; bits != 0; bits &= bits - 1)
            {
                ulong bit = bits & (~bits + 1);
                moved[to++] = (before & bit) == 0 ? 0f : kept[from + BitOperations.PopCount(before & (bit - 1))];
            }
            from += BitOperations.PopCount(before);
        }
    }

    /// <summary>Kept in both.</summary>
    public Mask And(Mask other) => Combine(other, static (a, b) => a & b);

    /// <summary>Kept in either.</summary>
    public Mask Or(Mask other) => Combine(other, static (a, b) => a | b);

    /// <summary>Whether every entry kept here is kept in <paramref name="other"/> as well.</summary>
    public bool IsSubsetOf(Mask other)
    {
        RequireSameShape(other);
        for (int i = 0; i < _words.Length; i++)
        {
            if ((_words[i] & ~other._words[i]) != 0) return false;
        }
        return true;
    }

    /// <summary>The same bits under another shape of equal length.</summary>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public Mask Reshape(params ReadOnlySpan<int> shape)
    {
        if (Count(shape) != Length) throw new ArgumentException($"Cannot view {Length} entries as [{string.Join(", ", shape.ToArray())}].", nameof(shape));
        return new Mask(shape.ToArray(), Length, _words);
    }

    /// <summary>One flag per entry, true = kept.</summary>
    public bool[] ToFlags()
    {
        var flags = new bool[Length];
        int whole = Length & ~7;
        Span<ulong> eights = MemoryMarshal.Cast<bool, ulong>(flags.AsSpan(0, whole));
        for (int i = 0; i < eights.Length; i++)
        {
            // Copies of eight bits, of which byte k is left bit k, and bit k becomes 1.
            ulong bits = (_words[i >> 3] >> ((i & 7) * 8) & 0xFF) * 0x0101010101010101 & 0x8040201008040201;
            eights[i] = (bits + 0x7F7F7F7F7F7F7F7F & 0x8080808080808080) >> 7;
        }
        for (int i = whole; i < Length; i++) flags[i] = (_words[i >> 6] >> (i & 63) & 1) != 0;
        return flags;
    }

    /// <inheritdoc/>
    public bool Equals(Mask? other) =>
        other is not null && _shape.AsSpan().SequenceEqual(other._shape) && _words.AsSpan().SequenceEqual(other._words);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Mask);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.Add(Length);
        foreach (ulong word in _words) hash.Add(word);
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public override string ToString() => $"[{string.Join(", ", _shape)}] {KeptCount} of {Length} kept ({Density:P1})";

    private Mask Combine(Mask other, Func<ulong, ulong, ulong> op)
    {
        RequireSameShape(other);
        var words = new ulong[_words.Length];
        for (int i = 0; i < words.Length; i++) words[i] = op(_words[i], other._words[i]);
        return new Mask(_shape, Length, words);
    }

    private void RequireLengths(int dense, int kept)
    {
        if (dense != Length) throw new ArgumentException($"{dense} values for a mask of {Length} entries.");
        if (kept != KeptCount) throw new ArgumentException($"{kept} values for {KeptCount} kept entries.");
    }

    private void RequireSameShape(Mask other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (!_shape.AsSpan().SequenceEqual(other._shape))
            throw new ArgumentException($"Masks of shapes [{string.Join(", ", _shape)}] and [{string.Join(", ", other._shape)}].", nameof(other));
    }

    private static int Count(ReadOnlySpan<int> shape)
    {
        int length = 1;
        foreach (int d in shape)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(d, nameof(shape));
            length = checked(length * d);
        }
        return length;
    }
}

using Sparseland.Kernels.Dense;

namespace Sparseland.Runtime.Planning;

/// <summary>Keys and values of the tokens that were seen, for every attention of a model.</summary>
/// <remarks>Each layer holds [batch, keyHeads, capacity, size]; capacity doubles when it is full. Not for several threads at once.</remarks>
internal sealed class KeyValueCache
{
    private readonly List<Layer> _layers = [];

    /// <summary>Tokens that every layer holds.</summary>
    public int Length { get; private set; }

    /// <summary>Bytes of all layers.</summary>
    public long Bytes => _layers.Sum(l => (long)(l.Keys.Length + l.Values.Length) * sizeof(float));

    /// <summary>Takes the tokens of the run that just ended into account.</summary>
    public void Advance(int tokens) => Length += tokens;

    /// <summary>Forgets everything after the first <paramref name="length"/> tokens.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The length is negative or more than is held.</exception>
    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        Length = length;
    }

    /// <summary>Writes new keys and values behind the held ones; <see cref="Length"/> grows with <see cref="Advance"/>, once per run.</summary>
    /// <param name="index">The attention's number.</param>
    /// <param name="geometry">Batch, heads, sizes, and the number of new keys.</param>
    /// <param name="keys">[batch, keyHeads, new, headSize].</param>
    /// <param name="values">[batch, keyHeads, new, valueSize].</param>
    public Layer Append(int index, in Attention geometry, ReadOnlySpan<float> keys, ReadOnlySpan<float> values)
    {
        while (_layers.Count <= index) _layers.Add(new Layer());
        Layer layer = _layers[index];
        int planes = geometry.Batch * geometry.KeyHeads, needed = Length + geometry.Keys;
        if (needed > layer.Capacity) layer.Grow(planes, Length, Math.Max(64, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)needed)), geometry.HeadSize, geometry.ValueSize);
        for (int p = 0; p < planes; p++)
        {
            keys.Slice(p * geometry.Keys * geometry.HeadSize, geometry.Keys * geometry.HeadSize).CopyTo(layer.Keys.AsSpan((p * layer.Capacity + Length) * geometry.HeadSize));
            values.Slice(p * geometry.Keys * geometry.ValueSize, geometry.Keys * geometry.ValueSize).CopyTo(layer.Values.AsSpan((p * layer.Capacity + Length) * geometry.ValueSize));
        }
        return layer;
    }

    /// <summary>One attention's keys and values.</summary>
    internal sealed class Layer
    {
        /// <summary>Tokens that fit.</summary>
        public int Capacity { get; private set; }

        public float[] Keys { get; private set; } = [];

        public float[] Values { get; private set; } = [];

        public void Grow(int planes, int length, int capacity, int keySize, int valueSize)
        {
            Keys = Moved(Keys, planes, length, Capacity, capacity, keySize);
            Values = Moved(Values, planes, length, Capacity, capacity, valueSize);
            Capacity = capacity;
        }

        private static float[] Moved(float[] from, int planes, int length, int before, int capacity, int size)
        {
            var to = new float[checked(planes * capacity * size)];
            for (int p = 0; p < planes && length > 0; p++) from.AsSpan(p * before * size, length * size).CopyTo(to.AsSpan(p * capacity * size));
            return to;
        }
    }
}

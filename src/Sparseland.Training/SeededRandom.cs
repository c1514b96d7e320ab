namespace Sparseland.Training;

/// <summary>A small random generator whose whole state is one number, so that it can be saved, restored and derived.</summary>
/// <remarks>
/// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, figure 17). Streams for
/// different purposes are derived from keys with <see cref="Of"/>, so that what one consumer draws never shifts another's numbers.
/// Integer and uniform draws are the same on every machine. A mutable struct: pass it by reference.
/// </remarks>
public struct SeededRandom
{
    private ulong _state;

    /// <summary>A generator in the given state.</summary>
    public SeededRandom(ulong state) => _state = state;

    /// <summary>The state; a generator created from it continues the sequence.</summary>
    public readonly ulong State => _state;

    /// <summary>A generator whose sequence depends on all keys and on their order, for example (seed, epoch, index).</summary>
    public static SeededRandom Of(params ReadOnlySpan<long> keys)
    {
        ulong state = 0x5851F42D4C957F2D;
        foreach (long key in keys) state = Scramble(state ^ Scramble((ulong)key + 0x9E3779B97F4A7C15));
        return new SeededRandom(state);
    }

    /// <summary>64 random bits.</summary>
    public ulong NextUInt64() => Scramble(_state += 0x9E3779B97F4A7C15);

    /// <summary>An integer in [0, bound), without bias.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The bound is less than 1.</exception>
    public int NextInt(int bound)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bound, 1);
        // Lemire's multiplication; the rejection loop removes the bias.
        ulong product = (NextUInt64() >> 32) * (ulong)bound;
        uint low = (uint)product;
        if (low < (uint)bound)
        {
            uint threshold = (uint)(-bound) % (uint)bound;
            while (low < threshold)
            {
                product = (NextUInt64() >> 32) * (ulong)bound;
                low = (uint)product;
            }
        }
        return (int)(product >> 32);
    }

    /// <summary>A number in [0, 1) with 53 random bits.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <summary>A number in [low, high).</summary>
    public double NextDouble(double low, double high) => low + (high - low) * NextDouble();

    /// <summary>True with probability <paramref name="probability"/>.</summary>
    public bool NextBool(double probability = 0.5) => NextDouble() < probability;

    /// <summary>A normally distributed number, mean 0, variance 1 (Marsaglia's polar method).</summary>
    public double NextNormal()
    {
        while (true)
        {
            double u = 2 * NextDouble() - 1, v = 2 * NextDouble() - 1, s = u * u + v * v;
            if (s is > 0 and < 1) return u * Math.Sqrt(-2 * Math.Log(s) / s);
        }
    }

    /// <summary>Puts the items into random order (Fisher-Yates).</summary>
    public void Shuffle<T>(Span<T> items)
    {
        for (int i = items.Length - 1; i > 0; i--)
        {
            int j = NextInt(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }

    private static ulong Scramble(ulong z)
    {
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        return z ^ z >> 31;
    }
}

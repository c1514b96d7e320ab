using Sparseland.Kernels.Sparse;

namespace Sparseland.Training.Optimizers;

/// <summary>The moments of one parameter: of every entry, or of the entries that a mask keeps, in its order.</summary>
/// <remarks>Moments of removed entries are zero after every step, so leaving them out loses nothing: both forms go on to the same bits.</remarks>
/// <param name="values">One array per moment, taken over.</param>
/// <param name="length">Entries of the parameter.</param>
/// <param name="mask">What is kept, or null for every entry.</param>
internal sealed class Moments(float[][] values, int length, Mask? mask)
{
    /// <summary>Zeros.</summary>
    public Moments(int count, int length, Mask? mask)
        : this([.. Enumerable.Range(0, count).Select(_ => new float[mask?.KeptCount ?? length])], length, mask)
    {
    }

    /// <summary>One array per moment.</summary>
    public float[][] Values { get; private set; } = values;

    /// <summary>The mask whose kept entries the arrays hold; null when they hold all.</summary>
    public Mask? Mask { get; private set; } = mask;

    /// <summary>Changes to the kept entries of <paramref name="after"/> (null: all). Entries that come back start at zero.</summary>
    public void Fit(Mask? after)
    {
        if (ReferenceEquals(Mask, after)) return;
        for (int m = 0; m < Values.Length; m++)
        {
            if (Mask is not null && after is not null)
            {
                var moved = new float[after.KeptCount];
                Mask.Move(Values[m], after, moved);
                Values[m] = moved;
                continue;
            }
            float[] dense = Mask is null ? Values[m] : Dense(m);
            if (after is not null)
            {
                Values[m] = new float[after.KeptCount];
                after.Gather(dense, Values[m]);
            }
            else
            {
                Values[m] = dense;
            }
        }
        Mask = after;
    }

    /// <summary>A copy of moment <paramref name="index"/> with every entry.</summary>
    public float[] Dense(int index)
    {
        if (Mask is null) return (float[])Values[index].Clone();
        var dense = new float[length];
        Mask.Scatter(Values[index], dense);
        return dense;
    }
}

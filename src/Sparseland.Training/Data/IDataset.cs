namespace Sparseland.Training.Data;

/// <summary>What the samples of a data set are.</summary>
public enum SampleKind
{
    /// <summary>Pictures [channels, height, width] with values 0 to 1, one class each.</summary>
    Picture,

    /// <summary>Windows of token ids; the target of each position is the next token.</summary>
    Tokens,

    /// <summary>Vectors or tensors of any meaning, one class each.</summary>
    Features,
}

/// <summary>Samples that can be read in any order, each with one or more integer targets.</summary>
/// <remarks>Reading is a pure function of the index and may be called from several threads.</remarks>
public interface IDataset
{
    /// <summary>A target that is not scored; the same number as in the losses.</summary>
    const int IgnoredTarget = -100;

    /// <summary>Number of samples.</summary>
    int Count { get; }

    /// <summary>What the samples are.</summary>
    SampleKind Kind { get; }

    /// <summary>Shape of one sample: [channels, height, width] for pictures, [window] for tokens.</summary>
    ReadOnlySpan<int> SampleShape { get; }

    /// <summary>Number of classes, or of tokens in the vocabulary.</summary>
    int ClassCount { get; }

    /// <summary>Targets of one sample: 1 for labelled samples, the window for tokens.</summary>
    int TargetsPerSample { get; }

    /// <summary>Names of the classes in order, or null when nobody knows them.</summary>
    IReadOnlyList<string>? ClassNames { get; }

    /// <summary>Writes sample <paramref name="index"/> (row-major; pictures 0 to 1; token ids as whole numbers) and its targets (<see cref="IgnoredTarget"/> = not scored).</summary>
    /// <param name="index">0 to Count - 1.</param>
    /// <param name="sample">As many elements as <see cref="SampleShape"/> has.</param>
    /// <param name="targets"><see cref="TargetsPerSample"/> elements.</param>
    void Fill(int index, Span<float> sample, Span<int> targets);
}

/// <summary>Helpers for data sets.</summary>
public static class Datasets
{
    /// <summary>Elements of one sample.</summary>
    public static int SampleLength(this IDataset dataset)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        return Model.Graph.TensorData.CountElements(dataset.SampleShape);
    }

    /// <summary>Samples start .. start+count-1.</summary>
    public static IDataset Slice(this IDataset dataset, int start, int count)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)start + count, dataset.Count, nameof(count));
        int[] indices = new int[count];
        for (int i = 0; i < count; i++) indices[i] = start + i;
        return new Subset(dataset, indices);
    }

    /// <summary>The samples at these indices, in this order.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An index is not a sample.</exception>
    public static IDataset Select(this IDataset dataset, ReadOnlySpan<int> indices)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        foreach (int index in indices) ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)dataset.Count, nameof(indices));
        return new Subset(dataset, indices.ToArray());
    }

    /// <summary>Splits into two parts at random (the same way for the same seed); the second holds <paramref name="secondFraction"/> of the samples, rounded.</summary>
    public static (IDataset First, IDataset Second) Split(this IDataset dataset, double secondFraction, long seed)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        if (secondFraction is not (>= 0 and <= 1)) throw new ArgumentOutOfRangeException(nameof(secondFraction), secondFraction, "0 to 1.");
        int[] order = new int[dataset.Count];
        for (int i = 0; i < order.Length; i++) order[i] = i;
        SeededRandom.Of(seed, 0x5911).Shuffle<int>(order);
        int second = (int)Math.Round(dataset.Count * secondFraction);
        int[] b = order[..second], a = order[second..];
        Array.Sort(a);
        Array.Sort(b);
        return (new Subset(dataset, a), new Subset(dataset, b));
    }

    /// <summary>Two or more data sets of the same shape and classes, one after the other.</summary>
    /// <exception cref="ArgumentException">Shapes, kinds or numbers of classes differ.</exception>
    public static IDataset Concat(params IReadOnlyList<IDataset> parts)
    {
        ArgumentNullException.ThrowIfNull(parts);
        if (parts.Count == 0) throw new ArgumentException("Nothing to join.", nameof(parts));
        foreach (IDataset part in parts)
        {
            if (part.Kind != parts[0].Kind || part.ClassCount != parts[0].ClassCount || part.TargetsPerSample != parts[0].TargetsPerSample || !part.SampleShape.SequenceEqual(parts[0].SampleShape))
                throw new ArgumentException("Data sets of different shapes or classes cannot be joined.", nameof(parts));
        }
        return parts.Count == 1 ? parts[0] : new Joined([.. parts]);
    }

    private sealed class Subset(IDataset source, int[] indices) : IDataset
    {
        public int Count => indices.Length;

        public SampleKind Kind => source.Kind;

        public ReadOnlySpan<int> SampleShape => source.SampleShape;

        public int ClassCount => source.ClassCount;

        public int TargetsPerSample => source.TargetsPerSample;

        public IReadOnlyList<string>? ClassNames => source.ClassNames;

        public void Fill(int index, Span<float> sample, Span<int> targets) => source.Fill(indices[index], sample, targets);
    }

    private sealed class Joined(IDataset[] parts) : IDataset
    {
        public int Count { get; } = parts.Sum(p => p.Count);

        public SampleKind Kind => parts[0].Kind;

        public ReadOnlySpan<int> SampleShape => parts[0].SampleShape;

        public int ClassCount => parts[0].ClassCount;

        public int TargetsPerSample => parts[0].TargetsPerSample;

        public IReadOnlyList<string>? ClassNames => parts[0].ClassNames;

        public void Fill(int index, Span<float> sample, Span<int> targets)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(index);
            foreach (IDataset part in parts)
            {
                if (index < part.Count)
                {
                    part.Fill(index, sample, targets);
                    return;
                }
                index -= part.Count;
            }
            throw new ArgumentOutOfRangeException(nameof(index));
        }
    }
}

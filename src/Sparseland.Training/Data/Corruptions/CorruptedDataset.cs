namespace Sparseland.Training.Data.Corruptions;

/// <summary>Pictures of a data set with a corruption on each: a pure function of (source, corruption, severity, seed, index).</summary>
/// <remarks>The random numbers of a picture are the same at every severity, so that severities differ in strength alone.</remarks>
public sealed class CorruptedDataset : IDataset
{
    private readonly IDataset _source;
    private readonly long _key;

    /// <summary>Corrupts a data set; nothing is copied.</summary>
    /// <param name="source">Pictures with values 0 to 1.</param>
    /// <param name="corruption">What happens to them.</param>
    /// <param name="severity">0 (nothing) to 5.</param>
    /// <param name="seed">Seed of what is random.</param>
    /// <exception cref="ArgumentException">The samples are no pictures.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The severity is not 0 to 5.</exception>
    public CorruptedDataset(IDataset source, Corruption corruption, int severity, long seed)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(corruption);
        ArgumentOutOfRangeException.ThrowIfNegative(severity);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(severity, Corruption.MaxSeverity);
        if (source.Kind != SampleKind.Picture) throw new ArgumentException("Corruptions need pictures [channels, height, width].", nameof(source));
        _source = source;
        Corruption = corruption;
        Severity = severity;
        Seed = seed;
        foreach (char c in corruption.Id) _key = _key * 31 + c;
    }

    /// <summary>What happens to the pictures.</summary>
    public Corruption Corruption { get; }

    /// <summary>How strongly, 0 to 5.</summary>
    public int Severity { get; }

    /// <summary>Seed of what is random.</summary>
    public long Seed { get; }

    /// <inheritdoc/>
    public int Count => _source.Count;

    /// <inheritdoc/>
    public SampleKind Kind => _source.Kind;

    /// <inheritdoc/>
    public ReadOnlySpan<int> SampleShape => _source.SampleShape;

    /// <inheritdoc/>
    public int ClassCount => _source.ClassCount;

    /// <inheritdoc/>
    public int TargetsPerSample => _source.TargetsPerSample;

    /// <inheritdoc/>
    public IReadOnlyList<string>? ClassNames => _source.ClassNames;

    /// <inheritdoc/>
    public void Fill(int index, Span<float> sample, Span<int> targets)
    {
        _source.Fill(index, sample, targets);
        SeededRandom random = SeededRandom.Of(Seed, 0xC0, _key, index);
        Corruption.Apply(sample, SampleShape, Severity, ref random);
    }
}

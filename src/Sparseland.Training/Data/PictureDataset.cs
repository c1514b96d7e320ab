namespace Sparseland.Training.Data;

/// <summary>Labelled pictures of one size in memory, one byte per channel and pixel.</summary>
public sealed class PictureDataset : IDataset
{
    private readonly byte[] _pixels;
    private readonly int[] _labels, _shape;

    /// <summary>Wraps pictures without copying them.</summary>
    /// <param name="pixels">[count, channels, height, width], 0 to 255.</param>
    /// <param name="labels">[count], each in 0 .. classCount-1.</param>
    /// <param name="shape">[channels, height, width].</param>
    /// <param name="classCount">Number of classes.</param>
    /// <param name="classNames">Names of the classes, if known.</param>
    /// <exception cref="ArgumentException">Lengths do not agree or a label is out of range.</exception>
    public PictureDataset(byte[] pixels, int[] labels, ReadOnlySpan<int> shape, int classCount, IReadOnlyList<string>? classNames = null)
    {
        ArgumentNullException.ThrowIfNull(pixels);
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentOutOfRangeException.ThrowIfLessThan(classCount, 1);
        if (shape.Length != 3) throw new ArgumentException("A picture has the shape [channels, height, width].", nameof(shape));
        long sample = (long)shape[0] * shape[1] * shape[2];
        if (sample <= 0 || sample * labels.Length != pixels.Length)
            throw new ArgumentException($"{pixels.Length} bytes are not {labels.Length} pictures of [{string.Join(", ", shape.ToArray())}].", nameof(pixels));
        foreach (int label in labels)
        {
            if ((uint)label >= (uint)classCount) throw new ArgumentException($"Label {label} is not one of {classCount} classes.", nameof(labels));
        }
        if (classNames is not null && classNames.Count != classCount) throw new ArgumentException($"{classNames.Count} names for {classCount} classes.", nameof(classNames));
        _pixels = pixels;
        _labels = labels;
        _shape = shape.ToArray();
        ClassCount = classCount;
        ClassNames = classNames;
    }

    /// <inheritdoc/>
    public int Count => _labels.Length;

    /// <inheritdoc/>
    public SampleKind Kind => SampleKind.Picture;

    /// <inheritdoc/>
    public ReadOnlySpan<int> SampleShape => _shape;

    /// <inheritdoc/>
    public int ClassCount { get; }

    /// <inheritdoc/>
    public int TargetsPerSample => 1;

    /// <inheritdoc/>
    public IReadOnlyList<string>? ClassNames { get; }

    /// <summary>The labels, one per picture.</summary>
    public ReadOnlySpan<int> Labels => _labels;

    /// <summary>The bytes of picture <paramref name="index"/>, [channels, height, width].</summary>
    public ReadOnlySpan<byte> Pixels(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
        int length = _shape[0] * _shape[1] * _shape[2];
        return _pixels.AsSpan(index * length, length);
    }

    /// <inheritdoc/>
    public void Fill(int index, Span<float> sample, Span<int> targets)
    {
        ReadOnlySpan<byte> pixels = Pixels(index);
        if (sample.Length != pixels.Length) throw new ArgumentException($"Room for {sample.Length} values, the sample has {pixels.Length}.", nameof(sample));
        for (int i = 0; i < pixels.Length; i++) sample[i] = pixels[i] / 255f;
        targets[0] = _labels[index];
    }
}

/// <summary>Labelled samples of any shape in memory, as floats.</summary>
public sealed class ArrayDataset : IDataset
{
    private readonly float[] _values;
    private readonly int[] _labels, _shape;

    /// <summary>Wraps samples without copying them.</summary>
    /// <param name="values">[count, ...shape].</param>
    /// <param name="labels">[count], each in 0 .. classCount-1.</param>
    /// <param name="shape">Shape of one sample; three dimensions are taken as a picture [channels, height, width].</param>
    /// <param name="classCount">Number of classes.</param>
    /// <param name="classNames">Names of the classes, if known.</param>
    /// <exception cref="ArgumentException">Lengths do not agree or a label is out of range.</exception>
    public ArrayDataset(float[] values, int[] labels, ReadOnlySpan<int> shape, int classCount, IReadOnlyList<string>? classNames = null)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentNullException.ThrowIfNull(labels);
        ArgumentOutOfRangeException.ThrowIfLessThan(classCount, 1);
        long length = Model.Graph.TensorData.CountElements(shape);
        if (length == 0 || length * labels.Length != values.Length)
            throw new ArgumentException($"{values.Length} values are not {labels.Length} samples of [{string.Join(", ", shape.ToArray())}].", nameof(values));
        foreach (int label in labels)
        {
            if ((uint)label >= (uint)classCount) throw new ArgumentException($"Label {label} is not one of {classCount} classes.", nameof(labels));
        }
        _values = values;
        _labels = labels;
        _shape = shape.ToArray();
        ClassCount = classCount;
        ClassNames = classNames;
    }

    /// <inheritdoc/>
    public int Count => _labels.Length;

    /// <inheritdoc/>
    public SampleKind Kind => _shape.Length == 3 ? SampleKind.Picture : SampleKind.Features;

    /// <inheritdoc/>
    public ReadOnlySpan<int> SampleShape => _shape;

    /// <inheritdoc/>
    public int ClassCount { get; }

    /// <inheritdoc/>
    public int TargetsPerSample => 1;

    /// <inheritdoc/>
    public IReadOnlyList<string>? ClassNames { get; }

    /// <inheritdoc/>
    public void Fill(int index, Span<float> sample, Span<int> targets)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Count, nameof(index));
        int length = _values.Length / Math.Max(1, _labels.Length);
        _values.AsSpan(index * length, length).CopyTo(sample);
        targets[0] = _labels[index];
    }
}

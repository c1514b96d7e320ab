using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Training.Data;

/// <summary>Samples that go through the network together.</summary>
/// <param name="Inputs">[samples, ...shape]: Float32 for pictures and features, Int64 for tokens.</param>
/// <param name="Targets">[samples * targets per sample], <see cref="IDataset.IgnoredTarget"/> = not scored.</param>
/// <param name="Count">Number of samples.</param>
public sealed record Batch(TensorData Inputs, int[] Targets, int Count);

/// <summary>How samples are put together.</summary>
public sealed record BatchOptions
{
    /// <summary>Samples per batch.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary>Whether every epoch has an order of its own.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Whether a last batch that is not full is left out.</summary>
    public bool DropLast { get; init; }

    /// <summary>Seed of orders and augmentations.</summary>
    public long Seed { get; init; }

    /// <summary>Random changes, in order; pictures only.</summary>
    public IReadOnlyList<IAugmentation> Augmentations { get; init; } = [];

    /// <summary>Shift and scale after the augmentations.</summary>
    public InputNormalization Normalization { get; init; } = InputNormalization.None;
}

/// <summary>Cuts a data set into batches: batch b of epoch e is a pure function of (data, options, e, b).</summary>
/// <remarks>So a run that resumes at step t sees exactly the batches that it would have seen; there is no state to restore.</remarks>
public sealed class BatchLoader
{
    private readonly int _sampleLength, _channels;
    private readonly Lock _gate = new();
    private int[]? _order;
    private int _orderEpoch = -1;

    /// <summary>A loader over a data set.</summary>
    /// <exception cref="ArgumentException">The data set is empty, gives no full batch, or augmentations are asked for samples that are no pictures.</exception>
    public BatchLoader(IDataset dataset, BatchOptions options)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1, nameof(options));
        if (dataset.Count == 0) throw new ArgumentException("The data set is empty.", nameof(dataset));
        if (options.Augmentations.Count > 0 && dataset.Kind != SampleKind.Picture) throw new ArgumentException("Augmentations need pictures [channels, height, width].", nameof(options));
        Dataset = dataset;
        Options = options;
        _sampleLength = dataset.SampleLength();
        _channels = dataset.Kind == SampleKind.Picture ? dataset.SampleShape[0] : 1;
        BatchesPerEpoch = options.DropLast ? dataset.Count / options.BatchSize : (dataset.Count + options.BatchSize - 1) / options.BatchSize;
        if (BatchesPerEpoch == 0) throw new ArgumentException($"{dataset.Count} samples give no full batch of {options.BatchSize}.", nameof(options));
    }

    /// <summary>The data.</summary>
    public IDataset Dataset { get; }

    /// <summary>How samples are put together.</summary>
    public BatchOptions Options { get; }

    /// <summary>Batches of one pass over the data.</summary>
    public int BatchesPerEpoch { get; }

    /// <summary>The batch of a step that is counted through all epochs.</summary>
    public Batch At(long step)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        return At(checked((int)(step / BatchesPerEpoch)), (int)(step % BatchesPerEpoch));
    }

    /// <summary>Batch <paramref name="batch"/> of epoch <paramref name="epoch"/>, both from 0.</summary>
    public Batch At(int epoch, int batch)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)batch, (uint)BatchesPerEpoch, nameof(batch));
        int[] order = Order(epoch);
        int start = batch * Options.BatchSize, count = Math.Min(Options.BatchSize, Dataset.Count - start);
        int perSample = Dataset.TargetsPerSample;
        float[] values = new float[checked(count * _sampleLength)];
        int[] targets = new int[count * perSample];
        for (int i = 0; i < count; i++)
        {
            int index = order[start + i];
            Span<float> sample = values.AsSpan(i * _sampleLength, _sampleLength);
            Dataset.Fill(index, sample, targets.AsSpan(i * perSample, perSample));
            if (Options.Augmentations.Count == 0) continue;
            SeededRandom random = SeededRandom.Of(Options.Seed, 0xA06, epoch, index);
            foreach (IAugmentation augmentation in Options.Augmentations) augmentation.Apply(sample, Dataset.SampleShape, ref random);
        }
        int[] shape = [count, .. Dataset.SampleShape];
        if (Dataset.Kind == SampleKind.Tokens)
            return new Batch(TensorData.Wrap(Array.ConvertAll(values, v => (long)v), shape), targets, count);
        if (!ReferenceEquals(Options.Normalization, InputNormalization.None)) Options.Normalization.Apply(values, _channels, _sampleLength / _channels);
        return new Batch(TensorData.Wrap(values, shape), targets, count);
    }

    /// <summary>The order of the samples in epoch <paramref name="epoch"/>: a pure function of (seed, epoch, number of samples).</summary>
    public ReadOnlySpan<int> OrderOf(int epoch) => Order(epoch);

    private int[] Order(int epoch)
    {
        lock (_gate)
        {
            if (_order is not null && (_orderEpoch == epoch || !Options.Shuffle)) return _order;
            int[] order = new int[Dataset.Count];
            for (int i = 0; i < order.Length; i++) order[i] = i;
            if (Options.Shuffle) SeededRandom.Of(Options.Seed, 0x04D, epoch).Shuffle<int>(order);
            _order = order;
            _orderEpoch = epoch;
            return order;
        }
    }
}

namespace Sparseland.Training.Data;

/// <summary>A random change of a training sample, applied before normalisation.</summary>
public interface IAugmentation
{
    /// <summary>Changes a sample in place.</summary>
    /// <param name="sample">[channels, height, width], values 0 to 1.</param>
    /// <param name="shape">[channels, height, width].</param>
    /// <param name="random">Numbers that depend on (seed, epoch, sample) alone.</param>
    void Apply(Span<float> sample, ReadOnlySpan<int> shape, ref SeededRandom random);
}

/// <summary>Pads with black on all sides and cuts the original size out at a random place.</summary>
/// <param name="padding">Pixels added on each side, 1 or more.</param>
public sealed class RandomCrop(int padding) : IAugmentation
{
    private readonly int _padding = padding >= 1 ? padding : throw new ArgumentOutOfRangeException(nameof(padding), padding, "At least 1.");

    /// <inheritdoc/>
    public void Apply(Span<float> sample, ReadOnlySpan<int> shape, ref SeededRandom random)
    {
        int dy = random.NextInt(2 * _padding + 1) - _padding, dx = random.NextInt(2 * _padding + 1) - _padding;
        if (dy == 0 && dx == 0) return;
        int height = shape[1], width = shape[2];
        float[] rented = System.Buffers.ArrayPool<float>.Shared.Rent(sample.Length);
        Span<float> copy = rented.AsSpan(0, sample.Length);
        sample.CopyTo(copy);
        sample.Clear();
        int x0 = Math.Max(0, -dx), x1 = Math.Min(width, width - dx);
        for (int c = 0; c < shape[0] && x0 < x1; c++)
        {
            for (int y = Math.Max(0, -dy); y < Math.Min(height, height - dy); y++)
                copy.Slice((c * height + y + dy) * width + x0 + dx, x1 - x0).CopyTo(sample[((c * height + y) * width + x0)..]);
        }
        System.Buffers.ArrayPool<float>.Shared.Return(rented);
    }
}

/// <summary>Mirrors left and right with probability one half.</summary>
public sealed class HorizontalFlip : IAugmentation
{
    /// <inheritdoc/>
    public void Apply(Span<float> sample, ReadOnlySpan<int> shape, ref SeededRandom random)
    {
        if (!random.NextBool()) return;
        int width = shape[2];
        for (int row = 0; row < sample.Length; row += width) sample.Slice(row, width).Reverse();
    }
}

/// <summary>Sets a random square to mid-grey (Cutout: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017, section 3.2).</summary>
/// <param name="size">Side of the square in pixels; it may stick out over the edge.</param>
public sealed class Cutout(int size) : IAugmentation
{
    private readonly int _size = size >= 1 ? size : throw new ArgumentOutOfRangeException(nameof(size), size, "At least 1.");

    /// <inheritdoc/>
    public void Apply(Span<float> sample, ReadOnlySpan<int> shape, ref SeededRandom random)
    {
        int height = shape[1], width = shape[2];
        int top = random.NextInt(height) - _size / 2, left = random.NextInt(width) - _size / 2;
        int y0 = Math.Max(0, top), y1 = Math.Min(height, top + _size), x0 = Math.Max(0, left), x1 = Math.Min(width, left + _size);
        for (int c = 0; c < shape[0] && x0 < x1; c++)
        {
            for (int y = y0; y < y1; y++) sample.Slice((c * height + y) * width + x0, x1 - x0).Fill(0.5f);
        }
    }
}

namespace Sparseland.Training.Data.Corruptions;

/// <summary>To which family a corruption belongs.</summary>
public enum CorruptionFamily
{
    /// <summary>Every pixel is disturbed on its own.</summary>
    Noise,

    /// <summary>Neighbouring pixels run into each other.</summary>
    Blur,

    /// <summary>Something lies over the scene.</summary>
    Weather,

    /// <summary>What a camera or a program does to a picture.</summary>
    Digital,
}

/// <summary>A disturbance of pictures in five severities, to measure how robust a classifier is; nothing is trained on it.</summary>
/// <remarks>
/// Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019, section 3; the constants are those of the
/// CIFAR form of that benchmark unless the corruption says otherwise. The implementations are our own: they follow the definitions, not the drawing libraries,
/// so figures agree in kind and not pixel by pixel. A corruption acts on values 0 to 1 before normalisation and leaves them there.
/// </remarks>
/// <param name="id">Stable id, as on the command line.</param>
/// <param name="family">Its family.</param>
/// <param name="description">What happens, with the constants of the five severities.</param>
public abstract class Corruption(string id, CorruptionFamily family, string description)
{
    /// <summary>The highest severity.</summary>
    public const int MaxSeverity = 5;

    /// <summary>Stable id, as on the command line.</summary>
    public string Id { get; } = id;

    /// <summary>Its family.</summary>
    public CorruptionFamily Family { get; } = family;

    /// <summary>What happens, with the constants of the five severities.</summary>
    public string Description { get; } = description;

    /// <summary>Disturbs a picture in place.</summary>
    /// <param name="sample">[channels, height, width], values 0 to 1; they stay in that range.</param>
    /// <param name="shape">[channels, height, width].</param>
    /// <param name="severity">0 leaves the picture as it is, bit for bit; 1 (light) to 5 (heavy).</param>
    /// <param name="random">Its numbers; the same numbers give the same picture.</param>
    /// <exception cref="ArgumentOutOfRangeException">The severity is not 0 to 5.</exception>
    /// <exception cref="ArgumentException">The sample is no picture of that shape.</exception>
    public void Apply(Span<float> sample, ReadOnlySpan<int> shape, int severity, ref SeededRandom random)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(severity);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(severity, MaxSeverity);
        if (shape.Length != 3 || shape[0] * shape[1] * shape[2] != sample.Length) throw new ArgumentException("The sample is no picture [channels, height, width] of that shape.", nameof(shape));
        if (severity == 0 || sample.Length == 0) return;
        Disturb(new Planes(sample, shape[0], shape[1], shape[2]), severity, ref random);
        foreach (ref float x in sample) x = float.IsNaN(x) ? 0 : Math.Clamp(x, 0f, 1f);
    }

    /// <summary>Disturbs a picture; values are clipped to 0..1 afterwards.</summary>
    private protected abstract void Disturb(Planes picture, int severity, ref SeededRandom random);
}

/// <summary>A picture as planes of rows.</summary>
internal readonly ref struct Planes(Span<float> values, int channels, int height, int width)
{
    public Span<float> Values { get; } = values;

    public int Channels { get; } = channels;

    public int Height { get; } = height;

    public int Width { get; } = width;

    public int Plane => Height * Width;

    public Span<float> Channel(int c) => Values.Slice(c * Plane, Plane);

    /// <summary>Scale of lengths that the benchmark gives for pictures of 32 x 32. Smaller pictures keep them: a blur of a fraction of a pixel, made smaller still, would be none.</summary>
    public double Scale => Math.Max(1, Math.Min(Height, Width) / 32.0);
}

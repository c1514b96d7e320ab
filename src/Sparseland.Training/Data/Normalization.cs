using System.Globalization;

namespace Sparseland.Training.Data;

/// <summary>What a network expects its input pictures to be shifted and scaled by, per channel: (x - mean) / std, x from 0 to 1.</summary>
public sealed class Normalization
{
    private readonly float[] _mean, _std;

    /// <summary>A normalisation per channel; one entry serves all channels.</summary>
    /// <exception cref="ArgumentException">Lengths differ, nothing is given, or a deviation is not positive.</exception>
    public Normalization(ReadOnlySpan<float> mean, ReadOnlySpan<float> std)
    {
        if (mean.Length == 0 || mean.Length != std.Length) throw new ArgumentException("Mean and deviation need the same number of channels, at least one.", nameof(std));
        foreach (float s in std)
        {
            if (!(s > 0) || !float.IsFinite(s)) throw new ArgumentException($"A deviation of {s} cannot be divided by.", nameof(std));
        }
        _mean = mean.ToArray();
        _std = std.ToArray();
    }

    /// <summary>x stays x.</summary>
    public static Normalization None { get; } = new([0f], [1f]);

    /// <summary>The usual figures of ImageNet: mean 0.485, 0.456, 0.406; deviation 0.229, 0.224, 0.225.</summary>
    public static Normalization ImageNet { get; } = new([0.485f, 0.456f, 0.406f], [0.229f, 0.224f, 0.225f]);

    /// <summary>MNIST: mean 0.1307, deviation 0.3081.</summary>
    public static Normalization Mnist { get; } = new([0.1307f], [0.3081f]);

    /// <summary>Fashion-MNIST: mean 0.2860, deviation 0.3530.</summary>
    public static Normalization FashionMnist { get; } = new([0.2860f], [0.3530f]);

    /// <summary>Mean per channel.</summary>
    public ReadOnlySpan<float> Mean => _mean;

    /// <summary>Standard deviation per channel.</summary>
    public ReadOnlySpan<float> Std => _std;

    /// <summary>Mean and deviation of every channel over (at most the first 10,000) samples of a data set.</summary>
    public static Normalization Measure(IDataset dataset)
    {
        ArgumentNullException.ThrowIfNull(dataset);
        int channels = dataset.SampleShape.Length == 3 ? dataset.SampleShape[0] : 1;
        float[] sample = new float[dataset.SampleLength()];
        int[] targets = new int[dataset.TargetsPerSample];
        var sum = new double[channels];
        var squares = new double[channels];
        int plane = sample.Length / channels, count = Math.Min(dataset.Count, 10_000);
        for (int i = 0; i < count; i++)
        {
            dataset.Fill(i, sample, targets);
            for (int c = 0; c < channels; c++)
            {
                foreach (float x in sample.AsSpan(c * plane, plane))
                {
                    sum[c] += x;
                    squares[c] += (double)x * x;
                }
            }
        }
        var mean = new float[channels];
        var std = new float[channels];
        for (int c = 0; c < channels; c++)
        {
            double n = Math.Max(1.0, (double)count * plane), m = sum[c] / n;
            mean[c] = (float)m;
            double deviation = Math.Sqrt(Math.Max(0, squares[c] / n - m * m));
            std[c] = deviation > 1e-6 ? (float)deviation : 1f;
        }
        return new Normalization(mean, std);
    }

    /// <summary>Reads <c>mean/std</c> such as <c>0.485,0.456,0.406/0.229,0.224,0.225</c>.</summary>
    /// <exception cref="FormatException">Anything else.</exception>
    public static Normalization Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] halves = text.Split('/');
        try
        {
            if (halves.Length == 2) return new Normalization(Numbers(halves[0]), Numbers(halves[1]));
        }
        catch (Exception e) when (e is FormatException or ArgumentException or OverflowException)
        {
            throw new FormatException($"'{text}' is no normalisation: {e.Message}", e);
        }
        throw new FormatException($"'{text}' is no normalisation; expected mean/std such as 0.1307/0.3081 or one number per channel, 0.485,0.456,0.406/0.229,0.224,0.225.");

        static float[] Numbers(string list) => Array.ConvertAll(list.Split(','), n => float.Parse(n, CultureInfo.InvariantCulture));
    }

    /// <summary>Normalises samples in place.</summary>
    /// <param name="samples">[count, channels, ...].</param>
    /// <param name="channels">Number of channels of a sample.</param>
    /// <param name="plane">Elements of one channel of one sample.</param>
    /// <exception cref="ArgumentException">There are neither as many entries as channels nor a single one.</exception>
    public void Apply(Span<float> samples, int channels, int plane)
    {
        if (_mean.Length != 1 && _mean.Length != channels) throw new ArgumentException($"Normalisation for {_mean.Length} channels, samples have {channels}.", nameof(channels));
        for (int start = 0, c = 0; start < samples.Length; start += plane, c = (c + 1) % channels)
        {
            int k = _mean.Length == 1 ? 0 : c;
            float mean = _mean[k], std = _std[k];
            foreach (ref float x in samples.Slice(start, plane)) x = (x - mean) / std;
        }
    }

    /// <summary>The form that <see cref="Parse"/> reads.</summary>
    public override string ToString() =>
        string.Join(',', _mean.Select(m => m.ToString("R", CultureInfo.InvariantCulture))) + "/" + string.Join(',', _std.Select(s => s.ToString("R", CultureInfo.InvariantCulture)));
}

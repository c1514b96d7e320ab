using System.Globalization;

namespace Sparseland.Model;

/// <summary>How pictures become a model's input, per channel: (x - mean) / deviation, x from 0 to 1 (8-bit pixels divided by 255).</summary>
public sealed class InputNormalization
{
    private readonly float[] _mean, _deviation;

    /// <summary>A normalisation per channel; one entry serves all channels.</summary>
    /// <exception cref="ArgumentException">Lengths differ, nothing is given, or a deviation is not positive.</exception>
    public InputNormalization(ReadOnlySpan<float> mean, ReadOnlySpan<float> deviation)
    {
        if (mean.Length == 0 || mean.Length != deviation.Length) throw new ArgumentException("Mean and deviation need the same number of channels, at least one.", nameof(deviation));
        foreach (float s in deviation)
        {
            if (!(s > 0) || !float.IsFinite(s)) throw new ArgumentException($"A deviation of {s} cannot be divided by.", nameof(deviation));
        }
        _mean = mean.ToArray();
        _deviation = deviation.ToArray();
    }

    /// <summary>x stays x.</summary>
    public static InputNormalization None { get; } = new([0f], [1f]);

    /// <summary>The usual figures of ImageNet: mean 0.485, 0.456, 0.406; deviation 0.229, 0.224, 0.225.</summary>
    public static InputNormalization ImageNet { get; } = new([0.485f, 0.456f, 0.406f], [0.229f, 0.224f, 0.225f]);

    /// <summary>MNIST: mean 0.1307, deviation 0.3081.</summary>
    public static InputNormalization Mnist { get; } = new([0.1307f], [0.3081f]);

    /// <summary>Fashion-MNIST: mean 0.2860, deviation 0.3530.</summary>
    public static InputNormalization FashionMnist { get; } = new([0.2860f], [0.3530f]);

    /// <summary>0..1 to -1..1 on every channel.</summary>
    public static InputNormalization Symmetric { get; } = new([0.5f], [0.5f]);

    /// <summary>Mean per channel.</summary>
    public ReadOnlySpan<float> Mean => _mean;

    /// <summary>Standard deviation per channel.</summary>
    public ReadOnlySpan<float> Deviation => _deviation;

    /// <summary>Reads <c>mean/std</c> such as <c>0.485,0.456,0.406/0.229,0.224,0.225</c>.</summary>
    /// <exception cref="FormatException">Anything else.</exception>
    public static InputNormalization Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] halves = text.Split('/');
        try
        {
            if (halves.Length == 2) return new InputNormalization(Numbers(halves[0]), Numbers(halves[1]));
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
            float mean = _mean[k], deviation = _deviation[k];
            foreach (ref float x in samples.Slice(start, plane)) x = (x - mean) / deviation;
        }
    }

    /// <summary>The form that <see cref="Parse"/> reads.</summary>
    public override string ToString() =>
        string.Join(',', _mean.Select(m => m.ToString("R", CultureInfo.InvariantCulture))) + "/" + string.Join(',', _deviation.Select(s => s.ToString("R", CultureInfo.InvariantCulture)));
}

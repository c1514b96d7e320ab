using System.Globalization;
using Sparseland.Model.Graph;

namespace Sparseland.Model;

/// <summary>How pictures become a model's input: value = (pixel * scale - mean[channel]) / deviation[channel].</summary>
/// <param name="Mean">One number per channel, on the scale after <paramref name="Scale"/>.</param>
/// <param name="Deviation">One number per channel, above 0.</param>
/// <param name="Scale">Factor on 8-bit pixels; 1/255 brings them to 0..1.</param>
public sealed record InputNormalization(float[] Mean, float[] Deviation, float Scale = 1f / 255)
{
    /// <summary>The usual statistics of ImageNet pictures, RGB.</summary>
    public static InputNormalization ImageNet { get; } = new([0.485f, 0.456f, 0.406f], [0.229f, 0.224f, 0.225f]);

    /// <summary>The statistics of MNIST, grey.</summary>
    public static InputNormalization Mnist { get; } = new([0.1307f], [0.3081f]);

    /// <summary>Pixels to -1..1 on every channel.</summary>
    public static InputNormalization Symmetric(int channels) => new(Filled(channels, 0.5f), Filled(channels, 0.5f));

    private static float[] Filled(int count, float value)
    {
        var array = new float[count];
        Array.Fill(array, value);
        return array;
    }
}

/// <summary>The entries of <see cref="ModelGraph.Metadata"/> that Sparseland itself reads and writes.</summary>
public static class ModelMetadata
{
    /// <summary>Identifier of the architecture in the catalogue.</summary>
    public const string Architecture = "sparseland.architecture";

    /// <summary>Its options, such as <c>classes=10,width=16</c>.</summary>
    public const string ArchitectureOptions = "sparseland.architecture.options";

    /// <summary>Mean per channel, comma-separated.</summary>
    public const string InputMean = "sparseland.input.mean";

    /// <summary>Standard deviation per channel, comma-separated.</summary>
    public const string InputDeviation = "sparseland.input.std";

    /// <summary>Factor on 8-bit pixels before mean and deviation.</summary>
    public const string InputScale = "sparseland.input.scale";

    /// <summary>Order of an image input's axes: NCHW.</summary>
    public const string InputLayout = "sparseland.input.layout";

    /// <summary>Names of the classes in the order of the logits, one per line.</summary>
    public const string ClassNames = "sparseland.classes";

    /// <summary>Kind of the embedded tokenizer.</summary>
    public const string TokenizerKind = "sparseland.tokenizer";

    /// <summary>The embedded tokenizer's data, base64.</summary>
    public const string TokenizerData = "sparseland.tokenizer.data";

    /// <summary>Writes how pictures become the input.</summary>
    public static void SetNormalization(IDictionary<string, string> metadata, InputNormalization normalization)
    {
        ArgumentNullException.ThrowIfNull(metadata);
        ArgumentNullException.ThrowIfNull(normalization);
        if (normalization.Mean.Length != normalization.Deviation.Length || normalization.Deviation.Any(d => !(d > 0)))
            throw new ArgumentException("Mean and deviation need one number per channel, deviations above 0.", nameof(normalization));
        metadata[InputMean] = Join(normalization.Mean);
        metadata[InputDeviation] = Join(normalization.Deviation);
        metadata[InputScale] = normalization.Scale.ToString("R", CultureInfo.InvariantCulture);
        metadata[InputLayout] = "NCHW";
    }

    /// <summary>How pictures become the input; null when the model does not say.</summary>
    /// <exception cref="ModelFormatException">SL1006: the entries are no numbers or do not fit together.</exception>
    public static InputNormalization? FindNormalization(ModelGraph model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (!model.Metadata.TryGetValue(InputMean, out string? mean) || !model.Metadata.TryGetValue(InputDeviation, out string? deviation)) return null;
        float[] means = Parse(mean, InputMean), deviations = Parse(deviation, InputDeviation);
        float scale = model.Metadata.TryGetValue(InputScale, out string? text) ? Parse(text, InputScale)[0] : 1f / 255;
        if (means.Length != deviations.Length || deviations.Any(d => !(d > 0)))
            throw new ModelFormatException("SL1006", $"the model's input mean '{mean}' and deviation '{deviation}' do not fit together") { Try = "set them with --normalize" };
        return new InputNormalization(means, deviations, scale);
    }

    /// <summary>Writes the names of the classes in the order of the logits.</summary>
    public static void SetClassNames(IDictionary<string, string> metadata, IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(metadata);
        metadata[ClassNames] = string.Join('\n', names.Select(n => n.Replace('\n', ' ')));
    }

    /// <summary>The names of the classes; null when the model does not say.</summary>
    public static string[]? FindClassNames(ModelGraph model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Metadata.TryGetValue(ClassNames, out string? names) ? names.Split('\n') : null;
    }

    private static string Join(float[] values) => string.Join(",", values.Select(v => v.ToString("R", CultureInfo.InvariantCulture)));

    private static float[] Parse(string text, string key) => Array.ConvertAll(text.Split(','), part =>
        float.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) && float.IsFinite(value)
            ? value
            : throw new ModelFormatException("SL1006", $"the model's metadata '{key}' holds '{part}', which is no number"));
}

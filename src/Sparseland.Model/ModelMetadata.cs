using System.Globalization;
using Sparseland.Model.Graph;

namespace Sparseland.Model;

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
        metadata[InputMean] = Join(normalization.Mean);
        metadata[InputDeviation] = Join(normalization.Deviation);
        metadata[InputScale] = PixelScale.ToString("R", CultureInfo.InvariantCulture);
        metadata[InputLayout] = "NCHW";
    }

    /// <summary>How pictures become the input; null when the model does not say.</summary>
    /// <exception cref="ModelFormatException">SL1006: the entries are no numbers or do not fit together.</exception>
    public static InputNormalization? FindNormalization(ModelGraph model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (!model.Metadata.TryGetValue(InputMean, out string? mean) || !model.Metadata.TryGetValue(InputDeviation, out string? deviation)) return null;
        float[] means = Parse(mean, InputMean), deviations = Parse(deviation, InputDeviation);
        float scale = model.Metadata.TryGetValue(InputScale, out string? text) ? Parse(text, InputScale)[0] : PixelScale;
        if (means.Length != deviations.Length || means.Length == 0 || deviations.Any(d => !(d > 0)) || !(scale > 0))
            throw new ModelFormatException("SL1006", $"the model's input mean '{mean}' and deviation '{deviation}' do not fit together") { Try = "set them with --normalize" };
        // The file's factor is on 8-bit pixels; here pixels are between 0 and 1.
        float unit = scale / PixelScale;
        return new InputNormalization([.. means.Select(m => m / unit)], [.. deviations.Select(d => d / unit)]);
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

    private const float PixelScale = 1f / 255;

    private static string Join(ReadOnlySpan<float> values) => string.Join(",", values.ToArray().Select(v => v.ToString("R", CultureInfo.InvariantCulture)));

    private static float[] Parse(string text, string key) => Array.ConvertAll(text.Split(','), part =>
        float.TryParse(part, NumberStyles.Float, CultureInfo.InvariantCulture, out float value) && float.IsFinite(value)
            ? value
            : throw new ModelFormatException("SL1006", $"the model's metadata '{key}' holds '{part}', which is no number"));
}

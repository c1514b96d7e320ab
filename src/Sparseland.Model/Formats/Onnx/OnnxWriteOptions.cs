namespace Sparseland.Model.Formats.Onnx;

/// <summary>How a model is written as ONNX.</summary>
public sealed record OnnxWriteOptions
{
    /// <summary>
    /// The opset, 17 to 28; null (the default) chooses the smallest from 17 on in which every node can be written as it
    /// is. A smaller number than that rewrites newer operators into older ones, or says which cannot be.
    /// </summary>
    public int? Opset { get; init; }

    /// <summary>Whether weights go into a file NAME.data beside the model; null (the default) when the model would exceed 2 GB otherwise.</summary>
    public bool? ExternalData { get; init; }

    /// <summary>Weights of at least this many bytes go into the data file, when there is one.</summary>
    public int ExternalDataThreshold { get; init; } = 1024;

    /// <summary>Whether a metadata entry records which weights are masked, so that reading the file brings the masks back.</summary>
    public bool IncludeMaskMetadata { get; init; } = true;
}

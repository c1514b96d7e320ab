namespace Sparseland.Model.Formats.Onnx;

/// <summary>The sentences of SL11xx; docs/errors.md lists them.</summary>
internal static class OnnxErrors
{
    internal static ModelFormatException Damaged(string where, string because, Exception? cause = null) =>
        new("SL1101", "this is not a whole ONNX file", cause)
        {
            Where = where,
            Because = because,
            Try = "fetch or export the file again; a file that was cut short while it was copied looks like this",
        };

    internal static ModelFormatException Version(string where, string message, string? hint = null) =>
        new("SL1102", message) { Where = where, Try = hint ?? $"export the model with an opset from {OnnxReader.OldestOpset} to {OnnxReader.NewestOpset}" };

    internal static ModelFormatException Dimensions(string where, IEnumerable<long> dims) =>
        new("SL1103", $"a tensor of shape [{string.Join(", ", dims.Take(16))}] is not possible here")
        {
            Where = where,
            Because = $"dimensions are between 0 and {int.MaxValue} and their product at most {Array.MaxLength}",
        };

    internal static ModelFormatException Elements(string where, string message) => new("SL1104", message) { Where = where };

    internal static ModelFormatException Type(string where, string typeName) =>
        new("SL1105", $"elements of type {typeName} are not supported")
        {
            Where = where,
            Try = "export the model with float, half, bfloat16, double, bool, string or 8- to 64-bit integer tensors",
        };

    internal static ModelFormatException External(string where, string message, Exception? cause = null) => new("SL1106", message, cause)
    {
        Where = where,
        Try = "keep the .onnx file and its data file in one folder, and name the data file by a plain relative path",
    };

    internal static ModelFormatException Names(string where, string message) => new("SL1107", message) { Where = where };

    internal static ModelFormatException TooDeep(string where, Exception? cause = null) =>
        new("SL1108", $"graphs are nested more than {OnnxReader.MaxDepth} deep", cause) { Where = where };

    internal static ModelFormatException Cycle(string where, Exception cause) => new("SL1109", "the graph has a cycle", cause)
    {
        Where = where,
        Because = cause.Message,
    };

    internal static ModelFormatException Function(string where, string message) => new("SL1110", message) { Where = where };

    internal static ModelFormatException Attribute(string where, string message) => new("SL1111", message) { Where = where };

    internal static ModelFormatException OldForm(string where, string message) => new("SL1112", message)
    {
        Where = where,
        Try = "convert the file to a newer opset with the tool that wrote it",
    };

    internal static ModelFormatException CannotExpress(string where, string message, int needed) => new("SL1113", message)
    {
        Where = where,
        Try = $"write the model with opset {needed} or newer, or leave the opset to be chosen",
    };

    internal static ModelFormatException Sparse(string where, string message) => new("SL1114", message) { Where = where };

    internal static ModelFormatException Masks(string where, string message, Exception? cause = null) => new("SL1115", message, cause)
    {
        Where = where,
        Try = $"remove the metadata entry '{OnnxMasks.MetadataKey}' to load the weights without their masks",
    };

    internal static ModelFormatException TooLarge(string where, string message) => new("SL1116", message) { Where = where };
}

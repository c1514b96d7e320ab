using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Reads ONNX models.</summary>
/// <remarks>
/// Operators of older versions are brought up to opset 23; functions inside the file are expanded; Constant nodes and
/// initializers become weights, large ones read from the file when they are asked for. Operators that are not known here
/// are kept as they are: <see cref="GraphValidator"/> names them before anything is computed.
/// </remarks>
public static class OnnxReader
{
    /// <summary>The oldest opset that is read.</summary>
    public const int OldestOpset = 6;

    /// <summary>The newest opset that is read. After opset 23 operators gained element types and new operators came; none that we know changed its meaning.</summary>
    public const int NewestOpset = 28;

    /// <summary>How deep graphs may be nested in attributes, and functions in functions.</summary>
    public const int MaxDepth = 24;

    private const int NewestIrVersion = 16;

    /// <summary>Reads a model.</summary>
    /// <param name="path">The .onnx file; external data must lie in its folder or below.</param>
    /// <exception cref="ModelFormatException">The file is missing (SL1001), damaged, hostile or of a version that is not read (SL1101 to SL1116).</exception>
    public static ModelGraph Read(string path)
    {
        MappedFile map = MappedFile.Open(path);
        (ModelProto model, List<RawRange?> raw) = OnnxScan.Parse(map);
        if (model.Graph is null) throw OnnxErrors.Damaged(path, "there is no graph in it");

        // Files from before opsets were declared are opset 1.
        int opset = 1;
        var domains = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (OperatorSetIdProto set in model.OpsetImport)
        {
            if (set.Version is < 0 or > int.MaxValue) throw OnnxErrors.Version(path, $"version {set.Version} of operator domain '{set.Domain}' is impossible");
            string domain = OnnxNames.Domain(set.Domain);
            if (domain.Length == 0) opset = (int)set.Version;
            else domains[domain] = (int)set.Version;
        }
        bool standardUsed = model.OpsetImport.Count == 0 || model.OpsetImport.Any(s => OnnxNames.Domain(s.Domain).Length == 0);
        if (!standardUsed) opset = ModelGraph.Opset;
        RequireOpset(path, opset);
        if (model.IrVersion is < 1 or > NewestIrVersion)
            throw OnnxErrors.Version(path, $"the file has ONNX file version (ir_version) {model.IrVersion}, which is not known", $"save the model with an ir_version up to {NewestIrVersion}");

        var file = new OnnxFile(map);
        var reader = new OnnxGraphReader(file, OnnxFunctions.Of(model, path), opset);
        ModelGraph graph = reader.Read(model.Graph, raw);
        foreach ((string domain, int version) in domains)
        {
            // A domain that only held functions is gone once they are expanded.
            if (!reader.Functions.Domains.Contains(domain) || OnnxNames.DomainsOf(graph).Contains(domain)) graph.CustomDomains[domain] = version;
        }
        string? masks = null;
        foreach (StringStringEntryProto entry in model.MetadataProps)
        {
            if (entry.Key == OnnxMasks.MetadataKey) masks = entry.Value;
            else graph.Metadata[entry.Key] = entry.Value;
        }
        if (masks is not null) OnnxMasks.Apply(graph, masks, path);
        return graph;
    }

    internal static void RequireOpset(string where, long opset)
    {
        if (opset < OldestOpset || opset > NewestOpset)
            throw OnnxErrors.Version(where, $"the model is written in opset {opset}; opsets {OldestOpset} to {NewestOpset} are read");
    }
}

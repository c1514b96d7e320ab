using Sparseland.Cli.Hosting;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Services;

/// <summary>The two files of a model: interchange ONNX and compact safetensors.</summary>
internal sealed record SavedModel(string OnnxPath, long OnnxBytes, string CompactPath, long CompactBytes)
{
    /// <summary>Writes both files into a run folder.</summary>
    public static SavedModel Write(ModelGraph graph, RunFolder run) => Write(graph, run.File("model.onnx"), run.File("model.sparse.safetensors"));

    /// <summary>Writes both files.</summary>
    public static SavedModel Write(ModelGraph graph, string onnx, string compact)
    {
        ModelFile.Save(graph, onnx);
        ModelFile.Save(graph, compact);
        return new SavedModel(onnx, new FileInfo(onnx).Length, compact, new FileInfo(compact).Length);
    }
}

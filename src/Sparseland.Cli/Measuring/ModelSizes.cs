using System.Text.Json.Nodes;
using Sparseland.Model;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>What a model takes on disk: the compact file beside the dense one (R1), as they are written.</summary>
/// <param name="DenseBytes">The dense twin as an interchange file, zeros stored like other weights: what other engines load.</param>
/// <param name="CompactBytes">The model as a compact file.</param>
internal sealed record ModelSizes(long DenseBytes, long CompactBytes)
{
    /// <summary>Writes both into a folder of their own and removes them.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="dense">Its dense twin where that is another model.</param>
    /// <returns>Null where they cannot be written: no room, or a folder that may not be written to.</returns>
    public static ModelSizes? Of(ModelGraph graph, ModelGraph? dense)
    {
        DirectoryInfo? folder = null;
        try
        {
            folder = Directory.CreateTempSubdirectory("sparseland-sizes-");
            string compact = Path.Combine(folder.FullName, "model.sparse.safetensors");
            ModelFile.Save(graph, compact);
            long compactBytes = new FileInfo(compact).Length;
            File.Delete(compact);
            ModelFile.Save(dense ?? graph, Path.Combine(folder.FullName, "model.onnx"));
            // Large weights stand in a file beside the graph.
            return new ModelSizes(folder.GetFiles().Sum(f => f.Length), compactBytes);
        }
        // Writers have errors of their own for a target that is full or forbidden; what was timed is not lost for either.
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or SparselandException)
        {
            return null;
        }
        finally
        {
            folder?.Delete(recursive: true);
        }
    }

    /// <summary>For <c>--json</c>.</summary>
    public JsonObject ToJson() => new() { ["denseBytes"] = DenseBytes, ["compactBytes"] = CompactBytes };
}

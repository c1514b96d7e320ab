using System.Globalization;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>ONNX Runtime in a Node.js process. Optional: found where its documented install puts it.</summary>
internal sealed class OnnxRuntimePeer : InferencePeer
{
    /// <summary>How to install the peer.</summary>
    public const string InstallHint = "npm install --ignore-scripts (in bench/peers/onnxruntime)";

    /// <summary>The same as a line to paste.</summary>
    /// <param name="folder">The peer's folder.</param>
    public static string InstallIn(string folder) => $"cd {folder} && npm install --ignore-scripts";

    private OnnxRuntimePeer(string folder, string[] arguments) : base("ONNX Runtime", "node", arguments, folder)
    {
    }

    /// <summary>The peer's folder when it is installed; null when not.</summary>
    public static string? Find() => Folder("onnxruntime", f => File.Exists(Path.Combine(f, "serve.mjs")) && Directory.Exists(Path.Combine(f, "node_modules", "onnxruntime-node")));

    /// <summary>Starts the peer on the interchange file that we write of a model.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="inputs">Inputs by name.</param>
    /// <param name="threads">Threads it may use.</param>
    /// <exception cref="InvalidOperationException">It is not installed, or it cannot load the model; the message says what it said.</exception>
    public static OnnxRuntimePeer Start(ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs, int threads) => Start(folder =>
    {
        string model = Path.Combine(folder, "model.onnx");
        ModelFile.Save(graph, model);
        return model;
    }, inputs, threads);

    /// <summary>Starts the peer on a file.</summary>
    /// <param name="modelPath">An .onnx file.</param>
    /// <param name="inputs">Inputs by name.</param>
    /// <param name="threads">Threads it may use.</param>
    /// <exception cref="InvalidOperationException">It is not installed, or it cannot load the model; the message says what it said.</exception>
    public static OnnxRuntimePeer Start(string modelPath, IReadOnlyDictionary<string, TensorData> inputs, int threads) => Start(_ => Path.GetFullPath(modelPath), inputs, threads);

    private static OnnxRuntimePeer Start(Func<string, string> modelIn, IReadOnlyDictionary<string, TensorData> inputs, int threads)
    {
        string peer = Find() ?? throw new InvalidOperationException($"ONNX Runtime is not installed: {InstallHint}");
        return Start(inputs, folder => new OnnxRuntimePeer(folder, [Path.Combine(peer, "serve.mjs"), modelIn(folder), Path.Combine(folder, "inputs.json"), threads.ToString(CultureInfo.InvariantCulture)]));
    }
}

using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>ONNX Runtime in a Node.js process of its own. Optional: found where its documented install puts it.</summary>
internal sealed class OnnxRuntimePeer : PeerProcess
{
    /// <summary>Environment variable with the folder of peers, when it is not beside the checkout.</summary>
    public const string EnvironmentVariable = "SPARSELAND_PEERS";

    /// <summary>How to install the peer.</summary>
    public const string InstallHint = "npm install --ignore-scripts (in bench/peers/onnxruntime)";

    private readonly string _folder;

    private OnnxRuntimePeer(string folder, string[] arguments) : base("ONNX Runtime", "node", arguments) => _folder = folder;

    /// <summary>The peer's folder when it is installed; null when not.</summary>
    public static string? Find() => Folder("onnxruntime", f => File.Exists(Path.Combine(f, "serve.mjs")) && Directory.Exists(Path.Combine(f, "node_modules", "onnxruntime-node")));

    /// <summary>The folder of a peer that fulfils a condition: in the folder that the environment names, or in bench/peers of this checkout.</summary>
    public static string? Folder(string peer, Func<string, bool> isInstalled)
    {
        IEnumerable<string> candidates = [];
        if (Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } configured) candidates = [configured];
        foreach (string start in (string[])[AppContext.BaseDirectory, Environment.CurrentDirectory])
        {
            for (DirectoryInfo? d = new(start); d is not null; d = d.Parent) candidates = candidates.Append(Path.Combine(d.FullName, "bench", "peers"));
        }
        return candidates.Select(c => Path.Combine(c, peer)).FirstOrDefault(isInstalled);
    }

    /// <summary>Starts the peer on a model.</summary>
    /// <param name="modelPath">An .onnx file.</param>
    /// <param name="inputs">Inputs by name.</param>
    /// <param name="threads">Threads it may use.</param>
    /// <exception cref="InvalidOperationException">It is not installed, or it cannot load the model; the message says what it said.</exception>
    public static OnnxRuntimePeer Start(string modelPath, IReadOnlyDictionary<string, TensorData> inputs, int threads)
    {
        string peer = Find() ?? throw new InvalidOperationException($"ONNX Runtime is not installed: {InstallHint}");
        string folder = Directory.CreateTempSubdirectory("sparseland-peer-").FullName;
        try
        {
            var list = new JsonArray();
            foreach ((string name, TensorData value) in inputs)
            {
                string file = $"input_{list.Count}.bin";
                File.WriteAllBytes(Path.Combine(folder, file), value.Bytes().ToArray());
                list.Add(new JsonObject
                {
                    ["name"] = name,
                    ["type"] = value.ElementType.ToString().ToLowerInvariant(),
                    ["shape"] = new JsonArray([.. value.Shape.ToArray().Select(d => (JsonNode)d)]),
                    ["file"] = file,
                });
            }
            File.WriteAllText(Path.Combine(folder, "inputs.json"), list.ToJsonString());
            return new OnnxRuntimePeer(folder,
                [Path.Combine(peer, "serve.mjs"), Path.GetFullPath(modelPath), Path.Combine(folder, "inputs.json"), threads.ToString(CultureInfo.InvariantCulture)]);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>The outputs of the last run, floating-point ones only.</summary>
    public OrderedDictionary<string, TensorData> Outputs()
    {
        var outputs = new OrderedDictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (JsonNode? entry in JsonNode.Parse(Ask($"outputs {_folder}"))!.AsArray())
        {
            if ((string)entry!["type"]! != "float32") continue;
            byte[] bytes = File.ReadAllBytes(Path.Combine(_folder, (string)entry["file"]!));
            int[] shape = [.. entry["shape"]!.AsArray().Select(d => (int)d!)];
            outputs[(string)entry["name"]!] = TensorData.Wrap(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), shape);
        }
        return outputs;
    }

    protected override void Clean() => Directory.Delete(_folder, recursive: true);
}

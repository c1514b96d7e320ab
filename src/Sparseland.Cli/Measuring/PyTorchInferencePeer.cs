using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Model;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>PyTorch in a Python process: a small script executes the graph's operators with torch functions. Optional: found where its documented install puts it.</summary>
internal sealed class PyTorchInferencePeer : InferencePeer
{
    /// <summary>Environment variable with the Python that has PyTorch.</summary>
    public const string PythonVariable = "SPARSELAND_PYTHON";

    /// <summary>How to install the peer.</summary>
    public const string InstallHint = "apt-get install python3-torch (or set " + PythonVariable + " to a Python that has PyTorch)";

    private const string Script = "infer.py";

    private PyTorchInferencePeer(string folder, string[] arguments) : base("PyTorch", Python, arguments, folder)
    {
    }

    private static string Python => Environment.GetEnvironmentVariable(PythonVariable) is { Length: > 0 } p ? p : "/usr/bin/python3";

    /// <summary>The folder of the peer's script when Python and PyTorch are there; null when not.</summary>
    public static string? Find()
    {
        if (Folder("pytorch", f => File.Exists(Path.Combine(f, Script))) is not { } folder) return null;
        try
        {
            // Looking for the module takes milliseconds; importing it takes a second.
            var start = new System.Diagnostics.ProcessStartInfo(Python) { RedirectStandardOutput = true, RedirectStandardError = true };
            foreach (string argument in (string[])["-c", "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('torch') else 1)"]) start.ArgumentList.Add(argument);
            using System.Diagnostics.Process process = System.Diagnostics.Process.Start(start)!;
            process.WaitForExit();
            return process.ExitCode == 0 ? folder : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    /// <summary>Starts the peer on a model.</summary>
    /// <param name="graph">The model.</param>
    /// <param name="inputs">Inputs by name.</param>
    /// <param name="threads">Threads it may use.</param>
    /// <exception cref="InvalidOperationException">It is not installed, or the model has an operator that the script does not execute; the message says which.</exception>
    public static PyTorchInferencePeer Start(ModelGraph graph, IReadOnlyDictionary<string, TensorData> inputs, int threads)
    {
        string peer = Find() ?? throw new InvalidOperationException($"PyTorch is not installed: {InstallHint}");
        return Start(inputs, folder =>
        {
            Write(graph, folder);
            return new PyTorchInferencePeer(folder, [Path.Combine(peer, Script), folder, threads.ToString(CultureInfo.InvariantCulture)]);
        });
    }

    /// <summary>The graph as JSON, its tensors as one raw file: Debian's PyTorch brings no ONNX reader.</summary>
    private static void Write(ModelGraph graph, string folder)
    {
        using FileStream data = File.Create(Path.Combine(folder, "weights.bin"));
        var weights = new JsonObject();
        foreach (Weight weight in graph.Weights.Values) weights[weight.Name] = Stored(weight.Read());
        var nodes = new JsonArray();
        foreach (Node node in graph.Nodes)
        {
            var attributes = new JsonObject();
            foreach (string name in node.Attributes.Names)
            {
                attributes[name] = node.Attributes.Value(name) switch
                {
                    long v => v,
                    float v => v,
                    string v => v,
                    long[] v => new JsonArray([.. v.Select(i => (JsonNode)i)]),
                    float[] v => new JsonArray([.. v.Select(i => (JsonNode)i)]),
                    TensorData v => new JsonObject { ["tensor"] = Stored(v) },
                    var other => throw new InvalidOperationException($"PyTorch cannot take attribute '{name}' of {node}: {other?.GetType().Name}"),
                };
            }
            nodes.Add(new JsonObject
            {
                ["name"] = node.Name,
                ["op"] = node.Domain.Length == 0 ? node.OpType : $"{node.Domain}.{node.OpType}",
                ["inputs"] = new JsonArray([.. node.Inputs.Select(i => (JsonNode)i)]),
                ["outputs"] = new JsonArray([.. node.Outputs.Select(i => (JsonNode)i)]),
                ["attributes"] = attributes,
            });
        }
        var document = new JsonObject { ["outputs"] = new JsonArray([.. graph.Outputs.Select(o => (JsonNode)o.Name)]), ["weights"] = weights, ["nodes"] = nodes };
        File.WriteAllText(Path.Combine(folder, "graph.json"), document.ToJsonString());

        JsonObject Stored(TensorData tensor)
        {
            var entry = new JsonObject { ["type"] = TypeName(tensor.ElementType), ["shape"] = ShapeOf(tensor.Shape), ["offset"] = data.Position, ["bytes"] = tensor.ByteLength };
            data.Write(tensor.Bytes());
            return entry;
        }
    }
}

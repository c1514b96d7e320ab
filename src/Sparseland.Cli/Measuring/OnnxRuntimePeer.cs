using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>ONNX Runtime in a Node.js process of its own, one run at a time on request. Optional: found where its documented install puts it.</summary>
internal sealed class OnnxRuntimePeer : IDisposable
{
    /// <summary>Environment variable with the folder of peers, when it is not beside the checkout.</summary>
    public const string EnvironmentVariable = "SPARSELAND_PEERS";

    private readonly Process _process;
    private readonly string _folder;
    private readonly StreamReader _output;

    private OnnxRuntimePeer(Process process, string folder)
    {
        _process = process;
        _folder = folder;
        _output = process.StandardOutput;
    }

    /// <summary>How to install the peer.</summary>
    public const string InstallHint = "npm install --ignore-scripts (in bench/peers/onnxruntime)";

    /// <summary>The peer's folder when it is installed; null when not.</summary>
    public static string? Find()
    {
        IEnumerable<string> candidates = [];
        if (Environment.GetEnvironmentVariable(EnvironmentVariable) is { Length: > 0 } configured) candidates = [configured];
        foreach (string start in (string[])[AppContext.BaseDirectory, Environment.CurrentDirectory])
        {
            for (DirectoryInfo? d = new(start); d is not null; d = d.Parent) candidates = candidates.Append(Path.Combine(d.FullName, "bench", "peers"));
        }
        return candidates.Select(c => Path.Combine(c, "onnxruntime"))
            .FirstOrDefault(c => File.Exists(Path.Combine(c, "serve.mjs")) && Directory.Exists(Path.Combine(c, "node_modules", "onnxruntime-node")));
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
        var list = new JsonArray();
        foreach ((string name, TensorData value) in inputs)
        {
            string file = $"input_{list.Count}.bin";
            File.WriteAllBytes(Path.Combine(folder, file), value.Bytes().ToArray());
            list.Add(new JsonObject
            {
                ["name"] = name, ["type"] = value.ElementType.ToString().ToLowerInvariant(), ["shape"] = new JsonArray([.. value.Shape.ToArray().Select(d => (JsonNode)d)]), ["file"] = file,
            });
        }
        File.WriteAllText(Path.Combine(folder, "inputs.json"), list.ToJsonString());
        var start = new ProcessStartInfo("node") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        string[] arguments = [Path.Combine(peer, "serve.mjs"), Path.GetFullPath(modelPath), Path.Combine(folder, "inputs.json"), threads.ToString(CultureInfo.InvariantCulture)];
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        Process process = Process.Start(start)!;
        var result = new OnnxRuntimePeer(process, folder);
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (result._output.ReadLine() is null)
        {
            process.WaitForExit();
            string said = error.Result.Trim();
            result.Dispose();
            throw new InvalidOperationException($"ONNX Runtime could not load '{modelPath}': {said[..Math.Min(said.Length, 600)]}");
        }
        return result;
    }

    /// <summary>Runs the model once; returns its own measurement in milliseconds.</summary>
    public double Run()
    {
        _process.StandardInput.WriteLine("run");
        _process.StandardInput.Flush();
        return double.Parse(ReadLine(), CultureInfo.InvariantCulture);
    }

    /// <summary>The outputs of the last run, floating-point ones only.</summary>
    public OrderedDictionary<string, TensorData> Outputs()
    {
        _process.StandardInput.WriteLine($"outputs {_folder}");
        _process.StandardInput.Flush();
        var outputs = new OrderedDictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (JsonNode? entry in JsonNode.Parse(ReadLine())!.AsArray())
        {
            if ((string)entry!["type"]! != "float32") continue;
            byte[] bytes = File.ReadAllBytes(Path.Combine(_folder, (string)entry["file"]!));
            int[] shape = [.. entry["shape"]!.AsArray().Select(d => (int)d!)];
            outputs[(string)entry["name"]!] = TensorData.Wrap(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), shape);
        }
        return outputs;
    }

    public void Dispose()
    {
        try
        {
            if (!_process.HasExited)
            {
                _process.StandardInput.Close();
                if (!_process.WaitForExit(3000)) _process.Kill(entireProcessTree: true);
            }
        }
        finally
        {
            _process.Dispose();
            Directory.Delete(_folder, recursive: true);
        }
    }

    private string ReadLine() => _output.ReadLine() ?? throw new InvalidOperationException("ONNX Runtime's process ended unexpectedly.");
}

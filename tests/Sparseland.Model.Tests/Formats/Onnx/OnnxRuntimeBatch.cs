using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Tests.Formats.Onnx;

/// <summary>Runs models in ONNX Runtime (bench/peers/onnxruntime) when it is installed; skips the test otherwise.</summary>
internal sealed class OnnxRuntimeBatch(string folder)
{
    private readonly JsonArray _cases = [];

    private static readonly Dictionary<ElementType, string> s_types = new()
    {
        [ElementType.Float32] = "float32",
        [ElementType.Float64] = "float64",
        [ElementType.Float16] = "float16",
        [ElementType.Int64] = "int64",
        [ElementType.UInt64] = "uint64",
        [ElementType.Int32] = "int32",
        [ElementType.UInt32] = "uint32",
        [ElementType.Int16] = "int16",
        [ElementType.UInt16] = "uint16",
        [ElementType.Int8] = "int8",
        [ElementType.UInt8] = "uint8",
        [ElementType.Bool] = "bool",
    };

    /// <summary>What ONNX Runtime gave for one model: outputs by name, or why there are none.</summary>
    internal sealed record Outcome(IReadOnlyDictionary<string, TensorData> Outputs, string? Error);

    /// <summary>Whether tensors of the type can be handed over.</summary>
    internal static bool Takes(ElementType type) => s_types.ContainsKey(type);

    internal void Add(string model, IReadOnlyDictionary<string, TensorData> inputs)
    {
        var list = new JsonArray();
        foreach ((string name, TensorData data) in inputs)
        {
            string file = $"case{_cases.Count}_in{list.Count}.bin";
            File.WriteAllBytes(Path.Combine(folder, file), data.Bytes());
            list.Add(new JsonObject { ["name"] = name, ["type"] = s_types[data.ElementType], ["shape"] = new JsonArray([.. data.Shape.ToArray().Select(d => (JsonNode)d)]), ["file"] = file });
        }
        _cases.Add(new JsonObject { ["model"] = model, ["inputs"] = list, ["out"] = $"case{_cases.Count}_out" });
    }

    internal static string Require()
    {
        string? peers = Environment.GetEnvironmentVariable("SPARSELAND_PEERS");
        for (DirectoryInfo? d = new(AppContext.BaseDirectory); d is not null && peers is null; d = d.Parent)
        {
            if (Directory.Exists(Path.Combine(d.FullName, "bench", "peers"))) peers = Path.Combine(d.FullName, "bench", "peers");
        }
        string peer = Path.Combine(peers ?? "", "onnxruntime");
        Skip.IfNot(Directory.Exists(Path.Combine(peer, "node_modules", "onnxruntime-node")), "ONNX Runtime is not installed: npm install --ignore-scripts in bench/peers/onnxruntime");
        return peer;
    }

    internal List<Outcome> Run()
    {
        string list = Path.Combine(folder, "cases.json");
        File.WriteAllText(list, _cases.ToJsonString());
        var start = new ProcessStartInfo("node", [Path.Combine(Require(), "batch.mjs"), list]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string[] lines = process.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.True(process.WaitForExit(300_000), "ONNX Runtime did not end");
        Assert.True(lines.Length == _cases.Count, $"{lines.Length} of {_cases.Count} answers: {errors.Result}");
        return [.. lines.Select(Parse)];
    }

    private Outcome Parse(string line)
    {
        JsonElement root = JsonDocument.Parse(line).RootElement;
        var outputs = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        if (root.TryGetProperty("error", out JsonElement error)) return new Outcome(outputs, error.GetString());
        foreach (JsonElement output in root.GetProperty("outputs").EnumerateArray())
        {
            ElementType type = s_types.First(t => t.Value == output.GetProperty("type").GetString()).Key;
            TensorData data = TensorData.Zeros(type, [.. output.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32())]);
            File.ReadAllBytes(Path.Combine(folder, output.GetProperty("file").GetString()!)).CopyTo(data.Bytes());
            outputs[output.GetProperty("name").GetString()!] = data;
        }
        return new Outcome(outputs, null);
    }
}

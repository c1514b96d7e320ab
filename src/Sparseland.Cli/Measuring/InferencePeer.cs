using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Sparseland.Model.Graph;

namespace Sparseland.Cli.Measuring;

/// <summary>Another engine that runs a model in a process of its own; inputs and outputs pass through a folder of raw little-endian files.</summary>
internal abstract class InferencePeer : PeerProcess
{
    /// <summary>Environment variable with the folder of peers, when it is not beside the checkout.</summary>
    public const string EnvironmentVariable = "SPARSELAND_PEERS";

    private readonly string _folder;

    /// <summary>Starts the engine; the folder is the peer's from here on and goes with it.</summary>
    protected InferencePeer(string name, string program, IEnumerable<string> arguments, string folder) : base(name, program, arguments) => _folder = folder;

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

    /// <summary>The outputs of the last run, floating-point ones only.</summary>
    public OrderedDictionary<string, TensorData> Outputs()
    {
        var outputs = new OrderedDictionary<string, TensorData>(StringComparer.Ordinal);
        foreach (JsonNode? entry in JsonNode.Parse(Ask($"outputs {_folder}"))!.AsArray())
        {
            byte[] bytes = File.ReadAllBytes(Path.Combine(_folder, (string)entry!["file"]!));
            int[] shape = [.. entry["shape"]!.AsArray().Select(d => (int)d!)];
            TensorData? output = (string)entry["type"]! switch
            {
                "float32" => TensorData.Wrap(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), shape),
                "float64" => TensorData.Wrap(MemoryMarshal.Cast<byte, double>(bytes).ToArray(), shape),
                "float16" => TensorData.Wrap(MemoryMarshal.Cast<byte, Half>(bytes).ToArray(), shape),
                _ => null,
            };
            if (output is not null) outputs[(string)entry["name"]!] = output;
        }
        return outputs;
    }

    /// <summary>Writes inputs where the engine reads them and starts it; nothing stays behind when it does not start.</summary>
    protected static T Start<T>(IReadOnlyDictionary<string, TensorData> inputs, Func<string, T> create) where T : InferencePeer
    {
        string folder = Directory.CreateTempSubdirectory("sparseland-peer-").FullName;
        try
        {
            var list = new JsonArray();
            foreach ((string name, TensorData value) in inputs)
            {
                string file = $"input_{list.Count}.bin";
                File.WriteAllBytes(Path.Combine(folder, file), value.Bytes().ToArray());
                list.Add(new JsonObject { ["name"] = name, ["type"] = TypeName(value.ElementType), ["shape"] = ShapeOf(value.Shape), ["file"] = file });
            }
            File.WriteAllText(Path.Combine(folder, "inputs.json"), list.ToJsonString());
            return create(folder);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>An element type as peers spell it.</summary>
    protected static string TypeName(ElementType type) => type.ToString().ToLowerInvariant();

    /// <summary>A shape as JSON.</summary>
    protected static JsonArray ShapeOf(ReadOnlySpan<int> shape) => new([.. shape.ToArray().Select(d => (JsonNode)d)]);

    protected override void Clean() => Directory.Delete(_folder, recursive: true);
}

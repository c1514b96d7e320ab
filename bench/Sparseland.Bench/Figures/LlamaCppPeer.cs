using System.Globalization;
using System.Text.Json.Nodes;
using Sparseland.Cli.Measuring;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Architectures;

namespace Sparseland.Bench.Figures;

/// <summary>llama.cpp in a Node.js process: one decoded token per run, of a model with drawn weights in a type that goes with ours.</summary>
internal sealed class LlamaCppPeer : PeerProcess
{
    /// <summary>How to install the peer.</summary>
    public const string InstallHint = "npm install --ignore-scripts (in bench/peers/llamacpp)";

    /// <summary>llama.cpp's idle threads look for work for a while; ours begins when they sleep.</summary>
    public const int RestMilliseconds = 20;

    private readonly string _folder;

    private LlamaCppPeer(string folder, string[] arguments) : base("llama.cpp", "node", arguments) => _folder = folder;

    /// <summary>The peer's folder when it is installed; null when not.</summary>
    public static string? Find() => OnnxRuntimePeer.Folder("llamacpp", f => File.Exists(Path.Combine(f, "serve.mjs")) && Directory.Exists(Path.Combine(f, "node_modules", "node-llama-cpp")));

    /// <summary>llama.cpp's name of the type that stores a weight in about as many bits.</summary>
    public static string TypeFor(ValueKind kind) => kind switch
    {
        ValueKind.Float32 => "f32",
        ValueKind.BFloat16 => "bf16",
        ValueKind.Int8 => "q8_0",
        _ => "q4_0",
    };

    /// <summary>Bytes of the matrices that one token reads.</summary>
    public long BytesPerToken => (long)JsonNode.Parse(Ready)!["bytes"]!;

    /// <summary>Starts the peer.</summary>
    /// <exception cref="InvalidOperationException">It is not installed or did not start; the message says what it said.</exception>
    public static LlamaCppPeer Start(LlamaConfig config, ValueKind kind, int threads)
    {
        string peer = Find() ?? throw new InvalidOperationException($"llama.cpp is not installed: {InstallHint}");
        var shape = new JsonObject
        {
            ["dim"] = config.Dim,
            ["hidden"] = config.Hidden,
            ["layers"] = config.Layers,
            ["heads"] = config.Heads,
            ["kvheads"] = config.KeyValueHeads,
            ["vocabulary"] = config.Vocabulary,
            ["sequence"] = config.MaxSequence,
        };
        string folder = Directory.CreateTempSubdirectory("sparseland-llamacpp-").FullName;
        try
        {
            return new LlamaCppPeer(folder, [Path.Combine(peer, "serve.mjs"), shape.ToJsonString(), TypeFor(kind), threads.ToString(CultureInfo.InvariantCulture), folder]);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    protected override void Clean() => Directory.Delete(_folder, recursive: true);
}

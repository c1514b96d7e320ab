using Sparseland.Model.Architectures;
using Sparseland.Model.Formats.Compact;
using Sparseland.Model.Formats.Llama2c;
using Sparseland.Model.Formats.Numpy;
using Sparseland.Model.Formats.Onnx;
using Sparseland.Model.Formats.Safetensors;
using Sparseland.Model.Formats.TorchCheckpoint;
using Sparseland.Model.Formats.Zip;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats;

/// <summary>The forms in which models come.</summary>
public enum ModelFormat
{
    /// <summary>ONNX: graph and weights.</summary>
    Onnx,

    /// <summary>Compact safetensors: graph, masks, packed values.</summary>
    Compact,

    /// <summary>Plain safetensors: named tensors.</summary>
    Safetensors,

    /// <summary>A file of torch.save: named tensors.</summary>
    TorchCheckpoint,

    /// <summary>NumPy .npz: named tensors.</summary>
    Npz,

    /// <summary>A checkpoint of llama2.c.</summary>
    Llama2c,
}

/// <summary>What to do where a file leaves it open.</summary>
public sealed record LoadOptions
{
    /// <summary>The architecture of a checkpoint without a graph; null finds it by names and shapes.</summary>
    public string? Architecture { get; init; }

    /// <summary>Its options, <c>name=value,name=value</c>; null takes them from shapes.</summary>
    public string? ArchitectureOptions { get; init; }

    /// <summary>The entry of a PyTorch checkpoint that holds the weights; null finds it.</summary>
    public string? StateDict { get; init; }

    /// <summary>A tokenizer.bin for a language model; null takes the one in or beside the file.</summary>
    public string? Tokenizer { get; init; }
}

/// <summary>The one front door for model files of every form.</summary>
public static class ModelFile
{
    /// <summary>Loads a model of any form that is known, recognised by its contents first and its name second.</summary>
    /// <exception cref="ModelFormatException">SL1001 (missing), SL1002 (form not recognised), and the codes of each form.</exception>
    /// <exception cref="SparselandException">An architecture or option that does not exist.</exception>
    public static ModelGraph Load(string path, LoadOptions? options = null)
    {
        options ??= new LoadOptions();
        ModelGraph graph = Identify(path) switch
        {
            ModelFormat.Onnx => OnnxReader.Read(path),
            ModelFormat.Compact => CompactFile.Read(path),
            ModelFormat.Llama2c => Llama2cReader.Load(path, options.Tokenizer),
            _ => Match(LoadCheckpoint(path, options), options),
        };
        if (options.Tokenizer is not null && !graph.Metadata.ContainsKey(ModelMetadata.TokenizerKind))
            Tokenizers.Tokenizer.Embed(graph, Tokenizers.Llama2cTokenizer.Load(options.Tokenizer));
        return graph;
    }

    /// <summary>Opens the named tensors of a file without a graph.</summary>
    /// <exception cref="ModelFormatException">SL1005: the file has a graph; and the codes of each form.</exception>
    public static Checkpoint LoadCheckpoint(string path, LoadOptions? options = null) => Identify(path) switch
    {
        ModelFormat.Safetensors => SafetensorsReader.Open(path),
        ModelFormat.Compact => WeightsOf(CompactFile.Read(path), path),
        ModelFormat.TorchCheckpoint => TorchCheckpointFile.Load(path).FindStateDict(options?.StateDict),
        ModelFormat.Npz => NpzReader.Open(path),
        var format => throw new ModelFormatException("SL1005", $"a file of form {format} is a model, not a set of named tensors") { Where = path },
    };

    /// <summary>Saves a model: <c>.onnx</c> for interchange, <c>.safetensors</c> for the compact form. A file is complete or not there.</summary>
    /// <exception cref="ModelFormatException">SL1003 (cannot be written), SL1007 (a name of another kind).</exception>
    /// <exception cref="SparselandException">SL1601: a weight has values where its mask says that they were removed.</exception>
    public static void Save(ModelGraph graph, string path, CompactOptions? compact = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (HasExtension(path, ".onnx"))
        {
            CompactFile.RequireMasks(graph);
            OnnxWriter.Write(graph, path);
        }
        else if (HasExtension(path, ".safetensors"))
        {
            CompactFile.Write(path, graph, compact);
        }
        else
        {
            throw new ModelFormatException("SL1007", $"models are not saved as '{Path.GetExtension(path)}'")
            {
                Where = path,
                Try = "name the file .onnx (opens everywhere) or .sparse.safetensors (smallest, masks kept)",
            };
        }
    }

    /// <summary>Recognises the form of a file.</summary>
    /// <exception cref="ModelFormatException">SL1001 (missing), SL1002 (not recognised, or a form that is not read).</exception>
    public static ModelFormat Identify(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (Directory.Exists(path)) throw Unknown(path, "it is a folder", "name the model file inside it");
        using MappedFile file = MappedFile.Open(path);
        if (file.Length == 0) throw Unknown(path, "the file is empty");
        byte[] head = file.Head(512);
        // The name of an ONNX file decides first: protobuf has no signature.
        if (HasExtension(path, ".onnx")) return ModelFormat.Onnx;
        if (SafetensorsReader.LooksLike(head) || HasExtension(path, ".safetensors"))
            return CompactFile.IsCompact(SafetensorsReader.Open(path)) ? ModelFormat.Compact : ModelFormat.Safetensors;
        if (ZipDirectory.LooksLikeZip(head)) return IdentifyZip(file, path);
        if (TorchCheckpointFile.LooksLike(head)) return ModelFormat.TorchCheckpoint;
        if (KnownButNotRead(head) is { } other) throw Unknown(path, $"it is {other}, which is not read", "export the model to ONNX or safetensors");
        if (HasExtension(path, ".pt") || HasExtension(path, ".pth") || HasExtension(path, ".th") || HasExtension(path, ".tar")) return ModelFormat.TorchCheckpoint;
        if (HasExtension(path, ".npz")) return ModelFormat.Npz;
        if (Llama2cReader.LooksLike(file) || HasExtension(path, ".bin")) return ModelFormat.Llama2c;
        if (head[0] == 0x80 && head.Length > 1 && head[1] <= 5) return ModelFormat.TorchCheckpoint;
        // ONNX files begin with the field ir_version, a small number.
        if (head[0] == 0x08 && head.Length > 1 && head[1] < 32) return ModelFormat.Onnx;
        throw Unknown(path, "neither its contents nor its name is that of a model");
    }

    private static ModelGraph Match(Checkpoint checkpoint, LoadOptions options)
    {
        // Files that Sparseland wrote say what they are; a choice by hand counts more.
        string? architecture = options.Architecture ?? checkpoint.Metadata.GetValueOrDefault(ModelMetadata.Architecture);
        string? text = options.ArchitectureOptions ?? (options.Architecture is null ? checkpoint.Metadata.GetValueOrDefault(ModelMetadata.ArchitectureOptions) : null);
        ModelGraph graph = CheckpointMatcher.Match(checkpoint, architecture, text);
        foreach ((string key, string value) in checkpoint.Metadata)
        {
            if (key.StartsWith("sparseland.", StringComparison.Ordinal) && key is not (ModelMetadata.Architecture or ModelMetadata.ArchitectureOptions)) graph.Metadata[key] = value;
        }
        return graph;
    }

    private static Checkpoint WeightsOf(ModelGraph graph, string path)
    {
        var checkpoint = new Checkpoint(path, "compact safetensors");
        foreach (Weight weight in graph.Weights.Values) checkpoint.Tensors[weight.Name] = weight.Storage;
        foreach ((string key, string value) in graph.Metadata) checkpoint.Metadata[key] = value;
        return checkpoint;
    }

    private static ModelFormat IdentifyZip(MappedFile file, string path)
    {
        ZipDirectory zip = ZipDirectory.Read(file, HasExtension(path, ".npz") ? "SL1403" : "SL1301");
        if (zip.Items.Keys.Any(n => n == "data.pkl" || n.EndsWith("/data.pkl", StringComparison.Ordinal))) return ModelFormat.TorchCheckpoint;
        if (HasExtension(path, ".npz") || (zip.Items.Count > 0 && zip.Items.Keys.All(n => n.EndsWith(".npy", StringComparison.Ordinal)))) return ModelFormat.Npz;
        throw Unknown(path, $"it is a zip archive, but neither of PyTorch nor of NumPy; it holds {string.Join(", ", zip.Items.Keys.Take(5))}");
    }

    private static string? KnownButNotRead(ReadOnlySpan<byte> head)
    {
        if (head.StartsWith("GGUF"u8)) return "a GGUF file";
        if (head.Length > 4 && head[0] == 0x89 && head.Slice(1, 3).SequenceEqual("HDF"u8)) return "an HDF5 file (Keras)";
        if (head.Length > 8 && head.Slice(4, 4).SequenceEqual("TFL3"u8)) return "a TensorFlow Lite file";
        if (head.StartsWith(NpyHeader.Signature)) return "a single NumPy array, not a model";
        return null;
    }

    private static bool HasExtension(string path, string extension) => path.EndsWith(extension, StringComparison.OrdinalIgnoreCase);

    private static ModelFormatException Unknown(string path, string because, string? tip = null) => new("SL1002", $"'{Path.GetFileName(path)}' is not recognised as a model")
    {
        Where = path,
        Because = because,
        Try = tip ?? "models are read from .onnx, .safetensors, .pt, .pth, .th, .npz and llama2.c's .bin",
    };
}

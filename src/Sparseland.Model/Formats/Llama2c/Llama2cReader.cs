using System.Buffers.Binary;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Model.Tokenizers;

namespace Sparseland.Model.Formats.Llama2c;

/// <summary>Reads the checkpoints of llama2.c: the legacy layout (no magic, rotary tables inside) and version 1.</summary>
/// <remarks>float32 throughout, matrices [out, in]; rotary pairs are neighbours. Values stay in the file until they are read.</remarks>
public static class Llama2cReader
{
    private const uint Magic = 0x616b3432;

    /// <summary>Loads a checkpoint as a <see cref="Llama"/> graph.</summary>
    /// <param name="path">The checkpoint.</param>
    /// <param name="tokenizerPath">Its tokenizer.bin, which is embedded; null takes a tokenizer.bin beside the checkpoint when it has as many tokens as the model.</param>
    /// <exception cref="ModelFormatException">SL1001, SL1501 (damaged or no such file), SL1502 (version), SL1503 (tokenizer).</exception>
    public static ModelGraph Load(string path, string? tokenizerPath = null)
    {
        MappedFile file = MappedFile.Open(path);
        Layout layout = FindLayout(file, path);
        LlamaConfig config = layout.Config;
        ModelGraph graph = ArchitectureCatalog.Llama.BuildStructure(ArchitectureCatalog.Llama.ToOptions(config));
        foreach ((string name, long offset, int[] shape) in Tensors(layout))
            graph.Weights[name] = new Weight(name, new MappedTensor(file, offset, ElementType.Float32, shape));
        EmbedTokenizer(graph, config, path, tokenizerPath);
        return graph;
    }

    /// <summary>Whether the file is a checkpoint of either layout: header and length agree.</summary>
    internal static bool LooksLike(MappedFile file)
    {
        byte[] head = file.Head(28);
        if (head.Length < 28) return false;
        if (BinaryPrimitives.ReadUInt32LittleEndian(head) == Magic) return true;
        return TryParse(head, legacy: true, shared: null) is { } config && Length(new Layout(config, true, 28)) == file.Length;
    }

    private static Layout FindLayout(MappedFile file, string path)
    {
        byte[] head = file.Head(256);
        if (head.Length < 36) throw Damaged(path, $"{head.Length} bytes are less than a header");
        bool legacy = BinaryPrimitives.ReadUInt32LittleEndian(head) != Magic;
        if (!legacy)
        {
            int version = BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(4));
            if (version != 1)
            {
                throw new ModelFormatException("SL1502", $"llama2.c checkpoints of version {version} are not supported")
                {
                    Where = path,
                    Because = "version 2 holds 8-bit weights; the legacy layout and version 1 hold float32",
                    Try = "export the model again with --version 0 or 1",
                };
            }
            if (head[36] > 1) throw Damaged(path, "the flag for a shared output layer is neither 0 nor 1");
        }
        LlamaConfig config = TryParse(head.AsSpan(legacy ? 0 : 8), legacy, legacy ? null : head[36] == 1)
            ?? throw Damaged(path, "the sizes in its header are not those of a Llama model");
        var layout = new Layout(config, legacy, legacy ? 28 : 256);
        long expected = Length(layout);
        if (expected != file.Length)
            throw Damaged(path, $"a model of dim {config.Dim}, {config.Layers} layers and {config.Vocabulary} tokens has {expected} bytes, the file has {file.Length}");
        return layout;
    }

    private static LlamaConfig? TryParse(ReadOnlySpan<byte> header, bool legacy, bool? shared)
    {
        Span<int> n = stackalloc int[7];
        for (int i = 0; i < 7; i++) n[i] = BinaryPrimitives.ReadInt32LittleEndian(header[(4 * i)..]);
        // In the legacy layout a negative vocabulary says that the output layer has weights of its own.
        bool tied = shared ?? n[5] > 0;
        int vocabulary = legacy && n[5] < 0 && n[5] > int.MinValue ? -n[5] : n[5];
        bool plausible = n[0] is > 0 and <= 1 << 16 && n[1] is > 0 and <= 1 << 18 && n[2] is > 0 and <= 1000 && n[3] is > 0 and <= 1024 && n[4] > 0
            && vocabulary is > 0 and <= 1 << 22 && n[6] is > 0 and <= 1 << 20 && n[0] % n[3] == 0 && n[0] / n[3] % 2 == 0 && n[3] % n[4] == 0;
        return plausible ? new LlamaConfig(n[0], n[1], n[2], n[3], n[4], vocabulary, n[6], InterleavedRope: true, TiedHead: tied) : null;
    }

    private static IEnumerable<(string Name, long Offset, int[] Shape)> Tensors(Layout layout)
    {
        LlamaConfig c = layout.Config;
        long at = layout.Start;
        int keyValueSize = c.KeyValueHeads * c.HeadSize;
        (string Name, int[] Shape)[] perLayer =
        [
            ("input_layernorm", [c.Dim]), ("self_attn.q_proj", [c.Dim, c.Dim]), ("self_attn.k_proj", [keyValueSize, c.Dim]), ("self_attn.v_proj", [keyValueSize, c.Dim]),
            ("self_attn.o_proj", [c.Dim, c.Dim]), ("post_attention_layernorm", [c.Dim]), ("mlp.gate_proj", [c.Hidden, c.Dim]), ("mlp.down_proj", [c.Dim, c.Hidden]), ("mlp.up_proj", [c.Hidden, c.Dim]),
        ];
        (string Name, int[] Shape) embedding = ("model.embed_tokens.weight", [c.Vocabulary, c.Dim]), norm = ("model.norm.weight", [c.Dim]);
        int[] order = layout.Legacy ? [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, -2] : [0, 5, -2, -1, 1, 2, 3, 4, 6, 7, 8];
        foreach (int part in order)
        {
            if (part < 0)
            {
                (string name, int[] shape) = part == -1 ? embedding : norm;
                yield return (name, at, shape);
                at += 4L * TensorData.CountElements(shape);
                continue;
            }
            for (int layer = 0; layer < c.Layers; layer++)
            {
                yield return ($"model.layers.{layer}.{perLayer[part].Name}.weight", at, perLayer[part].Shape);
                at += 4L * TensorData.CountElements(perLayer[part].Shape);
            }
        }
        if (layout.Legacy) at += 4L * c.MaxSequence * c.HeadSize;
        if (!c.TiedHead) yield return ("lm_head.weight", at, embedding.Shape);
    }

    private static long Length(Layout layout)
    {
        LlamaConfig c = layout.Config;
        Int128 keyValue = (Int128)c.KeyValueHeads * c.HeadSize * c.Dim;
        Int128 perLayer = 2 * c.Dim + 2 * (Int128)c.Dim * c.Dim + 2 * keyValue + 3 * (Int128)c.Hidden * c.Dim;
        Int128 count = c.Layers * perLayer + c.Dim + (Int128)c.Vocabulary * c.Dim * (c.TiedHead ? 1 : 2) + (layout.Legacy ? (Int128)c.MaxSequence * c.HeadSize : 0);
        return (long)Int128.Min(layout.Start + 4 * count, long.MaxValue);
    }

    private static void EmbedTokenizer(ModelGraph graph, LlamaConfig config, string path, string? tokenizerPath)
    {
        if (tokenizerPath is not null)
        {
            Llama2cTokenizer given = Llama2cTokenizer.Load(tokenizerPath);
            if (given.VocabularySize != config.Vocabulary)
                throw new ModelFormatException("SL1503", $"the tokenizer has {given.VocabularySize} tokens, the model {config.Vocabulary}") { Where = tokenizerPath };
            Tokenizer.Embed(graph, given);
            return;
        }
        string beside = Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path)) ?? ".", "tokenizer.bin");
        if (!File.Exists(beside)) return;
        Llama2cTokenizer found = Llama2cTokenizer.Load(beside);
        // Another model's tokenizer may lie in the same folder: it is not ours to complain about.
        if (found.VocabularySize == config.Vocabulary) Tokenizer.Embed(graph, found);
    }

    private static ModelFormatException Damaged(string path, string because) => new("SL1501", "this is no sound llama2.c checkpoint") { Where = path, Because = because };

    private sealed record Layout(LlamaConfig Config, bool Legacy, long Start);
}

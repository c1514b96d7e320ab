using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>The sizes of a Llama model.</summary>
/// <param name="Dim">Features of a token.</param>
/// <param name="Hidden">Units of the gated feed-forward layer.</param>
/// <param name="Layers">Blocks.</param>
/// <param name="Heads">Query heads; divides <paramref name="Dim"/>.</param>
/// <param name="KeyValueHeads">Key and value heads; divides <paramref name="Heads"/>.</param>
/// <param name="Vocabulary">Tokens.</param>
/// <param name="MaxSequence">Longest sequence that positions are tabled for.</param>
/// <param name="RopeBase">Base of the rotary angles.</param>
/// <param name="InterleavedRope">Whether rotated pairs are neighbours (llama2.c) or halves (most other checkpoints).</param>
/// <param name="TiedHead">Whether the output layer is the embedding table.</param>
/// <param name="NormEpsilon">Added under the root of the normalisations.</param>
public sealed record LlamaConfig(
    int Dim, int Hidden, int Layers, int Heads, int KeyValueHeads, int Vocabulary, int MaxSequence,
    double RopeBase = 10000, bool InterleavedRope = false, bool TiedHead = true, double NormEpsilon = 1e-5)
{
    /// <summary>Features of one head.</summary>
    public int HeadSize => Dim / Heads;
}

/// <summary>The Llama architecture: input <c>tokens</c> int64 [batch, sequence], output <c>logits</c> [batch, sequence, vocabulary].</summary>
/// <remarks>
/// Touvron et al., "LLaMA", section 2.2 (RMS normalisation, SwiGLU, rotary positions), with the grouped key and value heads of
/// "Llama 2". Opset-23 operators RMSNormalization, RotaryEmbedding and Attention; names as in the transformers library.
/// </remarks>
public sealed class Llama : Architecture
{
    /// <inheritdoc/>
    public override string Id => "llama";

    /// <inheritdoc/>
    public override string Title => "Llama language model";

    /// <inheritdoc/>
    public override string Paper => "Touvron et al.: LLaMA: Open and Efficient Foundation Language Models (2023), section 2.2; Llama 2 (2023)";

    /// <inheritdoc/>
    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("dim", OptionKind.Integer, 192, 2, 1 << 16, "features of a token"),
        new("hidden", OptionKind.Integer, 512, 1, 1 << 18, "units of the feed-forward layer"),
        new("layers", OptionKind.Integer, 6, 1, 1000, "blocks"),
        new("heads", OptionKind.Integer, 6, 1, 1024, "query heads; divides dim"),
        new("kvheads", OptionKind.Integer, 6, 1, 1024, "key and value heads; divides heads"),
        new("vocabulary", OptionKind.Integer, 256, 1, 1 << 22, "tokens"),
        new("sequence", OptionKind.Integer, 256, 1, 1 << 20, "longest sequence"),
        new("ropebase", OptionKind.Number, 10000, 1, 1e9, "base of the rotary angles"),
        new("interleaved", OptionKind.Flag, 0, 0, 1, "rotated pairs are neighbours instead of halves"),
        new("tied", OptionKind.Flag, 1, 0, 1, "the output layer is the embedding table"),
        new("epsilon", OptionKind.Number, 1e-5, 0, 1, "added under the root of normalisations"),
    ];

    /// <inheritdoc/>
    public override TensorShape InputShape(ArchitectureOptions options) => new(Dimension.Named("batch"), Dimension.Named("sequence"));

    /// <summary>Options of a configuration.</summary>
    public ArchitectureOptions ToOptions(LlamaConfig config)
    {
        ArgumentNullException.ThrowIfNull(config);
        return DefaultOptions().Set("dim", config.Dim).Set("hidden", config.Hidden).Set("layers", config.Layers).Set("heads", config.Heads)
            .Set("kvheads", config.KeyValueHeads).Set("vocabulary", config.Vocabulary).Set("sequence", config.MaxSequence).Set("ropebase", config.RopeBase)
            .Set("interleaved", config.InterleavedRope ? 1 : 0).Set("tied", config.TiedHead ? 1 : 0).Set("epsilon", config.NormEpsilon);
    }

    /// <summary>The configuration that options stand for.</summary>
    public static LlamaConfig ToConfig(ArchitectureOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new(options.Int("dim"), options.Int("hidden"), options.Int("layers"), options.Int("heads"), options.Int("kvheads"), options.Int("vocabulary"),
            options.Int("sequence"), options.Number("ropebase"), options.Flag("interleaved"), options.Flag("tied"), options.Number("epsilon"));
    }

    /// <summary>The configuration that a model's metadata state; null when it is no Llama of ours.</summary>
    public static LlamaConfig? FindConfig(ModelGraph model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return model.Metadata.GetValueOrDefault(ModelMetadata.Architecture) == "llama" && model.Metadata.TryGetValue(ModelMetadata.ArchitectureOptions, out string? text)
            ? ToConfig(ArchitectureCatalog.Llama.DefaultOptions().Parse(text))
            : null;
    }

    /// <summary>Builds a model with drawn weights.</summary>
    /// <exception cref="SparselandException">SL4101: sizes that do not fit together.</exception>
    public static ModelGraph Build(LlamaConfig config, int seed = 0) => ArchitectureCatalog.Llama.Build(ArchitectureCatalog.Llama.ToOptions(config), seed);

    /// <inheritdoc/>
    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        ArgumentNullException.ThrowIfNull(g);
        LlamaConfig c = ToConfig(options);
        if (c.Dim % c.Heads != 0 || c.HeadSize % 2 != 0) throw OptionError($"dim {c.Dim} is no even multiple of heads {c.Heads}");
        if (c.Heads % c.KeyValueHeads != 0) throw OptionError($"heads {c.Heads} is no multiple of kvheads {c.KeyValueHeads}");
        float epsilon = (float)c.NormEpsilon;
        int keyValueSize = c.KeyValueHeads * c.HeadSize;
        Initializer small = Initializer.Normal(0.02), residual = Initializer.Normal(0.02 / Math.Sqrt(2 * c.Layers));

        Value tokens = g.Input("tokens", ElementType.Int64, Dimension.Named("batch"), Dimension.Named("sequence"));
        Value table = g.Weight("model.embed_tokens.weight", small, c.Vocabulary, c.Dim);
        Value h = g.Gather(table, tokens, 0, "embedding");
        (Value cos, Value sin) = RotaryTables(g, c);
        Value shape = g.Add("Shape", [tokens], null, "tokens.shape");
        Value length = g.Gather(shape, g.Constant(TensorData.Scalar(1L), "one"), 0, "tokens.length");
        Value range = g.Add("Range", [g.Constant(TensorData.Scalar(0L), "start"), length, g.Constant(TensorData.Scalar(1L), "step")], null, "positions.range");
        Value positions = g.Add("Expand", [g.Unsqueeze(range, 0), shape], null, "positions");

        for (int i = 0; i < c.Layers; i++)
        {
            using (g.Scope($"model.layers.{i}"))
            {
                Value x = g.RmsNorm(h, "input_layernorm", epsilon);
                Value q = g.Linear(x, "self_attn.q_proj", c.Dim, bias: false, initializer: small);
                Value k = g.Linear(x, "self_attn.k_proj", keyValueSize, bias: false, initializer: small);
                Value v = g.Linear(x, "self_attn.v_proj", keyValueSize, bias: false, initializer: small);
                q = g.RotaryEmbedding(q, cos, sin, positions, c.InterleavedRope, c.Heads, "self_attn.q_rope");
                k = g.RotaryEmbedding(k, cos, sin, positions, c.InterleavedRope, c.KeyValueHeads, "self_attn.k_rope");
                Value attended = g.Attention(q, k, v, causal: true, heads: c.Heads, keyValueHeads: c.KeyValueHeads, name: "self_attn");
                h = g.Add(h, g.Linear(attended, "self_attn.o_proj", c.Dim, bias: false, initializer: residual), "attention.residual");
                x = g.RmsNorm(h, "post_attention_layernorm", epsilon);
                Value gate = g.Silu(g.Linear(x, "mlp.gate_proj", c.Hidden, bias: false, initializer: small));
                Value inner = g.Mul(gate, g.Linear(x, "mlp.up_proj", c.Hidden, bias: false, initializer: small), "mlp.gated");
                h = g.Add(h, g.Linear(inner, "mlp.down_proj", c.Dim, bias: false, initializer: residual), "mlp.residual");
            }
        }
        h = g.RmsNorm(h, "model.norm", epsilon);
        Value logits = c.TiedHead ? g.Linear(h, table, Value.None, "lm_head") : g.Linear(h, "lm_head", c.Vocabulary, bias: false, initializer: small);
        g.Output("logits", logits);
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes)
    {
        if (shapes.Find("model.embed_tokens.weight", 2) is not [var vocabulary, var dim] || shapes.Find("model.layers.0.mlp.gate_proj.weight", 2) is not [var hidden, _]
            || shapes.Find("model.layers.0.self_attn.k_proj.weight", 2) is not [var keyValueSize, _])
            return null;
        // Head size leaves no trace in the shapes: 128 is Llama's own, 64 that of the smaller ones.
        int headSize = dim >= 4096 && dim % 128 == 0 && keyValueSize % 128 == 0 ? 128 : dim % 64 == 0 && keyValueSize % 64 == 0 ? 64 : 0;
        if (headSize == 0) return null;
        return DefaultOptions().Set("dim", dim).Set("hidden", hidden).Set("layers", Math.Max(1, shapes.Count("model.layers.", ".input_layernorm.weight")))
            .Set("heads", dim / headSize).Set("kvheads", keyValueSize / headSize).Set("vocabulary", vocabulary).Set("sequence", 2048)
            .Set("tied", shapes.All.ContainsKey("lm_head.weight") ? 0 : 1);
    }

    /// <summary>cos and sin of position * base^(-2 i / headSize), each [MaxSequence, headSize / 2]. Su et al., "RoFormer", eq. 15.</summary>
    private static (Value Cos, Value Sin) RotaryTables(GraphBuilder g, LlamaConfig c)
    {
        int half = c.HeadSize / 2;
        var cos = new float[c.MaxSequence * half];
        var sin = new float[c.MaxSequence * half];
        for (int position = 0; position < c.MaxSequence; position++)
        {
            for (int i = 0; i < half; i++)
            {
                double angle = position * Math.Pow(c.RopeBase, -2.0 * i / c.HeadSize);
                (double s, double k) = Math.SinCos(angle);
                cos[position * half + i] = (float)k;
                sin[position * half + i] = (float)s;
            }
        }
        return (g.Constant(TensorData.Wrap(cos, c.MaxSequence, half), "rotary.cos"), g.Constant(TensorData.Wrap(sin, c.MaxSequence, half), "rotary.sin"));
    }
}

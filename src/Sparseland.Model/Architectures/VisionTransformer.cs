using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>The vision transformer; the defaults are DeiT-tiny's. Names as in timm.</summary>
/// <remarks>
/// Dosovitskiy et al., "An Image is Worth 16x16 Words", section 3.1: patches and a class token, learned positions, pre-norm blocks of
/// attention and a GELU network. Sizes of DeiT-tiny from Touvron et al., "Training data-efficient image transformers", table 1.
/// </remarks>
internal sealed class VisionTransformer : Architecture
{
    public override string Id => "vit";

    public override string Title => "Vision transformer (DeiT-tiny by default)";

    public override string Paper => "Dosovitskiy et al.: An Image is Worth 16x16 Words (2020); Touvron et al.: Training data-efficient image transformers & distillation through attention (2020), table 1";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("dim", OptionKind.Integer, 192, 1, 1 << 16, "features of a token"),
        new("layers", OptionKind.Integer, 12, 1, 1000, "blocks"),
        new("heads", OptionKind.Integer, 3, 1, 1024, "attention heads; divides dim"),
        new("mlp", OptionKind.Integer, 768, 1, 1 << 18, "units of the block's hidden layer"),
        new("patch", OptionKind.Integer, 16, 1, 256, "height and width of a patch; divides image"),
        new("image", OptionKind.Integer, 224, 1, 4096, "height and width of the input"),
        new("classes", OptionKind.Integer, 1000, 1, 1 << 20, "number of classes"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(3, options.Int("image"), options.Int("image"));

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.ImageNet;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        int dim = options.Int("dim"), heads = options.Int("heads"), patch = options.Int("patch"), size = options.Int("image");
        if (dim % heads != 0) throw OptionError($"dim {dim} is no multiple of heads {heads}");
        if (size % patch != 0) throw OptionError($"image {size} is no multiple of patch {patch}");
        int patches = size / patch * (size / patch);
        Initializer small = Initializer.Normal(0.02);
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 3, size, size);
        Value classToken = g.Weight("cls_token", small, 1, 1, dim);
        Value positions = g.Weight("pos_embed", small, 1, patches + 1, dim);
        Value h = g.Conv(x, "patch_embed.proj", dim, patch, patch, initializer: Initializer.XavierUniform());
        h = g.Transpose(g.Reshape(h, 0, dim, patches), 0, 2, 1);
        Value batch = g.Add("Shape", [x], a => a.Set("start", 0L).Set("end", 1L));
        Value tokens = g.Add("Expand", [classToken, g.Concat(0, batch, g.Integers(1, dim))]);
        h = g.Add(g.Concat(1, tokens, h), positions);
        for (int i = 0; i < options.Int("layers"); i++)
        {
            using (g.Scope($"blocks.{i}"))
            {
                Value[] qkv = g.Split(g.Linear(g.LayerNorm(h, "norm1", 1e-6f), "attn.qkv", 3 * dim, initializer: small), 2, dim, dim, dim);
                h = g.Add(h, g.Linear(g.Attention(qkv[0], qkv[1], qkv[2], heads: heads, name: "attn"), "attn.proj", dim, initializer: small));
                Value inner = g.Gelu(g.Linear(g.LayerNorm(h, "norm2", 1e-6f), "mlp.fc1", options.Int("mlp"), initializer: small));
                h = g.Add(h, g.Linear(inner, "mlp.fc2", dim, initializer: small));
            }
        }
        // Only the class token goes on; normalisation acts on every token by itself.
        h = g.Gather(g.LayerNorm(h, "norm", 1e-6f), g.Constant(TensorData.Scalar(0L), "first"), 1);
        g.Output("logits", g.Linear(h, "head", options.Int("classes"), initializer: small));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes)
    {
        if (shapes.Find("pos_embed", 3) is not [1, var tokens, var dim] || shapes.Find("patch_embed.proj.weight", 4) is not [_, 3, var patch, _]
            || shapes.Find("blocks.0.mlp.fc1.weight", 2) is not [var mlp, _] || shapes.Find("head.weight", 2) is not [var classes, _])
            return null;
        int side = (int)Math.Round(Math.Sqrt(tokens - 1));
        // Heads leave no trace in the shapes: the published models have 64 features per head.
        return DefaultOptions().Set("dim", dim).Set("layers", Math.Max(1, shapes.Count("blocks.", ".norm1.weight"))).Set("heads", Math.Max(1, dim / 64))
            .Set("mlp", mlp).Set("patch", patch).Set("image", side * patch).Set("classes", classes);
    }
}

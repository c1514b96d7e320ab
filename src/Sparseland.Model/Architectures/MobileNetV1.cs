using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>MobileNet, version 1: depthwise and pointwise convolutions in turn.</summary>
/// <remarks>Howard et al., "MobileNets", table 1; the multiplier alpha of section 3.3.</remarks>
internal sealed class MobileNetV1 : Architecture
{
    private static readonly (int Channels, int Stride)[] s_blocks =
        [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)];

    public override string Id => "mobilenet-v1";

    public override string Title => "MobileNet, version 1";

    public override string Paper => "Howard et al.: MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications (2017), table 1";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("multiplier", OptionKind.Number, 1, 0.05, 4, "factor on all channels"),
        new("classes", OptionKind.Integer, 1000, 1, 1 << 20, "number of classes"),
        new("image", OptionKind.Integer, 224, 32, 4096, "height and width of the input"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(3, options.Int("image"), options.Int("image"));

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.ImageNet;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        double alpha = options.Number("multiplier");
        int size = options.Int("image");
        int Channels(int full) => Math.Max(1, (int)Math.Round(full * alpha));
        Value h = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 3, size, size);
        h = g.Relu(g.BatchNorm(g.Conv(h, "model.0.0", Channels(32), 3, 2, padding: 1, bias: false), "model.0.1"));
        for (int i = 0; i < s_blocks.Length; i++)
        {
            (int channels, int stride) = s_blocks[i];
            using (g.Scope($"model.{i + 1}"))
            {
                h = g.Relu(g.BatchNorm(g.Conv(h, "0", h.Size(1), 3, stride, padding: 1, groups: h.Size(1), bias: false, initializer: Initializer.KaimingNormal()), "1"));
                h = g.Relu(g.BatchNorm(g.Conv(h, "3", Channels(channels), 1, bias: false), "4"));
            }
        }
        g.Output("logits", g.Linear(g.Flatten(g.GlobalAveragePool(h)), "fc", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes) =>
        shapes.Find("model.0.0.weight", 4) is [var first, 3, 3, 3] && shapes.Find("model.13.3.weight", 4) is not null && shapes.Find("fc.weight", 2) is [var classes, _]
            ? DefaultOptions().Set("multiplier", first / 32.0).Set("classes", classes)
            : null;
}

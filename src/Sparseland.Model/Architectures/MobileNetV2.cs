using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>MobileNet, version 2: inverted residuals with linear bottlenecks.</summary>
/// <remarks>Sandler et al., "MobileNetV2", table 2; channels rounded to multiples of 8. Names as in torchvision.</remarks>
internal sealed class MobileNetV2 : Architecture
{
    // Expansion, channels, repetitions, stride of the first.
    private static readonly (int Expansion, int Channels, int Count, int Stride)[] s_stages =
        [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

    public override string Id => "mobilenet-v2";

    public override string Title => "MobileNet, version 2";

    public override string Paper => "Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: Inverted Residuals and Linear Bottlenecks (2018), table 2";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("multiplier", OptionKind.Number, 1, 0.1, 4, "factor on all channels, which are then rounded to multiples of 8"),
        new("classes", OptionKind.Integer, 1000, 1, 1 << 20, "number of classes"),
        new("image", OptionKind.Integer, 224, 32, 4096, "height and width of the input"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(3, options.Int("image"), options.Int("image"));

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.ImageNet;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        double alpha = options.Number("multiplier");
        int size = options.Int("image");
        Value h = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 3, size, size);
        h = ConvNormClip(g, h, "features.0", Rounded(32 * alpha), 3, 2, 1);
        int index = 1;
        foreach ((int expansion, int channels, int count, int stride) in s_stages)
        {
            for (int i = 0; i < count; i++, index++)
            {
                using (g.Scope($"features.{index}")) h = Block(g, h, expansion, Rounded(channels * alpha), i == 0 ? stride : 1);
            }
        }
        h = ConvNormClip(g, h, $"features.{index}", Rounded(1280 * Math.Max(1, alpha)), 1, 1, 1);
        g.Output("logits", g.Linear(g.Flatten(g.GlobalAveragePool(h)), "classifier.1", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes)
    {
        if (shapes.Find("features.0.0.weight", 4) is not [var first, 3, 3, 3] || shapes.Find("features.18.0.weight", 4) is null || shapes.Find("classifier.1.weight", 2) is not [var classes, _])
            return null;
        // Several multipliers round to the same first layer: take the first whose other layers agree.
        int last = shapes.Find("features.17.conv.2.weight", 4)?[0] ?? 0;
        foreach (double alpha in new[] { 1, 0.75, 0.5, 0.35, 1.4, 1.3, 0.25, 0.1, first / 32.0 })
        {
            if (Rounded(32 * alpha) == first && Rounded(320 * alpha) == last) return DefaultOptions().Set("multiplier", alpha).Set("classes", classes);
        }
        return null;
    }

    private static Value Block(GraphBuilder g, Value x, int expansion, int outChannels, int stride)
    {
        int inner = x.Size(1) * expansion, at = 0;
        Value h = x;
        if (expansion != 1) h = ConvNormClip(g, h, $"conv.{at++}", inner, 1, 1, 1);
        h = ConvNormClip(g, h, $"conv.{at++}", inner, 3, stride, inner);
        h = g.BatchNorm(g.Conv(h, $"conv.{at}", outChannels, 1, bias: false), $"conv.{at + 1}");
        return stride == 1 && x.Size(1) == outChannels ? g.Add(x, h) : h;
    }

    private static Value ConvNormClip(GraphBuilder g, Value x, string name, int channels, int kernel, int stride, int groups) =>
        // A depthwise filter feeds one channel only: its outputs are as many as its inputs.
        g.Clip(g.BatchNorm(g.Conv(x, name + ".0", channels, kernel, stride, padding: kernel / 2, groups: groups, bias: false,
            initializer: Initializer.KaimingNormal(fanOut: groups == 1)), name + ".1"), 0, 6);

    /// <summary>The nearest multiple of 8, at least 8, never more than a tenth below.</summary>
    private static int Rounded(double channels)
    {
        int rounded = Math.Max(8, (int)(channels + 4) / 8 * 8);
        return rounded < 0.9 * channels ? rounded + 8 : rounded;
    }
}

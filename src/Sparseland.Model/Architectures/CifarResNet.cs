using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>The CIFAR form of the residual network: 6n + 2 layers in three stages of n blocks, shortcuts without parameters.</summary>
/// <remarks>
/// He et al., "Deep Residual Learning for Image Recognition", section 4.2: 3x3 convolutions with w, 2w and 4w filters on 32x32, 16x16 and
/// 8x8 maps; shortcut option A takes every second pixel and pads the channels with zeros, half on either side.
/// </remarks>
internal sealed class CifarResNet(string id, int depth, int width) : Architecture
{
    internal static readonly string[] Cifar10Classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

    public override string Id { get; } = id;

    public override string Title => width == 16 ? $"ResNet-{depth} for CIFAR" : $"ResNet-{depth} for CIFAR, {width} base channels";

    public override string Paper => "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition (2015), section 4.2";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("width", OptionKind.Integer, width, 1, 4096, "channels of the first stage; the others have two and four times as many"),
        new("classes", OptionKind.Integer, 10, 1, 1 << 20, "number of classes"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(3, 32, 32);

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.ImageNet;

    protected override IReadOnlyList<string>? ClassNames(ArchitectureOptions options) => options.Int("classes") == 10 ? Cifar10Classes : null;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        int w = options.Int("width");
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 3, 32, 32);
        Value h = g.Relu(g.BatchNorm(g.Conv(x, "conv1", w, 3, padding: 1, bias: false), "bn1"));
        for (int stage = 0; stage < 3; stage++)
        {
            for (int block = 0; block < (depth - 2) / 6; block++)
            {
                using (g.Scope($"layer{stage + 1}.{block}")) h = Block(g, h, w << stage, stage > 0 && block == 0 ? 2 : 1);
            }
        }
        g.Output("logits", g.Linear(g.Flatten(g.GlobalAveragePool(h)), "linear", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes)
    {
        if (shapes.Find("conv1.weight", 4) is not [var channels, 3, 3, 3] || shapes.Find("linear.weight", 2) is not [var classes, _]) return null;
        if (shapes.Count("layer1.", ".conv1.weight") * 6 + 2 != depth || shapes.Count("layer4.", ".conv1.weight") > 0) return null;
        return DefaultOptions().Set("width", channels).Set("classes", classes);
    }

    internal override string Rename(string name) => name.StartsWith("fc.", StringComparison.Ordinal) ? "linear." + name[3..] : name;

    private static Value Block(GraphBuilder g, Value x, int channels, int stride)
    {
        Value h = g.Relu(g.BatchNorm(g.Conv(x, "conv1", channels, 3, stride, padding: 1, bias: false), "bn1"));
        h = g.BatchNorm(g.Conv(h, "conv2", channels, 3, padding: 1, bias: false), "bn2");
        Value shortcut = x;
        if (stride != 1)
        {
            shortcut = g.Add("Slice", [x, g.Integers(0, 0), g.Integers(int.MaxValue, int.MaxValue), g.Integers(2, 3), g.Integers(stride, stride)], null, "shortcut.slice");
            int before = (channels - x.Size(1)) / 2, after = channels - x.Size(1) - before;
            shortcut = g.Add("Pad", [shortcut, g.Integers(0, before, 0, 0, 0, after, 0, 0)], null, "shortcut.pad");
        }
        return g.Relu(g.Add(h, shortcut));
    }
}

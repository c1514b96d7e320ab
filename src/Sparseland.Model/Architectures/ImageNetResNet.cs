using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>The ImageNet form of the residual network.</summary>
/// <remarks>
/// He et al., "Deep Residual Learning for Image Recognition", table 1; the stride of a bottleneck is on its 3x3 convolution
/// ("version 1.5"), as in the weights that are commonly passed around. Names as in torchvision.
/// </remarks>
internal sealed class ImageNetResNet(int depth, bool bottleneck, params int[] blocks) : Architecture
{
    public override string Id => $"resnet{depth}";

    public override string Title => $"ResNet-{depth} for ImageNet";

    public override string Paper => "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition (2015), table 1";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("width", OptionKind.Integer, 64, 1, 1024, "channels of the first convolution"),
        new("classes", OptionKind.Integer, 1000, 1, 1 << 20, "number of classes"),
        new("image", OptionKind.Integer, 224, 32, 4096, "height and width of the input"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(3, options.Int("image"), options.Int("image"));

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.ImageNet;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        int w = options.Int("width"), size = options.Int("image");
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 3, size, size);
        Value h = g.Relu(g.BatchNorm(g.Conv(x, "conv1", w, 7, 2, padding: 3, bias: false), "bn1"));
        h = g.MaxPool(h, 3, 2, padding: 1);
        for (int stage = 0; stage < 4; stage++)
        {
            for (int block = 0; block < blocks[stage]; block++)
            {
                using (g.Scope($"layer{stage + 1}.{block}")) h = Block(g, h, w << stage, stage > 0 && block == 0 ? 2 : 1);
            }
        }
        g.Output("logits", g.Linear(g.Flatten(g.GlobalAveragePool(h)), "fc", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes)
    {
        if (shapes.Find("conv1.weight", 4) is not [var width, 3, 7, 7] || shapes.Find("fc.weight", 2) is not [var classes, _]) return null;
        for (int stage = 0; stage < 4; stage++)
        {
            if (shapes.Count($"layer{stage + 1}.", ".conv1.weight") != blocks[stage]) return null;
        }
        return shapes.All.ContainsKey("layer1.0.conv3.weight") == bottleneck ? DefaultOptions().Set("width", width).Set("classes", classes) : null;
    }

    private Value Block(GraphBuilder g, Value x, int channels, int stride)
    {
        int outChannels = bottleneck ? 4 * channels : channels;
        Value h;
        if (bottleneck)
        {
            h = g.Relu(g.BatchNorm(g.Conv(x, "conv1", channels, 1, bias: false), "bn1"));
            h = g.Relu(g.BatchNorm(g.Conv(h, "conv2", channels, 3, stride, padding: 1, bias: false), "bn2"));
            h = g.BatchNorm(g.Conv(h, "conv3", outChannels, 1, bias: false), "bn3");
        }
        else
        {
            h = g.Relu(g.BatchNorm(g.Conv(x, "conv1", channels, 3, stride, padding: 1, bias: false), "bn1"));
            h = g.BatchNorm(g.Conv(h, "conv2", channels, 3, padding: 1, bias: false), "bn2");
        }
        Value shortcut = stride != 1 || x.Size(1) != outChannels
            ? g.BatchNorm(g.Conv(x, "downsample.0", outChannels, 1, stride, bias: false), "downsample.1")
            : x;
        return g.Relu(g.Add(h, shortcut));
    }
}

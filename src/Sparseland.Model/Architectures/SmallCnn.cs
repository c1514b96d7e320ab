using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>A small convolutional network: two blocks of convolution, batch norm, ReLU and pooling, then two linear layers.</summary>
internal sealed class SmallCnn : Architecture
{
    public override string Id => "small-cnn";

    public override string Title => "Small convolutional network";

    public override string Paper => "the usual first network for MNIST-like pictures; no single source";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("channels", OptionKind.Integer, 32, 1, 4096, "filters of the first convolution; the second has twice as many"),
        new("hidden", OptionKind.Integer, 128, 1, 1 << 20, "units of the hidden linear layer"),
        new("classes", OptionKind.Integer, 10, 1, 1 << 20, "number of classes"),
        new("image", OptionKind.Integer, 28, 8, 512, "height and width of the input"),
        new("inputs", OptionKind.Integer, 1, 1, 64, "channels of the input"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(options.Int("inputs"), options.Int("image"), options.Int("image"));

    public override InputNormalization Normalization(ArchitectureOptions options) =>
        options.Int("inputs") switch { 1 => InputNormalization.Mnist, 3 => InputNormalization.ImageNet, _ => InputNormalization.Symmetric };

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        int channels = options.Int("channels"), size = options.Int("image");
        Value h = g.Input("image", ElementType.Float32, Dimension.Named("batch"), options.Int("inputs"), size, size);
        h = g.MaxPool(g.Relu(g.BatchNorm(g.Conv(h, "conv1", channels, 3, padding: 1, bias: false), "bn1")), 2);
        h = g.MaxPool(g.Relu(g.BatchNorm(g.Conv(h, "conv2", 2 * channels, 3, padding: 1, bias: false), "bn2")), 2);
        h = g.Relu(g.Linear(g.Flatten(h), "fc1", options.Int("hidden")));
        g.Output("logits", g.Linear(h, "fc2", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes)
    {
        if (shapes.Find("conv1.weight", 4) is not [var channels, var inputs, 3, 3] || shapes.Find("bn2.weight", 1) is null
            || shapes.Find("fc1.weight", 2) is not [var hidden, var features] || shapes.Find("fc2.weight", 2) is not [var classes, _])
            return null;
        int side = (int)Math.Round(Math.Sqrt(features / (2.0 * channels)));
        return side is >= 2 and <= 128 ? DefaultOptions().Set("channels", channels).Set("inputs", inputs).Set("hidden", hidden).Set("classes", classes).Set("image", 4 * side) : null;
    }
}

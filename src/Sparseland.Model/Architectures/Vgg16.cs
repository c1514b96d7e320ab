using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>VGG-16 with batch normalisation and one linear layer, for 32x32 pictures.</summary>
/// <remarks>Simonyan and Zisserman, "Very Deep Convolutional Networks", configuration D, with the small head that is usual for CIFAR.</remarks>
internal sealed class Vgg16 : Architecture
{
    // Multiples of the width; 0 halves the picture.
    private static readonly int[] s_layers = [1, 1, 0, 2, 2, 0, 4, 4, 4, 0, 8, 8, 8, 0, 8, 8, 8, 0];

    public override string Id => "vgg16-bn";

    public override string Title => "VGG-16 with batch normalisation for CIFAR";

    public override string Paper => "Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition (2014), configuration D";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("width", OptionKind.Integer, 64, 1, 1024, "channels of the first convolution"),
        new("classes", OptionKind.Integer, 10, 1, 1 << 20, "number of classes"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(3, 32, 32);

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.ImageNet;

    protected override IReadOnlyList<string>? ClassNames(ArchitectureOptions options) => options.Int("classes") == 10 ? CifarResNet.Cifar10Classes : null;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        Value h = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 3, 32, 32);
        int index = 0;
        foreach (int layer in s_layers)
        {
            if (layer == 0)
            {
                h = g.MaxPool(h, 2);
                index++;
                continue;
            }
            h = g.Relu(g.BatchNorm(g.Conv(h, $"features.{index}", layer * options.Int("width"), 3, padding: 1), $"features.{index + 1}"));
            index += 3;
        }
        g.Output("logits", g.Linear(g.Flatten(h), "classifier", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes) =>
        shapes.Find("features.0.weight", 4) is [var width, 3, 3, 3] && shapes.Find("features.40.weight", 4) is not null && shapes.Find("classifier.weight", 2) is [var classes, _]
            ? DefaultOptions().Set("width", width).Set("classes", classes)
            : null;
}

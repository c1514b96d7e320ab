using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>LeNet-300-100: the two-hidden-layer network of the pruning literature.</summary>
internal sealed class LeNet300 : Architecture
{
    public override string Id => "lenet-300-100";

    public override string Title => "LeNet-300-100";

    public override string Paper => "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition (1998), section III.C";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("hidden1", OptionKind.Integer, 300, 1, 1 << 20, "units of the first hidden layer"),
        new("hidden2", OptionKind.Integer, 100, 1, 1 << 20, "units of the second hidden layer"),
        new("classes", OptionKind.Integer, 10, 1, 1 << 20, "number of classes"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(1, 28, 28);

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.Mnist;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        Value h = g.Flatten(g.Input("image", ElementType.Float32, Dimension.Named("batch"), 1, 28, 28));
        h = g.Relu(g.Linear(h, "fc1", options.Int("hidden1")));
        h = g.Relu(g.Linear(h, "fc2", options.Int("hidden2")));
        g.Output("logits", g.Linear(h, "fc3", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes) =>
        shapes.All.Count == 6 && shapes.Find("fc1.weight", 2) is [var h1, 784] && shapes.Find("fc2.weight", 2) is [var h2, _] && shapes.Find("fc3.weight", 2) is [var classes, _]
            ? DefaultOptions().Set("hidden1", h1).Set("hidden2", h2).Set("classes", classes)
            : null;
}

/// <summary>LeNet-5 in its present form: two convolutions with max-pooling, three linear layers, ReLU.</summary>
internal sealed class LeNet5 : Architecture
{
    public override string Id => "lenet-5";

    public override string Title => "LeNet-5 (ReLU, max-pooling)";

    public override string Paper => "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition (1998), section II.B";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("channels1", OptionKind.Integer, 6, 1, 4096, "filters of the first convolution"),
        new("channels2", OptionKind.Integer, 16, 1, 4096, "filters of the second convolution"),
        new("classes", OptionKind.Integer, 10, 1, 1 << 20, "number of classes"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => Images(1, 28, 28);

    public override InputNormalization Normalization(ArchitectureOptions options) => InputNormalization.Mnist;

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        Value h = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 1, 28, 28);
        h = g.MaxPool(g.Relu(g.Conv(h, "conv1", options.Int("channels1"), 5, padding: 2)), 2);
        h = g.MaxPool(g.Relu(g.Conv(h, "conv2", options.Int("channels2"), 5)), 2);
        h = g.Relu(g.Linear(g.Flatten(h), "fc1", 120));
        h = g.Relu(g.Linear(h, "fc2", 84));
        g.Output("logits", g.Linear(h, "fc3", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes) =>
        shapes.Find("conv1.weight", 4) is [var c1, 1, 5, 5] && shapes.Find("conv2.weight", 4) is [var c2, _, 5, 5] && shapes.Find("fc3.weight", 2) is [var classes, 84]
            ? DefaultOptions().Set("channels1", c1).Set("channels2", c2).Set("classes", classes)
            : null;
}

using Sparseland.Model.Graph;

namespace Sparseland.Model.Architectures;

/// <summary>Linear layers with ReLU between: input [batch, features].</summary>
internal sealed class Mlp : Architecture
{
    public override string Id => "mlp";

    public override string Title => "Multi-layer perceptron";

    public override string Paper => "Rumelhart, Hinton, Williams: Learning representations by back-propagating errors (1986)";

    public override IReadOnlyList<ArchitectureOption> Options { get; } =
    [
        new("features", OptionKind.Integer, 784, 1, 1 << 24, "size of the input"),
        new("width", OptionKind.Integer, 256, 1, 1 << 20, "units of each hidden layer"),
        new("depth", OptionKind.Integer, 2, 0, 1000, "number of hidden layers"),
        new("classes", OptionKind.Integer, 10, 1, 1 << 20, "size of the output"),
    ];

    public override TensorShape InputShape(ArchitectureOptions options) => new(Dimension.Named("batch"), options.Int("features"));

    protected override void Write(GraphBuilder g, ArchitectureOptions options)
    {
        Value h = g.Input("features", ElementType.Float32, Dimension.Named("batch"), options.Int("features"));
        for (int i = 0; i < options.Int("depth"); i++) h = g.Relu(g.Linear(h, $"layers.{i}", options.Int("width")));
        g.Output("logits", g.Linear(h, $"layers.{options.Int("depth")}", options.Int("classes")));
    }

    internal override ArchitectureOptions? Infer(CheckpointShapes shapes)
    {
        int count = shapes.Count("layers.", ".weight");
        if (count < 1 || shapes.Find("layers.0.weight", 2) is not [var width, var features] || shapes.Find($"layers.{count - 1}.weight", 2) is not [var classes, _]) return null;
        ArchitectureOptions options = DefaultOptions().Set("features", features).Set("depth", count - 1).Set("classes", classes);
        return count > 1 ? options.Set("width", width) : options;
    }
}

using Sparseland.Model.Graph;

namespace Sparseland.Training.Tests.Runs;

internal static class TestNetworks
{
    /// <summary>One linear layer over all pixels.</summary>
    public static ModelGraph Linear(int channels, int side, int classes, int seed = 1)
    {
        var g = new GraphBuilder("linear", seed);
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), channels, side, side);
        return g.Output("logits", g.Linear(g.Flatten(x), "classifier", classes)).Build();
    }

    /// <summary>Three convolutions with batch normalisation and a linear layer.</summary>
    public static ModelGraph Convolutional(int channels, int side, int classes, int width = 16, int seed = 1, bool dropout = false)
    {
        var g = new GraphBuilder("small", seed);
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), channels, side, side);
        Value h = g.Relu(g.BatchNorm(g.Conv(x, "conv1", width, 3, padding: 1, bias: false), "bn1"));
        h = g.Relu(g.BatchNorm(g.Conv(g.MaxPool(h, 2), "conv2", 2 * width, 3, padding: 1, bias: false), "bn2"));
        h = g.Relu(g.BatchNorm(g.Conv(g.MaxPool(h, 2), "conv3", 2 * width, 3, padding: 1, bias: false), "bn3"));
        h = g.Flatten(g.GlobalAveragePool(h));
        if (dropout) h = g.Add("Dropout", [h, g.Scalar(0.2f), g.Constant(TensorData.Scalar(true))]);
        return g.Output("logits", g.Linear(h, "classifier", classes)).Build();
    }
}

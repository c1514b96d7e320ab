using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;

namespace Sparseland.Pruning.Tests;

/// <summary>Small networks, layers and data.</summary>
internal static class Make
{
    public static PrunableLayer Layer(string name, params int[] shape) =>
        new(name, name, "x", shape.Length > 2 ? LayerKind.Convolution : LayerKind.Linear, shape, true, false, false, false);

    public static ModelGraph Network(int seed = 1, int width = 8)
    {
        var g = new GraphBuilder("small", seed);
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 1, 12, 12);
        Value h = g.Relu(g.BatchNorm(g.Conv(x, "conv1", width, 3, padding: 1, bias: false), "bn1"));
        h = g.Relu(g.BatchNorm(g.Conv(g.MaxPool(h, 2), "conv2", 2 * width, 3, padding: 1, bias: false), "bn2"));
        h = g.Relu(g.BatchNorm(g.Conv(g.MaxPool(h, 2), "conv3", 2 * width, 3, padding: 1, bias: false), "bn3"));
        return g.Output("logits", g.Linear(g.Flatten(g.GlobalAveragePool(h)), "classifier", 10)).Build();
    }

    public static PictureDataset Pictures(int count = 200, long seed = 5) => ProceduralShapes.Create(count, 12, 1, seed);

    public static BatchLoader Loader(int count = 200, int batch = 20) => new(Pictures(count), new BatchOptions { BatchSize = batch, Seed = 2, Normalization = new InputNormalization([0.5f], [0.25f]) });

    public static float[] Random(int length, long seed)
    {
        var random = SeededRandom.Of(seed);
        float[] values = new float[length];
        for (int i = 0; i < length; i++) values[i] = (float)random.NextNormal();
        return values;
    }
}

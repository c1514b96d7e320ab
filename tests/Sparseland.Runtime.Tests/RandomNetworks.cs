using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Runtime.Tests;

/// <summary>Seeded small networks with every kind of layer and shortcut, and pruned weights.</summary>
internal static class RandomNetworks
{
    /// <summary>Convolutions, batch norms, residuals, pools and a linear head; input [batch, 3, size, size], output [batch, 5].</summary>
    public static ModelGraph Convolutional(int seed, double density, int size = 12)
    {
        var random = new Random(seed);
        var b = new GraphBuilder($"cnn{seed}", seed);
        Value x = b.Input("x", ElementType.Float32, Dimension.Named("batch"), 3, size, size);
        x = b.Conv(x, "stem", 8, 3, padding: 1);
        for (int i = 0; i < 5; i++)
        {
            string name = $"block{i}";
            Value y = x;
            switch (random.Next(6))
            {
                case 0:
                    y = b.Relu(b.BatchNorm(b.Conv(x, name + ".conv", x.Size(1), 3, padding: 1, bias: false), name + ".bn"));
                    y = b.Relu(b.Add(b.BatchNorm(b.Conv(y, name + ".conv2", x.Size(1), 1), name + ".bn2"), x));
                    break;
                case 1:
                    y = b.Clip(b.Conv(x, name + ".depthwise", x.Size(1), 3, padding: 1, groups: x.Size(1)), 0, 6);
                    y = b.Conv(y, name + ".point", 4 * random.Next(1, 5), 1);
                    break;
                case 2:
                    y = b.BatchNorm(b.Conv(x, name + ".conv", 4 * random.Next(1, 5), 3, stride: x.Size(2) > 3 ? 2 : 1, padding: 1), name + ".bn");
                    break;
                case 3:
                    Value left = b.Sigmoid(b.Conv(x, name + ".left", 4, 3, padding: 2, dilation: 2)), right = b.Conv(x, name + ".right", 6, 1);
                    y = b.Concat(1, left, b.Mul(right, b.Scalar(0.5f)), x);
                    break;
                case 4:
                    if (x.Size(2) > 3) y = random.Next(2) == 0 ? b.MaxPool(x, 3, 2, 1) : b.AveragePool(x, 2);
                    break;
                default:
                    // A gate per channel, computed from the whole image.
                    Value gate = b.Sigmoid(b.Conv(b.GlobalAveragePool(x), name + ".gate", x.Size(1), 1));
                    y = b.Add(b.Mul(x, gate), x);
                    break;
            }
            x = y;
        }
        x = b.Flatten(b.GlobalAveragePool(x));
        x = b.Relu(b.Linear(x, "hidden", 24));
        ModelGraph graph = b.Build(b.Linear(x, "head", 5));
        Randomise(graph, seed);
        Prune(graph, seed, density);
        return graph;
    }

    /// <summary>Norms, attention and gated layers; input [batch, tokens, 16], output the same.</summary>
    public static ModelGraph Transformer(int seed, double density)
    {
        var random = new Random(seed);
        var b = new GraphBuilder($"transformer{seed}", seed);
        Value x = b.Input("x", ElementType.Float32, Dimension.Named("batch"), Dimension.Named("tokens"), 16);
        for (int i = 0; i < 2; i++)
        {
            using IDisposable scope = b.Scope($"layer{i}");
            Value n = random.Next(2) == 0 ? b.LayerNorm(x, "norm") : b.RmsNorm(x, "norm");
            int shared = random.Next(2) == 0 ? 4 : 2;
            Value attention = b.Attention(b.Linear(n, "q", 16), b.Linear(n, "k", 4 * shared), b.Linear(n, "v", 4 * shared), causal: random.Next(2) == 0, heads: 4, keyValueHeads: shared);
            x = b.Add(x, b.Linear(attention, "o", 16));
            n = b.RmsNorm(x, "norm2");
            Value hidden = random.Next(2) == 0
                ? b.Mul(b.Silu(b.Linear(n, "gate", 40, bias: false)), b.Linear(n, "up", 40, bias: false))
                : b.Gelu(b.Linear(n, "up", 40));
            x = b.Add(b.Linear(hidden, "down", 16), x);
        }
        ModelGraph graph = b.Build(b.Softmax(x));
        Randomise(graph, seed);
        Prune(graph, seed, density);
        return graph;
    }

    public static TensorData Input(int seed, params ReadOnlySpan<int> shape) => Initializer.Uniform(1).Create(new Random(seed), shape);

    /// <summary>Biases, scales and statistics start at zero or one: give them values that matter.</summary>
    private static void Randomise(ModelGraph graph, int seed)
    {
        var random = new Random(seed + 1);
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length == 1 && w.ElementType == ElementType.Float32))
        {
            float[] values = (float[])weight.Read().Array<float>().Clone();
            for (int i = 0; i < values.Length; i++) values[i] = values[i] * 0.8f + 0.1f + random.NextSingle() * 0.3f;
            weight.Set(TensorData.Wrap(values, weight.Shape));
        }
    }

    public static void Prune(ModelGraph graph, int seed, double density)
    {
        if (density >= 1) return;
        var random = new Random(seed + 2);
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length >= 2 && w.ElementType == ElementType.Float32))
        {
            int rows = weight.Shape[0], columns = weight.Length / rows;
            float[] scores = Array.ConvertAll(weight.Read().ToSingles(), Math.Abs);
            SparsityPattern pattern = random.Next(4) switch { 0 => SparsityPattern.Block(4, 1), 1 => SparsityPattern.NofM(2, 4), _ => SparsityPattern.Unstructured };
            weight.SetMask(PatternProjection.KeepBest(pattern, scores, rows, columns, density).Reshape(weight.Shape));
        }
    }
}

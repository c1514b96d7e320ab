using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>Random networks over all operators that state a coupling: images first, then perhaps tokens, several branches and outputs.</summary>
internal static class RandomGraphs
{
    public static ModelGraph Make(int seed)
    {
        var random = new Random(seed);
        var g = new GraphBuilder($"random {seed}", seed);
        bool fixedBatch = random.Next(3) == 0;
        Value x = g.Input("x", ElementType.Float32, fixedBatch ? 2 : Dimension.Named("batch"), 3, 8, 8);
        x = g.Conv(x, "stem", 4 * random.Next(1, 4), 3, padding: 1);
        int steps = random.Next(4, 12);
        for (int i = 0; i < steps; i++) x = ImageStep(g, random, x, $"s{i}");
        if (random.Next(3) == 0) g.Output("side", g.Conv(x, "side", 3, 1));
        switch (random.Next(4))
        {
            case 0:
                return Finish(g, g.Conv(x, "head", 4, 1), seed);
            case 1:
                return Finish(g, g.Linear(g.Flatten(x), "head", 4), seed);
            case 2:
                return Finish(g, g.Linear(g.Flatten(g.GlobalAveragePool(x)), "head", 4), seed);
            default:
                int width = 4 * random.Next(2, 5);
                x = g.Conv(x, "patch", width, 1);
                x = g.Transpose(g.Reshape(x, 0, width, x.Size(2) * x.Size(3)), 0, 2, 1);
                int blocks = random.Next(1, 4);
                for (int i = 0; i < blocks; i++) x = TokenStep(g, random, x, $"t{i}");
                if (random.Next(2) == 0) x = g.Gather(x, g.Constant(TensorData.Scalar(0L)), 1);
                return Finish(g, g.Linear(x, "head", 4), seed);
        }
    }

    private static ModelGraph Finish(GraphBuilder g, Value y, int seed) => OperatorCouplingTests.Randomised(g.Output("y", y).Build(), seed);

    private static Value ImageStep(GraphBuilder g, Random random, Value x, string name)
    {
        int channels = x.Size(1), size = x.Size(2), wide = 2 * random.Next(2, 6);
        switch (random.Next(22))
        {
            case 0:
                return g.Conv(x, name, wide, 3, padding: 1, bias: random.Next(2) == 0);
            case 1:
                return g.Relu(g.BatchNorm(g.Conv(x, name, wide, 1, bias: false), name + ".bn"));
            case 2:
                return g.Conv(x, name, channels, 3, padding: 1, groups: channels);
            case 3:
                return g.Conv(x, name, 2 * channels, 3, padding: 1, groups: channels);
            case 4 when channels % 2 == 0:
                return g.Conv(x, name, 2 * wide, 3, padding: 1, groups: 2);
            case 5:
                return Activation(g, random, x);
            case 6:
                return g.Relu(g.Add(x, g.Conv(Activation(g, random, g.Conv(x, name + "a", wide, 3, padding: 1)), name + "b", channels, 1)));
            case 7:
                return g.Concat(1, x, g.Relu(g.Conv(x, name, 4, 1)));
            case 8 when channels >= 4:
                {
                    int cut = random.Next(1, channels);
                    Value[] parts = g.Split(x, 1, cut, channels - cut);
                    return g.Concat(1, g.Relu(g.Conv(parts[0], name, 4, 1)), parts[1]);
                }
            case 9 when channels % 2 == 0:
                {
                    Value[] parts = g.AddMany("Split", [x], 2, a => a.Set("axis", 1L).Set("num_outputs", 2L));
                    return g.Mul(parts[0], g.Sigmoid(parts[1]));
                }
            case 10:
                {
                    int from = random.Next(0, channels - 1), to = random.Next(from + 1, channels + 1);
                    return g.Slice(x, 1, from, to);
                }
            case 11:
                return g.Gather(x, g.Integers([.. Enumerable.Range(0, random.Next(2, channels + 3)).Select(_ => (long)random.Next(-channels, channels))]), 1);
            case 12 when size % 2 == 0:
                {
                    Value s = g.Add("Slice", [x, g.Integers(0, 0), g.Integers(size, size), g.Integers(2, 3), g.Integers(2, 2)]);
                    int before = random.Next(0, 3), after = random.Next(1, 3);
                    s = g.Add("Pad", [s, g.Integers(0, before, 0, 0, 0, after, 0, 0)]);
                    return g.Add(s, g.Conv(x, name, channels + before + after, 3, stride: 2, padding: 1));
                }
            case 13:
                {
                    Value s = g.Conv(g.Relu(g.Conv(g.GlobalAveragePool(x), name + "d", wide, 1)), name + "u", channels, 1);
                    return g.Mul(x, g.Sigmoid(s));
                }
            case 14 when channels % 4 == 0:
                return g.GroupNorm(x, name, channels / 2);
            case 15 when channels % 4 == 0:
                return g.Reshape(g.Transpose(g.Reshape(x, 0, 2, channels / 2, size, size), 0, 2, 1, 3, 4), 0, channels, size, size);
            case 16:
                return g.ConvTranspose(x, name, wide, 3, padding: 1);
            case 17 when size % 2 == 0 && size > 2:
                return random.Next(2) == 0 ? g.MaxPool(x, 2) : g.AveragePool(x, 2);
            case 18:
                return g.Softmax(g.Conv(x, name, wide, 1), random.Next(2) == 0 ? 3 : 1);
            case 19:
                return g.Add(x, g.Weight(name + ".shift", Initializer.Normal(1), channels, 1, 1));
            case 20 when size % 2 == 0 && size > 2:
                return g.Add("SpaceToDepth", [x], a => a.Set("blocksize", 2L));
            case 21 when channels % 4 == 0 && size <= 8:
                return g.Add("DepthToSpace", [x], a => a.Set("blocksize", 2L).Set("mode", random.Next(2) == 0 ? "DCR" : "CRD"));
            default:
                return g.Relu(g.Conv(x, name, wide, 3, padding: 1));
        }
    }

    private static Value TokenStep(GraphBuilder g, Random random, Value x, string name)
    {
        int width = x.Size(2), size = 2 * random.Next(1, 3), shared = random.Next(1, 4), heads = shared * random.Next(1, 3);
        switch (random.Next(6))
        {
            case 0:
                return g.Add(x, g.Linear(Activation(g, random, g.Linear(g.LayerNorm(x, name + "n"), name + "a", 10)), name + "b", width));
            case 1:
                {
                    Value h = g.RmsNorm(x, name + "n");
                    return g.Add(x, g.Linear(g.Mul(g.Silu(g.Linear(h, name + "g", 9, bias: false)), g.Linear(h, name + "u", 9, bias: false)), name + "d", width));
                }
            case 2:
                {
                    Value h = g.LayerNorm(x, name + "n");
                    Value y = g.Attention(g.Linear(h, name + "q", heads * size), g.Linear(h, name + "k", shared * size), g.Linear(h, name + "v", shared * size), heads: heads, keyValueHeads: shared);
                    return g.Add(x, g.Linear(y, name + "o", width));
                }
            case 3:
                {
                    Value[] qkv = g.Split(g.Linear(g.LayerNorm(x, name + "n"), name + "qkv", 3 * heads * size), 2, heads * size, heads * size, heads * size);
                    Value Head(Value v) => g.Transpose(g.Reshape(v, 0, 0, heads, size), 0, 2, 1, 3);
                    Value y = g.MatMul(g.Softmax(g.MatMul(Head(qkv[0]), g.Transpose(Head(qkv[1]), 0, 1, 3, 2))), Head(qkv[2]));
                    return g.Add(x, g.Linear(g.Reshape(g.Transpose(y, 0, 2, 1, 3), 0, 0, heads * size), name + "o", width));
                }
            case 4:
                {
                    int tokens = x.Size(1);
                    return g.Add(g.Linear(x, name, width), g.Weight(name + ".positions", Initializer.Normal(1), 1, tokens, width));
                }
            default:
                {
                    Value[] gated = g.Split(g.Linear(x, name + "gu", 16), -1, 8, 8);
                    return g.Linear(g.Mul(gated[0], g.Gelu(gated[1])), name + "d", width);
                }
        }
    }

    private static Value Activation(GraphBuilder g, Random random, Value x) => random.Next(7) switch
    {
        0 => g.Relu(x),
        1 => g.Sigmoid(x),
        2 => g.Silu(x),
        3 => g.Gelu(x),
        4 => g.Clip(x, 0, 6),
        5 => g.Tanh(x),
        _ => g.LeakyRelu(x),
    };
}

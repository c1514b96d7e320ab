using Sparseland.Model.Graph;
using Sparseland.Model.Operators;

namespace Sparseland.Model.Tests.Operators;

/// <summary>Operators for which the standard's cases at hand have none: against definitions written from other operators.</summary>
public sealed class UncoveredOperatorsTests
{
    private static TensorData[] Evaluate(string op, TensorData?[] inputs, Action<NodeAttributes>? attributes = null, string domain = "", int outputs = 1, int seed = 0)
    {
        var node = new Node("n", op, inputs.Select((x, i) => x is null ? "" : $"x{i}"), Enumerable.Range(0, outputs).Select(i => $"y{i}"), domain);
        attributes?.Invoke(node.Attributes);
        Operator known = OperatorRegistry.Find(op, domain) ?? throw new InvalidOperationException(op);
        return [.. known.Evaluate(new EvaluationContext(node, inputs) { Random = new Random(seed) }).Take(outputs).Select(y => y!)];
    }

    private static TensorData Normal(int seed, params int[] shape) => Initializer.Normal(2).Create(new Random(seed), shape);

    private static void Same(TensorData expected, TensorData actual, double tolerance = 1e-5)
    {
        Assert.Equal(expected.Shape.ToArray(), actual.Shape.ToArray());
        Near.Equal(expected.ToSingles(), actual.ToSingles(), tolerance, tolerance);
    }

    [Fact]
    public void ActivationsFollowTheirFormulas()
    {
        TensorData x = Normal(1, 50);
        TensorData Expected(Func<double, double> f) => TensorData.Vector(Array.ConvertAll(x.Array<float>(), v => (float)f(v)));
        Same(Expected(v => v * Math.Max(0, Math.Min(1, (v + 3) / 6))), Evaluate("HardSwish", [x])[0]);
        Same(Expected(v => v * Math.Tanh(Math.Log(1 + Math.Exp(v)))), Evaluate("Mish", [x])[0]);
        Same(Expected(v => v / (1 + Math.Exp(-1.702 * v))), Evaluate("QuickGelu", [x], domain: "com.microsoft")[0]);
    }

    [Fact]
    public void MicrosoftOperatorsAreTheirCompositions()
    {
        TensorData x = Normal(2, 3, 8), bias = Normal(3, 8), skip = Normal(4, 3, 8), scale = Normal(5, 8), shift = Normal(6, 8);
        TensorData biased = Evaluate("Add", [x, bias])[0];
        Same(Evaluate("Gelu", [biased])[0], Evaluate("BiasGelu", [x, bias], domain: "com.microsoft")[0]);
        Same(Evaluate("Gelu", [x])[0], Evaluate("Gelu", [x], domain: "com.microsoft")[0]);
        Same(Evaluate("Gelu", [biased], a => a.Set("approximate", "tanh"))[0], Evaluate("FastGelu", [x, bias], domain: "com.microsoft")[0]);
        TensorData sum = Evaluate("Add", [Evaluate("Add", [x, skip])[0], bias])[0];
        TensorData[] actual = Evaluate("SkipLayerNormalization", [x, skip, scale, shift, bias], a => a.Set("epsilon", 1e-3f), "com.microsoft", outputs: 4);
        Same(Evaluate("LayerNormalization", [sum, scale, shift], a => a.Set("epsilon", 1e-3f))[0], actual[0]);
        Same(sum, actual[3]);
    }

    [Fact]
    public void GlobalLpPoolIsTheNormOfEachPlane()
    {
        TensorData x = Normal(7, 2, 3, 4, 5);
        TensorData expected = Evaluate("ReduceL2", [x, TensorData.Vector(2L, 3L)])[0];
        Same(expected, Evaluate("GlobalLpPool", [x])[0]);
    }

    [Fact]
    public void MeanVarianceNormalizationGivesMeanZeroAndVarianceOne()
    {
        TensorData y = Evaluate("MeanVarianceNormalization", [Normal(8, 4, 3, 5, 5)])[0];
        TensorData mean = Evaluate("ReduceMean", [y, TensorData.Vector(0L, 2L, 3L)])[0];
        TensorData square = Evaluate("ReduceMean", [Evaluate("Mul", [y, y])[0], TensorData.Vector(0L, 2L, 3L)])[0];
        Assert.All(mean.ToSingles(), m => Assert.InRange(m, -1e-5, 1e-5));
        Assert.All(square.ToSingles(), s => Assert.InRange(s, 1 - 1e-4, 1 + 1e-4));
    }

    [Fact]
    public void QuantisedConvolutionIsDequantiseConvolveQuantise()
    {
        var random = new Random(9);
        var x = new byte[2 * 3 * 6 * 6];
        var w = new sbyte[4 * 3 * 3 * 3];
        random.NextBytes(x);
        for (int i = 0; i < w.Length; i++) w[i] = (sbyte)random.Next(-128, 128);
        TensorData input = TensorData.Wrap(x, 2, 3, 6, 6), weight = TensorData.Wrap(w, 4, 3, 3, 3);
        TensorData scaleX = TensorData.Scalar(0.02f), zeroX = TensorData.Scalar((byte)117), scaleY = TensorData.Scalar(0.5f), zeroY = TensorData.Scalar((byte)130);
        TensorData scaleW = TensorData.Vector(0.01f, 0.02f, 0.03f, 0.04f), zeroW = TensorData.Vector<sbyte>(0, 0, 0, 0);
        void Attributes(NodeAttributes a) => a.Set("pads", 1, 1, 1, 1).Set("strides", 2, 2);

        TensorData real = Evaluate("Conv",
        [
            Evaluate("DequantizeLinear", [input, scaleX, zeroX])[0],
            Evaluate("DequantizeLinear", [weight, scaleW, zeroW], a => a.Set("axis", 0L))[0],
        ], Attributes)[0];
        byte[] expected = Evaluate("QuantizeLinear", [real, scaleY, zeroY])[0].Array<byte>();
        byte[] actual = Evaluate("QLinearConv", [input, scaleX, zeroX, weight, scaleW, zeroW, scaleY, zeroY], Attributes)[0].Array<byte>();
        // Halves may fall on either side after the detour over single precision.
        Assert.All(expected.Zip(actual), p => Assert.InRange(p.First - p.Second, -1, 1));
        Assert.True(expected.Zip(actual).Count(p => p.First != p.Second) <= 2);
        Assert.True(actual.Distinct().Count() > 20);
    }

    [Theory]
    [InlineData("RandomNormal", 1.5, 0.25)]
    [InlineData("RandomUniform", 2.0, 1.0 / 3)]
    public void DrawsHaveTheirMomentsAndFollowTheSeed(string op, double mean, double variance)
    {
        void Attributes(NodeAttributes a)
        {
            a.Set("shape", 100, 200);
            if (op == "RandomNormal") a.Set("mean", 1.5f).Set("scale", 0.5f);
            else a.Set("low", 1f).Set("high", 3f);
        }

        float[] Draw(int seed) => Evaluate(op, [], Attributes, seed: seed)[0].Array<float>();
        float[] y = Draw(1);
        Assert.InRange(y.Average(), mean - 0.02, mean + 0.02);
        Assert.InRange(y.Average(v => (v - mean) * (v - mean)), variance * 0.95, variance * 1.05);
        Near.BitEqual(y, Draw(1));
        Assert.NotEqual(y, Draw(2));
        Assert.Equal(y.Length, Evaluate(op + "Like", [TensorData.Zeros(ElementType.Float32, 100, 200)])[0].Length);
    }

    [Fact]
    public void TrainingDropoutKeepsTheMeanAndReportsItsMask()
    {
        TensorData x = TensorData.Zeros(ElementType.Float32, 20000);
        x.Span<float>().Fill(1);
        TensorData[] y = Evaluate("Dropout", [x, TensorData.Scalar(0.3f), TensorData.Scalar(true)], outputs: 2);
        Assert.InRange(y[0].ToSingles().Average(), 0.97, 1.03);
        Assert.All(y[0].ToSingles().Zip(y[1].Array<bool>()), p => Assert.Equal(p.Second ? 1 / 0.7f : 0, p.First, 1e-5));
    }

    // Each operator is one shared instance: many threads must get what one gets.
    [Fact]
    public void EvaluationIsThreadSafe()
    {
        TensorData x = Normal(10, 2, 4, 9, 9), w = Normal(11, 6, 4, 3, 3);
        float[] expected = Evaluate("Softmax", [Evaluate("Conv", [x, w])[0]], a => a.Set("axis", 1L))[0].Array<float>();
        Parallel.For(0, 64, _ => Near.BitEqual(expected, Evaluate("Softmax", [Evaluate("Conv", [x, w])[0]], a => a.Set("axis", 1L))[0].Array<float>()));
    }
}

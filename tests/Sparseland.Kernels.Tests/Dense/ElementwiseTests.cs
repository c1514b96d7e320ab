using Sparseland.Kernels.Dense;
using static Sparseland.Kernels.Tests.Dense.DenseTesting;

namespace Sparseland.Kernels.Tests.Dense;

[Collection("threads")]
public sealed class ElementwiseTests
{
    private delegate void Function(ReadOnlySpan<float> x, Span<float> y);

    private delegate void Gradient(ReadOnlySpan<float> x, ReadOnlySpan<float> g, Span<float> d);

    private static readonly (string Name, Function F, Func<double, double> Definition, Gradient? D, bool ByOutput)[] s_functions =
    [
        ("relu", Activations.Relu, x => Math.Max(x, 0), Activations.ReluBackward, false),
        ("relu6", (x, y) => Activations.Clamp(x, y, Clamp.Relu6), x => Math.Clamp(x, 0, 6), (x, g, d) => Activations.ClampBackward(x, g, d, Clamp.Relu6), false),
        ("leaky", (x, y) => Activations.LeakyRelu(x, y, 0.1f), x => x > 0 ? x : 0.1f * x, (x, g, d) => Activations.LeakyReluBackward(x, g, d, 0.1f), false),
        ("sigmoid", Activations.Sigmoid, x => 1 / (1 + Math.Exp(-x)), Activations.SigmoidBackward, true),
        ("tanh", Activations.Tanh, Math.Tanh, Activations.TanhBackward, true),
        ("silu", Activations.Silu, x => x / (1 + Math.Exp(-x)), Activations.SiluBackward, false),
        ("gelu", Activations.Gelu, x => x * Phi(x), Activations.GeluBackward, false),
        ("gelu tanh", Activations.GeluTanh, x => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))), Activations.GeluTanhBackward, false),
        ("erf", Activations.Erf, x => (2 * Phi(x * Math.Sqrt(2))) - 1, null, false),
        ("softplus", Activations.Softplus, x => Math.Max(x, 0) + Math.Log(1 + Math.Exp(-Math.Abs(x))), null, false),
        ("elu", (x, y) => Activations.Elu(x, y, 0.7f), x => x > 0 ? x : 0.7f * (Math.Exp(x) - 1), (x, g, d) => Activations.EluBackward(x, g, d, 0.7f), false),
        ("hard sigmoid", (x, y) => Activations.HardSigmoid(x, y), x => Math.Clamp((0.2f * x) + 0.5, 0, 1), null, false),
        ("hard swish", Activations.HardSwish, x => x * Math.Clamp((x / 6) + 0.5, 0, 1), Activations.HardSwishBackward, false),
    ];

    public static IEnumerable<object[]> Names() => s_functions.Select(f => new object[] { f.Name });

    [Theory]
    [MemberData(nameof(Names))]
    public void FunctionsAndGradientsFollowTheirDefinitions(string name)
    {
        (_, Function f, Func<double, double> definition, Gradient? derivative, bool byOutput) = s_functions.Single(s => s.Name == name);
        foreach (int length in (int[])[0, 1, 15, 33, 1025, 40000])
        {
            float[] x = Random(length, length, 8f), g = Random(length, length + 1);
            float[] y = SameEverywhere(() =>
            {
                var result = new float[length];
                f(x, result);
                return result;
            }, name);
            Near.Equal(x.Select(v => (float)definition(v)).ToArray(), y, 2e-6, 2e-6, name);
            if (derivative is null) continue;
            float[] d = SameEverywhere(() =>
            {
                var result = new float[length];
                derivative(byOutput ? y : x, g, result);
                return result;
            }, name);
            for (int i = 0; i < length; i++)
            {
                // Away from the kinks.
                double v = x[i];
                if (Math.Abs(v) < 1e-3 || Math.Abs(v - 6) < 1e-3 || Math.Abs(Math.Abs(v) - 3) < 1e-3) continue;
                double slope = (definition(v + 1e-5) - definition(v - 1e-5)) / 2e-5;
                Assert.True(Math.Abs((slope * g[i]) - d[i]) < 1e-5, $"{name}'({v}) is {slope}, got {d[i] / g[i]}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void NaNStaysAndInfinitiesHaveTheirLimits(string name)
    {
        (_, Function f, Func<double, double> definition, _, _) = s_functions.Single(s => s.Name == name);
        float[] x = Enumerable.Repeat(1f, 40).ToArray(), y = new float[40];
        (x[3], x[17], x[38]) = (float.NaN, float.PositiveInfinity, float.NegativeInfinity);
        f(x, y);
        Assert.True(float.IsNaN(y[3]));
        Assert.Equal((float)definition(1), y[39], 1e-5f);
        double above = definition(300), below = definition(-300);
        Assert.Equal(above > 10 ? double.PositiveInfinity : above, y[17], 1e-6);
        if (name != "hard swish") Assert.Equal(below < -10 ? double.NegativeInfinity : below, y[38], 1e-6);
    }

    [Fact]
    public void GeluKeepsTheDigitsOfItsTail()
    {
        float[] x = [-6f, -5f, -4f, -3f, -2f], y = new float[5];
        Activations.Gelu(x, y);
        for (int i = 0; i < x.Length; i++) Assert.Equal(1.0, y[i] / (x[i] * Phi(x[i])), 1e-5);
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(5, 17, 1)]
    [InlineData(130, 1000, 1)]
    [InlineData(3, 9, 33)]
    [InlineData(2, 40, 500)]
    public void SoftmaxAndItsLogarithm(int outer, int axis, int inner)
    {
        int count = outer * axis * inner;
        float[] x = Random(count, 1, 20f), g = Random(count, 2);
        float[] all = SameEverywhere(() =>
        {
            float[] y = new float[count], l = new float[count], dy = new float[count], dl = new float[count];
            Softmax.Forward(x, y, outer, axis, inner);
            Softmax.LogForward(x, l, outer, axis, inner);
            Softmax.Backward(y, g, dy, outer, axis, inner);
            Softmax.LogBackward(l, g, dl, outer, axis, inner);
            return [.. y, .. l, .. dy, .. dl];
        }, "softmax");
        for (int o = 0; o < outer; o++)
        {
            for (int j = 0; j < inner; j++)
            {
                int[] at = Enumerable.Range(0, axis).Select(a => (((o * axis) + a) * inner) + j).ToArray();
                double max = at.Max(i => x[i]), sum = at.Sum(i => Math.Exp(x[i] - max)), gradientSum = at.Sum(i => (double)g[i]);
                double dot = at.Sum(i => g[i] * Math.Exp(x[i] - max) / sum);
                foreach (int i in at)
                {
                    double p = Math.Exp(x[i] - max) / sum;
                    Assert.Equal(p, all[i], 2e-6);
                    Assert.Equal(x[i] - max - Math.Log(sum), all[count + i], 1e-5);
                    Assert.Equal(p * (g[i] - dot), all[(2 * count) + i], 5e-6);
                    Assert.Equal(g[i] - (p * gradientSum), all[(3 * count) + i], 1e-4);
                }
            }
        }
    }

    // The normal distribution function by its continued fraction and series (Abramowitz, Stegun 26.2.10, 26.2.14).
    private static double Phi(double x)
    {
        double density = Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI), a = Math.Abs(x);
        if (a > 6)
        {
            double fraction = a;
            for (int i = 60; i > 0; i--) fraction = a + (i / fraction);
            return x > 0 ? 1 - (density / fraction) : density / fraction;
        }
        double term = a, sum = a;
        for (int n = 1; n < 200; n++) sum += term *= a * a / ((2 * n) + 1);
        // Below -4 the difference loses digits that a double still has to spare.
        return 0.5 + (Math.Sign(x) * density * sum);
    }
}

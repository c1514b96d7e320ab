using Sparseland.Training.Autograd;
using Sparseland.Training.Losses;

namespace Sparseland.Training.Tests.Losses;

/// <summary>Values against a direct computation in double elsewhere; gradients against central differences.</summary>
public class LossTests
{
    private static readonly float[] s_logits = [1, -2, 0.5f, 3, 0.2f, 0.1f, -0.3f, 0.4f];
    private static readonly float[] s_teacher = [2, -1, 0, 1.5f, 0.5f, 0.5f, -1, 0];

    [Theory]
    [InlineData(0, 0.8097021285037869)]
    [InlineData(0.1, 0.928452128503787)]
    public void CrossEntropy(double smoothing, double expected) => Check(x => Loss.CrossEntropy(x, [3, 1], smoothing), expected);

    [Theory]
    [InlineData(1, 0.37145913875096476)]
    [InlineData(4, 0.35903518594841677)]
    public void Distillation(double temperature, double expected) =>
        Check(x => Loss.Distillation(x, Tensor.From(s_teacher, 2, 4), temperature), expected);

    [Fact]
    public void SoftTargetsAgreeWithHardOnes()
    {
        Tensor hard = Loss.CrossEntropy(Tensor.From(s_logits, 2, 4), [3, 1]);
        Check(x => Loss.CrossEntropy(x, Tensor.From([0, 0, 0, 1, 0, 1, 0, 0], 2, 4)), hard.Item());
    }

    [Fact]
    public void IgnoredTargetsDoNotCount()
    {
        Tensor one = Loss.CrossEntropy(Tensor.From(s_logits.AsSpan(0, 4), 1, 4), [3]);
        Check(x => Loss.CrossEntropy(x, [3, Loss.IgnoredTarget]), one.Item());
        Tensor none = Leaf();
        Tensor loss = Loss.CrossEntropy(none, [Loss.IgnoredTarget, Loss.IgnoredTarget]);
        Assert.Equal(0, loss.Item());
        loss.Backward();
        Assert.All(none.Grad!.ToArray(), g => Assert.Equal(0, g));
    }

    [Fact]
    public void SquaredAbsoluteHuberAndBinary()
    {
        var target = Tensor.From(s_teacher, 2, 4);
        Check(x => Loss.MeanSquaredError(x, target), Mean(d => d * d));
        Check(x => Loss.MeanAbsoluteError(x, target), Mean(Math.Abs));
        Check(x => Loss.Huber(x, target, 0.6), Mean(d => Math.Abs(d) <= 0.6 ? d * d / 2 : 0.6 * (Math.Abs(d) - 0.3)));
        float[] labels = [1, 0, 0.25f, 1, 0, 0, 1, 1];
        double expected = s_logits.Zip(labels, (v, t) => (-t * Math.Log(1 / (1 + Math.Exp(-v)))) - ((1 - t) * Math.Log(1 - (1 / (1 + Math.Exp(-v)))))).Average();
        Check(x => Loss.BinaryCrossEntropy(x, Tensor.From(labels, 2, 4)), expected);
    }

    [Fact]
    public void LargeLogitsDoNotOverflow()
    {
        var x = Tensor.From([1000f, -1000, 0, 500], 1, 4);
        Assert.Equal(0, Loss.CrossEntropy(x, [0]).Item(), 4);
        Assert.Equal(2000, Loss.CrossEntropy(x, [1]).Item(), 1);
        Assert.True(float.IsFinite(Loss.Distillation(x, Tensor.From([-1000f, 1000, 0, 0], 1, 4), 1).Item()));
    }

    [Fact]
    public void WhatDoesNotFitIsRefused()
    {
        Tensor x = Leaf();
        Assert.Throws<ArgumentException>(() => Loss.CrossEntropy(x, [1]));
        Assert.Throws<ArgumentException>(() => Loss.CrossEntropy(x, [1, 4]));
        Assert.Throws<ArgumentException>(() => Loss.MeanSquaredError(x, Tensor.Zeros(2, 3)));
        Assert.Throws<ArgumentOutOfRangeException>(() => Loss.Distillation(x, x, 0));
    }

    private static double Mean(Func<double, double> f) => s_logits.Zip(s_teacher, (a, b) => f((double)a - b)).Average();

    private static Tensor Leaf()
    {
        var x = Tensor.From(s_logits, 2, 4);
        x.RequiresGrad = true;
        return x;
    }

    private static void Check(Func<Tensor, Tensor> loss, double expected)
    {
        Tensor x = Leaf(), value = loss(x);
        Assert.Equal(expected, value.Item(), 5);
        (value * 2f).Backward();
        float[] gradient = x.Grad!.ToArray();
        const float Step = 1f / 128;
        for (int i = 0; i < x.Length; i++)
        {
            float original = x.Values[i];
            double At(float v)
            {
                x.Values[i] = v;
                return loss(x).Item();
            }
            double numeric = (At(original + Step) - At(original - Step)) / (2 * Step);
            x.Values[i] = original;
            Assert.Equal(2 * numeric, gradient[i], 2e-3);
        }
    }
}

using Sparseland.Kernels.Sparse;
using Sparseland.Training.Autograd;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Tests.Runs;

namespace Sparseland.Training.Tests.Optimizers;

/// <summary>Gradients, moments and values of kept entries alone take the same steps as those of every entry.</summary>
public class MomentsTests
{
    private static readonly Tensor s_images = Tensor.Normal(new Random(5), 4, 3, 8, 8);
    private static readonly int[] s_labels = [0, 2, 1, 4];

    [Theory]
    [InlineData("sgd")]
    [InlineData("adamw")]
    public void KeptEntriesTakeTheStepsOfAllEntries(string algorithm)
    {
        TrainableModel packed = Model(), spread = Model();
        IOptimizer first = Make(algorithm, packed), second = Make(algorithm, spread);
        for (int step = 0; step < 9; step++)
        {
            if (step == 3) Exchange(packed);
            if (step == 3) Exchange(spread);
            // A dense gradient in between, as at an exchange of connections.
            foreach (Parameter p in packed.Parameters.Concat(spread.Parameters)) p.WantsDenseGradient = step == 5;
            Backward(packed);
            Backward(spread);
            if (step is not (2 or 5))
            {
                Parameter p = packed.Parameters.First(q => q.Mask is not null);
                Assert.Equal(p.Mask!.KeptCount, p.Value.StoredGrad!.Value.Values.Length);
            }
            // Whoever asks for the whole gradient gets it, and the optimizer works on that.
            foreach (Parameter p in spread.Parameters) Assert.NotNull(p.Grad);
            if (step == 2) foreach (Parameter p in packed.Parameters) Assert.Equal(p.Value.Length, p.Grad!.Length);
            GradientClipping.ByValue(packed.Parameters, 0.02f);
            GradientClipping.ByValue(spread.Parameters, 0.02f);
            Assert.Equal(GradientClipping.ByNorm(spread.Parameters, 0.05), GradientClipping.ByNorm(packed.Parameters, 0.05));
            first.Step();
            second.Step();
            if (step == 6)
            {
                // Out and in again: the next steps are the same.
                IOptimizer third = Make(algorithm, packed);
                third.Import(first.Export());
                first = third;
            }
            foreach ((Parameter a, Parameter b) in packed.Parameters.Zip(spread.Parameters))
            {
                Assert.Equal(b.Value.ToArray(), a.Value.ToArray());
                if (a.Mask is { } mask) Assert.All(Enumerable.Range(0, mask.Length).Where(i => !mask[i]), i => Assert.Equal(0f, a.Value.Values[i]));
            }
            foreach ((string name, var moment) in second.Export().Moments) Assert.Equal(moment.Span<float>().ToArray(), first.Export().Moments[name].Span<float>().ToArray());
        }
    }

    [Fact]
    public void BytesFollowTheDensity()
    {
        TrainableModel model = Model();
        var optimizer = (Optimizer)Make("adamw", model);
        for (int step = 0; step < 2; step++)
        {
            Backward(model);
            optimizer.Step();
        }
        long kept = model.Parameters.Sum(p => (long)(p.Mask?.KeptCount ?? p.Value.Length));
        Assert.Equal(2 * kept * sizeof(float), optimizer.MomentBytes);
        foreach (Parameter p in model.Parameters.Where(p => p.Mask is not null))
        {
            Assert.Equal(p.Mask!.KeptCount, p.Value.StoredGrad!.Value.Values.Length);
            Assert.False(p.Value.Storage.IsMade);
            Assert.Equal(p.Mask.KeptCount, p.Value.ToArray().Count(v => v != 0));
            Assert.True(p.Value.Storage.IsMade);
        }
    }

    [Fact]
    public void GradientsOfTwoPassesAddUp()
    {
        TrainableModel model = Model();
        Parameter p = model.Parameters.First(q => q.Mask is not null);
        Backward(model);
        float[] once = p.Value.StoredGrad!.Value.Values.ToArray();
        model.IsTraining = true;
        Loss.CrossEntropy(model.Forward(s_images), s_labels).Backward();
        float[] twice = p.Value.StoredGrad!.Value.Values.ToArray();
        Assert.Equal(System.Array.ConvertAll(once, v => v + v), twice);
        Loss.CrossEntropy(model.Forward(s_images), s_labels).Backward();
        p.WantsDenseGradient = true;
        Loss.CrossEntropy(model.Forward(s_images), s_labels).Backward();
        float[] kept = new float[once.Length];
        p.Mask!.Gather(p.Grad!.Values, kept);
        Near.Equal(System.Array.ConvertAll(once, v => 4 * v), kept, 1e-4, 1e-5, "four passes");
    }

    private static void Exchange(TrainableModel model)
    {
        foreach (Parameter p in model.Parameters.Where(p => p.Mask is not null).ToArray())
        {
            bool[] flags = p.Mask!.ToFlags();
            for (int i = 0; i + 1 < flags.Length; i += 7) (flags[i], flags[i + 1]) = (flags[i + 1], flags[i]);
            model.SetMask(p, Mask.FromFlags(p.Mask.Shape, flags));
        }
    }

    private static void Backward(TrainableModel model)
    {
        model.ZeroGrad();
        Loss.CrossEntropy(model.Forward(s_images), s_labels).Backward();
    }

    private static IOptimizer Make(string algorithm, TrainableModel model)
    {
        IOptimizer optimizer = algorithm == "sgd" ? new Sgd(model.Parameters, 0.1, 0.9, 1e-2) : new AdamW(model.Parameters, 0.01);
        model.MaskChanged += optimizer.OnMaskChanged;
        return optimizer;
    }

    private static TrainableModel Model()
    {
        var model = new TrainableModel(TestNetworks.Convolutional(3, 8, 5), new TrainableModelOptions { LinearBreakEven = 1, ConvolutionBreakEven = 1 });
        var random = new Random(3);
        foreach (Parameter p in model.Parameters.Where(p => p.Kind == ParameterKind.Weight))
        {
            bool[] flags = [.. Enumerable.Range(0, p.Value.Length).Select(_ => random.Next(5) == 0)];
            model.SetMask(p, Mask.FromFlags(p.Value.Shape, flags));
        }
        return model;
    }
}

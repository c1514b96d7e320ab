using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Methods;
using Sparseland.Training;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Methods;

public class IterativeShrinkageTests
{
    private static TrainingSparsifier Method(double sparsity, string factor, string end = "0.5", SparsityPattern? pattern = null) => (TrainingSparsifier)MethodCatalog.Get("iss").Build(
        new PruningSettings { Sparsity = sparsity, Bounds = LayerBounds.None, Pattern = pattern ?? SparsityPattern.Unstructured }, new Dictionary<string, string> { ["factor"] = factor, ["end"] = end }, 20);

    private static TrainableModel Train(params ITrainerCallback[] callbacks) => Train(2e-3, callbacks);

    private static TrainableModel Train(double rate, params ITrainerCallback[] callbacks)
    {
        var model = new TrainableModel(Make.Network());
        using var trainer = new Trainer(model, new Adam(model.Parameters, rate), new Constant(rate), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 20, Callbacks = callbacks });
        trainer.Run();
        return model;
    }

    [Fact]
    public void Three_iterations_worked_example()
    {
        float[] weights = [1, -0.5f, 0.2f, 0.1f];
        for (int i = 0; i < 3; i++) IterativeShrinkage.Shrink(weights, IterativeShrinkage.RemovedCount(0.5, 4), 0.95f);
        Near.Equal([1, -0.5f, 0.171475f, 0.0857375f], weights, 1e-7);
        Assert.Equal(0.00592, Math.Pow(0.95, 100), 5);
        Assert.Equal(13.51, Math.Round(Math.Log(0.5) / Math.Log(0.95), 2));
        // Of equal magnitudes the higher index is shrunk.
        float[] ties = [1, 1, 1, 1];
        IterativeShrinkage.Shrink(ties, 2, 0.5f);
        Assert.Equal([1, 1, 0.5f, 0.5f], ties);
    }

    [Theory]
    [InlineData(0.5, 4, 2)]
    [InlineData(0.51, 4, 3)]
    [InlineData(0.999, 1000, 995)]
    public void Counts_are_rounded_up_and_capped(double sparsity, int length, int removed) => Assert.Equal(removed, IterativeShrinkage.RemovedCount(sparsity, length));

    [Fact]
    public void Nothing_is_masked_before_the_cut_and_counts_are_constant_after_it()
    {
        var seen = new List<(long Step, bool Masked, long Zeros)>();
        TrainingSparsifier method = Method(0.8, "0.95");
        var watch = new Watch(c => seen.Add((c.Step, c.Model.Parameters.Any(p => p.Mask is not null), c.Model.Parameter("conv2.weight").Value.ToArray().LongCount(v => v == 0))));
        TrainableModel model = Train(method, watch);
        int length = model.Parameter("conv2.weight").Value.Length, removed = IterativeShrinkage.RemovedCount(0.8, length);
        Assert.All(seen.Where(s => s.Step < 9), s => Assert.True(!s.Masked && s.Zeros < removed));
        Assert.All(seen.Where(s => s.Step >= 9), s => Assert.True(s.Masked && s.Zeros >= removed));
        Assert.All(method.Result().Layers, l => Assert.Equal(l.Layer.Length - IterativeShrinkage.RemovedCount(0.8, l.Layer.Length), l.After));
    }

    [Fact]
    public void A_factor_of_zero_is_hard_thresholding_and_lets_zeros_come_back()
    {
        var zeros = new List<bool[]>();
        TrainingSparsifier method = Method(0.8, "0", "1");
        // A zero comes back when one step carries it past the smallest weight that is left: the rate is large here.
        Train(0.3, method, new Watch(c => zeros.Add([.. c.Model.Parameter("conv2.weight").Value.ToArray().Select(v => v == 0)])));
        int removed = IterativeShrinkage.RemovedCount(0.8, zeros[0].Length);
        Assert.All(zeros, z => Assert.Equal(removed, z.Count(v => v)));
        Assert.NotEqual(zeros[2], zeros[12]);
    }

    [Fact]
    public void A_factor_of_one_is_dense_training_until_the_cut()
    {
        var states = new List<float[]>();
        Train(new Watch(c => states.Add(c.Model.Parameter("conv2.weight").Value.ToArray())));
        var other = new List<float[]>();
        Train(Method(0.8, "1", "1"), new Watch(c => other.Add(c.Model.Parameter("conv2.weight").Value.ToArray())));
        for (int s = 0; s < 19; s++) Near.BitEqual(states[s], other[s]);
        Assert.NotEqual(states[19], other[19]);
    }

    [Fact]
    public void Floors_hold_at_the_cut()
    {
        TrainingSparsifier method = MethodCatalog.Get("iss").Build(new PruningSettings { Sparsity = 0.9, Bounds = new LayerBounds { FloorFactor = 0, MinKeep = 50 } }, null, 20) as TrainingSparsifier
            ?? throw new InvalidOperationException();
        Train(method);
        Assert.All(method.Result().Layers, l => Assert.Equal(Math.Min(l.Layer.Length, Math.Max(50, l.Layer.Length - IterativeShrinkage.RemovedCount(0.9, l.Layer.Length))), l.After));
        Assert.Contains(method.Result().Layers, l => l.After == 50);
    }

    [Fact]
    public void Patterns_of_n_in_m_hold_after_the_cut()
    {
        TrainableModel model = Train(Method(0.5, "0.9", "0.5", SparsityPattern.NofM(2, 4)));
        Assert.Contains(model.Parameters, p => p.Mask is not null && Math.Abs(p.Mask.Density - 0.5) < 1e-9);
    }

    private sealed class Watch(Action<TrainingContext> action) : ITrainerCallback
    {
        public string Name => "watch";

        public void OnStepEnd(TrainingContext context) => action(context);
    }
}

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

    [Theory]
    [InlineData(0.999, true)]
    [InlineData(0.9, false)]
    public void A_layer_that_keeps_more_than_asked_for_is_said(double sparsity, bool said)
    {
        TrainingSparsifier method = Method(sparsity, "0.95");
        Train(method);
        PruningResult result = method.Result();
        Assert.Equal(said, result.Warnings.Any(w => w.Contains("keep more than asked for", StringComparison.Ordinal)));
        if (said) Assert.True(result.Achieved < sparsity);
    }

    [Fact]
    public void Patterns_of_n_in_m_hold_after_the_cut()
    {
        TrainableModel model = Train(Method(0.5, "0.9", "0.5", SparsityPattern.NofM(2, 4)));
        Assert.Contains(model.Parameters, p => p.Mask is not null && Math.Abs(p.Mask.Density - 0.5) < 1e-9);
    }

    [Fact]
    public void The_regularised_form_pulls_what_is_small_and_cuts_at_the_end_of_the_stage()
    {
        var method = (IterativeShrinkage)MethodCatalog.Get("iss").Build(new PruningSettings { Sparsity = 0.8, Bounds = LayerBounds.None },
            new Dictionary<string, string> { ["variant"] = "penalty", ["penalty"] = "0.5", ["interval"] = "4", ["end"] = "0.75" }, 20);
        var penalties = new List<float[]>();
        var small = new List<bool[]>();
        TrainableModel model = Train(new Watch(c =>
        {
            float[] magnitudes = Array.ConvertAll(c.Model.Parameter("conv2.weight").Value.ToArray(), MathF.Abs);
            small.Add([.. Pruning.Selection.ExactSelection.KeepBest(magnitudes, magnitudes.Length - IterativeShrinkage.RemovedCount(0.8, magnitudes.Length)).Select(k => !k)]);
        }), method, new Later(c => penalties.Add([.. method.Penalties("conv2.weight")])));
        // Checks come after steps 4, 8 and 12; each adds 0.5 to what is among the smallest then, and nothing is ever taken off.
        Assert.Empty(penalties[2]);
        Assert.Equal(small[3].Select(s => s ? 0.5f : 0), penalties[3]);
        Assert.Equal(penalties[3], penalties[6]);
        Assert.Equal(penalties[3].Zip(small[7], (p, s) => p + (s ? 0.5f : 0)), penalties[7]);
        Assert.Equal(penalties[7].Zip(small[11], (p, s) => p + (s ? 0.5f : 0)), penalties[13]);
        // The cut removes the last of the smallest.
        Assert.Equal(small[14].Select(s => !s), model.Parameter("conv2.weight").Mask!.ToFlags());
        Assert.All(method.Result().Layers, l => Assert.Equal(l.Layer.Length - IterativeShrinkage.RemovedCount(0.8, l.Layer.Length), l.After));
    }

    [Fact]
    public void The_penalty_is_added_to_the_gradient_and_survives_a_checkpoint()
    {
        var method = (IterativeShrinkage)MethodCatalog.Get("iss").Build(new PruningSettings { Sparsity = 0.5, Bounds = LayerBounds.None },
            new Dictionary<string, string> { ["variant"] = "penalty", ["penalty"] = "0.25", ["interval"] = "1", ["end"] = "1" }, 4);
        float[][] before = new float[4][], after = new float[4][], weights = new float[4][], pull = new float[4][];
        TrainableModel model = new(Make.Network());
        void Look(TrainingContext c, float[][] into) => into[c.Step] = c.Model.Parameter("conv2.weight").Grad!.ToArray();
        using (var trainer = new Trainer(model, new Sgd(model.Parameters, 0.01), new Constant(0.01), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions
        {
            Steps = 4,
            Callbacks = [new Gradient("first", c => { Look(c, before); weights[c.Step] = c.Model.Parameter("conv2.weight").Value.ToArray(); pull[c.Step] = [.. method.Penalties("conv2.weight")]; }), method, new Gradient("last", c => Look(c, after))],
        })) trainer.Run();
        Assert.Equal(before[0], after[0]);
        for (int step = 1; step < 4; step++) Near.Equal([.. before[step].Select((g, i) => g + pull[step][i] * weights[step][i])], after[step], 1e-6, 1e-5);
        var copy = (IterativeShrinkage)MethodCatalog.Get("iss").Build(new PruningSettings { Sparsity = 0.5 }, new Dictionary<string, string> { ["variant"] = "penalty" }, 20);
        var source = (IterativeShrinkage)MethodCatalog.Get("iss").Build(new PruningSettings { Sparsity = 0.5 }, new Dictionary<string, string> { ["variant"] = "penalty", ["interval"] = "2", ["end"] = "1" }, 20);
        Train(source, new Later(c =>
        {
            if (c.Step == 10) copy.Import(source.Export());
        }));
        Assert.Contains(copy.Penalties("conv2.weight"), p => p > 0);
    }

    private sealed class Gradient(string name, Action<TrainingContext> action) : ITrainerCallback
    {
        public string Name => name;

        public void OnGradients(TrainingContext context) => action(context);
    }

    private sealed class Later(Action<TrainingContext> action) : ITrainerCallback
    {
        public string Name => "later";

        public void OnStepEnd(TrainingContext context) => action(context);
    }

    private sealed class Watch(Action<TrainingContext> action) : ITrainerCallback
    {
        public string Name => "watch";

        public void OnStepEnd(TrainingContext context) => action(context);
    }
}

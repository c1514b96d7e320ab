using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.MaskLearning;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Selection;
using Sparseland.Training;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Methods;

public class MaskLearningMethodTests
{
    private static TrainingSparsifier Method(string id, double sparsity, long steps, params (string Name, string Value)[] arguments) => (TrainingSparsifier)MethodCatalog.Get(id).Build(
        new PruningSettings { Sparsity = sparsity, Bounds = LayerBounds.None, Policy = MethodCatalog.Get(id).DefaultPolicy }, arguments.ToDictionary(a => a.Name, a => a.Value), steps);

    private static TrainableModel Train(TrainingSparsifier method, long steps, double rate = 0.05)
    {
        var model = new TrainableModel(Make.Network());
        using var trainer = new Trainer(model, new Sgd(model.Parameters, rate, 0.9), new Constant(rate), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = steps, Callbacks = [method] });
        trainer.Run();
        return model;
    }

    /// <summary>The masks of one global magnitude threshold over the first layers.</summary>
    private static bool[][] Magnitude(IReadOnlyList<PrunableLayer> layers, double density)
    {
        PruningTarget fresh = PruningTarget.Of(new TrainableModel(Make.Network()));
        return ExactSelection.KeepBest([.. layers.Select(l => Array.ConvertAll(fresh.Values(l), MathF.Abs))], ExactSelection.Count(density, layers.Sum(l => (long)l.Length)));
    }

    [Theory]
    [InlineData(0, 10)]
    [InlineData(0.25, 4)]
    [InlineData(0.5, 1)]
    [InlineData(0.75, 1)]
    [InlineData(0.9, 1)]
    public void Restriction_of_swaps_worked_examples(double progress, int swaps)
    {
        bool[] present = [.. Enumerable.Range(0, 20).Select(i => i < 10)], wanted = [.. present.Select(p => !p)];
        float[] scores = [.. Enumerable.Range(0, 20).Select(i => (float)i)];
        bool[] after = SwapLimit.Apply(Mask.FromFlags([20], present), Mask.FromFlags([20], wanted), scores, SwapLimit.Share(progress)).ToFlags();
        Assert.Equal(10, after.Count(a => a));
        Assert.Equal(swaps, Enumerable.Range(0, 10).Count(i => !after[i]));
        // The best of what comes, the worst of what goes.
        Assert.All(Enumerable.Range(0, swaps), i => Assert.True(after[19 - i] && !after[i]));
    }

    [Fact]
    public void Scores_that_are_no_numbers_any_more_are_an_error_and_no_mask() =>
        Assert.Equal("SL3012", Assert.Throws<SparselandException>(() => Train(Method("jackpots", 0.7, 60, ("rate", "1000"), ("decay", "1")), 60)).Code);

    [Fact]
    public void Jackpots_start_at_the_global_magnitude_mask_and_keep_counts_weights_and_head()
    {
        TrainingSparsifier method = Method("jackpots", 0.7, 30, ("rate", "0.5"));
        TrainableModel model = Train(method, 30);
        PruningResult result = method.Result();
        PrunableLayer[] layers = [.. result.Layers.Select(l => l.Layer)];
        Assert.DoesNotContain(layers, l => l.IsLast);
        bool[][] start = Magnitude(layers, 0.3);
        int moved = 0;
        var untouched = new TrainableModel(Make.Network());
        for (int l = 0; l < layers.Length; l++)
        {
            Parameter p = model.Parameter(layers[l].Name);
            bool[] now = p.Mask!.ToFlags();
            Assert.Equal(start[l].Count(k => k), now.Count(k => k));
            float[] original = untouched.Parameter(layers[l].Name).Value.ToArray();
            for (int i = 0; i < now.Length; i++) Assert.Equal(now[i] ? original[i] : 0, p.Value.Values[i]);
            moved += Enumerable.Range(0, now.Length).Count(i => now[i] && !start[l][i]);
        }
        Assert.True(moved > 0, "the search found nothing to exchange");
        // A search of no step is magnitude pruning with the same rates.
        TrainingSparsifier none = Method("jackpots", 0.7, 1, ("rate", "0.000001"));
        TrainableModel first = Train(none, 1);
        for (int l = 0; l < layers.Length; l++) Assert.Equal(start[l], first.Parameter(layers[l].Name).Mask!.ToFlags());
    }

    [Fact]
    public void A_random_start_keeps_the_counts_and_not_the_positions_of_magnitude()
    {
        TrainingSparsifier method = Method("jackpots", 0.7, 1, ("rate", "0.000001"), ("start", "random"));
        TrainableModel model = Train(method, 1);
        PrunableLayer[] layers = [.. method.Result().Layers.Select(l => l.Layer)];
        bool[][] magnitude = Magnitude(layers, 0.3);
        for (int l = 0; l < layers.Length; l++)
        {
            bool[] now = model.Parameter(layers[l].Name).Mask!.ToFlags();
            Assert.Equal(magnitude[l].Count(k => k), now.Count(k => k));
            Assert.NotEqual(magnitude[l], now);
        }
    }

    [Theory]
    [InlineData("jackpots", "", "0.5")]
    [InlineData("bip", "", "5")]
    [InlineData("bip", "row", "5")]
    [InlineData("bip", "column", "5")]
    public void What_had_been_removed_before_the_method_began_stays_removed_after_a_resumption_too(string id, string pattern, string rate)
    {
        MethodInfo info = MethodCatalog.Get(id);
        TrainingSparsifier Fresh() => (TrainingSparsifier)info.Build(new PruningSettings { Sparsity = 0.7, Bounds = LayerBounds.None, Policy = info.DefaultPolicy, Pattern = pattern.Length > 0 ? SparsityPattern.Parse(pattern) : SparsityPattern.Unstructured },
            new Dictionary<string, string> { ["rate"] = rate, ["momentum"] = "0.9" }, 30);
        var model = new TrainableModel(Make.Network());
        PruningTarget target = PruningTarget.Of(model);
        var before = new Dictionary<string, bool[]>();
        // At random: what is left holds small weights too, which the scores would like to exchange.
        foreach (PrunableLayer layer in target.Layers)
        {
            float[] draw = Make.Random(layer.Length, 7);
            bool[] kept = ExactSelection.KeepBest(draw, layer.Length / 2);
            target.SetMask(layer, Mask.FromFlags(layer.Shape.ToArray(), kept));
            before[layer.Name] = kept;
        }
        TrainingSparsifier method = Fresh();
        void Run(long steps)
        {
            using var trainer = new Trainer(model, new Sgd(model.Parameters, 0.05, 0.9), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = steps, Callbacks = [method, new Watch(_ => Check())] });
            trainer.Run();
            Check();
        }
        void Check()
        {
            foreach (LayerOutcome outcome in method.Result().Layers)
            {
                Parameter p = model.Parameter(outcome.Layer.Name);
                for (int i = 0; i < p.Value.Length; i++)
                {
                    if (!before[p.Name][i]) Assert.True(!p.Mask![i] && p.Value.Values[i] == 0, $"{p.Name}[{i}] came back");
                }
            }
        }
        Run(20);
        // Masks in the model are the method's by now: what came before them is known from the checkpoint alone.
        IReadOnlyDictionary<string, TensorData> state = method.Export();
        method = Fresh();
        method.Import(state);
        Run(20);
    }

    [Fact]
    public void A_target_that_more_has_been_removed_for_already_is_an_error()
    {
        var model = new TrainableModel(Make.Network());
        PruningTarget target = PruningTarget.Of(model);
        foreach (PrunableLayer layer in target.Layers) target.SetMask(layer, Mask.FromFlags(layer.Shape.ToArray(), [.. Enumerable.Range(0, layer.Length).Select(i => i % 2 == 0)]));
        using var trainer = new Trainer(model, new Sgd(model.Parameters, 0.05, 0.9), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 2, Callbacks = [Method("bip", 0.3, 2)] });
        Assert.Equal("SL4004", Assert.Throws<PruningException>(() => trainer.Run()).Code);
    }

    [Fact]
    public void A_removed_weight_of_zero_keeps_its_score_and_enters_when_a_kept_one_falls_below_it()
    {
        // theta = (1, 0), g = (1, 1), one kept, rate 0.1: r = (1 - 0.1, 0.99 - 0), so the second enters.
        float[] theta = [1, 0], g = [1, 1], scores = [1f, 0.99f];
        for (int i = 0; i < 2; i++) scores[i] -= 0.1f * (theta[i] * g[i]);
        Assert.Equal([0.9f, 0.99f], scores);
        Assert.Equal([false, true], ExactSelection.KeepBest(scores, 1));
        // The learner takes that step: with a rate so small that no mask changes, the scores that it exports moved by -rate theta g.
        TrainingSparsifier method = Method("jackpots", 0.7, 1, ("rate", "0.001"), ("momentum", "0"), ("decay", "0"));
        var model = new TrainableModel(Make.Network());
        float[][] weights = [], gradients = [];
        var watch = new Gradients(c =>
        {
            Parameter p = c.Model.Parameter("conv2.weight");
            weights = [[.. new TrainableModel(Make.Network()).Parameter("conv2.weight").Value.ToArray()]];
            gradients = [p.Grad!.ToArray()];
        });
        // Before the method: its own update must not have changed the gradient.
        using var trainer = new Trainer(model, new Sgd(model.Parameters, 0.05, 0.9), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 1, Callbacks = [watch, method] });
        trainer.Run();
        float[] after = method.Export()["score/conv2.weight"].Array<float>();
        bool[] start = Magnitude([.. method.Result().Layers.Select(l => l.Layer)], 0.3)[method.Result().Layers.ToList().FindIndex(l => l.Layer.Name == "conv2.weight")];
        for (int i = 0; i < after.Length; i++) Assert.Equal((start[i] ? 1f : 0.99f) - 0.001f * weights[0][i] * gradients[0][i], after[i], 1e-6f);
    }

    private sealed class Gradients(Action<TrainingContext> look) : ITrainerCallback
    {
        public string Name => "gradients";

        public void OnGradients(TrainingContext context) => look(context);
    }

    [Theory]
    [InlineData("row", 0.5)]
    [InlineData("row", 0.3)]
    [InlineData("column", 0.5)]
    public void Structured_bip_keeps_the_same_share_of_filters_or_channels_in_every_layer(string pattern, double sparsity)
    {
        var method = (TrainingSparsifier)MethodCatalog.Get("bip").Build(new PruningSettings { Sparsity = sparsity, Pattern = SparsityPattern.Parse(pattern) }, new Dictionary<string, string> { ["rate"] = "5" }, 8);
        TrainableModel model = Train(method, 8);
        PruningResult result = method.Result();
        Assert.Contains(result.Excluded, e => e.Layer.IsLast);
        Assert.NotEmpty(result.Layers);
        foreach (PrunableLayer layer in result.Layers.Select(l => l.Layer))
        {
            bool[] kept = layer.ToMatrix(model.Parameter(layer.Name).Mask!.ToFlags());
            int kernel = layer.Shape[2] * layer.Shape[3], groups = pattern == "row" ? layer.Rows : layer.Columns / kernel;
            var flags = new HashSet<bool>[groups];
            for (int i = 0; i < kept.Length; i++) (flags[pattern == "row" ? i / layer.Columns : i % layer.Columns / kernel] ??= []).Add(kept[i]);
            Assert.All(flags, f => Assert.Single(f));
            Assert.Equal(groups - (int)Math.Floor(sparsity * groups + 1e-9), flags.Count(f => f.Contains(true)));
        }
    }

    [Fact]
    public void Structured_bip_ranks_groups_by_the_norm_of_their_scores()
    {
        // Three filters of norms 5, sqrt(8), 6: two stay at a density of one half (3 - floor(1.5) = 2).
        PrunableLayer layer = Make.Layer("w", 3, 2);
        Assert.Equal([true, true, false, false, true, true], BilevelPruning.KeepGroups(layer, [3, -4, 2, 2, 0, 6], true, 0.5));
        Assert.Equal([false, true, false, true, false, true], BilevelPruning.KeepGroups(layer, [3, -4, 2, 2, 0, 6], false, 0.5));
        // Input channels of a convolution are whole kernels: norms 2 and 3 of two channels with 1x2 kernels.
        Assert.Equal([false, false, true, true], BilevelPruning.KeepGroups(Make.Layer("c", 1, 2, 1, 2), [2, 0, 0, 3], false, 0.5));
        // Five weights are three filters of two; a floor above the layer keeps all of it.
        Assert.Equal([true, true, true, true, true, true], BilevelPruning.KeepGroups(layer, [3, -4, 2, 2, 0, 6], true, 0.1, 5));
        Assert.Equal([true, true, false, false, true, true], BilevelPruning.KeepGroups(layer, [3, -4, 2, 2, 0, 6], true, 0.1, 4));
        Assert.Equal([true, true, true, true, true, true], BilevelPruning.KeepGroups(layer, [3, -4, 2, 2, 0, 6], false, 0.1, 100));
    }

    [Fact]
    public void Structured_bip_keeps_to_the_floors()
    {
        var method = (TrainingSparsifier)MethodCatalog.Get("bip").Build(new PruningSettings { Sparsity = 0.9, Pattern = SparsityPattern.Parse("row"), Bounds = new LayerBounds { FloorFactor = 0, MinKeep = 40 } }, null, 4);
        Train(method, 4);
        Assert.All(method.Result().Layers, l => Assert.InRange(l.After, 40, l.Layer.Length));
        Assert.Contains(method.Result().Layers, l => l.After < 40 + l.Layer.Columns);
    }

    [Fact]
    public void The_upper_level_of_bip_minimises_the_loss_of_the_run()
    {
        float[] Scores(double smoothing, Teacher? teacher)
        {
            TrainingSparsifier method = Method("bip", 0.8, 3);
            var model = new TrainableModel(Make.Network());
            // The rate is 0: weights stay, so what differs comes from the upper level alone.
            using var trainer = new Trainer(model, new Sgd(model.Parameters, 0), new Constant(0), Make.Loader(), TrainingLoss.CrossEntropy(smoothing), new TrainerOptions { Steps = 3, Teacher = teacher, Callbacks = [method] });
            trainer.Run();
            return method.Export()["score/conv2.weight"].Array<float>();
        }
        float[] plain = Scores(0, null);
        Assert.Equal(plain, Scores(0, null));
        Assert.NotEqual(plain, Scores(0.3, null));
        Assert.NotEqual(plain, Scores(0, new Teacher(new TrainableModel(Make.Network(seed: 5)), 0.5)));
    }

    [Fact]
    public void The_implicit_gradient_of_bip_worked_examples()
    {
        foreach ((double gamma, double explicitTerm, double formula, double exact) in ((double, double, double, double)[])[(10, -0.082645, -0.165289, -0.150263), (100, double.NaN, -0.019606, -0.019412)])
        {
            // l(z) = (z - 1)^2 / 2 at m = 1: theta* = 1 / (1 + gamma), g = z - 1.
            double theta = 1 / (1 + gamma), g = theta - 1;
            Assert.Equal(formula, BilevelPruning.MaskGradient(theta, 1, g, 1 / gamma), 6);
            if (!double.IsNaN(explicitTerm)) Assert.Equal(explicitTerm, BilevelPruning.MaskGradient(theta, 1, g, 0), 6);
            // d/dm of l(m theta*(m)) with theta*(m) = m / (m^2 + gamma), by central differences.
            double Loss(double m) => 0.5 * Math.Pow(m * m / (m * m + gamma) - 1, 2);
            Assert.Equal(exact, (Loss(1 + 1e-5) - Loss(1 - 1e-5)) / 2e-5, 6);
            Assert.Equal((1 + gamma) / gamma, formula / exact, 4);
        }
    }

    [Fact]
    public void Bip_keeps_exactly_as_many_over_all_layers_after_every_step_and_starts_at_magnitude()
    {
        var counts = new List<long>();
        var first = new List<bool[]>();
        TrainingSparsifier method = Method("bip", 0.8, 12, ("rate", "5"));
        var model = new TrainableModel(Make.Network());
        var watch = new Watch(c =>
        {
            PruningResult r = method.Result();
            counts.Add(r.Kept);
            if (c.Step == 0) first.AddRange(r.Layers.Select(l => model.Parameter(l.Layer.Name).Mask!.ToFlags()));
        });
        using var trainer = new Trainer(model, new Sgd(model.Parameters, 0.05, 0.9), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 12, Callbacks = [method, watch] });
        trainer.Run();
        PruningResult result = method.Result();
        counts.Add(result.Kept);
        Assert.All(counts, k => Assert.Equal(ExactSelection.Count(0.2, result.Total), k));
        bool[][] start = Magnitude([.. result.Layers.Select(l => l.Layer)], 0.2);
        for (int l = 0; l < start.Length; l++) Assert.Equal(start[l], first[l]);
        Assert.Contains(result.Layers, l => !model.Parameter(l.Layer.Name).Mask!.ToFlags().SequenceEqual(start[result.Layers.ToList().IndexOf(l)]));
        Assert.All(model.Parameters, p => Assert.False(p.WantsDenseGradient));
    }

    [Fact]
    public void Bip_with_both_gradients_switched_off_is_a_frozen_mask()
    {
        // Without the implicit term and with a vanishing rate the mask stays the magnitude mask while weights are trained.
        TrainingSparsifier method = Method("bip", 0.8, 6, ("rate", "0.000001"), ("implicit", "0"));
        TrainableModel model = Train(method, 6);
        bool[][] start = Magnitude([.. method.Result().Layers.Select(l => l.Layer)], 0.2);
        for (int l = 0; l < start.Length; l++) Assert.Equal(start[l], model.Parameter(method.Result().Layers[l].Layer.Name).Mask!.ToFlags());
    }

    private sealed class Watch(Action<TrainingContext> action) : ITrainerCallback
    {
        public string Name => "watch";

        public void OnStepStart(TrainingContext context) => action(context);
    }
}

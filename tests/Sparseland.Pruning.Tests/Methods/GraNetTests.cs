using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Training;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Methods;

public class GraNetTests
{
    private static GraNet Of(double sparsity, double initial, double share = 0.5, long last = 30, int interval = 5) =>
        new(new PruningSettings { Sparsity = sparsity, Seed = 1, Bounds = LayerBounds.None }, initial, 0, last, interval, share, new GlobalAllocation());

    private static TrainableModel Train(TrainingSparsifier method, Action<TrainingContext>? look = null, long steps = 60)
    {
        var model = new TrainableModel(Make.Network());
        using var trainer = new Trainer(model, new Sgd(model.Parameters, 0.05, 0.9, 1e-4), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(),
            new TrainerOptions { Steps = steps, Callbacks = look is null ? [method] : [method, new Watcher(look)] });
        trainer.Run();
        return model;
    }

    private sealed class Watcher(Action<TrainingContext> look) : ITrainerCallback
    {
        public string Name => "watcher";

        public void OnStepEnd(TrainingContext context) => look(context);
    }

    [Theory]
    [InlineData("granet", float.NaN)]
    [InlineData("rigl", float.NaN)]
    [InlineData("rigl", float.PositiveInfinity)]
    public void A_gradient_that_is_no_number_ends_the_run_where_weights_are_grown_by_it(string id, float bad)
    {
        var model = new TrainableModel(Make.Network());
        var method = (TrainingSparsifier)MethodCatalog.Get(id).Build(new PruningSettings { Sparsity = 0.8 }, new Dictionary<string, string> { ["interval"] = "5" }, 40);
        var spoils = new Spoils(c =>
        {
            if (c.Step == 5) c.Model.Parameter("conv2.weight").Grad!.Values[7] = bad;
        });
        using var trainer = new Trainer(model, new Sgd(model.Parameters, 0.05), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 40, Callbacks = [spoils, method] });
        SparselandException e = Assert.Throws<SparselandException>(() => trainer.Run());
        Assert.Equal("SL3012", e.Code);
        Assert.Contains("conv2.weight", e.Message);
    }

    private sealed class Spoils(Action<TrainingContext> act) : ITrainerCallback
    {
        public string Name => "spoils";

        public void OnGradients(TrainingContext context) => act(context);
    }

    [Fact]
    public void Schedules_worked_examples()
    {
        Assert.Equal(0.85, Of(0.9, 0.5, last: 40).SparsityAt(20), 12);
        Assert.Equal(0.76015625, Of(0.95, 0.5, last: 40).SparsityAt(10), 12);
        GraNet method = Of(0.9, 0.5);
        Assert.Equal(0.5, method.ShareAt(0, 100), 12);
        Assert.Equal(0.005 + 0.495 / 2, method.ShareAt(50, 100), 12);
        // The topology still moves at the end.
        Assert.Equal(0.005, method.ShareAt(100, 100), 12);
        Assert.Equal(0, Of(0.9, 0, share: 0).ShareAt(10, 100));
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(0.5)]
    public void Sparsity_follows_the_curve_and_regrown_weights_start_at_zero(double initial)
    {
        GraNet method = Of(0.9, initial);
        Mask?[] masks = [];
        int moved = 0, lateMoves = 0;
        TrainableModel model = Train(method, c =>
        {
            Parameter[] layers = [.. c.Model.Parameters.Where(p => p.Kind == ParameterKind.Weight)];
            double reached = 1 - layers.Sum(p => (double)(p.Mask?.KeptCount ?? p.Value.Length)) / layers.Sum(p => (double)p.Value.Length);
            if (c.Step % 5 == 0) Assert.Equal(method.SparsityAt(c.Step), reached, 2e-4);
            OptimizerState state = c.Optimizer.Export();
            for (int l = 0; l < layers.Length && masks.Length > 0; l++)
            {
                if (layers[l].Mask is not { } now) continue;
                float[] velocity = state.Moments[layers[l].Name + "/velocity"].Array<float>();
                for (int i = 0; i < now.Length; i++)
                {
                    if (!now[i]) Assert.True(layers[l].Value.Values[i] == 0 && velocity[i] == 0);
                    else if (masks[l] is { } before && !before[i])
                    {
                        Assert.True(layers[l].Value.Values[i] == 0 && velocity[i] == 0);
                        moved++;
                        if (c.Step > 30) lateMoves++;
                    }
                }
            }
            masks = [.. layers.Select(p => p.Mask)];
        });
        Assert.Equal(0.9, method.Result().Achieved, 3);
        Assert.True(moved > 0 && lateMoves > 0);
        Assert.All(model.Parameters, p => Assert.False(p.WantsDenseGradient));
    }

    [Fact]
    public void Replacing_nothing_is_gradual_magnitude_pruning_bit_for_bit()
    {
        TrainableModel a = Train(Of(0.9, 0, share: 0));
        // GraNet cuts after the step's update, gradual pruning before the next step: the same weights, one step apart in counting.
        var gmp = new GradualPruning(new PruningSettings { Sparsity = 0.9, Seed = 1, Bounds = LayerBounds.None }, new Shifted(), new Pruning.Criteria.MagnitudeCriterion(), new GlobalAllocation());
        TrainableModel b = Train(gmp);
        foreach (Parameter p in a.Parameters) Near.BitEqual(p.Value.Values, b.Parameter(p.Name).Value.Values, p.Name);
    }

    private sealed class Shifted : Pruning.Schedules.ISchedule
    {
        private readonly Pruning.Schedules.CubicRamp _ramp = new(0, 0.9, 0, 30, 5);

        public string Id => "shifted";

        public double At(long step) => step < 1 ? 0 : _ramp.At(step - 1);

        public bool IsUpdate(long step) => step >= 1 && _ramp.IsUpdate(step - 1);
    }

    [Fact]
    public void Conflicting_options_are_told_before_the_run()
    {
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => Of(0.5, 0.9)).Code);
        MethodInfo info = MethodCatalog.Get("granet");
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => info.Build(new PruningSettings { Sparsity = 0.9 }, new Dictionary<string, string> { ["start"] = "0.9" }, 100)).Code);
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => info.Build(new PruningSettings { Sparsity = 0.9 })).Code);
        // A start that was asked for is not lowered in silence; the default gives way to a lower target.
        PruningException e = Assert.Throws<PruningException>(() => info.Build(new PruningSettings { Sparsity = 0.3 }, new Dictionary<string, string> { ["initial"] = "0.5" }, 100));
        Assert.Equal("SL4002", e.Code);
        Assert.Contains("0.3", e.Try);
        Assert.Equal(0.3, ((GraNet)info.Build(new PruningSettings { Sparsity = 0.3 }, null, 100)).SparsityAt(0), 12);
        Assert.Equal("SL4008", Assert.Throws<PruningException>(() => Train(Of(0.9, 0.5, last: 90))).Code);
    }
}

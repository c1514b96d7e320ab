using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Programs;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Programs;

public class SparsityInformedPruningTests
{
    private static SparsityInformedPruning Method(double sparsity, IndexScope scope = IndexScope.Global, int rounds = 2, double gamma = 1, double beta = 0.9, double p = 0.5, double q = 1) =>
        new(new PruningSettings { Sparsity = sparsity, Bounds = LayerBounds.None }, rounds, p, q, 0, gamma, beta, scope);

    private static PruningTarget Single(params float[] weights)
    {
        var g = new GraphBuilder("one", 1);
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), weights.Length);
        ModelGraph graph = g.Output("y", g.Linear(x, "fc", 1)).Build();
        graph.Weights["fc.weight"].Set(TensorData.Wrap(weights, graph.Weights["fc.weight"].Shape));
        return PruningTarget.Of(graph);
    }

    [Theory]
    [InlineData(1, 2, 1, new float[] { 4, -1, 1, 1 }, new float[] { 4, -1, 1, 0 })]
    [InlineData(1, 2, 2, new float[] { 0.1f, 10, -0.01f, 1 }, new float[] { 0, 10, 0, 1 })]
    [InlineData(0.5, 1, 2, new float[] { 0.1f, 10, -0.01f, 1 }, new float[] { 0, 10, 0, 1 })]
    public void The_worked_examples_of_the_card_are_removed(double p, double q, int removed, float[] weights, float[] left)
    {
        PruningTarget target = Single(weights);
        Assert.Equal(removed, Method(0.9, p: p, q: q).Prune(target, target.Layers));
        Assert.Equal(left, target.Values(target.Layers[0]));
    }

    [Theory]
    [InlineData(IndexScope.Global)]
    [InlineData(IndexScope.Layer)]
    [InlineData(IndexScope.Neuron)]
    public void Masks_are_nested_the_target_is_never_passed_and_no_round_exceeds_beta(IndexScope scope)
    {
        ModelGraph graph = Make.Network(4);
        PruningTarget target = PruningTarget.Of(graph);
        SparsityInformedPruning method = Method(0.8, scope, beta: 0.3, p: 1, q: 2);
        long all = target.Layers.Sum(l => (long)l.Length);
        for (int round = 0; round < 12; round++)
        {
            var before = target.Layers.ToDictionary(l => l.Name, l => target.Mask(l));
            method.Prune(target, target.Layers);
            foreach (PrunableLayer l in target.Layers) Assert.True(before[l.Name] is null || target.Mask(l)!.IsSubsetOf(before[l.Name]!));
            Assert.InRange(method.RemovedShares[^1], 0, 0.3 + 1e-9);
            Assert.True(target.Layers.Sum(l => (long)target.KeptCount(l)) >= Math.Round(0.2 * all));
        }
        Assert.Equal(0, Method(0.9, scope, gamma: 0).Prune(PruningTarget.Of(Make.Network(4)), target.Layers));
    }

    [Theory]
    [InlineData(IndexScope.Global)]
    [InlineData(IndexScope.Layer)]
    public void No_layer_falls_below_its_floor(IndexScope scope)
    {
        PruningTarget target = PruningTarget.Of(Make.Network(4));
        int floor = target.Layers.Min(l => l.Length) / 2;
        var method = new SparsityInformedPruning(new PruningSettings { Sparsity = 0.95, Bounds = new LayerBounds { FloorFactor = 0, MinKeep = floor } }, 8, 1, 2, scope: scope);
        for (int round = 0; round < 8; round++)
        {
            long before = target.Layers.Sum(l => (long)target.KeptCount(l));
            long removed = method.Prune(target, target.Layers);
            Assert.Equal(before - removed, target.Layers.Sum(l => (long)target.KeptCount(l)));
            Assert.All(target.Layers, l => Assert.True(target.KeptCount(l) >= Math.Min(floor, l.Length)));
        }
        Assert.Contains(target.Layers, l => target.KeptCount(l) == floor);
    }

    [Fact]
    public void A_global_round_removes_exactly_what_the_index_says()
    {
        PruningTarget target = PruningTarget.Of(Make.Network(4));
        PqStep step = PqIndex.Step([.. target.Layers.SelectMany(target.Values)], 0.5, 1);
        SparsityInformedPruning method = Method(0.99);
        Assert.Equal(step.Remove, method.Prune(target, target.Layers));
        Assert.Equal(step.Index, method.Indices[0], 12);
        Assert.True(step.Remove > 0);
    }

    [Fact]
    public void Survivors_start_anew_in_every_round_and_the_same_seed_gives_the_same_masks()
    {
        (TrainableModel, SparsityInformedPruning) Go()
        {
            SparsityInformedPruning method = Method(0.95, rounds: 3, p: 1, q: 2);
            var model = new TrainableModel(Make.Network(4));
            var run = new ProgramRun(method, model, new ProgramOptions { Plan = new TrainingPlan { Steps = 10, BatchSize = 20, Seed = 3 }, Data = new DataSource("shapes", "procedural", Make.Pictures(), Make.Pictures(60, 9)) });
            PruningResult result = method.Run(run);
            Assert.Equal(3, method.RemovedShares.Count);
            Assert.True(result.Kept < result.Total);
            return (model, method);
        }
        (TrainableModel a, SparsityInformedPruning first) = Go();
        (TrainableModel b, SparsityInformedPruning second) = Go();
        Assert.Equal(first.RemovedShares, second.RemovedShares);
        foreach (Parameter p in a.Parameters)
        {
            Assert.Equal(p.Mask, b.Parameter(p.Name).Mask);
            Assert.Equal(p.Value.ToArray(), b.Parameter(p.Name).Value.ToArray());
        }
    }

    [Fact]
    public void Exponents_in_the_wrong_order_are_refused_when_the_method_is_built() =>
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => MethodCatalog.Get("sap").Build(new PruningSettings { Sparsity = 0.9 }, new Dictionary<string, string> { ["p"] = "2", ["q"] = "1" })).Code);
}

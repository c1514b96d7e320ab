using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Methods;

public class RandomPruningTests
{
    private static (PruningTarget Target, PruningResult Result) Prune(string method, double sparsity, long seed, params (string, string)[] arguments)
    {
        PruningTarget target = PruningTarget.Of(new TrainableModel(Make.Network(width: 16)));
        var sparsifier = (OneShotSparsifier)MethodCatalog.Get(method).Build(new PruningSettings { Sparsity = sparsity, Seed = seed, Bounds = LayerBounds.None }, arguments.ToDictionary(a => a.Item1, a => a.Item2));
        return (target, sparsifier.Apply(target, new PruningContext { Data = Make.Loader() }));
    }

    [Fact]
    public void Two_seeds_overlap_by_the_density()
    {
        (PruningTarget a, PruningResult result) = Prune("random", 0.9, 1, ("allocation", "uniform"));
        (PruningTarget b, _) = Prune("random", 0.9, 2, ("allocation", "uniform"));
        double common = a.Layers.Sum(l => (double)a.Mask(l)!.And(b.Mask(l)!).KeptCount), kept = result.Kept;
        // The share of common weights in one mask is d = 0.1 in expectation; intersection over union d / (2 - d) = 0.0526.
        double deviation = Math.Sqrt(0.1 * 0.9 * 0.9 / kept);
        Assert.InRange(common / kept, 0.1 - 4 * deviation, 0.1 + 4 * deviation);
        Assert.Equal(0.0526, 0.1 / (2 - 0.1), 4);
        Assert.InRange(common / (2 * kept - common), 0.0526 - 0.02, 0.0526 + 0.02);
    }

    [Theory]
    [InlineData("snip", "snip-ratio")]
    [InlineData("grasp", "grasp-ratio")]
    public void A_ratio_has_the_counts_of_its_criterion_and_other_weights(string criterion, string ratio)
    {
        (PruningTarget own, PruningResult ownResult) = Prune(criterion, 0.9, 1);
        (PruningTarget random, PruningResult randomResult) = Prune("random", 0.9, 1, ("allocation", ratio));
        Assert.Equal(ownResult.Layers.Select(l => l.After), randomResult.Layers.Select(l => l.After));
        // Chance overlap per layer is the layer's density, far below the whole.
        double common = own.Layers.Sum(l => (double)own.Mask(l)!.And(random.Mask(l)!).KeptCount);
        double expected = ownResult.Layers.Sum(l => (double)l.After * l.After / l.Layer.Length);
        Assert.InRange(common, expected - 6 * Math.Sqrt(expected), expected + 6 * Math.Sqrt(expected));
    }

    [Fact]
    public void A_ratio_without_data_says_what_it_needs()
    {
        var sparsifier = (OneShotSparsifier)MethodCatalog.Get("random").Build(new PruningSettings(), new Dictionary<string, string> { ["allocation"] = "snip-ratio" });
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => sparsifier.Apply(PruningTarget.Of(new TrainableModel(Make.Network())))).Code);
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => sparsifier.Apply(PruningTarget.Of(Make.Network()))).Code);
    }

    [Fact]
    public void With_erk_plus_the_classifier_is_untouched()
    {
        (PruningTarget target, PruningResult result) = Prune("random", 0.8, 1, ("allocation", "erk+"));
        Assert.Equal(Math.Round(result.Total * 0.2), result.Kept);
        Mask? classifier = target.Mask(target.Layers[^1]);
        Assert.True(classifier is null || classifier.KeptCount == classifier.Length);
    }
}

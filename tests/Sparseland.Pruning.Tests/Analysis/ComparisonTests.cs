using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;

namespace Sparseland.Pruning.Tests.Analysis;

public class ComparisonTests
{
    private static ModelGraph Pruned(int seed, double sparsity, string allocation = "global")
    {
        ModelGraph graph = Make.Network(seed);
        ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = sparsity }, new Dictionary<string, string> { ["allocation"] = allocation })).Apply(PruningTarget.Of(graph));
        return graph;
    }

    [Fact]
    public void The_worked_example_of_stability_and_its_invariants()
    {
        WeightDistance d = WeightDistances.Between([1, 2, 2], [2, 2, 1]);
        Assert.Equal(1.414214, d.Euclidean, 6);
        Assert.Equal(27.266, d.Degrees, 3);
        // Entries that the mask removes do not change anything.
        Mask mask = Mask.FromFlags([5], [true, false, true, true, false]);
        WeightDistance masked = WeightDistances.Between([1, 99, 2, 2, -5], [2, -7, 2, 1, 8], mask);
        Assert.Equal((d.Euclidean, d.Degrees, 3L), (masked.Euclidean, masked.Degrees, masked.Weights));
        Assert.True(double.IsNaN(WeightDistances.Between([0, 0], [1, 2]).Degrees));
    }

    [Fact]
    public void A_model_is_at_no_distance_from_itself_and_distance_is_symmetric()
    {
        ModelGraph a = Pruned(1, 0.8), b = Make.Network(2);
        WeightDistance self = WeightDistances.Between(a, a)[^1];
        Assert.Equal(0, self.Euclidean);
        Assert.Equal(0, self.Degrees, 4);
        WeightDistance there = WeightDistances.Between(a, b)[^1], back = WeightDistances.Between(b, a)[^1];
        Assert.Equal(there, back);
        Assert.Equal(a.Weights.Values.Sum(w => (long)(w.Mask?.KeptCount ?? 0)), there.Weights);
    }

    [Fact]
    public void Overlap_counts_what_is_kept_and_removed_by_both()
    {
        MaskOverlap o = MaskOverlap.Of("x", Mask.FromFlags([6], [true, true, true, false, false, false]), Mask.FromFlags([6], [true, true, false, true, false, false]));
        Assert.Equal((3L, 3L, 2L, 2L), (o.KeptA, o.KeptB, o.KeptByBoth, o.RemovedByBoth));
        Assert.Equal(0.5, o.KeptShare);
        Assert.Equal(0.5, o.RemovedShare);
        Assert.Equal(1.5 / 4.5, o.KeptShareByChance, 12);
        ModelGraph a = Pruned(1, 0.8), b = Pruned(1, 0.9), c = Pruned(2, 0.8, "uniform");
        Assert.Equal(1, MaskOverlap.Between(a, a)[^1].KeptShare);
        // One-shot magnitude masks of one network are nested: all that 90 % keeps, 80 % keeps.
        MaskOverlap nested = MaskOverlap.Between(a, b)[^1];
        Assert.Equal(nested.KeptB, nested.KeptByBoth);
        MaskOverlap independent = MaskOverlap.Between(a, c)[^1];
        Assert.InRange(independent.KeptShare, 0.5 * independent.KeptShareByChance, 2 * independent.KeptShareByChance);
        Assert.Equal("SL4020", Assert.Throws<PruningException>(() => MaskOverlap.Between(a, Make.Network(1, width: 4))).Code);
    }
}

using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Layers;

namespace Sparseland.Pruning.Tests.Analysis;

public class EssentialSparsityTests
{
    [Fact]
    public void The_worked_example_of_the_card()
    {
        double[] levels = [0, .1, .2, .3, .4, .5, .6, .7], quality = [90.0, 90.1, 89.9, 89.8, 89.5, 88.9, 84.0, 60.0];
        Assert.Equal(0.4, EssentialSparsity.Largest(levels, quality, 0.01, relative: true));
        Assert.Equal(0.4, EssentialSparsity.Largest(levels, quality, 1, relative: false));
        Assert.Equal(0.6, EssentialSparsity.Knee(levels, quality));
        Assert.Equal(0, EssentialSparsity.Largest([0, .5], [1, .5]));
        Assert.True(double.IsNaN(EssentialSparsity.Knee([0, .5], [1, .5])));
    }

    [Fact]
    public void Masks_are_exact_nested_and_blind_to_a_common_scale()
    {
        ModelGraph graph = Make.Network(3), scaled = graph.Clone();
        foreach (PrunableLayer layer in LayerDiscovery.Find(scaled))
        {
            Weight w = scaled.Weights[layer.Name];
            w.Set(TensorData.Wrap([.. w.Read().ToSingles().Select(v => 4 * v)], w.Shape));
        }
        long all = LayerDiscovery.Find(graph).Sum(l => (long)l.Length);
        foreach (string way in (string[])["magnitude", "uniform", "random", "random-erk"])
        {
            ModelGraph? before = null;
            foreach (double level in (double[])[0.1, 0.35, 0.6, 0.9])
            {
                ModelGraph pruned = EssentialSparsity.Prune(graph, new PruningSettings { Sparsity = level, Seed = 5 }, way);
                long kept = LayerDiscovery.Find(graph).Sum(l => (long)(pruned.Weights[l.Name].Mask?.KeptCount ?? l.Length));
                Assert.Equal(Math.Round((1 - level) * all, MidpointRounding.ToEven), kept);
                if (before is not null && way is "magnitude" or "uniform")
                {
                    foreach (PrunableLayer l in LayerDiscovery.Find(graph)) Assert.True(before is null || before.Weights[l.Name].Mask is null || pruned.Weights[l.Name].Mask!.IsSubsetOf(before.Weights[l.Name].Mask!), $"{way}, {l.Name} at {level}");
                }
                before = pruned;
                if (way != "magnitude") continue;
                ModelGraph other = EssentialSparsity.Prune(scaled, new PruningSettings { Sparsity = level, Seed = 5 }, way);
                foreach (PrunableLayer l in LayerDiscovery.Find(graph)) Assert.Equal(pruned.Weights[l.Name].Mask, other.Weights[l.Name].Mask);
            }
        }
        Assert.Throws<ArgumentException>(() => EssentialSparsity.Prune(graph, new PruningSettings(), "luck"));
    }

    [Fact]
    public void Random_control_has_the_counts_of_magnitude_in_every_layer()
    {
        ModelGraph graph = Make.Network(3);
        var settings = new PruningSettings { Sparsity = 0.7, Seed = 2 };
        ModelGraph magnitude = EssentialSparsity.Prune(graph, settings), random = EssentialSparsity.Prune(graph, settings, "random");
        foreach (PrunableLayer l in LayerDiscovery.Find(graph)) Assert.Equal(magnitude.Weights[l.Name].Mask?.KeptCount, random.Weights[l.Name].Mask?.KeptCount);
        Assert.NotEqual(magnitude.Weights["conv3.weight"].Mask, random.Weights["conv3.weight"].Mask);
    }

    [Fact]
    public void N_of_m_keeps_less_magnitude_the_finer_its_groups_are()
    {
        var g = new GraphBuilder("rows", 7);
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), 64);
        ModelGraph graph = g.Output("y", g.Linear(x, "fc", 40)).Build();
        double Kept(SparsityPattern pattern)
        {
            ModelGraph pruned = EssentialSparsity.Prune(graph, new PruningSettings { Pattern = pattern, Sparsity = 0.5 });
            Assert.Equal(0.5, pruned.Weights["fc.weight"].Mask!.Density);
            return pruned.Weights["fc.weight"].Read().ToSingles().Sum(v => (double)Math.Abs(v));
        }
        double two = Kept(SparsityPattern.NofM(2, 4)), four = Kept(SparsityPattern.NofM(4, 8)), free = Kept(SparsityPattern.Unstructured), one = Kept(SparsityPattern.NofM(1, 2));
        Assert.True(one < two && two < four && four < free, $"{one} {two} {four} {free}");
        // Row (0.1, -3, 0.2, 1): 0.1 and 0.2 leave.
        graph.Weights["fc.weight"].Set(TensorData.Wrap([.. Enumerable.Repeat<float[]>([0.1f, -3, 0.2f, 1], 640).SelectMany(r => r)], graph.Weights["fc.weight"].Shape));
        ModelGraph card = EssentialSparsity.Prune(graph, new PruningSettings { Pattern = SparsityPattern.NofM(2, 4), Sparsity = 0.5 });
        Assert.Equal([0, -3, 0, 1], card.Weights["fc.weight"].Read().ToSingles()[..4]);
    }

    [Fact]
    public void Small_weights_are_counted()
    {
        ModelGraph graph = Make.Network(3);
        Assert.Equal(0, EssentialSparsity.SmallShare(graph, 0));
        Assert.Equal(1, EssentialSparsity.SmallShare(graph, 100));
        Assert.InRange(EssentialSparsity.SmallShare(graph, 0.05), 0.05, 0.95);
    }
}

using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;

namespace Sparseland.Pruning.Tests.Analysis;

public class SparsityReportTests
{
    [Fact]
    public void Counts_agree_with_what_was_pruned_and_with_the_formula_of_sizes()
    {
        ModelGraph graph = Make.Network();
        SparsityReport before = SparsityReport.Of(graph);
        PruningResult result = ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = 0.9 })).Apply(PruningTarget.Of(graph));
        SparsityReport after = SparsityReport.Of(graph);
        Assert.Equal(result.Total, after.Prunable.Parameters);
        Assert.Equal(result.Kept, after.Prunable.NonZeros);
        Assert.Equal(result.Achieved, after.Prunable.Sparsity, 12);
        Assert.Equal(before.Total.NonZeros - result.Removed, after.Total.NonZeros);
        Assert.Equal(before.Total.DenseBytes, after.Total.DenseBytes);
        // Biases that start at zero are all that a mask could save before pruning.
        Assert.InRange(before.Total.CompactBytes, before.Total.DenseBytes * 0.9, before.Total.DenseBytes);
        // Dense convolution 1 at 12 x 12, once per pixel.
        Assert.Equal(144 * 72, before.Rows[0].Macs);
        foreach (SparsityRow row in after.Rows)
        {
            Assert.Equal(row.Macs * row.Density, row.EffectiveMacs, 1.0);
            Assert.True(row.CompactBytes <= 1.05 * row.Parameters * (1 + row.Density * 32) / 8 + 8);
        }
        Assert.True(after.Total.CompactBytes < before.Total.CompactBytes / 4);
    }

    [Fact]
    public void A_million_weights_at_90_per_cent_are_a_file_of_0_525_megabytes()
    {
        var g = new GraphBuilder("million", 1);
        ModelGraph graph = g.Output("y", g.Linear(g.Input("x", ElementType.Float32, Dimension.Named("batch"), 1000), "fc", 1000, bias: false)).Build();
        ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = 0.9 })).Apply(PruningTarget.Of(graph));
        string folder = Directory.CreateTempSubdirectory("sparseland-size-").FullName;
        try
        {
            string path = Path.Combine(folder, "m.sparse.safetensors");
            Model.Formats.ModelFile.Save(graph, path);
            // 0.4 MB of values and one bit per weight; the rest is the header, within what plans say it may take.
            Assert.InRange(new FileInfo(path).Length, 525_000, 1.05 * 525_000);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }
}

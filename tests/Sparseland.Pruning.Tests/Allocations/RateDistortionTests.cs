using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Probing;
using Sparseland.Training;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Allocations;

public class RateDistortionTests
{
    [Fact]
    public void The_grid_counts_in_integers()
    {
        Assert.Equal(100 - 29, DistortionCurve.Grid(100)[29]);
        Assert.Equal([4, 3, 2, 1, 0], DistortionCurve.Grid(4));
        int[] fine = DistortionCurve.Grid(10_000, fine: true);
        Assert.Equal((10_000, 0), (fine[0], fine[^1]));
        Assert.Contains(10, fine);
        Assert.DoesNotContain(10, DistortionCurve.Grid(10_000));
    }

    [Fact]
    public void Samples_that_are_no_numbers_are_an_error_and_no_allocation()
    {
        float[] values = new float[4 * 144];
        values[200] = float.NaN;
        var data = new PruningContext { Data = new BatchLoader(new ArrayDataset(values, [0, 1, 2, 3], [1, 12, 12], 10), new BatchOptions { BatchSize = 2, Shuffle = false }) };
        var model = new TrainableModel(Make.Network());
        Assert.Equal("SL4013", Assert.Throws<PruningException>(() => ((OneShotSparsifier)MethodCatalog.Get("rd").Build(new PruningSettings { Sparsity = 0.5 })).Apply(PruningTarget.Of(model), data)).Code);
        Assert.All(model.Parameters, p => Assert.Null(p.Mask));
        Assert.Equal("SL4013", Assert.Throws<PruningException>(() => ((GraphSparsifier)MethodCatalog.Get("node-search").Build(new PruningSettings { Sparsity = 0.5 })).Rewrite(Make.Network(), data)).Code);
    }

    [Fact]
    public void Curves_begin_at_zero_and_the_worst_sample_bounds_the_mean()
    {
        var model = new TrainableModel(Make.Network());
        var context = new PruningContext { Data = Make.Loader() };
        PruningTarget target = PruningTarget.Of(model);
        float[][] before = [.. model.Parameters.Select(p => p.Value.ToArray())];
        using (var probe = new NetworkProbe(model, context))
        {
            var request = new AllocationRequest(target.Layers, 0.3) { Weights = [.. target.Layers.Select(target.Values)], Probe = probe };
            IReadOnlyList<DistortionCurve> worst = new RateDistortionAllocation(40).Measure(request), mean = new RateDistortionAllocation(40, DistortionNorm.Mean).Measure(request);
            for (int l = 0; l < worst.Count; l++)
            {
                Assert.Equal(0, worst[l].Distortion[0]);
                Assert.True(worst[l].Distortion[^1] > 0);
                for (int j = 0; j < worst[l].Distortion.Count; j++) Assert.True(worst[l].Distortion[j] >= mean[l].Distortion[j]);
            }
        }
        for (int i = 0; i < before.Length; i++) Near.BitEqual(before[i], model.Parameters[i].Value.Values);
    }

    [Fact]
    public void A_linear_output_layer_loses_the_second_moment_of_what_was_removed()
    {
        var g = new GraphBuilder("linear", 3);
        Value x = g.Input("image", ElementType.Float32, Dimension.Named("batch"), 1, 12, 12);
        ModelGraph graph = g.Output("logits", g.Linear(g.Flatten(x), "head", 10)).Build();
        var model = new TrainableModel(graph);
        PruningTarget target = PruningTarget.Of(model);
        PrunableLayer layer = target.Layers[0];
        float[] weights = target.Values(layer);
        using var probe = new NetworkProbe(model, new PruningContext { Data = Make.Loader() });
        IReadOnlyList<Batch> batches = probe.Batches(3);
        float[] clean = probe.Outputs(batches);
        int half = layer.Length / 2;
        DistortionCurve curve = DistortionCurve.Measure(probe, layer, weights, [layer.Length, half], batches, clean, DistortionNorm.Mean);
        float[] matrix = layer.ToMatrix(weights);
        bool[] kept = layer.ToMatrix(Pruning.Selection.ExactSelection.KeepBest(Array.ConvertAll(weights, MathF.Abs), half));
        double sum = 0;
        int count = 0;
        foreach (Batch batch in batches)
        {
            ReadOnlySpan<float> inputs = batch.Inputs.Span<float>();
            for (int s = 0; s < batch.Count; s++)
            {
                for (int o = 0; o < layer.Rows; o++)
                {
                    double gone = 0;
                    for (int i = 0; i < layer.Columns; i++)
                    {
                        if (!kept[o * layer.Columns + i]) gone += (double)matrix[o * layer.Columns + i] * inputs[s * layer.Columns + i];
                    }
                    sum += gone * gone;
                    count++;
                }
            }
        }
        Assert.Equal(sum / count, curve.Distortion[1], sum / count * 1e-4);
    }

    [Fact]
    public void Totals_are_exact_masks_are_nested_and_labels_are_not_needed()
    {
        var model = new TrainableModel(Make.Network());
        PruningTarget target = PruningTarget.Of(model);
        Mask?[] before = new Mask?[target.Layers.Count];
        foreach (double sparsity in (double[])[0.5, 0.8, 0.93])
        {
            var method = (OneShotSparsifier)MethodCatalog.Get("rd").Build(new PruningSettings { Sparsity = sparsity, Bounds = LayerBounds.None }, new Dictionary<string, string> { ["samples"] = "40" });
            PruningResult result = method.Apply(target, new PruningContext { Data = Make.Loader() });
            Assert.Equal(Math.Round(result.Total * (1 - sparsity), MidpointRounding.ToEven), result.Kept);
            for (int l = 0; l < before.Length; l++)
            {
                Mask mask = target.Mask(target.Layers[l]) ?? Mask.Ones(target.Layers[l].Shape.ToArray());
                if (before[l] is { } earlier) Assert.True(mask.IsSubsetOf(earlier));
                before[l] = mask;
            }
        }
        PruningException e = Assert.Throws<PruningException>(() => ((OneShotSparsifier)MethodCatalog.Get("rd").Build(new PruningSettings())).Apply(target));
        Assert.Equal("SL4005", e.Code);
    }
}

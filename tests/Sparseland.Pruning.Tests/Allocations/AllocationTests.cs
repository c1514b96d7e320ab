using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Selection;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Allocations;

public class AllocationTests
{
    [Fact]
    public void Erk_worked_example()
    {
        PrunableLayer[] layers = [Make.Layer("a", 16, 3, 3, 3), Make.Layer("b", 32, 16, 3, 3), Make.Layer("c", 10, 32)];
        double[] densities = new ErdosRenyiAllocation().Solve(layers, 0.2);
        Assert.Equal(0.550867, densities[0], 6);
        Assert.Equal(0.111551, densities[1], 6);
        Assert.Equal(1, densities[2]);
        AllocationResult result = new ErdosRenyiAllocation().Allocate(new AllocationRequest(layers, 0.2));
        Assert.Equal(1072, result.Keep.Sum());
        Assert.Equal([238, 514, 320], result.Keep);
        Assert.All(new ErdosRenyiAllocation(power: 0).Solve(layers, 0.2), d => Assert.Equal(0.2, d, 12));
    }

    [Fact]
    public void Uniform_plus_worked_example()
    {
        PrunableLayer[] layers = [Make.Layer("1", 6, 1, 5, 5), Make.Layer("2", 16, 6, 5, 5), Make.Layer("3", 120, 400), Make.Layer("4", 84, 120), Make.Layer("5", 10, 84)];
        AllocationResult result = new UniformPlusAllocation().Allocate(new AllocationRequest(layers, 0.1));
        Assert.Equal(6147, result.Keep.Sum());
        Assert.Equal((150, 168), (result.Keep[0], result.Keep[4]));
        foreach (int l in (int[])[1, 2, 3]) Assert.InRange((double)result.Keep[l] / layers[l].Length, 0.0963790 - 3e-4, 0.0963790 + 3e-4);
        PruningException e = Assert.Throws<PruningException>(() => new UniformPlusAllocation().Allocate(new AllocationRequest(layers, 0.001)));
        Assert.Equal("SL4004", e.Code);
    }

    [Fact]
    public void Lamp_worked_examples()
    {
        Near.Equal([1 / 14f, 4 / 13f, 1], LampAllocation.Scores([1, 2, 3]));
        Near.Equal([1 / 14f, 4 / 13f, 1], LampAllocation.Scores([0.1f, -0.2f, 0.3f]));
        Near.Equal([1, 0.009324f, 0.021176f, 0.038462f], LampAllocation.Scores([10, 1, 1.5f, 2]), 1e-6);
        Near.Equal([1, 0.5f], LampAllocation.Scores([1, 1]));
    }

    [Fact]
    public void Lamp_keeps_the_best_of_every_layer_and_the_order_inside()
    {
        PrunableLayer[] layers = [Make.Layer("a", 5, 4), Make.Layer("b", 30, 10), Make.Layer("c", 7, 3)];
        float[][] weights = [.. layers.Select((l, i) => Make.Random(l.Length, i).Select(v => v * MathF.Pow(10, 2 * i - 2)).ToArray())];
        AllocationResult result = new LampAllocation().Allocate(new AllocationRequest(layers, 3 / 341.0) { Weights = weights });
        Assert.Equal([1, 1, 1], result.Keep);
    }

    [Fact]
    public void Global_threshold_starves_a_layer_and_the_floor_protects_it_with_a_warning()
    {
        PrunableLayer[] layers = [Make.Layer("strong", 100, 10), Make.Layer("weak", 50, 10)];
        float[][] scores = [[.. Enumerable.Range(0, 1000).Select(i => 10f + i)], [.. Enumerable.Range(0, 500).Select(i => 0.001f * i)]];
        Assert.Equal([150, 0], new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.1) { Scores = scores }).Keep);
        AllocationResult guarded = new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.1) { Scores = scores, Bounds = new LayerBounds { FloorFactor = 0.2, MinKeep = 1 } });
        Assert.Equal([140, 10], guarded.Keep);
        Assert.Contains("weak", Assert.Single(guarded.Warnings));
        AllocationResult capped = new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.1) { Scores = scores, Bounds = new LayerBounds { FloorFactor = 0, MinKeep = 0, MaxDensity = 0.12 } });
        Assert.Equal([120, 30], capped.Keep);
        PruningException e = Assert.Throws<PruningException>(() => new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.01) { Scores = scores, Bounds = new LayerBounds { MinKeep = 20 } }));
        Assert.Equal("SL4004", e.Code);
        Assert.Contains("97.33", e.Try);
    }

    [Fact]
    public void Every_allocation_keeps_exactly_what_was_asked_within_bounds()
    {
        IAllocation[] allocations = [new GlobalAllocation(), new UniformAllocation(), new ErdosRenyiAllocation(), new ErdosRenyiAllocation(false), new LampAllocation()];
        for (int seed = 0; seed < 40; seed++)
        {
            var random = SeededRandom.Of(seed);
            PrunableLayer[] layers = [.. Enumerable.Range(0, 1 + random.NextInt(6)).Select(i => random.NextBool()
                ? Make.Layer("l" + i, 1 + random.NextInt(40), 1 + random.NextInt(40))
                : Make.Layer("l" + i, 1 + random.NextInt(16), 1 + random.NextInt(16), 3, 3))];
            float[][] values = [.. layers.Select((l, i) => Make.Random(l.Length, seed * 10 + i).Select(v => v * (1 + i)).ToArray())];
            double density = random.NextDouble(0.02, 1);
            var bounds = random.NextBool() ? LayerBounds.None : new LayerBounds { MinKeep = 0 };
            var request = new AllocationRequest(layers, density) { Bounds = bounds, Scores = [.. values.Select(v => v.Select(MathF.Abs).ToArray())], Weights = values };
            foreach (IAllocation allocation in allocations)
            {
                AllocationResult result;
                try
                {
                    result = allocation.Allocate(request);
                }
                catch (PruningException e) when (e.Code == "SL4004")
                {
                    // Rounding up the floors of tiny layers can exceed a tiny budget; the error must then be honest.
                    Assert.True(layers.Sum(l => (long)bounds.Floor(l.Length, density)) > request.Keep);
                    continue;
                }
                Assert.Equal(ExactSelection.Count(density, layers.Sum(l => (long)l.Length)), result.Keep.Sum());
                for (int l = 0; l < layers.Length; l++) Assert.InRange(result.Keep[l], bounds.Floor(layers[l].Length, density), layers[l].Length);
            }
        }
    }

    [Fact]
    public void Global_magnitude_does_not_depend_on_the_order_of_layers()
    {
        PrunableLayer[] layers = [Make.Layer("a", 20, 20), Make.Layer("b", 30, 10), Make.Layer("c", 5, 5)];
        float[][] scores = [.. layers.Select((l, i) => Make.Random(l.Length, i).Select(v => MathF.Abs(v) * (i + 1)).ToArray())];
        var forward = new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.3) { Scores = scores }).Keep;
        var backward = new GlobalAllocation().Allocate(new AllocationRequest([.. layers.Reverse()], 0.3) { Scores = [.. scores.Reverse()] }).Keep;
        Assert.Equal(forward, backward.Reverse());
    }

    [Fact]
    public void Erk_plus_keeps_the_classifier_dense_and_the_total_exact()
    {
        PrunableLayer[] layers = [Make.Layer("a", 16, 3, 3, 3), Make.Layer("b", 32, 16, 3, 3), Make.Layer("c", 10, 32) with { IsLast = true }];
        AllocationResult result = new ErdosRenyiPlusAllocation().Allocate(new AllocationRequest(layers, 0.2));
        Assert.Equal(320, result.Keep[2]);
        Assert.Equal(1072, result.Keep.Sum());
        // The others share what is left by ERK: here the same as ERK, whose classifier is dense too.
        Assert.Equal([238, 514, 320], result.Keep);
        Assert.Equal(32, new ErdosRenyiPlusAllocation(0.1).Allocate(new AllocationRequest(layers, 0.2)).Keep[2]);
        PruningException e = Assert.Throws<PruningException>(() => new ErdosRenyiPlusAllocation().Allocate(new AllocationRequest(layers, 0.05)));
        Assert.Equal("SL4004", e.Code);
        Assert.Contains("94.03", e.Try);
    }

    [Fact]
    public void Scaling_one_layer_changes_the_global_threshold_but_not_lamp()
    {
        PrunableLayer[] layers = [Make.Layer("a", 20, 20), Make.Layer("b", 20, 20)];
        float[][] weights = [Make.Random(400, 1), Make.Random(400, 2)], scaled = [[.. weights[0].Select(w => w * 10)], weights[1]];
        AllocationRequest Of(float[][] w) => new(layers, 0.2) { Weights = w, Scores = [.. w.Select(l => Array.ConvertAll(l, MathF.Abs))] };
        Assert.NotEqual(new GlobalAllocation().Allocate(Of(weights)).Keep, new GlobalAllocation().Allocate(Of(scaled)).Keep);
        Assert.Equal(new LampAllocation().Allocate(Of(weights)).Keep, new LampAllocation().Allocate(Of(scaled)).Keep);
    }

    [Fact]
    public void Minimum_threshold_worked_example()
    {
        // Layers 10 / 100 / 890 of which the global threshold leaves 5 / 1 / 94; at least 5 each: 5 / 5 / 90.
        PrunableLayer[] layers = [Make.Layer("a", 2, 5), Make.Layer("b", 10, 10), Make.Layer("c", 89, 10)];
        float[][] scores = [[.. Enumerable.Range(0, 10).Select(i => i < 5 ? 1000f : 0.1f)], [.. Enumerable.Range(0, 100).Select(i => i < 1 ? 999f : 0.01f * i)], [.. Enumerable.Range(0, 890).Select(i => i < 94 ? 500f + i : 0.001f)]];
        Assert.Equal([5, 1, 94], new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.1) { Scores = scores }).Keep);
        Assert.Equal([5, 5, 90], new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.1) { Scores = scores, Bounds = new LayerBounds { FloorFactor = 0, MinKeep = 5 } }).Keep);
        // No layer keeps fewer than min(N, MT), and a threshold that leaves no solution is an error.
        int[] guarded = [.. new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.1) { Scores = scores, Bounds = new LayerBounds { FloorFactor = 0, MinKeep = 40 } }).Keep];
        Assert.Equal(100, guarded.Sum());
        Assert.Equal([10, 40, 50], guarded);
        Assert.Equal("SL4004", Assert.Throws<PruningException>(() => new GlobalAllocation().Allocate(new AllocationRequest(layers, 0.1) { Scores = scores, Bounds = new LayerBounds { FloorFactor = 0, MinKeep = 60 } })).Code);
    }
}

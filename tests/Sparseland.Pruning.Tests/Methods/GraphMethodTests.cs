using Sparseland.Model.Analysis;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Structured;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Methods;

public class GraphMethodTests
{
    private static ModelGraph Resnet(string id, string options = "") => ArchitectureCatalog.Get(id).Build(ArchitectureCatalog.Get(id).DefaultOptions().Parse(options), 3);

    private static PruningContext Pictures => new() { Data = new BatchLoader(Training.Data.BuiltIn.ProceduralShapes.Create(60, 32, 3, 5), new BatchOptions { BatchSize = 20, Seed = 1 }) };

    private static Dictionary<string, TensorType> One(ModelGraph graph) => new() { [graph.Inputs[0].Name] = new TensorType(ElementType.Float32, TensorShape.Of([1, 3, 32, 32])) };

    private static float[] Output(ModelGraph graph, Batch batch)
    {
        var model = new TrainableModel(graph.Clone()) { IsTraining = false };
        using (GradientMode.Off()) return model.Forward(new ModelValue(batch.Inputs)).ToArray();
    }

    [Fact]
    public void Log_densities_worked_example()
    {
        double[] p = LogDensityAllocation.Solve([100, 400, 1000], 600);
        Assert.Equal([1, 0.625, 0.25], p);
        Assert.Equal(-1.856298, p.Sum(Math.Log), 6);
        Assert.Equal(-2.748872, 3 * Math.Log(0.4), 6);
        Assert.All(LogDensityAllocation.Solve([100, 400, 1000], 1500), d => Assert.Equal(1, d));
        double[] tiny = LogDensityAllocation.Solve([100, 400, 1000], 3);
        Assert.All(new[] { 100, 400, 1000 }.Zip(tiny), c => Assert.Equal(1, c.First * c.Second, 9));
        Assert.Equal(2000, new LogDensityAllocation().Allocate(new AllocationRequest([Make.Layer("a", 40, 50), Make.Layer("b", 60, 100)], 0.25) { Bounds = LayerBounds.None }).Keep.Sum());
    }

    [Fact]
    public void Ratios_multiply_to_the_densities_and_never_exceed_one()
    {
        // A chain: input fixed, three groups, output fixed; four layers, three unknowns.
        double[] r = PreCropping.FitRatios([(-1, 0), (0, 1), (1, 2), (2, -1)], [0.5, 0.25, 0.25, 0.5], 3);
        Assert.All(r, v => Assert.Equal(0.5, v, 6));
        Assert.All(PreCropping.FitRatios([(-1, 0), (0, -1)], [1, 1], 1), v => Assert.Equal(1, v, 9));
        // Every interior layer at density p: sqrt(p) per group.
        Assert.Equal(Math.Sqrt(0.3), PreCropping.FitRatios([(0, 1), (1, 0)], [0.3, 0.3], 2)[0], 4);
        // A chain of 500 layers is a matter of seconds at most: sweeps cost layers, not layers times groups.
        var watch = System.Diagnostics.Stopwatch.StartNew();
        double[] deep = PreCropping.FitRatios([(-1, 0), .. Enumerable.Range(0, 498).Select(i => (i, i + 1)), (498, -1)], [0.5, .. Enumerable.Repeat(0.25, 498), 0.5], 499);
        Assert.All(deep, v => Assert.Equal(0.5, v, 3));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), watch.Elapsed.ToString());
    }

    [Theory]
    [InlineData("parameters", 0.7)]
    [InlineData("macs", 0.5)]
    public void Cropping_meets_its_budget_without_masks(string budget, double sparsity)
    {
        ModelGraph graph = Resnet("resnet20", "width=8");
        var method = (GraphSparsifier)MethodCatalog.Get("precrop").Build(new PruningSettings { Sparsity = sparsity }, new Dictionary<string, string> { ["budget"] = budget });
        GraphResult result = method.Rewrite(graph, Pictures);
        ModelCost before = ModelCost.Of(graph, One(graph)), after = ModelCost.Of(result.Graph, One(result.Graph));
        double share = budget == "macs" ? (double)after.Macs / before.Macs : (double)after.Parameters / before.Parameters;
        Assert.InRange(share, (1 - sparsity) * 0.85, 1 - sparsity);
        Assert.All(result.Graph.Weights.Values, w => Assert.Null(w.Mask));
        Assert.Equal(10, Output(result.Graph, Pictures.Data!.At(0)).Length / 20);
        // The spread of the initial values is that of a network that was made at this size: variance times inputs stays.
        double Gain(ModelGraph g)
        {
            float[] w = g.Weights["layer2.1.conv1.weight"].Read().ToSingles();
            return w.Average(v => (double)v * v) * w.Length / g.Weights["layer2.1.conv1.weight"].Shape[0];
        }
        Assert.InRange(Gain(result.Graph) / Gain(graph), 0.8, 1.25);
        Assert.Equal("SL4004", Assert.Throws<PruningException>(() => MethodCatalog.Get("precrop").Build(new PruningSettings { Sparsity = 0.9999 }) is GraphSparsifier g ? g.Rewrite(graph) : null).Code);
    }

    [Fact]
    public void Resnet56_has_the_published_counts()
    {
        ModelGraph graph = Resnet("resnet56");
        ResidualBlocks blocks = ResidualBlocks.Find(graph);
        Assert.Equal(125_485_696, ModelCost.Of(graph, One(graph)).Macs);
        Assert.Equal(25, blocks.Candidates.Count);
        Assert.Equal([9, 9, 9], blocks.Stages.Values);
        foreach (ResidualBlock block in (ResidualBlock[])[blocks.Candidates[0], blocks.Candidates[12], blocks.Candidates[24]])
        {
            ModelGraph without = blocks.Without(block);
            Assert.Equal(125_485_696 - 4_718_592, ModelCost.Of(without, One(without)).Macs);
        }
        // Four blocks of every stage are left.
        ModelGraph four = blocks.Without(blocks.Candidates.GroupBy(c => c.Stage).SelectMany(s => s.TakeLast(5)));
        Assert.Equal(43.596, Math.Round(100.0 * ModelCost.Of(four, One(four)).Macs / 125_485_696, 3));
        ModelGraph present = graph;
        int gone = 0;
        while (ResidualBlocks.Find(present).Removable(2).FirstOrDefault() is { } next)
        {
            present = ResidualBlocks.Find(present).Without(next);
            gone++;
        }
        Assert.Equal(21, gone);
    }

    [Fact]
    public void A_silent_branch_and_a_removed_block_give_the_same_outputs()
    {
        ModelGraph graph = Resnet("resnet20", "width=4");
        Batch batch = Pictures.Data!.At(0);
        ResidualBlocks blocks = ResidualBlocks.Find(graph);
        foreach (ResidualBlock block in blocks.Candidates)
        {
            var model = new TrainableModel(graph.Clone()) { IsTraining = false };
            ResidualBlocks.Silence(model, block);
            using (GradientMode.Off()) Near.Equal(model.Forward(new ModelValue(batch.Inputs)).ToArray(), Output(blocks.Without(block), batch), 1e-6, 1e-5, block.Name);
        }
        // Several at once, neighbours included.
        Assert.Equal(200, Output(blocks.Without(blocks.Candidates), batch).Length);
    }

    [Theory]
    [InlineData("random")]
    [InlineData("grasp")]
    [InlineData("snip")]
    [InlineData("cka")]
    public void Blocks_go_until_the_budget_is_met_and_the_rest_keeps_its_values(string score)
    {
        ModelGraph graph = Resnet("resnet20", "width=4");
        var method = (GraphSparsifier)MethodCatalog.Get("layers").Build(new PruningSettings { Sparsity = 0.2, Seed = 4 }, new Dictionary<string, string> { ["score"] = score });
        GraphResult result = method.Rewrite(graph, Pictures);
        long before = ModelCost.Of(graph, One(graph)).Macs, after = ModelCost.Of(result.Graph, One(result.Graph)).Macs;
        Assert.InRange((double)after / before, 0.6, 0.8);
        Assert.Equal(2, result.Changes.Count(c => c.After == 0));
        foreach (Weight weight in result.Graph.Weights.Values) Assert.Equal(graph.Weights[weight.Name].Read().ToSingles(), weight.Read().ToSingles());
        Assert.Equal("SL4004", Assert.Throws<PruningException>(() => ((GraphSparsifier)MethodCatalog.Get("layers").Build(new PruningSettings { Sparsity = 0.95 }, new Dictionary<string, string> { ["score"] = "random" })).Rewrite(graph, Pictures)).Code);
    }

    [Fact]
    public void A_block_whose_branch_is_silent_goes_first_by_similarity()
    {
        ModelGraph graph = Resnet("resnet20", "width=4");
        ResidualBlock block = ResidualBlocks.Find(graph).Candidates[3];
        Node norm = block.Nodes.First(n => n.Outputs.Contains(block.Branch));
        foreach (string name in norm.Inputs.Skip(1).Take(2)) graph.Weights[name].Set(TensorData.Wrap(new float[graph.Weights[name].Length], [.. graph.Weights[name].Shape]));
        double[] scores = new BlockRemoval(new PruningSettings(), "cka").Scores(graph, ResidualBlocks.Find(graph).Candidates, Pictures);
        Assert.Equal(0, scores[3], 6);
        Assert.All(scores.Where((_, i) => i != 3), s => Assert.True(s > 1e-6));
    }

    [Fact]
    public void Methods_of_blocks_say_what_is_missing()
    {
        ModelGraph plain = Make.Network();
        Assert.Equal("SL4006", Assert.Throws<PruningException>(() => new BlockRemoval(new PruningSettings(), "random").Rewrite(plain)).Code);
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => new BlockRemoval(new PruningSettings(), "grasp").Rewrite(Resnet("resnet20", "width=4"))).Code);
        Assert.Equal("SL4005", Assert.Throws<PruningException>(() => new NodeSearch(new PruningSettings(), 5).Rewrite(plain)).Code);
    }

    [Fact]
    public void A_search_keeps_the_best_draw_exact_counts_and_the_initial_weights()
    {
        ModelGraph graph = Make.Network();
        var context = new PruningContext { Data = Make.Loader() };
        double[] best = new double[2];
        for (int i = 0; i < 2; i++)
        {
            var search = new NodeSearch(new PruningSettings { Sparsity = 0.5, Seed = 9 }, i == 0 ? 4 : 12, 2);
            GraphResult result = search.Rewrite(graph, context);
            best[i] = search.Losses.Min();
            Assert.All(result.Changes, c => Assert.Equal(c.Before / 2, c.After));
            var model = new TrainableModel(result.Graph.Clone()) { IsTraining = false };
            double loss = 0;
            using (GradientMode.Off())
            {
                for (int b = 0; b < 2; b++) loss += TrainingLoss.CrossEntropy()(model.Forward(new ModelValue(context.Data.At(b).Inputs)), context.Data.At(b)).Item() / 2;
            }
            Assert.Equal(best[i], loss, 6);
            float[] all = graph.Weights["conv1.weight"].Read().ToSingles();
            Assert.All(result.Graph.Weights["conv1.weight"].Read().ToSingles(), v => Assert.Contains(v, all));
        }
        Assert.True(best[1] <= best[0], "more draws of the same stream cannot be worse");
        GraphResult one = new NodeSearch(new PruningSettings { Sparsity = 0.5, Seed = 9 }, 1).Rewrite(graph);
        Assert.All(one.Changes, c => Assert.Equal(c.Before / 2, c.After));
    }

    [Fact]
    public void A_subnetwork_behind_masks_and_the_small_network_are_the_same_also_while_they_are_trained()
    {
        TrainableModel parent = Criteria.GoldenCriteriaTests.Network();
        PruningContext context = Criteria.GoldenCriteriaTests.Context();
        ModelGraph small = new NodeSearch(new PruningSettings { Sparsity = 0.5, Seed = 3 }, 1).Rewrite(parent.Graph).Graph;
        // Biases differ from unit to unit: they tell which units were kept.
        int[] Kept(string layer) => [.. small.Weights[layer + ".bias"].Read().ToSingles().Select(b => Array.IndexOf(parent.Graph.Weights[layer + ".bias"].Read().ToSingles(), b))];
        int[] first = Kept("fc1"), second = Kept("fc2"), all = [0, 1, 2, 3, 4];
        Assert.Equal((5, 4), (first.Length, second.Length));
        void Mask(string name, int rows, int columns, int[] keptRows, int[]? keptColumns) => parent.SetMask(parent.Parameter(name), Kernels.Sparse.Mask.FromFlags([rows, columns],
            [.. Enumerable.Range(0, rows * columns).Select(i => keptRows.Contains(i / columns) && (keptColumns is null || keptColumns.Contains(i % columns)))]));
        Mask("fc1.weight", 10, 12, first, null);
        Mask("fc2.weight", 8, 10, second, first);
        Mask("fc3.weight", 5, 8, all, second);
        var extracted = new TrainableModel(small);
        void Same()
        {
            Batch batch = context.Data!.At(0);
            Near.Equal(parent.Forward(new ModelValue(batch.Inputs)).ToArray(), extracted.Forward(new ModelValue(batch.Inputs)).ToArray(), 1e-5, 1e-5);
            float[] large = parent.Parameter("fc2.weight").Value.ToArray();
            Near.Equal([.. second.SelectMany(r => first.Select(c => large[r * 10 + c]))], extracted.Parameter("fc2.weight").Value.ToArray(), 1e-6, 1e-5);
        }
        Same();
        for (int steps = 1; steps <= 3; steps++)
        {
            foreach (TrainableModel model in (TrainableModel[])[parent, extracted])
            {
                using var trainer = new Trainer(model, new Training.Optimizers.Sgd(model.Parameters, 0.1, 0.9), new Training.LearningRates.Constant(0.1), context.Data!, TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = steps });
                trainer.Run();
            }
            Same();
        }
    }

    [Fact]
    public void The_best_of_many_draws_lies_as_far_out_as_order_statistics_say()
    {
        var search = new NodeSearch(new PruningSettings { Sparsity = 0.5, Seed = 9 }, 600, 1);
        search.Rewrite(Make.Network(), new PruningContext { Data = Make.Loader() });
        double mean = search.Losses.Average(), deviation = Math.Sqrt(search.Losses.Average(l => (l - mean) * (l - mean)));
        // Of 10 independent draws the best is expected 1.54 deviations below the mean; 60 groups know that to 0.59 / sqrt(60), and four times this is allowed for (the losses are only roughly normal).
        Assert.Equal(1.54, search.Losses.Chunk(10).Average(c => (mean - c.Min()) / deviation), 4 * 0.59 / Math.Sqrt(60));
        // Of 100 draws 2.51; six groups know that to 0.43 / sqrt(6).
        Assert.Equal(2.51, search.Losses.Chunk(100).Average(c => (mean - c.Min()) / deviation), 4 * 0.43 / Math.Sqrt(6));
        // Draws that were alike, or a walk instead of draws, would not be independent.
        Assert.True(search.Losses.Distinct().Count() > 590, "of 600 losses in single precision few are equal by chance");
        Assert.InRange(search.Losses.Zip(search.Losses.Skip(1), (a, b) => (a - mean) * (b - mean)).Average() / (deviation * deviation), -4 / Math.Sqrt(600), 4 / Math.Sqrt(600));
    }
}

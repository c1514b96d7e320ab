using Sparseland.Model.Graph;
using Sparseland.Pruning.Allocations;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.Methods;
using Sparseland.Pruning.Probing;
using Sparseland.Training;

namespace Sparseland.Pruning.Tests.Criteria;

public class NetworkCriteriaTests
{
    private static readonly string[] s_rounds = ["snip", "grasp", "synflow", "force"];

    /// <summary>Linear layers with ReLU between, without biases unless asked for.</summary>
    private static ModelGraph Chain(int seed, bool bias, params int[] widths)
    {
        var g = new GraphBuilder("chain", seed);
        Value h = g.Input("x", ElementType.Float32, Dimension.Named("batch"), widths[0]);
        for (int i = 1; i < widths.Length; i++)
        {
            h = g.Linear(h, $"fc{i}", widths[i], bias);
            if (i + 1 < widths.Length) h = g.Relu(h);
        }
        return g.Output("y", h).Build();
    }

    private static float[][] Flow(ModelGraph graph, params bool[]?[] alive)
    {
        var model = new TrainableModel(graph);
        PruningTarget target = PruningTarget.Of(model);
        using var probe = new NetworkProbe(model, new PruningContext());
        var input = new NetworkScoreInput(target.Layers, [.. target.Layers.Select(target.Values)]) { Alive = alive.Length == 0 ? new bool[]?[target.Layers.Count] : alive, Probe = probe };
        probe.SetValues(target.Layers, [.. target.Layers.Select((_, l) => input.Masked(l))]);
        return new SynFlowCriterion().Score(input);
    }

    [Fact]
    public void SynFlow_worked_example()
    {
        ModelGraph graph = Chain(1, false, 2, 2, 1);
        graph.Weights["fc1.weight"].Set(TensorData.Wrap([1f, -2, 0.5f, 1], 2, 2));
        graph.Weights["fc2.weight"].Set(TensorData.Wrap([3f, -1], 1, 2));
        float[][] scores = Flow(graph);
        Assert.Equal([3, 6, 0.5f, 1], scores[0]);
        Assert.Equal([9, 1.5f], scores[1]);
        Assert.Equal(10.5, scores[0].Sum(), 6);
    }

    [Fact]
    public void SynFlow_is_conserved_at_every_unit_and_does_not_see_signs()
    {
        ModelGraph graph = Chain(3, false, 7, 6, 5, 4);
        float[][] scores = Flow(graph);
        int[] widths = [7, 6, 5, 4];
        for (int layer = 0; layer + 1 < scores.Length; layer++)
        {
            for (int unit = 0; unit < widths[layer + 1]; unit++)
            {
                double into = Enumerable.Range(0, widths[layer]).Sum(i => (double)scores[layer][unit * widths[layer] + i]);
                double from = Enumerable.Range(0, widths[layer + 2]).Sum(o => (double)scores[layer + 1][o * widths[layer + 1] + unit]);
                Assert.Equal(into, from, 5);
            }
        }
        ModelGraph flipped = graph.Clone();
        float[] w = flipped.Weights["fc2.weight"].Read().Clone().Array<float>();
        for (int i = 0; i < w.Length; i += 2) w[i] = -w[i];
        flipped.Weights["fc2.weight"].Set(TensorData.Wrap(w, 5, 6));
        Assert.Equal(scores, Flow(flipped));
    }

    [Theory]
    [InlineData("unstructured")]
    [InlineData("row")]
    [InlineData("column")]
    public void The_expected_flow_depends_on_densities_and_not_on_granularity(string pattern)
    {
        // Masks drawn layer by layer at a density of one half: E[R] = R / 2^3 whatever is drawn as a whole.
        ModelGraph graph = Chain(5, false, 8, 6, 8, 4);
        double whole = Flow(graph)[0].Sum(s => (double)s), sum = 0, squares = 0;
        const int Draws = 400;
        for (int seed = 0; seed < Draws; seed++)
        {
            PruningTarget target = PruningTarget.Of(graph.Clone());
            ((OneShotSparsifier)MethodCatalog.Get("random").Build(new PruningSettings { Sparsity = 0.5, Seed = seed, Bounds = LayerBounds.None, Pattern = Kernels.Sparse.SparsityPattern.Parse(pattern) },
                new Dictionary<string, string> { ["allocation"] = "uniform" })).Apply(target);
            Assert.All(target.Layers, l => Assert.Equal(0.5, target.Mask(l)!.Density, 12));
            double flow = Flow(target.Graph, [.. target.Layers.Select(l => target.Mask(l)!.ToFlags())])[0].Sum(s => (double)s) / whole;
            sum += flow;
            squares += flow * flow;
        }
        double mean = sum / Draws, error = Math.Sqrt((squares / Draws - mean * mean) / Draws);
        Assert.True(error < 0.02, $"{error}");
        Assert.InRange(mean, 0.125 - 4 * error, 0.125 + 4 * error);
    }

    [Fact]
    public void SynFlow_of_a_network_whose_flow_overflows_ranks_like_a_scaled_copy()
    {
        // 60 layers whose gain is about 10 each: R is about 1e60, beyond float32; the same network with every weight divided by 8 is not.
        static ModelGraph Deep(float scale)
        {
            ModelGraph graph = Chain(5, true, [.. Enumerable.Repeat(6, 61)]);
            int n = 0;
            foreach (string name in graph.Weights.Keys.ToArray())
            {
                TensorData data = graph.Weights[name].Read().Clone();
                foreach (ref float v in data.Span<float>()) v = name.EndsWith("weight", StringComparison.Ordinal) ? v * 8 * scale : 0;
                graph.Weights[name].Set(data);
                n++;
            }
            return graph;
        }
        float[][] large = Flow(Deep(1)), small = Flow(Deep(0.125f));
        Assert.All(large.SelectMany(s => s), s => Assert.True(float.IsFinite(s) && s > 0));
        double factor = large[0][0] / (double)small[0][0];
        for (int l = 0; l < large.Length; l++)
        {
            for (int i = 0; i < large[l].Length; i++) Assert.Equal(1, large[l][i] / (small[l][i] * factor), 3);
        }
    }

    [Fact]
    public void SynFlow_in_one_round_empties_a_wide_layer_and_in_a_hundred_it_does_not()
    {
        int[] Kept(string rounds)
        {
            var model = new TrainableModel(Chain(2, false, 400, 20, 20, 10));
            var method = (OneShotSparsifier)MethodCatalog.Get("synflow").Build(new PruningSettings { Sparsity = 0.98, Bounds = LayerBounds.None }, new Dictionary<string, string> { ["rounds"] = rounds });
            return [.. method.Apply(PruningTarget.Of(model)).Layers.Select(l => l.After)];
        }
        int[] once = Kept("1"), often = Kept("100");
        Assert.Equal(0, once[0]);
        Assert.All(often, k => Assert.True(k > 0));
        Assert.Equal(once.Sum(), often.Sum());
    }

    [Fact]
    public void SynFlow_keeps_every_layer_alive_far_beyond_99_per_cent()
    {
        foreach (double sparsity in (double[])[0.99, 0.999])
        {
            var model = new TrainableModel(Chain(4, true, 784, 300, 100, 10));
            var method = (OneShotSparsifier)MethodCatalog.Get("synflow").Build(new PruningSettings { Sparsity = sparsity, Bounds = LayerBounds.None });
            PruningResult result = method.Apply(PruningTarget.Of(model));
            Assert.All(result.Layers, l => Assert.True(l.After > 0));
            Assert.Equal(Math.Round(266_200 * (1 - sparsity)), result.Kept);
        }
    }

    [Fact]
    public void Grasp_worked_example()
    {
        // L = theta^T A theta / 2, A = diag(1, 3): the gradient is A theta.
        float[][] Gradient(float[][] t) => [[t[0][0], 3 * t[0][1]]];
        float[][] theta = [[2, 1]], product = GraspCriterion.HessianProduct(theta, Gradient);
        Assert.Equal(2, product[0][0], 3);
        Assert.Equal(9, product[0][1], 3);
        // Keep scores 4 and 9: the first goes, and what is left has the larger gradient.
        float[] keep = [theta[0][0] * product[0][0], theta[0][1] * product[0][1]];
        Assert.Equal([4, 9], keep.Select(k => Math.Round(k, 2)));
        Assert.Equal(9, Gradient([[0, 1]])[0].Sum(g => g * g));
        Assert.Equal(4, Gradient([[2, 0]])[0].Sum(g => g * g));
    }

    [Fact]
    public void Weight_times_gradient_sums_to_the_same_in_every_layer_without_biases()
    {
        var model = new TrainableModel(Chain(6, false, 12 * 12, 30, 20, 10));
        PruningTarget target = PruningTarget.Of(model);
        using var probe = new NetworkProbe(model, new PruningContext { Data = Flat() });
        float[][] gradients = probe.Gradients(target.Layers, probe.Batches(2));
        double[] sums = [.. target.Layers.Select((l, i) => target.Values(l).Zip(gradients[i], (w, g) => (double)w * g).Sum())];
        Assert.Equal(sums[0], sums[1], 5);
        Assert.Equal(sums[0], sums[2], 5);
    }

    private static Training.Data.BatchLoader Flat() => new(new FlatPictures(Make.Pictures()), new Training.Data.BatchOptions { BatchSize = 20, Seed = 2 });

    private sealed class FlatPictures(Training.Data.IDataset source) : Training.Data.IDataset
    {
        private readonly int[] _shape = [144];

        public int Count => source.Count;

        public Training.Data.SampleKind Kind => Training.Data.SampleKind.Features;

        public ReadOnlySpan<int> SampleShape => _shape;

        public int ClassCount => source.ClassCount;

        public int TargetsPerSample => 1;

        public IReadOnlyList<string>? ClassNames => null;

        public void Fill(int index, Span<float> sample, Span<int> targets) => source.Fill(index, sample, targets);
    }

    [Fact]
    public void Force_can_bring_a_weight_back_and_iter_snip_cannot()
    {
        // A criterion whose favourites change with the round.
        var criterion = new Alternating();
        var layerwise = new PruningSettings { Sparsity = 0.75, Bounds = LayerBounds.None };
        bool[] Kept(bool revival)
        {
            ModelGraph graph = Chain(1, false, 4, 2);
            PruningTarget target = PruningTarget.Of(graph);
            new ScoredPruning("x", PruningStage.Before, layerwise, criterion, new GlobalAllocation(), new ScoringRounds(2) { Revival = revival }).Apply(target);
            return target.Mask(target.Layers[0])!.ToFlags();
        }
        // Round 1 keeps the first four of eight, round 2 prefers the last two.
        Assert.Equal([false, false, false, false, false, false, true, true], Kept(true));
        Assert.Equal([false, false, true, true, false, false, false, false], Kept(false));
    }

    private sealed class Alternating : INetworkCriterion
    {
        public string Id => "alternating";

        public CriterionNeeds Needs => CriterionNeeds.None;

        public float[][] Score(NetworkScoreInput input) => [[.. Enumerable.Range(0, 8).Select(i => input.Round == 0 ? 8f - i : i)]];
    }

    [Fact]
    public void Rounds_follow_the_worked_densities()
    {
        var rounds = new ScoringRounds(4);
        Assert.Equal([0.316228, 0.1, 0.031623, 0.01], Enumerable.Range(1, 4).Select(t => Math.Round(1 - rounds.SparsityAfter(t, 0.99), 6)));
        Assert.Equal(0.75, 1 - new ScoringRounds(4) { Exponential = false }.SparsityAfter(1, 1.0), 12);
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void Scoring_leaves_no_trace_but_masks_and_threads_do_not_matter(string id)
    {
        string? first = null;
        foreach (int threads in (int[])[1, 2])
        {
            int before = Kernels.Threading.WorkPool.Threads;
            Kernels.Threading.WorkPool.Threads = threads;
            try
            {
                var model = new TrainableModel(Make.Network());
                float[][] buffers = [.. model.Buffers.Select(b => b.Value.ToArray())], values = [.. model.Parameters.Select(p => p.Value.ToArray())];
                var method = (OneShotSparsifier)MethodCatalog.Get(id).Build(new PruningSettings { Sparsity = 0.9 }, id is "force" or "synflow" ? new Dictionary<string, string> { ["rounds"] = "5" } : null);
                PruningTarget target = PruningTarget.Of(model);
                PruningResult result = method.Apply(target, new PruningContext { Data = Make.Loader() });
                Assert.Equal(Math.Round(result.Total * 0.1), result.Kept);
                Assert.Equal(buffers, model.Buffers.Select(b => b.Value.ToArray()));
                Assert.All(model.Parameters, p => Assert.True(p.Grad is null && !p.WantsDenseGradient));
                Assert.True(model.IsTraining && !model.RecordsInEvaluation && model.TrainingPasses == 0);
                for (int i = 0; i < values.Length; i++)
                {
                    Parameter p = model.Parameters[i];
                    for (int k = 0; k < values[i].Length; k++) Assert.Equal(p.Mask is null || p.Mask[k] ? values[i][k] : 0, p.Value.Values[k]);
                }
                string print = string.Join("|", target.Layers.Select(l => string.Join(",", target.Mask(l)?.Words.ToArray() ?? [])));
                first ??= print;
                Assert.Equal(first, print);
            }
            finally
            {
                Kernels.Threading.WorkPool.Threads = before;
            }
        }
    }

    public static TheoryData<string> Methods => new(s_rounds);

    [Fact]
    public void A_score_that_is_no_number_is_an_error()
    {
        PruningException e = Assert.Throws<PruningException>(() => new ScoredPruning("x", PruningStage.Before, new PruningSettings(), new Broken(), new GlobalAllocation()).Apply(PruningTarget.Of(Chain(1, false, 4, 2))));
        Assert.Equal("SL4013", e.Code);
        Assert.Contains("broken", e.Message);
    }

    private sealed class Broken : INetworkCriterion
    {
        public string Id => "broken";

        public CriterionNeeds Needs => CriterionNeeds.None;

        public float[][] Score(NetworkScoreInput input) => [[.. Enumerable.Repeat(float.NaN, 8)]];
    }
}

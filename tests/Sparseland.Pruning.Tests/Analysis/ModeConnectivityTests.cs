using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Analysis;

public class ModeConnectivityTests
{
    private static readonly InputNormalization s_normalization = new([0.5f], [0.25f]);

    /// <summary>A network that was trained a little, pruned uniformly and trained on with another order of the data.</summary>
    internal static ModelGraph Trained(long order, int seed = 1, double density = 0.5, long steps = 30)
    {
        ModelGraph graph = Make.Network(seed, width: 4);
        ThreeRegimeStudy.Prune(graph, density);
        var model = new TrainableModel(graph);
        var plan = new TrainingPlan { Steps = steps, BatchSize = 20, LearningRate = 0.1, Seed = order };
        using Trainer trainer = plan.CreateTrainer(model, new RecoveryContext(new DataSource("x", "x", Make.Pictures(200), null), s_normalization));
        trainer.Run();
        model.SyncToGraph();
        return graph;
    }

    [Fact]
    public void The_worked_examples_of_the_three_regimes_card()
    {
        Assert.Equal((-0.25, 5), (Math.Round(ModeConnectivity.Measure([.10, .12, .2, .3, .34, .35, .34, .3, .2, .12, .10]).Lmc, 12), ModeConnectivity.Measure([.10, .12, .2, .3, .34, .35, .34, .3, .2, .12, .10]).Index));
        Assert.Equal(0.04, ModeConnectivity.Measure([.10, .08, .06, .09, .10]).Lmc, 12);
        // The extreme is that of the absolute deviation: of a valley and a higher barrier the barrier counts, and the other way round.
        Assert.Equal(-0.05, ModeConnectivity.Measure([.10, .07, .15, .10]).Lmc, 12);
        Assert.Equal(0.06, ModeConnectivity.Measure([.10, .04, .15, .10]).Lmc, 12);
        // The first of equals.
        Assert.Equal(1, ModeConnectivity.Measure([.25, .375, .125, .25]).Index);
    }

    [Fact]
    public void A_model_is_connected_with_itself_and_the_measure_is_symmetric()
    {
        PictureDataset data = Make.Pictures(120);
        ModelGraph a = Trained(1), b = Trained(2);
        ConnectivityPath self = ModeConnectivity.Measure(a, a, data, s_normalization, new ConnectivityOptions { Points = 3 });
        Assert.Equal(0, self.Lmc, 12);
        ConnectivityPath there = ModeConnectivity.Measure(a, b, data, s_normalization), back = ModeConnectivity.Measure(b, a, data, s_normalization);
        Assert.Equal(there.Errors.Reverse(), back.Errors);
        Assert.Equal(Math.Abs(there.Lmc), Math.Abs(back.Lmc), 12);
        Assert.Equal(11, there.Errors.Count);
    }

    [Fact]
    public void Without_measuring_norms_again_the_path_is_another()
    {
        PictureDataset data = Make.Pictures(120);
        // From different initial values: features do not fit each other, statistics of the mixture are far from the mixture of statistics.
        ModelGraph a = Trained(1, seed: 1, density: 1), b = Trained(2, seed: 2, density: 1);
        ConnectivityPath with = ModeConnectivity.Measure(a, b, data, s_normalization, new ConnectivityOptions { Points = 5 }), without = ModeConnectivity.Measure(a, b, data, s_normalization, new ConnectivityOptions { Points = 5, ReestimatesNorms = false });
        Assert.NotEqual(with.Losses, without.Losses);
        Assert.True(with.Losses[2] < without.Losses[2], $"{with.Losses[2]} with, {without.Losses[2]} without");
    }

    [Fact]
    public void A_mixture_keeps_the_common_mask_and_different_masks_are_refused()
    {
        ModelGraph a = Trained(1), b = Trained(2);
        ModelGraph mixed = ModeConnectivity.Interpolate(a, b, 0.3);
        foreach (Weight w in mixed.Weights.Values)
        {
            Weight other = a.Weights[w.Name];
            Assert.Equal(other.Mask, w.Mask);
            if (w.Mask is { } mask) Assert.Equal(mask.KeptCount, w.Read().ToSingles().Count(v => v != 0));
        }
        Assert.Equal(a.Weights["conv2.weight"].Read().ToSingles(), ModeConnectivity.Interpolate(a, b, 0).Weights["conv2.weight"].Read().ToSingles());
        Assert.Equal(b.Weights["conv2.weight"].Read().ToSingles(), ModeConnectivity.Interpolate(a, b, 1).Weights["conv2.weight"].Read().ToSingles());
        Assert.Equal("SL4021", Assert.Throws<PruningException>(() => ModeConnectivity.Interpolate(a, Trained(1, density: 0.4), 0.5)).Code);
        Assert.Equal("SL4021", Assert.Throws<PruningException>(() => ModeConnectivity.Interpolate(a, Make.Network(1, width: 4), 0.5)).Code);
    }

    [Theory]
    [InlineData(-0.25, 0.99, Regime.One)]
    [InlineData(-0.005, 0.5, Regime.TwoA)]
    [InlineData(0.04, 0.95, Regime.TwoB)]
    [InlineData(double.NaN, 0.95, Regime.One)]
    public void Regimes_follow_from_connectivity_and_similarity(double lmc, double cka, Regime expected)
    {
        Assert.Equal(expected, Regimes.Classify(lmc, cka));
        Assert.NotEmpty(Regimes.Advice(expected));
    }

    [Fact]
    public void A_study_stops_one_dense_run_early_prunes_convolutions_and_resumes_to_the_same_cells()
    {
        var data = new DataSource("x", "x", Make.Pictures(80), Make.Pictures(60, 9), s_normalization);
        string folder = Directory.CreateTempSubdirectory("sparseland-study-").FullName;
        try
        {
            ThreeRegimeStudy Study(IAnalysisStore? store, IProgress<AnalysisProgress>? progress = null) => new()
            {
                Network = Make.Network(1, width: 4),
                Data = data,
                Normalization = s_normalization,
                Temperatures = [1, 2],
                Densities = [0.2, 0.8],
                Dense = new TrainingPlan { Epochs = 2, BatchSize = 20, LearningRate = 0.05, Schedule = "step" },
                Retraining = new TrainingPlan { Epochs = 1, BatchSize = 20, LearningRate = 0.05, Schedule = "step" },
                Path = new ConnectivityOptions { Points = 3 },
                Store = store,
                Progress = progress,
            };
            IReadOnlyList<RegimeCell> whole = Study(null).Run();
            Assert.Equal([(1, 0.2), (1, 0.8), (2, 0.2), (2, 0.8)], whole.Select(c => (c.Epochs, c.Density)));
            Assert.All(whole, c => Assert.InRange(c.Cka, 0, 1.0000001));
            Assert.All(whole, c => Assert.InRange(c.TestError, 0, 1));
            // Cancelled in the third cell; what was finished is found again, and the rest comes out the same.
            using var stop = new CancellationTokenSource();
            var store = new FolderAnalysisStore(folder, resume: false);
            Assert.Throws<OperationCanceledException>(() => Study(store, new Cancel(stop, 8 + 4 * 4 + 2)).Run(stop.Token));
            var resumed = new FolderAnalysisStore(folder, resume: true);
            Assert.NotNull(resumed.Find("cell-1-0.2"));
            Assert.Null(resumed.Find("cell-2-0.8"));
            Assert.Equal(whole, Study(resumed).Run());
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        ModelGraph graph = Make.Network(1);
        ThreeRegimeStudy.Prune(graph, 0.25);
        foreach (string name in (string[])["conv1.weight", "conv2.weight", "conv3.weight"]) Assert.Equal(0.25, graph.Weights[name].Mask!.Density, 2);
        Assert.Null(graph.Weights["classifier.weight"].Mask);
    }

    [Fact]
    public void A_store_gives_back_numbers_bit_for_bit_and_ignores_a_line_that_was_cut_off()
    {
        string folder = Directory.CreateTempSubdirectory("sparseland-store-").FullName;
        try
        {
            var store = new FolderAnalysisStore(folder, resume: true);
            store.Put("a", 1.0 / 3, double.NaN, -0.0);
            store.Put("b");
            File.AppendAllText(Path.Combine(folder, "parts.txt"), "\nc\t1.5\t2.5");
            var read = new FolderAnalysisStore(folder, resume: true);
            Assert.Equal([1.0 / 3, double.NaN, -0.0], read.Find("a")!);
            Assert.Empty(read.Find("b")!);
            Assert.Null(read.Find("c"));
            // A line appended after the cut-off one is whole again.
            read.Put("d", 4);
            Assert.Equal([4.0], new FolderAnalysisStore(folder, resume: true).Find("d")!);
            Assert.Null(new FolderAnalysisStore(folder, resume: false).Find("a"));
        }
        finally
        {
            if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
        }
    }

    private sealed class Cancel(CancellationTokenSource source, double after) : IProgress<AnalysisProgress>
    {
        public void Report(AnalysisProgress value)
        {
            if (value.Done >= after) source.Cancel();
        }
    }
}

using Sparseland.Model;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Analysis;

public class ExperimentTests
{
    private static double Explore(string method, List<double> shares)
    {
        var model = new TrainableModel(Make.Network());
        var sparsifier = (TrainingSparsifier)MethodCatalog.Get(method).Build(new PruningSettings { Sparsity = 0.8 }, method == "static" ? null : new Dictionary<string, string> { ["interval"] = "2" }, 20);
        var explored = new ExploredWeights();
        using Trainer trainer = new TrainingPlan { Steps = 20, BatchSize = 20 }.CreateTrainer(model, new RecoveryContext(new DataSource("x", "x", Make.Pictures(), null), InputNormalization.None) { Callbacks = [sparsifier, explored, new Look(() => shares.Add(explored.Share))] });
        trainer.Run();
        return sparsifier.Result().Layers.Where(l => model.Parameter(l.Layer.Name).Mask is not null).Sum(l => (double)l.After) / sparsifier.Result().Layers.Where(l => model.Parameter(l.Layer.Name).Mask is not null).Sum(l => (double)l.Layer.Length);
    }

    [Theory]
    [InlineData("static")]
    [InlineData("set")]
    [InlineData("rigl")]
    public void The_explored_share_is_the_density_for_static_masks_and_never_falls_for_others(string method)
    {
        var shares = new List<double>();
        double density = Explore(method, shares);
        Assert.Equal(20, shares.Count);
        Assert.True(shares.Zip(shares.Skip(1), (a, b) => b >= a).All(x => x));
        Assert.Equal(density, shares[0], method == "static" ? 1e-12 : 0.2);
        if (method == "static") Assert.All(shares, s => Assert.Equal(density, s, 12));
        else Assert.True(shares[^1] > density, $"{shares[^1]} of {density}");
    }

    [Theory]
    [InlineData("gmp", 14)]
    [InlineData("iss", 6)]
    public void What_was_dense_at_first_is_explored_whole_and_its_cut_is_a_change(string method, long last)
    {
        var model = new TrainableModel(Make.Network());
        var sparsifier = (TrainingSparsifier)MethodCatalog.Get(method).Build(new PruningSettings { Sparsity = 0.8 }, null, 20);
        var explored = new ExploredWeights();
        using Trainer trainer = new TrainingPlan { Steps = 20, BatchSize = 20 }.CreateTrainer(model, new RecoveryContext(new DataSource("x", "x", Make.Pictures(), null), InputNormalization.None) { Callbacks = [sparsifier, explored] });
        trainer.Run();
        Assert.Equal(1, explored.Share);
        Assert.Equal(last, explored.LastChange);
    }

    [Fact]
    public void A_whole_comparison_honours_every_rule_and_a_bare_run_is_told_what_is_missing()
    {
        var run = new ExperimentFacts
        {
            Method = "rigl",
            Stage = PruningStage.During,
            IsDynamic = true,
            TrainsSparse = true,
            HasDense = true,
            HasBytes = true,
            HasOperations = true,
            HasLatency = true,
            HasTrainingCost = true,
            HasPeakMemory = true,
            KnowsDensePhase = true,
            ExploredShare = 0.4,
            LayerDensities = [0.1, 0.3],
            Sparsity = 0.8,
            WholeSparsity = 0.78,
            Seed = 1,
            Steps = 100,
            Recipe = "x",
            NonZeros = 1000,
        };
        ExperimentFacts[] beside =
        [
            run with { Seed = 2 }, run with { Seed = 3 }, run with { Method = "static", IsDynamic = false }, run with { Method = "gmp", IsDynamic = false, TrainsSparse = false },
            new ExperimentFacts { NonZeros = 1050, Seed = 1, Steps = 100, Recipe = "x" },
        ];
        IReadOnlyList<LessonFinding> whole = ExperimentChecklist.Check(run with { Beside = beside });
        Assert.Equal(Enumerable.Range(1, 10), whole.Select(f => f.Number));
        Assert.True(whole.All(f => f.Verdict != LessonVerdict.Missing), string.Join("; ", whole.Where(f => f.Verdict == LessonVerdict.Missing).Select(f => $"{f.Number}: {f.Reason}")));

        // Whatever is taken away, the rule that needs it says so.
        void Breaks(int rule, ExperimentFacts facts) => Assert.Equal(LessonVerdict.Missing, ExperimentChecklist.Check(facts)[rule - 1].Verdict);
        Breaks(1, run with { Beside = beside[..4] });
        Breaks(1, run with { Beside = beside, HasDense = false });
        Breaks(2, run with { Beside = beside, HasLatency = false });
        Breaks(2, run with { Beside = beside, HasBytes = false });
        Breaks(3, run with { Beside = beside, HasPeakMemory = false });
        Breaks(4, run with { Beside = beside, TrainsSparse = false, KnowsDensePhase = false });
        Breaks(5, run with { Beside = beside, ExploredShare = null });
        Breaks(6, run with { Beside = [run with { Method = "snip", Stage = PruningStage.Before }] });
        Breaks(7, run with { Beside = beside, HasLatency = false });
        Breaks(8, run with { Beside = [.. beside.Where(b => b.Method != "static")] });
        Breaks(8, run with { Beside = [.. beside.Select(b => b.Method == "gmp" ? b with { Sparsity = 0.9 } : b)] });
        Breaks(9, run with { Beside = beside[1..] });
        Breaks(9, run with { Beside = [.. beside, run with { Method = "set", Steps = 200 }] });
        Breaks(9, run with { Beside = [.. beside, run with { Method = "set", Recipe = "y" }] });
        Breaks(10, run with { Beside = beside, WholeSparsity = null });
        Assert.All(ExperimentChecklist.Check(run).Where(f => f.Verdict == LessonVerdict.Missing), f => Assert.NotNull(f.Try));
        // A dense training has no sparse rule to honour; seeds concern it as well.
        Assert.Equal([9], ExperimentChecklist.Check(new ExperimentFacts { Seed = 1 }).Where(f => f.Verdict != LessonVerdict.NotApplicable).Select(f => f.Number));
    }

    private sealed class Look(Action look) : ITrainerCallback
    {
        public string Name => "look";

        public void OnStepEnd(TrainingContext context) => look();
    }
}

using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Recovery;
using Sparseland.Pruning.Structured;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Analysis;

public class OracleCheckTests
{
    private static readonly InputNormalization s_normalization = new([0.5f], [0.25f]);

    private static ModelGraph Network(int units = 5)
    {
        var g = new GraphBuilder("mlp", 1);
        Value x = g.Flatten(g.Input("image", ElementType.Float32, Dimension.Named("batch"), 1, 12, 12));
        Value h = g.Relu(g.Linear(g.Relu(g.Linear(x, "fc1", units)), "fc2", 6));
        return g.Output("logits", g.Linear(h, "fc3", 10)).Build();
    }

    private static OracleCheck Check(long steps, IAnalysisStore? store = null) => new()
    {
        Network = Network(),
        Data = new DataSource("x", "x", Make.Pictures(80), Make.Pictures(50, 8)),
        Normalization = s_normalization,
        Groups = ["fc1.weight"],
        Rate = 0.4,
        Repeats = 2,
        Retraining = new TrainingPlan { Steps = steps, BatchSize = 20, LearningRate = 0.05 },
        Store = store,
    };

    [Theory]
    [InlineData(10, 0.2, 45)]
    [InlineData(10, 0.3, 120)]
    [InlineData(10, 0.4, 210)]
    [InlineData(10, 0.5, 252)]
    [InlineData(10, 0.8, 45)]
    public void All_combinations_of_one_group_are_made_once(int units, double rate, int count)
    {
        Assert.Equal(count, (int)OracleMasks.Count([units], rate));
        IReadOnlyList<int[][]> masks = OracleMasks.Make([units], rate, 1000, 0);
        Assert.Equal(count, masks.Count);
        Assert.Equal(count, masks.Select(m => string.Join(',', m[0])).Distinct().Count());
        Assert.All(masks, m => Assert.Equal((int)Math.Round(rate * units), m[0].Length));
    }

    [Fact]
    public void Several_groups_multiply_and_random_masks_are_distinct_and_repeatable()
    {
        Assert.Equal(45 * 4, (int)OracleMasks.Count([10, 4], 0.25));
        IReadOnlyList<int[][]> all = OracleMasks.Make([5, 4], 0.5, 100, 0);
        Assert.Equal(10 * 6, all.Count);
        Assert.Equal(60, all.Select(m => string.Join('|', m.Select(g => string.Join(',', g)))).Distinct().Count());
        IReadOnlyList<int[][]> random = OracleMasks.Make([30, 20], 0.7, 80, 3), again = OracleMasks.Make([30, 20], 0.7, 80, 3), other = OracleMasks.Make([30, 20], 0.7, 80, 4);
        string[] keys = [.. random.Select(m => string.Join('|', m.Select(g => string.Join(',', g))))];
        Assert.Equal(80, keys.Distinct().Count());
        Assert.Equal(keys, again.Select(m => string.Join('|', m.Select(g => string.Join(',', g)))));
        Assert.NotEqual(keys, other.Select(m => string.Join('|', m.Select(g => string.Join(',', g)))));
        Assert.All(random, m => Assert.Equal((21, 14), (m[0].Length, m[1].Length)));
        // Nearly all of a small space is drawn without end.
        Assert.Equal(9, OracleMasks.Make([5], 0.4, 9, 1).Count);
    }

    [Fact]
    public void Removal_and_masking_give_the_same_loss()
    {
        ModelGraph graph = Network();
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        foreach (int[][] mask in OracleMasks.Make([5], 0.4, 100, 0))
        {
            var removal = new Removal(dependencies);
            removal.Add(dependencies.Group("fc1.weight"), mask[0]);
            double Loss(ModelGraph g) => Evaluator.Evaluate(new TrainableModel(g), Make.Pictures(60), new EvaluationOptions { Normalization = s_normalization }).Loss;
            Assert.Equal(Loss(Surgeon.Zero(removal)), Loss(Surgeon.Remove(removal).Graph), 5);
        }
    }

    [Fact]
    public void Without_retraining_the_loss_predicts_the_training_loss_perfectly()
    {
        OracleResult result = Check(steps: 0).Run();
        Assert.Equal(10, result.Outcomes.Count);
        Assert.Equal(1, result.TauTrainLoss.Value, 12);
        Assert.Equal(0, result.SeedDeviation, 12);
        Assert.Equal(result.Outcomes.Min(o => o.PrunedLoss), result.Outcomes[result.Oracle].PrunedLoss);
        Assert.Contains(result.Outcomes, o => o.Removed[0].SequenceEqual(result.ByL1.Removed[0]) && o.PrunedLoss == result.ByL1.PrunedLoss);
    }

    [Fact]
    public void Retraining_differs_by_seed_lowers_the_training_loss_and_resumes_to_the_same_numbers()
    {
        string folder = Directory.CreateTempSubdirectory("sparseland-oracle-").FullName;
        try
        {
            OracleResult once = Check(12, new FolderAnalysisStore(folder, resume: false)).Run(), again = Check(12, new FolderAnalysisStore(folder, resume: true)).Run(), fresh = Check(12).Run();
            Assert.True(once.SeedDeviation > 0);
            Assert.True(once.Outcomes.Average(o => o.TrainLoss) < once.Outcomes.Average(o => o.PrunedLoss));
            Assert.Equal(once.Outcomes.Select(o => (o.PrunedLoss, o.TestLoss, o.Accuracy, o.TrainLoss)), again.Outcomes.Select(o => (o.PrunedLoss, o.TestLoss, o.Accuracy, o.TrainLoss)));
            Assert.Equal(once.Outcomes.Select(o => o.TestLoss), fresh.Outcomes.Select(o => o.TestLoss));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}

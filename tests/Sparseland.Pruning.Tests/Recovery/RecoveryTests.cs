using Sparseland.Model;
using Sparseland.Pruning.Catalog;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;
using Xunit.Abstractions;

namespace Sparseland.Pruning.Tests.Recovery;

public class RecoveryTests(ITestOutputHelper output)
{
    private static readonly InputNormalization s_normalization = new([0.5f], [0.25f]);
    private static readonly DataSource s_data = new("shapes", "built-in", Make.Pictures(1500, 3), Make.Pictures(400, 4));

    [Fact]
    public void Train_prune_recover_keeps_the_masks_and_wins_accuracy_back()
    {
        var context = new RecoveryContext(s_data, s_normalization);
        var dense = new TrainableModel(Make.Network());
        double trained = new FineTuning(new TrainingPlan { Epochs = 8, BatchSize = 50, Optimizer = "adam", LearningRate = 0.01, WeightDecay = 0, Schedule = "one-cycle" }).Recover(dense, context)!.Final!.Top1;
        dense.SyncToGraph();
        var model = new TrainableModel(dense.Graph.Clone());
        PruningResult pruned = ((OneShotSparsifier)MethodCatalog.Get("magnitude").Build(new PruningSettings { Sparsity = 0.6 })).Apply(PruningTarget.Of(model));
        double broken = Evaluate(model);
        new NormReestimation(20, 100).Recover(model, context);
        double repaired = Evaluate(model);
        var plan = new TrainingPlan { Epochs = 3, BatchSize = 50, Optimizer = "sgd", LearningRate = 0.02, TeacherWeight = 0.5 };
        double recovered = new FineTuning(plan).Recover(model, context with { Teacher = dense })!.Final!.Top1;
        output.WriteLine($"dense {trained:P1}, pruned to {pruned.Achieved:P0}: {broken:P1}, statistics again {repaired:P1}, fine-tuned {recovered:P1}");
        Assert.True(trained > 0.9, $"{trained}");
        Assert.True(recovered > broken + 0.05 && recovered > trained - 0.05, $"{broken} -> {recovered}");
        Assert.True(repaired > broken - 0.02);
        model.SyncToGraph();
        Assert.Equal(pruned.Kept, pruned.Layers.Sum(l => (long)model.Graph.Weights[l.Layer.Name].Read().NonZeros().KeptCount));
    }

    [Theory, InlineData(64, 64), InlineData(8, 32), InlineData(1000, 256)]
    public void Evaluations_use_the_memory_of_a_step(int batch, int evaluated)
    {
        using Trainer trainer = new TrainingPlan { Epochs = 1, BatchSize = batch }.CreateTrainer(new TrainableModel(Make.Network()), new RecoveryContext(s_data, s_normalization));
        Assert.Equal(evaluated, trainer.Options.EvaluationBatchSize);
    }

    [Fact]
    public void Statistics_are_those_of_the_batches()
    {
        var model = new TrainableModel(Make.Network());
        float[] values = model.Parameter("conv1.weight").Value.ToArray();
        new NormReestimation(5, 100).Recover(model, new RecoveryContext(s_data, s_normalization));
        Assert.Equal(values, model.Parameter("conv1.weight").Value.ToArray());
        // With statistics of the very batches, training mode and evaluation mode see nearly the same first layer.
        double[] sums = new double[8];
        int seen = 0;
        var loader = new BatchLoader(s_data.Train!, new BatchOptions { BatchSize = 100, DropLast = true, Normalization = s_normalization });
        model.IsTraining = false;
        string conv = model.Graph.Nodes.First(n => n.OpType == "Conv").Output(0);
        using (model.Observe(conv, v =>
        {
            Span<float> x = v.Tensor.Values;
            for (int i = 0; i < x.Length; i++) sums[i / 144 % 8] += x[i];
            seen += x.Length / 8;
        }))
        {
            for (int b = 0; b < 5; b++) model.Forward(loader.At(0, b).Inputs);
        }
        string mean = model.Graph.Nodes.First(n => n.OpType == "BatchNormalization").Input(3);
        Near.Equal([.. sums.Select(s => (float)(s / seen))], model.Buffers.First(b => b.Name == mean).Value.Values, 1e-4, 1e-3);
    }

    private static double Evaluate(TrainableModel model) => Evaluator.Evaluate(model, s_data.Test!, new EvaluationOptions { Normalization = s_normalization }).Top1;
}

using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;
using Xunit.Abstractions;

namespace Sparseland.Training.Tests.Runs;

public class ProceduralShapesTests(ITestOutputHelper output)
{
    [Fact]
    public void A_linear_model_cannot_solve_the_built_in_pictures()
    {
        Evaluation e = Train(TestNetworks.Linear(1, 16, 10), steps: 600, rate: 0.005);
        output.WriteLine($"linear: {e.Top1:P1}");
        Assert.InRange(e.Top1, 0.1, 0.6);
    }

    [Fact]
    public void A_small_convolutional_network_can()
    {
        Evaluation e = Train(TestNetworks.Convolutional(1, 16, 10, 16), steps: 470, rate: 0.01);
        output.WriteLine($"convolutional: {e.Top1:P1}");
        Assert.True(e.Top1 > 0.97, $"{e.Top1:P2}");
        Assert.True(e.Top5 > 0.995);
    }

    private Evaluation Train(Model.Graph.ModelGraph graph, int steps, double rate)
    {
        DataSource data = DataSource.Open("shapes");
        var model = new TrainableModel(graph);
        var loader = new BatchLoader(data.ForTraining, new BatchOptions { BatchSize = 64, Seed = 3, Normalization = data.Normalization! });
        using var trainer = new Trainer(model, new Adam(model.Parameters), new OneCycle(rate, steps), loader, TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = steps, Validation = data.Test, EvaluateEvery = -1 });
        TrainingResult result = trainer.Run();
        output.WriteLine($"{result.Elapsed.TotalSeconds:F1} s, loss {result.Loss:F3}");
        return result.Final!;
    }
}

using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Analysis;

public class ReliabilityTests
{
    private static readonly InputNormalization s_normalization = new([0.5f], [0.25f]);

    [Fact]
    public void Its_figures_are_those_of_an_evaluation_and_the_same_inputs_cannot_be_told_apart()
    {
        ModelGraph graph = Make.Network(3);
        PictureDataset data = Make.Pictures(60);
        var model = new TrainableModel(graph);
        Evaluation evaluation = Evaluator.Evaluate(model, data, new EvaluationOptions { Normalization = s_normalization });
        Reliability found = Reliability.Measure(model, data, data, s_normalization, 0);
        Assert.Equal(evaluation.Top1, found.Accuracy, 12);
        Assert.Equal(evaluation.Loss, found.Calibration.NegativeLogLikelihood, 6);
        Assert.Equal(0.5, found.UnknownArea);
        Assert.Equal(found.Accuracy, found.AttackedAccuracy, 12);
        Assert.Equal(60, found.Calibration.Count);
        Assert.True(model.IsTraining);
        // Another batch size, the same figures.
        Reliability again = Reliability.Measure(model, data, null, s_normalization, Reliability.UsualEpsilon, batch: 7);
        Assert.Equal(found.Calibration.ExpectedError, again.Calibration.ExpectedError, 6);
        Assert.Null(again.UnknownArea);
        Assert.True(again.AttackedAccuracy <= again.Accuracy);
    }

    [Fact]
    public void Unknown_inputs_of_another_shape_are_refused()
    {
        var model = new TrainableModel(Make.Network(3));
        var other = new ArrayDataset(new float[2 * 64], [0, 0], [1, 8, 8], 1);
        Assert.Throws<ArgumentException>(() => Reliability.Measure(model, Make.Pictures(10), other, s_normalization));
    }
}

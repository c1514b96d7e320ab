using Sparseland.Model;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.Losses;
using Sparseland.Training.Metrics;
using Sparseland.Training.Runs;
using Sparseland.Training.Tests.Runs;

namespace Sparseland.Training.Tests.Metrics;

public class FastGradientSignTests
{
    private static readonly InputNormalization s_normalization = new([0.4f], [0.3f]);

    private static double LossOf(TrainableModel model, float[] pixels, int[] shape, int[] targets)
    {
        float[] values = [.. pixels];
        s_normalization.Apply(values, shape[1], shape[2] * shape[3]);
        model.IsTraining = false;
        using (GradientMode.Off()) return Loss.CrossEntropy(model.Forward(new ModelValue(Tensor.Wrap(values, shape))), targets).Item();
    }

    [Fact]
    public void Every_pixel_moves_the_way_that_raises_the_loss()
    {
        var model = new TrainableModel(TestNetworks.Convolutional(1, 8, 3, 4));
        int[] shape = [1, 1, 8, 8], targets = [2];
        float[] pixels = new float[64];
        SeededRandom random = SeededRandom.Of(4);
        foreach (ref float v in pixels.AsSpan()) v = 0.2f + 0.6f * (float)random.NextDouble();
        float[] moved = [.. pixels];
        FastGradientSign.Attack(model, moved, shape, targets, 0.01, s_normalization);
        int checkedPixels = 0;
        for (int i = 0; i < 64; i++)
        {
            Assert.True(Math.Abs(moved[i] - pixels[i]) is 0 or (> 0.0099f and < 0.0101f));
            float[] up = [.. pixels], down = [.. pixels];
            up[i] += 2e-3f;
            down[i] -= 2e-3f;
            double slope = LossOf(model, up, shape, targets) - LossOf(model, down, shape, targets);
            // Differences of singles: only slopes well above their rounding say which way is up.
            if (Math.Abs(slope) < 2e-6) continue;
            checkedPixels++;
            Assert.Equal(Math.Sign(slope), Math.Sign(moved[i] - pixels[i]));
        }
        Assert.True(checkedPixels > 20, $"only {checkedPixels} slopes were large enough");
        Assert.True(LossOf(model, moved, shape, targets) > LossOf(model, pixels, shape, targets));
    }

    [Fact]
    public void The_model_and_its_mode_stay_as_they_were_and_pixels_stay_pixels()
    {
        var model = new TrainableModel(TestNetworks.Convolutional(1, 8, 3, 4));
        float[][] before = [.. model.Parameters.Select(p => p.Value.ToArray()), .. model.Buffers.Select(b => b.Value.ToArray())];
        long passes = model.TrainingPasses;
        float[] pixels = [.. Enumerable.Range(0, 128).Select(i => i % 2 == 0 ? 0f : 1f)];
        FastGradientSign.Attack(model, pixels, [2, 1, 8, 8], [0, 1], 0.3, s_normalization);
        Assert.All(pixels, p => Assert.InRange(p, 0f, 1f));
        Assert.True(model.IsTraining && !model.RecordsInEvaluation && model.TrainingPasses == passes);
        Assert.All(model.Parameters, p => Assert.Null(p.Value.Grad));
        Assert.Equal(before, [.. model.Parameters.Select(p => p.Value.ToArray()), .. model.Buffers.Select(b => b.Value.ToArray())]);
    }

    [Fact]
    public void A_step_of_nothing_leaves_the_accuracy_and_a_larger_one_lowers_it()
    {
        PictureDataset data = ProceduralShapes.Create(300, 16, 1, 3);
        var model = new TrainableModel(TestNetworks.Linear(1, 16, data.ClassCount));
        var options = new EvaluationOptions { BatchSize = 64, Normalization = s_normalization };
        // A few steps of plain descent on everything at once make it better than chance.
        var loader = new BatchLoader(data, new BatchOptions { BatchSize = 300, Shuffle = false, Normalization = s_normalization });
        Batch all = loader.At(0);
        var optimizer = new Sparseland.Training.Optimizers.Sgd(model.Parameters, 0.05, 0.9);
        for (int i = 0; i < 60; i++)
        {
            model.ZeroGrad();
            Loss.CrossEntropy(model.Forward(new ModelValue(all.Inputs)), all.Targets).Backward();
            optimizer.Step();
        }
        double plain = Evaluator.Evaluate(model, data, options).Top1;
        Assert.True(plain > 0.5, $"{plain}");
        Assert.Equal(plain, FastGradientSign.Accuracy(model, data, 0, options), 12);
        double little = FastGradientSign.Accuracy(model, data, 0.02, options), much = FastGradientSign.Accuracy(model, data, 0.2, options);
        Assert.True(little <= plain && much < little, $"{plain} {little} {much}");
        Assert.Throws<ArgumentException>(() => FastGradientSign.Accuracy(model, new ArrayDataset(new float[8], [0, 1], [4], 2), 0.1));
    }
}

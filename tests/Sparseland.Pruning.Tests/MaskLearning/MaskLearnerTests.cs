using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Criteria;
using Sparseland.Pruning.Layers;
using Sparseland.Pruning.MaskLearning;
using Sparseland.Pruning.Selection;
using Sparseland.Training;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.MaskLearning;

public sealed class MaskLearnerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-masks-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    /// <summary>Scores start at 1 or 0.99, every layer keeps its count.</summary>
    private sealed class TopScores(double sparsity, bool trains = false) : MaskLearner("top", new PruningSettings { Sparsity = sparsity }, new ScoreTraining(new Constant(0.5)))
    {
        public float[]? FirstGradient { get; private set; }

        public float[]? StartScores { get; private set; }

        public IReadOnlyList<float[]> Learned => Scores;

        protected override bool TrainsWeights => trains;

        protected override float[][] InitialScores(TrainingContext context, IReadOnlyList<float[]> weights)
        {
            float[][] scores = [.. weights.Select(w => ExactSelection.KeepBest(Array.ConvertAll(w, MathF.Abs), ExactSelection.Count(1 - sparsity, w.Length)).Select(k => k ? 1f : 0.99f).ToArray())];
            StartScores = [.. scores[0]];
            return scores;
        }

        protected override Mask[] Select(IReadOnlyList<float[]> scores, IReadOnlyList<Mask>? present, long step) =>
            [.. scores.Select((s, l) => Mask.FromFlags(LayerPlan.Layers[l].Shape.ToArray(), ExactSelection.KeepBest(s, ExactSelection.Count(1 - sparsity, s.Length))))];

        protected override void ScoreGradients(int layer, ReadOnlySpan<float> weights, ReadOnlySpan<float> gradient, ReadOnlySpan<float> scores, Span<float> result)
        {
            base.ScoreGradients(layer, weights, gradient, scores, result);
            if (layer == 0) FirstGradient ??= result.ToArray();
        }
    }

    private static Trainer Train(TrainableModel model, TopScores learner, long steps, string? checkpoint = null) =>
        new(model, new Sgd(model.Parameters, 0.05, 0.9), new Constant(0.05), Make.Loader(), TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = steps, Callbacks = [learner], CheckpointPath = checkpoint });

    [Fact]
    public void Weights_are_frozen_and_counts_constant_while_masks_move()
    {
        var model = new TrainableModel(Make.Network());
        float[][] before = [.. model.Parameters.Select(p => p.Value.ToArray())];
        var learner = new TopScores(0.6);
        using Trainer trainer = Train(model, learner, 25);
        trainer.Run();
        Assert.True(learner.Result().Layers.All(l => l.After == ExactSelection.Count(0.4, l.Layer.Length)));
        int moved = 0;
        for (int i = 0; i < before.Length; i++)
        {
            Parameter p = model.Parameters[i];
            if (p.Mask is null) Near.BitEqual(before[i], p.Value.Values);
            else
            {
                bool[] start = ExactSelection.KeepBest(Array.ConvertAll(before[i], MathF.Abs), p.Mask.KeptCount);
                for (int k = 0; k < before[i].Length; k++)
                {
                    // A weight that came back has the value that it had when it left.
                    Assert.Equal(p.Mask[k] ? before[i][k] : 0, p.Value.Values[k]);
                    if (p.Mask[k] && !start[k]) moved++;
                }
            }
        }
        Assert.True(moved > 0);
        Assert.All(model.Parameters, p => Assert.False(p.WantsDenseGradient));
    }

    [Fact]
    public void The_first_step_moves_scores_by_weight_times_dense_gradient()
    {
        var model = new TrainableModel(Make.Network());
        var learner = new TopScores(0.6);
        float[] weights = model.Parameter("conv1.weight").Value.ToArray();
        using Trainer trainer = Train(model, learner, 1);
        trainer.Run();
        float[] first = learner.FirstGradient!;
        Assert.Contains(Enumerable.Range(0, first.Length), i => learner.StartScores![i] < 1 && first[i] != 0);
        for (int i = 0; i < first.Length; i++) Assert.Equal(learner.StartScores![i] - 0.5f * first[i], learner.Learned[0][i], 6);
        // The straight-through gradient is theta * g: 0 where the weight is 0, and g has the sign of their quotient elsewhere.
        Assert.All(Enumerable.Range(0, first.Length), i => Assert.True(weights[i] != 0 || first[i] == 0));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Killed_and_resumed_is_bit_equal(bool trains)
    {
        string Run(long? stop)
        {
            string path = Path.Combine(_folder, $"{trains}{stop}.safetensors");
            if (stop is { } at)
            {
                using Trainer cut = Train(new TrainableModel(Make.Network()), new TopScores(0.6, trains), 20, path);
                using var cancel = new CancellationTokenSource();
                cut.Run(new At(at, cancel), cancel.Token);
            }
            var model = new TrainableModel(Make.Network());
            var learner = new TopScores(0.6, trains);
            using Trainer trainer = Train(model, learner, 20);
            if (stop is not null) trainer.Restore(path);
            trainer.Run();
            return string.Join("|", model.Parameters.Select(p => string.Join(",", p.Value.ToArray().Select(BitConverter.SingleToInt32Bits)) + p.Mask)) + string.Join(",", learner.Learned.SelectMany(s => s).Select(BitConverter.SingleToInt32Bits));
        }
        string straight = Run(null);
        foreach (long stop in (long[])[1, 7, 19]) Assert.Equal(straight, Run(stop));
    }

    private sealed class At(long step, CancellationTokenSource cancel) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == step) cancel.Cancel();
        }
    }
}

using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Training.Tests.Runs;

public class TrainerTests
{
    private static readonly PictureDataset s_data = ProceduralShapes.Create(120, 12, 1, 5);

    private static Trainer Make(TrainerOptions options, LearningRate? rate = null, TrainableModel? model = null)
    {
        model ??= new TrainableModel(TestNetworks.Linear(1, 12, 10));
        var loader = new BatchLoader(s_data, new BatchOptions { BatchSize = 20, Seed = 1 });
        return new Trainer(model, new Sgd(model.Parameters, 0.1), rate ?? new Constant(0.1), loader, TrainingLoss.CrossEntropy(), options);
    }

    private sealed class Recorder : ITrainerCallback
    {
        public List<string> Calls { get; } = [];

        public string Name => "recorder";

        public void OnStart(TrainingContext context) => Calls.Add("start");

        public void OnStepStart(TrainingContext context) => Calls.Add($"begin{context.Step}");

        public void OnGradients(TrainingContext context)
        {
            Assert.All(context.Model.Parameters, p => Assert.NotNull(p.Grad));
            Calls.Add($"gradients{context.Step}");
        }

        public void OnStepEnd(TrainingContext context) => Calls.Add($"end{context.Step}");

        public void OnEpochEnd(TrainingContext context) => Calls.Add($"epoch{context.Epoch}");

        public void OnEvaluated(TrainingContext context, Evaluation evaluation) => Calls.Add("evaluated");

        public void OnEnd(TrainingContext context) => Calls.Add("stop");
    }

    private sealed class Reports(Action<TrainingProgress> then) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => then(value);
    }

    [Fact]
    public void Callbacks_come_in_order()
    {
        var recorder = new Recorder();
        using Trainer trainer = Make(new TrainerOptions { Steps = 7, Validation = s_data, Callbacks = [recorder] });
        TrainingResult result = trainer.Run();
        var expected = new List<string> { "start" };
        for (int t = 0; t < 7; t++)
        {
            expected.AddRange([$"begin{t}", $"gradients{t}", $"end{t}"]);
            if (t == 5) expected.AddRange(["epoch0", "evaluated"]);
            if (t == 6) expected.Add("evaluated");
        }
        expected.Add("stop");
        Assert.Equal(expected, recorder.Calls);
        Assert.Equal([6, 7], result.History.Select(h => h.Step));
        Assert.Equal(StopCause.Completed, result.Cause);
    }

    [Fact]
    public void Progress_estimates_the_remaining_time_and_the_rate_follows_the_curve()
    {
        var rates = new List<double>();
        TrainingProgress? last = null;
        using Trainer trainer = Make(new TrainerOptions { Steps = 12 }, new Linear(0.1, 12));
        trainer.Run(new Reports(p =>
        {
            rates.Add(p.LearningRate);
            last = p;
            Assert.Equal(p.Step >= 3, p.Remaining is not null);
        }));
        Assert.Equal(Enumerable.Range(0, 12).Select(t => new Linear(0.1, 12).At(t)), rates);
        Assert.Equal(TimeSpan.Zero, last!.Remaining);
        Assert.True(last.SamplesPerSecond > 0 && last.Loss > 0);
    }

    [Fact]
    public void Stops_for_time_cancellation_and_callbacks()
    {
        using Trainer timed = Make(new TrainerOptions { Steps = 1_000_000, TimeLimit = TimeSpan.FromMilliseconds(150) });
        TrainingResult result = timed.Run();
        Assert.Equal(StopCause.TimeLimit, result.Cause);
        Assert.InRange(result.Steps, 1, 999_999);
        using Trainer cancelled = Make(new TrainerOptions { Steps = 10 });
        Assert.Equal((StopCause.Cancelled, 0L), (cancelled.Run(cancellation: new CancellationToken(true)) is var r ? r.Cause : default, r.Steps));
        Assert.Equal(StopCause.Completed, cancelled.Run().Cause);
        using Trainer stopped = Make(new TrainerOptions { Steps = 10, Callbacks = [new Stopper()] });
        result = stopped.Run();
        Assert.Equal((StopCause.Callback, 4L), (result.Cause, result.Steps));
    }

    private sealed class Stopper : ITrainerCallback
    {
        public string Name => "stopper";

        public void OnStepEnd(TrainingContext context)
        {
            context.StopRequested = context.Step == 3;
            context.StopReason = "enough";
        }
    }

    [Fact]
    public void A_loss_that_explodes_is_an_error_with_a_way_out()
    {
        var model = new TrainableModel(TestNetworks.Convolutional(1, 12, 10, 4));
        using Trainer trainer = Make(new TrainerOptions { Steps = 50 }, new Constant(1e30), model);
        SparselandException e = Assert.Throws<SparselandException>(() => trainer.Run());
        Assert.Equal("SL3012", e.Code);
        Assert.NotNull(e.Try);
    }

    [Fact]
    public void The_average_is_evaluated_and_kept_at_the_end()
    {
        var plain = new TrainableModel(TestNetworks.Linear(1, 12, 10));
        using Trainer first = Make(new TrainerOptions { Steps = 20 }, model: plain);
        first.Run();
        var averaged = new TrainableModel(TestNetworks.Linear(1, 12, 10));
        var recorder = new Recorder();
        using Trainer second = Make(new TrainerOptions { Steps = 20, AverageDecay = 0.5, Validation = s_data, Callbacks = [recorder] }, model: averaged);
        TrainingResult result = second.Run();
        Assert.False(plain.Parameters[0].Value.Values.SequenceEqual(averaged.Parameters[0].Value.Values));
        Assert.Equal(result.Final, Evaluator.Evaluate(averaged, s_data, new EvaluationOptions { BatchSize = 256 }));
        Assert.Throws<InvalidOperationException>(() => second.Run());
    }

    [Fact]
    public void A_teacher_alone_is_imitated()
    {
        var teacher = new TrainableModel(TestNetworks.Linear(1, 12, 10, seed: 8));
        var student = new TrainableModel(TestNetworks.Linear(1, 12, 10, seed: 9));
        float[] before = teacher.Parameters[0].Value.ToArray();
        double Gap() => s_data.Count == 0 ? 0 : Enumerable.Range(0, 3).Sum(b =>
        {
            Batch batch = new BatchLoader(s_data, new BatchOptions { BatchSize = 40 }).At(b);
            teacher.IsTraining = student.IsTraining = false;
            float[] a = teacher.Forward(batch.Inputs).ToArray(), c = student.Forward(batch.Inputs).ToArray();
            return a.Zip(c, (x, y) => Math.Pow(x - y, 2)).Sum();
        });
        double start = Gap();
        var loader = new BatchLoader(s_data, new BatchOptions { BatchSize = 20, Seed = 1 });
        using var trainer = new Trainer(student, new Adam(student.Parameters), new Constant(0.01), loader, TrainingLoss.CrossEntropy(), new TrainerOptions { Steps = 300, Teacher = new Teacher(teacher, 1, 2) });
        trainer.Run();
        Assert.True(Gap() < start * 0.2, $"{start} -> {Gap()}");
        Near.BitEqual(before, teacher.Parameters[0].Value.Values);
    }

    [Fact]
    public void Half_a_teacher_gives_the_mean_of_the_gradients()
    {
        var teacher = new TrainableModel(TestNetworks.Linear(1, 12, 10, seed: 8));
        float[] Moved(double weight)
        {
            var student = new TrainableModel(TestNetworks.Linear(1, 12, 10, seed: 9));
            float[] before = student.Parameters[0].Value.ToArray();
            using Trainer trainer = Make(new TrainerOptions { Steps = 1, Teacher = new Teacher(teacher, weight, 2) }, model: student);
            trainer.Run();
            return [.. student.Parameters[0].Value.ToArray().Zip(before, (a, b) => a - b)];
        }
        Near.Equal([.. Moved(0).Zip(Moved(1), (a, b) => 0.25f * a + 0.75f * b)], Moved(0.75), 1e-6, 1e-4);
    }

    [Fact]
    public void Evaluation_agrees_with_counting_by_hand()
    {
        float[][] logits = [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [1, 1, 1, 1, 1, 1], [0, 9, 0, 0, 0, 0]];
        var data = new ArrayDataset(new float[4], [5, 5, 0, 2], [1], 6);
        Evaluation e = Evaluator.Evaluate(batch => TensorData.Wrap(logits.SelectMany(l => l).ToArray(), 4, 6), data);
        Assert.Equal((4, 4L), (e.Samples, e.Scored));
        Assert.Equal(0.5, e.Top1);
        Assert.Equal(0.75, e.Top5);
        double Nll(float[] l, int t) => Math.Log(l.Sum(v => Math.Exp(v))) - l[t];
        Assert.Equal((Nll(logits[0], 5) + Nll(logits[1], 5) + Nll(logits[2], 0) + Nll(logits[3], 2)) / 4, e.Loss, 6);
        Assert.Equal("SL3006", Assert.Throws<DataException>(() => Evaluator.Evaluate(batch => TensorData.Wrap(new float[12], 4, 3), data)).Code);
        Assert.Equal("SL3006", Assert.Throws<DataException>(() => Evaluator.Evaluate(batch => TensorData.Wrap(new float[10], 5, 2), data)).Code);
    }

    [Fact]
    public void Uniform_logits_have_the_vocabulary_as_perplexity_and_bits_per_byte_count_bytes()
    {
        TokenDataset text = TokenDataset.FromBytes("hello world, hello again"u8, 7);
        Evaluation e = Evaluator.Evaluate(batch => TensorData.Zeros(ElementType.Float32, batch.Count, 7, 256), text, new EvaluationOptions { BatchSize = 2 });
        Assert.Equal(23, e.Scored);
        Assert.Equal(256, e.Perplexity, 3);
        Assert.Equal(8.0 * 23 / 24, e.BitsPerByte!.Value, 6);
    }
}

using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Sparseland.Kernels.Sparse;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training.Data;
using Sparseland.Training.Data.BuiltIn;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Training.Tests.Runs;

public sealed class ResumeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sparseland-resume-").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    /// <summary>Drops the smallest and grows at random, like a dynamic method, with state of its own.</summary>
    private sealed class MaskMover : ITrainerCallback
    {
        private SeededRandom _random = SeededRandom.Of(77);
        private long _moves;

        public string Name => "mover";

        public long Moves => _moves;

        public void OnStepStart(TrainingContext context) => context.Model.Parameter("conv2.weight").WantsDenseGradient = context.Step % 5 == 4;

        public void OnGradients(TrainingContext context)
        {
            if (context.Step % 5 != 4) return;
            Parameter p = context.Model.Parameter("conv2.weight");
            bool[] flags = p.Mask?.ToFlags() ?? [.. Enumerable.Range(0, p.Value.Length).Select(_ => _random.NextBool(0.3))];
            float[] gradient = p.Grad!.ToArray();
            for (int k = 0; k < 40; k++)
            {
                int i = _random.NextInt(flags.Length);
                flags[i] = !flags[i] && gradient[i] != 0;
            }
            context.Model.SetMask(p, Mask.FromFlags(p.Value.Shape, flags));
            context.SkipUpdate = true;
            _moves++;
        }

        public IReadOnlyDictionary<string, TensorData> Export() =>
            new Dictionary<string, TensorData> { ["random"] = TensorData.Scalar(_random.State), ["moves"] = TensorData.Scalar(_moves) };

        public void Import(IReadOnlyDictionary<string, TensorData> state)
        {
            _random = new SeededRandom(state["random"].Span<ulong>()[0]);
            _moves = state["moves"].Span<long>()[0];
        }
    }

    private static (Trainer Trainer, TrainableModel Model, MaskMover Mover) Make(bool adam, string? checkpoint = null, long every = 0, double rate = 0.05)
    {
        var data = ProceduralShapes.Create(100, 12, 1, 5);
        var model = new TrainableModel(TestNetworks.Convolutional(1, 12, 10, 4, dropout: true), new TrainableModelOptions { Seed = 4 });
        IOptimizer optimizer = adam
            ? new AdamW(ParameterGroup.WithoutDecayOnNormsAndBiases(model.Parameters), 0.001)
            : new Sgd(model.Parameters, 0.05, 0.9, 1e-4, nesterov: true);
        var loader = new BatchLoader(data, new BatchOptions { BatchSize = 16, Seed = 9, Augmentations = [new RandomCrop(1), new HorizontalFlip()], Normalization = new InputNormalization([0.5f], [0.25f]) });
        var mover = new MaskMover();
        var trainer = new Trainer(model, optimizer, new Cosine(rate, 40).WithWarmUp(5), loader, TrainingLoss.CrossEntropy(0.1), new TrainerOptions
        {
            Steps = 40,
            ClipNorm = 2,
            AverageDecay = adam ? 0.9 : null,
            Validation = data.Slice(0, 30),
            EvaluateEvery = 13,
            Callbacks = [mover],
            CheckpointPath = checkpoint,
            CheckpointEvery = every,
        });
        return (trainer, model, mover);
    }

    private static string Fingerprint(TrainableModel model, Trainer trainer)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (Parameter p in model.Parameters)
        {
            hash.AppendData(MemoryMarshal.AsBytes(p.Value.Values));
            if (p.Mask is { } mask) hash.AppendData(MemoryMarshal.AsBytes(mask.Words));
        }
        foreach (ModelBuffer b in model.Buffers) hash.AppendData(MemoryMarshal.AsBytes(b.Value.Values));
        foreach ((_, TensorData moment) in trainer.Optimizer.Export().Moments.OrderBy(m => m.Key, StringComparer.Ordinal)) hash.AppendData(moment.Bytes());
        return Convert.ToHexString(hash.GetHashAndReset());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Killed_and_resumed_is_bit_equal_to_uninterrupted(bool adam)
    {
        (Trainer straight, TrainableModel expected, MaskMover mover) = Make(adam);
        TrainingResult result = straight.Run();
        string wanted = Fingerprint(expected, straight);
        Assert.Equal(8, mover.Moves);
        Assert.InRange(expected.Parameter("conv2.weight").Mask!.Density, 0.05, 0.95);
        var random = SeededRandom.Of(adam ? 1 : 2);
        foreach (int kills in (int[])[1, 3])
        {
            string path = Path.Combine(_folder, $"{adam}{kills}.safetensors");
            // Random places, middle of epochs (7 batches) and right after mask changes included.
            long[] stops = [.. Enumerable.Range(0, kills).Select(_ => 1L + random.NextInt(38)).Append(5).Order().Distinct()];
            foreach (long stop in stops)
            {
                using var cancel = new CancellationTokenSource();
                (Trainer part, _, _) = Make(adam, checkpoint: path);
                if (File.Exists(path)) part.Restore(path);
                TrainingResult cut = part.Run(new Stop(stop, cancel), cancel.Token);
                Assert.Equal(StopCause.Cancelled, cut.Cause);
                Assert.Equal(stop, cut.Steps);
            }
            (Trainer last, TrainableModel model, MaskMover resumed) = Make(adam);
            last.Restore(path);
            Assert.Equal(stops[^1], last.Step);
            TrainingResult end = last.Run();
            Assert.Equal(wanted, Fingerprint(model, last));
            Assert.Equal(mover.Moves, resumed.Moves);
            Assert.Equal(BitConverter.DoubleToInt64Bits(result.Loss), BitConverter.DoubleToInt64Bits(end.Loss));
            Assert.Equal(result.History, end.History);
        }
    }

    [Fact]
    public void A_periodic_checkpoint_of_a_crashed_run_resumes_as_well()
    {
        string path = Path.Combine(_folder, "periodic.safetensors");
        (Trainer straight, TrainableModel expected, _) = Make(false);
        straight.Run();
        (Trainer crashing, _, _) = Make(false, checkpoint: path, every: 6);
        Assert.Throws<InvalidOperationException>(() => crashing.Run(new Crash(20)));
        (Trainer last, TrainableModel model, _) = Make(false);
        last.Restore(path);
        Assert.Equal(18, last.Step);
        last.Run();
        Assert.Equal(Fingerprint(expected, straight), Fingerprint(model, last));
        Assert.Empty(Directory.GetFiles(_folder, "*.tmp"));
    }

    [Fact]
    public void Another_runs_checkpoint_is_refused_and_changes_nothing()
    {
        string path = Path.Combine(_folder, "a.safetensors");
        (Trainer a, _, _) = Make(false, checkpoint: path);
        a.Run();
        (Trainer b, TrainableModel model, _) = Make(false, rate: 0.07);
        string before = Fingerprint(model, b);
        SparselandException e = Assert.Throws<SparselandException>(() => b.Restore(path));
        Assert.Equal("SL3013", e.Code);
        Assert.Contains("run.rate", e.Message);
        Assert.Equal(before, Fingerprint(model, b));
        (Trainer c, _, _) = Make(true);
        Assert.ThrowsAny<SparselandException>(() => c.Restore(path));
        byte[] bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);
        (Trainer d, _, _) = Make(false);
        Assert.ThrowsAny<SparselandException>(() => d.Restore(path));
    }

    private sealed class Stop(long at, CancellationTokenSource cancel) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == at) cancel.Cancel();
        }
    }

    private sealed class Crash(long at) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step == at) throw new InvalidOperationException("crash");
        }
    }
}

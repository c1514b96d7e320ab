using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Training;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Losses;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Recovery;

/// <summary>What the reconstruction did to one block.</summary>
/// <param name="Block">Its name.</param>
/// <param name="Trained">Values that were trained; 0 where there was nothing to train.</param>
/// <param name="Before">Mean squared error of its output against the dense block's, before.</param>
/// <param name="After">And after.</param>
public sealed record ReconstructedBlock(string Block, long Trained, double Before, double After);

/// <summary>PERP's second way: block after block of a pruned network learns to give what the dense block gives on the same inputs; no labels, and one block in memory at a time.</summary>
/// <remarks>
/// Zimmer, Andoni, Spiegel and Pokutta, "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs", 2023, section 3.3. The inputs of a block are the outputs of the pruned and reconstructed blocks before it, its targets what the
/// dense block makes of these same inputs; the mean squared error is minimised over biases, norms or adapters (<see cref="PartialRetraining"/>) with AdamW without decay, a rate that falls linearly after 10 % of warm-up,
/// and adapters are merged under the mask. Masks are those that the network has; the authors prune each block just before it is reconstructed. For networks without batch statistics.
/// </remarks>
/// <param name="parts">What is trained in every block; the head is none of a block.</param>
/// <param name="steps">Steps per block.</param>
/// <param name="samples">Calibration samples; the paper takes 128.</param>
public sealed class BlockReconstruction(RetrainedParts parts, long steps = 100, int samples = 128) : IRecovery
{
    private readonly RetrainedParts _parts = (parts & ~RetrainedParts.Head) != RetrainedParts.None ? parts & ~RetrainedParts.Head : throw new ArgumentException($"'{parts}' is nothing that a block has.", nameof(parts));
    private readonly List<ReconstructedBlock> _blocks = [];

    /// <inheritdoc/>
    public string Id => "block-reconstruction";

    /// <summary>Steps per block.</summary>
    public long Steps { get; } = steps >= 1 ? steps : throw new ArgumentOutOfRangeException(nameof(steps), steps, "At least 1.");

    /// <summary>Calibration samples.</summary>
    public int Samples { get; } = samples >= 1 ? samples : throw new ArgumentOutOfRangeException(nameof(samples), samples, "At least 1.");

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 5e-4;

    /// <summary>Samples per step.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>Rank of adapters.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>Strength of adapters: s = alpha / rank.</summary>
    public double Alpha { get; init; } = 32;

    /// <summary>Seed of adapters and order.</summary>
    public long Seed { get; init; }

    /// <summary>Blocks that the model given has behind it already, in a run that goes on: they are run through and not trained.</summary>
    public IReadOnlyList<ReconstructedBlock> Finished { get; set; } = [];

    /// <summary>Called behind every block that this run did; the model and <see cref="Blocks"/> are then what a later run goes on from.</summary>
    public Action? BlockDone { get; set; }

    /// <summary>What the last run did, block by block.</summary>
    public IReadOnlyList<ReconstructedBlock> Blocks => _blocks;

    /// <summary>Blocks of the network that is being reconstructed; known once it was looked at (<see cref="Validate"/>).</summary>
    public int BlockCount { get; private set; }

    /// <summary>Looks for what a run needs; trains nothing.</summary>
    /// <param name="model">The pruned network.</param>
    /// <param name="teacher">The dense network.</param>
    /// <returns>The blocks that a run reconstructs.</returns>
    /// <exception cref="PruningException">SL4005: there is no dense network to imitate (<see cref="RecoveryContext.Teacher"/>). SL4006: the network has batch statistics, or no block with anything to train. SL4020: the two are different networks.</exception>
    public IReadOnlyList<NetworkBlock> Validate(TrainableModel model, TrainableModel? teacher)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (teacher is null) throw new PruningException("SL4005", "blocks are reconstructed from those of the dense network, and there is none") { Try = "give the dense network as the teacher" };
        if (model.Buffers.Count > 0)
            throw new PruningException("SL4006", "a block with batch normalisation gives other outputs in training than in use, so it cannot be reconstructed on its own") { Try = "fine-tuning with retrain biases,norms,mask-lora" };
        model.SyncToGraph();
        teacher.SyncToGraph();
        IReadOnlyList<NetworkBlock> blocks = NetworkBlocks.Find(model.Graph, l => model.FindParameter(l.Name)?.Mask is not null);
        if (blocks.Count == 0) throw new PruningException("SL4006", "there is no block with a pruned layer") { Try = "prune first" };
        var partial = new PartialRetraining(_parts, Rank, Alpha, Seed);
        bool trains = false;
        foreach (NetworkBlock block in blocks)
        {
            // A part that a block lacks is no error while another block has it.
            var student = new TrainableModel(NetworkBlocks.Extract(model.Graph, block));
            trains |= partial.CountTrained(student) > 0;
            foreach (Parameter p in student.Parameters)
            {
                if (teacher.FindParameter(p.Name) is { } twin && twin.Value.Shape.SequenceEqual(p.Value.Shape)) continue;
                throw new PruningException("SL4020", $"the teacher has no weight like '{p.Name}' of the block '{block.Name}'") { Try = "the dense network that was pruned" };
            }
        }
        if (!trains) throw new PruningException("SL4006", $"no block has anything of '{_parts}' to train") { Try = "other parts, for example norms,mask-lora" };
        BlockCount = blocks.Count;
        return blocks;
    }

    /// <inheritdoc/>
    /// <exception cref="PruningException">See <see cref="Validate"/>.</exception>
    public TrainingResult? Recover(TrainableModel model, RecoveryContext context, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(context);
        _blocks.Clear();
        IReadOnlyList<NetworkBlock> blocks = Validate(model, context.Teacher);
        TrainableModel dense = context.Teacher!;
        Activations x = Inputs(model, blocks[0].Input, context);
        TrainingResult? last = null;
        foreach (NetworkBlock block in blocks)
        {
            cancellation.ThrowIfCancellationRequested();
            var student = new TrainableModel(NetworkBlocks.Extract(model.Graph, block));
            if (_blocks.Count < Finished.Count)
            {
                _blocks.Add(Finished[_blocks.Count]);
                x = x.Through(student);
                continue;
            }
            var target = new TrainableModel(NetworkBlocks.Extract(dense.Graph, block)) { IsTraining = false };
            var partial = new PartialRetraining(_parts, Rank, Alpha, Seed);
            long trained = partial.CountTrained(student);
            double before = Error(student, target, x);
            if (trained > 0)
            {
                last = Train(student, target, x, partial, context, cancellation);
                foreach (Parameter p in student.Parameters)
                {
                    Parameter own = model.Parameter(p.Name);
                    p.Value.Values.CopyTo(own.Value.Values);
                    own.TouchValues();
                }
            }
            _blocks.Add(new ReconstructedBlock(block.Name, trained, before, trained > 0 ? Error(student, target, x) : before));
            BlockDone?.Invoke();
            x = x.Through(student);
        }
        model.SyncToGraph();
        return last;
    }

    private TrainingResult Train(TrainableModel student, TrainableModel target, Activations x, PartialRetraining partial, RecoveryContext context, CancellationToken cancellation)
    {
        var loader = new BatchLoader(x, new BatchOptions { BatchSize = Math.Min(BatchSize, x.Count), DropLast = true, Seed = Seed });
        int rise = (int)(Steps / 10);
        using var trainer = new Trainer(student, new AdamW(student.Parameters, LearningRate, weightDecay: 0), new Linear(LearningRate, Math.Max(1, Steps - rise)).WithWarmUp(rise), loader,
            (output, batch) => Loss.MeanSquaredError(output, Outputs(target, batch)), new TrainerOptions { Steps = Steps, Callbacks = [partial] });
        TrainingResult result = trainer.Run(context.Progress, cancellation);
        cancellation.ThrowIfCancellationRequested();
        return result;
    }

    private static Tensor Outputs(TrainableModel network, Batch batch)
    {
        using (GradientMode.Off()) return network.Forward(new ModelValue(batch.Inputs));
    }

    private static double Error(TrainableModel student, TrainableModel target, Activations x)
    {
        bool training = student.IsTraining;
        student.IsTraining = false;
        double sum = 0;
        long count = 0;
        foreach (Batch batch in x.Batches())
        {
            Span<float> a = Outputs(student, batch).Values, b = Outputs(target, batch).Values;
            for (int i = 0; i < a.Length; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
            count += a.Length;
        }
        student.IsTraining = training;
        return count == 0 ? 0 : sum / count;
    }

    private Activations Inputs(TrainableModel model, string value, RecoveryContext context)
    {
        IDataset data = context.Data.ForTraining;
        IDataset some = data.Slice(0, Math.Min(Samples, data.Count));
        var loader = new BatchLoader(some, new BatchOptions { BatchSize = Math.Min(BatchSize, some.Count), Shuffle = false, Normalization = context.Normalization });
        bool training = model.IsTraining;
        model.IsTraining = false;
        var all = new List<float>();
        int[] shape = [];
        try
        {
            for (int b = 0; b < loader.BatchesPerEpoch; b++)
            {
                Batch batch = loader.At(0, b);
                if (value == model.Graph.Inputs[0].Name)
                {
                    all.AddRange(batch.Inputs.ToSingles());
                    shape = [.. batch.Inputs.Shape[1..]];
                    continue;
                }
                using (model.Observe(value, v =>
                {
                    all.AddRange(v.Tensor.Values);
                    shape = [.. v.Tensor.Shape[1..]];
                })) _ = Outputs(model, batch);
            }
        }
        finally
        {
            model.IsTraining = training;
        }
        return new Activations([.. all], shape);
    }

    /// <summary>Values between two blocks as samples; they have no labels.</summary>
    private sealed class Activations(float[] values, int[] shape) : IDataset
    {
        private readonly int _length = shape.Aggregate(1, (a, b) => a * b);

        public int Count => values.Length / Math.Max(1, _length);

        public SampleKind Kind => SampleKind.Features;

        public ReadOnlySpan<int> SampleShape => shape;

        public int ClassCount => 0;

        public int TargetsPerSample => 0;

        public IReadOnlyList<string>? ClassNames => null;

        public void Fill(int index, Span<float> sample, Span<int> targets) => values.AsSpan(index * _length, _length).CopyTo(sample);

        public IEnumerable<Batch> Batches()
        {
            var loader = new BatchLoader(this, new BatchOptions { BatchSize = Math.Min(32, Count), Shuffle = false });
            for (int b = 0; b < loader.BatchesPerEpoch; b++) yield return loader.At(0, b);
        }

        public Activations Through(TrainableModel network)
        {
            network.IsTraining = false;
            var all = new List<float>();
            int[] result = [];
            foreach (Batch batch in Batches())
            {
                Tensor output = Outputs(network, batch);
                all.AddRange(output.Values);
                result = [.. output.Shape[1..]];
            }
            return new Activations([.. all], result);
        }
    }
}

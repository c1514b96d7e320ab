using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Recovery;

/// <summary>How a network is trained or fine-tuned: what recipes write under <c>training</c>.</summary>
public sealed record TrainingPlan
{
    /// <summary>Passes over the data; not used when <see cref="Steps"/> is given.</summary>
    public double Epochs { get; init; } = 10;

    /// <summary>Optimizer steps; null takes the epochs.</summary>
    public long? Steps { get; init; }

    /// <summary>Samples per step.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary><c>sgd</c>, <c>adam</c> or <c>adamw</c>.</summary>
    public string Optimizer { get; init; } = "sgd";

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 0.05;

    /// <summary><c>cosine</c>, <c>one-cycle</c>, <c>linear</c>, <c>step</c> (a tenth at half and at three quarters) or <c>constant</c>.</summary>
    public string Schedule { get; init; } = "cosine";

    /// <summary>Steps of warm-up.</summary>
    public int WarmUp { get; init; }

    /// <summary>Momentum of SGD (Nesterov).</summary>
    public double Momentum { get; init; } = 0.9;

    /// <summary>Weight decay; norms and biases have none.</summary>
    public double WeightDecay { get; init; } = 5e-4;

    /// <summary>Label smoothing, 0 to below 1.</summary>
    public double LabelSmoothing { get; init; }

    /// <summary>Largest norm of the gradients; 0 does not clip.</summary>
    public double ClipNorm { get; init; }

    /// <summary>Decay of averaged weights; 0 averages nothing.</summary>
    public double Average { get; init; }

    /// <summary>Random crops with this padding; 0 switches them off. Pictures only.</summary>
    public int Crop { get; init; }

    /// <summary>Random mirroring. Pictures only.</summary>
    public bool Flip { get; init; }

    /// <summary>Share of a teacher in the loss, where there is one.</summary>
    public double TeacherWeight { get; init; } = 0.9;

    /// <summary>Temperature of the teacher.</summary>
    public double Temperature { get; init; } = 4;

    /// <summary>Seed of order and augmentation.</summary>
    public long Seed { get; init; }

    /// <summary>Steps of the run on this data.</summary>
    public long TotalSteps(IDataset data)
    {
        ArgumentNullException.ThrowIfNull(data);
        long perEpoch = Math.Max(1, (data.Count + BatchSize - 1) / BatchSize);
        return Steps ?? Math.Max(1, (long)Math.Round(Epochs * perEpoch));
    }

    /// <summary>The batches.</summary>
    public BatchLoader CreateLoader(IDataset data, Normalization normalization)
    {
        ArgumentNullException.ThrowIfNull(data);
        var augmentations = new List<IAugmentation>();
        if (data.Kind == SampleKind.Picture && Crop > 0) augmentations.Add(new RandomCrop(Crop));
        if (data.Kind == SampleKind.Picture && Flip) augmentations.Add(new HorizontalFlip());
        return new BatchLoader(data, new BatchOptions { BatchSize = BatchSize, Seed = Seed, Augmentations = augmentations, Normalization = normalization });
    }

    /// <summary>The learning rate of each step.</summary>
    public LearningRate CreateLearningRate(long steps)
    {
        long rest = Math.Max(1, steps - WarmUp);
        LearningRate curve = Schedule switch
        {
            "cosine" => new Cosine(LearningRate, rest),
            "one-cycle" => new OneCycle(LearningRate, rest),
            "linear" => new Linear(LearningRate, rest),
            "step" => rest >= 4 ? new StepDecay(LearningRate, 0.1, rest / 2, rest * 3 / 4) : new Constant(LearningRate),
            "constant" => new Constant(LearningRate),
            _ => throw new PruningException("SL4002", $"there is no learning-rate schedule '{Schedule}'") { Try = "cosine, one-cycle, linear, step or constant" },
        };
        return curve.WithWarmUp(WarmUp);
    }

    /// <summary>The optimizer.</summary>
    public IOptimizer CreateOptimizer(TrainableModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        ParameterGroup[] groups = ParameterGroup.WithoutDecayOnNormsAndBiases(model.Parameters);
        return Optimizer switch
        {
            "sgd" => new Sgd(groups, LearningRate, Momentum, WeightDecay, nesterov: Momentum > 0),
            "adam" => new Adam(groups, LearningRate, weightDecay: WeightDecay),
            "adamw" => new AdamW(groups, LearningRate, weightDecay: WeightDecay),
            _ => throw new PruningException("SL4002", $"there is no optimizer '{Optimizer}'") { Try = "sgd, adam or adamw" },
        };
    }

    /// <summary>A run of this plan, ready to start.</summary>
    public Trainer CreateTrainer(TrainableModel model, RecoveryContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        IDataset data = context.Data.ForTraining;
        long steps = TotalSteps(data);
        var trainer = new Trainer(model, CreateOptimizer(model), CreateLearningRate(steps), CreateLoader(data, context.Normalization), TrainingLoss.CrossEntropy(LabelSmoothing), new TrainerOptions
        {
            Steps = steps,
            ClipNorm = ClipNorm > 0 ? ClipNorm : null,
            AverageDecay = Average > 0 ? Average : null,
            Validation = context.Data.Test,
            EvaluationBatchSize = data.Kind == SampleKind.Tokens ? Math.Min(BatchSize, 32) : 256,
            CheckpointPath = context.CheckpointPath,
            CheckpointEvery = context.CheckpointPath is null ? 0 : Math.Max(50, steps / 20),
            TimeLimit = context.TimeLimit,
            Teacher = context.Teacher is { } teacher && TeacherWeight > 0 ? new Teacher(teacher, TeacherWeight, Temperature) : null,
            Callbacks = context.Callbacks,
        });
        if (context.ResumeFrom is { } path) trainer.Restore(path);
        return trainer;
    }
}

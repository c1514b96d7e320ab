using Sparseland.Model;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.LearningRates;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Recovery;

/// <summary>How a network is trained or fine-tuned: what flags say, and what recipes write under <c>training</c>.</summary>
public sealed record TrainingPlan
{
    /// <summary>Passes over the data; not used when <see cref="Steps"/> is given.</summary>
    public double Epochs { get; init; } = 10;

    /// <summary>Optimizer steps; null takes the epochs.</summary>
    public long? Steps { get; init; }

    /// <summary>Samples per step; a smaller data set is one batch.</summary>
    public int BatchSize { get; init; } = 128;

    /// <summary><c>sgd</c>, <c>adam</c> or <c>adamw</c>.</summary>
    public string Optimizer { get; init; } = "sgd";

    /// <summary>Highest learning rate.</summary>
    public double LearningRate { get; init; } = 0.05;

    /// <summary><c>cosine</c>, <c>one-cycle</c>, <c>linear</c>, <c>step</c> (a tenth at half and at three quarters) or <c>constant</c>.</summary>
    public string Schedule { get; init; } = "cosine";

    /// <summary>Share of the steps over which the learning rate rises from zero, 0 to 0.5; <c>one-cycle</c> has a rise of its own.</summary>
    public double WarmUp { get; init; }

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

    /// <summary><c>none</c>, <c>crop</c>, <c>flip</c>, <c>crop,flip</c>, or <c>auto</c>: <c>crop,flip</c> for colour pictures, nothing for others. Crops are padded by an eighth of the height.</summary>
    public string Augment { get; init; } = "auto";

    /// <summary>The network that is imitated: a model file, <c>self</c> for the network before pruning, or null.</summary>
    public string? Teacher { get; init; }

    /// <summary>Share of a teacher in the loss, where there is one.</summary>
    public double TeacherWeight { get; init; } = 0.9;

    /// <summary>Temperature of the teacher.</summary>
    public double Temperature { get; init; } = 4;

    /// <summary><c>all</c>, or which parts are trained while everything else is frozen: see <see cref="PartialRetraining.Parse"/>.</summary>
    public string Retrain { get; init; } = "all";

    /// <summary>Rank of low-rank adapters.</summary>
    public int Rank { get; init; } = 16;

    /// <summary>Strength of MaskLoRA and LoRA-Prune: updates are scaled by alpha / rank.</summary>
    public double Alpha { get; init; } = 32;

    /// <summary>Tokens per sample of text.</summary>
    public int Window { get; init; } = 128;

    /// <summary>Seed of order and augmentation.</summary>
    public long Seed { get; init; }

    /// <summary>A learning-rate curve of its own instead of <see cref="Schedule"/> and <see cref="WarmUp"/>; null takes those.</summary>
    public LearningRate? Curve { get; init; }

    /// <summary>The step at which the run starts; batches and learning rate are those of this step (rewinding).</summary>
    public long FirstStep { get; init; }

    /// <summary>The same plan with the usual values for text and for an optimizer; what is set afterwards wins.</summary>
    /// <param name="text">Whether the samples are text: AdamW, small batches, a short rise, clipped gradients.</param>
    /// <param name="optimizer">The optimizer that was asked for, or null.</param>
    public TrainingPlan Usual(bool text, string? optimizer = null)
    {
        string chosen = optimizer ?? (text ? "adamw" : Optimizer);
        return this with
        {
            Optimizer = chosen,
            LearningRate = chosen == "sgd" ? LearningRate : text ? 3e-3 : 1e-3,
            WeightDecay = chosen == "adamw" ? 0.01 : WeightDecay,
            BatchSize = text ? Math.Min(32, BatchSize) : BatchSize,
            WarmUp = text ? 0.05 : WarmUp,
            ClipNorm = text ? 1 : ClipNorm,
        };
    }

    /// <summary>Optimizer steps of the run on this data.</summary>
    public long TotalSteps(IDataset data)
    {
        ArgumentNullException.ThrowIfNull(data);
        return Steps ?? (long)Math.Ceiling(Epochs * Math.Max(1, data.Count / Math.Min(BatchSize, data.Count)));
    }

    /// <summary>The batches: all of one size, in a new order in every pass.</summary>
    public BatchLoader CreateLoader(IDataset data, InputNormalization normalization)
    {
        ArgumentNullException.ThrowIfNull(data);
        return new BatchLoader(data, new BatchOptions
        {
            BatchSize = Math.Min(BatchSize, data.Count),
            DropLast = true,
            Seed = Seed,
            Augmentations = Augmentations(data),
            Normalization = normalization,
        });
    }

    /// <summary>The learning rate of each step.</summary>
    /// <exception cref="PruningException">SL4002: there is no such schedule.</exception>
    public LearningRate CreateLearningRate(long steps)
    {
        if (Curve is not null) return Curve;
        int warmUp = Schedule == "one-cycle" ? 0 : (int)(WarmUp * steps);
        long rest = Math.Max(1, steps - warmUp);
        LearningRate curve = Schedule switch
        {
            "cosine" => new Cosine(LearningRate, rest),
            "one-cycle" => new OneCycle(LearningRate, rest),
            "linear" => new Linear(LearningRate, rest),
            "step" => rest >= 4 ? new StepDecay(LearningRate, 0.1, rest / 2, rest * 3 / 4) : new Constant(LearningRate),
            "constant" => new Constant(LearningRate),
            _ => throw new PruningException("SL4002", $"there is no learning-rate schedule '{Schedule}'") { Try = "cosine, one-cycle, linear, step or constant" },
        };
        return curve.WithWarmUp(warmUp);
    }

    /// <summary>The optimizer.</summary>
    /// <exception cref="PruningException">SL4002: there is no such optimizer.</exception>
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
        BatchLoader loader = CreateLoader(data, context.Normalization);
        long steps = TotalSteps(data);
        PartialRetraining? partial = PartialRetraining.Parse(Retrain, Rank, Alpha, Seed, ClipNorm > 0 ? ClipNorm : null);
        if (Average > 0 && partial?.Parts.HasFlag(RetrainedParts.LoraPrune) == true)
            throw new PruningException("SL4002", "averaged weights would be those of the network before lora-prune cuts it") { Try = "mask-lora, or average 0" };
        var trainer = new Trainer(model, CreateOptimizer(model), CreateLearningRate(steps), loader, TrainingLoss.CrossEntropy(LabelSmoothing), new TrainerOptions
        {
            Steps = steps,
            FirstStep = FirstStep,
            ClipNorm = ClipNorm > 0 ? ClipNorm : null,
            AverageDecay = Average > 0 ? Average : null,
            Validation = context.Data.Test,
            EvaluationLimit = context.EvaluationLimit,
            // As many as in a step, whose memory then serves evaluations too: larger batches would need memory of their own once an epoch.
            EvaluationBatchSize = data.Kind == SampleKind.Tokens ? Math.Min(BatchSize, 32) : Math.Clamp(BatchSize, 32, 256),
            CheckpointPath = context.CheckpointPath,
            CheckpointEvery = context.CheckpointPath is null ? 0 : Math.Max(50, loader.BatchesPerEpoch),
            TimeLimit = context.TimeLimit,
            Teacher = context.Teacher is { } teacher && TeacherWeight > 0 ? new Teacher(teacher, TeacherWeight, Temperature) : null,
            Callbacks = partial is null ? context.Callbacks : [.. context.Callbacks, partial],
        });
        if (context.ResumeFrom is { } path) trainer.Restore(path);
        return trainer;
    }

    private List<IAugmentation> Augmentations(IDataset data)
    {
        var list = new List<IAugmentation>();
        if (data.Kind != SampleKind.Picture || data.SampleShape.Length != 3) return list;
        string wanted = Augment == "auto" ? data.SampleShape[0] == 3 ? "crop,flip" : "none" : Augment;
        if (wanted.Contains("crop", StringComparison.Ordinal)) list.Add(new RandomCrop(Math.Max(1, data.SampleShape[1] / 8)));
        if (wanted.Contains("flip", StringComparison.Ordinal)) list.Add(new HorizontalFlip());
        return list;
    }
}

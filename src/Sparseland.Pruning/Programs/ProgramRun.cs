using System.Globalization;
using Sparseland.Model;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Programs;

/// <summary>What a program is run with.</summary>
public sealed record ProgramOptions
{
    /// <summary>How one whole training goes.</summary>
    public required TrainingPlan Plan { get; init; }

    /// <summary>Data; its test part is what records are evaluated on.</summary>
    public required DataSource Data { get; init; }

    /// <summary>The model's input normalisation.</summary>
    public InputNormalization Normalization { get; init; } = InputNormalization.None;

    /// <summary>Folder of checkpoints and finished phases; null keeps none and cannot resume.</summary>
    public string? Folder { get; init; }

    /// <summary>Whether finished phases in the folder are used.</summary>
    public bool Resume { get; init; }

    /// <summary>Whether records are evaluated on the test part after every training; otherwise only trainings that ask for it.</summary>
    public bool Evaluates { get; init; } = true;

    /// <summary>Take part in every training.</summary>
    public IReadOnlyList<ITrainerCallback> Callbacks { get; init; } = [];

    /// <summary>Reports.</summary>
    public IProgress<ProgramProgress>? Progress { get; init; }
}

/// <summary>Carries out the trainings of a <see cref="TrainingProgram"/>: progress, checkpoints, resumption, cancellation.</summary>
public sealed class ProgramRun
{
    private readonly ProgramOptions _options;
    private readonly CancellationToken _cancellation;
    private readonly double _total;
    private readonly List<ProgramRecord> _records = [];
    private readonly HashSet<string> _phases = new(StringComparer.Ordinal);
    private double _done;

    /// <summary>Prepares a run.</summary>
    /// <param name="program">The program; its number of trainings is what progress is measured in.</param>
    /// <param name="model">The network at its start; trained and pruned in place.</param>
    /// <param name="options">Plan, data, folder.</param>
    /// <param name="cancellation">Stops within a step; the state is kept in the folder.</param>
    public ProgramRun(TrainingProgram program, TrainableModel model, ProgramOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(program);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        Model = model;
        Target = PruningTarget.Of(model);
        _options = options;
        Data = options.Data;
        _cancellation = cancellation;
        _total = Math.Max(1e-9, program.Trainings);
        Steps = options.Plan.TotalSteps(options.Data.ForTraining);
        if (options.Folder is { } folder) Directory.CreateDirectory(folder);
    }

    /// <summary>The network.</summary>
    public TrainableModel Model { get; }

    /// <summary>Its weights and masks.</summary>
    public PruningTarget Target { get; }

    /// <summary>How one whole training goes.</summary>
    public TrainingPlan Plan => _options.Plan;

    /// <summary>Steps of one whole training.</summary>
    public long Steps { get; private set; }

    /// <summary>Data; what <see cref="HoldOut"/> took is not among the training samples.</summary>
    public DataSource Data { get; private set; }

    /// <summary>The model's input normalisation.</summary>
    public InputNormalization Normalization => _options.Normalization;

    /// <summary>Stops within a step.</summary>
    public CancellationToken Cancellation => _cancellation;

    /// <summary>What was reached, phase by phase.</summary>
    public IReadOnlyList<ProgramRecord> Records => _records;

    /// <summary>For one-shot methods and criteria within the program: training batches in the plan's order.</summary>
    public PruningContext PruningContext => new() { Data = Plan.CreateLoader(Data.ForTraining, Normalization), Cancellation = _cancellation };

    /// <summary>Takes training samples out of the data for choices between trained networks, which must not look at test data. Only before the first training.</summary>
    /// <param name="share">Their share, above 0 and below 1; drawn with the plan's seed.</param>
    /// <exception cref="PruningException">SL4005: nothing would be left to train on, or nothing to choose with.</exception>
    public IDataset HoldOut(double share)
    {
        if (share is not (> 0 and < 1)) throw new ArgumentOutOfRangeException(nameof(share), share, "Above 0, below 1.");
        if (_phases.Count > 0) throw new InvalidOperationException("Samples can only be held out before the first training.");
        IDataset all = Data.ForTraining;
        int count = (int)Math.Round(share * all.Count);
        if (count < 1 || count >= all.Count) throw new PruningException("SL4005", $"{share:P0} of {all.Count} training samples cannot be held out") { Try = "more data, or another share" };
        int[] order = [.. Enumerable.Range(0, all.Count)];
        SeededRandom.Of(Plan.Seed ^ 0x4E1D).Shuffle<int>(order);
        Data = Data with { Train = all.Select([.. order[count..].Order()]) };
        Steps = Plan.TotalSteps(Data.ForTraining);
        return all.Select([.. order[..count].Order()]);
    }

    /// <summary>Trains the model, or reads the result of the finished phase of that name from the folder.</summary>
    /// <param name="phase">Name of the phase, unique within the program: letters, digits, dots and hyphens.</param>
    /// <param name="plan">How; null takes the program's plan.</param>
    /// <param name="callbacks">Take part in this training, after those of the options.</param>
    /// <param name="capture">Steps after which the model's state is kept; 0 is before the first.</param>
    /// <returns>What came out, with the states that were kept by step.</returns>
    /// <exception cref="OperationCanceledException">Cancelled; a checkpoint is in the folder.</exception>
    public PhaseResult Train(string phase, TrainingPlan? plan = null, IReadOnlyList<ITrainerCallback>? callbacks = null, params IReadOnlyList<long> capture)
    {
        ArgumentException.ThrowIfNullOrEmpty(phase);
        ArgumentNullException.ThrowIfNull(capture);
        plan ??= Plan;
        if (!_phases.Add(phase) || phase.Any(c => !char.IsLetterOrDigit(c) && c is not ('.' or '-'))) throw new ArgumentException($"'{phase}' is no unique name of a phase.", nameof(phase));
        _cancellation.ThrowIfCancellationRequested();
        long steps = plan.TotalSteps(Data.ForTraining), length = steps - plan.FirstStep;
        double weight = Steps > 0 ? (double)length / Steps : 0;
        string identity = Identity(plan, steps);
        PhaseResult? result = Finished(phase, identity, capture);
        if (result is null)
        {
            var snapshots = new SnapshotCallback(capture);
            string? checkpoint = _options.Folder is null ? null : Path.Combine(_options.Folder, phase + ".checkpoint.safetensors");
            bool resumes = _options.Resume && checkpoint is not null && File.Exists(checkpoint);
            var context = new RecoveryContext(Data with { Test = null }, Normalization)
            {
                Callbacks = [.. _options.Callbacks, .. callbacks ?? [], snapshots],
                CheckpointPath = checkpoint,
                ResumeFrom = resumes ? checkpoint : null,
            };
            double before = _done;
            using (Trainer trainer = plan.CreateTrainer(Model, context))
            {
                var progress = _options.Progress is { } sink
                    ? new Forward(p => sink.Report(new ProgramProgress(before + weight * (p.Step - plan.FirstStep) / Math.Max(1, length), _total, phase, p)))
                    : null;
                TrainingResult trained = trainer.Run(progress, _cancellation);
                if (trained.Cause is StopCause.Cancelled or StopCause.TimeLimit) throw new OperationCanceledException($"stopped in '{phase}'", _cancellation);
                result = new PhaseResult(phase, trained.Steps - plan.FirstStep, trained.Loss, snapshots.States, FromFolder: false);
            }
            if (_options.Folder is { } folder)
            {
                foreach ((long step, ModelSnapshot state) in snapshots.States) state.Save(Path.Combine(folder, $"{phase}.step{step}.safetensors"), new Dictionary<string, string> { ["plan"] = identity });
                ModelSnapshot.Of(Model).Save(Path.Combine(folder, phase + ".safetensors"), new Dictionary<string, string>
                {
                    ["plan"] = identity,
                    ["steps"] = result.Steps.ToString(CultureInfo.InvariantCulture),
                    ["loss"] = result.Loss.ToString("R", CultureInfo.InvariantCulture),
                });
                File.Delete(checkpoint!);
            }
        }
        _done += weight;
        _options.Progress?.Report(new ProgramProgress(Math.Min(_done, _total), _total, phase, null));
        if (_options.Evaluates) Record(phase, result.Steps);
        return result;
    }

    /// <summary>Evaluates the model on the test part and adds a line to the records; null when there is no test part.</summary>
    public Evaluation? Record(string phase, long steps = 0)
    {
        Evaluation? evaluation = Data.Test is { } test ? Evaluate(test) : null;
        IReadOnlyList<Layers.PrunableLayer> layers = Target.Layers;
        _records.Add(new ProgramRecord(phase, layers.Count == 0 ? 1 : layers.Sum(l => (double)Target.KeptCount(l)) / layers.Sum(l => (double)l.Length), steps, evaluation));
        return evaluation;
    }

    /// <summary>Evaluates the model on a data set.</summary>
    public Evaluation Evaluate(IDataset data) => Evaluator.Evaluate(Model, data, new EvaluationOptions { Normalization = Normalization }, null, _cancellation);

    private PhaseResult? Finished(string phase, string identity, IReadOnlyList<long> capture)
    {
        if (_options.Folder is not { } folder || !_options.Resume) return null;
        string path = Path.Combine(folder, phase + ".safetensors");
        if (!File.Exists(path)) return null;
        (ModelSnapshot end, IReadOnlyDictionary<string, string> metadata) = ModelSnapshot.Load(path);
        if (metadata.GetValueOrDefault("plan") != identity)
            throw new PruningException("SL4015", $"the phase '{phase}' in the folder was trained differently: {metadata.GetValueOrDefault("plan")}") { Where = path, Try = "resume with the options that the run was started with, or start anew without --resume" };
        string State(long step) => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{phase}.step{step}.safetensors"));
        foreach (long step in capture.Where(s => !File.Exists(State(s))))
            throw new PruningException("SL4015", $"the state after step {step} of the phase '{phase}' was not kept, so nothing can be rewound to it") { Where = State(step), Try = "put the file back, or start anew without --resume" };
        Dictionary<long, ModelSnapshot> states = capture.ToDictionary(s => s, s => ModelSnapshot.Load(State(s)).Snapshot);
        end.Restore(Model);
        return new PhaseResult(phase, long.Parse(metadata["steps"], CultureInfo.InvariantCulture), double.Parse(metadata["loss"], CultureInfo.InvariantCulture), states, FromFolder: true);
    }

    // What must agree for a finished phase to be this one; the masks follow from the phases before it.
    private string Identity(TrainingPlan plan, long steps) => string.Create(CultureInfo.InvariantCulture,
        $"{plan.Optimizer}, {plan.CreateLearningRate(steps)}, steps {plan.FirstStep} to {steps}, batch {plan.BatchSize}, decay {plan.WeightDecay:R}, seed {plan.Seed}, {Data.ForTraining.Count} samples");

    private sealed class Forward(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => action(value);
    }
}

/// <summary>What came out of one training of a program.</summary>
/// <param name="Phase">Its name.</param>
/// <param name="Steps">Optimizer steps.</param>
/// <param name="Loss">Smoothed loss of the last steps.</param>
/// <param name="States">The states that were asked for, by step.</param>
/// <param name="FromFolder">Whether it was read from the folder of an earlier run.</param>
public sealed record PhaseResult(string Phase, long Steps, double Loss, IReadOnlyDictionary<long, ModelSnapshot> States, bool FromFolder)
{
    /// <summary>The state after a step.</summary>
    /// <exception cref="PruningException">SL4015: it was not asked for when the phase was trained, so it was not kept.</exception>
    public ModelSnapshot State(long step) => States.GetValueOrDefault(step) ?? throw new PruningException("SL4015", $"the state after step {step} of the phase '{Phase}' was not kept")
    {
        Because = States.Count == 0 ? "none was asked for" : "kept are those after " + string.Join(", ", States.Keys.Order()),
        Try = "name the step when the phase is trained (capture)",
    };
}

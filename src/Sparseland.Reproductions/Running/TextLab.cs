using Sparseland.Model;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Recovery;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Reproductions.Running;

/// <summary>The bench of the reproductions on text: a small character transformer and the built-in stories.</summary>
internal sealed class TextLab
{
    private readonly ReproductionRun _run;

    /// <summary>Opens the text and builds the network with the run's seed.</summary>
    public TextLab(ReproductionRun run)
    {
        _run = run;
        Data = DataSource.Open("stories", new DataSourceOptions { Window = run.Pick(32, 64, 128) });
        Architecture llama = ArchitectureCatalog.Get("llama");
        Graph = llama.Build(llama.DefaultOptions().Parse($"dim={run.Pick(16, 64, 128)},hidden={run.Pick(32, 160, 320)},layers={run.Pick(1, 3, 4)},heads=4,kvheads=4,sequence=128"), run.Seed);
        Plan = new TrainingPlan { Steps = run.Pick(20, 800, 4000), Seed = 1000L * run.Seed }.Usual(text: true) with { BatchSize = 16 };
    }

    /// <summary>The stories; a tenth is held out.</summary>
    public DataSource Data { get; }

    /// <summary>Llama architecture, bytes as tokens; its linear layers have no biases.</summary>
    public ModelGraph Graph { get; }

    /// <summary>How the network is trained.</summary>
    public TrainingPlan Plan { get; }

    /// <summary>Trains a model in place.</summary>
    /// <param name="model">The model.</param>
    /// <param name="plan">How.</param>
    /// <param name="from">What of the run is done before.</param>
    /// <param name="to">What of it is done afterwards.</param>
    /// <param name="what">What the progress says.</param>
    /// <param name="callbacks">Take part.</param>
    public TrainingResult Train(TrainableModel model, TrainingPlan plan, double from, double to, string what, params IReadOnlyList<ITrainerCallback> callbacks)
    {
        long steps = plan.TotalSteps(Data.ForTraining);
        using Trainer trainer = plan.CreateTrainer(model, new RecoveryContext(Data with { Test = null }, InputNormalization.None) { Callbacks = callbacks });
        TrainingResult result = trainer.Run(new Forward(p => _run.Report(from + (to - from) * p.Step / steps, what)), _run.Cancellation);
        // Reports are made every twenty steps: a short training would end without one.
        _run.Report(to, what);
        return result;
    }

    /// <summary>Cross-entropy of held-out windows, the logarithm of the perplexity.</summary>
    public double Loss(TrainableModel model) => Evaluator.Evaluate(model, Data.ForEvaluation, new EvaluationOptions { BatchSize = 32, Limit = _run.Pick(20, 200, 500) }, null, _run.Cancellation).Loss;

    private sealed class Forward(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Step % 20 == 0) action(value);
        }
    }
}

using Sparseland.Kernels.Sparse;
using Sparseland.Pruning.Layers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning;

/// <summary>When a method acts.</summary>
public enum PruningStage
{
    /// <summary>On an untrained network.</summary>
    Before,

    /// <summary>While the network is trained.</summary>
    During,

    /// <summary>On a trained network.</summary>
    After,
}

/// <summary>A method: composes criterion, pattern, allocation, schedule and regrowth, and drives them.</summary>
public abstract class Sparsifier
{
    /// <summary>Sets what every method is told.</summary>
    protected Sparsifier(string id, PruningStage stage, PruningSettings settings)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        ArgumentNullException.ThrowIfNull(settings);
        Id = id;
        Stage = stage;
        Settings = settings;
    }

    /// <summary>The method's id in the catalogue.</summary>
    public string Id { get; }

    /// <summary>When it acts.</summary>
    public PruningStage Stage { get; }

    /// <summary>What it was told.</summary>
    public PruningSettings Settings { get; }

    /// <summary>Decides which layers are pruned; changes nothing.</summary>
    /// <exception cref="PruningException">SL4001: a filter matches nothing.</exception>
    public virtual LayerPlan Plan(PruningTarget target)
    {
        ArgumentNullException.ThrowIfNull(target);
        return Settings.Policy.Apply(target.Layers);
    }

    /// <summary>The present state as a result: what is kept of what.</summary>
    protected PruningResult Describe(PruningTarget target, LayerPlan plan, IReadOnlyDictionary<string, int>? before = null, IReadOnlyList<string>? warnings = null, IReadOnlyDictionary<string, string>? notes = null)
    {
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(plan);
        return new PruningResult(Id, Settings.Pattern.Kind == SparsityKind.NofM ? null : Settings.Sparsity,
            [.. plan.Layers.Select(l =>
            {
                int kept = target.KeptCount(l);
                return new LayerOutcome(l, before?.GetValueOrDefault(l.Name, kept) ?? kept, kept, float.NaN, float.NaN, notes?.GetValueOrDefault(l.Name));
            })],
            [.. plan.Decisions.Where(d => !d.IsPruned)], warnings ?? []);
    }
}

/// <summary>A method that finds its masks in one go: before training, or after.</summary>
public abstract class OneShotSparsifier(string id, PruningStage stage, PruningSettings settings) : Sparsifier(id, stage, settings)
{
    /// <summary>What it needs besides weights as it was built; the catalogue says what it may need.</summary>
    public virtual Criteria.CriterionNeeds Requires => Criteria.CriterionNeeds.None;

    /// <summary>Prunes. Weights that are removed already stay removed.</summary>
    /// <exception cref="PruningException">A filter matches nothing, a target cannot be reached, or data is missing.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled; the layers done so far keep their masks.</exception>
    public abstract PruningResult Apply(PruningTarget target, PruningContext? context = null);

    /// <summary>An error that says what the method needs.</summary>
    protected PruningException Needs(string what) => new("SL4005", $"the method '{Id}' needs {what}") { Try = "give data with --data, for example --data shapes" };
}

/// <summary>A method that changes masks while a network is trained: give it to the trainer as a callback.</summary>
public abstract class TrainingSparsifier(string id, PruningSettings settings) : Sparsifier(id, PruningStage.During, settings), ITrainerCallback
{
    private readonly List<string> _warnings = [];

    /// <inheritdoc/>
    public string Name => Id;

    /// <summary>What was said during the run, each sentence once.</summary>
    public IReadOnlyList<string> Warnings => _warnings;

    /// <summary>What is to be said of a run of so many steps before it starts: schedules that would come to nothing. Also among <see cref="Warnings"/> once it has started.</summary>
    /// <param name="steps">Steps of the run, 1 or more.</param>
    public virtual IReadOnlyList<string> Foresee(long steps) => [];

    /// <summary>The layers that are pruned; known from the start of the run.</summary>
    /// <exception cref="InvalidOperationException">The run has not started.</exception>
    protected LayerPlan LayerPlan { get => field ?? throw new InvalidOperationException("The run has not started."); private set; }

    /// <summary>The model's weights; known from the start of the run.</summary>
    /// <exception cref="InvalidOperationException">The run has not started.</exception>
    protected PruningTarget Target { get => field ?? throw new InvalidOperationException("The run has not started."); private set; }

    /// <inheritdoc/>
    public virtual void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        Target = PruningTarget.Of(context.Model);
        LayerPlan = Plan(Target);
        if (LayerPlan.Layers.Count == 0)
        {
            throw new PruningException("SL4006", $"'{Id}' has no layer to prune")
            {
                Because = string.Join("; ", LayerPlan.Decisions.Take(5).Select(d => $"{d.Layer.Name}: {d.Reason}")),
                Try = "other targets, or a policy that includes more layers",
            };
        }
        if (context.TotalSteps > 0) foreach (string sentence in Foresee(context.TotalSteps)) Warn(sentence);
    }

    /// <inheritdoc/>
    public virtual void OnStepStart(TrainingContext context)
    {
    }

    /// <inheritdoc/>
    public virtual void OnGradients(TrainingContext context)
    {
    }

    /// <inheritdoc/>
    public virtual void OnStepEnd(TrainingContext context)
    {
    }

    /// <inheritdoc/>
    public virtual void OnEnd(TrainingContext context)
    {
    }

    /// <inheritdoc/>
    public virtual IReadOnlyDictionary<string, Model.Graph.TensorData> Export() => new Dictionary<string, Model.Graph.TensorData>();

    /// <inheritdoc/>
    public virtual void Import(IReadOnlyDictionary<string, Model.Graph.TensorData> state)
    {
    }

    /// <summary>The present state of the masks.</summary>
    public PruningResult Result() => Describe(Target, LayerPlan, LayerPlan.Layers.ToDictionary(l => l.Name, l => l.Length), _warnings);

    /// <summary>Notes a sentence for people, once.</summary>
    protected void Warn(string sentence)
    {
        if (!_warnings.Contains(sentence)) _warnings.Add(sentence);
    }
}

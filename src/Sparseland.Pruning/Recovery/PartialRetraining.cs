using Sparseland.Model.Graph;
using Sparseland.Pruning.Layers;
using Sparseland.Training;
using Sparseland.Training.Optimizers;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Recovery;

/// <summary>What is trained after pruning while everything else is frozen.</summary>
[Flags]
public enum RetrainedParts
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>All biases.</summary>
    Biases = 1,

    /// <summary>Scales and shifts of all normalisations.</summary>
    Norms = 2,

    /// <summary>The last layer's weight and bias.</summary>
    Head = 4,

    /// <summary>A <see cref="AdapterKind.MaskLora"/> on every pruned weight.</summary>
    MaskLora = 8,

    /// <summary>A <see cref="AdapterKind.ScaleLora"/> on every pruned weight.</summary>
    ScaleLora = 16,
}

/// <summary>PERP: after pruning only a small part of the network is retrained - biases, norms, the head, low-rank adapters that respect the mask - and everything else is bit-identical afterwards.</summary>
/// <remarks>
/// Zimmer, Andoni, Spiegel and Pokutta, "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs", 2023, section 3. Give it to a training run as a callback. The paper retrains with AdamW without decay, a rate
/// around 5e-4 that falls linearly after 10 % of warm-up; that is the plan's matter. Adapters have an AdamW of their own that follows the run's learning rate. Networks with batch normalisation should have their
/// statistics measured again afterwards (<see cref="NormReestimation"/>). The layer-wise reconstruction of section 3.3 is not part of it.
/// </remarks>
/// <param name="parts">What is trained.</param>
/// <param name="rank">Rank of adapters.</param>
/// <param name="alpha">Strength of MaskLoRA: s = alpha / rank.</param>
/// <param name="seed">Seed of adapters.</param>
public sealed class PartialRetraining(RetrainedParts parts, int rank = 16, double alpha = 32, long seed = 0) : ITrainerCallback
{
    private readonly List<LowRankAdapter> _adapters = [];
    private readonly Dictionary<Parameter, bool> _before = new(ReferenceEqualityComparer.Instance);
    private AdamW? _optimizer;
    private IReadOnlyDictionary<string, TensorData>? _imported;

    /// <inheritdoc/>
    public string Name => "partial-retraining";

    /// <summary>What is trained.</summary>
    public RetrainedParts Parts { get; } = parts != RetrainedParts.None && (parts & (RetrainedParts.MaskLora | RetrainedParts.ScaleLora)) != (RetrainedParts.MaskLora | RetrainedParts.ScaleLora)
        ? parts
        : throw new ArgumentException($"'{parts}' is nothing, or two adapters at once.", nameof(parts));

    /// <summary>The adapters; known from the start of the run.</summary>
    public IReadOnlyList<LowRankAdapter> Adapters => _adapters;

    /// <summary>Reads <c>all</c> (null) or names with commas between: <c>biases</c>, <c>norms</c>, <c>head</c>, <c>mask-lora</c>, <c>scale-lora</c>.</summary>
    /// <exception cref="PruningException">SL4002: there is no such part, or two adapters are asked for.</exception>
    public static PartialRetraining? Parse(string text, int rank = 16, double alpha = 32, long seed = 0)
    {
        ArgumentException.ThrowIfNullOrEmpty(text);
        if (text == "all") return null;
        RetrainedParts parts = RetrainedParts.None;
        foreach (string part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            parts |= part switch
            {
                "biases" => RetrainedParts.Biases,
                "norms" => RetrainedParts.Norms,
                "head" => RetrainedParts.Head,
                "mask-lora" => RetrainedParts.MaskLora,
                "scale-lora" => RetrainedParts.ScaleLora,
                _ => throw new PruningException("SL4002", $"'{part}' cannot be retrained on its own") { Try = "all, or some of biases, norms, head, mask-lora, scale-lora with commas between" },
            };
        }
        if (parts.HasFlag(RetrainedParts.MaskLora | RetrainedParts.ScaleLora)) throw new PruningException("SL4002", "a weight cannot have mask-lora and scale-lora at once") { Try = "one of them" };
        if (parts == RetrainedParts.None) throw new PruningException("SL4002", $"'{text}' names nothing to retrain") { Try = "all, or for example biases,norms" };
        return new PartialRetraining(parts, rank, alpha, seed);
    }

    /// <summary>Whether a parameter itself is trained.</summary>
    /// <param name="parameter">The parameter.</param>
    /// <param name="head">The last layer's weight and the biases that are added behind it.</param>
    public bool Trains(Parameter parameter, IReadOnlySet<string> head)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        ArgumentNullException.ThrowIfNull(head);
        return (Parts.HasFlag(RetrainedParts.Biases) && parameter.Kind == ParameterKind.Bias)
            || (Parts.HasFlag(RetrainedParts.Norms) && parameter.Kind == ParameterKind.Norm)
            || (Parts.HasFlag(RetrainedParts.Head) && head.Contains(parameter.Name));
    }

    /// <summary>Number of values that are trained, adapters included.</summary>
    public long CountTrained(TrainableModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        HashSet<string> head = Head(model.Graph);
        long count = model.Parameters.Where(p => Trains(p, head)).Sum(p => p.Mask is { } m ? (long)m.KeptCount : p.Value.Length);
        return count + (HasAdapters ? Adapted(model, head).Sum(p => (long)rank * (p.Value.Shape[0] + p.Value.Length / p.Value.Shape[0])) : 0);
    }

    /// <inheritdoc/>
    public void OnStart(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        TrainableModel model = context.Model;
        HashSet<string> head = Head(model.Graph);
        Parameter[] adapted = HasAdapters ? [.. Adapted(model, head)] : [];
        if (HasAdapters && adapted.Length == 0)
            throw new PruningException("SL4006", "there is no pruned weight that an adapter could change") { Try = "prune first, or retrain biases,norms" };
        if (!HasAdapters && !model.Parameters.Any(p => Trains(p, head)))
            throw new PruningException("SL4006", $"the model has nothing of '{Parts}' to retrain") { Try = "other parts, or all" };
        _before.Clear();
        foreach (Parameter p in model.Parameters)
        {
            _before[p] = p.IsTrained;
            p.IsTrained = p.IsTrained && (Trains(p, head) || adapted.Contains(p));
        }
        _adapters.Clear();
        _adapters.AddRange(adapted.Select(p => new LowRankAdapter(p, Parts.HasFlag(RetrainedParts.MaskLora) ? AdapterKind.MaskLora : AdapterKind.ScaleLora, rank, alpha, seed)));
        _optimizer = new AdamW(_adapters.SelectMany(a => new[] { a.A, a.B }), context.Optimizer.LearningRate, weightDecay: 0);
        if (_imported is not { } state) return;
        foreach (LowRankAdapter a in _adapters)
        {
            a.SetBase(state["base/" + a.Weight.Name].Array<float>());
            state["a/" + a.Weight.Name].Array<float>().CopyTo(a.A.Value.Values);
            state["b/" + a.Weight.Name].Array<float>().CopyTo(a.B.Value.Values);
        }
        _optimizer.Import(new OptimizerState("adamw", state["steps"].ToInt64s()[0], state.Where(s => s.Key.StartsWith("moment/", StringComparison.Ordinal)).ToDictionary(s => s.Key["moment/".Length..], s => s.Value, StringComparer.Ordinal)));
        _imported = null;
    }

    /// <inheritdoc/>
    public void OnGradients(TrainingContext context)
    {
        foreach (LowRankAdapter adapter in _adapters) adapter.TakeGradient();
    }

    /// <inheritdoc/>
    public void OnStepEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (_adapters.Count == 0 || context.SkipUpdate) return;
        _optimizer!.LearningRate = context.Optimizer.LearningRate;
        _optimizer.Step();
        foreach (LowRankAdapter adapter in _adapters) adapter.Merge();
    }

    /// <inheritdoc/>
    public void OnEnd(TrainingContext context)
    {
        foreach ((Parameter parameter, bool trained) in _before) parameter.IsTrained = trained;
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorData> Export()
    {
        var state = new Dictionary<string, TensorData>(StringComparer.Ordinal);
        if (_adapters.Count == 0) return state;
        foreach (LowRankAdapter a in _adapters)
        {
            state["base/" + a.Weight.Name] = TensorData.Vector(a.Base.ToArray());
            state["a/" + a.Weight.Name] = TensorData.Vector(a.A.Value.ToArray());
            state["b/" + a.Weight.Name] = TensorData.Vector(a.B.Value.ToArray());
        }
        OptimizerState moments = _optimizer!.Export();
        state["steps"] = TensorData.Vector(moments.Steps);
        foreach ((string name, TensorData moment) in moments.Moments) state["moment/" + name] = moment;
        return state;
    }

    /// <inheritdoc/>
    public void Import(IReadOnlyDictionary<string, TensorData> state)
    {
        ArgumentNullException.ThrowIfNull(state);
        // Weights are known only from the start of the run.
        _imported = state.Count > 0 ? state : null;
    }

    private bool HasAdapters => (Parts & (RetrainedParts.MaskLora | RetrainedParts.ScaleLora)) != 0;

    // A head that is trained whole needs no adapter.
    private IEnumerable<Parameter> Adapted(TrainableModel model, HashSet<string> head) => model.Parameters.Where(p => p.Mask is not null && p.Kind == ParameterKind.Weight && !Trains(p, head));

    private static HashSet<string> Head(ModelGraph graph)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        if (LayerDiscovery.Find(graph).FirstOrDefault(l => l.IsLast) is not { } last) return names;
        names.Add(last.Name);
        foreach (Node node in graph.Nodes.Where(n => n.Inputs.Contains(last.Name)))
        {
            // Its own further inputs, or what is added to its result.
            names.UnionWith(node.Inputs.Skip(2).Where(graph.Weights.ContainsKey));
            foreach (Node add in graph.Nodes.Where(n => n.OpType == "Add" && n.Inputs.Any(node.Outputs.Contains))) names.UnionWith(add.Inputs.Where(graph.Weights.ContainsKey));
        }
        return names;
    }
}

using System.Numerics;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;
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

    /// <summary>A <see cref="AdapterKind.LoraPrune"/> on every pruned weight: dense until the last step, then cut to the mask.</summary>
    LoraPrune = 32,
}

/// <summary>PERP: after pruning only a small part of the network is retrained - biases, norms, the head, low-rank adapters that respect the mask - and everything else is bit-identical afterwards.</summary>
/// <remarks>
/// Zimmer, Andoni, Spiegel and Pokutta, "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs", 2023, section 3. Give it to a training run as a callback. The paper retrains with AdamW without decay, a rate
/// around 5e-4 that falls linearly after 10 % of warm-up; that is the plan's matter. Adapters have an AdamW of their own that follows the run's learning rate. Networks with batch normalisation should have their
/// statistics measured again afterwards (<see cref="NormReestimation"/>). The layer-wise reconstruction of section 3.3 is <see cref="BlockReconstruction"/>. With LoRA-Prune the masks are away while the network is trained
/// and are back, cut and merged, at the end of the last step and whenever the run stops: what is evaluated at the end is the pruned network.
/// </remarks>
/// <param name="parts">What is trained.</param>
/// <param name="rank">Rank of adapters.</param>
/// <param name="alpha">Strength of MaskLoRA and LoRA-Prune: s = alpha / rank.</param>
/// <param name="seed">Seed of adapters.</param>
/// <param name="clipNorm">Largest joint norm of all gradients, those of the adapters included; null does not clip. The run's own clipping sees its optimizer's parameters alone.</param>
public sealed class PartialRetraining(RetrainedParts parts, int rank = 16, double alpha = 32, long seed = 0, double? clipNorm = null) : ITrainerCallback
{
    private const RetrainedParts AllAdapters = RetrainedParts.MaskLora | RetrainedParts.ScaleLora | RetrainedParts.LoraPrune;

    private readonly List<LowRankAdapter> _adapters = [];
    private readonly Dictionary<Parameter, bool> _before = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<Parameter, Mask> _masks = new(ReferenceEqualityComparer.Instance);
    private AdamW? _optimizer;
    private IReadOnlyDictionary<string, TensorData>? _imported;

    /// <inheritdoc/>
    public string Name => "partial-retraining";

    /// <summary>What is trained.</summary>
    public RetrainedParts Parts { get; } = parts != RetrainedParts.None && Adapts(parts) <= 1
        ? parts
        : throw new ArgumentException($"'{parts}' is nothing, or two adapters at once.", nameof(parts));

    /// <summary>The adapters; known from the start of the run.</summary>
    public IReadOnlyList<LowRankAdapter> Adapters => _adapters;

    /// <summary>Reads <c>all</c> (null) or names with commas between: <c>biases</c>, <c>norms</c>, <c>head</c>, <c>mask-lora</c>, <c>scale-lora</c>, <c>lora-prune</c>.</summary>
    /// <exception cref="PruningException">SL4002: there is no such part, or two adapters are asked for.</exception>
    public static PartialRetraining? Parse(string text, int rank = 16, double alpha = 32, long seed = 0, double? clipNorm = null)
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
                "lora-prune" => RetrainedParts.LoraPrune,
                "all" => throw new PruningException("SL4002", $"'{text}': all is everything and stands alone") { Try = "all, or the list without it" },
                _ => throw new PruningException("SL4002", $"'{part}' is nothing that can be retrained on its own") { Try = "all, or some of biases, norms, head, mask-lora, scale-lora, lora-prune with commas between" },
            };
        }
        if (Adapts(parts) > 1) throw new PruningException("SL4002", "a weight cannot have two adapters at once") { Try = "one of mask-lora, scale-lora and lora-prune" };
        if (parts == RetrainedParts.None) throw new PruningException("SL4002", $"'{text}' names nothing to retrain") { Try = "all, or for example biases,norms" };
        return new PartialRetraining(parts, rank, alpha, seed, clipNorm);
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
        // A checkpoint of the middle of a run with LoRA-Prune has no masks in the model: they are in this state.
        if (_imported is { } saved) PutBack(model, saved);
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
        AdapterKind kind = Parts.HasFlag(RetrainedParts.MaskLora) ? AdapterKind.MaskLora : Parts.HasFlag(RetrainedParts.ScaleLora) ? AdapterKind.ScaleLora : AdapterKind.LoraPrune;
        _adapters.AddRange(adapted.Select(p => new LowRankAdapter(p, kind, rank, alpha, seed)));
        _optimizer = new AdamW(_adapters.SelectMany(a => new[] { a.A, a.B }), context.Optimizer.LearningRate, weightDecay: 0);
        TakeState();
        Unmask(model);
    }

    private void TakeState()
    {
        if (_imported is not { } state) return;
        foreach (LowRankAdapter a in _adapters)
        {
            a.SetBase(state["base/" + a.Weight.Name].Array<float>());
            state["a/" + a.Weight.Name].Array<float>().CopyTo(a.A.Value.Values);
            state["b/" + a.Weight.Name].Array<float>().CopyTo(a.B.Value.Values);
        }
        _optimizer!.Import(new OptimizerState("adamw", state["steps"].ToInt64s()[0], state.Where(s => s.Key.StartsWith("moment/", StringComparison.Ordinal)).ToDictionary(s => s.Key["moment/".Length..], s => s.Value, StringComparer.Ordinal)));
        _imported = null;
    }

    /// <inheritdoc/>
    public void OnGradients(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        foreach (LowRankAdapter adapter in _adapters) adapter.TakeGradient();
        if (clipNorm is { } norm && _adapters.Count > 0) GradientClipping.ByNorm(context.Optimizer.Parameters.Concat(_adapters.SelectMany(a => new[] { a.A, a.B })), norm);
    }

    /// <inheritdoc/>
    public void OnStepEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (_adapters.Count == 0 || context.SkipUpdate) return;
        _optimizer!.LearningRate = context.Optimizer.LearningRate;
        _optimizer.Step();
        if (context.Step + 1 == context.TotalSteps) Remask(context.Model);
        foreach (LowRankAdapter adapter in _adapters) adapter.Merge();
    }

    /// <inheritdoc/>
    public void OnEnd(TrainingContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (_masks.Count > 0)
        {
            Remask(context.Model);
            foreach (LowRankAdapter adapter in _adapters) adapter.Merge();
        }
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
            if (_masks.TryGetValue(a.Weight, out Mask? mask)) state["mask/" + a.Weight.Name] = TensorData.Vector(MemoryMarshal.AsBytes(mask.Words).ToArray());
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

    private bool HasAdapters => (Parts & AllAdapters) != 0;

    private static int Adapts(RetrainedParts parts) => BitOperations.PopCount((uint)(parts & AllAdapters));

    private static void PutBack(TrainableModel model, IReadOnlyDictionary<string, TensorData> state)
    {
        foreach ((string key, TensorData words) in state.Where(s => s.Key.StartsWith("mask/", StringComparison.Ordinal)))
        {
            Parameter p = model.Parameter(key["mask/".Length..]);
            model.SetMask(p, Mask.FromWords([.. p.Value.Shape], MemoryMarshal.Cast<byte, ulong>(words.Span<byte>())));
        }
    }

    private void Unmask(TrainableModel model)
    {
        _masks.Clear();
        if (!Parts.HasFlag(RetrainedParts.LoraPrune)) return;
        foreach (LowRankAdapter a in _adapters)
        {
            _masks[a.Weight] = a.Weight.Mask!;
            model.SetMask(a.Weight, null);
            a.Merge();
        }
    }

    private void Remask(TrainableModel model)
    {
        foreach ((Parameter weight, Mask mask) in _masks) model.SetMask(weight, mask);
        _masks.Clear();
    }

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

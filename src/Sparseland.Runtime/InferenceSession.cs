using System.Diagnostics;
using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime;

/// <summary>Runs a model: compiled once per set of input shapes, then called with tensors by name.</summary>
/// <remarks>
/// The graph is copied; later edits of it do not reach the session. <c>Run</c> may be called from several threads
/// at once: each call has memory of its own, and calls share the compiled plans. The threads of kernels serve one kernel at a time; a kernel that
/// begins meanwhile runs on its caller's thread alone. So several callers use as many cores as there are callers, and one caller uses them all.
/// <para>Inputs that are not finite: a kernel that skips zeros never multiplies by them. Where a removed weight meets an infinity or a NaN, a dense kernel gives NaN (zero times infinity), a sparse one gives what the kept weights say;
/// a layer behind a rectifier that skips columns beside zero inputs skips infinite weights there as well. Which kernel a layer gets depends on density, shape, break-even points and, for some convolutions
/// of several groups (<see cref="SessionOptions.AutoTune"/> says which) or where timing was asked for, on a clock; so the same model may answer such inputs differently on another machine, after a calibration or, with such layers, in the next session; kept weights and inputs that are not zero follow IEEE 754 everywhere. Weights of 8 and 4 bits round inputs in blocks of 256: one that is not finite makes its whole block NaN. Vectors that are
/// not finite run in portable loops where weights lie under masks or in windows: right, and tens of times slower. <see cref="SessionOptions.ForceDense"/> gives the dense answer.</para>
/// <para>One kernel gives the same bits for every number of threads, and two kernels for one layer need not: a session repeats its results bit by bit for inputs of one shape, and so does another session whose plan names the same kernels. Where a clock chose
/// (<c>timed</c> in the plan), another session's plan may name others, and its results may differ in their last bits. A choice by the clock is made once for a layer and holds for every input shape that the table does not decide, unless <see cref="SessionOptions.AutoTune"/> asks for one per shape.</para>
/// <para>What a session holds beside the graph is printed with the plan: a copy of each weight as its kernel reads it. Code that was compiled for it is freed with the session by the garbage collector, which knows of its size.</para>
/// </remarks>
public sealed class InferenceSession
{
    private readonly ModelGraph _graph;
    private readonly SessionOptions _options;
    private readonly IReadOnlyList<PassResult> _passes;
    private readonly string _held = "";
    private readonly PreparedWeights _prepared = new();
    private readonly Lock _gate = new();
    private readonly LinkedList<(string Key, Lazy<Plan> Plan)> _plans = [];

    /// <summary>Prepares a model.</summary>
    /// <param name="graph">A valid graph.</param>
    /// <param name="options">How to plan; defaults when null.</param>
    /// <exception cref="GraphException">The graph breaks a rule.</exception>
    /// <exception cref="UnsupportedOperatorException">A node's operator is not known.</exception>
    /// <exception cref="ArgumentException">The environment's number of threads is none, see <see cref="Sparseland.Kernels.Threading.WorkPool.EnvironmentVariable"/>.</exception>
    public InferenceSession(ModelGraph graph, SessionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(graph);
        _options = Settled(options ?? SessionOptions.Default);
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.CachedPlans, 1);
        GraphValidator.Validate(graph);
        _graph = graph.Clone();
        if (_options.Values is { } kind) _held = HeldValues.Apply(_graph, kind);
        _passes = Optimise(_graph, _options, null);
    }

    /// <summary>Prepares a model that keeps a key/value cache.</summary>
    internal InferenceSession(ModelGraph graph, SessionOptions options, KeyValueCachePass cachePass)
    {
        _options = Settled(options);
        _graph = graph.Clone();
        _passes = Optimise(_graph, _options, cachePass);
    }

    /// <summary>The inputs that a run needs.</summary>
    public IReadOnlyList<GraphValue> Inputs => _graph.Inputs;

    /// <summary>The outputs that a run gives.</summary>
    public IReadOnlyList<GraphValue> Outputs => _graph.Outputs;

    /// <summary>Runs the model.</summary>
    /// <param name="inputs">One tensor per graph input, by name.</param>
    /// <param name="cancellation">Stops between steps and, where inputs have a new shape, between layers that are prepared and while kernels are timed.</param>
    /// <returns>The outputs by name, in the graph's order, with memory of their own: none is an input, a constant of the model or another output, even if the graph says that it is.</returns>
    /// <exception cref="GraphException">An input is missing, unknown, or of the wrong type or shape.</exception>
    public OrderedDictionary<string, TensorData> Run(IReadOnlyDictionary<string, TensorData> inputs, CancellationToken cancellation = default) =>
        Run(inputs, null, cancellation);

    /// <summary>Runs the model as the continuation of what a cache holds; the caller advances the cache.</summary>
    internal OrderedDictionary<string, TensorData> Run(IReadOnlyDictionary<string, TensorData> inputs, KeyValueCache? cache, CancellationToken cancellation)
    {
        TensorData[] ordered = Order(inputs);
        TensorData[] outputs = PlanFor(ordered, cancellation).Run(ordered, cache, cancellation);
        var result = new OrderedDictionary<string, TensorData>(StringComparer.Ordinal);
        for (int i = 0; i < outputs.Length; i++) result[_graph.Outputs[i].Name] = outputs[i];
        return result;
    }

    /// <summary>Runs a model that has one input.</summary>
    /// <exception cref="GraphException">The model has several inputs, or the tensor does not fit.</exception>
    public OrderedDictionary<string, TensorData> Run(TensorData input, CancellationToken cancellation = default)
    {
        if (_graph.Inputs.Count != 1)
            throw new GraphException("SL2008", $"the model has {_graph.Inputs.Count} inputs ({string.Join(", ", _graph.Inputs.Select(i => i.Name))}); give each by name");
        return Run(new Dictionary<string, TensorData> { [_graph.Inputs[0].Name] = input }, cancellation);
    }

    /// <summary>The plan for given inputs, printed: passes, memory, which kernel each layer got and why, and which weights could not be held in the type that was asked for.</summary>
    public string DescribePlan(IReadOnlyDictionary<string, TensorData> inputs) => PlanFor(Order(inputs), CancellationToken.None).Describe() + _held;

    /// <summary>Runs the model some times and says how long each step of its plan took, in the order of the plan; steps that only give memory another shape are left out.</summary>
    /// <param name="inputs">One tensor per graph input, by name.</param>
    /// <param name="runs">How often, at least 1. The first run of a session prepares weights: run once before.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <exception cref="GraphException">As for <c>Run</c>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">No run.</exception>
    public IReadOnlyList<StepTime> TimeSteps(IReadOnlyDictionary<string, TensorData> inputs, int runs, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(runs, 1);
        TensorData[] ordered = Order(inputs);
        Plan plan = PlanFor(ordered, cancellation);
        var stamps = new long[plan.Steps.Count + 1];
        double[][] times = [.. plan.Steps.Select(_ => new double[runs])];
        for (int run = 0; run < runs; run++)
        {
            plan.Run(ordered, null, cancellation, stamps);
            for (int i = 0; i < times.Length; i++) times[i][run] = Stopwatch.GetElapsedTime(stamps[i], stamps[i + 1]).TotalMilliseconds;
        }
        return [.. plan.Steps.Select((s, i) => (Step: s, Times: times[i])).Where(s => !s.Step.IsView)
            .Select(s => new StepTime(s.Step.Node.OpType, s.Step.Node.Name, s.Step.Kernel, s.Step.MultiplyAdds, s.Times))];
    }

    private static List<PassResult> Optimise(ModelGraph graph, SessionOptions options, KeyValueCachePass? cachePass)
    {
        var results = new List<PassResult>();
        IReadOnlyDictionary<string, TensorType> types = ShapeInference.Run(graph).Types;
        if (cachePass is not null) Apply(cachePass);
        Apply(new IdentityRemovalPass());
        if (options.Fuse) Apply(new TransposedWeightPass());
        Apply(new DeadNodePass());
        Apply(new ConstantFoldingPass());
        if (options.Fuse)
        {
            Apply(new BatchNormFoldingPass());
            Apply(new FusionPass(types));
        }
        Apply(new DeadNodePass());
        return results;

        void Apply(IGraphPass pass) => results.Add(new PassResult(pass.Name, pass.Apply(graph)));
    }

    /// <summary>With one table for all plans: the machine's may be written anew meanwhile.</summary>
    private static SessionOptions Settled(SessionOptions options) => options with { BreakEven = options.BreakEven };

    private TensorData[] Order(IReadOnlyDictionary<string, TensorData> inputs)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        foreach (string name in inputs.Keys)
        {
            if (_graph.Inputs.All(i => i.Name != name))
                throw new GraphException("SL2008", $"the model has no input '{name}'; it has {string.Join(", ", _graph.Inputs.Select(i => $"{i.Name} {i.Type}"))}");
        }
        var ordered = new TensorData[_graph.Inputs.Count];
        for (int i = 0; i < ordered.Length; i++)
        {
            GraphValue input = _graph.Inputs[i];
            if (!inputs.TryGetValue(input.Name, out TensorData? value))
                throw new GraphException("SL2008", $"input '{input.Name}' was not given; it is {input.Type}");
            if (!GraphEvaluator.Fits(input.Type, value))
                throw new GraphException("SL2008", $"input '{input.Name}' must be {input.Type}; the tensor given is {value}");
            ordered[i] = value;
        }
        return ordered;
    }

    private Plan PlanFor(TensorData[] inputs, CancellationToken cancellation)
    {
        string key = string.Join(';', inputs.Select(i => i.ToString()));
        while (true)
        {
            Lazy<Plan> plan = Planned(key, inputs, cancellation);
            try
            {
                return plan.Value;
            }
            catch (Exception e)
            {
                // What failed once (memory, say) may not fail again.
                lock (_gate) _plans.Remove((key, plan));
                // Who asked first makes the plan for all who wait; when that one gives up, the next makes it.
                if (e is not OperationCanceledException || cancellation.IsCancellationRequested) throw;
            }
        }
    }

    private Lazy<Plan> Planned(string key, TensorData[] inputs, CancellationToken cancellation)
    {
        lock (_gate)
        {
            LinkedListNode<(string Key, Lazy<Plan> Plan)>? found = _plans.First;
            while (found is not null && found.Value.Key != key) found = found.Next;
            if (found is not null)
            {
                _plans.Remove(found);
            }
            else
            {
                found = new((key, new Lazy<Plan>(() => Compile(inputs, cancellation))));
                if (_plans.Count >= _options.CachedPlans) _plans.RemoveLast();
            }
            _plans.AddFirst(found);
            return found.Value.Plan;
        }
    }

    private Plan Compile(TensorData[] inputs, CancellationToken cancellation)
    {
        var inputTypes = new Dictionary<string, TensorType>(StringComparer.Ordinal);
        for (int i = 0; i < inputs.Length; i++)
            inputTypes[_graph.Inputs[i].Name] = new TensorType(inputs[i].ElementType, TensorShape.Of(inputs[i].Shape));
        return Plan.Create(_graph, FusedShapeInference.Run(_graph, inputTypes), _passes, _options, _prepared, cancellation);
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Sparseland.Kernels.Threading;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;
using Sparseland.Runtime.Steps;

namespace Sparseland.Runtime.Planning;

/// <summary>A graph compiled for given input shapes: steps in order, memory placed, a kernel for every weight.</summary>
internal sealed class Plan
{
    // Below this no kernel uses a second thread.
    private const long WorthKeepingAwake = 1 << 20;

    private readonly List<Slot> _slots = [];
    private readonly List<Step> _steps = [];
    private readonly Slot[] _inputs;
    private readonly Slot[] _outputs;
    private readonly Slot[] _handed;
    private readonly ConcurrentBag<RunState> _states = [];
    private readonly int _arenaLength;
    private readonly long _multiplyAdds;

    private Plan(ModelGraph graph, ShapeInference inference, IReadOnlyList<PassResult> passes, SessionOptions options, PreparedWeights prepared, CancellationToken cancellation)
    {
        Passes = passes;
        var byName = new Dictionary<string, Slot>(StringComparer.Ordinal);
        var context = new StepContext(graph, inference.Types, byName, _slots, options, prepared, inference.ConstantOf) { Cancellation = cancellation };
        _inputs = [.. graph.Inputs.Select(i => context.NewTensor(i.Name))];
        foreach (Node node in graph.Nodes)
        {
            cancellation.ThrowIfCancellationRequested();
            if (!BecomeConstants(node, context)) _steps.Add(StepFactory.Create(node, context));
        }
        _outputs = [.. graph.Outputs.Select(o => context.Find(o.Name))];
        BoxStep.Merge(_steps, _outputs);
        SpacedPlanes.Apply(_steps, _slots, _outputs, cancellation);
        // A value under two names is copied, so that each output has memory of its own.
        _handed = [.. _outputs.Where(o => o.Kind == SlotKind.Arena).GroupBy(o => o.Owner).Where(g => g.Count() == 1 && g.Key.Length == g.Single().Length).Select(g => g.Key)];
        for (int i = 0; i < _handed.Length; i++) _handed[i].Handed = i;
        _arenaLength = PlaceMemory();
        _multiplyAdds = _steps.Sum(s => s.MultiplyAdds);
    }

    /// <summary>What the passes did to the graph.</summary>
    public IReadOnlyList<PassResult> Passes { get; }

    /// <summary>The steps in order.</summary>
    public IReadOnlyList<Step> Steps => _steps;

    /// <summary>Bytes of all intermediate values at the fullest moment; outputs are none.</summary>
    public long ArenaBytes => (long)_arenaLength * sizeof(float);

    /// <summary>Bytes of the weights that were prepared for layers, each once; code is written in the first run, and that of layers whose images may lie in halves while planning.</summary>
    public long WeightBytes => _steps.Where(s => s.Weight is not null).DistinctBy(s => s.Weight).Sum(s => s.WeightBytes);

    private long DenseWeightBytes => _steps.Where(s => s.Weight is not null).DistinctBy(s => s.Weight).Sum(s => s.DenseWeightBytes);

    /// <summary>Compiles an optimised graph.</summary>
    /// <param name="graph">A graph after the passes.</param>
    /// <param name="inference">Types and constants of all values with the input shapes filled in.</param>
    /// <param name="passes">What the passes did, for printing.</param>
    /// <param name="options">The session's options.</param>
    /// <param name="prepared">What the session prepared for other plans.</param>
    /// <param name="cancellation">Stops between layers and while kernels are timed.</param>
    public static Plan Create(ModelGraph graph, ShapeInference inference, IReadOnlyList<PassResult> passes, SessionOptions options, PreparedWeights prepared, CancellationToken cancellation) =>
        new(graph, inference, passes, options, prepared, cancellation);

    /// <summary>Runs the plan.</summary>
    /// <param name="inputs">In the graph's order.</param>
    /// <param name="cache">What attentions with a cache continue; null when there is none.</param>
    /// <param name="cancellation">Stops between steps.</param>
    /// <param name="times">Receives the time stamp before the first step and after each; empty when nobody asks.</param>
    /// <returns>In the graph's order; memory of their own.</returns>
    public TensorData[] Run(IReadOnlyList<TensorData> inputs, KeyValueCache? cache, CancellationToken cancellation, Span<long> times = default)
    {
        if (!_states.TryTake(out RunState? state)) state = new RunState(_slots, _arenaLength, _handed);
        try
        {
            state.Cache = cache;
            state.Begin();
            for (int i = 0; i < _inputs.Length; i++) state.Set(_inputs[i], inputs[i]);
            using (_multiplyAdds >= WorthKeepingAwake ? WorkPool.KeepAwake() : default)
            {
                if (!times.IsEmpty) times[0] = Stopwatch.GetTimestamp();
                for (int i = 0; i < _steps.Count; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    _steps[i].Run(state);
                    if (!times.IsEmpty) times[i + 1] = Stopwatch.GetTimestamp();
                }
            }
            return [.. _outputs.Select(state.Output)];
        }
        finally
        {
            state.Clear();
            _states.Add(state);
        }
    }

    /// <summary>The plan as a table: which kernel each layer got and why.</summary>
    public string Describe()
    {
        var text = new StringBuilder();
        text.Append("passes: ").AppendJoin(", ", Passes.Select(p => $"{p.Name} {p.Changes}")).AppendLine();
        double done = _steps.Sum(s => s.MultiplyAdds * (s.SkipsZeros ? s.Density : 1));
        int halved = _slots.Count(s => s.InHalves), apart = _slots.Count(s => s.PlaneDistance > 0) - halved;
        text.AppendLine($"steps: {_steps.Count(s => !s.IsView)}, intermediate memory {ArenaBytes / 1e6:0.00} MB{(apart > 0 ? $" (planes of {apart} values begin with cache lines)" : "")}{(halved > 0 ? $" ({halved} values lie in halves, one for each thread)" : "")}, {_multiplyAdds / 1e6:0.0} M multiply-adds when dense, {done / 1e6:0.0} M as planned");
        text.AppendLine($"prepared weights: {WeightBytes / 1e6:0.00} MB so far, {DenseWeightBytes / 1e6:0.00} MB as dense singles");
        foreach (Step step in _steps)
        {
            if (step.IsView) continue;
            text.Append($"  {step.Node.OpType,-22} {step.Node.Name,-36} {step.Kernel,-26}");
            if (step.MultiplyAdds > 0) text.Append($" {step.MultiplyAdds / 1e6,9:0.000} M  density {step.Density,6:P1}");
            if (step.Reason.Length > 0) text.Append("  ").Append(step.Reason);
            text.AppendLine();
        }
        return text.ToString();
    }

    /// <summary>Shape arithmetic is known once the input shapes are: such nodes leave constants and no step.</summary>
    private static bool BecomeConstants(Node node, StepContext context)
    {
        if (node.Domain.Length > 0 || context.FloatShape(node.Output(0)) is { Length: > 1 }) return false;
        var values = new TensorData?[node.Outputs.Count];
        for (int i = 0; i < values.Length; i++)
        {
            if (node.Outputs[i].Length > 0 && (values[i] = context.Constant(node.Outputs[i])) is null) return false;
        }
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] is { } value) context.NewConstant(node.Outputs[i], value);
        }
        return true;
    }

    private int PlaceMemory()
    {
        var first = new Dictionary<Slot, int>();
        var last = new Dictionary<Slot, int>();
        for (int s = 0; s < _steps.Count; s++)
        {
            foreach (Slot? slot in _steps[s].Outputs)
            {
                if (slot is { Kind: SlotKind.Arena }) first.TryAdd(slot.Owner, s);
            }
            IEnumerable<Slot?> read = _steps[s].Inputs;
            if (_steps[s] is FallbackStep fallback) read = read.Concat(fallback.Captured);
            foreach (Slot? slot in read.Concat(_steps[s].Outputs))
            {
                if (slot is { Kind: SlotKind.Arena }) last[slot.Owner] = s;
            }
        }
        foreach (Slot slot in _outputs)
        {
            if (slot.Kind == SlotKind.Arena) last[slot.Owner] = _steps.Count;
        }
        return MemoryPlan.Place([.. first.Where(f => f.Key.Handed < 0).Select(f => new MemoryPlan.Life(f.Key, f.Value, last[f.Key]))]);
    }
}

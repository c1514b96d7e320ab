using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Sparseland.Training.Autograd;
using Sparseland.Training.Operators;

namespace Sparseland.Training.Execution;

/// <summary>Runs a graph node by node and gives values up after their last use.</summary>
internal sealed class GraphExecutor
{
    private readonly TrainableModel _model;
    private readonly Step[] _steps;
    private readonly Dictionary<string, int> _slots = new(StringComparer.Ordinal);
    private readonly List<ModelValue> _fixed = [];
    private readonly Dictionary<int, List<Action<ModelValue>>> _observers = [];
    private readonly Parameter?[] _parameterOf;
    private readonly ModelBuffer?[] _bufferOf;
    private readonly bool[] _foreign;
    private readonly bool[] _constant;

    public GraphExecutor(TrainableModel model, Dictionary<string, List<Node>> consumers)
    {
        _model = model;
        ModelGraph graph = model.Graph;
        var parameters = model.Parameters.ToDictionary(p => p.Name, StringComparer.Ordinal);
        var buffers = model.Buffers.ToDictionary(b => b.Name, StringComparer.Ordinal);
        int count = graph.Inputs.Count + graph.Weights.Count + graph.Nodes.Sum(n => n.Outputs.Count);
        _parameterOf = new Parameter?[count];
        _bufferOf = new ModelBuffer?[count];
        _foreign = new bool[count];
        _constant = new bool[count];

        HashSet<string> read = [.. graph.Nodes.SelectMany(GraphOrder.Reads), .. graph.Outputs.Select(o => o.Name)];
        foreach (GraphValue input in graph.Inputs) _foreign[AddSlot(input.Name)] = true;
        foreach (Weight weight in graph.Weights.Values)
        {
            int slot = AddSlot(weight.Name);
            _foreign[slot] = true;
            if (parameters.TryGetValue(weight.Name, out Parameter? p))
            {
                _parameterOf[slot] = p;
                _fixed[slot] = p.Value;
            }
            else if (buffers.TryGetValue(weight.Name, out ModelBuffer? b))
            {
                _bufferOf[slot] = b;
                _fixed[slot] = b.Value;
            }
            else if (read.Contains(weight.Name))
            {
                _constant[slot] = true;
                TensorData data = weight.Read();
                _fixed[slot] = data.ElementType == ElementType.Float32 ? Tensor.From(data) : data;
            }
        }

        _steps = new Step[graph.Nodes.Count];
        for (int i = 0; i < _steps.Length; i++) _steps[i] = Prepare(graph.Nodes[i]);
        MarkLastUses(graph);
        FuseRelus(graph, consumers);
    }

    public IDisposable Observe(string value, Action<ModelValue> observer)
    {
        ArgumentNullException.ThrowIfNull(observer);
        if (!_slots.TryGetValue(value, out int slot)) throw new ArgumentException($"The graph has no value '{value}'.", nameof(value));
        if (!_observers.TryGetValue(slot, out var list)) _observers[slot] = list = [];
        list.Add(observer);
        return new Observation(() =>
        {
            list.Remove(observer);
            if (list.Count == 0) _observers.Remove(slot);
        });
    }

    public Dictionary<string, ModelValue> Run(IReadOnlyDictionary<string, ModelValue> inputs)
    {
        if (!_model.IsTraining && !_model.RecordsInEvaluation)
        {
            using (GradientMode.Off()) return RunNodes(inputs);
        }
        if (_model.IsTraining) _model.TrainingPasses++;
        return RunNodes(inputs);
    }

    private Dictionary<string, ModelValue> RunNodes(IReadOnlyDictionary<string, ModelValue> inputs)
    {
        ModelGraph graph = _model.Graph;
        ModelValue[] values = [.. _fixed];
        foreach (string name in inputs.Keys)
        {
            if (graph.Inputs.All(i => i.Name != name)) throw new ArgumentException($"The graph has no input '{name}'; it has {string.Join(", ", graph.Inputs.Select(i => i.Name))}.", nameof(inputs));
        }
        foreach (GraphValue input in graph.Inputs)
        {
            if (!inputs.TryGetValue(input.Name, out ModelValue value) || value.IsEmpty) throw new ArgumentException($"Input '{input.Name}' is missing.", nameof(inputs));
            int slot = _slots[input.Name];
            values[slot] = value.ElementType == ElementType.Float32 ? value.Tensor : value;
            Notify(slot, values[slot]);
        }

        for (int i = 0; i < _steps.Length; i++)
        {
            Step step = _steps[i];
            if (step.Folded is not null)
            {
                for (int o = 0; o < step.Outputs.Length; o++)
                {
                    if (step.Outputs[o] >= 0) values[step.Outputs[o]] = step.Folded[o];
                }
            }
            else
            {
                long start = StepClock.Start();
                Compute(step, i, values);
                StepClock.Stop(StepClock.Forward, step.Node.OpType, start);
            }
            foreach (int slot in step.Releases)
            {
                if (values[slot].IsTensor) values[slot].Tensor.Storage.Release();
                values[slot] = default;
            }
        }
        if (!_model.IsTraining) BufferPool.Shared.Tick();

        var outputs = new Dictionary<string, ModelValue>(StringComparer.Ordinal);
        foreach (GraphValue output in graph.Outputs) outputs[output.Name] = values[_slots[output.Name]];
        return outputs;
    }

    private void Compute(Step step, int index, ModelValue[] values)
    {
        var inputs = new ModelValue[step.Inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            if (step.Inputs[i] >= 0) inputs[i] = values[step.Inputs[i]];
        }
        if (step.FusedFrom is { IsFused: true })
        {
            // The producer has applied it already: the value passes through.
            values[step.Outputs[0]] = inputs[step.FusedInput].Tensor.Alias();
            Notify(step.Outputs[0], values[step.Outputs[0]]);
            return;
        }
        Following following = FollowingOf(step, values);
        ulong seed = Mix(_model.Options.Seed, (ulong)_model.TrainingPasses, (ulong)index);
        ModelValue[]? outputs = null;
        try
        {
            if (step.Differentiable is { } differentiable)
            {
                outputs = differentiable(new OperatorContext(step.Node, inputs, step.Parameters, step.Buffers, step.Dying)
                {
                    IsTraining = _model.IsTraining,
                    FreezesBatchStatistics = _model.FreezesBatchStatistics,
                    Following = following,
                    Seed = seed,
                    Options = _model.Options,
                });
            }
            step.IsFused = following.Relu && outputs is not null;
            outputs ??= Evaluate(step, inputs, seed, values);
        }
        catch (Exception e) when (e is ArgumentException or OverflowException)
        {
            // Kernels speak of their arguments; a user needs the node.
            throw new GraphException("SL2003", $"{step.Node.OpType} node '{step.Node.Name}': {e.Message}", e)
            {
                Where = $"node '{step.Node.Name}' ({step.Node.OpType}), inputs: {string.Join("; ", inputs.Select(v => v.ToString()))}",
            };
        }

        if (step.IsConstant) step.Folded = outputs;
        for (int o = 0; o < step.Outputs.Length; o++)
        {
            if (step.Outputs[o] < 0 || o >= outputs.Length) continue;
            values[step.Outputs[o]] = outputs[o];
            Notify(step.Outputs[o], outputs[o]);
        }
    }

    private Following FollowingOf(Step step, ModelValue[] values)
    {
        if (step.Hidden.Length == 0 || System.Array.Exists(step.Hidden, _observers.ContainsKey)) return default;
        if (step.Added < 0) return new Following(null, Relu: true);
        ModelValue added = values[step.Added], x = values[step.Inputs[0]];
        return added.IsTensor && x.IsTensor && added.Shape.SequenceEqual(x.Shape) ? new Following(added.Tensor, Relu: true) : default;
    }

    /// <summary>The operator's plain definition. Gradients do not flow through it: a backward pass that would need them fails and names the node.</summary>
    private ModelValue[] Evaluate(Step step, ModelValue[] inputs, ulong seed, ModelValue[] values)
    {
        if (step.Plain is null) throw new UnsupportedOperatorException(step.Node.Name, step.Node.Domain, step.Node.OpType);
        TensorData?[] results = step.Plain.Evaluate(new EvaluationContext(step.Node, System.Array.ConvertAll(inputs, v => v.IsEmpty ? null : v.Data))
        {
            Random = new Random((int)(seed & int.MaxValue)),
            Outer = name => _slots.TryGetValue(name, out int slot) && !values[slot].IsEmpty ? values[slot].Data : null,
        });
        var outputs = new ModelValue[results.Length];
        Tensor?[] tensors = [.. inputs.Concat(step.Captures.Select(slot => values[slot])).Where(v => v.IsTensor).Select(v => v.Tensor)];
        for (int o = 0; o < outputs.Length; o++)
        {
            if (results[o] is not { } data) continue;
            outputs[o] = data.ElementType == ElementType.Float32 ? Blocked(step.Node, Tensor.From(data), tensors) : data;
        }
        return outputs;
    }

    private static Tensor Blocked(Node node, Tensor output, Tensor?[] inputs)
    {
        string name = node.Name, type = node.OpType;
        return Tape.Record(type, output, inputs, [], _ => throw new SparselandException("SL3001", $"no gradient is defined for operator '{type}' of node '{name}'")
        {
            Where = $"node '{name}' ({type})",
            Try = "freeze the weights before this node, or replace the operator",
        });
    }

    private Step Prepare(Node node)
    {
        var step = new Step(node)
        {
            Plain = OperatorRegistry.Find(node.OpType, node.Domain),
            Differentiable = DifferentiableOperators.Find(node.OpType, node.Domain),
            Inputs = new int[node.Inputs.Count],
            Outputs = new int[node.Outputs.Count],
            Parameters = new Parameter?[node.Inputs.Count],
            Buffers = new ModelBuffer?[node.Inputs.Count],
        };
        if (step.Plain is null && step.Differentiable is null) throw new UnsupportedOperatorException(node.Name, node.Domain, node.OpType);
        // What a body of If, Loop or Scan reads from around it is read by the node.
        var captures = new List<int>();
        foreach (string name in GraphOrder.Reads(node).Except(node.Inputs))
        {
            captures.Add(_slots.TryGetValue(name, out int slot)
                ? slot
                : throw new GraphException("SL2004", $"a body of node '{node.Name}' ({node.OpType}) reads '{name}', which nothing before it produces"));
        }
        step.Captures = [.. captures];
        bool constant = (step.Plain?.IsDeterministic ?? true) && node.OpType != "Dropout" && captures.TrueForAll(slot => _constant[slot]);
        for (int i = 0; i < step.Inputs.Length; i++)
        {
            string name = node.Inputs[i];
            if (name.Length == 0)
            {
                step.Inputs[i] = -1;
                continue;
            }
            if (!_slots.TryGetValue(name, out int slot))
                throw new GraphException("SL2004", $"node '{node.Name}' ({node.OpType}) reads '{name}', which nothing before it produces");
            step.Inputs[i] = slot;
            step.Parameters[i] = _parameterOf[slot];
            step.Buffers[i] = _bufferOf[slot];
            constant &= _constant[slot];
        }
        for (int o = 0; o < step.Outputs.Length; o++)
        {
            step.Outputs[o] = node.Outputs[o].Length == 0 ? -1 : AddSlot(node.Outputs[o]);
            if (step.Outputs[o] >= 0) _constant[step.Outputs[o]] = constant;
        }
        step.IsConstant = constant;
        return step;
    }

    private void MarkLastUses(ModelGraph graph)
    {
        var kept = new HashSet<int>(graph.Outputs.Select(o => _slots.TryGetValue(o.Name, out int slot)
            ? slot
            : throw new GraphException("SL2004", $"output '{o.Name}' is produced by no node")));
        var seen = new HashSet<int>();
        for (int i = _steps.Length - 1; i >= 0; i--)
        {
            Step step = _steps[i];
            var releases = new List<int>();
            step.Dying = new bool[step.Inputs.Length];
            foreach (int slot in step.Inputs.Where(s => s >= 0).Concat(step.Captures).Distinct())
            {
                if (_foreign[slot] || _constant[slot] || kept.Contains(slot) || !seen.Add(slot)) continue;
                releases.Add(slot);
                if (step.Inputs.Count(s => s == slot) == 1) step.Dying[System.Array.IndexOf(step.Inputs, slot)] = true;
            }
            // An output that nobody reads dies where it is born.
            foreach (int slot in step.Outputs)
            {
                if (slot >= 0 && !_constant[slot] && !kept.Contains(slot) && seen.Add(slot)) releases.Add(slot);
            }
            step.Releases = [.. releases];
        }
    }

    /// <summary>Finds batch normalisations whose only reader is a Relu, or a sum with what is there already, whose only reader is a Relu: one pass over memory does all.</summary>
    private void FuseRelus(ModelGraph graph, Dictionary<string, List<Node>> consumers)
    {
        HashSet<string> kept = [.. graph.Outputs.Select(o => o.Name)];
        kept.UnionWith(graph.Nodes.SelectMany(n => GraphOrder.Reads(n).Except(n.Inputs)));
        Dictionary<Node, Step> byNode = _steps.ToDictionary(s => s.Node);
        Step? OnlyReader(Node node) => !kept.Contains(node.Output(0)) && consumers.TryGetValue(node.Output(0), out List<Node>? readers) && readers is [{ Domain: "" or "ai.onnx" } reader] ? byNode[reader] : null;
        foreach (Step step in _steps)
        {
            if (step.Node.OpType != "BatchNormalization" || step.Differentiable is null || step.IsConstant || OnlyReader(step.Node) is not { } next) continue;
            if (next.Node.OpType == "Relu") step.Hidden = [step.Outputs[0]];
            else if (next.Node.OpType == "Add" && next.Inputs.Length == 2 && OnlyReader(next.Node) is { Node.OpType: "Relu" } relu)
            {
                int own = System.Array.IndexOf(next.Inputs, step.Outputs[0]), other = next.Inputs[1 - own];
                // Slots are numbered in the order in which their values are there; a sum without a second operand is reported when it is computed.
                if (other < 0 || other >= step.Outputs[0]) continue;
                (step.Hidden, step.Added) = ([step.Outputs[0], next.Outputs[0]], other);
                (next.FusedFrom, next.FusedInput) = (step, own);
                next = relu;
            }
            else continue;
            next.FusedFrom = step;
        }
    }

    private void Notify(int slot, ModelValue value)
    {
        if (!_observers.TryGetValue(slot, out var list)) return;
        // The observer may keep the tensor: one more holder, who never lets go, leaves it to the garbage collector.
        if (value.IsTensor) value.Tensor.Storage.Retain();
        foreach (Action<ModelValue> observer in list.ToArray()) observer(value);
    }

    private int AddSlot(string name)
    {
        int slot = _fixed.Count;
        if (!_slots.TryAdd(name, slot)) throw new GraphException("SL2002", $"value '{name}' is defined twice");
        _fixed.Add(default);
        return slot;
    }

    /// <summary>One seed from three numbers (the finaliser of SplitMix64, chained).</summary>
    private static ulong Mix(ulong a, ulong b, ulong c)
    {
        static ulong Scramble(ulong z)
        {
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
            z = (z ^ z >> 27) * 0x94D049BB133111EB;
            return z ^ z >> 31;
        }
        return Scramble(Scramble(Scramble(a + 0x9E3779B97F4A7C15) + b + 0x9E3779B97F4A7C15) + c + 0x9E3779B97F4A7C15);
    }

    private sealed class Step(Node node)
    {
        public Node Node { get; } = node;

        public Operator? Plain { get; init; }

        public DifferentiableOperator? Differentiable { get; init; }

        public required int[] Inputs { get; init; }

        public required int[] Outputs { get; init; }

        public required Parameter?[] Parameters { get; init; }

        public required ModelBuffer?[] Buffers { get; init; }

        /// <summary>Slots that bodies of the node read.</summary>
        public int[] Captures { get; set; } = [];

        public bool[] Dying { get; set; } = [];

        public int[] Releases { get; set; } = [];

        public bool IsConstant { get; set; }

        public ModelValue[]? Folded { get; set; }

        /// <summary>Values that are not there when what follows, up to a Relu, is computed here: output 0 and, if something is added to it, the sum; none where nothing can be.</summary>
        public int[] Hidden { get; set; } = [];

        /// <summary>What is added; -1 for nothing.</summary>
        public int Added { get; set; } = -1;

        /// <summary>Whether it was computed here, in this pass.</summary>
        public bool IsFused { get; set; }

        /// <summary>For such a Relu or sum: the step that may have computed it.</summary>
        public Step? FusedFrom { get; set; }

        /// <summary>The input that comes from there.</summary>
        public int FusedInput { get; set; }
    }

    private sealed class Observation(Action stop) : IDisposable
    {
        private Action? _stop = stop;

        public void Dispose()
        {
            _stop?.Invoke();
            _stop = null;
        }
    }
}

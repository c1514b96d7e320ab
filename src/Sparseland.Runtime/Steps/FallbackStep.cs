using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Runs a node through the operator's own definition.</summary>
internal sealed class FallbackStep : Step
{
    private readonly Operator _operator;
    private readonly IReadOnlyDictionary<string, Slot> _captured;

    private FallbackStep(Node node, Slot?[] inputs, Slot?[] outputs, Operator op, IReadOnlyDictionary<string, Slot> captured, string reason) : base(node, inputs, outputs)
    {
        _operator = op;
        _captured = captured;
        Reason = reason;
    }

    public override string Kernel => "definition";

    public override string Reason { get; }

    /// <summary>Slots that the bodies of If, Loop and Scan read from outside.</summary>
    public IEnumerable<Slot> Captured => _captured.Values;

    public static Step Create(Node node, StepContext context, string reason = "")
    {
        Operator op = OperatorRegistry.Find(node.OpType, node.Domain) ?? throw new UnsupportedOperatorException(node.Name, node.Domain, node.OpType);
        Slot?[] inputs = context.Inputs(node);
        var captured = new Dictionary<string, Slot>(StringComparer.Ordinal);
        foreach (ModelGraph body in GraphOrder.Bodies(node))
        {
            foreach (string name in GraphOrder.Captures(body)) captured[name] = context.Find(name);
        }
        Slot?[] outputs = [.. node.Outputs.Select(o => o.Length == 0 ? null : context.NewTensor(o))];
        return new FallbackStep(node, inputs, outputs, op, captured, reason);
    }

    public override void Run(RunState state)
    {
        TensorData?[] inputs = [.. Inputs.Select(i => i is null ? null : state.Tensor(i))];
        TensorData?[] results = GraphEvaluator.Evaluate(_operator, new EvaluationContext(Node, inputs)
        {
            Outer = name => _captured.TryGetValue(name, out Slot? slot) ? state.Tensor(slot) : null,
        });
        for (int i = 0; i < Outputs.Count; i++)
        {
            if (Outputs[i] is not { } slot) continue;
            state.Set(slot, (i < results.Length ? results[i] : null)
                ?? throw new GraphException("SL2003", $"{Node.OpType} node '{Node.Name}' did not compute output {i}"));
        }
    }
}

using System.Numerics.Tensors;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Runs a fused layer through the plain operator's definition, then adds the residual and clamps: for shapes that are known only at run time.</summary>
internal sealed class FusedFallbackStep : Step
{
    private readonly Operator _operator;
    private readonly Node _plain;
    private readonly Node? _transpose;
    private readonly float _low;
    private readonly float _high;

    private FusedFallbackStep(Node node, Slot?[] inputs, Slot output) : base(node, inputs, [output])
    {
        _low = node.Attributes.Float("low", float.NegativeInfinity);
        _high = node.Attributes.Float("high", float.PositiveInfinity);
        Node[] plain = FusedShapeInference.ToPlain(node);
        _plain = plain[^1];
        _transpose = plain.Length > 1 ? plain[0] : null;
        _operator = OperatorRegistry.Find(_plain.OpType)!;
    }

    public override string Kernel => "definition";

    public override string Reason => "shapes known only at run time";

    public static Step Create(Node node, StepContext context) =>
        new FusedFallbackStep(node, context.Inputs(node), context.NewTensor(node.Outputs[0]));

    public override void Run(RunState state)
    {
        TensorData?[] inputs = [.. Inputs.Take(_plain.Inputs.Count).Select(i => i is null ? null : state.Tensor(i))];
        if (_transpose is not null)
            inputs[1] = GraphEvaluator.Evaluate(OperatorRegistry.Find("Transpose")!, new EvaluationContext(_transpose, [inputs[1]]))[0];
        bool separateBias = _plain.OpType == "MatMul" && Inputs[2] is not null;
        TensorData result = GraphEvaluator.Evaluate(_operator, new EvaluationContext(_plain, inputs))[0]!.Clone();
        Span<float> values = result.Span<float>();
        if (separateBias)
        {
            ReadOnlySpan<float> bias = state.Read(Inputs[2]!);
            for (int i = 0; i < values.Length; i += bias.Length) TensorPrimitives.Add(values.Slice(i, bias.Length), bias, values.Slice(i, bias.Length));
        }
        if (Inputs[3] is { } residual) TensorPrimitives.Add(values, state.Read(residual), values);
        if (!float.IsNegativeInfinity(_low)) TensorPrimitives.Max(values, _low, values);
        if (!float.IsPositiveInfinity(_high)) TensorPrimitives.Min(values, _high, values);
        state.Set(Outputs[0]!, result);
    }
}

using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>SwiGLU: swish(gate, alpha) * value. Shazeer, "GLU Variants Improve Transformer", eq. 5.</summary>
internal sealed class SwiGlu() : Operator("SwiGLU", minInputs: 2)
{
    public override void Infer(InferenceContext context) =>
        context.SetOutput(0, context.Element(0), context.Broadcast(context.Shape(0), context.Shape(1)));

    public override void Couple(AxisCoupling coupling) => coupling.Broadcast(ZeroRule.Any);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        float alpha = context.Node.Attributes.Float("alpha", 1);
        TensorData gate = Map.Run(context.Input(0), v => v * SpecialFunctions.Sigmoid(alpha * v));
        return [Binary.Apply<MulFunction>(gate, context.Input(1))];
    }
}

using System.Numerics.Tensors;
using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Element-wise functions of one and two single-precision values.</summary>
internal static class ElementwiseSteps
{
    private delegate void Map(ReadOnlySpan<float> x, Span<float> y);

    /// <summary>The step for a function of one value, or null.</summary>
    public static Step? TryUnary(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is null || context.FloatShape(node.Outputs[0]) is not { } shape) return null;
        if (Function(node, context) is not { } map) return null;
        Slot x = context.Find(node.Inputs[0]);
        Slot?[] inputs = context.Inputs(node);
        Slot y = context.NewArena(node.Outputs[0], shape);
        return new KernelStep(node, inputs, [y], "element-wise", state => map(state.Read(x), state.Write(y)));
    }

    /// <summary>The step for a function of two values that stretch to each other, or null.</summary>
    public static Step? TryBinary(Node node, StepContext context)
    {
        if (node.Inputs.Count != 2) return null;
        if (context.FloatShape(node.Inputs[0]) is not { } a || context.FloatShape(node.Inputs[1]) is not { } b || context.FloatShape(node.Outputs[0]) is not { } shape) return null;
        BinaryOperator operation = node.OpType switch
        {
            "Add" => BinaryOperator.Add,
            "Sub" => BinaryOperator.Subtract,
            "Mul" => BinaryOperator.Multiply,
            "Div" => BinaryOperator.Divide,
            "Max" => BinaryOperator.Max,
            "Min" => BinaryOperator.Min,
            _ => BinaryOperator.Power,
        };
        Slot left = context.Find(node.Inputs[0]), right = context.Find(node.Inputs[1]);
        Slot y = context.NewArena(node.Outputs[0], shape);
        return new KernelStep(node, [left, right], [y], "element-wise", state => Broadcast.Apply(operation, state.Read(left), a, state.Read(right), b, state.Write(y), shape));
    }

    private static Map? Function(Node node, StepContext context)
    {
        NodeAttributes a = node.Attributes;
        switch (node.OpType)
        {
            case "Relu": return Activations.Relu;
            case "Sigmoid": return Activations.Sigmoid;
            case "Tanh": return Activations.Tanh;
            case "Erf": return Activations.Erf;
            case "HardSwish": return Activations.HardSwish;
            case "Softplus": return Activations.Softplus;
            case "Gelu": return a.String("approximate", "none") == "tanh" ? Activations.GeluTanh : Activations.Gelu;
            case "LeakyRelu":
                float slope = a.Float("alpha", 0.01f);
                return (x, y) => Activations.LeakyRelu(x, y, slope);
            case "Elu":
                float alpha = a.Float("alpha", 1f);
                return (x, y) => Activations.Elu(x, y, alpha);
            case "HardSigmoid":
                float factor = a.Float("alpha", 0.2f), shift = a.Float("beta", 0.5f);
                return (x, y) => Activations.HardSigmoid(x, y, factor, shift);
            case "Exp": return TensorPrimitives.Exp;
            case "Log": return TensorPrimitives.Log;
            case "Sqrt": return TensorPrimitives.Sqrt;
            case "Reciprocal": return TensorPrimitives.Reciprocal;
            case "Neg": return TensorPrimitives.Negate;
            case "Abs": return TensorPrimitives.Abs;
            case "Sin": return TensorPrimitives.Sin;
            case "Cos": return TensorPrimitives.Cos;
            case "Clip":
                if (!Bound(node.Input(1), float.NegativeInfinity, out float low) || !Bound(node.Input(2), float.PositiveInfinity, out float high)) return null;
                var clamp = new Clamp(low, high);
                return (x, y) => Activations.Clamp(x, y, clamp);
            default: return null;
        }

        bool Bound(string name, float absent, out float value)
        {
            value = absent;
            if (name.Length == 0) return true;
            if (context.Constant(name) is not { ElementType: ElementType.Float32, Length: 1 } constant) return false;
            value = constant.Span<float>()[0];
            return true;
        }
    }
}

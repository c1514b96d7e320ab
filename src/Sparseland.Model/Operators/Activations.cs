using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Model.Operators.Support;

namespace Sparseland.Model.Operators;

/// <summary>An activation whose form is set by attributes: the factory reads them and returns the function.</summary>
internal sealed class Activation(string opType, Func<NodeAttributes, Func<double, double>> make, string domain = "") : Operator(opType, domain)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: make(coupling.Node.Attributes)(0) == 0);

    public override TensorData?[] Evaluate(EvaluationContext context) => [Map.Run(context.Input(0), make(context.Node.Attributes))];

    /// <summary>The activations with attributes.</summary>
    public static IEnumerable<Operator> All() =>
    [
        new Activation("LeakyRelu", a =>
        {
            float alpha = a.Float("alpha", 0.01f);
            return v => v < 0 ? alpha * v : v;
        }),
        new Activation("Elu", a =>
        {
            float alpha = a.Float("alpha", 1);
            return v => v < 0 ? alpha * (Math.Exp(v) - 1) : v;
        }),
        new Activation("Selu", a =>
        {
            float alpha = a.Float("alpha", 1.67326319217681884765625f), gamma = a.Float("gamma", 1.05070102214813232421875f);
            return v => gamma * (v <= 0 ? alpha * (Math.Exp(v) - 1) : v);
        }),
        new Activation("Celu", a =>
        {
            float alpha = a.Float("alpha", 1);
            return v => Math.Max(0, v) + Math.Min(0, alpha * (Math.Exp(v / alpha) - 1));
        }),
        new Activation("HardSigmoid", a =>
        {
            float alpha = a.Float("alpha", 0.2f), beta = a.Float("beta", 0.5f);
            return v => Math.Clamp((alpha * v) + beta, 0, 1);
        }),
        new Activation("ThresholdedRelu", a =>
        {
            float alpha = a.Float("alpha", 1);
            return v => v > alpha ? v : 0;
        }),
        new Activation("Swish", a =>
        {
            float alpha = a.Float("alpha", 1);
            return v => v * SpecialFunctions.Sigmoid(alpha * v);
        }),
        new Activation("Gelu", a => Gelu.Function(a.String("approximate", "none") == "tanh")),
        new Activation("Gelu", _ => Gelu.Function(tanh: false), "com.microsoft"),
        new Activation("QuickGelu", a =>
        {
            float alpha = a.Float("alpha", 1.702f);
            return v => v * SpecialFunctions.Sigmoid(alpha * v);
        }, "com.microsoft"),
        new Shrink(),
        new PRelu(),
        new BiasGelu("BiasGelu", tanh: false),
        new BiasGelu("FastGelu", tanh: true),
        new SwiGlu(),
    ];
}

/// <summary>x * Phi(x). Hendrycks and Gimpel, "Gaussian Error Linear Units", section 2.</summary>
internal static class Gelu
{
    public static Func<double, double> Function(bool tanh) => tanh
        ? v => 0.5 * v * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (v + (0.044715 * v * v * v))))
        : v => v * SpecialFunctions.NormalCdf(v);
}

/// <summary>Shrink: x moved towards zero by bias, and zero within the threshold lambd.</summary>
internal sealed class Shrink() : Operator("Shrink")
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) => coupling.Pointwise(keepsZero: true);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        float lambda = context.Node.Attributes.Float("lambd", 0.5f), bias = context.Node.Attributes.Float("bias", 0);
        TensorData x = context.Input(0);
        TensorData y = Map.Run(x.ElementType.IsFloat() ? x : x.To(ElementType.Float64), v => v < -lambda ? v + bias : v > lambda ? v - bias : 0);
        return [y.To(x.ElementType)];
    }
}

/// <summary>PRelu: slope given as a tensor that broadcasts to the input.</summary>
internal sealed class PRelu() : Operator("PRelu", minInputs: 2)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) => coupling.Broadcast(ZeroRule.First);

    public override TensorData?[] Evaluate(EvaluationContext context) =>
        [Map2.Run<double>(context.Input(0).To(ElementType.Float64), context.Input(1).To(ElementType.Float64), (v, slope) => v < 0 ? slope * v : v).To(context.Input(0).ElementType)];
}

/// <summary>com.microsoft BiasGelu and FastGelu: gelu(x + bias), the bias optional for FastGelu.</summary>
internal sealed class BiasGelu(string opType, bool tanh) : Operator(opType, "com.microsoft", minInputs: 1, maxInputs: 2)
{
    public override void Infer(InferenceContext context) => context.Copy();

    public override void Couple(AxisCoupling coupling) => coupling.Broadcast(ZeroRule.All);

    public override TensorData?[] Evaluate(EvaluationContext context)
    {
        TensorData x = context.Input(0);
        if (context.Has(1)) x = Binary.Apply<AddFunction>(x, context.Input(1));
        return [Map.Run(x, Gelu.Function(tanh))];
    }
}

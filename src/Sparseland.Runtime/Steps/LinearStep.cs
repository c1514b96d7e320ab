using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Gemm or MatMul with a constant weight: y [rows, out] = clamp(x [rows, in] w + bias + residual).</summary>
internal sealed class LinearStep : Step
{
    private readonly KernelChoice<LinearKernel> _choice;
    private readonly int _rows;
    private readonly Clamp _clamp;

    private LinearStep(Node node, Slot?[] inputs, Slot output, KernelChoice<LinearKernel> choice, int rows, Clamp clamp) : base(node, inputs, [output])
    {
        _choice = choice;
        _rows = rows;
        _clamp = clamp;
    }

    public override string Kernel => _choice.Kernel.NameFor(_rows);

    public override string Reason => _choice.Reason;

    public override double Density => _choice.Density;

    public override object? Weight => _choice.Kernel;

    public override long WeightBytes => _choice.Kernel.Bytes;

    public override long DenseWeightBytes => (long)_choice.Kernel.Inputs * _choice.Kernel.Outputs * sizeof(float);

    public override bool SkipsZeros => _choice.Kind != KernelKind.Dense;

    public override long MultiplyAdds => (long)_rows * _choice.Kernel.Inputs * _choice.Kernel.Outputs;

    /// <summary>Why a Gemm has no step of this kind; empty when there is nothing to say.</summary>
    public static string WhyNot(Node node, StepContext context) =>
        context.Weight(node.Input(1)) is not null && IsScaled(node) ? "a Gemm with transA, alpha or beta is computed by definition, zeros and all" : "";

    /// <summary>The step, or null when the node is no linear layer with a constant weight and known shapes.</summary>
    public static Step? TryCreate(Node node, StepContext context, bool fused)
    {
        if (context.Weight(node.Input(1)) is not { ElementType: ElementType.Float32 } weight || weight.Shape.Length != 2) return null;
        if (context.FloatShape(node.Inputs[0]) is not { Length: >= 1 } x || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        bool transposed = false;
        if (node.OpType == "Gemm")
        {
            if (IsScaled(node)) return null;
            transposed = node.Attributes.Int("transB", 0) != 0;
        }
        else if (node.Domain == FusionPass.Domain)
        {
            transposed = node.Attributes.Int(TransposedWeightPass.Attribute, 0) != 0;
        }
        int inputs = transposed ? weight.Shape[1] : weight.Shape[0], outputs = transposed ? weight.Shape[0] : weight.Shape[1];
        if (x[^1] != inputs || inputs == 0 || outputs == 0) return null;
        if (node.HasInput(2) && (context.FloatShape(node.Input(2)) is not { Length: 1 } bias || bias[0] != outputs)) return null;

        int rows = TensorData.CountElements(x) / inputs;
        KernelChoice<LinearKernel> choice = LinearKernel.Choose(weight, transposed, rows, context, node.Input(0));
        Clamp clamp = fused ? new Clamp(node.Attributes.Float("low", float.NegativeInfinity), node.Attributes.Float("high", float.PositiveInfinity)) : Clamp.None;
        // The kernel has the weight; as a constant it would be there twice.
        Slot?[] slots = [.. node.Inputs.Select((n, i) => i == 1 || n.Length == 0 ? null : context.Find(n))];
        return new LinearStep(node, slots, context.NewArena(node.Outputs[0], y), choice, rows, clamp);
    }

    public override void Run(RunState state)
    {
        Span<float> y = state.Write(Outputs[0]!);
        ReadOnlySpan<float> bias = Inputs.Count > 2 && Inputs[2] is { } b ? state.Read(b) : default;
        ReadOnlySpan<float> residual = Inputs.Count > 3 && Inputs[3] is { } r ? state.Read(r) : default;
        _choice.Kernel.Multiply(state.Read(Inputs[0]!), _rows, y, bias, residual, _clamp);
    }

    private static bool IsScaled(Node node) => node.Attributes.Int("transA", 0) != 0 || node.Attributes.Float("alpha", 1) != 1 || node.Attributes.Float("beta", 1) != 1;
}

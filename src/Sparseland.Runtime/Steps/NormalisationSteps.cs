using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Normalisations and softmax.</summary>
internal static class NormalisationSteps
{
    /// <summary>The step for LayerNormalization or RMSNormalization with one output, or null.</summary>
    public static Step? TryLayer(Node node, StepContext context)
    {
        if (node.Output(1).Length > 0 || node.Output(2).Length > 0) return null;
        if (context.FloatShape(node.Inputs[0]) is not { Length: > 0 } x || context.FloatShape(node.Inputs[1]) is not { } scaleShape) return null;
        int axis = (int)node.Attributes.Int("axis", -1);
        if (axis < 0) axis += x.Length;
        int width = TensorData.CountElements(x.AsSpan(axis)), rows = TensorData.CountElements(x.AsSpan(0, axis));
        if (width == 0 || TensorData.CountElements(scaleShape) != width) return null;
        bool hasBias = node.HasInput(2);
        if (hasBias && (context.FloatShape(node.Input(2)) is not { } biasShape || TensorData.CountElements(biasShape) != width)) return null;
        float epsilon = node.Attributes.Float("epsilon", 1e-5f);
        bool rms = node.OpType == "RMSNormalization";
        Slot input = context.Find(node.Inputs[0]), scale = context.Find(node.Inputs[1]);
        Slot? bias = hasBias ? context.Find(node.Input(2)) : null;
        Slot output = context.NewArena(node.Outputs[0], x);
        return new KernelStep(node, [input, scale, bias], [output], "normalisation", state =>
        {
            if (rms) LayerNorm.RmsForward(state.Read(input), state.Read(scale), epsilon, state.Write(output), rows, width);
            else LayerNorm.Forward(state.Read(input), state.Read(scale), bias is null ? default : state.Read(bias), epsilon, state.Write(output), rows, width);
        });
    }

    /// <summary>The step for BatchNormalization outside training that no layer took in, or null.</summary>
    public static Step? TryBatch(Node node, StepContext context)
    {
        if (node.Attributes.Int("training_mode", 0) != 0 || node.Output(1).Length > 0) return null;
        if (context.FloatShape(node.Inputs[0]) is not { Length: >= 2 } x) return null;
        for (int i = 1; i < 5; i++)
        {
            if (context.FloatShape(node.Input(i)) is not { Length: 1 } parameter || parameter[0] != x[1]) return null;
        }
        float epsilon = node.Attributes.Float("epsilon", 1e-5f);
        int spatial = TensorData.CountElements(x.AsSpan(2));
        Slot[] inputs = [.. node.Inputs.Take(5).Select(context.Find)];
        Slot output = context.NewArena(node.Outputs[0], x);
        return new KernelStep(node, inputs, [output], "normalisation", state =>
            BatchNorm.Infer(state.Read(inputs[0]), state.Read(inputs[1]), state.Read(inputs[2]), state.Read(inputs[3]), state.Read(inputs[4]), epsilon, state.Write(output), x[0], x[1], spatial));
    }

    /// <summary>The step for Softmax or LogSoftmax, or null.</summary>
    public static Step? TrySoftmax(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { Length: > 0 } x) return null;
        int axis = (int)node.Attributes.Int("axis", -1);
        if (axis < 0) axis += x.Length;
        int outer = TensorData.CountElements(x.AsSpan(0, axis)), inner = TensorData.CountElements(x.AsSpan(axis + 1)), size = x[axis];
        bool log = node.OpType == "LogSoftmax";
        Slot input = context.Find(node.Inputs[0]), output = context.NewArena(node.Outputs[0], x);
        return new KernelStep(node, [input], [output], "softmax", state =>
        {
            if (log) Softmax.LogForward(state.Read(input), state.Write(output), outer, size, inner);
            else Softmax.Forward(state.Read(input), state.Write(output), outer, size, inner);
        });
    }
}

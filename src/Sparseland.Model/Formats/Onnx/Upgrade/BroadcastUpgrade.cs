using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Upgrade;

/// <summary>Opset 6: broadcasting was asked for by attributes, one way, from a given axis.</summary>
internal static class BroadcastUpgrade
{
    /// <summary>Add, Sub, Mul, Div, Pow and comparisons: the second operand gets trailing dimensions so that its axis lines up.</summary>
    internal static void Elementwise(Node node, UpgradeContext context)
    {
        bool broadcast = node.Attributes.Int("broadcast", 0) != 0;
        bool aligned = !node.Attributes.Has("axis");
        long axis = node.Attributes.Int("axis", 0);
        node.Attributes.Remove("broadcast");
        node.Attributes.Remove("axis");
        if (!broadcast || aligned) return;
        int left = Rank(node.Input(0)), right = Rank(node.Input(1));
        if (axis < 0) axis += left;
        long trailing = left - axis - right;
        if (trailing < 0) throw context.Error($"the axis {axis} does not line up shapes of {right} and {left} dimensions");
        if (trailing == 0) return;
        string shaped = context.Value(node, "aligned");
        string axes = context.Constant(node, "axes", TensorData.Vector(Enumerable.Range(right, (int)trailing).Select(i => (long)i).ToArray()));
        context.Before(node, "Unsqueeze", [node.Inputs[1], axes], shaped);
        node.Inputs[1] = shaped;

        int Rank(string value) => context.TypeOf(value)?.Shape?.Rank
            ?? throw context.Error($"{node.OpType} of opset {context.Version} broadcasts along an axis, and the number of dimensions of '{value}' is not declared");
    }

    /// <summary>Gemm: the third operand was broadcast only when asked; where it was not, the shapes are equal.</summary>
    internal static void Gemm(Node node, UpgradeContext context) => node.Attributes.Remove("broadcast");

    /// <summary>PRelu: a slope per channel was lined up with axis 1 by itself.</summary>
    internal static void ChannelSlope(Node node, UpgradeContext context)
    {
        if (context.TypeOf(node.Input(1))?.Shape is not { Rank: 1 } slope || slope[0].Value == 1) return;
        int rank = context.TypeOf(node.Input(0))?.Shape?.Rank
            ?? throw context.Error($"PRelu of opset {context.Version} lines up its slope with the channels, and the number of dimensions of its input is not declared");
        if (rank <= 2) return;
        string shaped = context.Value(node, "slope");
        string axes = context.Constant(node, "axes", TensorData.Vector(Enumerable.Range(1, rank - 2).Select(i => (long)i).ToArray()));
        context.Before(node, "Unsqueeze", [node.Inputs[1], axes], shaped);
        node.Inputs[1] = shaped;
    }
}

using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Upgrade;

/// <summary>Attributes that became inputs.</summary>
internal static class AttributeUpgrade
{
    /// <summary>Squeeze, Unsqueeze, Reduce*: axes. No axes at all, or none listed, keeps meaning "all" for reductions.</summary>
    internal static void Axes(Node node, UpgradeContext context)
    {
        long[]? axes = node.Attributes.Ints("axes");
        node.Attributes.Remove("axes");
        if (node.Inputs.Count > 1) throw context.Error($"{node.OpType} of opset {context.Version} has one input");
        if (axes is { Length: > 0 }) SetInput(node, 1, context.Constant(node, "axes", TensorData.Vector(axes)));
        else if (node.OpType == "Unsqueeze") throw context.Error("Unsqueeze needs the attribute 'axes'");
    }

    /// <summary>Split before 13: sizes as an attribute.</summary>
    internal static void SplitSizes(Node node, UpgradeContext context)
    {
        long[]? sizes = node.Attributes.Ints("split");
        node.Attributes.Remove("split");
        if (sizes is { Length: > 0 }) SetInput(node, 1, context.Constant(node, "split", TensorData.Vector(sizes)));
    }

    /// <summary>Split before 18: equal parts, as many as there are outputs, without saying so.</summary>
    internal static void SplitCount(Node node, UpgradeContext context)
    {
        if (!node.HasInput(1)) node.Attributes.Set("num_outputs", (long)node.Outputs.Count);
    }

    /// <summary>Slice before 10.</summary>
    internal static void Slice(Node node, UpgradeContext context)
    {
        foreach ((int index, string name) in ((int, string)[])[(1, "starts"), (2, "ends"), (3, "axes")])
        {
            if (node.Attributes.Ints(name) is { } values) SetInput(node, index, context.Constant(node, name, TensorData.Vector(values)));
            else if (index < 3) throw context.Error($"Slice of opset {context.Version} needs the attribute '{name}'");
            node.Attributes.Remove(name);
        }
    }

    /// <summary>Pad before 11.</summary>
    internal static void Pad(Node node, UpgradeContext context)
    {
        long[] pads = node.Attributes.Ints("pads") ?? node.Attributes.Ints("paddings") ?? throw context.Error("Pad needs the attribute 'pads'");
        float value = node.Attributes.Float("value", 0);
        node.Attributes.Remove("pads");
        node.Attributes.Remove("paddings");
        node.Attributes.Remove("value");
        SetInput(node, 1, context.Constant(node, "pads", TensorData.Vector(pads)));
        if (value != 0) SetInput(node, 2, context.Constant(node, "value", Scalar(value, context.TypeOf(node.Input(0)))));
    }

    /// <summary>Clip before 11; a bound that is not set is the end of the type's range, as an absent input is.</summary>
    internal static void Clip(Node node, UpgradeContext context)
    {
        TensorType? type = context.TypeOf(node.Input(0)) ?? context.TypeOf(node.Output(0));
        foreach ((int index, string name) in ((int, string)[])[(1, "min"), (2, "max")])
        {
            if (!node.Attributes.Has(name)) continue;
            float bound = node.Attributes.Float(name, 0);
            node.Attributes.Remove(name);
            if (Math.Abs(bound) < float.MaxValue) SetInput(node, index, context.Constant(node, name, Scalar(bound, type)));
        }
    }

    /// <summary>TopK before 10.</summary>
    internal static void TopK(Node node, UpgradeContext context)
    {
        long k = node.Attributes.Int("k", -1);
        if (k < 0) throw context.Error("TopK needs the attribute 'k'");
        node.Attributes.Remove("k");
        SetInput(node, 1, context.Constant(node, "k", TensorData.Vector(k)));
    }

    /// <summary>DFT before 20: the axis was an attribute, 1 by default (-2 since).</summary>
    internal static void DftAxis(Node node, UpgradeContext context)
    {
        long axis = node.Attributes.Int("axis", 1);
        node.Attributes.Remove("axis");
        SetInput(node, 2, context.Constant(node, "axis", TensorData.Scalar(axis)));
    }

    internal static void SetInput(Node node, int index, string name)
    {
        while (node.Inputs.Count <= index) node.Inputs.Add("");
        node.Inputs[index] = name;
    }

    /// <summary>A scalar of the element type of the tensor that it is used with (single when that is not known).</summary>
    private static TensorData Scalar(float value, TensorType? type) => type?.ElementType switch
    {
        ElementType.Float64 => TensorData.Scalar((double)value),
        ElementType.Float16 => TensorData.Scalar((Half)value),
        ElementType.BFloat16 => TensorData.Scalar((BFloat16)value),
        _ => TensorData.Scalar(value),
    };
}

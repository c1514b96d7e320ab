using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Upgrade;

/// <summary>Upsample, Resize and sampling on grids.</summary>
internal static class ResamplingUpgrade
{
    /// <summary>Upsample became Resize with asymmetric coordinates.</summary>
    internal static void Upsample(Node node, UpgradeContext context)
    {
        if (node.Attributes.Floats("scales") is { } scales)
        {
            node.Attributes.Remove("scales");
            AttributeUpgrade.SetInput(node, 1, context.Constant(node, "scales", TensorData.Vector(scales)));
        }
        if (!node.HasInput(1)) throw context.Error($"Upsample of opset {context.Version} without scales is not read");
        node.OpType = "Resize";
        Resize10(node, context);
    }

    /// <summary>Resize of opset 10: scales as the second input; nearest rounds down when enlarging and up when reducing.</summary>
    internal static void Resize10(Node node, UpgradeContext context)
    {
        string input = node.Input(0), scales = node.Input(1);
        bool reduces = context.ConstantOf(scales) is { ElementType: ElementType.Float32 } constant && constant.Array<float>().Any(s => s < 1);
        node.Inputs.Clear();
        node.Inputs.AddRange([input, "", scales]);
        node.Attributes.Set("coordinate_transformation_mode", "asymmetric");
        if (node.Attributes.String("mode", "nearest") == "nearest") node.Attributes.Set("nearest_mode", reduces ? "ceil" : "floor");
    }

    /// <summary>Resize of opsets 11 and 12: inputs that were required are optional since; empty ones go.</summary>
    internal static void Resize11(Node node, UpgradeContext context)
    {
        if (node.Attributes.String("coordinate_transformation_mode", "") == "tf_half_pixel_for_nn")
            throw context.Error("Resize with the coordinates 'tf_half_pixel_for_nn' has no counterpart in newer opsets");
        for (int i = 1; i < Math.Min(3, node.Inputs.Count); i++)
        {
            if (node.HasInput(i) && context.ConstantOf(node.Inputs[i])?.Length == 0) node.Inputs[i] = "";
        }
    }

    /// <summary>Before 20 the modes had other names.</summary>
    internal static void GridSample(Node node, UpgradeContext context)
    {
        string mode = node.Attributes.String("mode", "bilinear");
        node.Attributes.Set("mode", mode switch { "bilinear" => "linear", "bicubic" => "cubic", _ => mode });
    }

    /// <summary>Before 16 coordinates were not shifted by half a pixel, which became the default.</summary>
    internal static void RoiAlign(Node node, UpgradeContext context)
    {
        if (!node.Attributes.Has("coordinate_transformation_mode")) node.Attributes.Set("coordinate_transformation_mode", "output_half_pixel");
    }
}

using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Upgrade;

/// <summary>Normalisation, dropout and softmax.</summary>
internal static class NormalizationUpgrade
{
    /// <summary>Opset 6: is_test, 0 unless set.</summary>
    internal static void BatchNormalizationTestFlag(Node node, UpgradeContext context)
    {
        if (node.Attributes.Int("is_test", 0) == 0) throw context.Error("BatchNormalization is in training mode (is_test = 0); only its inference form is read from opset 6");
        node.Attributes.Remove("is_test");
    }

    /// <summary>Before 9: spatial = 0 keeps statistics per position, which has no newer form.</summary>
    internal static void BatchNormalizationSpatial(Node node, UpgradeContext context)
    {
        if (node.Attributes.Int("spatial", 1) == 0) throw context.Error("BatchNormalization with spatial = 0 has no counterpart in newer opsets");
        node.Attributes.Remove("spatial");
    }

    /// <summary>Before 14: four more outputs meant training. Files exported with them are used for inference; outputs that nobody reads go.</summary>
    internal static void BatchNormalizationOutputs(Node node, UpgradeContext context)
    {
        for (int i = node.Outputs.Count - 1; i >= 1; i--)
        {
            if (context.IsRead(node.Outputs[i])) throw context.Error($"output {i} of BatchNormalization is used; its training form of opset {context.Version} has no counterpart in newer opsets");
            node.Outputs.RemoveAt(i);
        }
    }

    /// <summary>Opset 6: is_test, 0 unless set.</summary>
    internal static void DropoutTestFlag(Node node, UpgradeContext context)
    {
        if (node.Attributes.Int("is_test", 0) == 0) AttributeUpgrade.SetInput(node, 2, context.Constant(node, "training_mode", TensorData.Scalar(true)));
        node.Attributes.Remove("is_test");
    }

    /// <summary>Before 12: the ratio was an attribute; before 10 the mask had the type of the data.</summary>
    internal static void DropoutRatio(Node node, UpgradeContext context)
    {
        if (context.Version < 10 && node.Outputs.Count > 1)
        {
            if (context.IsRead(node.Outputs[1])) throw context.Error("the mask of Dropout is used; before opset 10 it had the type of the data");
            node.Outputs.RemoveAt(1);
        }
        if (!node.Attributes.Has("ratio")) return;
        AttributeUpgrade.SetInput(node, 1, context.Constant(node, "ratio", TensorData.Scalar(node.Attributes.Float("ratio", 0.5f))));
        node.Attributes.Remove("ratio");
    }

    /// <summary>Before 13: everything from the axis (1 by default) on was one long dimension.</summary>
    internal static void FlatteningSoftmax(Node node, UpgradeContext context)
    {
        long axis = node.Attributes.Int("axis", 1);
        int? rank = context.TypeOf(node.Input(0))?.Shape?.Rank ?? context.TypeOf(node.Output(0))?.Shape?.Rank;
        node.Attributes.Set("axis", -1L);
        if (axis == -1 || axis == rank - 1) return;

        string input = node.Inputs[0], output = node.Outputs[0];
        string shape = context.Value(node, "shape"), flat = context.Value(node, "flat"), result = context.Value(node, "normalised");
        context.Before(node, "Shape", [input], shape);
        context.Before(node, "Flatten", [input], flat, a => a.Set("axis", axis));
        node.Inputs[0] = flat;
        node.Outputs[0] = result;
        context.After(node, "Reshape", [result, shape], output);
    }

    /// <summary>Before 21: scale and bias per group. That is instance normalisation of the groups laid end to end.</summary>
    internal static void GroupNormalization(Node node, UpgradeContext context)
    {
        long groups = node.Attributes.Int("num_groups", 0);
        if (groups < 1) throw context.Error("GroupNormalization needs the attribute 'num_groups'");
        string input = node.Inputs[0], output = node.Outputs[0];
        string shape = context.Value(node, "shape"), grouped = context.Value(node, "grouped"), result = context.Value(node, "normalised");
        context.Before(node, "Shape", [input], shape);
        context.Before(node, "Reshape", [input, context.Constant(node, "groups", TensorData.Vector(0L, groups, -1L))], grouped);
        node.OpType = "InstanceNormalization";
        node.Attributes.Remove("num_groups");
        node.Attributes.Remove("stash_type");
        node.Inputs[0] = grouped;
        node.Outputs[0] = result;
        context.After(node, "Reshape", [result, shape], output);
    }
}

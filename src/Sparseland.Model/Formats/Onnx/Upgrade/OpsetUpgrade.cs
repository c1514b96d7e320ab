using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Upgrade;

/// <summary>Rewrites one node from an older form to the next one that differs.</summary>
internal delegate void UpgradeStep(Node node, UpgradeContext context);

/// <summary>Brings operators of older opsets up to the meaning they have in opset 23.</summary>
/// <remarks>
/// A table: operator, the opset in which its form changed, and what to do with nodes older than that. Changes that only
/// added element types, optional inputs or attributes whose defaults keep the old meaning need no entry.
/// </remarks>
internal static class OpsetUpgrade
{
    private static readonly Dictionary<string, (int Before, UpgradeStep Step)[]> s_steps = new(StringComparer.Ordinal)
    {
        ["Add"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Sub"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Mul"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Div"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Pow"] = [(7, BroadcastUpgrade.Elementwise)],
        ["And"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Or"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Xor"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Equal"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Greater"] = [(7, BroadcastUpgrade.Elementwise)],
        ["Less"] = [(7, BroadcastUpgrade.Elementwise)],
        ["PRelu"] = [(7, BroadcastUpgrade.ChannelSlope)],
        ["Gemm"] = [(7, BroadcastUpgrade.Gemm)],

        ["BatchNormalization"] = [(7, NormalizationUpgrade.BatchNormalizationTestFlag), (9, NormalizationUpgrade.BatchNormalizationSpatial), (14, NormalizationUpgrade.BatchNormalizationOutputs)],
        ["Dropout"] = [(7, NormalizationUpgrade.DropoutTestFlag), (12, NormalizationUpgrade.DropoutRatio)],
        ["Softmax"] = [(13, NormalizationUpgrade.FlatteningSoftmax)],
        ["LogSoftmax"] = [(13, NormalizationUpgrade.FlatteningSoftmax)],
        ["Hardmax"] = [(13, NormalizationUpgrade.FlatteningSoftmax)],
        ["GroupNormalization"] = [(21, NormalizationUpgrade.GroupNormalization)],

        ["Squeeze"] = [(13, AttributeUpgrade.Axes)],
        ["Unsqueeze"] = [(13, AttributeUpgrade.Axes)],
        ["ReduceSum"] = [(13, AttributeUpgrade.Axes)],
        ["ReduceL1"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceL2"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceLogSum"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceLogSumExp"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceMax"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceMean"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceMin"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceProd"] = [(18, AttributeUpgrade.Axes)],
        ["ReduceSumSquare"] = [(18, AttributeUpgrade.Axes)],
        ["Split"] = [(13, AttributeUpgrade.SplitSizes), (18, AttributeUpgrade.SplitCount)],
        ["Slice"] = [(10, AttributeUpgrade.Slice)],
        ["Pad"] = [(11, AttributeUpgrade.Pad)],
        ["Clip"] = [(11, AttributeUpgrade.Clip)],
        ["TopK"] = [(10, AttributeUpgrade.TopK)],
        ["DFT"] = [(20, AttributeUpgrade.DftAxis)],

        ["Upsample"] = [(int.MaxValue, ResamplingUpgrade.Upsample)],
        ["Resize"] = [(11, ResamplingUpgrade.Resize10), (13, ResamplingUpgrade.Resize11)],
        ["GridSample"] = [(20, ResamplingUpgrade.GridSample)],
        ["RoiAlign"] = [(16, ResamplingUpgrade.RoiAlign)],

        ["Scatter"] = [(int.MaxValue, (node, _) => node.OpType = "ScatterElements")],
        ["Scan"] = [(9, (_, context) => throw context.Error("Scan of opset 8 runs over a batch; that form is not read"))],
    };

    /// <summary>Upgrades a node and puts it, with what it needs around it, into the graph.</summary>
    internal static void Apply(Node node, UpgradeContext context)
    {
        if (node.Domain.Length == 0 && s_steps.TryGetValue(node.OpType, out (int Before, UpgradeStep Step)[]? steps))
        {
            foreach ((int before, UpgradeStep step) in steps)
            {
                if (context.Version < before) step(node, context);
            }
        }
        context.Finish(node);
    }
}

using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx.Downgrade;

/// <summary>The smallest opset, from 17 on, in which a node can be written as it is.</summary>
internal static class OpsetNeeds
{
    /// <summary>The oldest opset that is written.</summary>
    internal const int Oldest = 17;

    /// <summary>Operators that came after opset 17.</summary>
    private static readonly Dictionary<string, int> s_since = new(StringComparer.Ordinal)
    {
        ["BitwiseAnd"] = 18, ["BitwiseNot"] = 18, ["BitwiseOr"] = 18, ["BitwiseXor"] = 18, ["CenterCropPad"] = 18, ["Col2Im"] = 18, ["Mish"] = 18,
        ["DeformConv"] = 19,
        ["AffineGrid"] = 20, ["Gelu"] = 20, ["ImageDecoder"] = 20, ["RegexFullMatch"] = 20, ["StringConcat"] = 20, ["StringSplit"] = 20,
        ["GroupNormalization"] = 21,
        ["Attention"] = 23, ["RMSNormalization"] = 23, ["RotaryEmbedding"] = 23,
        ["Swish"] = 24, ["TensorScatter"] = 24,
        ["BitCast"] = 26, ["CumProd"] = 26,
        ["CausalConvWithState"] = 27, ["LinearAttention"] = 27,
        ["SwiGLU"] = 28,
    };

    /// <summary>What one node needs.</summary>
    internal static int Of(Node node)
    {
        if (node.Domain.Length > 0) return Oldest;
        int since = s_since.GetValueOrDefault(node.OpType, Oldest);
        NodeAttributes a = node.Attributes;
        return Math.Max(since, node.OpType switch
        {
            "ReduceL1" or "ReduceL2" or "ReduceLogSum" or "ReduceLogSumExp" or "ReduceMax" or "ReduceMean" or "ReduceMin" or "ReduceProd" or "ReduceSumSquare"
                => node.HasInput(1) || a.Has("noop_with_empty_axes") ? 18 : Oldest,
            "Split" => a.Has("num_outputs") ? 18 : Oldest,
            "ScatterElements" or "ScatterND" => a.String("reduction", "none") is "max" or "min" ? 18 : Oldest,
            "Resize" => a.String("coordinate_transformation_mode", "") == "half_pixel_symmetric" ? 19
                : a.Has("axes") || a.Has("antialias") || a.Has("keep_aspect_ratio_policy") ? 18 : Oldest,
            "Pad" => a.String("mode", "constant") == "wrap" ? 19 : node.HasInput(3) ? 18 : Oldest,
            "AveragePool" => a.Has("dilations") ? 19 : Oldest,
            "Cast" or "CastLike" => a.Has("round_mode") ? 24 : a.Has("saturate") ? 19 : Oldest,
            "DFT" => 20,
            "GridSample" => a.String("mode", "linear") is "linear" or "cubic" && a.Has("mode") ? 20 : Oldest,
            "QuantizeLinear" or "DequantizeLinear" => a.Has("block_size") || a.Has("output_dtype") ? 21 : a.Has("saturate") ? 19 : Oldest,
            "Attention" => node.HasInput(6) ? 24 : 23,
            _ => Oldest,
        });
    }

    /// <summary>What a graph needs, bodies included.</summary>
    internal static int Of(ModelGraph graph)
    {
        int needed = Oldest;
        foreach (Node node in graph.Nodes)
        {
            needed = Math.Max(needed, Of(node));
            foreach (ModelGraph body in GraphOrder.Bodies(node)) needed = Math.Max(needed, Of(body));
        }
        return needed;
    }

    /// <summary>The file version that goes with an opset.</summary>
    internal static int IrVersion(int opset) => opset switch
    {
        <= 18 => 8,
        <= 20 => 9,
        <= 22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    };
}

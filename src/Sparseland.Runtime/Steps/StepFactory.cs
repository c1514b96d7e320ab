using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Passes;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Chooses the step for a node: a compiled one where types and shapes allow, else the operator's definition.</summary>
internal static class StepFactory
{
    /// <summary>The step for a node; its outputs have slots afterwards.</summary>
    public static Step Create(Node node, StepContext context)
    {
        if (node.Domain == FusionPass.Domain) return CreateFused(node, context);
        if (node.Domain.Length > 0) return FallbackStep.Create(node, context);
        Step? compiled = node.OpType switch
        {
            "Reshape" or "Flatten" or "Squeeze" or "Unsqueeze" or "Identity" => ViewStep.TryCreate(node, context),
            "Conv" => ConvolutionStep.TryCreate(node, context, fused: false),
            "Gemm" => LinearStep.TryCreate(node, context, fused: false),
            "MatMul" => LinearStep.TryCreate(node, context, fused: false) ?? ProductSteps.TryMatMul(node, context),
            "Add" or "Sub" or "Mul" or "Div" or "Max" or "Min" or "Pow" => ElementwiseSteps.TryBinary(node, context),
            "MaxPool" or "AveragePool" => PoolingSteps.TryWindow(node, context),
            "GlobalAveragePool" or "GlobalMaxPool" or "ReduceMean" or "ReduceSum" or "ReduceMax" or "ReduceMin" => PoolingSteps.TryReduce(node, context),
            "LayerNormalization" or "RMSNormalization" => NormalisationSteps.TryLayer(node, context),
            "BatchNormalization" => NormalisationSteps.TryBatch(node, context),
            "Softmax" or "LogSoftmax" => NormalisationSteps.TrySoftmax(node, context),
            "Transpose" => MovementSteps.TryTranspose(node, context),
            "Concat" => MovementSteps.TryConcat(node, context),
            "Split" => MovementSteps.TrySplit(node, context),
            "Slice" => MovementSteps.TrySlice(node, context),
            "Pad" => MovementSteps.TryPad(node, context),
            "Gather" => MovementSteps.TryGather(node, context),
            "Attention" => AttentionStep.TryCreate(node, context),
            "RotaryEmbedding" => RotaryStep.TryCreate(node, context),
            _ => ElementwiseSteps.TryUnary(node, context),
        };
        return compiled ?? FallbackStep.Create(node, context, node.OpType switch { "Conv" => ConvolutionStep.WhyNot(node, context), "Gemm" => LinearStep.WhyNot(node, context), _ => "" });
    }

    private static Step CreateFused(Node node, StepContext context)
    {
        Step? compiled = node.OpType switch
        {
            "Conv" => ConvolutionStep.TryCreate(node, context, fused: true),
            "MatMul" or "Gemm" => LinearStep.TryCreate(node, context, fused: true),
            "Attention" => AttentionStep.TryCreate(node, context) ?? throw new GraphException("SL2003", $"attention '{node.Name}' cannot keep a cache: its shapes are not known when the plan is made"),
            _ => null,
        };
        return compiled ?? FusedFallbackStep.Create(node, context);
    }
}

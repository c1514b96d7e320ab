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
            "MatMul" or "Gemm" => LinearStep.TryCreate(node, context, fused: false),
            _ => null,
        };
        return compiled ?? FallbackStep.Create(node, context);
    }

    private static Step CreateFused(Node node, StepContext context)
    {
        Step? compiled = node.OpType switch
        {
            "Conv" => ConvolutionStep.TryCreate(node, context, fused: true),
            "MatMul" or "Gemm" => LinearStep.TryCreate(node, context, fused: true),
            _ => null,
        };
        return compiled ?? FusedFallbackStep.Create(node, context);
    }
}

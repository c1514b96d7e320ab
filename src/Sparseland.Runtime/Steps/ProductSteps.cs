using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>Products of two values that are both computed.</summary>
internal static class ProductSteps
{
    /// <summary>The step for MatMul over matrices with equal leading axes, or a single right matrix; null otherwise.</summary>
    public static Step? TryMatMul(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { Length: >= 2 } a || context.FloatShape(node.Inputs[1]) is not { Length: >= 2 } b || context.FloatShape(node.Outputs[0]) is not { } y) return null;
        int batch = TensorData.CountElements(a.AsSpan(0, a.Length - 2)), right = TensorData.CountElements(b.AsSpan(0, b.Length - 2));
        if (right != 1 && !a.AsSpan(0, a.Length - 2).SequenceEqual(b.AsSpan(0, b.Length - 2))) return null;
        int m = a[^2], k = a[^1], n = b[^1];
        Slot left = context.Find(node.Inputs[0]), other = context.Find(node.Inputs[1]), output = context.NewArena(node.Outputs[0], y);
        return new KernelStep(node, [left, other], [output], "GEMM", state =>
        {
            if (right == 1 && k > 0 && n > 0) Gemm.Multiply(false, false, batch * m, n, k, 1, state.Read(left), k, state.Read(other), n, 0, state.Write(output), n);
            else Gemm.MultiplyBatched(batch, false, false, m, n, k, 1, state.Read(left), (long)m * k, state.Read(other), right == 1 ? 0 : (long)k * n, 0, state.Write(output), (long)m * n);
        }, (long)batch * m * n * k);
    }
}

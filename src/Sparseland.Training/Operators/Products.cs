using Sparseland.Kernels.Dense;
using Sparseland.Training.Autograd;
using Sparseland.Training.Execution;

namespace Sparseland.Training.Operators;

/// <summary>MatMul and Gemm.</summary>
internal static class Products
{
    /// <summary>alpha * op(a) [m, k] * op(b) [k, n] + bias [n].</summary>
    /// <param name="a">[m, k], or [k, m] when <paramref name="transA"/>.</param>
    /// <param name="b">[k, n], or [n, k] when <paramref name="transB"/>.</param>
    /// <param name="transA">Whether a is stored transposed.</param>
    /// <param name="transB">Whether b is stored transposed.</param>
    /// <param name="alpha">Factor of the product.</param>
    /// <param name="bias">[n], or null.</param>
    /// <param name="parameter">The parameter that b is, or null; when its mask is thin enough, sparse kernels compute all three products.</param>
    /// <param name="breakEven">The density at which they start to.</param>
    public static Tensor Multiply(Tensor a, Tensor b, bool transA, bool transB, float alpha = 1, Tensor? bias = null, Parameter? parameter = null, double breakEven = 0)
    {
        if (a.Rank != 2 || b.Rank != 2) throw new ArgumentException($"A matrix product needs two matrices; got {a} and {b}.");
        int m = transA ? a.Shape[1] : a.Shape[0], k = transA ? a.Shape[0] : a.Shape[1], n = transB ? b.Shape[0] : b.Shape[1];
        if ((transB ? b.Shape[1] : b.Shape[0]) != k) throw new ArgumentException($"Inner dimensions differ: {a}{(transA ? " transposed" : "")} and {b}{(transB ? " transposed" : "")}.");
        if (!transA && alpha == 1 && SparseParameter.Use(parameter, breakEven)) return SparseParameter.Linear(a, b, transB, bias, parameter!);
        int lda = Math.Max(a.Shape[1], 1), ldb = Math.Max(b.Shape[1], 1);
        Tensor y = Tensor.Uninitialized([m, n]);
        Gemm.Multiply(transA, transB, m, n, k, alpha, a.Values, lda, b.Values, ldb, 0, y.Values, Math.Max(n, 1),
            default, bias is null ? default : bias.Values, Clamp.None);
        return Tape.Record("Gemm", y, [a, b, bias], [a, b], flow =>
        {
            Tensor g = flow.Output();
            int ldg = Math.Max(n, 1);
            if (flow.Needs(0))
            {
                Tensor ga = Tensor.Uninitialized(a.Shape);
                if (!transA) Gemm.Multiply(false, !transB, m, k, n, alpha, g.Values, ldg, b.Values, ldb, 0, ga.Values, lda);
                else Gemm.Multiply(transB, true, k, m, n, alpha, b.Values, ldb, g.Values, ldg, 0, ga.Values, lda);
                flow.Give(0, ga);
            }
            if (flow.Needs(1))
            {
                long start = StepClock.Start();
                Tensor gb = Tensor.Uninitialized(b.Shape);
                if (!transB) Gemm.Multiply(!transA, false, k, n, m, alpha, a.Values, lda, g.Values, ldg, 0, gb.Values, ldb);
                else Gemm.Multiply(true, transA, n, k, m, alpha, g.Values, ldg, a.Values, lda, 0, gb.Values, ldb);
                flow.Give(1, gb);
                StepClock.Stop(StepClock.WeightGradient, "Gemm", start);
            }
            if (flow.Needs(2)) flow.Give(2, Broadcasting.SumTo(flow.Share([m, n]), bias!.Shape));
        });
    }

    /// <summary>NumPy's matmul: matrices in the last two axes, the others broadcast, vectors are promoted.</summary>
    public static Tensor MatMul(Tensor a, Tensor b, Parameter? parameter = null, double breakEven = 0)
    {
        if (a.Rank == 0 || b.Rank == 0) throw new ArgumentException($"A matrix product needs vectors or matrices; got {a} and {b}.");
        bool rowVector = a.Rank == 1, columnVector = b.Rank == 1;
        Tensor left = rowVector ? Views.Reshape(a, [1, a.Shape[0]]) : a, right = columnVector ? Views.Reshape(b, [b.Shape[0], 1]) : b;
        int m = left.Shape[^2], k = left.Shape[^1], n = right.Shape[^1];
        if (right.Shape[^2] != k) throw new ArgumentException($"Inner dimensions differ: {a} and {b}.");
        int[] batch;
        Tensor y;
        if (right.Rank == 2)
        {
            batch = left.Shape[..^2].ToArray();
            int rows = m;
            foreach (int d in batch) rows *= d;
            Tensor flat = Views.Reshape(left, [rows, k]);
            y = Multiply(flat, right, false, false, parameter: columnVector ? null : parameter, breakEven: breakEven);
            flat.Storage.Release();
        }
        else
        {
            batch = BroadcastPlan.Of(left.Shape[..^2], right.Shape[..^2]).Shape;
            y = Batched(left, right, batch, m, n, k);
        }
        int[] shape = (rowVector, columnVector) switch
        {
            (true, true) => batch,
            (true, false) => [.. batch, n],
            (false, true) => [.. batch, m],
            _ => [.. batch, m, n],
        };
        Tensor result = Views.Reshape(y, shape);
        y.Storage.Release();
        if (rowVector) left.Storage.Release();
        if (columnVector) right.Storage.Release();
        return result;
    }

    public static ModelValue[]? MatMulFromNode(OperatorContext c) => c.AreFloat32(0, 1)
        ? [MatMul(c.Tensor(0), c.Tensor(1), c.Parameter(1), c.Options.LinearBreakEven)]
        : null;

    public static ModelValue[]? GemmFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2)) return null;
        Tensor a = c.Tensor(0), b = c.Tensor(1);
        Tensor? add = c.TensorOrNull(2);
        bool transA = c.Attributes.Int("transA", 0) != 0, transB = c.Attributes.Int("transB", 0) != 0;
        float alpha = c.Attributes.Float("alpha", 1), beta = c.Attributes.Float("beta", 1);
        int n = b.Rank == 2 ? b.Shape[transB ? 0 : 1] : 0;
        bool plain = add is not null && beta == 1 && add.Length == n && (add.Rank == 1 || (add.Rank == 2 && add.Shape[0] == 1));
        Tensor y = Multiply(a, b, transA, transB, alpha, plain ? add : null, c.Parameter(1), c.Options.LinearBreakEven);
        if (add is null || plain) return [y];
        Tensor sum = Binary.Add(y, beta == 1 ? add : Binary.Multiply(add, Tensor.Scalar(beta)));
        y.Storage.Release();
        return [sum];
    }

    /// <summary>left [batch.., m, k] times right [batch.., k, n], batches broadcast.</summary>
    private static Tensor Batched(Tensor left, Tensor right, int[] batch, int m, int n, int k)
    {
        int count = 1;
        foreach (int d in batch) count *= d;
        // Operands that are one matrix for all, or one for each, need no copy; the rare rest is stretched.
        Tensor a = Fit(left, batch), b = Fit(right, batch);
        long strideA = a.Length == m * k && count != 1 ? 0 : (long)m * k, strideB = b.Length == k * n && count != 1 ? 0 : (long)k * n;
        Tensor y = Tensor.Uninitialized([.. batch, m, n]);
        Gemm.MultiplyBatched(count, false, false, m, n, k, 1, a.Values, strideA, b.Values, strideB, 0, y.Values, (long)m * n);
        int[] shapeA = left.ShapeArray, shapeB = right.ShapeArray;
        Tape.Record("MatMul", y, [left, right], [a, b], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(0))
            {
                Tensor ga = Tensor.Uninitialized([.. batch, m, k]);
                Gemm.MultiplyBatched(count, false, true, m, k, n, 1, g.Values, (long)m * n, b.Values, strideB, 0, ga.Values, (long)m * k);
                flow.Give(0, Broadcasting.SumTo(ga, shapeA));
            }
            if (flow.Needs(1))
            {
                Tensor gb = Tensor.Uninitialized([.. batch, k, n]);
                Gemm.MultiplyBatched(count, true, false, k, n, m, 1, a.Values, strideA, g.Values, (long)m * n, 0, gb.Values, (long)k * n);
                flow.Give(1, Broadcasting.SumTo(gb, shapeB));
            }
        });
        a.Storage.Release();
        b.Storage.Release();
        return y;
    }

    private static Tensor Fit(Tensor x, int[] batch)
    {
        int matrices = 1, wanted = 1;
        foreach (int d in x.Shape[..^2]) matrices *= d;
        foreach (int d in batch) wanted *= d;
        return matrices == wanted || matrices == 1 ? x.Detach() : Binary.Expand(x, [.. batch, x.Shape[^2], x.Shape[^1]]);
    }
}

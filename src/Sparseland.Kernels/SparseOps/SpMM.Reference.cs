using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps;

public static unsafe partial class SpMM
{
    /// <summary>The definition of <see cref="Multiply(CsrMatrix, ReadOnlySpan{float}, int, Span{float})"/> with bias, residual and clamp, in the order and rounding of the kernels; for tests.</summary>
    internal static void MultiplyReference(CsrMatrix w, ReadOnlySpan<float> b, int n, Span<float> c, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation)
    {
        for (int r = 0; r < w.Rows; r++)
        {
            for (int i = 0; i < n; i++)
            {
                float sum = bias.IsEmpty ? 0f : bias[r];
                if (!residual.IsEmpty) sum += residual[r * n + i];
                for (int j = w.RowPointers[r]; j < w.RowPointers[r + 1]; j++)
                    sum = MathF.FusedMultiplyAdd(w.Values[j], b[w.ColumnIndices[j] * n + i], sum);
                c[r * n + i] = activation.IsNone ? sum : MathF.Min(MathF.Max(sum, activation.Low), activation.High);
            }
        }
    }
}

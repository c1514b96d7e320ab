namespace Sparseland.Kernels.Dense;

public static unsafe partial class Gemm
{
    /// <summary>The definition of <c>Multiply</c>, element by element in double precision; for tests.</summary>
    internal static void MultiplyReference(bool transA, bool transB, int m, int n, int k, float alpha, ReadOnlySpan<float> a, int lda,
        ReadOnlySpan<float> b, int ldb, float beta, Span<float> c, int ldc,
        ReadOnlySpan<float> rowBias, ReadOnlySpan<float> columnBias, Clamp activation)
    {
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0;
                for (int p = 0; p < k; p++)
                {
                    sum += (double)a[transA ? (p * lda) + i : (i * lda) + p] * b[transB ? (j * ldb) + p : (p * ldb) + j];
                }
                double x = alpha * sum;
                if (beta != 0f) x += beta * c[(i * ldc) + j];
                if (!rowBias.IsEmpty) x += rowBias[i];
                if (!columnBias.IsEmpty) x += columnBias[j];
                c[(i * ldc) + j] = (float)Math.Min(Math.Max(x, activation.Low), activation.High);
            }
        }
    }
}

using System.Numerics;
using Sparseland.Kernels.Dense;

namespace Sparseland.Model.Operators.Support;

/// <summary>c [m, n] = a [m, k] b [k, n] for any number type; singles go to the kernels.</summary>
internal static class MatrixProduct
{
    public static void Run<T>(int m, int n, int k, ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<T> c, bool transA = false, bool transB = false) where T : unmanaged, INumber<T>
    {
        if (typeof(T) == typeof(float))
        {
            Gemm.Multiply(transA, transB, m, n, k, 1, System.Runtime.InteropServices.MemoryMarshal.Cast<T, float>(a), Math.Max(1, transA ? m : k),
                System.Runtime.InteropServices.MemoryMarshal.Cast<T, float>(b), Math.Max(1, transB ? k : n), 0, System.Runtime.InteropServices.MemoryMarshal.Cast<T, float>(c), Math.Max(1, n));
            return;
        }
        c.Clear();
        for (int i = 0; i < m; i++)
        {
            Span<T> row = c.Slice(i * n, n);
            for (int p = 0; p < k; p++)
            {
                T v = transA ? a[(p * m) + i] : a[(i * k) + p];
                if (transB)
                {
                    for (int j = 0; j < n; j++) row[j] += v * b[(j * k) + p];
                }
                else
                {
                    ReadOnlySpan<T> other = b.Slice(p * n, n);
                    for (int j = 0; j < n; j++) row[j] += v * other[j];
                }
            }
        }
    }
}

using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

public unsafe class TranspositionTests
{
    [Fact]
    public void Matrices_of_every_size_are_turned_and_nothing_else_is_written()
    {
        var random = new Random(1);
        foreach (int rows in new[] { 0, 1, 3, 4, 15, 16, 17, 31, 32, 50 })
        {
            foreach (int columns in new[] { 0, 1, 2, 5, 15, 16, 18, 33, 64 })
            {
                int ldfrom = columns + 3, ldto = rows + 5;
                float[] from = Uniform(random, rows * ldfrom + 1), to = new float[columns * ldto + 1];
                Array.Fill(to, 7);
                fixed (float* pFrom = from, pTo = to) Transposition.Copy(pFrom, ldfrom, rows, columns, pTo, ldto);
                for (int c = 0; c < columns; c++)
                {
                    for (int r = 0; r < ldto; r++) Assert.Equal(r < rows ? from[r * ldfrom + c] : 7, to[c * ldto + r]);
                }
                Assert.Equal(7, to[^1]);
            }
        }
    }
}

using System.Numerics.Tensors;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// A few queries, as in decoding with a cache, wait for keys and values to come from memory: dot products and rows of scores [query, key].
public readonly partial record struct Attention
{
    private unsafe partial struct Work
    {
        // So many queries and fewer are dot products with the keys.
        private const int Few = DotKernel.MaxRows;

        // output [Count, wide] = sums of values weighted with e^(score - max); max and sum [Count] are the largest score and the sum of the weights.
        private readonly void SumFew<V>(int batch, int head, ref QueryRows rows, float* scores, float* room, float* output, float* max, float* sum) where V : unmanaged, IVector<V>
        {
            int dv = Shape.ValueSize, wide = Wide<V>(dv);
            new Span<float>(output, rows.Count * wide).Clear();
            KeyRun* runs = stackalloc KeyRun[MostRuns];
            while (rows.Next(runs, out int count, out int columns))
            {
                for (int r = 0; r < count; r++) FewScores<V>(batch, head, rows, runs[r], room, scores + runs[r].At);
                for (int i = 0; i < rows.Count; i++)
                {
                    var row = new Span<float>(scores + (i * KeyTile), columns);
                    float largest = MathF.Max(max[i], LaneSums.Max<V>(scores + (i * KeyTile), columns));
                    if (float.IsNegativeInfinity(largest))
                    {
                        row.Clear();
                        continue;
                    }
                    float correction = max[i] == largest ? 1f : MathF.Exp(max[i] - largest);
                    TensorPrimitives.Subtract(row, largest, row);
                    TensorPrimitives.Exp(row, row);
                    sum[i] = (sum[i] * correction) + LaneSums.Sum<V>(scores + (i * KeyTile), columns);
                    if (correction != 1f)
                    {
                        var o = new Span<float>(output + ((nint)i * wide), dv);
                        TensorPrimitives.Multiply(o, correction, o);
                    }
                    max[i] = largest;
                }
                for (int r = 0; r < count; r++)
                {
                    float* values = FewColumns<V>(Value, batch, head, rows, runs[r], dv, room, out int stride);
                    Multiply<V>(false, rows.Count, dv, runs[r].Columns, 1f, scores + runs[r].At, KeyTile, values, stride, 1f, output, wide);
                }
            }
        }

        private readonly float* FewColumns<V>(float* tensor, int batch, int head, in QueryRows rows, KeyRun run, int size, float* room, out int stride) where V : unmanaged, IVector<V>
        {
            bool listed = rows.Slice?.Keys is not null;
            stride = listed ? Wide<V>(size) : size;
            return listed ? Columns<V>(tensor, batch, head, rows, run, size, room) : KeyAt(tensor, batch, KeyHead(head), run.Key, size);
        }

        private readonly void FewScores<V>(int batch, int head, in QueryRows rows, KeyRun run, float* room, float* scores) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, columns = run.Columns;
            float* keys = FewColumns<V>(Key, batch, head, rows, run, d, room, out int stride);
            Multiply<V>(true, rows.Count, columns, d, Shape.Scale, rows.Query, Wide<V>(d), keys, stride, 0f, scores, KeyTile);
            bool biased = run.Biased && Bias != null;
            if (Shape.SoftCap <= 0f && !biased && !Shape.Causal) return;
            int[]? list = rows.Slice?.Keys;
            for (int i = 0; i < rows.Count; i++)
            {
                var row = new Span<float>(scores + (i * KeyTile), columns);
                if (Shape.SoftCap > 0f)
                {
                    TensorPrimitives.Divide(row, Shape.SoftCap, row);
                    TensorPrimitives.Tanh(row, row);
                    TensorPrimitives.Multiply(row, Shape.SoftCap, row);
                }
                if (biased)
                {
                    float* from = Bias + ((nint)batch * Shape.BiasBatchStride) + ((nint)head * Shape.BiasHeadStride) + ((nint)rows.Position(i) * Shape.BiasQueryStride);
                    if (list is null) TensorPrimitives.Add(row, new ReadOnlySpan<float>(from + run.Key, columns), row);
                    else
                    {
                        for (int j = 0; j < columns; j++) row[j] += from[list[run.Key + j]];
                    }
                }
                if (Shape.Causal) row[Math.Clamp(Seen(rows, i) - run.Key, 0, columns)..].Fill(float.NegativeInfinity);
            }
        }

        private static void Multiply<V>(bool transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc) where V : unmanaged, IVector<V> =>
            GemmDriver.Run<V>(new GemmCall
            {
                TransB = transB,
                M = m,
                N = n,
                K = k,
                Alpha = alpha,
                Beta = beta,
                A = a,
                Lda = lda,
                B = b,
                Ldb = ldb,
                C = c,
                Ldc = ldc,
                Epilogue = new GemmEpilogue { Clamp = Clamp.None },
            });
    }
}

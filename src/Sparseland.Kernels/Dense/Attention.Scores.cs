using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

// Tiles of scores and their gradients are transposed, [key, query]: every product of both passes reads its operands where they lie, and what is summed or compared over
// the keys of a query goes lane by lane.
public readonly partial record struct Attention
{
    private unsafe partial struct Work
    {
        // Scores of a run of keys [run, headSize] and the queries, in the run's rows; slopes receives d score / d (scale q.k) under a cap.
        private readonly void Scores<V>(int batch, int head, in QueryRows rows, KeyRun run, float* keys, float* scores, float* slopes, ReadAhead* ahead) where V : unmanaged, IVector<V>
        {
            scores += run.At * Pitch;
            DirectProduct.Run<V>(run.Columns, rows.Width, Shape.HeadSize, keys, Wide<V>(Shape.HeadSize), 1, rows.QueryColumns, Pitch, scores, Pitch, false, true, ahead);
            if (Shape.SoftCap > 0f)
            {
                if (slopes != null) slopes += run.At * Pitch;
                // As many at once on every level: what is left of a row beside whole registers may differ in its last bits.
                for (int j = 0; j < run.Columns; j++)
                {
                    var row = new Span<float>(scores + (j * Pitch), rows.Count);
                    TensorPrimitives.Divide(row, Shape.SoftCap, row);
                    TensorPrimitives.Tanh(row, row);
                    if (slopes != null)
                    {
                        for (int i = 0; i < row.Length; i++) slopes[(j * Pitch) + i] = 1f - (row[i] * row[i]);
                    }
                    TensorPrimitives.Multiply(row, Shape.SoftCap, row);
                }
            }
            if (run.Biased && Bias != null) AddBias(batch, head, rows, run, scores);
            if (Shape.Causal) HideLater(rows, run, scores);
        }

        private readonly void AddBias(int batch, int head, in QueryRows rows, KeyRun run, float* scores)
        {
            float* bias = Bias + ((nint)batch * Shape.BiasBatchStride) + ((nint)head * Shape.BiasHeadStride);
            if (rows.Slice?.Keys is { } list)
            {
                for (int i = 0; i < rows.Count; i++)
                {
                    float* from = bias + ((nint)rows.Position(i) * Shape.BiasQueryStride);
                    for (int j = 0; j < run.Columns; j++) scores[(j * Pitch) + i] += from[list[run.Key + j]];
                }
                return;
            }
            bias += run.Key;
            if (Shape.BiasQueryStride == 0)
            {
                for (int j = 0; j < run.Columns; j++)
                {
                    var row = new Span<float>(scores + (j * Pitch), rows.Count);
                    TensorPrimitives.Add(row, bias[j], row);
                }
                return;
            }
            using Scratch.Buffer turned = Scratch.Rent(KeyTile * Pitch);
            // Keys are listed wherever queries are.
            Packing.Transpose(bias + ((nint)rows.First * Shape.BiasQueryStride), Shape.BiasQueryStride, rows.Count, run.Columns, turned.Pointer, Pitch);
            for (int j = 0; j < run.Columns; j++)
            {
                var row = new Span<float>(scores + (j * Pitch), rows.Count);
                TensorPrimitives.Add(row, new ReadOnlySpan<float>(turned.Pointer + (j * Pitch), rows.Count), row);
            }
        }

        // Positions ascend: the first queries of the tile see the fewest keys.
        private readonly void HideLater(in QueryRows rows, KeyRun run, float* scores)
        {
            int blind = 0;
            for (int j = 0; j < run.Columns; j++)
            {
                while (blind < rows.Count && Seen(rows, blind) <= run.Key + j) blind++;
                new Span<float>(scores + (j * Pitch), blind).Fill(float.NegativeInfinity);
            }
        }

        // How many of the keys that take part query i sees, when it sees no later ones.
        private readonly int Seen(in QueryRows rows, int i)
        {
            int keys = (int)Math.Clamp((long)rows.Position(i) + Shape.CausalOffset + 1, 0, Shape.Keys);
            return rows.Slice?.Before(keys) ?? keys;
        }

        // Scores become e^(score - max) of the largest so far; max and sum [width] go on, and correction receives what earlier sums and outputs are to be multiplied with.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Soften<V>(float* scores, int columns, int width, float* max, float* sum, float* correction) where V : unmanaged, IVector<V>
        {
            for (int i = 0; i < width; i += V.Count)
            {
                V before = V.Load(max + i), largest = before, total = V.Zero;
                float* s = scores + i;
                for (int j = 0; j < columns; j++)
                {
                    largest = V.Larger(largest, V.Load(s));
                    s += Pitch;
                }
                // Where all are hidden every difference is negative infinity, whose power is zero. Scores that are not numbers make their own powers NaN, whatever the largest is.
                V center = V.Larger(V.Broadcast(float.MinValue), largest);
                s = scores + i;
                for (int j = 0; j < columns; j++)
                {
                    V e = Exponential.Of(V.Subtract(V.Load(s), center));
                    V.Store(e, s);
                    total = V.Add(total, e);
                    s += Pitch;
                }
                V factor = Exponential.Of(V.Subtract(before, center));
                V.Store(largest, max + i);
                V.Store(V.MultiplyAdd(V.Load(sum + i), factor, total), sum + i);
                V.Store(factor, correction + i);
            }
        }

        // p = probabilities, ds = factor * gradient of the scores, [keys, Pitch]; with room for slopes, of the scores before the cap. places receives where each run's keys are.
        private readonly void ScoreGradients<V>(int batch, int head, in QueryRows rows, KeyRun* runs, int count, int columns, float factor, in Statistics of, float* room, nint* places, float* p, float* ds, float* slopes, ReadAhead* ahead)
            where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize;
            for (int r = 0; r < count; r++)
            {
                float* keys = Columns<V>(Key, batch, head, rows, runs[r], d, room);
                places[r] = (nint)keys;
                Scores<V>(batch, head, rows, runs[r], keys, p, slopes, ahead);
            }
            for (int r = 0; r < count; r++)
            {
                float* values = Columns<V>(Value, batch, head, rows, runs[r], dv, room + (KeyTile * Wide<V>(d)));
                DirectProduct.Run<V>(runs[r].Columns, rows.Width, dv, values, Wide<V>(dv), 1, rows.GradientColumns, Pitch, ds + (runs[r].At * Pitch), Pitch, false, true, ahead);
            }
            Slope<V>(columns, rows.Width, factor, of.LogSums, of.Dots, p, ds, slopes);
            // Queries without keys: nothing that their rows hold counts.
            for (int i = 0; i < rows.Count; i++)
            {
                if (!float.IsPositiveInfinity(of.LogSums[i])) continue;
                for (int j = 0; j < columns; j++) p[(j * Pitch) + i] = ds[(j * Pitch) + i] = 0f;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Slope<V>(int columns, int width, float factor, float* logSums, float* dots, float* p, float* ds, float* slopes) where V : unmanaged, IVector<V>
        {
            V f = V.Broadcast(factor);
            for (int j = 0; j < columns; j++)
            {
                for (int i = 0; i < width; i += V.Count)
                {
                    V e = Exponential.Of(V.Subtract(V.Load(p + i), V.Load(logSums + i)));
                    V.Store(e, p + i);
                    V g = V.Multiply(V.Multiply(V.Subtract(V.Load(ds + i), V.Load(dots + i)), e), f);
                    if (slopes != null) g = V.Multiply(g, V.Load(slopes + i));
                    V.Store(g, ds + i);
                }
                p += Pitch;
                ds += Pitch;
                if (slopes != null) slopes += Pitch;
            }
        }

        // What the gradients of a query's scores need: the logarithm of its sum (positive infinity for a query without keys) and the product of its output and the output's gradient.
        private ref struct Statistics(float* room)
        {
            public readonly float* LogSums => room;

            public readonly float* Dots => room + QueryTile;
        }

        private readonly void Fill<V>(int batch, int head, in QueryRows rows, in Statistics of) where V : unmanaged, IVector<V>
        {
            int dv = Shape.ValueSize;
            new Span<float>(of.LogSums, QueryTile).Clear();
            new Span<float>(of.Dots, QueryTile).Clear();
            for (int i = 0; i < rows.Count; i++)
            {
                float logSum = *QueryAt(LogSumExp, batch, head, rows.Position(i), 1);
                of.LogSums[i] = float.IsNegativeInfinity(logSum) ? float.PositiveInfinity : logSum;
                of.Dots[i] = LaneSums.Dot<V>(rows.OutputGradient + ((nint)i * Wide<V>(dv)), QueryAt(Output, batch, head, rows.Position(i), dv), dv);
            }
        }
    }
}

using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

public readonly partial record struct Attention
{
    private unsafe partial struct Work : ILevelWork
    {
        public Attention Shape;
        public AttentionPattern? Pattern;
        public float* Query;
        public float* Key;
        public float* Value;
        public float* Output;
        public float* Bias;
        public float* LogSumExp;
        public int* KeyLengths;
        public float* OutputGradient;
        public float* QueryGradient;
        public float* KeyGradient;
        public float* ValueGradient;
        public float* BiasGradient;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            if (Shape.Batch == 0) return;
            Work w = this;
            long work = (long)Shape.Batch * Shape.QueryHeads * Shape.Queries * Shape.Keys * (Shape.HeadSize + Shape.ValueSize);
            int tiles = (Shape.Queries + QueryTile - 1) / QueryTile;
            if (OutputGradient == null)
            {
                Parts.Each(Shape.Batch * Shape.QueryHeads * tiles, work, part =>
                {
                    int head = part / tiles % w.Shape.QueryHeads, batch = part / tiles / w.Shape.QueryHeads;
                    w.ForwardTile<V>(batch, head, part % tiles, w.Ahead(part + 1, tiles));
                });
                return;
            }
            // Sums for a key head run over its query heads: it is one part.
            Parts.Each(Shape.Batch * Shape.KeyHeads, work, part => w.BackwardHead<V>(part / w.Shape.KeyHeads, part % w.Shape.KeyHeads));
            if (BiasGradient == null) return;
            // Sums for a bias run over the sequences and heads that share it: a tile of its queries is one part.
            int heads = Shape.BiasHeads;
            long slice = (long)Shape.Queries * Shape.Keys;
            Parts.Each(Shape.BiasBatches * heads, slice, part => new Span<float>(w.BiasGradient + (nint)(part * slice), checked((int)slice)).Clear());
            Parts.Each(Shape.BiasBatches * heads * tiles, work, part => w.BiasTile<V>(part / tiles / heads, part / tiles % heads, part % tiles));
        }

        // What the forward pass of a part's tile will read and write.
        private readonly ReadAhead Ahead(int part, int tiles)
        {
            int head = part / tiles % Shape.QueryHeads, batch = part / tiles / Shape.QueryHeads, tile = part % tiles;
            ReadAhead ahead = default;
            if (batch >= Shape.Batch) return ahead;
            AheadOf(ref ahead, Query, batch, head, tile, Shape.HeadSize);
            AheadOf(ref ahead, Output, batch, head, tile, Shape.ValueSize);
            // The rows of the bias, where nobody has read them yet; not where those of other heads lie between them.
            if (Pattern is null || !Pattern.IsUnread(batch, head, tile) || Shape.BiasQueryStride >= 2 * (long)Shape.Keys) return ahead;
            int first = tile * QueryTile, rows = Math.Min(QueryTile, Shape.Queries - first);
            ahead.Add(Pattern.BiasOf(batch, head, Bias) + ((nint)first * Shape.BiasQueryStride), ((long)(rows - 1) * Shape.BiasQueryStride) + Shape.Keys);
            return ahead;
        }

        // As if all queries took part: where they do not, it is near.
        private readonly void AheadOf(ref ReadAhead ahead, float* tensor, int batch, int head, int tile, int size) =>
            ahead.Add(QueryAt(tensor, batch, head, tile * QueryTile, size), (long)Math.Min(QueryTile, Shape.Queries - (tile * QueryTile)) * size);

        private readonly int KeyHead(int head) => head / (Shape.QueryHeads / Shape.KeyHeads);

        private readonly void ForwardTile<V>(int batch, int head, int tile, ReadAhead ahead) where V : unmanaged, IVector<V>
        {
            int dv = Shape.ValueSize, wide = Wide<V>(dv);
            ClearHidden(Output, LogSumExp, batch, head, tile, dv);
            using Scratch.Buffer scores = Scratch.Rent(KeyTile * Pitch), rowRoom = Scratch.Rent(RowRoom<V>() + (QueryTile * wide)), room = Scratch.Rent(KeyTile * Math.Max(Wide<V>(Shape.HeadSize), wide));
            QueryRows rows = Rows<V>(batch, head, tile, rowRoom.Pointer);
            if (rows.Count == 0) return;
            bool copied = rows.Slice?.Queries is not null || wide != dv;
            float* output = copied ? rowRoom.Pointer + RowRoom<V>() : QueryAt(Output, batch, head, rows.First, dv);
            float* max = stackalloc float[QueryTile];
            float* sum = stackalloc float[QueryTile];
            new Span<float>(max, QueryTile).Fill(float.NegativeInfinity);
            new Span<float>(sum, QueryTile).Clear();
            if (rows.Count <= Few) SumFew<V>(batch, head, ref rows, scores.Pointer, room.Pointer, output, max, sum);
            else SumTile<V>(batch, head, ref rows, scores.Pointer, room.Pointer, output, max, sum, ahead);
            for (int i = 0; i < rows.Count; i++)
            {
                var o = new Span<float>(output + ((nint)i * wide), dv);
                if (sum[i] != 0f) TensorPrimitives.Multiply(o, 1f / sum[i], o);
                int query = rows.Position(i);
                if (copied) Copy(output + ((nint)i * wide), QueryAt(Output, batch, head, query, dv), dv);
                if (LogSumExp != null) *QueryAt(LogSumExp, batch, head, query, 1) = sum[i] == 0f ? float.NegativeInfinity : max[i] + MathF.Log(sum[i]);
            }
        }

        // As SumFew, for more queries.
        private readonly void SumTile<V>(int batch, int head, ref QueryRows rows, float* scores, float* room, float* output, float* max, float* sum, ReadAhead ahead) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize, wide = Wide<V>(dv);
            float* correction = stackalloc float[QueryTile];
            KeyRun* runs = stackalloc KeyRun[MostRuns];
            ahead.Spread((long)rows.AllKeys() * rows.Count * (d + dv) / (MicroKernel.DirectRows * 2 * V.Count));
            bool first = true;
            while (rows.Next(runs, out int count, out int columns))
            {
                for (int r = 0; r < count; r++) Scores<V>(batch, head, rows, runs[r], Columns<V>(Key, batch, head, rows, runs[r], d, room), scores, null, &ahead);
                Soften<V>(scores, columns, rows.Width, max, sum, correction);
                for (int i = 0; i < rows.Count && !first; i++)
                {
                    var o = new Span<float>(output + ((nint)i * wide), wide);
                    if (correction[i] != 1f) TensorPrimitives.Multiply(o, correction[i], o);
                }
                for (int r = 0; r < count; r++)
                    DirectProduct.Run<V>(rows.Count, wide, runs[r].Columns, scores + (runs[r].At * Pitch), 1, Pitch, Columns<V>(Value, batch, head, rows, runs[r], dv, room), wide, output, wide, !first || r > 0, false, &ahead);
                first = false;
            }
            if (first) new Span<float>(output, rows.Count * wide).Clear();
        }

        // Rows of queries that take no part, among the 64 at the tile's place in the tensor.
        private readonly void ClearHidden(float* tensor, float* logSumExp, int batch, int head, int tile, int size)
        {
            if (Pattern?.At(batch, head) is not { Queries: not null } slice) return;
            for (int query = tile * QueryTile; query < Math.Min(Shape.Queries, (tile + 1) * QueryTile); query++)
            {
                if (!slice.Hides(query)) continue;
                new Span<float>(QueryAt(tensor, batch, head, query, size), size).Clear();
                if (logSumExp != null) *QueryAt(logSumExp, batch, head, query, 1) = float.NegativeInfinity;
            }
        }

        private readonly void BackwardHead<V>(int batch, int keyHead) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize, wideKey = Wide<V>(d), wideValue = Wide<V>(dv), group = Shape.QueryHeads / Shape.KeyHeads, tiles = (Shape.Queries + QueryTile - 1) / QueryTile;
            new Span<float>(KeyAt(KeyGradient, batch, keyHead, 0, d), Shape.KeyCapacity * d).Clear();
            new Span<float>(KeyAt(ValueGradient, batch, keyHead, 0, dv), Shape.KeyCapacity * dv).Clear();
            using Scratch.Buffer scores = Scratch.Rent(2 * KeyTile * Pitch), slopeBuffer = Scratch.Rent(Shape.SoftCap > 0f ? KeyTile * Pitch : 0);
            // Rows of queries and their gradient; copied keys, values and sums of their gradients.
            using Scratch.Buffer rowRoom = Scratch.Rent(RowRoom<V>() + (QueryTile * wideKey)), room = Scratch.Rent(KeyTile * (wideKey + wideValue + Math.Max(wideKey, wideValue)));
            float* p = scores.Pointer;
            float* ds = p + (KeyTile * Pitch);
            float* slopes = Shape.SoftCap > 0f ? slopeBuffer.Pointer : null;
            float* sums = room.Pointer + (KeyTile * (wideKey + wideValue));
            float* statistics = stackalloc float[2 * QueryTile];
            var of = new Statistics(statistics);
            nint* places = stackalloc nint[MostRuns];
            KeyRun* runs = stackalloc KeyRun[MostRuns];
            for (int head = keyHead * group; head < (keyHead + 1) * group; head++)
            {
                for (int tile = 0; tile < tiles; tile++)
                {
                    ClearHidden(QueryGradient, null, batch, head, tile, d);
                    QueryRows rows = Rows<V>(batch, head, tile, rowRoom.Pointer);
                    if (rows.Count == 0) continue;
                    bool copied = rows.Slice?.Queries is not null || wideKey != d;
                    float* dq = copied ? rowRoom.Pointer + RowRoom<V>() : QueryAt(QueryGradient, batch, head, rows.First, d);
                    Fill<V>(batch, head, rows, of);
                    ReadAhead ahead = default;
                    if (tile + 1 < tiles)
                    {
                        AheadOf(ref ahead, Query, batch, head, tile + 1, d);
                        AheadOf(ref ahead, OutputGradient, batch, head, tile + 1, dv);
                        AheadOf(ref ahead, Output, batch, head, tile + 1, dv);
                        AheadOf(ref ahead, QueryGradient, batch, head, tile + 1, d);
                    }
                    ahead.Spread((long)rows.AllKeys() * rows.Count * (d + dv) / (MicroKernel.DirectRows * 2 * V.Count));
                    bool first = true;
                    while (rows.Next(runs, out int count, out int all))
                    {
                        ScoreGradients<V>(batch, head, rows, runs, count, all, Shape.Scale, of, room.Pointer, places, p, ds, slopes, &ahead);
                        for (int r = 0; r < count; r++)
                        {
                            int at = runs[r].At * Pitch;
                            DirectProduct.Run<V>(rows.Count, wideKey, runs[r].Columns, ds + at, 1, Pitch, (float*)places[r], wideKey, dq, wideKey, !first || r > 0, false);
                            AddProducts<V>(batch, keyHead, rows, runs[r], p + at, rows.OutputGradient, ValueGradient, dv, sums);
                            AddProducts<V>(batch, keyHead, rows, runs[r], ds + at, rows.Query, KeyGradient, d, sums);
                        }
                        first = false;
                    }
                    if (first) new Span<float>(dq, rows.Count * wideKey).Clear();
                    for (int i = 0; i < rows.Count && copied; i++) Copy(dq + ((nint)i * wideKey), QueryAt(QueryGradient, batch, head, rows.Position(i), d), d);
                }
            }
        }

        // tensor's rows of a run of keys += weights [run, Count] times other [Count, size].
        private readonly void AddProducts<V>(int batch, int keyHead, in QueryRows rows, KeyRun run, float* weights, float* other, float* tensor, int size, float* sums) where V : unmanaged, IVector<V>
        {
            int wide = Wide<V>(size);
            int[]? list = rows.Slice?.Keys;
            if (list is null && wide == size)
            {
                DirectProduct.Run<V>(run.Columns, wide, rows.Count, weights, Pitch, 1, other, wide, KeyAt(tensor, batch, keyHead, run.Key, size), size, true, false);
                return;
            }
            DirectProduct.Run<V>(run.Columns, wide, rows.Count, weights, Pitch, 1, other, wide, sums, wide, false, true);
            for (int j = 0; j < run.Columns; j++)
            {
                var to = new Span<float>(KeyAt(tensor, batch, keyHead, list is null ? run.Key + j : list[run.Key + j], size), size);
                TensorPrimitives.Add(to, new ReadOnlySpan<float>(sums + ((nint)j * wide), size), to);
            }
        }

        private readonly void BiasTile<V>(int biasBatch, int biasHead, int tile) where V : unmanaged, IVector<V>
        {
            float* to = BiasGradient + ((((nint)biasBatch * Shape.BiasHeads) + biasHead) * Shape.Queries * Shape.Keys);
            using Scratch.Buffer scores = Scratch.Rent(2 * KeyTile * Pitch), turned = Scratch.Rent(QueryTile * KeyTile);
            using Scratch.Buffer rowRoom = Scratch.Rent(RowRoom<V>()), room = Scratch.Rent(KeyTile * (Wide<V>(Shape.HeadSize) + Wide<V>(Shape.ValueSize)));
            float* ds = scores.Pointer + (KeyTile * Pitch);
            float* statistics = stackalloc float[2 * QueryTile];
            var of = new Statistics(statistics);
            nint* places = stackalloc nint[MostRuns];
            KeyRun* runs = stackalloc KeyRun[MostRuns];
            (int batch, int lastBatch) = Shape.BiasBatchStride == 0 ? (0, Shape.Batch) : (biasBatch, biasBatch + 1);
            (int firstHead, int lastHead) = Shape.BiasHeadStride == 0 ? (0, Shape.QueryHeads) : (biasHead, biasHead + 1);
            for (; batch < lastBatch; batch++)
            {
                for (int head = firstHead; head < lastHead; head++)
                {
                    QueryRows rows = Rows<V>(batch, head, tile, rowRoom.Pointer);
                    if (rows.Count == 0) continue;
                    Fill<V>(batch, head, rows, of);
                    while (rows.Next(runs, out int count, out int all))
                    {
                        ScoreGradients<V>(batch, head, rows, runs, count, all, 1f, of, room.Pointer, places, scores.Pointer, ds, null, null);
                        Packing.Transpose(ds, Pitch, all, rows.Count, turned.Pointer, KeyTile);
                        for (int i = 0; i < rows.Count; i++)
                        {
                            float* row = to + ((nint)rows.Position(i) * Shape.Keys);
                            for (int r = 0; r < count; r++)
                            {
                                (int key, int columns, int at, _) = runs[r];
                                var gradient = new Span<float>(turned.Pointer + (i * KeyTile) + at, columns);
                                var sum = new Span<float>(row + key, columns);
                                if (rows.Slice?.Keys is not { } list) TensorPrimitives.Add(sum, gradient, sum);
                                else
                                {
                                    for (int j = 0; j < columns; j++) row[list[key + j]] += gradient[j];
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

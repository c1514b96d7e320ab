using System.Numerics.Tensors;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

public readonly partial record struct Attention
{
    // Neighbouring keys: the first, their number, and the column of the tile of scores that the first has.
    private readonly record struct KeyRun(int Key, int Columns, int At, bool Biased);

    // A tile of queries: where they are in the tensors, and which keys they meet.
    private unsafe ref struct QueryRows
    {
        /// <summary>Place of the first among the queries that take part, and their number.</summary>
        public int First, Count;

        /// <summary>Keys that any of them sees, among those that take part.</summary>
        public int Keys;

        public AttentionPattern.Slice? Slice;

        /// <summary>[Count, headSize] and [Count, valueSize], contiguous.</summary>
        public float* Query, OutputGradient;

        /// <summary>The same packed as left operands, the queries times the scale; null where there are too few to pack.</summary>
        public float* PackedQuery, PackedOutputGradient;

        private int _next;

        /// <summary>Position of row i in the tensors.</summary>
        public readonly int Position(int i) => Slice?.Queries is { } list ? list[First + i] : First + i;

        /// <summary>How often <see cref="Next"/> will find keys.</summary>
        public readonly int Visits()
        {
            int left = 0;
            if (Slice is null) left = (Keys + AttentionPattern.KeyPanel - 1) / AttentionPattern.KeyPanel;
            else foreach (byte tile in Slice.Row(First / QueryTile)) left += tile & AttentionPattern.Visible;
            return (left + MostRuns - 1) / MostRuns;
        }

        /// <summary>The next at most <see cref="KeyTile"/> keys that somebody sees, as up to <see cref="MostRuns"/> runs of neighbours.</summary>
        public bool Next(KeyRun* runs, out int count, out int columns)
        {
            if (Slice is null)
            {
                columns = Math.Min(KeyTile, Keys - _next);
                count = 1;
                if (columns <= 0) return false;
                runs[0] = new KeyRun(_next, columns, 0, true);
                _next += columns;
                return true;
            }
            const int width = AttentionPattern.KeyPanel;
            ReadOnlySpan<byte> tiles = Slice.Row(First / QueryTile);
            int panel = _next, end = (Keys + width - 1) / width, left = KeyTile / width;
            (count, columns) = (0, 0);
            while (left > 0)
            {
                while (panel < end && (tiles[panel] & AttentionPattern.Visible) == 0) panel++;
                if (panel >= end) break;
                int key = panel * width;
                bool biased = false;
                for (; left > 0 && panel < end && (tiles[panel] & AttentionPattern.Visible) != 0; panel++, left--) biased |= (tiles[panel] & AttentionPattern.NotZero) != 0;
                int length = Math.Min(panel * width, Keys) - key;
                runs[count++] = new KeyRun(key, length, columns, biased);
                columns += length;
            }
            _next = panel;
            return count > 0;
        }
    }

    private unsafe struct Work : ILevelWork
    {
        // So many queries and fewer are dot products with the keys.
        private const int LeastPacked = DotKernel.MaxRows;

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

        // The rows of the bias that the tile of this part will read, where nobody has yet; not where those of other heads lie between them.
        private readonly BiasAhead Ahead(int part, int tiles)
        {
            int head = part / tiles % Shape.QueryHeads, batch = part / tiles / Shape.QueryHeads, tile = part % tiles;
            if (batch >= Shape.Batch || Shape.BiasQueryStride >= 2 * (long)Shape.Keys || Pattern is null || !Pattern.IsUnread(batch, head, tile)) return default;
            int first = tile * QueryTile, rows = Math.Min(QueryTile, Shape.Queries - first);
            return new BiasAhead(Pattern.BiasOf(batch, head, Bias) + ((nint)first * Shape.BiasQueryStride), ((long)(rows - 1) * Shape.BiasQueryStride) + Shape.Keys);
        }

        private readonly int KeyHead(int head) => head / (Shape.QueryHeads / Shape.KeyHeads);

        private readonly float* QueryAt(float* query, int batch, int head, int position, int size) =>
            query + (((((nint)batch * Shape.QueryHeads) + head) * Shape.Queries) + position) * size;

        private readonly float* KeyAt(float* key, int batch, int keyHead, int position, int size) =>
            key + (((((nint)batch * Shape.KeyHeads) + keyHead) * Shape.KeyCapacity) + position) * size;

        // rows [m, k] times other [n, k], transposed; with packed rows, alpha is in them.
        private static void Products<V>(int m, int n, int k, float alpha, float* rows, float* packed, float* other, float* c, BiasAhead* ahead = null) where V : unmanaged, IVector<V> =>
            GemmDriver.Run<V>(new GemmCall
            {
                TransB = true,
                M = m,
                N = n,
                K = k,
                Alpha = alpha,
                A = rows,
                PackedA = packed,
                Lda = k,
                B = other,
                Ldb = k,
                C = c,
                Ldc = KeyTile,
                Epilogue = new GemmEpilogue { Clamp = Clamp.None },
                Ahead = ahead,
            });

        private static void Multiply<V>(bool transA, bool transB, int m, int n, int k, float alpha, float* a, int lda, float* b, int ldb, float beta, float* c, int ldc, BiasAhead* ahead = null) where V : unmanaged, IVector<V> =>
            GemmDriver.Run<V>(new GemmCall
            {
                TransA = transA,
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
                Ahead = ahead,
            });

        // The tile's queries; gathered ones are copied to room [QueryTile, headSize] and, behind it, the output's gradients. Both are left operands of every tile of keys: packed once.
        private readonly QueryRows Rows<V>(int batch, int head, int tile, float* room, float* packed) where V : unmanaged, IVector<V>
        {
            if (Pattern is not null && Pattern.IsUnread(batch, head, tile)) Pattern.ReadTile(batch, head, tile, Bias);
            AttentionPattern.Slice? slice = Pattern?.At(batch, head);
            int first = tile * QueryTile, d = Shape.HeadSize, dv = Shape.ValueSize;
            var rows = new QueryRows { First = first, Count = Math.Clamp((slice?.QueryCount ?? Shape.Queries) - first, 0, QueryTile), Slice = slice };
            if (rows.Count == 0) return rows;
            int keys = KeyLengths == null ? Shape.Keys : KeyLengths[batch];
            if (Shape.Causal) keys = (int)Math.Clamp((long)rows.Position(rows.Count - 1) + Shape.CausalOffset + 1, 0, keys);
            rows.Keys = slice?.Before(keys) ?? keys;
            bool gathered = slice?.Queries is not null;
            rows.Query = gathered ? room : QueryAt(Query, batch, head, first, d);
            if (gathered) for (int i = 0; i < rows.Count; i++) Copy(QueryAt(Query, batch, head, rows.Position(i), d), rows.Query + (i * d), d);
            // A few queries take another way through the product.
            bool packs = rows.Count > LeastPacked && rows.Keys > 0;
            if (packs)
            {
                rows.PackedQuery = packed;
                GemmDriver.PackLeft<V>(rows.Count, d, Shape.Scale, rows.Query, d, packed);
            }
            if (OutputGradient == null) return rows;
            rows.OutputGradient = gathered ? room + (QueryTile * d) : QueryAt(OutputGradient, batch, head, first, dv);
            if (gathered) for (int i = 0; i < rows.Count; i++) Copy(QueryAt(OutputGradient, batch, head, rows.Position(i), dv), rows.OutputGradient + (i * dv), dv);
            if (packs)
            {
                rows.PackedOutputGradient = packed + GemmDriver.LeftLength(QueryTile, d);
                GemmDriver.PackLeft<V>(rows.Count, dv, 1f, rows.OutputGradient, dv, rows.PackedOutputGradient);
            }
            return rows;
        }

        private static void Copy(float* from, float* to, int count) => new ReadOnlySpan<float>(from, count).CopyTo(new Span<float>(to, count));

        // Keys or values of a run; gathered ones are copied to room [KeyTile, size].
        private readonly float* Columns(float* tensor, int batch, int head, in QueryRows rows, KeyRun run, int size, float* room)
        {
            if (rows.Slice?.Keys is not { } list) return KeyAt(tensor, batch, KeyHead(head), run.Key, size);
            room += run.At * size;
            for (int j = 0; j < run.Columns; j++) Copy(KeyAt(tensor, batch, KeyHead(head), list[run.Key + j], size), room + (j * size), size);
            return room;
        }

        // Scores of the queries and a run of keys, in the run's columns; slopes receives d score / d (scale q.k) under a cap.
        private readonly void Scores<V>(int batch, int head, in QueryRows rows, KeyRun run, float* keys, float* scores, float* slopes, BiasAhead* ahead = null) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, first = run.Key, columns = run.Columns;
            bool biased = run.Biased;
            scores += run.At;
            if (slopes != null) slopes += run.At;
            Products<V>(rows.Count, columns, d, Shape.Scale, rows.Query, rows.PackedQuery, keys, scores, ahead);
            if (Shape.SoftCap <= 0f && !(biased && Bias != null) && !Shape.Causal) return;
            int[]? list = rows.Slice?.Keys;
            for (int i = 0; i < rows.Count; i++)
            {
                var row = new Span<float>(scores + (i * KeyTile), columns);
                int query = rows.Position(i);
                if (Shape.SoftCap > 0f)
                {
                    TensorPrimitives.Divide(row, Shape.SoftCap, row);
                    TensorPrimitives.Tanh(row, row);
                    if (slopes != null)
                    {
                        for (int j = 0; j < columns; j++) slopes[(i * KeyTile) + j] = 1f - (row[j] * row[j]);
                    }
                    TensorPrimitives.Multiply(row, Shape.SoftCap, row);
                }
                if (Bias != null && biased)
                {
                    float* from = Bias + ((nint)batch * Shape.BiasBatchStride) + ((nint)head * Shape.BiasHeadStride) + ((nint)query * Shape.BiasQueryStride);
                    if (list is null) TensorPrimitives.Add(row, new ReadOnlySpan<float>(from + first, columns), row);
                    else
                    {
                        for (int j = 0; j < columns; j++) row[j] += from[list[first + j]];
                    }
                }
                if (!Shape.Causal) continue;
                long limit = (long)query + Shape.CausalOffset + 1;
                int seen = rows.Slice?.Before((int)Math.Clamp(limit, 0, Shape.Keys)) ?? (int)Math.Clamp(limit, 0, Shape.Keys);
                row[Math.Clamp(seen - first, 0, columns)..].Fill(float.NegativeInfinity);
            }
        }

        private readonly void ForwardTile<V>(int batch, int head, int tile, BiasAhead ahead) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize;
            ClearHidden(Output, LogSumExp, batch, head, tile, dv);
            bool gathers = Pattern is not null;
            using Scratch.Buffer scoreBuffer = Scratch.Rent(QueryTile * KeyTile), room = Scratch.Rent(gathers ? (long)QueryTile * (d + dv) : 0), columnRoom = Scratch.Rent(gathers ? (long)KeyTile * Math.Max(d, dv) : 0);
            using Scratch.Buffer packed = Scratch.Rent(GemmDriver.LeftLength(QueryTile, d));
            QueryRows rows = Rows<V>(batch, head, tile, room.Pointer, packed.Pointer);
            if (rows.Count == 0) return;
            bool scattered = rows.Slice?.Queries is not null;
            float* output = scattered ? room.Pointer + (QueryTile * d) : QueryAt(Output, batch, head, rows.First, dv);
            new Span<float>(output, rows.Count * dv).Clear();
            float* scores = scoreBuffer.Pointer;
            float* max = stackalloc float[QueryTile];
            float* sum = stackalloc float[QueryTile];
            new Span<float>(max, rows.Count).Fill(float.NegativeInfinity);
            new Span<float>(sum, rows.Count).Clear();
            KeyRun* runs = stackalloc KeyRun[MostRuns];
            ahead.Spread(rows.Count / 8 * (KeyTile + dv) / 32 * rows.Visits());
            while (rows.Next(runs, out int count, out int columns))
            {
                for (int r = 0; r < count; r++) Scores<V>(batch, head, rows, runs[r], Columns(Key, batch, head, rows, runs[r], d, columnRoom.Pointer), scores, null, &ahead);
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
                        var o = new Span<float>(output + ((nint)i * dv), dv);
                        TensorPrimitives.Multiply(o, correction, o);
                    }
                    max[i] = largest;
                }
                for (int r = 0; r < count; r++)
                    Multiply<V>(false, false, rows.Count, dv, runs[r].Columns, 1f, scores + runs[r].At, KeyTile, Columns(Value, batch, head, rows, runs[r], dv, columnRoom.Pointer), dv, 1f, output, dv, &ahead);
            }
            for (int i = 0; i < rows.Count; i++)
            {
                var o = new Span<float>(output + ((nint)i * dv), dv);
                if (sum[i] != 0f) TensorPrimitives.Multiply(o, 1f / sum[i], o);
                int query = rows.Position(i);
                if (scattered) Copy(output + ((nint)i * dv), QueryAt(Output, batch, head, query, dv), dv);
                if (LogSumExp != null) *QueryAt(LogSumExp, batch, head, query, 1) = sum[i] == 0f ? float.NegativeInfinity : max[i] + MathF.Log(sum[i]);
            }
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

        // p = probabilities, ds = gradient of the scores, [rows, KeyTile]; with room for slopes, of the scores before the cap.
        private readonly void ScoreGradients<V>(int batch, int head, in QueryRows rows, KeyRun* runs, int count, int columns, float* dots, float* room, float* p, float* ds, float* slopes)
            where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize;
            for (int r = 0; r < count; r++)
            {
                Scores<V>(batch, head, rows, runs[r], Columns(Key, batch, head, rows, runs[r], d, room), p, slopes);
                float* values = Columns(Value, batch, head, rows, runs[r], dv, room + (KeyTile * d));
                Products<V>(rows.Count, runs[r].Columns, dv, 1f, rows.OutputGradient, rows.PackedOutputGradient, values, ds + runs[r].At);
            }
            for (int i = 0; i < rows.Count; i++)
            {
                var row = new Span<float>(p + (i * KeyTile), columns);
                var gradient = new Span<float>(ds + (i * KeyTile), columns);
                float logSum = *QueryAt(LogSumExp, batch, head, rows.Position(i), 1);
                if (float.IsNegativeInfinity(logSum))
                {
                    row.Clear();
                    gradient.Clear();
                    continue;
                }
                TensorPrimitives.Subtract(row, logSum, row);
                TensorPrimitives.Exp(row, row);
                TensorPrimitives.Subtract(gradient, dots[i], gradient);
                TensorPrimitives.Multiply(gradient, row, gradient);
                if (slopes != null) TensorPrimitives.Multiply(gradient, new ReadOnlySpan<float>(slopes + (i * KeyTile), columns), gradient);
            }
        }

        private readonly void Dots<V>(int batch, int head, in QueryRows rows, float* dots) where V : unmanaged, IVector<V>
        {
            int dv = Shape.ValueSize;
            for (int i = 0; i < rows.Count; i++) dots[i] = LaneSums.Dot<V>(rows.OutputGradient + ((nint)i * dv), QueryAt(Output, batch, head, rows.Position(i), dv), dv);
        }

        private readonly void BackwardHead<V>(int batch, int keyHead) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize, group = Shape.QueryHeads / Shape.KeyHeads, tiles = (Shape.Queries + QueryTile - 1) / QueryTile, wide = Math.Max(d, dv);
            new Span<float>(KeyAt(KeyGradient, batch, keyHead, 0, d), Shape.KeyCapacity * d).Clear();
            new Span<float>(KeyAt(ValueGradient, batch, keyHead, 0, dv), Shape.KeyCapacity * dv).Clear();
            using Scratch.Buffer scoreBuffer = Scratch.Rent(QueryTile * KeyTile), gradientBuffer = Scratch.Rent(QueryTile * KeyTile), slopeBuffer = Scratch.Rent(QueryTile * KeyTile);
            // Gathered queries, gradients of outputs and of queries; gathered keys, values and sums of their gradients.
            using Scratch.Buffer room = Scratch.Rent(Pattern is null ? 0 : (long)QueryTile * ((2 * d) + dv)), columnRoom = Scratch.Rent(Pattern is null ? 0 : (long)KeyTile * (d + dv + wide));
            using Scratch.Buffer packed = Scratch.Rent(GemmDriver.LeftLength(QueryTile, d) + GemmDriver.LeftLength(QueryTile, dv));
            float* p = scoreBuffer.Pointer;
            float* ds = gradientBuffer.Pointer;
            float* slopes = Shape.SoftCap > 0f ? slopeBuffer.Pointer : null;
            float* sums = columnRoom.Pointer + (KeyTile * (d + dv));
            float* dots = stackalloc float[QueryTile];
            KeyRun* runs = stackalloc KeyRun[MostRuns];
            for (int head = keyHead * group; head < (keyHead + 1) * group; head++)
            {
                for (int tile = 0; tile < tiles; tile++)
                {
                    ClearHidden(QueryGradient, null, batch, head, tile, d);
                    QueryRows rows = Rows<V>(batch, head, tile, room.Pointer, packed.Pointer);
                    if (rows.Count == 0) continue;
                    bool scattered = rows.Slice?.Queries is not null;
                    int[]? list = rows.Slice?.Keys;
                    float* g = rows.OutputGradient;
                    float* dq = scattered ? room.Pointer + (QueryTile * (d + dv)) : QueryAt(QueryGradient, batch, head, rows.First, d);
                    new Span<float>(dq, rows.Count * d).Clear();
                    Dots<V>(batch, head, rows, dots);
                    while (rows.Next(runs, out int count, out int all))
                    {
                        ScoreGradients<V>(batch, head, rows, runs, count, all, dots, columnRoom.Pointer, p, ds, slopes);
                        for (int r = 0; r < count; r++)
                        {
                            (int key, int columns, int at, _) = runs[r];
                            float* k = list is null ? KeyAt(Key, batch, keyHead, key, d) : columnRoom.Pointer + (at * d);
                            Multiply<V>(false, false, rows.Count, d, columns, Shape.Scale, ds + at, KeyTile, k, d, 1f, dq, d);
                            if (list is null)
                            {
                                Multiply<V>(true, false, columns, dv, rows.Count, 1f, p + at, KeyTile, g, dv, 1f, KeyAt(ValueGradient, batch, keyHead, key, dv), dv);
                                Multiply<V>(true, false, columns, d, rows.Count, Shape.Scale, ds + at, KeyTile, rows.Query, d, 1f, KeyAt(KeyGradient, batch, keyHead, key, d), d);
                                continue;
                            }
                            Multiply<V>(true, false, columns, dv, rows.Count, 1f, p + at, KeyTile, g, dv, 0f, sums, dv);
                            AddRows(ValueGradient, batch, keyHead, list.AsSpan(key, columns), sums, dv);
                            Multiply<V>(true, false, columns, d, rows.Count, Shape.Scale, ds + at, KeyTile, rows.Query, d, 0f, sums, d);
                            AddRows(KeyGradient, batch, keyHead, list.AsSpan(key, columns), sums, d);
                        }
                    }
                    if (!scattered) continue;
                    for (int i = 0; i < rows.Count; i++) Copy(dq + ((nint)i * d), QueryAt(QueryGradient, batch, head, rows.Position(i), d), d);
                }
            }
        }

        private readonly void AddRows(float* tensor, int batch, int keyHead, ReadOnlySpan<int> positions, float* rows, int size)
        {
            for (int j = 0; j < positions.Length; j++)
            {
                var to = new Span<float>(KeyAt(tensor, batch, keyHead, positions[j], size), size);
                TensorPrimitives.Add(to, new ReadOnlySpan<float>(rows + ((nint)j * size), size), to);
            }
        }

        private readonly void BiasTile<V>(int biasBatch, int biasHead, int tile) where V : unmanaged, IVector<V>
        {
            int d = Shape.HeadSize, dv = Shape.ValueSize;
            float* to = BiasGradient + ((((nint)biasBatch * Shape.BiasHeads) + biasHead) * Shape.Queries * Shape.Keys);
            using Scratch.Buffer scoreBuffer = Scratch.Rent(QueryTile * KeyTile), gradientBuffer = Scratch.Rent(QueryTile * KeyTile);
            using Scratch.Buffer room = Scratch.Rent((long)QueryTile * (d + dv)), columnRoom = Scratch.Rent((long)KeyTile * (d + dv));
            using Scratch.Buffer packed = Scratch.Rent(GemmDriver.LeftLength(QueryTile, d) + GemmDriver.LeftLength(QueryTile, dv));
            float* dots = stackalloc float[QueryTile];
            KeyRun* runs = stackalloc KeyRun[MostRuns];
            (int batch, int lastBatch) = Shape.BiasBatchStride == 0 ? (0, Shape.Batch) : (biasBatch, biasBatch + 1);
            (int firstHead, int lastHead) = Shape.BiasHeadStride == 0 ? (0, Shape.QueryHeads) : (biasHead, biasHead + 1);
            for (; batch < lastBatch; batch++)
            {
                for (int head = firstHead; head < lastHead; head++)
                {
                    QueryRows rows = Rows<V>(batch, head, tile, room.Pointer, packed.Pointer);
                    if (rows.Count == 0) continue;
                    Dots<V>(batch, head, rows, dots);
                    while (rows.Next(runs, out int count, out int all))
                    {
                        ScoreGradients<V>(batch, head, rows, runs, count, all, dots, columnRoom.Pointer, scoreBuffer.Pointer, gradientBuffer.Pointer, null);
                        for (int i = 0; i < rows.Count; i++)
                        {
                            float* row = to + ((nint)rows.Position(i) * Shape.Keys);
                            for (int r = 0; r < count; r++)
                            {
                                (int key, int columns, int at, _) = runs[r];
                                var gradient = new Span<float>(gradientBuffer.Pointer + (i * KeyTile) + at, columns);
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

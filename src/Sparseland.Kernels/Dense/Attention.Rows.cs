using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

public readonly partial record struct Attention
{
    // Distance of the rows of transposed tiles [key, query]: not a power of two, so that the rows of a column lie in different sets of the first-level cache.
    private const int Pitch = QueryTile + 16;

    // Neighbouring keys: the first, their number, and the row of the transposed tile of scores that the first has.
    private readonly record struct KeyRun(int Key, int Columns, int At, bool Biased);

    // A tile of queries: where they are in the tensors, and which keys they meet.
    private unsafe ref struct QueryRows
    {
        /// <summary>Place of the first among the queries that take part, and their number.</summary>
        public int First, Count;

        /// <summary>Columns of the transposed tiles that are computed: <see cref="Count"/> and what fills the last register.</summary>
        public int Width;

        /// <summary>Keys that any of them sees, among those that take part.</summary>
        public int Keys;

        public AttentionPattern.Slice? Slice;

        /// <summary>[Count, headSize] and [Count, valueSize], rows as wide as <see cref="Work.Wide{V}"/> says.</summary>
        public float* Query, OutputGradient;

        /// <summary>The same transposed, [headSize, Pitch] (times the scale) and [valueSize, Pitch].</summary>
        public float* QueryColumns, GradientColumns;

        private int _next;

        /// <summary>Position of row i in the tensors.</summary>
        public readonly int Position(int i) => Slice?.Queries is { } list ? list[First + i] : First + i;

        /// <summary>How many keys <see cref="Next"/> will find in all; where there are tiles, the last one counts as a whole one.</summary>
        public readonly int AllKeys()
        {
            if (Slice is null) return Keys;
            int panels = 0;
            foreach (byte tile in Slice.Row(First / QueryTile)[..AttentionPattern.Panels(Keys)]) panels += tile & AttentionPattern.Visible;
            return panels * AttentionPattern.KeyPanel;
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
            int panel = _next, end = AttentionPattern.Panels(Keys), left = KeyTile / width;
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

    private unsafe partial struct Work
    {
        // Products have whole registers of columns: rows of other sizes are copied to wider ones, filled with zeros.
        public static int Wide<V>(int size) where V : unmanaged, IVector<V> => (size + V.Count - 1) / V.Count * V.Count;

        private readonly float* QueryAt(float* query, int batch, int head, int position, int size) =>
            query + (((((nint)batch * Shape.QueryHeads) + head) * Shape.Queries) + position) * size;

        private readonly float* KeyAt(float* key, int batch, int keyHead, int position, int size) =>
            key + (((((nint)batch * Shape.KeyHeads) + keyHead) * Shape.KeyCapacity) + position) * size;

        private static void Copy(float* from, float* to, int count) => new ReadOnlySpan<float>(from, count).CopyTo(new Span<float>(to, count));

        private static void Copy(float* from, float* to, int count, int wide)
        {
            Copy(from, to, count);
            new Span<float>(to + count, wide - count).Clear();
        }

        // Floats that Rows needs: rows that are copied, and transposed ones.
        private readonly int RowRoom<V>() where V : unmanaged, IVector<V> => (QueryTile * (Wide<V>(Shape.HeadSize) + Wide<V>(Shape.ValueSize))) + (Pitch * (Shape.HeadSize + Shape.ValueSize));

        // The tile's queries and, for gradients, those of the output; both are transposed once for all tiles of keys.
        private readonly QueryRows Rows<V>(int batch, int head, int tile, float* room) where V : unmanaged, IVector<V>
        {
            if (Pattern is not null && Pattern.IsUnread(batch, head, tile)) Pattern.ReadTile(batch, head, tile, Bias);
            AttentionPattern.Slice? slice = Pattern?.At(batch, head);
            int first = tile * QueryTile;
            var rows = new QueryRows { First = first, Count = Math.Clamp((slice?.QueryCount ?? Shape.Queries) - first, 0, QueryTile), Slice = slice };
            if (rows.Count == 0) return rows;
            int keys = KeyLengths == null ? Shape.Keys : KeyLengths[batch];
            if (Shape.Causal) keys = (int)Math.Clamp((long)rows.Position(rows.Count - 1) + Shape.CausalOffset + 1, 0, keys);
            rows.Keys = slice?.Before(keys) ?? keys;
            rows.Width = Wide<V>(rows.Count);
            int d = Shape.HeadSize, dv = Shape.ValueSize;
            rows.Query = Side<V>(Query, batch, head, rows, d, room);
            room += QueryTile * Wide<V>(d);
            bool backward = OutputGradient != null;
            if (backward) rows.OutputGradient = Side<V>(OutputGradient, batch, head, rows, dv, room);
            room += QueryTile * Wide<V>(dv);
            if (rows.Keys == 0) return rows;
            rows.QueryColumns = room;
            if (backward || rows.Count > Few) Turn<V>(rows, rows.Query, d, Shape.Scale, room);
            if (!backward) return rows;
            rows.GradientColumns = room + (d * Pitch);
            Turn<V>(rows, rows.OutputGradient, dv, 1f, rows.GradientColumns);
            return rows;
        }

        // The tile's rows of a tensor of queries or outputs, where they lie or gathered and widened in room [QueryTile, Wide(size)].
        private readonly float* Side<V>(float* tensor, int batch, int head, in QueryRows rows, int size, float* room) where V : unmanaged, IVector<V>
        {
            int wide = Wide<V>(size);
            if (rows.Slice?.Queries is null && wide == size) return QueryAt(tensor, batch, head, rows.First, size);
            for (int i = 0; i < rows.Count; i++) Copy(QueryAt(tensor, batch, head, rows.Position(i), size), room + (i * wide), size, wide);
            return room;
        }

        // to [size, Pitch] = factor * the transpose of rows, zero up to the last register.
        private static void Turn<V>(in QueryRows rows, float* from, int size, float factor, float* to) where V : unmanaged, IVector<V>
        {
            Packing.Transpose(from, Wide<V>(size), rows.Count, size, to, Pitch);
            V f = V.Broadcast(factor);
            for (int p = 0; p < size; p++)
            {
                float* row = to + (p * Pitch);
                for (int i = rows.Count; i < rows.Width; i++) row[i] = 0f;
                if (factor == 1f) continue;
                for (int i = 0; i < rows.Width; i += V.Count) V.Store(V.Multiply(V.Load(row + i), f), row + i);
            }
        }

        // Keys or values of a run, rows as wide as Wide says; gathered and widened ones are copied to their place in room [KeyTile, Wide(size)], and those behind which there are not the rows that a product reads.
        private readonly float* Columns<V>(float* tensor, int batch, int head, in QueryRows rows, KeyRun run, int size, float* room) where V : unmanaged, IVector<V>
        {
            const int panel = MicroKernel.DirectRows;
            int wide = Wide<V>(size), keyHead = KeyHead(head);
            int[]? list = rows.Slice?.Keys;
            float* from = KeyAt(tensor, batch, keyHead, run.Key, size);
            nint left = (nint)(KeyAt(tensor, Shape.Batch - 1, Shape.KeyHeads, 0, size) - from) / size;
            if (list is null && wide == size && left >= (run.Columns + panel - 1) / panel * panel) return from;
            room += run.At * wide;
            for (int j = 0; j < run.Columns; j++) Copy(list is null ? from + ((nint)j * size) : KeyAt(tensor, batch, keyHead, list[run.Key + j], size), room + (j * wide), size, wide);
            return room;
        }
    }
}

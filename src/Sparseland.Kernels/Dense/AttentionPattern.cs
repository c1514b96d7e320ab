using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Sparseland.Kernels.Dense;

/// <summary>Which parts of the score matrices a bias leaves visible: what is negative infinity throughout need not be computed.</summary>
/// <remarks>
/// A slice (one sequence and head of the bias) is cut into tiles of 64 queries x 32 keys. A tile is hidden, plain (visible, and
/// the bias adds nothing but zeros) or biased. When whole queries and keys are hidden, and leaving them out first makes fewer
/// tiles, the slice lists the others and its tiles are those of the smaller matrix. Reading the bias once costs a few per cent of the
/// attention that it belongs to.
/// </remarks>
internal sealed class AttentionPattern
{
    public const int QueryTile = 64;
    public const int KeyPanel = 32;

    /// <summary>Flags of a tile: a score in it is visible; its bias is not zero throughout.</summary>
    public const byte Visible = 1, NotZero = 2;

    private readonly Slice[] _slices;
    private readonly int _batches, _heads;

    private AttentionPattern(Slice[] slices, int batches, int heads) => (_slices, _batches, _heads) = (slices, batches, heads);

    /// <summary>The share of all tiles that is computed.</summary>
    public double Computed => _slices.Length == 0 ? 1 : _slices.Average(s => s.Computed);

    /// <summary>The slice of a sequence and query head.</summary>
    public Slice At(int batch, int head) => _slices[(Math.Min(batch, _batches - 1) * _heads) + Math.Min(head, _heads - 1)];

    /// <summary>Reads a bias; null when there is none.</summary>
    public static unsafe AttentionPattern? FromBias(Attention shape, ReadOnlySpan<float> bias)
    {
        if (bias.IsEmpty || shape.Batch == 0 || shape.Queries == 0 || shape.Keys == 0) return null;
        int batches = shape.BiasBatches, heads = shape.BiasHeads, rows = shape.BiasQueryStride == 0 ? 1 : shape.Queries;
        var slices = new Slice[batches * heads];
        fixed (float* start = bias)
        {
            for (int i = 0; i < slices.Length; i++)
            {
                var source = new Source((nint)(start + ((nint)(i / heads) * shape.BiasBatchStride) + ((nint)(i % heads) * shape.BiasHeadStride)), shape.BiasQueryStride, rows, shape.Queries, shape.Keys);
                slices[i] = source.Read();
            }
        }
        return new AttentionPattern(slices, batches, heads);
    }

    /// <summary>One sequence and head of a bias.</summary>
    /// <param name="queries">The queries that see a key, ascending; null for all.</param>
    /// <param name="keys">The keys that a query sees, ascending; null for all.</param>
    /// <param name="queryCount">How many queries take part.</param>
    /// <param name="keyCount">How many keys take part.</param>
    /// <param name="rowTiles">Rows of tiles that are stored: 1 when all queries share a row of the bias.</param>
    /// <param name="tiles">[rowTiles, panels].</param>
    public sealed class Slice(int[]? queries, int[]? keys, int queryCount, int keyCount, int rowTiles, byte[] tiles)
    {
        private readonly int _panels = Panels(keyCount);

        public int[]? Queries => queries;

        public int[]? Keys => keys;

        public int QueryCount => queryCount;

        public int KeyCount => keyCount;

        /// <summary>Relative to all tiles of the whole matrix only when nothing is listed; a share of the smaller one otherwise.</summary>
        public double Computed => tiles.Length == 0 ? 0 : (double)tiles.Count(t => (t & Visible) != 0) / tiles.Length;

        /// <summary>The tiles of queries <paramref name="tile"/> * 64 and so on, one per panel of keys.</summary>
        public ReadOnlySpan<byte> Row(int tile) => tiles.AsSpan(Math.Min(tile, rowTiles - 1) * _panels, _panels);

        /// <summary>Whether query <paramref name="query"/> sees no key.</summary>
        public bool Hides(int query) => queries is not null && System.Array.BinarySearch(queries, query) < 0;

        /// <summary>How many of the keys that take part lie before <paramref name="key"/>.</summary>
        public int Before(int key)
        {
            if (keys is null) return Math.Min(key, keyCount);
            int at = System.Array.BinarySearch(keys, key);
            return at < 0 ? ~at : at;
        }
    }

    private static int Panels(int keys) => (keys + KeyPanel - 1) / KeyPanel;

    private static int Tiles(int queries) => (queries + QueryTile - 1) / QueryTile;

    private readonly unsafe struct Source(nint bias, nint stride, int rows, int queries, int keys)
    {
        private static readonly int s_minus = BitConverter.SingleToInt32Bits(float.NegativeInfinity);

        public Slice Read()
        {
            Source source = this;
            int rowTiles = Tiles(rows), panels = Panels(keys), count = rows, width = keys;
            var tiles = new byte[rowTiles * panels];
            var seenRows = new bool[rows];
            var torn = new long[rowTiles];
            Parts.Each(rowTiles, (long)rows * keys, tile =>
            {
                for (int row = tile * QueryTile; row < Math.Min(count, (tile + 1) * QueryTile); row++)
                    seenRows[row] = Mark(source.Row(row), tiles.AsSpan(tile * panels, panels), ref torn[tile]);
            });
            int computed = tiles.Count(t => (t & Visible) != 0), seenQueries = seenRows.Count(s => s);
            var whole = new Slice(null, null, queries, keys, rowTiles, tiles);
            // Blocks leave the pieces of 32 keys that a query sees whole, and a triangle tears one of them: where few are torn, no keys are to be left out.
            if (seenQueries == 0 || (torn.Sum() * 4 < (long)seenQueries * computed / rowTiles && seenQueries * 10 > 9 * rows)) return whole;

            // The largest entry of each column, by tile of queries: negative infinity where nobody sees the key.
            var largest = new float[rowTiles * width];
            Parts.Each(rowTiles, (long)rows * keys, tile =>
            {
                Span<float> columns = largest.AsSpan(tile * width, width);
                columns.Fill(float.NegativeInfinity);
                for (int row = tile * QueryTile; row < Math.Min(count, (tile + 1) * QueryTile); row++)
                {
                    if (seenRows[row]) TensorPrimitives.Max(columns, source.Row(row), columns);
                }
            });
            for (int tile = 1; tile < rowTiles; tile++) TensorPrimitives.Max(largest.AsSpan(0, width), largest.AsSpan(tile * width, width), largest.AsSpan(0, width));
            int seenKeys = 0;
            foreach (float v in largest.AsSpan(0, width)) if (!float.IsNegativeInfinity(v)) seenKeys++;
            // A tenth of the tiles must go before gathering is worth its copies.
            if (Tiles(seenQueries) * Panels(seenKeys) >= 0.9 * computed) return whole;

            int[] keyList = [.. Enumerable.Range(0, keys).Where(j => !float.IsNegativeInfinity(largest[j]))];
            int[]? queryList = rows == 1 && queries > 1 ? null : [.. Enumerable.Range(0, rows).Where(r => seenRows[r])];
            int listedRows = queryList?.Length ?? rows, smallTiles = Tiles(listedRows), smallPanels = Panels(keyList.Length);
            var small = new byte[smallTiles * smallPanels];
            Parts.Each(smallTiles, (long)listedRows * keyList.Length, tile =>
            {
                var row = new float[keyList.Length];
                long torn = 0;
                for (int r = tile * QueryTile; r < Math.Min(listedRows, (tile + 1) * QueryTile); r++)
                {
                    ReadOnlySpan<float> values = source.Row(queryList is null ? r : queryList[r]);
                    for (int j = 0; j < row.Length; j++) row[j] = values[keyList[j]];
                    Mark(row, small.AsSpan(tile * smallPanels, smallPanels), ref torn);
                }
            });
            return new Slice(queryList, keyList, queryList?.Length ?? queries, keyList.Length, smallTiles, small);
        }

        private ReadOnlySpan<float> Row(int row) => new((float*)bias + (row * stride), keys);

        // Adds a row to the flags of its tiles; says whether it sees a key, and counts the panels of which it sees a part.
        private static bool Mark(ReadOnlySpan<float> row, Span<byte> tiles, ref long torn)
        {
            // As bits: there is one negative infinity, and a -0 counts as a bias, which is merely slower.
            ReadOnlySpan<int> bits = MemoryMarshal.Cast<float, int>(row);
            Vector512<int> minus = Vector512.Create(s_minus);
            bool sees = false;
            for (int p = 0; p < tiles.Length; p++)
            {
                ReadOnlySpan<int> panel = bits.Slice(p * KeyPanel, Math.Min(KeyPanel, bits.Length - (p * KeyPanel)));
                bool zero, hidden, part;
                if (panel.Length == KeyPanel)
                {
                    Vector512<int> a = Vector512.Create(panel), b = Vector512.Create(panel[Vector512<int>.Count..]);
                    zero = Vector512.EqualsAll(a | b, Vector512<int>.Zero);
                    hidden = !zero && Vector512.EqualsAll(a, minus) && Vector512.EqualsAll(b, minus);
                    part = !zero && !hidden && (Vector512.EqualsAny(a, minus) || Vector512.EqualsAny(b, minus));
                }
                else
                {
                    zero = !panel.ContainsAnyExcept(0);
                    hidden = !panel.ContainsAnyExcept(s_minus);
                    part = !hidden && panel.Contains(s_minus);
                }
                tiles[p] |= (byte)((hidden ? 0 : Visible) | (zero ? 0 : NotZero));
                sees |= !hidden;
                if (part) torn++;
            }
            return sees;
        }
    }
}

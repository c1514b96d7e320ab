using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Sparseland.Kernels.Dense;

/// <summary>Which parts of the score matrices are computed: given as blocks, or read from a bias, where negative infinity throughout need not be.</summary>
/// <remarks>
/// A slice (one sequence and head) is cut into tiles of 64 queries x 32 keys. A tile is hidden, plain (visible, and
/// the bias adds nothing but zeros) or biased. When a bias hides whole queries and keys, and leaving them out first makes fewer
/// tiles, the slice lists the others and its tiles are those of the smaller matrix. A bias per head has as many numbers as there are scores, and
/// reading them costs a tenth of dense attention; what stays the same over several passes (forward and backward, a constant of a network) is read once
/// and handed to each. Dao et al., "FlashAttention", section 3.3. Immutable to its users and safe to use from several threads: what <see cref="FromBiasAsNeeded"/> has left
/// unread is filled in by the pass that needs it, with the same values whoever comes first.
/// </remarks>
public sealed class AttentionPattern
{
    /// <summary>Queries of a tile: the sides of blocks are multiples of it.</summary>
    public const int QueryTile = 64;

    /// <summary>Keys of a tile.</summary>
    public const int KeyPanel = 32;

    // Flags of a tile: a score in it is visible; its bias is not zero throughout.
    internal const byte Visible = 1, NotZero = 2;

    private readonly Slice[] _slices;
    private readonly int _batches, _heads;
    private readonly Attention _shape;
    private readonly bool _hasBias;

    // Row tiles that tell whether a bias hides blocks or scattered tokens.
    private const int Samples = 4;

    private AttentionPattern(Slice[] slices, int batches, int heads, Attention shape, bool hasBias) => (_slices, _batches, _heads, _shape, _hasBias) = (slices, batches, heads, shape, hasBias);

    /// <summary>Reads which scores a bias hides.</summary>
    /// <param name="shape">The attention, with the strides of its bias.</param>
    /// <param name="bias">As in <see cref="Attention.Forward"/>; both passes need it as well, with these values.</param>
    /// <returns>Null when there is no bias or no score.</returns>
    /// <exception cref="ArgumentException">The geometry is invalid or the bias does not fit it.</exception>
    public static unsafe AttentionPattern? FromBias(Attention shape, ReadOnlySpan<float> bias)
    {
        shape.CheckBias(bias.Length);
        if (bias.IsEmpty || shape.Batch == 0 || shape.Queries == 0 || shape.Keys == 0) return null;
        int batches = shape.BiasBatches, heads = shape.BiasHeads, rows = shape.BiasQueryStride == 0 ? 1 : shape.Queries;
        var slices = new Slice[batches * heads];
        fixed (float* start = bias)
        {
            var sources = new Source[slices.Length];
            for (int i = 0; i < slices.Length; i++)
                sources[i] = new Source((nint)(start + ((nint)(i / heads) * shape.BiasBatchStride) + ((nint)(i % heads) * shape.BiasHeadStride)), shape.BiasQueryStride, rows, shape.Queries, shape.Keys);
            // Reading is most of it, so that all slices are read at once.
            int tiles = Tiles(rows);
            var marks = new Marks[slices.Length];
            for (int i = 0; i < marks.Length; i++) marks[i] = new Marks(rows, Panels(shape.Keys));
            Parts.Each(slices.Length * tiles, (long)slices.Length * rows * shape.Keys, part => sources[part / tiles].Mark(marks[part / tiles], part % tiles));
            for (int i = 0; i < slices.Length; i++) slices[i] = sources[i].Read(marks[i]);
        }
        return new AttentionPattern(slices, batches, heads, shape, true);
    }

    /// <summary>
    /// As <see cref="FromBias"/>, for a bias that is used once or twice: where each head has its own and it hides blocks, tiles are read when a pass comes to them, so that reading
    /// goes on beside computing. Where whole tokens are hidden everything is read at once, because the others are gathered.
    /// </summary>
    /// <param name="shape">The attention, with the strides of its bias.</param>
    /// <param name="bias">As in <see cref="Attention.Forward"/>; both passes need it as well, with these values.</param>
    /// <returns>Null when there is no bias or no score.</returns>
    /// <exception cref="ArgumentException">The geometry is invalid or the bias does not fit it.</exception>
    public static unsafe AttentionPattern? FromBiasAsNeeded(Attention shape, ReadOnlySpan<float> bias)
    {
        shape.CheckBias(bias.Length);
        if (bias.IsEmpty || shape.Batch == 0 || shape.Keys == 0 || shape.BiasHeadStride == 0 || shape.BiasQueryStride == 0 || shape.Queries <= QueryTile) return FromBias(shape, bias);
        int batches = shape.BiasBatches, heads = shape.BiasHeads, tiles = Tiles(shape.Queries);
        var slices = new Slice[batches * heads];
        for (int i = 0; i < slices.Length; i++) slices[i] = new Slice(null, null, shape.Queries, shape.Keys, tiles, new byte[tiles * Panels(shape.Keys)], new bool[tiles]);
        var pattern = new AttentionPattern(slices, batches, heads, shape, true);
        fixed (float* start = bias)
        {
            for (int sample = 0; sample < Samples; sample++)
            {
                // From the first tile of the first slice to the last of the last.
                int slice = (slices.Length - 1) * sample / (Samples - 1), tile = (tiles - 1) * sample / (Samples - 1);
                if (!pattern.HidesBlocks(slice / heads, slice % heads, tile, start)) return FromBias(shape, bias);
            }
        }
        return pattern;
    }

    /// <summary>Block-sparse attention without a bias: hidden blocks are not computed, the others are as in dense attention.</summary>
    /// <param name="shape">The attention; a bias has no part in it.</param>
    /// <param name="block">Side of a block in queries and keys: a multiple of <see cref="QueryTile"/>.</param>
    /// <param name="heads">1: all heads share the blocks; or the number of query heads.</param>
    /// <param name="visible">[heads, ceil(queries / block), ceil(keys / block)], whether the scores of a block count.</param>
    /// <exception cref="ArgumentException">The block is no multiple, or the span has the wrong length.</exception>
    public static AttentionPattern FromBlocks(Attention shape, int block, int heads, ReadOnlySpan<bool> visible)
    {
        if (block < QueryTile || block % QueryTile != 0) throw new ArgumentException($"Blocks of {block}; a multiple of {QueryTile} is needed.", nameof(block));
        if (heads != 1 && heads != shape.QueryHeads) throw new ArgumentException($"Blocks of {heads} heads for {shape.QueryHeads}; 1 or all are needed.", nameof(heads));
        int down = (shape.Queries + block - 1) / block, across = (shape.Keys + block - 1) / block, tiles = Tiles(shape.Queries), panels = Panels(shape.Keys);
        if (visible.Length != (long)heads * down * across) throw new ArgumentException($"{visible.Length} blocks; expected [{heads}, {down}, {across}].", nameof(visible));
        var slices = new Slice[heads];
        for (int h = 0; h < heads; h++)
        {
            var flags = new byte[tiles * panels];
            for (int i = 0; i < flags.Length; i++)
            {
                if (visible[(((h * down) + (i / panels * QueryTile / block)) * across) + (i % panels * KeyPanel / block)]) flags[i] = Visible;
            }
            slices[h] = new Slice(null, null, shape.Queries, shape.Keys, tiles, flags);
        }
        return new AttentionPattern(slices, 1, heads, shape, false);
    }

    /// <summary>The slice of a sequence and query head.</summary>
    internal Slice At(int batch, int head) => _slices[(Math.Min(batch, _batches - 1) * _heads) + Math.Min(head, _heads - 1)];

    /// <summary>Whether <see cref="ReadTile"/> has still to read 64 rows of a bias.</summary>
    internal bool IsUnread(int batch, int head, int tile) => At(batch, head).IsUnread(tile);

    /// <summary>Reads 64 rows of a bias.</summary>
    internal unsafe void ReadTile(int batch, int head, int tile, float* bias)
    {
        var flags = new byte[Panels(_shape.Keys)];
        (Source source, int first, int count) = RowsOf(batch, head, tile, bias);
        source.MarkBlocks(first, count, flags);
        At(batch, head).Fill(tile, flags);
    }

    // Whether what 64 rows hide are blocks: these leave a row the panels that it sees whole, and hide rows together.
    private unsafe bool HidesBlocks(int batch, int head, int tile, float* bias)
    {
        var flags = new byte[Panels(_shape.Keys)];
        (Source source, int first, int count) = RowsOf(batch, head, tile, bias);
        long torn = 0;
        int seen = 0, visible = 0;
        for (int row = first; row < first + count; row++)
        {
            if (source.MarkOne(row, flags, ref torn)) seen++;
        }
        foreach (byte flag in flags) visible += flag & Visible;
        return seen == 0 || (torn * 4 < (long)seen * visible && seen * 10 > count * 9);
    }

    private unsafe (Source Source, int First, int Count) RowsOf(int batch, int head, int tile, float* bias)
    {
        int first = tile * QueryTile;
        return (new Source((nint)BiasOf(batch, head, bias), _shape.BiasQueryStride, _shape.Queries, _shape.Queries, _shape.Keys), first, Math.Min(QueryTile, _shape.Queries - first));
    }

    /// <summary>The bias of a sequence and query head.</summary>
    internal unsafe float* BiasOf(int batch, int head, float* bias) =>
        bias + ((nint)Math.Min(batch, _batches - 1) * _shape.BiasBatchStride) + ((nint)Math.Min(head, _heads - 1) * _shape.BiasHeadStride);

    /// <summary>Throws unless this was made for such scores.</summary>
    internal void Check(Attention shape, bool hasBias)
    {
        if (hasBias != _hasBias) throw new ArgumentException(_hasBias ? "A pattern that was read from a bias needs that bias." : "A pattern of blocks has no bias beside it.");
        if (shape.Queries != _shape.Queries || shape.Keys != _shape.Keys || shape.QueryHeads != _shape.QueryHeads || shape.Batch != _shape.Batch)
            throw new ArgumentException($"A pattern of {_shape} for {shape}.");
        // A bias that is shared otherwise hides other scores.
        if (_hasBias && (shape.BiasBatchStride != _shape.BiasBatchStride || shape.BiasHeadStride != _shape.BiasHeadStride || shape.BiasQueryStride != _shape.BiasQueryStride))
            throw new ArgumentException($"A pattern that was read from the bias of {_shape} for {shape}.");
    }

    /// <summary>One sequence and head of a bias.</summary>
    /// <param name="queries">The queries that see a key, ascending; null for all.</param>
    /// <param name="keys">The keys that a query sees, ascending; null for all.</param>
    /// <param name="queryCount">How many queries take part.</param>
    /// <param name="keyCount">How many keys take part.</param>
    /// <param name="rowTiles">Rows of tiles that are stored: 1 when all queries share a row of the bias.</param>
    /// <param name="tiles">[rowTiles, panels].</param>
    /// <param name="read">[rowTiles], which of them are known; null for all.</param>
    internal sealed class Slice(int[]? queries, int[]? keys, int queryCount, int keyCount, int rowTiles, byte[] tiles, bool[]? read = null)
    {
        private readonly int _panels = Panels(keyCount);

        public int[]? Queries => queries;

        public int[]? Keys => keys;

        public int QueryCount => queryCount;

        public int KeyCount => keyCount;

        /// <summary>The tiles of queries <paramref name="tile"/> * 64 and so on, one per panel of keys.</summary>
        public ReadOnlySpan<byte> Row(int tile) => tiles.AsSpan(Math.Min(tile, rowTiles - 1) * _panels, _panels);

        /// <summary>Whether the tiles of queries <paramref name="tile"/> * 64 and so on are not known yet.</summary>
        public bool IsUnread(int tile) => read is not null && !Volatile.Read(ref read[tile]);

        /// <summary>Makes them known.</summary>
        public void Fill(int tile, ReadOnlySpan<byte> flags)
        {
            flags.CopyTo(tiles.AsSpan(tile * _panels, _panels));
            Volatile.Write(ref read![tile], true);
        }

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

    /// <summary>Tiles along so many keys.</summary>
    internal static int Panels(int keys) => (keys + KeyPanel - 1) / KeyPanel;

    private static int Tiles(int queries) => (queries + QueryTile - 1) / QueryTile;

    private readonly unsafe struct Source(nint bias, nint stride, int rows, int queries, int keys)
    {
        private const int EightPanels = 8;

        private static readonly int s_minus = BitConverter.SingleToInt32Bits(float.NegativeInfinity);

        public void Mark(Marks marks, int tile)
        {
            Span<byte> tiles = marks.Tiles.AsSpan(tile * marks.Panels, marks.Panels);
            for (int row = tile * QueryTile; row < Math.Min(rows, (tile + 1) * QueryTile); row++) marks.SeenRows[row] = MarkOne(row, tiles, ref marks.Torn[tile]);
        }

        public Slice Read(Marks marks)
        {
            Source source = this;
            int rowTiles = Tiles(rows), count = rows, width = keys;
            bool[] seenRows = marks.SeenRows;
            int computed = 0, seenQueries = seenRows.AsSpan().Count(true);
            foreach (byte tile in marks.Tiles) computed += tile & Visible;
            var whole = new Slice(null, null, queries, keys, rowTiles, marks.Tiles);
            // Blocks leave the pieces of 32 keys that a query sees whole, and a triangle tears one of them: where few are torn, no keys are to be left out.
            if (seenQueries == 0 || (marks.Torn.Sum() * 4 < (long)seenQueries * computed / rowTiles && seenQueries * 10 > 9 * rows)) return whole;

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
                    MarkRow(row, small.AsSpan(tile * smallPanels, smallPanels), ref torn);
                }
            });
            return new Slice(queryList, keyList, queryList?.Length ?? queries, keyList.Length, smallTiles, small);
        }

        /// <summary>Adds a row to the flags of its tiles; says whether it sees a key, and counts the panels of which it sees a part.</summary>
        public bool MarkOne(int row, Span<byte> tiles, ref long torn) => MarkRow(Row(row), tiles, ref torn);

        /// <summary>The flags of a row of tiles and nothing else, a small part of the work of <see cref="MarkOne"/>: eight tiles at once where registers are wide, the others four rows at once.</summary>
        [SkipLocalsInit]
        public void MarkBlocks(int first, int count, Span<byte> tiles)
        {
            const int chunk = 32;
            // What all rows have in common, and what any has.
            Vector512<int>* all = stackalloc Vector512<int>[2 * chunk];
            Vector512<int>* any = stackalloc Vector512<int>[2 * chunk];
            int whole = keys / KeyPanel, p0 = 0;
            for (; Vector512.IsHardwareAccelerated && p0 + EightPanels <= whole; p0 += EightPanels) MarkEight(first, count, p0, tiles);
            for (; p0 < whole; p0 += chunk)
            {
                int panels = Math.Min(chunk, whole - p0);
                new Span<Vector512<int>>(all, 2 * panels).Fill(Vector512<int>.AllBitsSet);
                new Span<Vector512<int>>(any, 2 * panels).Clear();
                for (int row = 0; row < count; row += 4)
                {
                    // A row that is taken twice changes nothing.
                    int* r0 = Bits(first + row) + (p0 * KeyPanel);
                    int* r1 = Bits(first + Math.Min(row + 1, count - 1)) + (p0 * KeyPanel);
                    int* r2 = Bits(first + Math.Min(row + 2, count - 1)) + (p0 * KeyPanel);
                    int* r3 = Bits(first + Math.Min(row + 3, count - 1)) + (p0 * KeyPanel);
                    for (int half = 0; half < 2 * panels; half++)
                    {
                        int at = half * Vector512<int>.Count;
                        Vector512<int> x0 = Vector512.Load(r0 + at), x1 = Vector512.Load(r1 + at), x2 = Vector512.Load(r2 + at), x3 = Vector512.Load(r3 + at);
                        all[half] &= x0 & x1 & x2 & x3;
                        any[half] |= x0 | x1 | x2 | x3;
                    }
                }
                for (int p = 0; p < panels; p++) tiles[p0 + p] = Flags(all[2 * p] & all[(2 * p) + 1], any[2 * p] | any[(2 * p) + 1]);
            }
            if (whole == tiles.Length) return;
            long torn = 0;
            for (int row = first; row < first + count; row++) MarkRow(Row(row)[(whole * KeyPanel)..], tiles[whole..], ref torn);
        }

        // Bits that all rows have in common and bits that any has stay in sixteen registers on the way down. From memory 50 MB took 1.2 to 1.4 ms so, where four rows at once with both in memory took 2.3 (Zen 5, in an earlier form with more operations for each row).
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void MarkEight(int first, int count, int panel, Span<byte> tiles)
        {
            Vector512<int> a0 = Vector512<int>.AllBitsSet, a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0;
            Vector512<int> o0 = default, o1 = default, o2 = default, o3 = default, o4 = default, o5 = default, o6 = default, o7 = default;
            int* row = Bits(first) + (panel * KeyPanel);
            for (int i = 0; i < count; i++, row += stride)
            {
                Gather(row, ref a0, ref o0);
                Gather(row + KeyPanel, ref a1, ref o1);
                Gather(row + (2 * KeyPanel), ref a2, ref o2);
                Gather(row + (3 * KeyPanel), ref a3, ref o3);
                Gather(row + (4 * KeyPanel), ref a4, ref o4);
                Gather(row + (5 * KeyPanel), ref a5, ref o5);
                Gather(row + (6 * KeyPanel), ref a6, ref o6);
                Gather(row + (7 * KeyPanel), ref a7, ref o7);
            }
            tiles = tiles.Slice(panel, EightPanels);
            tiles[0] = Flags(a0, o0);
            tiles[1] = Flags(a1, o1);
            tiles[2] = Flags(a2, o2);
            tiles[3] = Flags(a3, o3);
            tiles[4] = Flags(a4, o4);
            tiles[5] = Flags(a5, o5);
            tiles[6] = Flags(a6, o6);
            tiles[7] = Flags(a7, o7);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Gather(int* panel, ref Vector512<int> all, ref Vector512<int> any)
        {
            Vector512<int> x = Vector512.Load(panel), y = Vector512.Load(panel + Vector512<int>.Count);
            all &= x & y;
            any |= x | y;
        }

        // Hidden where every number is negative infinity: what all of them and what any of them has are its bits.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static byte Flags(Vector512<int> all, Vector512<int> any)
        {
            Vector512<int> minus = Vector512.Create(s_minus);
            return (byte)((all == minus && any == minus ? 0 : Visible) | (any == Vector512<int>.Zero ? 0 : NotZero));
        }

        private int* Bits(int row) => (int*)((float*)bias + (row * stride));

        private ReadOnlySpan<float> Row(int row) => new((float*)bias + (row * stride), keys);

        private static bool MarkRow(ReadOnlySpan<float> row, Span<byte> tiles, ref long torn)
        {
            // As bits: there is one negative infinity, and a -0 counts as a bias, which is merely slower.
            ReadOnlySpan<int> bits = MemoryMarshal.Cast<float, int>(row);
            Vector512<int> minus = Vector512.Create(s_minus);
            int whole = bits.Length / KeyPanel, sees = 0, parts = 0;
            fixed (int* start = bits)
            {
                fixed (byte* flags = tiles)
                {
                    for (int p = 0; p < whole; p++)
                    {
                        int* panel = start + (p * KeyPanel);
                        Vector512<int> a = Vector512.Load(panel), b = Vector512.Load(panel + Vector512<int>.Count);
                        uint hides = (uint)Vector512.Equals(a, minus).ExtractMostSignificantBits() | ((uint)Vector512.Equals(b, minus).ExtractMostSignificantBits() << Vector512<int>.Count);
                        if (hides == uint.MaxValue)
                        {
                            flags[p] |= NotZero;
                            continue;
                        }
                        sees = 1;
                        if (hides != 0) parts++;
                        flags[p] |= (a | b) == Vector512<int>.Zero ? Visible : (byte)(Visible | NotZero);
                    }
                }
            }
            if (whole < tiles.Length)
            {
                ReadOnlySpan<int> panel = bits[(whole * KeyPanel)..];
                bool hidden = !panel.ContainsAnyExcept(s_minus);
                tiles[whole] |= (byte)((hidden ? 0 : Visible) | (panel.ContainsAnyExcept(0) ? NotZero : 0));
                if (!hidden) sees = 1;
                if (!hidden && panel.Contains(s_minus)) parts++;
            }
            torn += parts;
            return sees != 0;
        }
    }

    /// <summary>What reading a slice finds: flags of its tiles, which rows see a key, and how many panels are seen in part.</summary>
    private sealed class Marks(int rows, int panels)
    {
        public int Panels => panels;

        public byte[] Tiles { get; } = new byte[AttentionPattern.Tiles(rows) * panels];

        public bool[] SeenRows { get; } = new bool[rows];

        public long[] Torn { get; } = new long[AttentionPattern.Tiles(rows)];
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A sparse matrix W [rows, columns] whose rows are put in order, block of lines by block of lines, by the number of values that they have there: what <see cref="CountedCode"/> multiplies.</summary>
/// <remarks>
/// <para>Straight-line code (<see cref="CompiledMatrix"/>) takes 14 bytes of code and values for each stored value, once for 16 columns. A matrix of more code than the second cache holds is read from beyond it for each 16 or, in groups of panels, runs
/// out of the second cache at the rate at which instructions come from there. Here a value takes 6 bytes, once for 32 or 64 columns, and they come as data, which the core fetches ahead by itself.</para>
/// <para>Rows of a block are sorted by how many values they have there, and neighbours multiplied together as a unit of as many products as the longest has. Units of one length are a group, so that no loop ends where a predictor of jumps
/// does not know it: in the order of the rows products took 15 to 50 % longer. Values within a row and blocks keep the order of the columns: each output is rounded as everywhere (record 2).</para>
/// <para>Rows are cut into chunks whose sums, of as many columns as the code takes at a time, stay in the second cache while all blocks have their turn (but see <see cref="CountedCode.SharedBytes"/>); threads share the chunks.</para>
/// </remarks>
internal sealed unsafe class CountedMatrix : CodedMatrix
{
    // From so many of 100 stored values on, lines serve enough values that sums may be spilled twice as often: then four registers of columns share what a value costs besides.
    private const int ThickDensity = 15;

    // With more columns straight-line code is used often enough once it is in the second cache: for 14 x 14 pixels both took as long in ResNet-50.
    private const int MostColumns = 128;

    // Straight-line code and values of so many fill the second cache; with fewer, products that are repeated alone find them there. Where the layers of a network take turns, code of a tenth of a megabyte comes from far as well.
    private const int LeastStored = 75_000, LeastStoredFromFar = 10_000;

    // Up to so many columns the loop keeps up with code that stays near from fewer values on, and is a quarter faster where something else had the second cache in between, which code of half a megabyte leaves soon (Zen 5, one thread; two threads took 0.99 to 1.09 of the time of code with 31 000). With fewer
    // values still, and with 80 and more columns, code that is near is up to a third faster; with one register of columns half as fast again (512 x 256 at a quarter, 5 rows of a linear layer: 10 us and 15).
    private const int FewColumns = 64, LeastStoredForFew = 30_000;

    // Thicker weights that are repeated alone: code of one load for several values is read a tenth faster out of the third cache than the loop multiplies, and as fast out of memory (Zen 5, 512 x 512 to 2048 x 2048, 32 to 128 columns).
    // With 16 columns, once for which everything is read, that ends where the third cache does not hold it: 2048 x 2048 took 1.9 times as long as the loop.
    private const int ThinDensity = 30, LeastStoredOnce = 600_000;

    // Rows that are worth a chunk of their own: with fewer, groups have too few rows.
    private const int LeastRows = 64;

    private readonly ushort[] _numbers;
    private readonly float[] _values;
    private readonly int[] _order, _rows, _chunkRows;
    private readonly CountedCode.Group[] _groups;
    private readonly Part[] _parts;

    private CountedMatrix(CountedCode code, int rows, int[] line, int[] lines, int[] rowPointers, int[] indices)
    {
        (Code, RowCount, Lines, Threads) = (code, rows, lines, WorkPool.Threads);
        int most = code.LinesFor(Density(rows, lines.Length, indices.Length));
        Blocks = (Lines.Length + most - 1) / most;
        // Blocks of one size: a short last one would spill all sums for little.
        Depth = (Lines.Length + Blocks - 1) / Blocks;
        // Chunks have as many stored values as each other.
        long sums = (long)rows * code.MostTiles * CompiledMatrix.Lanes * sizeof(float);
        int chunks = (int)Math.Max((sums + code.ChunkBytes - 1) / code.ChunkBytes, Math.Clamp(rows / LeastRows, 1, Threads));
        _chunkRows = new int[chunks + 1];
        fixed (int* pointers = rowPointers) RowPartition.Fill(pointers, rows, _chunkRows);

        _parts = new Part[chunks * Blocks + 1];
        var order = new Sorter(this, line, rowPointers, indices);
        for (int c = 0; c < chunks; c++)
        {
            for (int b = 0; b < Blocks; b++)
            {
                _parts[c * Blocks + b] = order.Position;
                order.Add(_chunkRows[c], _chunkRows[c + 1], b);
            }
        }
        _parts[^1] = order.Position;
        (_groups, _rows, _numbers, _order) = order.Finish();
        _values = GC.AllocateUninitializedArray<float>(_numbers.Length, pinned: true);
        StoredCount = indices.Length;
    }

    /// <summary>Rows of W.</summary>
    public int RowCount { get; }

    /// <inheritdoc/>
    public override int[] Lines { get; }

    /// <summary>Lines of a block: sums rest between blocks.</summary>
    public int Depth { get; }

    /// <summary>Blocks of lines.</summary>
    public int Blocks { get; }

    /// <summary>Chunks of rows: pieces of work.</summary>
    public int Chunks => _chunkRows.Length - 1;

    /// <summary>How many threads the rows were cut into chunks for: more would find nothing to do.</summary>
    public int Threads { get; }

    /// <summary>What multiplies.</summary>
    public CountedCode Code { get; }

    /// <inheritdoc/>
    public override SparseForm Form => SparseForm.Counted;

    /// <inheritdoc/>
    public override int StoredCount { get; }

    /// <inheritdoc/>
    public override long Bytes => sizeof(ushort) * (long)_numbers.Length + sizeof(float) * (long)_values.Length + sizeof(int) * ((long)_order.Length + _rows.Length + _chunkRows.Length + Lines.Length) + sizeof(CountedCode.Group) * (long)_groups.Length;

    /// <summary>Whether products are faster than with straight-line code.</summary>
    /// <param name="stored">Stored values.</param>
    /// <param name="places">Rows times columns of the matrix.</param>
    /// <param name="width">Columns of a product.</param>
    /// <param name="comesFromFar">As for <see cref="CompiledMatrix.TryCompile"/>.</param>
    public static bool Pays(int stored, long places, long width, bool comesFromFar)
    {
        // Without AVX-512 there is no straight-line code.
        if (CompiledMatrix.Usable256) return CountedCode256.At(CountedCode256.IndexFor(width)).IsUsable;
        if (!VectorUnits.AreFullWidth || width > MostColumns || !CountedCode512.Many.IsUsable) return false;
        if (comesFromFar) return stored >= LeastStoredFromFar;
        return stored >= (width is > CompiledMatrix.Lanes and <= FewColumns ? LeastStoredForFew : LeastStored) && 100L * stored < ThinDensity * places || width <= CompiledMatrix.Lanes && stored >= LeastStoredOnce;
    }

    /// <summary>How many ways there are of putting one structure in order.</summary>
    public static int Orders => CountedCode256.Count + 1;

    /// <summary>Which of them products with so many columns need.</summary>
    public static int OrderFor(long width) => CompiledMatrix.Usable256 ? CountedCode256.IndexFor(width) : CountedCode256.Count;

    /// <summary>Whether a new order for products with so many columns would be this one; only without AVX-512.</summary>
    public bool IsOrderFor(long width) => CompiledMatrix.Usable256 && Code == CountedCode256.For(width, Lines.Length, Density(RowCount, Lines.Length, StoredCount));

    /// <summary>Puts a structure in order; null where there is nothing to multiply or it cannot win.</summary>
    /// <param name="rows">Rows of W.</param>
    /// <param name="columns">Columns of W.</param>
    /// <param name="rowPointers">Where each row starts; rows + 1 entries.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="width">Columns of a product; others are possible, and slower.</param>
    /// <param name="leastReuse">Stored values that a used column must hold on average.</param>
    /// <param name="code">What multiplies; null for the fastest.</param>
    public static CountedMatrix? TryCreate(int rows, int columns, int[] rowPointers, int[] indices, long width, int leastReuse = 0, CountedCode? code = null)
    {
        // The packers of AVX2 that go tap by tap take all lines: with 64 rows at 95 % zeros, where one in 27 columns holds nothing, 3 x 3 kernels spent twice as long on packing line by line. Rows of a matrix are packed line by line either way, and then up to a seventh more of them: 1.04 of the time for 64 rows at 95 % zeros, 1.16 for 64 x 256 by 3136 columns at 97 % (Zen 3, one thread, seen once).
        (int[] line, int[] lines, int holding) = UsedColumns(columns, indices, CompiledMatrix.Usable256 ? UnusedShare : 0);
        if (indices.Length == 0 || (long)holding * leastReuse > indices.Length) return null;
        code ??= CompiledMatrix.Usable256 ? CountedCode256.For(width, lines.Length, Density(rows, lines.Length, indices.Length))
            : 100L * indices.Length >= (long)ThickDensity * rows * lines.Length ? CountedCode512.Few : CountedCode512.Many;
        return new CountedMatrix(code, rows, line, lines, rowPointers, indices);
    }

    /// <inheritdoc/>
    protected override int[] Order => _order;

    /// <inheritdoc/>
    protected override Memory<float> Values => _values.AsMemory(CountedCode.Margin, _order.Length);

    /// <summary>The rows of a chunk.</summary>
    public (int First, int End) Rows(int chunk) => (_chunkRows[chunk], _chunkRows[chunk + 1]);

    /// <summary>Multiplies one chunk of rows with one block of lines.</summary>
    /// <param name="chunk">Which chunk.</param>
    /// <param name="block">Which block; the first begins with bias and residual, the last clamps.</param>
    /// <param name="registers">Registers of columns.</param>
    /// <param name="arguments">Input, sums, output, residual, bias, clamp and masks are given.</param>
    public void Run(int chunk, int block, int registers, CountedCode.Arguments arguments)
    {
        int at = chunk * Blocks + block;
        Part part = _parts[at];
        arguments.GroupCount = _parts[at + 1].Group - part.Group;
        if (arguments.GroupCount == 0) return;
        fixed (ushort* numbers = _numbers)
        fixed (float* values = _values)
        fixed (int* rows = _rows)
        fixed (CountedCode.Group* groups = _groups)
        {
            arguments.Numbers = numbers + CountedCode.Margin + part.Value;
            arguments.Values = values + CountedCode.Margin + part.Value;
            arguments.Rows = rows + part.Row;
            arguments.Groups = groups + part.Group;
            Code.Run(registers, StageOf(block), &arguments);
        }
    }

    private static double Density(int rows, int lines, int stored) => (double)stored / ((long)rows * lines);

    private CountedCode.Stages StageOf(int block) => (block == 0 ? CountedCode.Stages.First : 0) | (block == Blocks - 1 ? CountedCode.Stages.Last : 0);

    private readonly record struct Part(int Group, int Row, int Value);

    /// <summary>Finds the groups of one chunk and block after the other.</summary>
    private sealed class Sorter(CountedMatrix matrix, int[] line, int[] rowPointers, int[] indices)
    {
        private readonly int[] _position = rowPointers[..^1], _starts = new int[matrix.Depth + 2], _ends = new int[matrix.RowCount], _sorted = new int[matrix.RowCount];
        private readonly List<CountedCode.Group> _groups = [];
        private readonly List<int> _rows = [], _order = new(indices.Length);
        private readonly List<ushort> _numbers = new(indices.Length);
        private int _firstGroup;

        /// <summary>Where the next part begins.</summary>
        public Part Position => new(_groups.Count, _rows.Count, _order.Count);

        /// <summary>Appends a part.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Add(int first, int end, int block)
        {
            int firstLine = block * matrix.Depth, endLine = firstLine + matrix.Depth;
            // Where each count's rows start in their order: counting sort.
            _starts.AsSpan().Clear();
            for (int r = first; r < end; r++)
            {
                int j = _position[r];
                while (j < rowPointers[r + 1] && line[indices[j]] < endLine) j++;
                _ends[r] = j;
                _starts[Count(r) + 1]++;
            }
            // Rows without values have sums to begin or to end.
            int without = matrix.StageOf(block) == CountedCode.Stages.Middle ? _starts[1] : 0;
            for (int n = 1; n < _starts.Length; n++) _starts[n] += _starts[n - 1];
            for (int r = first; r < end; r++) _sorted[_starts[Count(r)]++] = r;
            _firstGroup = _groups.Count;
            ReadOnlySpan<int> rows = _sorted.AsSpan(without, end - first - without);
            int unit = matrix.Code.UnitRows, singles = rows.Length % unit;
            for (int i = 0; i < singles; i++) Add(rows.Slice(i, 1), firstLine);
            for (int i = singles; i < rows.Length; i += unit) Add(rows.Slice(i, unit), firstLine);
            for (int r = first; r < end; r++) _position[r] = _ends[r];
        }

        public (CountedCode.Group[] Groups, int[] Rows, ushort[] Numbers, int[] Order) Finish()
        {
            for (int i = 0; i < CountedCode.RowsAhead + CountedCode.MostRows; i++) _rows.Add(0);
            ushort[] numbers = GC.AllocateUninitializedArray<ushort>(_numbers.Count + 2 * CountedCode.Margin, pinned: true);
            _numbers.CopyTo(numbers, CountedCode.Margin);
            return ([.. _groups], [.. _rows], numbers, [.. _order]);
        }

        private int Count(int row) => _ends[row] - _position[row];

        /// <summary>Appends a unit, or a single row, to the group of its count or to a new one; its shorter rows are filled up with products that leave every sum as it is.</summary>
        private void Add(ReadOnlySpan<int> rows, int firstLine)
        {
            int count = Count(rows[^1]), most = matrix.Code.Products, passes = Math.Max(1, (count + most - 1) / most), first = count - (passes - 1) * most;
            bool single = rows.Length < matrix.Code.UnitRows;
            if (_groups.Count == _firstGroup || _groups[^1].First != first || _groups[^1].Passes != passes || _groups[^1].Singles > 0 != single)
                _groups.Add(new CountedCode.Group { First = first, Passes = passes });
            CollectionsMarshal.AsSpan(_groups)[^1].Add(single);
            foreach (int r in rows) _rows.Add(r);
            for (int n = 0; n < count; n++)
            {
                foreach (int r in rows)
                {
                    int j = _position[r] + n;
                    bool fills = j >= _ends[r];
                    _numbers.Add((ushort)((fills ? matrix.Code.ZeroLine : line[indices[j]] - firstLine) * CompiledMatrix.Lanes * sizeof(float)));
                    _order.Add(fills ? Filler : j);
                }
            }
        }
    }
}

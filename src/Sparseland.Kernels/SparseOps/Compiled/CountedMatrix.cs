using System.Runtime.CompilerServices;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A sparse matrix W [rows, columns] whose rows are put in order, block of lines by block of lines, by the number of values that they have there: what <see cref="CountedCode"/> multiplies.</summary>
/// <remarks>
/// <para>Straight-line code (<see cref="CompiledMatrix"/>) takes 14 bytes of code and values for each stored value, once for 16 columns. A matrix of more code than the second cache holds is read from beyond it for each 16 or, in groups of panels, runs
/// out of the second cache at the rate at which instructions come from there. Here a value takes 6 bytes, once for 32 or 64 columns, and they come as data, which the core fetches ahead by itself.</para>
/// <para>Rows of a block that have as many values as each other are a group, so that no loop ends where a predictor of jumps does not know it: in the order of the rows products took 15 to 50 % longer. Values within a row
/// and blocks keep the order of the columns: each output is rounded as everywhere (record 2).</para>
/// <para>Rows are cut into chunks whose sums stay in the second cache while all blocks have their turn; threads share the chunks.</para>
/// </remarks>
internal sealed unsafe class CountedMatrix : CodedMatrix
{
    // From so many of 100 stored values on, lines serve enough values that sums may be spilled twice as often: then four registers of columns share what a value costs besides.
    private const int ThickDensity = 15;

    // With more columns straight-line code is used often enough once it is in the second cache.
    private const int MostColumns = 128;

    // Straight-line code of so many values fills half of the second cache; with less of it, products that are repeated alone find it there. Where the layers of a network take turns, code of a tenth of a megabyte
    // comes from far as well.
    private const int LeastStored = 40_000, LeastStoredFromFar = 10_000;

    // Bytes of the sums of a chunk.
    private const int SumsBytes = 256 * 1024;

    // Rows that are worth a chunk of their own: with fewer, groups have too few rows.
    private const int LeastRows = 64;

    private readonly ushort[] _numbers;
    private readonly float[] _values;
    private readonly int[] _order, _rows, _chunkRows;
    private readonly CountedCode.Group[] _groups;
    private readonly Part[] _parts;

    private CountedMatrix(int rows, int[] line, int[] lines, int[] rowPointers, int[] indices)
    {
        (RowCount, Lines) = (rows, lines);
        bool thick = 100L * indices.Length >= (long)ThickDensity * rows * Lines.Length;
        UnitRows = thick ? CountedCode.FewRows : CountedCode.ManyRows;
        int most = CountedCode.LinesOf(UnitRows);
        Blocks = (Lines.Length + most - 1) / most;
        // Blocks of one size: a short last one would spill all sums for little.
        Depth = (Lines.Length + Blocks - 1) / Blocks;
        long sums = Blocks == 1 ? 0 : (long)rows * MostRegisters * CompiledMatrix.Lanes * sizeof(float);
        int chunks = (int)Math.Max((sums + SumsBytes - 1) / SumsBytes, Math.Clamp(rows / LeastRows, 1, WorkPool.Threads));
        _chunkRows = new int[chunks + 1];
        fixed (int* pointers = rowPointers) RowPartition.Fill(pointers, rows, _chunkRows);

        _numbers = GC.AllocateUninitializedArray<ushort>(indices.Length + 2 * CountedCode.Margin, pinned: true);
        _values = GC.AllocateUninitializedArray<float>(indices.Length + 2 * CountedCode.Margin, pinned: true);
        _order = new int[indices.Length];
        _parts = new Part[chunks * Blocks + 1];
        var order = new Order(this, line, rowPointers, indices);
        for (int c = 0; c < chunks; c++)
        {
            for (int b = 0; b < Blocks; b++)
            {
                _parts[c * Blocks + b] = order.Position;
                order.Add(_chunkRows[c], _chunkRows[c + 1], b);
            }
        }
        _parts[^1] = order.Position;
        (_groups, _rows) = order.Finish();
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

    /// <summary>Rows of a unit, see <see cref="CountedCode"/>.</summary>
    public int UnitRows { get; }

    /// <summary>Registers of columns that are multiplied at a time at most.</summary>
    public int MostRegisters => CountedCode.RegistersOf(UnitRows);

    /// <inheritdoc/>
    public override int StoredCount => _order.Length;

    /// <inheritdoc/>
    public override long Bytes => sizeof(ushort) * (long)_numbers.Length + sizeof(float) * (long)_values.Length + sizeof(int) * ((long)_order.Length + _rows.Length + _chunkRows.Length + Lines.Length) + sizeof(CountedCode.Group) * (long)_groups.Length;

    /// <summary>Whether products with so many columns are faster than with straight-line code.</summary>
    /// <param name="stored">Stored values.</param>
    /// <param name="columns">Columns of a product.</param>
    /// <param name="comesFromFar">As for <see cref="CompiledMatrix.TryCompile"/>.</param>
    public static bool Pays(int stored, long columns, bool comesFromFar) =>
        VectorUnits.AreFullWidth && columns <= MostColumns && stored >= (comesFromFar ? LeastStoredFromFar : LeastStored) && CountedCode.IsUsable;

    /// <summary>Puts a structure in order; null where there is nothing to multiply or it cannot win.</summary>
    /// <param name="rows">Rows of W.</param>
    /// <param name="columns">Columns of W.</param>
    /// <param name="rowPointers">Where each row starts; rows + 1 entries.</param>
    /// <param name="indices">The column of each stored value, ascending within a row.</param>
    /// <param name="leastReuse">Stored values that a used column must hold on average.</param>
    public static CountedMatrix? TryCreate(int rows, int columns, int[] rowPointers, int[] indices, int leastReuse = 0)
    {
        (int[] line, int[] lines) = UsedColumns(columns, indices);
        return indices.Length == 0 || (long)lines.Length * leastReuse > indices.Length ? null : new CountedMatrix(rows, line, lines, rowPointers, indices);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void SetValues(ReadOnlySpan<float> values)
    {
        int[] order = _order;
        Span<float> to = _values.AsSpan(CountedCode.Margin, order.Length);
        for (int i = 0; i < order.Length; i++) to[i] = values[order[i]];
    }

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
            CountedCode.Run(UnitRows, registers, StageOf(block), &arguments);
        }
    }

    private CountedCode.Stages StageOf(int block) => (block == 0 ? CountedCode.Stages.First : 0) | (block == Blocks - 1 ? CountedCode.Stages.Last : 0);

    private readonly record struct Part(int Group, int Row, int Value);

    /// <summary>Finds the groups of one chunk and block after the other.</summary>
    private sealed class Order(CountedMatrix matrix, int[] line, int[] rowPointers, int[] indices)
    {
        private readonly int[] _position = rowPointers[..^1], _counts = new int[matrix.Depth + 2], _ends = new int[matrix.RowCount], _sorted = new int[matrix.RowCount];
        private readonly List<CountedCode.Group> _groups = [];
        private readonly List<int> _rows = [];
        private int _value;

        /// <summary>Where the next part begins.</summary>
        public Part Position => new(_groups.Count, _rows.Count, _value);

        /// <summary>Appends a part.</summary>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public void Add(int first, int end, int block)
        {
            int firstLine = block * matrix.Depth, endLine = firstLine + matrix.Depth;
            // Where each count's rows start in their order: counting sort.
            _counts.AsSpan().Clear();
            for (int r = first; r < end; r++)
            {
                int j = _position[r];
                while (j < rowPointers[r + 1] && line[indices[j]] < endLine) j++;
                _ends[r] = j;
                _counts[j - _position[r] + 1]++;
            }
            for (int n = 1; n < _counts.Length; n++) _counts[n] += _counts[n - 1];
            for (int r = first; r < end; r++) _sorted[_counts[_ends[r] - _position[r]]++] = r;
            // Each start has moved to the next count's. Rows without values have sums to begin or to end.
            bool passes = matrix.StageOf(block) == CountedCode.Stages.Middle;
            for (int count = passes ? 1 : 0, i = passes ? _counts[0] : 0; i < end - first; i = _counts[count++])
            {
                if (_counts[count] > i) Add(count, _sorted.AsSpan(i, _counts[count] - i), firstLine);
            }
            for (int r = first; r < end; r++) _position[r] = _ends[r];
        }

        public (CountedCode.Group[] Groups, int[] Rows) Finish()
        {
            // The rows of one more unit are read and asked for, whichever they are.
            for (int i = 0; i < CountedCode.ManyRows; i++) _rows.Add(0);
            return ([.. _groups], [.. _rows]);
        }

        private void Add(int count, ReadOnlySpan<int> rows, int firstLine)
        {
            int most = CountedCode.ProductsOf(matrix.UnitRows), passes = Math.Max(1, (count + most - 1) / most), units = rows.Length / matrix.UnitRows;
            _groups.Add(new CountedCode.Group { First = count - (passes - 1) * most, Passes = passes, Units = units, Singles = rows.Length - units * matrix.UnitRows });
            foreach (int r in rows) _rows.Add(r);
            for (int i = 0, each; i < rows.Length; i += each)
            {
                each = i < units * matrix.UnitRows ? matrix.UnitRows : 1;
                for (int n = 0; n < count; n++)
                {
                    for (int u = 0; u < each; u++)
                    {
                        int j = _position[rows[i + u]] + n;
                        matrix._numbers[CountedCode.Margin + _value] = (ushort)((line[indices[j]] - firstLine) * CompiledMatrix.Lanes * sizeof(float));
                        matrix._order[_value++] = j;
                    }
                }
            }
        }
    }
}

using System.Runtime.CompilerServices;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A sparse matrix that machine code multiplies: code of its own (<see cref="CompiledMatrix"/>), or code for all (<see cref="CountedMatrix"/>).</summary>
internal abstract class CodedMatrix
{
    /// <summary>Multiply-adds of 16 columns: below, waking a thread costs more than it brings.</summary>
    public const long WorthAPart = 4096;

    /// <summary>Stands for the value of a product that fills up a row: it is -0, and its input +0. Their product is -0, which changes no sum, not even one of -0.</summary>
    protected const int Filler = -1;

    /// <summary>One in so many columns may hold nothing and be a line all the same: then lines are where they are in the input, and packers need no list of them.</summary>
    protected const int UnusedShare = 8;

    // Values are taken over at about a nanosecond each: a thread is woken for no fewer.
    private const int ValuesPerPart = 16 * 1024;

    /// <summary>Line i of a product is row Lines[i] of the input: the columns that hold anything, ascending, or all of them.</summary>
    public abstract int[] Lines { get; }

    /// <summary>How it is multiplied.</summary>
    public abstract SparseForm Form { get; }

    /// <summary>Stored values.</summary>
    public abstract int StoredCount { get; }

    /// <summary>Bytes of code, structure and values.</summary>
    public abstract long Bytes { get; }

    /// <summary>Where the value at each place of the code's order is given, or <see cref="Filler"/>.</summary>
    protected abstract int[] Order { get; }

    /// <summary>Values in the code's order.</summary>
    protected abstract Memory<float> Values { get; }

    /// <summary>From now on values are given in another order: the stored value i of row order is at source[i].</summary>
    public void TakeFrom(ReadOnlySpan<int> source)
    {
        foreach (ref int place in Order.AsSpan())
        {
            if (place != Filler) place = source[place];
        }
    }

    /// <summary>Takes over values, given in row order or in that of <see cref="TakeFrom"/>.</summary>
    public void SetValues(float[] values) => WorkPool.Run((Order.Length + ValuesPerPart - 1) / ValuesPerPart, new ValueParts { From = values, Order = Order, To = Values });

    /// <summary>The lines of a structure, the number of each column among them (-1 for others), and how many columns hold anything.</summary>
    /// <param name="columns">Columns of the matrix.</param>
    /// <param name="indices">The column of each stored value.</param>
    /// <param name="unusedShare">Where at most one in so many columns holds nothing, all are lines; 0: only those that hold something.</param>
    protected static (int[] LineOf, int[] Lines, int Holding) UsedColumns(int columns, ReadOnlySpan<int> indices, int unusedShare = 0)
    {
        var line = new int[columns];
        foreach (int c in indices) line[c] = 1;
        int holding = 0;
        for (int c = 0; c < columns; c++) holding += line[c];
        bool all = unusedShare > 0 && columns - holding <= columns / unusedShare;
        int used = 0;
        for (int c = 0; c < columns; c++) line[c] = all || line[c] != 0 ? used++ : -1;
        var lines = new int[used];
        for (int c = 0; c < columns; c++)
        {
            if (line[c] >= 0) lines[line[c]] = c;
        }
        return (line, lines, holding);
    }

    private struct ValueParts : IParts
    {
        public float[] From;
        public int[] Order;
        public Memory<float> To;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int part)
        {
            int first = part * ValuesPerPart, count = Math.Min(ValuesPerPart, Order.Length - first);
            ReadOnlySpan<float> from = From;
            ReadOnlySpan<int> order = Order.AsSpan(first, count);
            Span<float> to = To.Span.Slice(first, count);
            for (int i = 0; i < order.Length; i++) to[i] = order[i] == Filler ? -0f : from[order[i]];
        }
    }
}

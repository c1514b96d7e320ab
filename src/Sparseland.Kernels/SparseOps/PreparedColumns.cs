using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A full matrix laid out once by its columns for products with vectors that have zeros (<see cref="ColumnGemv"/>): columns beside them are not read.</summary>
/// <remarks>
/// Hardware that reads ahead begins anew with each page of 4 KiB and knows no end of a column: it goes on into the next, which may be skipped. So columns are whole pages apart, else whole lines, each where that adds a sixteenth of the bytes at most, and else follow each other
/// (Zen 4, 1000 outputs, 50 to 90 % zeros: 1.07 to 1.09 times as fast as columns that follow each other; not measured on others). Immutable and safe to use from several threads.
/// </remarks>
public sealed unsafe class PreparedColumns
{
    // Bytes that hardware reads ahead in at most: the smallest page.
    private const int Page = 4096;

    // Columns may be farther apart than they are long by one part in so many.
    private const int PartsOfSpread = 16;

    private readonly Memory<float> _values;

    private PreparedColumns(int inputs, int outputs)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(inputs);
        ArgumentOutOfRangeException.ThrowIfNegative(outputs);
        (Inputs, Outputs) = (inputs, outputs);
        Distance = DistanceOf(inputs, outputs);
        _values = LineMemory.Allocate<float>(inputs * Distance, Page);
        // Before it is written, so that nothing has to be moved.
        LargePages.Ask<float>(_values.Span);
    }

    /// <summary>Columns: the length of the vector that is multiplied.</summary>
    public int Inputs { get; }

    /// <summary>Rows: the length of the result.</summary>
    public int Outputs { get; }

    /// <summary>Bytes of the values with what lies between columns.</summary>
    public long Bytes => (long)_values.Length * sizeof(float);

    /// <summary>Floats from one column to the next; those between them are zeros.</summary>
    internal int Distance { get; }

    /// <summary>Lays out a matrix that is stored by rows.</summary>
    /// <param name="weight">[outputs, inputs], row-major.</param>
    /// <param name="outputs">Rows.</param>
    /// <param name="inputs">Columns.</param>
    /// <exception cref="ArgumentException">The span has the wrong length.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A size is negative.</exception>
    /// <exception cref="OverflowException">The values are more than an array holds.</exception>
    public static PreparedColumns FromRows(ReadOnlySpan<float> weight, int outputs, int inputs)
    {
        PreparedSpMM.Check(weight.Length, outputs, inputs, nameof(weight));
        var columns = new PreparedColumns(inputs, outputs);
        fixed (float* from = weight, to = columns._values.Span) Transpose(from, to, outputs, inputs, columns.Distance);
        return columns;
    }

    /// <summary>Lays out a matrix that is stored by columns.</summary>
    /// <param name="columns">[inputs, outputs], row-major.</param>
    /// <param name="inputs">Columns.</param>
    /// <param name="outputs">Rows.</param>
    /// <inheritdoc cref="FromRows" path="/exception"/>
    public static PreparedColumns FromColumns(ReadOnlySpan<float> columns, int inputs, int outputs)
    {
        PreparedSpMM.Check(columns.Length, inputs, outputs, nameof(columns));
        var prepared = new PreparedColumns(inputs, outputs);
        fixed (float* from = columns, to = prepared._values.Span) Copy(from, to, inputs, outputs, prepared.Distance);
        return prepared;
    }

    /// <summary>y = clamp(w x + bias) over the columns with |x| above a threshold.</summary>
    /// <param name="x">[inputs].</param>
    /// <param name="threshold">Inputs of at most this magnitude are taken as zero; 0 skips zeros alone. NaN inputs take part.</param>
    /// <param name="y">[outputs]; must not overlap x.</param>
    /// <param name="bias">[outputs], or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <returns>How many columns took part.</returns>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The threshold is negative or NaN.</exception>
    public int Multiply(ReadOnlySpan<float> x, float threshold, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        if (x.Length != Inputs) throw new ArgumentException($"{x.Length} inputs; expected {Inputs}.", nameof(x));
        if (y.Length != Outputs) throw new ArgumentException($"{y.Length} outputs; expected {Outputs}.", nameof(y));
        fixed (float* w = _values.Span) return ColumnGemv.Multiply(w, Distance, x, threshold, y, bias, activation);
    }

    /// <summary>y = w x over the columns with |x| above a threshold.</summary>
    /// <inheritdoc cref="Multiply(ReadOnlySpan{float}, float, Span{float}, ReadOnlySpan{float}, Clamp)"/>
    public int Multiply(ReadOnlySpan<float> x, float threshold, Span<float> y) => Multiply(x, threshold, y, default, Clamp.None);

    /// <summary>The values, as they lie.</summary>
    internal Memory<float> Values => _values;

    // Whole pages where they cost little, whole lines where those do, and else one column after the other; so too where an array holds no more.
    private static int DistanceOf(int inputs, int outputs)
    {
        long most = Array.MaxLength - (Page / sizeof(float));
        if ((long)inputs * outputs > most) throw new OverflowException($"{inputs} x {outputs} values are more than an array holds.");
        foreach (int bytes in (ReadOnlySpan<int>)[Page, LineMemory.Line])
        {
            int unit = bytes / sizeof(float);
            long whole = ((long)outputs + unit - 1) / unit * unit;
            if ((whole - outputs) * PartsOfSpread <= outputs && inputs * whole <= most) return (int)whole;
        }
        return outputs;
    }

    private static void Copy(float* columns, float* values, int inputs, int outputs, int distance) => Parts.Rows(inputs, outputs, (first, end) =>
    {
        for (int c = first; c < end; c++) new ReadOnlySpan<float>(columns + ((nint)c * outputs), outputs).CopyTo(new Span<float>(values + ((nint)c * distance), outputs));
    });

    private static void Transpose(float* weight, float* columns, int outputs, int inputs, int distance)
    {
        const int Tile = 64;
        Parts.Rows((inputs + Tile - 1) / Tile, (long)Math.Min(inputs, Tile) * outputs, (first, end) =>
        {
            for (int c = first * Tile; c < Math.Min(end * Tile, inputs); c += Tile)
            {
                for (int r = 0; r < outputs; r += Tile)
                    Packing.Transpose(weight + ((nint)r * inputs) + c, inputs, Math.Min(Tile, outputs - r), Math.Min(Tile, inputs - c), columns + ((nint)c * distance) + r, distance);
            }
        });
    }
}

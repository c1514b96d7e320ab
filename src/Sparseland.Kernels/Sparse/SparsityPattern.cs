using System.Globalization;

namespace Sparseland.Kernels.Sparse;

/// <summary>The shapes in which weights may be removed.</summary>
public enum SparsityKind
{
    /// <summary>Any single weight.</summary>
    Unstructured,

    /// <summary>At most N kept of every M consecutive weights along the input dimension.</summary>
    NofM,

    /// <summary>Whole r x c tiles (r outputs, c inputs).</summary>
    Block,

    /// <summary>Whole rows: outputs.</summary>
    Row,

    /// <summary>Whole columns: inputs.</summary>
    Column,
}

/// <summary>In what shape weights may be removed: unstructured, N:M, r x c blocks, rows or columns.</summary>
/// <remarks>
/// Every weight is seen as a matrix [outputs, inputs]: a linear weight as it is, a convolution weight
/// [outChannels, inChannels/groups, kernelH, kernelW] as [outChannels, inChannels/groups * kernelH * kernelW].
/// N is the number <b>kept</b>: 2:4 keeps two of four.
/// </remarks>
/// <param name="Kind">Which family.</param>
/// <param name="A">N (kept) for N:M, rows for blocks; 1 otherwise.</param>
/// <param name="B">M for N:M, columns for blocks; 1 otherwise.</param>
public readonly record struct SparsityPattern(SparsityKind Kind, int A, int B)
{
    /// <summary>Any single weight.</summary>
    public static SparsityPattern Unstructured { get; } = new(SparsityKind.Unstructured, 1, 1);

    /// <summary>Whole outputs.</summary>
    public static SparsityPattern Row { get; } = new(SparsityKind.Row, 1, 1);

    /// <summary>Whole inputs.</summary>
    public static SparsityPattern Column { get; } = new(SparsityKind.Column, 1, 1);

    /// <summary><paramref name="kept"/> of every <paramref name="of"/> consecutive inputs.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Unless 1 &lt;= kept &lt;= of &lt;= 256.</exception>
    public static SparsityPattern NofM(int kept, int of)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(kept, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(of, 256);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(kept, of);
        return new(SparsityKind.NofM, kept, of);
    }

    /// <summary>Tiles of <paramref name="rows"/> outputs by <paramref name="columns"/> inputs.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A side is not in 1..256.</exception>
    public static SparsityPattern Block(int rows, int columns)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(columns, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, 256);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(columns, 256);
        return new(SparsityKind.Block, rows, columns);
    }

    /// <summary>Reads <c>unstructured</c>, <c>2:4</c>, <c>4x1</c>, <c>row</c> or <c>column</c>.</summary>
    /// <exception cref="FormatException">Anything else.</exception>
    public static SparsityPattern Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string t = text.Trim().ToLowerInvariant();
        try
        {
            switch (t)
            {
                case "unstructured": return Unstructured;
                case "row": return Row;
                case "column": return Column;
            }
            int colon = t.IndexOf(':'), times = t.IndexOf('x');
            if (colon > 0) return NofM(int.Parse(t[..colon], CultureInfo.InvariantCulture), int.Parse(t[(colon + 1)..], CultureInfo.InvariantCulture));
            if (times > 0) return Block(int.Parse(t[..times], CultureInfo.InvariantCulture), int.Parse(t[(times + 1)..], CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is ArgumentOutOfRangeException or OverflowException or FormatException)
        {
        }
        throw new FormatException($"'{text}' is no sparsity pattern; expected unstructured, row, column, N:M such as 2:4, or RxC such as 4x1.");
    }

    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        SparsityKind.NofM => $"{A}:{B}",
        SparsityKind.Block => $"{A}x{B}",
        _ => Kind.ToString().ToLowerInvariant(),
    };
}

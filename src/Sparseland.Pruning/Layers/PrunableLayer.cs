using Sparseland.Kernels.Sparse;

namespace Sparseland.Pruning.Layers;

/// <summary>What a weight does.</summary>
public enum LayerKind
{
    /// <summary>A convolution kernel [out, in / groups, ...].</summary>
    Convolution,

    /// <summary>A convolution kernel with one input channel per group.</summary>
    Depthwise,

    /// <summary>A transposed convolution's kernel [in, out / groups, ...].</summary>
    TransposedConvolution,

    /// <summary>A matrix of a linear layer.</summary>
    Linear,

    /// <summary>A table that is looked up by index, perhaps also used as the output matrix (tied).</summary>
    Embedding,
}

/// <summary>A weight that single entries can be removed from, and how it is seen as a matrix [outputs, inputs].</summary>
/// <param name="Name">The weight's name.</param>
/// <param name="Node">Name of the (first) node that uses it.</param>
/// <param name="Input">Name of the value that it is multiplied with.</param>
/// <param name="Kind">What it does.</param>
/// <param name="Shape">Its dimensions.</param>
/// <param name="OutputsFirst">Whether the first dimension is the outputs; otherwise it is [inputs, outputs].</param>
/// <param name="IsFirst">Whether it is the first convolution or linear layer.</param>
/// <param name="IsLast">Whether it is the last convolution or linear layer.</param>
/// <param name="IsTied">Whether several nodes use it in different roles.</param>
public sealed record PrunableLayer(string Name, string Node, string Input, LayerKind Kind, IReadOnlyList<int> Shape, bool OutputsFirst, bool IsFirst, bool IsLast, bool IsTied)
{
    /// <summary>Number of weights.</summary>
    public int Length => Shape.Aggregate(1, (a, b) => checked(a * b));

    /// <summary>Outputs: rows of the matrix.</summary>
    public int Rows => OutputsFirst ? Shape[0] : Length / Math.Max(1, Shape[0]);

    /// <summary>Inputs: columns of the matrix (for convolutions channels times kernel positions).</summary>
    public int Columns => Rows == 0 ? 0 : Length / Rows;

    /// <summary>Sum of all dimensions, for ERK.</summary>
    public int DimensionSum => Shape.Sum();

    /// <summary>Whether the order of entries is that of the matrix [outputs, inputs].</summary>
    public bool IsRowMajor => OutputsFirst;

    /// <summary>Brings entries into the order [outputs, inputs]; the array itself when it is in that order.</summary>
    public T[] ToMatrix<T>(T[] entries)
    {
        ArgumentNullException.ThrowIfNull(entries);
        if (entries.Length != Length) throw new ArgumentException($"{entries.Length} entries for a layer of {Length}.", nameof(entries));
        return IsRowMajor ? entries : Transpose(entries, Columns, Rows);
    }

    /// <summary>Brings entries from the order [outputs, inputs] into the weight's own.</summary>
    public T[] FromMatrix<T>(T[] entries)
    {
        ArgumentNullException.ThrowIfNull(entries);
        if (entries.Length != Length) throw new ArgumentException($"{entries.Length} entries for a layer of {Length}.", nameof(entries));
        return IsRowMajor ? entries : Transpose(entries, Rows, Columns);
    }

    /// <summary>A mask of the weight's shape from flags in the order [outputs, inputs].</summary>
    public Mask MaskFromMatrix(bool[] kept) => Mask.FromFlags(Shape.ToArray(), FromMatrix(kept));

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Kind} [{string.Join(", ", Shape)}]";

    private static T[] Transpose<T>(T[] entries, int rows, int columns)
    {
        var result = new T[entries.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) result[c * rows + r] = entries[r * columns + c];
        }
        return result;
    }
}

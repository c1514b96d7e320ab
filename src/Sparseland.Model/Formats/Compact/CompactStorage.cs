using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Compact;

/// <summary>A single-precision weight held as a <see cref="CompactMatrix"/>, its first dimension against all others. Expanded when it is read.</summary>
/// <remarks>Kernels take <see cref="WeightStorage.Matrix"/> and never see the dense form.</remarks>
public sealed class CompactStorage : WeightStorage
{
    private readonly int[] _shape;

    /// <summary>A weight of a shape over a matrix of [shape[0], all other dimensions].</summary>
    /// <param name="matrix">The values.</param>
    /// <param name="shape">At least one dimension.</param>
    /// <param name="kept">The matrix's mask with the weight's shape; null makes it.</param>
    /// <exception cref="ArgumentException">The matrix does not have the weight's shape.</exception>
    public CompactStorage(CompactMatrix matrix, ReadOnlySpan<int> shape, Mask? kept = null)
    {
        ArgumentNullException.ThrowIfNull(matrix);
        if (shape.Length == 0 || matrix.Rows != shape[0] || (long)matrix.Rows * matrix.Columns != TensorData.CountElements(shape))
            throw new ArgumentException($"{matrix} is not of shape [{string.Join(", ", shape.ToArray())}].", nameof(matrix));
        Matrix = matrix;
        _shape = shape.ToArray();
        AppliedMask = !matrix.HasMask ? null : kept ?? Mask.FromWords(shape, matrix.ToMask().Words);
    }

    /// <inheritdoc/>
    public override ElementType ElementType => ElementType.Float32;

    /// <inheritdoc/>
    public override ReadOnlySpan<int> Shape => _shape;

    /// <inheritdoc/>
    public override CompactMatrix Matrix { get; }

    internal override Mask? AppliedMask { get; }

    /// <inheritdoc/>
    public override TensorData Read()
    {
        TensorData dense = TensorData.Zeros(ElementType.Float32, _shape);
        Matrix.ToDense(dense.Span<float>());
        return dense;
    }
}

using System.Runtime.InteropServices;
using Sparseland.Kernels.Sparse;
using Sparseland.Model.Graph;

namespace Sparseland.Pruning.Structured;

/// <summary>Keeps some positions of some axes of a tensor, a mask or a plain array.</summary>
public static class AxisSlicing
{
    /// <summary>The tensor at the kept positions.</summary>
    /// <param name="tensor">A tensor of any type but strings.</param>
    /// <param name="kept">Per axis the kept positions in order; null keeps the axis whole.</param>
    /// <exception cref="ArgumentException">The number of axes differs, or a position is outside.</exception>
    public static TensorData Take(TensorData tensor, IReadOnlyList<int[]?> kept)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        int[] shape = NewShape(tensor.Shape, kept);
        TensorData result = TensorData.Zeros(tensor.ElementType, shape);
        int size = tensor.ElementType.Size();
        if (size == 0) throw new ArgumentException($"{tensor.ElementType} tensors cannot be sliced.", nameof(tensor));
        Copy(tensor.Bytes(), tensor.Shape, result.Bytes(), kept, size);
        return result;
    }

    /// <summary>The mask at the kept positions.</summary>
    /// <exception cref="ArgumentException">The number of axes differs, or a position is outside.</exception>
    public static Mask Take(Mask mask, IReadOnlyList<int[]?> kept)
    {
        ArgumentNullException.ThrowIfNull(mask);
        int[] shape = NewShape(mask.Shape, kept);
        var flags = new bool[TensorData.CountElements(shape)];
        Copy(MemoryMarshal.AsBytes(mask.ToFlags().AsSpan()), mask.Shape, MemoryMarshal.AsBytes(flags.AsSpan()), kept, 1);
        return Mask.FromFlags(shape, flags);
    }

    /// <summary>Values of a given shape (an optimiser's moment, a score) at the kept positions.</summary>
    /// <exception cref="ArgumentException">The number of axes differs, or a position is outside.</exception>
    public static float[] Take(ReadOnlySpan<float> values, ReadOnlySpan<int> shape, IReadOnlyList<int[]?> kept)
    {
        if (TensorData.CountElements(shape) != values.Length) throw new ArgumentException($"{values.Length} values for a shape of [{string.Join(", ", shape.ToArray())}].", nameof(values));
        var result = new float[TensorData.CountElements(NewShape(shape, kept))];
        Copy(MemoryMarshal.AsBytes(values), shape, MemoryMarshal.AsBytes(result.AsSpan()), kept, sizeof(float));
        return result;
    }

    private static int[] NewShape(ReadOnlySpan<int> shape, IReadOnlyList<int[]?> kept)
    {
        ArgumentNullException.ThrowIfNull(kept);
        if (kept.Count != shape.Length) throw new ArgumentException($"{kept.Count} lists of positions for {shape.Length} axes.", nameof(kept));
        int[] result = shape.ToArray();
        for (int axis = 0; axis < result.Length; axis++)
        {
            if (kept[axis] is not { } positions) continue;
            foreach (int position in positions)
            {
                if ((uint)position >= (uint)shape[axis]) throw new ArgumentException($"Position {position} is outside axis {axis} of size {shape[axis]}.", nameof(kept));
            }
            result[axis] = positions.Length;
        }
        return result;
    }

    // Axes behind the last cut one are copied as whole blocks.
    private static void Copy(ReadOnlySpan<byte> source, ReadOnlySpan<int> shape, Span<byte> target, IReadOnlyList<int[]?> kept, int elementSize)
    {
        int last = -1;
        for (int axis = 0; axis < shape.Length; axis++)
        {
            if (kept[axis] is not null) last = axis;
        }
        if (last < 0)
        {
            source.CopyTo(target);
            return;
        }
        int block = elementSize;
        for (int axis = last + 1; axis < shape.Length; axis++) block *= shape[axis];
        var strides = new int[last + 1];
        int stride = block;
        for (int axis = last; axis >= 0; axis--)
        {
            strides[axis] = stride;
            stride *= shape[axis];
        }
        int written = 0;
        CopyAxis(source, shape, target, kept, strides, block, 0, last, 0, ref written);
    }

    private static void CopyAxis(ReadOnlySpan<byte> source, ReadOnlySpan<int> shape, Span<byte> target, IReadOnlyList<int[]?> kept,
        int[] strides, int block, int axis, int last, int offset, ref int written)
    {
        int[]? positions = kept[axis];
        int count = positions?.Length ?? shape[axis];
        for (int i = 0; i < count; i++)
        {
            int at = offset + ((positions?[i] ?? i) * strides[axis]);
            if (axis < last)
            {
                CopyAxis(source, shape, target, kept, strides, block, axis + 1, last, at, ref written);
            }
            else
            {
                source.Slice(at, block).CopyTo(target[written..]);
                written += block;
            }
        }
    }
}

using System.Runtime.InteropServices;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Support;

/// <summary>Copies elements of any type from one arrangement to another; types are told apart by size only.</summary>
internal static class Moving
{
    /// <summary>The elements at the kept positions of each axis; null keeps an axis whole.</summary>
    public static TensorData Keep(TensorData x, IReadOnlyList<IReadOnlyList<int>?> kept)
    {
        int[] shape = x.Shape.ToArray(), strides = Axes.Strides(x.Shape), at = new int[x.Rank];
        for (int axis = 0; axis < shape.Length; axis++) shape[axis] = kept[axis]?.Count ?? shape[axis];
        var picks = new int[Axes.Product(shape)];
        for (int to = 0; to < picks.Length; to++)
        {
            for (int axis = 0; axis < at.Length; axis++) picks[to] += (kept[axis]?[at[axis]] ?? at[axis]) * strides[axis];
            Axes.Next(at, shape);
        }
        return Pick(x, shape, picks);
    }

    /// <summary>out[i0, i1 ...] = x[offset + sum of i_k * strides_k].</summary>
    public static TensorData Strided(TensorData x, ReadOnlySpan<int> shape, ReadOnlySpan<int> strides, int offset = 0)
    {
        TensorData y = TensorData.Zeros(x.ElementType, shape);
        if (y.Length == 0) return y;
        (int[] sizes, int[] steps) = Merge(shape, strides);
        Dispatch(x, y, new StridedMove(sizes, steps, offset));
        return y;
    }

    /// <summary>out[i] = x[indices[i]]; a negative index leaves a zero.</summary>
    public static TensorData Pick(TensorData x, ReadOnlySpan<int> shape, int[] indices)
    {
        TensorData y = TensorData.Zeros(x.ElementType, shape);
        if (y.Length > 0) Dispatch(x, y, new PickMove(indices));
        return y;
    }

    /// <summary>Reads a tensor as a larger one by repeating axes of size 1.</summary>
    public static TensorData Expand(TensorData x, ReadOnlySpan<int> shape) =>
        x.Shape.SequenceEqual(shape) ? x : Strided(x, shape, Axes.BroadcastStrides(x.Shape, shape));

    /// <summary>Axes in another order.</summary>
    public static TensorData Transpose(TensorData x, ReadOnlySpan<int> permutation)
    {
        int[] strides = Axes.Strides(x.Shape);
        var shape = new int[permutation.Length];
        var steps = new int[permutation.Length];
        for (int i = 0; i < permutation.Length; i++) (shape[i], steps[i]) = (x.Shape[permutation[i]], strides[permutation[i]]);
        return Strided(x, shape, steps);
    }

    /// <summary>Copies a run of elements between tensors of one type.</summary>
    public static void Block(TensorData source, int from, TensorData target, int to, int count) =>
        Array.Copy(source.Elements, from, target.Elements, to, count);

    private static (int[] Sizes, int[] Steps) Merge(ReadOnlySpan<int> shape, ReadOnlySpan<int> strides)
    {
        var sizes = new List<int>();
        var steps = new List<int>();
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] == 1) continue;
            if (sizes.Count > 0 && steps[^1] == strides[i] * shape[i])
            {
                sizes[^1] *= shape[i];
                steps[^1] = strides[i];
            }
            else
            {
                sizes.Add(shape[i]);
                steps.Add(strides[i]);
            }
        }
        if (sizes.Count == 0) (sizes, steps) = ([1], [1]);
        return ([.. sizes], [.. steps]);
    }

    private static void Dispatch<TMove>(TensorData x, TensorData y, TMove move) where TMove : struct, IMove
    {
        if (x.ElementType == ElementType.String)
        {
            move.Run<string>(x.Span<string>(), y.Span<string>());
            return;
        }
        Span<byte> source = x.Bytes(), target = y.Bytes();
        switch (x.ElementType.Size())
        {
            case 1: move.Run<byte>(source, target); break;
            case 2: move.Run<ushort>(MemoryMarshal.Cast<byte, ushort>(source), MemoryMarshal.Cast<byte, ushort>(target)); break;
            case 4: move.Run<uint>(MemoryMarshal.Cast<byte, uint>(source), MemoryMarshal.Cast<byte, uint>(target)); break;
            default: move.Run<ulong>(MemoryMarshal.Cast<byte, ulong>(source), MemoryMarshal.Cast<byte, ulong>(target)); break;
        }
    }

    private interface IMove
    {
        void Run<T>(ReadOnlySpan<T> source, Span<T> target);
    }

    private readonly struct PickMove(int[] indices) : IMove
    {
        public void Run<T>(ReadOnlySpan<T> source, Span<T> target)
        {
            for (int i = 0; i < target.Length; i++)
            {
                if (indices[i] >= 0) target[i] = source[indices[i]];
            }
        }
    }

    private readonly struct StridedMove(int[] shape, int[] strides, int offset) : IMove
    {
        public void Run<T>(ReadOnlySpan<T> source, Span<T> target)
        {
            int inner = shape[^1], step = strides[^1];
            Span<int> at = stackalloc int[shape.Length];
            at.Clear();
            int from = offset;
            for (int to = 0; to < target.Length; to += inner)
            {
                if (step == 1)
                {
                    source.Slice(from, inner).CopyTo(target[to..]);
                }
                else if (step == 0)
                {
                    target.Slice(to, inner).Fill(source[from]);
                }
                else
                {
                    for (int i = 0, j = from; i < inner; i++, j += step) target[to + i] = source[j];
                }
                for (int axis = shape.Length - 2; axis >= 0; axis--)
                {
                    from += strides[axis];
                    if (++at[axis] < shape[axis]) break;
                    from -= strides[axis] * shape[axis];
                    at[axis] = 0;
                }
            }
        }
    }
}

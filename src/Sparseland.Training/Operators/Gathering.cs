using Sparseland.Model.Graph;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>Gather (embedding look-up), GatherElements, GatherND.</summary>
internal static class Gathering
{
    /// <summary>y[outer.., indices.., inner..] = x[outer.., index, inner..]; the gradient adds into the rows that were read.</summary>
    public static Tensor Gather(Tensor x, ReadOnlySpan<long> indices, ReadOnlySpan<int> indexShape, int axis)
    {
        int size = x.Shape[axis];
        int[] rows = Normalized(indices, size);
        (int outer, int inner) = AxisMap.Around(x.Shape, axis);
        int[] shape = [.. x.Shape[..axis], .. indexShape, .. x.Shape[(axis + 1)..]];
        Tensor y = Tensor.Uninitialized(shape);
        float[] from = x.Array, to = y.Array;
        Chunks.Rows(outer * rows.Length, inner, row =>
            from.AsSpan(((row / rows.Length * size) + rows[row % rows.Length]) * inner, inner).CopyTo(to.AsSpan(row * inner, inner)));
        int[] source = x.ShapeArray;
        return Tape.Record("Gather", y, [x], [], flow =>
        {
            Tensor gradient = Tensor.Zeros(source);
            float[] g = flow.Output().Array, target = gradient.Array;
            // Rows may repeat, so one thread adds them in order; columns are independent.
            for (int row = 0; row < outer * rows.Length; row++)
            {
                Span<float> sum = target.AsSpan(((row / rows.Length * size) + rows[row % rows.Length]) * inner, inner);
                TensorPrimitives.Add(sum, g.AsSpan(row * inner, inner), sum);
            }
            flow.Give(0, gradient);
        });
    }

    /// <summary>y[i] = x[flat[i]] for flat positions; the gradient adds back.</summary>
    public static Tensor Pick(Tensor x, int[] positions, int[] shape)
    {
        Tensor y = Tensor.Uninitialized(shape);
        float[] from = x.Array, to = y.Array;
        for (int i = 0; i < positions.Length; i++) to[i] = from[positions[i]];
        int[] source = x.ShapeArray;
        return Tape.Record("Pick", y, [x], [], flow =>
        {
            Tensor gradient = Tensor.Zeros(source);
            float[] g = flow.Output().Array, target = gradient.Array;
            for (int i = 0; i < positions.Length; i++) target[positions[i]] += g[i];
            flow.Give(0, gradient);
        });
    }

    public static ModelValue[]? GatherFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        TensorData indices = c.Inputs[1].Data;
        return [Gather(x, indices.ToInt64s(), indices.Shape, Views.Axis(c.Attributes.Int("axis", 0), x.Rank))];
    }

    public static ModelValue[]? GatherElementsFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        TensorData indices = c.Inputs[1].Data;
        int axis = Views.Axis(c.Attributes.Int("axis", 0), x.Rank);
        if (indices.Rank != x.Rank) throw c.Error("indices need the rank of the data");
        int[] along = Normalized(indices.ToInt64s(), x.Shape[axis]), shape = indices.Shape.ToArray();
        var strides = new int[x.Rank];
        for (int d = x.Rank - 1, step = 1; d >= 0; step *= x.Shape[d], d--)
        {
            if (d != axis && shape[d] > x.Shape[d]) throw c.Error($"indices are longer than the data along axis {d}");
            strides[d] = step;
        }
        var positions = new int[along.Length];
        for (int i = 0; i < positions.Length; i++)
        {
            int rest = i, position = along[i] * strides[axis];
            for (int d = shape.Length - 1; d >= 0; d--)
            {
                if (d != axis) position += rest % shape[d] * strides[d];
                rest /= shape[d];
            }
            positions[i] = position;
        }
        return [Pick(x, positions, shape)];
    }

    public static ModelValue[]? GatherNdFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        Tensor x = c.Tensor(0);
        TensorData indices = c.Inputs[1].Data;
        int batchDims = (int)c.Attributes.Int("batch_dims", 0), depth = indices.Shape[^1];
        long[] values = indices.ToInt64s();
        int batches = 1, batchStride = 1, inner = 1;
        for (int d = 0; d < batchDims; d++) batches *= x.Shape[d];
        for (int d = batchDims; d < x.Rank; d++) batchStride *= x.Shape[d];
        for (int d = batchDims + depth; d < x.Rank; d++) inner *= x.Shape[d];
        int[] shape = [.. indices.Shape[..^1], .. x.Shape[(batchDims + depth)..]];
        int tuples = depth == 0 ? TensorData.CountElements(indices.Shape[..^1]) : values.Length / depth;
        var positions = new int[tuples * inner];
        int perBatch = Math.Max(1, tuples / Math.Max(1, batches));
        for (int t = 0; t < tuples; t++)
        {
            int position = 0;
            for (int k = 0; k < depth; k++)
            {
                int size = x.Shape[batchDims + k];
                long index = values[(t * depth) + k] is var v && v < 0 ? v + size : v;
                if (index < 0 || index >= size) throw c.Error($"index {values[(t * depth) + k]} is outside axis {batchDims + k} of size {size}");
                position = (position * size) + (int)index;
            }
            int start = (t / perBatch * batchStride) + (position * inner);
            for (int i = 0; i < inner; i++) positions[(t * inner) + i] = start + i;
        }
        return [Pick(x, positions, shape)];
    }

    private static int[] Normalized(ReadOnlySpan<long> indices, int size)
    {
        var result = new int[indices.Length];
        for (int i = 0; i < result.Length; i++)
        {
            long index = indices[i] < 0 ? indices[i] + size : indices[i];
            if (index < 0 || index >= size) throw new ArgumentException($"Index {indices[i]} is outside an axis of size {size}.");
            result[i] = (int)index;
        }
        return result;
    }
}

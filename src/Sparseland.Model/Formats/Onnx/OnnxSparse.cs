using Sparseland.Kernels.Sparse;
using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>Sparse tensors of the file: dense values with a mask that keeps the stored positions.</summary>
internal static class OnnxSparse
{
    /// <summary>Reads coordinates and values.</summary>
    /// <exception cref="ModelFormatException">SL1114: positions are out of range, not ascending, or do not fit the values.</exception>
    internal static Weight Read(string name, SparseTensorProto proto, OnnxFile file, string where)
    {
        if (proto.Values is null || proto.Indices is null) throw OnnxErrors.Sparse(where, "a sparse tensor needs values and indices");
        int[] shape = OnnxTensor.Shape(proto.Dims, where, out int count);
        TensorData values = OnnxTensor.Storage(proto.Values, null, file, where).Read();
        TensorData indices = OnnxTensor.Storage(proto.Indices, null, file, where).Read();
        int stored = values.Length, rank = shape.Length;
        if (values.ElementType == ElementType.String || values.Rank != 1) throw OnnxErrors.Sparse(where, $"the values are {values}, expected a list of numbers");
        bool linear = indices.Rank == 1 && indices.Length == stored;
        bool coordinates = indices.Rank == 2 && indices.Shape[0] == stored && indices.Shape[1] == rank;
        if (indices.ElementType != ElementType.Int64 || !(linear || coordinates))
            throw OnnxErrors.Sparse(where, $"the indices are {indices}, expected Int64[{stored}] or Int64[{stored}, {rank}]");
        // A few stored entries may claim a huge dense tensor: sparse weights of that kind are not networks.
        if (count > 64L * 1024 * 1024 && count / 4096 > stored)
            throw OnnxErrors.TooLarge(where, $"{stored} stored values claim a tensor of {count} elements");

        TensorData dense = TensorData.Zeros(values.ElementType, shape);
        Span<byte> from = values.Bytes(), to = dense.Bytes();
        int size = values.ElementType.Size();
        ReadOnlySpan<long> at = indices.Span<long>();
        var kept = new bool[count];
        long last = -1;
        for (int i = 0; i < stored; i++)
        {
            long position = linear ? at[i] : Position(at.Slice(i * rank, rank), shape, where);
            if (position <= last || position >= count)
                throw OnnxErrors.Sparse(where, $"stored value {i} is at position {position}; positions ascend and are below {count}");
            last = position;
            kept[position] = true;
            from.Slice(i * size, size).CopyTo(to.Slice((int)position * size, size));
        }
        return new Weight(name, WeightStorage.InMemory(dense), Mask.FromFlags(shape, kept));
    }

    private static long Position(ReadOnlySpan<long> coordinates, int[] shape, string where)
    {
        long position = 0;
        for (int d = 0; d < shape.Length; d++)
        {
            if (coordinates[d] < 0 || coordinates[d] >= shape[d])
                throw OnnxErrors.Sparse(where, $"coordinate {coordinates[d]} of dimension {d} is outside [0, {shape[d]})");
            position = position * shape[d] + coordinates[d];
        }
        return position;
    }
}

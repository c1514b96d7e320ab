using Sparseland.Model.Formats.Onnx.Proto;
using Sparseland.Model.Graph;

namespace Sparseland.Model.Formats.Onnx;

/// <summary>The forms of a Constant node: a tensor, a sparse tensor, numbers, strings.</summary>
internal static class OnnxConstant
{
    /// <summary>Makes the weight that the node stands for, once its name is known.</summary>
    internal static Func<string, Weight> Read(NodeProto node, OnnxFile file, string where)
    {
        if (node.Attribute.Count != 1) throw OnnxErrors.Attribute(where, $"a Constant node has one attribute, this one has {node.Attribute.Count}");
        AttributeProto a = node.Attribute[0];
        switch (a.Name)
        {
            case "value" when a.T is not null: return Dense(OnnxTensor.Storage(a.T, null, file, where).Read());
            case "sparse_value" when a.SparseTensor is not null: return name => OnnxSparse.Read(name, a.SparseTensor, file, where);
            case "value_float": return Dense(TensorData.Scalar(a.F));
            case "value_int": return Dense(TensorData.Scalar(a.I));
            case "value_string": return Dense(TensorData.Scalar(a.S.ToStringUtf8()));
            case "value_floats": return Dense(TensorData.Vector(a.Floats.ToArray()));
            case "value_ints": return Dense(TensorData.Vector(a.Ints.ToArray()));
            case "value_strings": return Dense(TensorData.Vector(a.Strings.Select(s => s.ToStringUtf8()).ToArray()));
            default: throw OnnxErrors.Attribute(where, $"a Constant node cannot have the attribute '{a.Name}' in this form");
        }

        static Func<string, Weight> Dense(TensorData data) => name => new Weight(name, data);
    }
}

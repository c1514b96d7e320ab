using Sparseland.Model.Graph;
using static Sparseland.Training.Tests.Operators.OperatorCase;

namespace Sparseland.Training.Tests.Operators;

/// <summary>Every differentiable operator, plain, broadcast and empty.</summary>
public static class OperatorCases
{
    public static IEnumerable<OperatorCase> All => [.. Binary(), .. Unary(), .. Shapes(), .. Reductions(), .. Layers(), .. Windows(), .. Attentions()];

    private static IEnumerable<OperatorCase> Binary()
    {
        foreach (string op in (string[])["Add", "Sub", "Mul", "Div"])
        {
            CaseInput Right(params int[] shape) => op == "Div" ? Between(0.5f, 2, shape) : P(shape);
            yield return new($"{op} plain", op, [P(3, 4), Right(3, 4)]);
            yield return new($"{op} row", op, [P(2, 3, 4), Right(4)]);
            yield return new($"{op} channel", op, [P(2, 3, 2, 2), Right(3, 1, 1)]);
            yield return new($"{op} both", op, [P(3, 1, 2), Right(4, 1)]);
            yield return new($"{op} scalar", op, [P(5), Right()]);
            yield return new($"{op} scalar left", op, [P(), Right(2, 3)]);
            yield return new($"{op} long", op, [P(40, 1000), Right(1000)]);
            yield return new($"{op} empty", op, [P(0, 4), Right(4)]);
        }
        yield return new("Pow plain", "Pow", [Between(0.5f, 2, 3, 4), Between(-2, 2, 3, 4)]);
        yield return new("Pow square", "Pow", [P(3, 4), Constant(TensorData.Scalar(2f))]);
        yield return new("Pow row", "Pow", [Between(0.5f, 2, 3, 4), Between(0.5f, 3, 4)]);
        foreach (string op in (string[])["Max", "Min", "Sum", "Mean"])
        {
            yield return new($"{op} two", op, [Distinct(3, 4), P(4)]);
            yield return new($"{op} three", op, [P(3, 4), P(4), P(1, 1)]);
            yield return new($"{op} one", op, [P(3)]);
        }
        yield return new("Where", "Where", [Constant(TensorData.Wrap([true, false, true, true, false, false], 2, 3)), P(2, 3), P(3)]);
        yield return new("Where broadcast condition", "Where", [Constant(TensorData.Wrap([true, false], 2, 1)), P(1, 3), P()]);
        yield return new("Where empty", "Where", [Constant(TensorData.Wrap(System.Array.Empty<bool>(), 0, 1)), P(1, 3), P()]);
    }

    private static IEnumerable<OperatorCase> Unary()
    {
        foreach (string op in (string[])["Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Swish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish",
            "Abs", "Neg", "Exp", "Erf", "Sin", "Cos", "Tan", "Atan", "Sinh", "Cosh", "Asinh", "Gelu", "HardSigmoid", "HardSwish", "Identity"])
        {
            yield return new(op, op, [P(3, 5)]);
            yield return new($"{op} long", op, [Between(-2.9f, 2.9f, 7, 19).AwayFromZero()]);
            yield return new($"{op} empty", op, [P(0, 5)]);
        }
        yield return new("LeakyRelu alpha", "LeakyRelu", [P(9)], a => a.Set("alpha", 0.3f));
        yield return new("Elu alpha", "Elu", [P(9)], a => a.Set("alpha", 0.7f));
        yield return new("Celu alpha", "Celu", [P(9)], a => a.Set("alpha", 1.7f));
        yield return new("Swish alpha", "Swish", [P(9)], a => a.Set("alpha", 1.5f));
        yield return new("Gelu tanh", "Gelu", [Between(-3, 3, 17)], a => a.Set("approximate", "tanh"));
        yield return new("ThresholdedRelu", "ThresholdedRelu", [Distinct(11)], a => a.Set("alpha", 0.512f));
        yield return new("PRelu", "PRelu", [P(2, 3, 4), P(3, 1)]);
        yield return new("PRelu scalar", "PRelu", [P(5), P(1)]);
        yield return new("SwiGLU", "SwiGLU", [P(2, 3), P(2, 3)]) { HasReference = true };
        yield return new("Clip", "Clip", [Distinct(20), Constant(TensorData.Scalar(-1.012f)), Constant(TensorData.Scalar(1.513f))]);
        yield return new("Clip below", "Clip", [Distinct(20), Constant(TensorData.Scalar(0.513f))]);
        foreach (string op in (string[])["Log", "Sqrt", "Reciprocal"]) yield return new(op, op, [Between(0.4f, 3, 3, 5)]);
        foreach (string op in (string[])["Asin", "Acos", "Atanh"]) yield return new(op, op, [Between(-0.8f, 0.8f, 3, 5)]);
        yield return new("Acosh", "Acosh", [Between(1.3f, 4, 3, 5)]);
        foreach (string op in (string[])["Sign", "Floor", "Ceil", "Round"])
            yield return new(op, op, [new CaseInput([12], (random, i) => i - 6 + 0.15f + (0.25f * random.NextSingle()), null)]);
        yield return new("Cast", "Cast", [P(2, 3)], a => a.Set("to", (long)ElementType.Float32));
        yield return new("CastLike", "CastLike", [P(2, 3), Constant(TensorData.Scalar(1f))]);
    }

    private static IEnumerable<OperatorCase> Shapes()
    {
        yield return new("Reshape", "Reshape", [P(2, 6), Ints(3, -1)]);
        yield return new("Reshape zero", "Reshape", [P(2, 6), Ints(0, 2, 3)]);
        yield return new("Reshape empty", "Reshape", [P(0, 6), Ints(3, 0)], a => a.Set("allowzero", 1L));
        yield return new("Flatten", "Flatten", [P(2, 3, 4)], a => a.Set("axis", 2L));
        yield return new("Flatten negative", "Flatten", [P(2, 3, 4)], a => a.Set("axis", -2L));
        yield return new("Squeeze", "Squeeze", [P(1, 3, 1), Ints(-1)]);
        yield return new("Squeeze all", "Squeeze", [P(1, 3, 1)]);
        yield return new("Unsqueeze", "Unsqueeze", [P(3, 4), Ints(0, -1)]);
        yield return new("Transpose", "Transpose", [P(2, 3, 4)]);
        yield return new("Transpose last kept", "Transpose", [P(2, 3, 4, 5)], a => a.Set("perm", 0, 2, 1, 3));
        yield return new("Transpose matrix", "Transpose", [P(45, 70)]);
        yield return new("Transpose batch", "Transpose", [P(3, 40, 33)], a => a.Set("perm", 0, 2, 1));
        yield return new("Transpose four", "Transpose", [P(2, 3, 4, 5)], a => a.Set("perm", 3, 1, 0, 2));
        yield return new("Transpose empty", "Transpose", [P(0, 3)]);
        yield return new("DepthToSpace", "DepthToSpace", [P(2, 8, 2, 3)], a => a.Set("blocksize", 2L));
        yield return new("DepthToSpace CRD", "DepthToSpace", [P(2, 8, 2, 3)], a => a.Set("blocksize", 2L).Set("mode", "CRD"));
        yield return new("SpaceToDepth", "SpaceToDepth", [P(1, 2, 4, 6)], a => a.Set("blocksize", 2L));
        yield return new("Expand", "Expand", [P(3, 1), Ints(2, 1, 4)]);
        yield return new("Expand wider", "Expand", [P(3, 4), Ints(1, 1)]);
        yield return new("Concat", "Concat", [P(2, 3), P(2, 1), P(2, 4)], a => a.Set("axis", 1L));
        yield return new("Concat first axis", "Concat", [P(2, 3), P(1, 3)], a => a.Set("axis", -2L));
        yield return new("Concat empty part", "Concat", [P(2, 3), P(2, 0)], a => a.Set("axis", 1L));
        yield return new("Split", "Split", [P(2, 7), Ints(3, 4)], a => a.Set("axis", 1L)) { Outputs = 2 };
        yield return new("Split even", "Split", [P(7, 2)], a => a.Set("num_outputs", 3L)) { Outputs = 3 };
        yield return new("Slice", "Slice", [P(5, 6), Ints(1, -5), Ints(4, 100)]);
        yield return new("Slice steps", "Slice", [P(5, 6), Ints(-1, 0), Ints(-100, 6), Ints(0, 1), Ints(-2, 2)]);
        yield return new("Slice images", "Slice", [P(2, 3, 5, 6), Ints(0, 0), Ints(9, 9), Ints(2, 3), Ints(2, 2)]);
        yield return new("Slice one", "Slice", [P(3, 4, 2), Ints(-1, 1), Ints(-9, 9), Ints(0, 1), Ints(-7, 1)]);
        yield return new("Slice empty", "Slice", [P(5, 6), Ints(3), Ints(3), Ints(0)]);
        foreach (string mode in (string[])["constant", "reflect", "edge", "wrap"])
            yield return new($"Pad {mode}", "Pad", [P(3, 4), Ints(1, 2, 0, 1)], a => a.Set("mode", mode));
        yield return new("Pad crop", "Pad", [P(4, 5), Ints(-1, 1, 0, -2)]);
        yield return new("Pad value axes", "Pad", [P(3, 4), Ints(1, 2), Constant(TensorData.Scalar(3f)), Ints(-1)]);
        yield return new("Tile", "Tile", [P(2, 3), Ints(2, 3)]);
        yield return new("Gather", "Gather", [P(5, 3), Constant(TensorData.Wrap(new long[] { 0, 4, -1, 4 }, 2, 2))]);
        yield return new("Gather axis", "Gather", [P(2, 5, 3), Ints(1, 1)], a => a.Set("axis", 1L));
        yield return new("Gather scalar", "Gather", [P(5, 3), Constant(TensorData.Scalar(2L))]);
        yield return new("Gather none", "Gather", [P(5, 3), Ints()]);
        yield return new("GatherElements", "GatherElements", [P(3, 4), Constant(TensorData.Wrap(new long[] { 0, 2, -1, 0, 1, 1 }, 2, 3))]);
        yield return new("GatherElements axis", "GatherElements", [P(3, 4), Constant(TensorData.Wrap(new long[] { 0, 3, 3, 0, 1, -2 }, 3, 2))], a => a.Set("axis", 1L));
        yield return new("GatherND", "GatherND", [P(3, 4, 2), Constant(TensorData.Wrap(new long[] { 0, 1, 2, -1, 0, 1 }, 3, 2))]);
        yield return new("GatherND batch", "GatherND", [P(2, 4, 3), Constant(TensorData.Wrap(new long[] { 1, 3 }, 2, 1))], a => a.Set("batch_dims", 1L));
        yield return new("Trilu", "Trilu", [P(2, 4, 5)]);
        yield return new("Trilu lower", "Trilu", [P(4, 5), Constant(TensorData.Scalar(-1L))], a => a.Set("upper", 0L));
        yield return new("CumSum", "CumSum", [P(3, 4), Constant(TensorData.Scalar(1L))]);
        yield return new("CumSum reverse exclusive", "CumSum", [P(3, 4), Constant(TensorData.Scalar(0L))], a => a.Set("reverse", 1L).Set("exclusive", 1L));
    }

    private static IEnumerable<OperatorCase> Reductions()
    {
        foreach (string op in (string[])["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"])
        {
            CaseInput Input(params int[] shape) => op is "ReduceMax" or "ReduceMin" ? Distinct(shape) : op is "ReduceLogSum" or "ReduceProd" ? Between(0.5f, 1.5f, shape) : P(shape);
            yield return new($"{op} all", op, [Input(3, 4)]);
            yield return new($"{op} last", op, [Input(2, 3, 4), Ints(-1)], a => a.Set("keepdims", 0L));
            yield return new($"{op} middle", op, [Input(2, 3, 4), Ints(1)]);
            yield return new($"{op} outer", op, [Input(2, 3, 4), Ints(0, 2)], a => a.Set("keepdims", 0L));
        }
        yield return new("ReduceProd zero", "ReduceProd", [new CaseInput([2, 3], (_, i) => i == 1 ? 0 : 0.5f + i, null), Ints(1)]);
        yield return new("ReduceSum empty", "ReduceSum", [P(2, 0), Ints(1)]);
        yield return new("ReduceSum no axes", "ReduceSum", [P(2, 3)], a => a.Set("noop_with_empty_axes", 1L));
        yield return new("ReduceSum long", "ReduceSum", [P(70, 1000)]);
    }

    private static IEnumerable<OperatorCase> Layers()
    {
        yield return new("MatMul", "MatMul", [P(3, 4), P(4, 5)]);
        yield return new("MatMul stacked", "MatMul", [P(2, 3, 4), P(4, 5)]);
        yield return new("MatMul batched", "MatMul", [P(2, 3, 4), P(2, 4, 5)]);
        yield return new("MatMul broadcast left", "MatMul", [P(3, 4), P(2, 4, 5)]);
        yield return new("MatMul broadcast both", "MatMul", [P(2, 1, 3, 4), P(3, 4, 2)]);
        yield return new("MatMul row vector", "MatMul", [P(4), P(2, 4, 5)]);
        yield return new("MatMul column vector", "MatMul", [P(2, 3, 4), P(4)]);
        yield return new("MatMul vectors", "MatMul", [P(4), P(4)]);
        yield return new("MatMul empty", "MatMul", [P(0, 4), P(4, 5)]);
        foreach (long ta in (long[])[0, 1])
        {
            foreach (long tb in (long[])[0, 1])
            {
                yield return new($"Gemm {ta}{tb}", "Gemm", [ta == 0 ? P(3, 4) : P(4, 3), tb == 0 ? P(4, 5) : P(5, 4), P(5)],
                    a => a.Set("transA", ta).Set("transB", tb).Set("alpha", ta == 0 ? 1f : 0.7f));
            }
        }
        yield return new("Gemm beta", "Gemm", [P(3, 4), P(4, 5), P(3, 1)], a => a.Set("alpha", 0.5f).Set("beta", 1.3f));
        yield return new("Gemm without bias", "Gemm", [P(3, 4), P(4, 5)]);
        yield return new("Gemm empty", "Gemm", [P(0, 4), P(4, 5), P(5)]);
        yield return new("Einsum matrix", "Einsum", [P(3, 4), P(4, 5)], a => a.Set("equation", "ij,jk->ki"));
        yield return new("Einsum heads", "Einsum", [P(2, 3, 2, 4), P(2, 5, 2, 4)], a => a.Set("equation", "bqhd,bkhd->bhqk"));
        yield return new("Einsum sum", "Einsum", [P(3, 4)], a => a.Set("equation", "ij->j"));
        yield return new("Einsum implicit", "Einsum", [P(3, 4), P(4, 2)], a => a.Set("equation", "ij,jk"));
        foreach (string op in (string[])["Softmax", "LogSoftmax"])
        {
            yield return new(op, op, [P(3, 5)]);
            yield return new($"{op} axis", op, [P(2, 3, 4)], a => a.Set("axis", 1L));
            yield return new($"{op} empty", op, [P(0, 5)]);
        }
        yield return new("BatchNormalization inference", "BatchNormalization", [P(2, 3, 4, 5), P(3), P(3), Constant(TensorData.Vector(0.1f, -0.2f, 0.3f)), Constant(TensorData.Vector(0.5f, 1.5f, 1))]);
        yield return new("BatchNormalization training", "BatchNormalization", [P(3, 2, 4, 5), P(2), P(2), Constant(TensorData.Vector(0f, 0)), Constant(TensorData.Vector(1f, 1))], a => a.Set("training_mode", 1L));
        yield return new("BatchNormalization training flat", "BatchNormalization", [P(6, 3), P(3), P(3), Constant(TensorData.Vector(0f, 0, 0)), Constant(TensorData.Vector(1f, 1, 1))], a => a.Set("training_mode", 1L));
        yield return new("LayerNormalization", "LayerNormalization", [P(3, 4, 8), P(8), P(8)]);
        yield return new("LayerNormalization axis", "LayerNormalization", [P(3, 4, 5), P(4, 5)], a => a.Set("axis", 1L));
        yield return new("LayerNormalization empty", "LayerNormalization", [P(0, 8), P(8), P(8)]);
        yield return new("RMSNormalization", "RMSNormalization", [P(3, 4, 8), P(8)]);
        yield return new("InstanceNormalization", "InstanceNormalization", [P(2, 3, 4, 2), P(3), P(3)]);
        yield return new("GroupNormalization", "GroupNormalization", [P(2, 6, 4), P(6), P(6)], a => a.Set("num_groups", 2L));
        yield return new("LpNormalization", "LpNormalization", [P(3, 4)]);
        yield return new("LpNormalization L1", "LpNormalization", [P(3, 4)], a => a.Set("p", 1L).Set("axis", 0L));
        yield return new("Dropout", "Dropout", [P(6, 7), Constant(TensorData.Scalar(0.4f))]) { HasReference = false };
        yield return new("Dropout off", "Dropout", [P(6, 7), Constant(TensorData.Scalar(0f))]);
    }

    private static IEnumerable<OperatorCase> Windows()
    {
        yield return new("Conv", "Conv", [P(2, 3, 6, 7), P(4, 3, 3, 3), P(4)], a => a.Set("pads", 1, 1, 1, 1));
        yield return new("Conv stride", "Conv", [P(2, 3, 7, 6), P(4, 3, 3, 2)], a => a.Set("strides", 2, 3).Set("pads", 0, 1, 2, 0));
        yield return new("Conv dilated", "Conv", [P(1, 2, 7, 8), P(3, 2, 3, 3), P(3)], a => a.Set("dilations", 2, 2).Set("auto_pad", "SAME_UPPER"));
        yield return new("Conv groups", "Conv", [P(2, 4, 5, 5), P(6, 2, 3, 3), P(6)], a => a.Set("group", 2L));
        yield return new("Conv depthwise", "Conv", [P(2, 4, 6, 6), P(4, 1, 3, 3), P(4)], a => a.Set("group", 4L).Set("pads", 1, 1, 1, 1).Set("strides", 2, 2));
        yield return new("Conv pointwise", "Conv", [P(2, 4, 3, 3), P(5, 4, 1, 1)]);
        yield return new("Conv 1-D", "Conv", [P(2, 3, 9), P(4, 3, 3), P(4)], a => a.Set("pads", 1, 1).Set("strides", new long[] { 2 }));
        yield return new("Conv empty", "Conv", [P(0, 3, 6, 7), P(4, 3, 3, 3), P(4)]);
        yield return new("ConvTranspose", "ConvTranspose", [P(2, 3, 4, 5), P(3, 2, 3, 3), P(2)]);
        yield return new("ConvTranspose stride", "ConvTranspose", [P(1, 3, 3, 4), P(3, 2, 3, 3)], a => a.Set("strides", 2, 2).Set("pads", 1, 1, 1, 1).Set("output_padding", 1, 1));
        yield return new("ConvTranspose groups", "ConvTranspose", [P(1, 4, 3, 3), P(4, 2, 2, 2), P(4)], a => a.Set("group", 2L).Set("strides", 2, 2));
        yield return new("ConvTranspose 1-D", "ConvTranspose", [P(2, 3, 5), P(3, 2, 4), P(2)], a => a.Set("strides", new long[] { 2 }).Set("pads", 1, 1));
        yield return new("MaxPool", "MaxPool", [Distinct(1, 2, 6, 7)], a => a.Set("kernel_shape", 2, 3).Set("strides", 2, 2));
        yield return new("MaxPool pad ceil", "MaxPool", [Distinct(1, 2, 6, 7)], a => a.Set("kernel_shape", 3, 3).Set("strides", 2, 2).Set("pads", 1, 1, 1, 1).Set("ceil_mode", 1L));
        yield return new("MaxPool quarter", "MaxPool", [Distinct(1, 2, 6, 7)], a => a.Set("kernel_shape", 2, 2).Set("strides", 2, 2));
        yield return new("MaxPool dilated", "MaxPool", [Distinct(1, 1, 7, 7)], a => a.Set("kernel_shape", 2, 2).Set("dilations", 2, 2));
        yield return new("MaxPool 1-D", "MaxPool", [Distinct(2, 2, 8)], a => a.Set("kernel_shape", new long[] { 3 }).Set("auto_pad", "SAME_LOWER"));
        yield return new("AveragePool", "AveragePool", [P(1, 2, 6, 7)], a => a.Set("kernel_shape", 2, 3).Set("strides", 2, 2).Set("pads", 1, 0, 1, 1));
        yield return new("AveragePool count", "AveragePool", [P(1, 2, 6, 7)], a => a.Set("kernel_shape", 3, 3).Set("strides", 2, 2).Set("pads", 1, 1, 1, 1).Set("count_include_pad", 1L));
        yield return new("AveragePool 1-D", "AveragePool", [P(2, 2, 8)], a => a.Set("kernel_shape", new long[] { 3 }));
        yield return new("GlobalAveragePool", "GlobalAveragePool", [P(2, 3, 4, 5)]);
        yield return new("GlobalAveragePool empty", "GlobalAveragePool", [P(0, 3, 4, 5)]);
        yield return new("GlobalMaxPool", "GlobalMaxPool", [Distinct(2, 3, 4, 5)]);
        CaseInput Scales(params float[] s) => Constant(TensorData.Vector(s));
        yield return new("Resize nearest", "Resize", [P(1, 2, 3, 4), CaseInput.None, Scales(1, 1, 2, 1.5f)]);
        yield return new("Resize linear", "Resize", [P(1, 2, 3, 4), CaseInput.None, Scales(1, 1, 2, 2)], a => a.Set("mode", "linear"));
        yield return new("Resize linear sizes", "Resize", [P(1, 2, 5, 6), CaseInput.None, CaseInput.None, Ints(1, 2, 3, 9)], a => a.Set("mode", "linear").Set("coordinate_transformation_mode", "align_corners"));
        yield return new("Resize cubic", "Resize", [P(1, 1, 4, 5), CaseInput.None, Scales(1, 1, 2, 1.6f)], a => a.Set("mode", "cubic"));
    }

    private static IEnumerable<OperatorCase> Attentions()
    {
        yield return new("Attention", "Attention", [P(2, 2, 3, 4), P(2, 2, 5, 4), P(2, 2, 5, 6)]);
        yield return new("Attention causal", "Attention", [P(1, 2, 4, 4), P(1, 2, 4, 4), P(1, 2, 4, 4)], a => a.Set("is_causal", 1L));
        yield return new("Attention grouped", "Attention", [P(2, 4, 3, 4), P(2, 2, 5, 4), P(2, 2, 5, 4)]);
        yield return new("Attention merged", "Attention", [P(2, 3, 8), P(2, 5, 4), P(2, 5, 4)], a => a.Set("q_num_heads", 4L).Set("kv_num_heads", 2L));
        yield return new("Attention mask", "Attention", [P(1, 2, 3, 4), P(1, 2, 5, 4), P(1, 2, 5, 4), P(3, 5)]);
        yield return new("Attention bool mask", "Attention", [P(1, 2, 2, 4), P(1, 2, 3, 4), P(1, 2, 3, 4), Constant(TensorData.Wrap([true, false, true, true, true, false], 2, 3))]);
        yield return new("Attention mask per head", "Attention", [P(2, 2, 3, 4), P(2, 2, 5, 4), P(2, 2, 5, 4), P(2, 1, 5)]);
        yield return new("Attention mask per sequence, grouped", "Attention", [P(2, 4, 3, 4), P(2, 2, 5, 4), P(2, 2, 5, 4), P(2, 1, 3, 5)]);
        yield return new("Attention causal mask", "Attention", [P(1, 2, 4, 4), P(1, 2, 4, 4), P(1, 2, 4, 4), P(4, 4)], a => a.Set("is_causal", 1L));
        yield return new("Attention bool mask that hides keys", "Attention", [P(1, 2, 2, 4), P(1, 2, 40, 4), P(1, 2, 40, 4), Constant(TensorData.Wrap([.. Enumerable.Range(0, 40).Select(i => i % 3 == 1)], 1, 40))]);
        yield return new("Attention bool mask that hides queries", "Attention", [P(1, 2, 3, 4), P(1, 2, 3, 4), P(1, 2, 3, 4), Constant(TensorData.Wrap([true, false, true, false, false, false, true, true, true], 3, 3))]);
        yield return new("Attention softcap", "Attention", [P(1, 2, 3, 4), P(1, 2, 5, 4), P(1, 2, 5, 4)], a => a.Set("softcap", 2f).Set("scale", 1.5f));
        yield return new("Attention softcap mask", "Attention", [P(1, 2, 3, 4), P(1, 2, 5, 4), P(1, 2, 5, 4), P(1, 2, 3, 5)], a => a.Set("softcap", 2f));
        yield return new("Attention past", "Attention", [P(1, 2, 2, 4), P(1, 2, 2, 4), P(1, 2, 2, 4), CaseInput.None, P(1, 2, 3, 4), P(1, 2, 3, 4)]) { Outputs = 3 };
        yield return new("RotaryEmbedding", "RotaryEmbedding", [P(2, 3, 4, 6), Constant(Table(8, 3, 0)), Constant(Table(8, 3, 1)), Constant(TensorData.Wrap(new long[] { 0, 1, 2, 3, 5, 7, 1, 1 }, 2, 4))]);
        yield return new("RotaryEmbedding interleaved", "RotaryEmbedding", [P(2, 4, 12), Constant(Table(8, 2, 0)), Constant(Table(8, 2, 1)), Constant(TensorData.Wrap(new long[] { 0, 1, 2, 3, 5, 7, 1, 1 }, 2, 4))],
            a => a.Set("interleaved", 1L).Set("num_heads", 2L).Set("rotary_embedding_dim", 4L));
    }

    private static CaseInput AwayFromZero(this CaseInput input) => input with
    {
        Value = (random, i) => input.Value!(random, i) is var v && Math.Abs(v) < 0.05f ? 0.1f : v,
    };

    private static TensorData Table(int rows, int columns, int kind)
    {
        var values = new float[rows * columns];
        for (int i = 0; i < values.Length; i++)
        {
            double angle = (i / columns) * Math.Pow(100, -(double)(i % columns) / columns);
            values[i] = (float)(kind == 0 ? Math.Cos(angle) : Math.Sin(angle));
        }
        return TensorData.Wrap(values, rows, columns);
    }
}

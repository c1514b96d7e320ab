namespace Sparseland.Training.Operators;

/// <summary>Computes a node's outputs so that gradients can flow; null when it cannot for these inputs, so that the plain definition takes over.</summary>
internal delegate ModelValue[]? DifferentiableOperator(OperatorContext context);

/// <summary>The operators with gradients, as an explicit table.</summary>
public static class DifferentiableOperators
{
    private static readonly Dictionary<string, DifferentiableOperator> s_table = Build();

    /// <summary>The operator names of the standard domain that gradients flow through, sorted.</summary>
    public static IEnumerable<string> All => s_table.Keys.Order(StringComparer.Ordinal);

    internal static DifferentiableOperator? Find(string opType, string domain) =>
        domain is "" or "ai.onnx" ? s_table.GetValueOrDefault(opType) : null;

    private static Dictionary<string, DifferentiableOperator> Build() => new(StringComparer.Ordinal)
    {
        // Two operands, broadcast
        ["Add"] = Binary.FromNode,
        ["Sub"] = Binary.FromNode,
        ["Mul"] = Binary.FromNode,
        ["Div"] = Binary.FromNode,
        ["Pow"] = Binary.FromNode,
        ["Max"] = Binary.VariadicFromNode,
        ["Min"] = Binary.VariadicFromNode,
        ["Sum"] = Binary.VariadicFromNode,
        ["Mean"] = Binary.VariadicFromNode,
        ["Where"] = Binary.WhereFromNode,

        // Activations
        ["Relu"] = Unary.Entry<ReluOp>(),
        ["LeakyRelu"] = Unary.Entry<LeakyReluOp>(c => new(c.Attributes.Float("alpha", 0.01f))),
        ["ThresholdedRelu"] = Unary.Entry<ThresholdedReluOp>(c => new(c.Attributes.Float("alpha", 1))),
        ["PRelu"] = Unary.PReluFromNode,
        ["Elu"] = Unary.Entry<EluOp>(c => new(c.Attributes.Float("alpha", 1))),
        ["Selu"] = Unary.Entry<SeluOp>(c => new(c.Attributes.Float("alpha", 1.67326319217681884765625f), c.Attributes.Float("gamma", 1.05070102214813232421875f))),
        ["Celu"] = Unary.Entry<CeluOp>(c => new(c.Attributes.Float("alpha", 1))),
        ["Gelu"] = Unary.GeluFromNode,
        ["Swish"] = Unary.Entry<SwishOp>(c => new(c.Attributes.Float("alpha", 1))),
        ["Sigmoid"] = Unary.Entry<SigmoidOp>(),
        ["HardSigmoid"] = Unary.Entry<HardSigmoidOp>(c => new(c.Attributes.Float("alpha", 0.2f), c.Attributes.Float("beta", 0.5f))),
        ["HardSwish"] = Unary.Entry<HardSwishOp>(),
        ["Tanh"] = Unary.Entry<TanhOp>(),
        ["Softplus"] = Unary.Entry<SoftplusOp>(),
        ["Softsign"] = Unary.Entry<SoftsignOp>(),
        ["Mish"] = Unary.Entry<MishOp>(),
        ["SwiGLU"] = Unary.SwiGluFromNode,
        ["Clip"] = Unary.ClipFromNode,

        // Elementary functions
        ["Abs"] = Unary.Entry<AbsOp>(),
        ["Neg"] = Unary.Entry<NegOp>(),
        ["Exp"] = Unary.Entry<ExpOp>(),
        ["Log"] = Unary.Entry<LogOp>(),
        ["Sqrt"] = Unary.Entry<SqrtOp>(),
        ["Reciprocal"] = Unary.Entry<ReciprocalOp>(),
        ["Erf"] = Unary.Entry<Lifted<ErfFunction>>(),
        ["Sin"] = Unary.Entry<Lifted<SinFunction>>(),
        ["Cos"] = Unary.Entry<Lifted<CosFunction>>(),
        ["Tan"] = Unary.Entry<Lifted<TanFunction>>(),
        ["Asin"] = Unary.Entry<Lifted<AsinFunction>>(),
        ["Acos"] = Unary.Entry<Lifted<AcosFunction>>(),
        ["Atan"] = Unary.Entry<Lifted<AtanFunction>>(),
        ["Sinh"] = Unary.Entry<Lifted<SinhFunction>>(),
        ["Cosh"] = Unary.Entry<Lifted<CoshFunction>>(),
        ["Asinh"] = Unary.Entry<Lifted<AsinhFunction>>(),
        ["Acosh"] = Unary.Entry<Lifted<AcoshFunction>>(),
        ["Atanh"] = Unary.Entry<Lifted<AtanhFunction>>(),
        ["Sign"] = Unary.Entry<SignOp>(),
        ["Floor"] = Unary.Entry<FloorOp>(),
        ["Ceil"] = Unary.Entry<CeilOp>(),
        ["Round"] = Unary.Entry<RoundOp>(),

        // Shapes
        ["Identity"] = Views.IdentityFromNode,
        ["Cast"] = Views.CastFromNode,
        ["CastLike"] = Views.CastFromNode,
        ["Reshape"] = Views.ReshapeFromNode,
        ["Flatten"] = Views.FlattenFromNode,
        ["Squeeze"] = Views.SqueezeFromNode,
        ["Unsqueeze"] = Views.UnsqueezeFromNode,
        ["Transpose"] = Transpose.FromNode,
        ["DepthToSpace"] = Transpose.DepthToSpaceFromNode,
        ["SpaceToDepth"] = Transpose.SpaceToDepthFromNode,
        ["Expand"] = Slicing.ExpandFromNode,
        ["Concat"] = Slicing.ConcatFromNode,
        ["Split"] = Slicing.SplitFromNode,
        ["Slice"] = Slicing.SliceFromNode,
        ["Pad"] = Slicing.PadFromNode,
        ["Tile"] = Slicing.TileFromNode,
        ["Gather"] = Gathering.GatherFromNode,
        ["GatherElements"] = Gathering.GatherElementsFromNode,
        ["GatherND"] = Gathering.GatherNdFromNode,
        ["Trilu"] = Triangles.TriluFromNode,
        ["CumSum"] = Triangles.CumSumFromNode,

        // Reductions
        ["ReduceSum"] = Reductions.Entry(Reduction.Sum),
        ["ReduceMean"] = Reductions.Entry(Reduction.Mean),
        ["ReduceMax"] = Reductions.Entry(Reduction.Max),
        ["ReduceMin"] = Reductions.Entry(Reduction.Min),
        ["ReduceProd"] = Reductions.Entry(Reduction.Prod),
        ["ReduceL1"] = Reductions.Entry(Reduction.L1),
        ["ReduceL2"] = Reductions.Entry(Reduction.L2),
        ["ReduceSumSquare"] = Reductions.Entry(Reduction.SumSquare),
        ["ReduceLogSum"] = Reductions.Entry(Reduction.LogSum),
        ["ReduceLogSumExp"] = Reductions.Entry(Reduction.LogSumExp),

        // Layers
        ["MatMul"] = Products.MatMulFromNode,
        ["Gemm"] = Products.GemmFromNode,
        ["Conv"] = Convolution.FromNode,
        ["ConvTranspose"] = Convolution.TransposedFromNode,
        ["BatchNormalization"] = BatchNormalization.FromNode,
        ["LayerNormalization"] = Normalizations.LayerFromNode,
        ["RMSNormalization"] = Normalizations.RmsFromNode,
        ["InstanceNormalization"] = Normalizations.InstanceFromNode,
        ["GroupNormalization"] = Normalizations.GroupFromNode,
        ["LpNormalization"] = Normalizations.LpFromNode,
        ["Softmax"] = Softmax.FromNode,
        ["LogSoftmax"] = Softmax.FromNode,
        ["Dropout"] = Dropout.FromNode,
        ["MaxPool"] = Pooling.MaxFromNode,
        ["AveragePool"] = Pooling.AverageFromNode,
        ["GlobalAveragePool"] = Pooling.Global(Reduction.Mean),
        ["GlobalMaxPool"] = Pooling.Global(Reduction.Max),
        ["Attention"] = Attention.FromNode,
        ["RotaryEmbedding"] = RotaryEmbedding.FromNode,
        ["Resize"] = Resize.FromNode,
        ["Einsum"] = Einsum.FromNode,
    };
}

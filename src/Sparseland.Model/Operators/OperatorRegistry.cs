namespace Sparseland.Model.Operators;

/// <summary>All operators that are known, as an explicit list.</summary>
public static partial class OperatorRegistry
{
    private static readonly Dictionary<(string Domain, string OpType), Operator> s_operators = Build();

    /// <summary>Every operator, sorted by domain and name.</summary>
    public static IEnumerable<Operator> All => s_operators.Values.OrderBy(o => o.Domain, StringComparer.Ordinal).ThenBy(o => o.OpType, StringComparer.Ordinal);

    /// <summary>The operator of that name, or null.</summary>
    public static Operator? Find(string opType, string domain = "") =>
        s_operators.GetValueOrDefault((domain == "ai.onnx" ? "" : domain, opType));

    private static Dictionary<(string, string), Operator> Build()
    {
        Operator[] list =
        [
            .. UnaryOperator.All(),
            .. Activation.All(),
            .. Relations.All(),
            .. Arithmetic(),
            .. Movement(),
            .. Reduction.All(),
            .. Networks(),
            .. Quantised(),
            .. Rest(),
        ];
        return list.ToDictionary(o => (o.Domain, o.OpType));
    }

    private static Operator[] Arithmetic() =>
    [
        new BroadcastOperator<AddFunction>("Add"),
        new BroadcastOperator<SubFunction>("Sub"),
        new BroadcastOperator<MulFunction>("Mul"),
        new BroadcastOperator<DivFunction>("Div"),
        new BroadcastOperator<MaxFunction>("Max", variadic: true),
        new BroadcastOperator<MinFunction>("Min", variadic: true),
        new BroadcastOperator<AddFunction>("Sum", variadic: true),
        new Mean(),
        new Mod(),
        new Pow(),
        new Where(),
        new Clip(),
        new Cast(),
        new CastLike(),
        new BitCast(),
    ];

    private static Operator[] Movement() =>
    [
        new Reshape(),
        new Flatten(),
        new Squeeze(),
        new Unsqueeze(),
        new Transpose(),
        new Expand(),
        new Tile(),
        new Concat(),
        new Split(),
        new Slice(),
        new Gather(),
        new GatherElements(),
        new GatherND(),
        new ScatterElements("ScatterElements"),
        new ScatterElements("Scatter"),
        new ScatterND(),
        new TensorScatter(),
        new Pad(),
        new DepthToSpace(),
        new SpaceToDepth(),
        new Identity(),
        new Shape(),
        new Size(),
        new Constant(),
        new ConstantOfShape(),
        new SequenceOfNumbers(),
        new OneHot(),
        new EyeLike(),
        new Trilu(),
        new NonZero(),
        new Compress(),
        new Unique(),
        new ReverseSequence(),
        new CenterCropPad(),
    ];

    private static Operator[] Networks() =>
    [
        new MatMul(),
        new GeneralMatrixProduct(),
        new Einsum(),
        new Conv(),
        new ConvTranspose(),
        new MaxPool(),
        new WindowReduction("AveragePool"),
        new WindowReduction("LpPool"),
        new GlobalPool("GlobalAveragePool"),
        new GlobalPool("GlobalMaxPool"),
        new GlobalPool("GlobalLpPool"),
        new MaxUnpool(),
        new Col2Im(),
        new BatchNormalization(),
        new GroupedNormalisation("InstanceNormalization"),
        new GroupedNormalisation("GroupNormalization"),
        new LayerNormalization(),
        new RmsNormalization(),
        new SkipLayerNormalization(),
        new LocalResponseNormalization(),
        new LpNormalization(),
        new MeanVarianceNormalization(),
        new AxisNormalisation("Softmax"),
        new AxisNormalisation("LogSoftmax"),
        new AxisNormalisation("Hardmax"),
        new Attention(),
        new RotaryEmbedding(),
        new NegativeLogLikelihoodLoss(),
        new SoftmaxCrossEntropyLoss(),
        new Dropout(),
    ];

    private static Operator[] Quantised() =>
    [
        new MatMulInteger(),
        new QLinearMatMul(),
        new ConvInteger(),
        new QLinearConv(),
        new QuantizeLinear(),
        new DequantizeLinear(),
        new DynamicQuantizeLinear(),
    ];

    private static Operator[] Rest() =>
    [
        new ArgExtreme("ArgMax"),
        new ArgExtreme("ArgMin"),
        new TopK(),
        new Cumulative("CumSum"),
        new Cumulative("CumProd"),
        new RandomDraw("RandomNormal"),
        new RandomDraw("RandomUniform"),
        new RandomDraw("RandomNormalLike"),
        new RandomDraw("RandomUniformLike"),
        new RandomDraw("Bernoulli"),
        new CosineWindow("HannWindow", 0.5, 0.5, 0),
        new CosineWindow("HammingWindow", 25.0 / 46, 21.0 / 46, 0),
        new CosineWindow("BlackmanWindow", 0.42, 0.5, 0.08),
        new Determinant(),
        new SimpleRecurrent(),
        new GatedRecurrent(),
        new LongShortTermMemory(),
        new Resize("Resize"),
        new Resize("Upsample"),
        new GridSample(),
        new AffineGrid(),
        new RoiAlign(),
        new NonMaxSuppression(),
        new If(),
        new Loop(),
        new Scan(),
    ];
}

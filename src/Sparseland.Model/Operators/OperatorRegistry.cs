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
}

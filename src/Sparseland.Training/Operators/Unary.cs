using Sparseland.Training.Autograd;

namespace Sparseland.Training.Operators;

/// <summary>The numbers that shape an activation: alpha, beta (or low, high).</summary>
internal readonly record struct UnaryArguments(float Alpha = 0, float Beta = 0);

/// <summary>An element-wise function of one operand.</summary>
internal interface IUnary
{
    /// <summary>Whether the gradient reads the input.</summary>
    static abstract bool ReadsInput { get; }

    /// <summary>Whether the gradient reads the output.</summary>
    static abstract bool ReadsOutput { get; }

    /// <summary>y = f(x); y may be x.</summary>
    static abstract void Forward(ReadOnlySpan<float> x, Span<float> y, UnaryArguments arguments);

    /// <summary>g *= f'(x); x and y are empty where the gradient does not read them.</summary>
    static abstract void Backward(ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> g, UnaryArguments arguments);
}

/// <summary>Element-wise functions of one operand.</summary>
internal static class Unary
{
    public static Tensor Apply<TOp>(string name, Tensor x, UnaryArguments arguments = default, bool reuse = false) where TOp : IUnary
    {
        Tensor y = reuse && !TOp.ReadsInput ? x.Detach() : Tensor.Uninitialized(x.Shape);
        float[] from = x.Array, to = y.Array;
        Chunks.Ranges(y.Length, (start, count) => TOp.Forward(from.AsSpan(start, count), to.AsSpan(start, count), arguments), 1 << 14);
        if (!Tape.Records(x)) return y;
        return Tape.Record(name, y, [x], [TOp.ReadsInput ? x : null, TOp.ReadsOutput ? y : null], flow =>
        {
            Tensor gradient = flow.Take();
            float[] g = gradient.Array;
            float[]? saved = TOp.ReadsInput ? x.Array : null, result = TOp.ReadsOutput ? y.Array : null;
            Chunks.Ranges(gradient.Length, (start, count) => TOp.Backward(
                saved is null ? default : saved.AsSpan(start, count),
                result is null ? default : result.AsSpan(start, count),
                g.AsSpan(start, count), arguments), 1 << 14);
            flow.Give(0, gradient);
        });
    }

    /// <summary>x * slope where x is negative; slope broadcasts to x and is learned.</summary>
    public static Tensor ParametricRelu(Tensor x, Tensor slope)
    {
        Tensor y = Binary.Compute<Scalarwise<PReluForward>>(x, slope);
        return Tape.Record("PRelu", y, [x, slope], [x, slope], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(0))
            {
                Tensor gx = Binary.Compute<Scalarwise<PReluInputSlope>>(x, slope);
                TensorPrimitives.Multiply(gx.Values, g.Values, gx.Values);
                flow.Give(0, gx);
            }
            if (flow.Needs(1))
            {
                Tensor gs = Tensor.Uninitialized(x.Shape);
                Span<float> v = x.Values, from = g.Values, to = gs.Values;
                for (int i = 0; i < to.Length; i++) to[i] = v[i] < 0 ? v[i] * from[i] : 0;
                flow.Give(1, Broadcasting.SumTo(gs, slope.Shape));
            }
        });
    }

    public static ModelValue[]? PReluFromNode(OperatorContext c) => c.AreFloat32(0, 1) ? [ParametricRelu(c.Tensor(0), c.Tensor(1))] : null;

    /// <summary>A table entry for a function whose numbers come from attributes.</summary>
    public static DifferentiableOperator Entry<TOp>(Func<OperatorContext, UnaryArguments>? arguments = null) where TOp : IUnary => c =>
        c.AreFloat32(0) ? [Apply<TOp>(c.Node.OpType, c.Tensor(0), arguments?.Invoke(c) ?? default, c.MayOverwrite(0))] : null;

    public static ModelValue[]? GeluFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0)) return null;
        return c.Attributes.String("approximate", "none") == "tanh"
            ? [Apply<GeluTanhOp>("Gelu", c.Tensor(0))]
            : [Apply<GeluOp>("Gelu", c.Tensor(0))];
    }

    public static ModelValue[]? ClipFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1, 2)) return null;
        float low = c.Has(1) ? c.Tensor(1).Item() : float.NegativeInfinity, high = c.Has(2) ? c.Tensor(2).Item() : float.PositiveInfinity;
        return [Apply<ClipOp>("Clip", c.Tensor(0), new(low, high))];
    }

    /// <summary>swish(gate) * value (Shazeer 2020, "GLU Variants Improve Transformer", equation 5).</summary>
    public static ModelValue[]? SwiGluFromNode(OperatorContext c)
    {
        if (!c.AreFloat32(0, 1)) return null;
        Tensor gate = Apply<SwishOp>("Swish", c.Tensor(0), new(c.Attributes.Float("alpha", 1))), y = Binary.Multiply(gate, c.Tensor(1));
        gate.Storage.Release();
        return [y];
    }

    private readonly struct PReluForward : IScalarBinary
    {
        public static float Apply(float a, float b) => a < 0 ? a * b : a;
    }

    private readonly struct PReluInputSlope : IScalarBinary
    {
        public static float Apply(float a, float b) => a < 0 ? b : 1;
    }
}

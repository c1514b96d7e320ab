using Sparseland.Kernels.Dense;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>A 1-D or 2-D convolution with a constant weight: y = clamp(w * x + bias + residual), all [batch, channels, width] or [batch, channels, height, width].</summary>
internal sealed class ConvolutionStep : Step
{
    private readonly KernelChoice<ConvolutionKernel> _choice;
    private readonly Convolution2D _geometry;
    private readonly Clamp _clamp;

    private ConvolutionStep(Node node, Slot?[] inputs, Slot output, KernelChoice<ConvolutionKernel> choice, Convolution2D geometry, Clamp clamp) : base(node, inputs, [output])
    {
        _choice = choice;
        _geometry = geometry;
        _clamp = clamp;
    }

    public override string Kernel => _choice.Kernel.NameFor(_geometry);

    public override string Reason => _choice.Reason;

    public override double Density => _choice.Density;

    public override object? Weight => _choice.Kernel;

    public override long WeightBytes => _choice.Kernel.Bytes;

    public override long DenseWeightBytes => _geometry.WeightLength * sizeof(float);

    public override bool SkipsZeros => _choice.Kind != KernelKind.Dense;

    public override long MultiplyAdds => _geometry.MultiplyAdds;

    public override bool TakesHalves(Slot slot) => SpacedAsOutput is null && _geometry.Batch == 1 && (slot == Inputs[0] || slot == Outputs[0]) && _choice.Kernel.TakesHalves(_geometry, slot == Inputs[0]);

    public override bool TakesSpacing(Slot slot) => (slot == Inputs[0] || slot == Outputs[0] || slot == SpacedAsOutput) && (_choice.Kernel.TakesSpacing || (_choice.Kernel.TakesSpacingAlone && SpacedAsOutput is null));

    public override Slot? SpacedAsOutput => Inputs.Count > 3 ? Inputs[3] : null;

    /// <summary>Why a convolution has no step of this kind; empty when there is nothing to say.</summary>
    public static string WhyNot(Node node, StepContext context) =>
        context.Weight(node.Input(1)) is { } weight && weight.Shape.Length > 4 ? $"{weight.Shape.Length - 2}-D convolutions are computed by definition, zeros and all" : "";

    /// <summary>The step, or null when the node is no convolution of one or two dimensions with a constant weight and known shapes.</summary>
    public static Step? TryCreate(Node node, StepContext context, bool fused)
    {
        if (context.Weight(node.Input(1)) is not { ElementType: ElementType.Float32 } weight || weight.Shape.Length is not (3 or 4)) return null;
        int rank = weight.Shape.Length;
        if (context.FloatShape(node.Inputs[0]) is not { } x || context.FloatShape(node.Outputs[0]) is not { } y || x.Length != rank || y.Length != rank) return null;
        if (node.HasInput(2) && context.FloatShape(node.Input(2)) is not { Length: 1 }) return null;
        if (Geometry(node, x, y, weight.Shape) is not { } geometry) return null;

        KernelChoice<ConvolutionKernel> choice = ConvolutionKernel.Choose(weight, geometry, context);
        Clamp clamp = fused ? new Clamp(node.Attributes.Float("low", float.NegativeInfinity), node.Attributes.Float("high", float.PositiveInfinity)) : Clamp.None;
        // The kernel has the weight; as a constant it would be there twice.
        Slot?[] slots = [.. node.Inputs.Select((n, i) => i == 1 || n.Length == 0 ? null : context.Find(n))];
        return new ConvolutionStep(node, slots, context.NewArena(node.Outputs[0], y), choice, geometry, clamp);
    }

    public override void Run(RunState state)
    {
        ReadOnlySpan<float> bias = Inputs.Count > 2 && Inputs[2] is { } b ? state.Read(b) : default;
        ReadOnlySpan<float> residual = SpacedAsOutput is { } r ? state.Read(r) : default;
        _choice.Kernel.Forward(_geometry, state.Read(Inputs[0]!), bias, state.Write(Outputs[0]!), _clamp, residual, PlaneSpacingOf(Inputs[0]!, Outputs[0]!));
    }

    private static PlaneSpacing PlaneSpacingOf(Slot input, Slot output) =>
        new(input.InHalves ? 0 : input.PlaneDistance, output.InHalves ? 0 : output.PlaneDistance) { InputApart = input.HalvesApart, OutputApart = output.HalvesApart };

    private static Convolution2D? Geometry(Node node, int[] x, int[] y, ReadOnlySpan<int> w)
    {
        long[] strides = node.Attributes.Ints("strides") ?? [1, 1], dilations = node.Attributes.Ints("dilations") ?? [1, 1];
        long[]? pads = node.Attributes.Ints("pads");
        if (x.Length == 3)
        {
            // One row.
            (x, y) = ([x[0], x[1], 1, x[2]], [y[0], y[1], 1, y[2]]);
            w = new int[] { w[0], w[1], 1, w[2] };
            (strides, dilations, pads) = ([1, strides[^1]], [1, dilations[^1]], pads is null ? null : [0, pads[0], 0, pads[1]]);
        }
        var geometry = new Convolution2D(x[0], x[1], x[2], x[3], w[0], w[2], w[3])
        {
            StrideY = (int)strides[0],
            StrideX = (int)strides[1],
            DilationY = (int)dilations[0],
            DilationX = (int)dilations[1],
            Groups = (int)node.Attributes.Int("group", 1),
        };
        string autoPad = node.Attributes.String("auto_pad", "NOTSET");
        if (autoPad is "SAME_UPPER" or "SAME_LOWER")
        {
            int totalY = Math.Max(0, (y[2] - 1) * geometry.StrideY + (w[2] - 1) * geometry.DilationY + 1 - x[2]);
            int totalX = Math.Max(0, (y[3] - 1) * geometry.StrideX + (w[3] - 1) * geometry.DilationX + 1 - x[3]);
            int smallY = totalY / 2, smallX = totalX / 2;
            bool upper = autoPad == "SAME_UPPER";
            geometry = geometry with
            {
                PadTop = upper ? smallY : totalY - smallY,
                PadBottom = upper ? totalY - smallY : smallY,
                PadLeft = upper ? smallX : totalX - smallX,
                PadRight = upper ? totalX - smallX : smallX,
            };
        }
        else if (autoPad == "NOTSET" && pads is not null)
        {
            geometry = geometry with { PadTop = (int)pads[0], PadLeft = (int)pads[1], PadBottom = (int)pads[2], PadRight = (int)pads[3] };
        }
        return geometry.OutHeight == y[2] && geometry.OutWidth == y[3] && geometry.OutChannels == y[1] ? geometry : null;
    }
}

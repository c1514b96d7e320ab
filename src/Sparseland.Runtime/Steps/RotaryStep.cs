using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Runtime.Planning;

namespace Sparseland.Runtime.Steps;

/// <summary>RotaryEmbedding over [batch, heads, length, size] or [batch, length, heads * size]. Su et al., "RoFormer", eq. 34.</summary>
internal sealed class RotaryStep : Step
{
    private readonly int _batch, _heads, _length, _size, _half, _tableRows;
    private readonly bool _interleaved, _headsFirst;

    private RotaryStep(Node node, Slot?[] inputs, Slot output, int batch, int heads, int length, int size, int half, int tableRows, bool headsFirst) : base(node, inputs, [output])
    {
        (_batch, _heads, _length, _size, _half, _tableRows, _headsFirst) = (batch, heads, length, size, half, tableRows, headsFirst);
        _interleaved = node.Attributes.Int("interleaved", 0) != 0;
    }

    public override string Kernel => "rotation";

    /// <summary>The step, or null when shapes are not known.</summary>
    public static Step? TryCreate(Node node, StepContext context)
    {
        if (context.FloatShape(node.Inputs[0]) is not { Length: 3 or 4 } x || context.FloatShape(node.Inputs[1]) is not { } cos || context.FloatShape(node.Inputs[2]) is not { } sin) return null;
        bool headsFirst = x.Length == 4;
        int heads = headsFirst ? x[1] : (int)node.Attributes.Int("num_heads", 0);
        if (heads < 1 || x[^1] % (headsFirst ? 1 : heads) != 0 || !cos.AsSpan().SequenceEqual(sin)) return null;
        int length = headsFirst ? x[2] : x[1], size = headsFirst ? x[3] : x[2] / heads;
        int turned = (int)node.Attributes.Int("rotary_embedding_dim", 0);
        int half = (turned == 0 ? size : turned) / 2;
        if (cos[^1] != half || half == 0 || 2 * half > size) return null;
        bool hasPositions = node.HasInput(3);
        if (hasPositions ? cos.Length != 2 : TensorData.CountElements(cos) != x[0] * length * half) return null;
        return new RotaryStep(node, context.Inputs(node), context.NewArena(node.Outputs[0], x), x[0], heads, length, size, half, TensorData.CountElements(cos) / half, headsFirst);
    }

    public override void Run(RunState state)
    {
        ReadOnlySpan<float> x = state.Read(Inputs[0]!), cos = state.Read(Inputs[1]!), sin = state.Read(Inputs[2]!);
        Span<float> y = state.Write(Outputs[0]!);
        long[]? positions = Inputs.Count > 3 && Inputs[3] is { } p ? state.Tensor(p).ToInt64s() : null;
        for (int b = 0; b < _batch; b++)
        {
            for (int t = 0; t < _length; t++)
            {
                long position = positions is null ? b * _length + t : positions[positions.Length == _batch * _length ? b * _length + t : t];
                if (position < 0 || position >= _tableRows)
                {
                    throw new GraphException("SL2003", $"{Node.OpType} node '{Node.Name}': position {position} is outside of a table of {_tableRows} positions")
                    {
                        Where = $"node '{Node.Name}' ({Node.OpType})",
                    };
                }
                ReadOnlySpan<float> c = cos.Slice((int)position * _half, _half), s = sin.Slice((int)position * _half, _half);
                for (int h = 0; h < _heads; h++)
                {
                    int start = (_headsFirst ? (b * _heads + h) * _length + t : (b * _length + t) * _heads + h) * _size;
                    Turn(x.Slice(start, _size), y.Slice(start, _size), c, s);
                }
            }
        }
    }

    private void Turn(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> cos, ReadOnlySpan<float> sin)
    {
        int half = cos.Length, step = _interleaved ? 2 : 1, other = _interleaved ? 1 : half;
        for (int i = 0; i < half; i++)
        {
            float a = x[i * step], b = x[i * step + other];
            y[i * step] = a * cos[i] - b * sin[i];
            y[i * step + other] = a * sin[i] + b * cos[i];
        }
        x[(2 * half)..].CopyTo(y[(2 * half)..]);
    }
}

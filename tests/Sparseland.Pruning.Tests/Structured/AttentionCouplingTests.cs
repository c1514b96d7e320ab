using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>Every form of attention: heads leave with everything that belongs to them, pruned == zeroed (R9).</summary>
public class AttentionCouplingTests
{
    private const int Width = 12;

    /// <summary>Name, network, number of heads that can leave (0: refused), expected reason when refused.</summary>
    private static readonly (string Name, Func<GraphBuilder, Value> Make, int Units)[] s_forms =
    [
        ("separate linears, reshape and transpose", g => Plain(g, heads: 4, keyValueHeads: 4), 4),
        ("grouped queries by expand", g => Plain(g, heads: 6, keyValueHeads: 3), 3),
        ("one key/value head by expand", g => Plain(g, heads: 4, keyValueHeads: 1), 4),
        ("fused qkv and split", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width);
            Value[] qkv = g.Split(g.Linear(x, "qkv", 3 * 24), 2, 24, 24, 24);
            return g.Linear(Core(g, qkv[0], qkv[1], qkv[2], 4, 4, 6), "o", Width);
        }, 4),
        ("fused qkv, five axes and gather", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width);
            Value t = g.Transpose(g.Reshape(g.Linear(x, "qkv", 3 * 24), 0, -1, 3, 4, 6), 2, 0, 3, 1, 4);
            Value q = g.Gather(t, g.Constant(TensorData.Scalar(0L))), k = g.Gather(t, g.Constant(TensorData.Scalar(1L))), v = g.Gather(t, g.Constant(TensorData.Scalar(2L)));
            Value scores = g.Softmax(g.Mul(g.MatMul(q, g.Transpose(k, 0, 1, 3, 2)), g.Scalar(0.4f)));
            return g.Linear(g.Reshape(g.Transpose(g.MatMul(scores, v), 0, 2, 1, 3), 0, -1, 24), "o", Width);
        }, 4),
        ("fused qkv, five axes, split and squeeze", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width);
            Value t = g.Transpose(g.Reshape(g.Linear(x, "qkv", 3 * 24), 0, -1, 3, 4, 6), 2, 0, 3, 1, 4);
            Value[] parts = g.Split(t, 0, 1, 1, 1);
            Value q = g.Squeeze(parts[0], 0), k = g.Squeeze(parts[1], 0), v = g.Squeeze(parts[2], 0);
            Value scores = g.Softmax(g.Mul(g.MatMul(q, g.Transpose(k, 0, 1, 3, 2)), g.Scalar(0.4f)));
            return g.Linear(g.Reshape(g.Transpose(g.MatMul(scores, v), 0, 2, 1, 3), 0, -1, 24), "o", Width);
        }, 4),
        ("batch folded into heads, as torch exports it", g =>
        {
            // Sequence first, batch 1: [length, 1, width] -> [length, heads, size] -> [heads, length, size].
            Value x = g.Input("x", ElementType.Float32, Dimension.Named("length"), 1, Width);
            Value q = g.Transpose(g.Reshape(g.Mul(g.Linear(x, "q", 24), g.Scalar(0.4f)), -1, 4, 6), 1, 0, 2);
            Value k = g.Transpose(g.Reshape(g.Linear(x, "k", 24), -1, 4, 6), 1, 0, 2), v = g.Transpose(g.Reshape(g.Linear(x, "v", 24), -1, 4, 6), 1, 0, 2);
            Value y = g.MatMul(g.Softmax(g.MatMul(q, g.Transpose(k, 0, 2, 1))), v);
            return g.Linear(g.Reshape(g.Transpose(y, 1, 0, 2), -1, 1, 24), "o", Width);
        }, 4),
        ("Attention operator, three axes", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width);
            return g.Linear(g.Attention(g.Linear(x, "q", 24), g.Linear(x, "k", 24), g.Linear(x, "v", 24), causal: true, heads: 4), "o", Width);
        }, 4),
        ("Attention operator, grouped queries, rotary", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width);
            Value cos = g.Weight("cos", Initializer.Normal(1), 16, 2), sin = g.Weight("sin", Initializer.Normal(1), 16, 2);
            Value positions = g.Input("positions", ElementType.Int64, Dimension.Named("batch"), Dimension.Named("length"));
            Value q = g.RotaryEmbedding(g.Linear(x, "q", 24, bias: false), cos, sin, positions, heads: 6), k = g.RotaryEmbedding(g.Linear(x, "k", 12, bias: false), cos, sin, positions, heads: 3);
            return g.Linear(g.Attention(q, k, g.Linear(x, "v", 12, bias: false), causal: true, heads: 6, keyValueHeads: 3), "o", Width, bias: false);
        }, 3),
        ("Attention operator, one key/value head", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width);
            return g.Linear(g.Attention(g.Linear(x, "q", 24), g.Linear(x, "k", 6), g.Linear(x, "v", 6), heads: 4, keyValueHeads: 1), "o", Width);
        }, 4),
        ("Attention operator, four axes", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width);
            Value Heads(string name) => g.Transpose(g.Reshape(g.Linear(x, name, 24), 0, 0, 4, 6), 0, 2, 1, 3);
            Value y = g.Attention(Heads("q"), Heads("k"), Heads("v"));
            return g.Linear(g.Reshape(g.Transpose(y, 0, 2, 1, 3), 0, 0, 24), "o", Width);
        }, 4),
        ("Attention operator, four axes, mask with heads", g =>
        {
            Value x = g.Input("x", ElementType.Float32, 2, 5, Width);
            Value Heads(string name, int heads) => g.Transpose(g.Reshape(g.Linear(x, name, heads * 4), 0, 0, heads, 4), 0, 2, 1, 3);
            Value y = g.Attention(Heads("q", 6), Heads("k", 2), Heads("v", 2), mask: g.Weight("bias_table", Initializer.Normal(1), 6, 5, 5));
            return g.Linear(g.Reshape(g.Transpose(y, 0, 2, 1, 3), 0, 0, 24), "o", Width);
        }, 2),
        ("cross attention", g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, Width), c = g.Input("context", ElementType.Float32, Dimension.Named("batch"), Dimension.Named("context"), 10);
            return g.Linear(g.Attention(g.Linear(x, "q", 24), g.Linear(c, "k", 24), g.Linear(c, "v", 24), heads: 4), "o", Width);
        }, 4),
        ("rotary written out", g =>
        {
            Value x = g.Input("x", ElementType.Float32, 2, 5, Width);
            Value cos = g.Weight("cos", Initializer.Normal(1), 1, 1, 5, 6), sin = g.Weight("sin", Initializer.Normal(1), 1, 1, 5, 6);
            Value Heads(string name) => g.Transpose(g.Reshape(g.Linear(x, name, 24), 0, 0, 4, 6), 0, 2, 1, 3);
            Value Turn(Value h)
            {
                Value half = g.Concat(3, g.Add("Neg", [g.Slice(h, 3, 3, long.MaxValue)]), g.Slice(h, 3, 0, 3));
                return g.Add(g.Mul(h, cos), g.Mul(half, sin));
            }
            Value scores = g.Softmax(g.MatMul(Turn(Heads("q")), g.Transpose(Turn(Heads("k")), 0, 1, 3, 2)));
            return g.Linear(g.Reshape(g.Transpose(g.MatMul(scores, Heads("v")), 0, 2, 1, 3), 0, 0, 24), "o", Width);
        }, 4),
    ];

    public static TheoryData<string> Forms() => [.. s_forms.Select(f => f.Name)];

    [Theory]
    [MemberData(nameof(Forms))]
    public void Heads_leave_with_all_that_belongs_to_them(string name)
    {
        (_, Func<GraphBuilder, Value> make, int units) = s_forms.Single(f => f.Name == name);
        for (int seed = 0; seed < 3; seed++)
        {
            var g = new GraphBuilder(name, seed);
            ModelGraph graph = OperatorCouplingTests.Randomised(g.Output("y", make(g)).Build(), seed);
            DependencyGraph dependencies = DependencyGraph.Build(graph);
            ChannelGroup group = Assert.Single(dependencies.Groups);
            Assert.Equal(UnitKind.Head, group.Kind);
            Assert.Equal(units, group.UnitCount);
            PrunedEqualsZeroed.Check(graph, seed, seed switch { 0 => 0.25, 1 => 0.5, _ => 0.75 });
        }
    }

    [Fact]
    public void Attributes_follow_the_heads()
    {
        var g = new GraphBuilder("gqa");
        Value x = OperatorCouplingTests.Tokens(g, Width);
        Value y = g.Linear(g.Attention(g.Linear(x, "q", 24), g.Linear(x, "k", 12), g.Linear(x, "v", 12), heads: 6, keyValueHeads: 3), "o", Width);
        DependencyGraph dependencies = DependencyGraph.Build(g.Output("y", y).Build());
        ModelGraph cut = Surgeon.Remove(new Removal(dependencies).Add(dependencies.Groups[0], [1])).Graph;
        Node attention = cut.Nodes.Single(n => n.OpType == "Attention");
        Assert.Equal((4L, 2L), (attention.Attributes.Int("q_num_heads", 0), attention.Attributes.Int("kv_num_heads", 0)));
        Assert.Equal([16, 12], cut.Weights["q.weight"].Shape.ToArray());
        Assert.Equal([8], cut.Weights["k.bias"].Shape.ToArray());
        Assert.Equal([12, 16], cut.Weights["o.weight"].Shape.ToArray());
    }

    [Fact]
    public void A_single_key_value_head_is_refused_with_the_reason()
    {
        var g = new GraphBuilder("mqa");
        Value x = OperatorCouplingTests.Tokens(g, Width);
        Value y = g.Linear(g.Attention(g.Linear(x, "q", 24), g.Linear(x, "k", 6), g.Linear(x, "v", 6), heads: 4, keyValueHeads: 1), "o", Width);
        DependencyGraph dependencies = DependencyGraph.Build(g.Output("y", y).Build());
        foreach (string weight in (string[])["k.weight", "v.weight"])
            Assert.Equal(RefusalReason.HeadArithmetic, dependencies.Frozen.Single(f => f.Weight == weight && f.Axis == 0).Refusal.Reason);
    }

    [Fact]
    public void A_lone_head_is_refused_with_the_reason()
    {
        var g = new GraphBuilder("lone");
        Value x = OperatorCouplingTests.Tokens(g, Width);
        Value y = g.Linear(g.Attention(g.Linear(x, "q", 6), g.Linear(x, "k", 6), g.Linear(x, "v", 6), heads: 1), "o", Width);
        DependencyGraph dependencies = DependencyGraph.Build(g.Output("y", y).Build());
        Assert.Empty(dependencies.Groups);
        Assert.Equal(RefusalReason.HeadArithmetic, dependencies.Frozen.Single(f => f.Weight == "q.weight" && f.Axis == 0).Refusal.Reason);
    }

    [Fact]
    public void The_shapes_of_a_cache_follow_the_heads()
    {
        var g = new GraphBuilder("cache");
        Value x = g.Input("x", ElementType.Float32, 1, 3, Width);
        Value pastKey = g.Input("past_key", ElementType.Float32, 1, 4, 5, 6), pastValue = g.Input("past_value", ElementType.Float32, 1, 4, 5, 6);
        Value[] outputs = g.AddMany("Attention", [g.Linear(x, "q", 24), g.Linear(x, "k", 24), g.Linear(x, "v", 24), Value.None, pastKey, pastValue], 3,
            a => a.Set("q_num_heads", 4L).Set("kv_num_heads", 4L));
        g.Output("y", g.Linear(outputs[0], "o", Width)).Output("present_key", outputs[1]).Output("present_value", outputs[2]);
        ModelGraph graph = OperatorCouplingTests.Randomised(g.Build(), 3);
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        Removal removal = new Removal(dependencies).Add(Assert.Single(dependencies.Groups), [2, 3]);
        ModelGraph cut = PrunedEqualsZeroed.Check(removal, 1).Graph;
        Assert.Equal("[1, 2, 5, 6]", cut.Inputs.Single(i => i.Name == "past_key").Type.Shape!.ToString());
        Assert.Equal("[1, 2, 8, 6]", cut.Outputs.Single(o => o.Name == "present_value").Type.Shape!.ToString());
    }

    private static Value Plain(GraphBuilder g, int heads, int keyValueHeads)
    {
        Value x = OperatorCouplingTests.Tokens(g, Width);
        return g.Linear(Core(g, g.Linear(x, "q", heads * 4), g.Linear(x, "k", keyValueHeads * 4), g.Linear(x, "v", keyValueHeads * 4), heads, keyValueHeads, 4), "o", Width);
    }

    private static Value Core(GraphBuilder g, Value q, Value k, Value v, int heads, int keyValueHeads, int size)
    {
        Value Split(Value x, int count) => g.Transpose(g.Reshape(x, 0, 0, count, size), 0, 2, 1, 3);
        Value Repeat(Value x)
        {
            if (keyValueHeads == heads) return x;
            // Sizes of batch and length are read from the value, as exporters write it.
            Value shape = g.Add("Shape", [x]);
            Value Pick(long i) => g.Gather(shape, g.Integers(i));
            Value target = g.Concat(0, Pick(0), g.Integers(keyValueHeads), g.Integers(heads / keyValueHeads), Pick(2), g.Integers(size));
            Value wide = g.Add("Expand", [g.Unsqueeze(x, 2), target]);
            return g.Add("Reshape", [wide, g.Concat(0, Pick(0), g.Integers(heads), Pick(2), g.Integers(size))]);
        }
        Value scores = g.Softmax(g.Mul(g.MatMul(Split(q, heads), g.Transpose(Repeat(Split(k, keyValueHeads)), 0, 1, 3, 2)), g.Scalar(0.5f)));
        return g.Reshape(g.Transpose(g.MatMul(scores, Repeat(Split(v, keyValueHeads))), 0, 2, 1, 3), 0, 0, heads * size);
    }
}

using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>One case per reason: what cannot be cut is refused, and said.</summary>
public class RefusalTests
{
    [Fact]
    public void Channels_of_inputs_and_outputs()
    {
        DependencyGraph d = Build(g => g.Conv(g.Relu(g.Conv(OperatorCouplingTests.Image(g), "a", 6, 3)), "b", 4, 1));
        Assert.Equal(RefusalReason.FeedsGraphInput, Reason(d, "a.weight", 1));
        Assert.Equal(RefusalReason.FeedsGraphOutput, Reason(d, "b.weight", 0));
    }

    [Theory]
    [InlineData("softmax")]
    [InlineData("layer norm")]
    [InlineData("rms norm")]
    [InlineData("mean")]
    [InlineData("max")]
    [InlineData("group norm of one group")]
    [InlineData("local response")]
    public void Normalisations_over_the_channels(string kind)
    {
        DependencyGraph d = Build(g =>
        {
            Value x = g.Conv(OperatorCouplingTests.Image(g), "a", 6, 1);
            Value y = kind switch
            {
                "softmax" => g.Softmax(x, 1),
                "layer norm" => g.Transpose(g.LayerNorm(g.Transpose(x, 0, 2, 3, 1), "n"), 0, 3, 1, 2),
                "rms norm" => g.Transpose(g.RmsNorm(g.Transpose(x, 0, 2, 3, 1), "n"), 0, 3, 1, 2),
                "mean" => g.Sub(x, g.ReduceMean(x, [1])),
                "max" => g.Sub(x, g.Add("ReduceMax", [x, g.Integers(1)])),
                "group norm of one group" => g.GroupNorm(x, "n", 1),
                _ => g.Add("LRN", [x], a => a.Set("size", 3L)),
            };
            return g.Conv(y, "b", 4, 1);
        });
        Assert.Empty(d.Groups);
        Assert.Equal(RefusalReason.NormalizedAxis, Reason(d, "a.weight", 0));
    }

    [Fact]
    public void Sums_over_values_that_do_not_vanish_with_their_weights()
    {
        DependencyGraph summed = Build(g => g.ReduceSum(g.Sigmoid(g.Conv(OperatorCouplingTests.Image(g), "a", 6, 1)), [1]));
        Assert.Equal(RefusalReason.NonZeroSum, Reason(summed, "a.weight", 0));
        DependencyGraph product = Build(g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, 5);
            return g.MatMul(g.Sigmoid(g.Linear(x, "q", 6)), g.Transpose(g.Sigmoid(g.Linear(x, "k", 6)), 0, 2, 1));
        });
        Assert.Equal(RefusalReason.NonZeroSum, Reason(product, "q.weight", 0));
        DependencyGraph fine = Build(g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, 5);
            return g.MatMul(g.Relu(g.Linear(x, "q", 6)), g.Transpose(g.Sigmoid(g.Linear(x, "k", 6)), 0, 2, 1));
        });
        Assert.Equal(["q.weight"], fine.Groups.Select(g => g.Name));
        PrunedEqualsZeroed.Check(OperatorCouplingTests.Randomised(fine.Graph, 1), 1);
    }

    [Fact]
    public void Vocabulary_rows()
    {
        DependencyGraph d = Build(g =>
        {
            Value ids = g.Input("ids", ElementType.Int64, Dimension.Named("batch"), Dimension.Named("length"));
            return g.Linear(g.Relu(g.Linear(g.Embedding(ids, "table", 10, 6), "a", 8)), "b", 3);
        });
        Assert.Equal(RefusalReason.IndexedAxis, Reason(d, "table.weight", 0));
        Assert.Equal(["table.weight", "a.weight"], d.Groups.Select(g => g.Name));
        PrunedEqualsZeroed.Check(OperatorCouplingTests.Randomised(d.Graph, 1), 1);
    }

    [Fact]
    public void A_weight_that_is_used_twice_ties_its_uses()
    {
        // The same square matrix twice: inputs and outputs are one set of features.
        DependencyGraph d = Build(g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, 5), w = g.Weight("w", Initializer.Normal(1), 6, 6);
            x = g.Linear(x, "a", 6);
            x = g.Relu(g.MatMul(x, w));
            return g.Linear(g.MatMul(x, w), "b", 3);
        });
        ChannelGroup group = Assert.Single(d.Groups);
        Assert.Equal([("w", 0), ("w", 1)], group.Members.Where(m => m.Weight == "w").Select(m => (m.Weight, m.Axis)));
        PrunedEqualsZeroed.Check(OperatorCouplingTests.Randomised(d.Graph, 1), 1);

        // Rolled by one place before a third use, its uses tie everything together.
        DependencyGraph rolled = Build(g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, 5), w = g.Weight("w", Initializer.Normal(1), 6, 6);
            x = g.MatMul(g.MatMul(g.Linear(x, "a", 6), w), w);
            x = g.Gather(x, g.Integers(1, 2, 3, 4, 5, 0), 2);
            return g.Linear(g.MatMul(x, w), "b", 3);
        });
        Assert.Empty(rolled.Groups);
        Assert.Equal(RefusalReason.SharedWeight, Reason(rolled, "w", 0));
    }

    [Fact]
    public void Groups_that_cannot_stay_balanced()
    {
        // One channel per group in, two out: with positions tied there is a single input unit.
        DependencyGraph d = Build(g => g.Conv(g.Conv(g.Conv(OperatorCouplingTests.Image(g), "a", 4, 1), "gc", 2, 1, groups: 2), "b", 4, 1));
        Assert.Equal(["a.weight"], d.Groups.Select(g => g.Name));
        Assert.Equal(RefusalReason.GroupDivisibility, Reason(d, "gc.weight", 0));
    }

    [Fact]
    public void Sizes_that_are_computed_with()
    {
        // A mean written out by hand divides by the number of channels.
        DependencyGraph mean = Build(g =>
        {
            Value x = g.Relu(g.Conv(OperatorCouplingTests.Image(g), "a", 6, 1));
            Value count = g.Cast(g.Gather(g.Add("Shape", [x]), g.Constant(TensorData.Scalar(1L))), ElementType.Float32);
            return g.Div(g.ReduceSum(x, [1]), count);
        });
        Assert.Empty(mean.Groups);
        Assert.Equal(RefusalReason.DynamicShape, Reason(mean, "a.weight", 0));

        // A flatten as exporters write it only makes a target shape.
        DependencyGraph flatten = Build(g =>
        {
            Value x = g.MaxPool(g.Relu(g.Conv(OperatorCouplingTests.Image(g), "a", 6, 1)), 2);
            Value shape = g.Add("Shape", [x]);
            Value pixels = g.Mul(g.Gather(shape, g.Integers(1)), g.Integers(9));
            Value flat = g.Add("Reshape", [x, g.Concat(0, g.Gather(shape, g.Integers(0)), pixels)]);
            return g.Linear(flat, "b", 4);
        });
        Assert.Equal(["a.weight"], flatten.Groups.Select(g => g.Name));
        PrunedEqualsZeroed.Check(OperatorCouplingTests.Randomised(flatten.Graph, 1), 1);

        // Heads computed from the width: the head size would change with the number of heads.
        DependencyGraph heads = Build(g =>
        {
            Value x = OperatorCouplingTests.Tokens(g, 12);
            Value Split(string name)
            {
                Value v = g.Linear(x, name, 24);
                Value shape = g.Add("Shape", [v]);
                Value size = g.Div(g.Gather(shape, g.Integers(2)), g.Integers(4));
                return g.Transpose(g.Add("Reshape", [v, g.Concat(0, g.Gather(shape, g.Integers(0)), g.Gather(shape, g.Integers(1)), g.Integers(4), size)]), 0, 2, 1, 3);
            }
            Value y = g.MatMul(g.Softmax(g.MatMul(Split("q"), g.Transpose(Split("k"), 0, 1, 3, 2))), Split("v"));
            return g.Linear(g.Reshape(g.Transpose(y, 0, 2, 1, 3), 0, 0, 24), "o", 12);
        });
        Assert.Equal(UnitKind.Head, Assert.Single(heads.Groups).Kind);
        PrunedEqualsZeroed.Check(OperatorCouplingTests.Randomised(heads.Graph, 1), 1);
    }

    [Fact]
    public void Unknown_channel_numbers()
    {
        DependencyGraph d = Build(g =>
        {
            Value x = g.Relu(g.Conv(OperatorCouplingTests.Image(g), "a", 6, 1));
            // Two sizes that only the caller knows leave open what the flat axis is made of.
            Value target = g.Input("target", ElementType.Int64, 2);
            return g.Add("Reshape", [x, target]);
        });
        Assert.Equal(RefusalReason.DynamicShape, Reason(d, "a.weight", 0));
    }

    [Fact]
    public void Nothing_may_be_emptied()
    {
        DependencyGraph d = Build(g => g.Conv(g.Relu(g.Conv(OperatorCouplingTests.Image(g), "a", 6, 3)), "b", 4, 1));
        var e = Assert.Throws<GraphException>(() => Surgeon.Remove(new Removal(d).Add(d.Groups[0], Enumerable.Range(0, 6))));
        Assert.Equal("SL2108", e.Code);
        Assert.NotNull(e.Try);
        Assert.Throws<ArgumentOutOfRangeException>(() => new Removal(d).Add(d.Groups[0], [6]));
    }

    [Fact]
    public void A_channel_that_is_alone_in_its_branch_stays()
    {
        DependencyGraph d = Build(g => g.Conv(g.Concat(1, g.Conv(OperatorCouplingTests.Image(g), "a", 1, 1), g.Conv(OperatorCouplingTests.Image(g, "second"), "b", 5, 1)), "c", 4, 1));
        Assert.Equal(["b.weight"], d.Groups.Select(g => g.Name));
        Assert.Equal(RefusalReason.FloorReached, d.Frozen.Single(f => f.Weight == "c.weight" && f.Axis == 1).Refusal.Reason);
    }

    [Fact]
    public void Every_reason_has_a_code_and_advice()
    {
        Assert.Equal(Enumerable.Range(2101, Enum.GetValues<RefusalReason>().Length), Enum.GetValues<RefusalReason>().Select(r => (int)r));
        foreach (RefusalReason reason in Enum.GetValues<RefusalReason>())
        {
            Assert.Equal($"SL{(int)reason}", reason.Code());
            Assert.NotEmpty(reason.Advice());
        }
    }

    private static DependencyGraph Build(Func<GraphBuilder, Value> make)
    {
        var g = new GraphBuilder("refusal");
        return DependencyGraph.Build(g.Output("y", make(g)).Build());
    }

    private static RefusalReason Reason(DependencyGraph d, string weight, int axis) =>
        d.Frozen.FirstOrDefault(f => f.Weight == weight && f.Axis == axis)?.Refusal.Reason
        ?? throw new Xunit.Sdk.XunitException($"{weight} axis {axis} is free: {string.Join("; ", d.Groups)}");
}

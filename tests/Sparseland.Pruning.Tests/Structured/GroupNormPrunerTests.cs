using Sparseland.Model;
using Sparseland.Model.Analysis;
using Sparseland.Model.Architectures;
using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

public class GroupNormPrunerTests
{
    [Fact]
    public void Scores_are_norms_of_all_that_leaves()
    {
        (DependencyGraph d, ChannelGroup group) = Small();
        // Unit u: filter (u + 1) ones of 3, bias u, column of the reader 2 u over 4 filters.
        double[] l1 = new GroupImportance { Norm = UnitNorm.L1, RelativeToGroup = false }.Score(d.Graph, group);
        Assert.Equal([3 + 0 + 0, 6 + 1 + 8, 9 + 2 + 16], l1);
        double[] l2 = new GroupImportance { RelativeToGroup = false }.Score(d.Graph, group);
        Assert.Equal([Math.Sqrt(3), Math.Sqrt(12 + 1 + 16), Math.Sqrt(27 + 4 + 64)], l2, (a, b) => Math.Abs(a - b) < 1e-9);
        double[] filters = new GroupImportance { Norm = UnitNorm.L1, Scope = UnitScope.Producer, RelativeToGroup = false }.Score(d.Graph, group);
        Assert.Equal([3, 6, 9], filters);
        Assert.Equal(1, new GroupImportance().Score(d.Graph, group).Average(), 1e-9);
    }

    [Theory]
    [InlineData(BudgetUnit.Macs, 0.5, ChannelSpread.Global)]
    [InlineData(BudgetUnit.Macs, 0.5, ChannelSpread.Uniform)]
    [InlineData(BudgetUnit.Parameters, 0.3, ChannelSpread.Global)]
    [InlineData(BudgetUnit.Parameters, 0.8, ChannelSpread.Uniform)]
    public void A_resnet_meets_its_budget_and_not_by_much(BudgetUnit unit, double keep, ChannelSpread spread)
    {
        ModelGraph graph = ArchitectureCatalog.Get("resnet20").Build(seed: 1);
        StructuredResult result = new GroupNormPruner().Prune(graph, new ChannelBudget(unit, keep) { Spread = spread, Rounding = WidthRounding.None });
        long before = unit == BudgetUnit.Macs ? result.Before.Macs : result.Before.Parameters, after = unit == BudgetUnit.Macs ? result.After.Macs : result.After.Parameters;
        double achieved = (double)after / before;
        Assert.InRange(achieved, keep - 0.04, keep);
        Assert.Equal(achieved, result.Plan.Achieved, 1e-9);
        Assert.All(result.Plan.Groups, g => Assert.True(g.Kept >= Math.Ceiling(0.1 * g.Group.UnitCount)));
        Assert.True(result.RemovedUnits > 0);
        GraphValidator.Validate(result.Graph);
    }

    [Theory]
    [InlineData("resnet20", 16, 0.5)]
    [InlineData("resnet20", 8, 0.5)]
    [InlineData("resnet20", 4, 0.7)]
    [InlineData("resnet20-wide", 16, 0.5)]
    [InlineData("resnet20-wide", 32, 0.6)]
    [InlineData("vgg16-bn", 16, 0.3)]
    [InlineData("mobilenet-v2", 16, 0.7)]
    public void Every_axis_has_a_friendly_width_and_the_cost_is_shown(string architecture, int multiple, double keep)
    {
        ModelGraph graph = ArchitectureCatalog.Get(architecture).Build(seed: 1);
        StructuredResult result = new GroupNormPruner().Prune(graph, new ChannelBudget(BudgetUnit.Macs, keep) { Rounding = new WidthRounding(multiple) });
        int cut = 0;
        foreach (Weight weight in graph.Weights.Values.Where(w => w.Shape.Length == 4))
        {
            // Filters and inputs of every convolution, shortcuts that pad included: the layer as it will run, not the group.
            for (int axis = 0; axis < 2; axis++)
            {
                int before = weight.Shape[axis], after = result.Graph.Weights[weight.Name].Shape[axis];
                if (after == before) continue;
                cut++;
                int expected = Math.Min(multiple, 1 << (int)Math.Log2(before / 2));
                Assert.True(after % expected == 0, $"{weight.Name} axis {axis}: {before} to {after}, not a multiple of {expected}");
            }
        }
        Assert.True(cut > 0);
        Assert.InRange(result.Plan.RoundingCost, -0.01, 0.1);
        Assert.Contains(result.Plan.Groups, g => g.Rounding != 0);
    }

    [Theory]
    [InlineData(64, 16)]
    [InlineData(32, 16)]
    [InlineData(24, 8)]
    [InlineData(16, 8)]
    [InlineData(3, 1)]
    [InlineData(1, 1)]
    public void The_multiple_shrinks_with_narrow_axes(int width, int multiple) => Assert.Equal(multiple, new WidthRounding().MultipleFor(width));

    [Fact]
    public void The_same_cut_at_the_macs_of_resnet20_is_what_the_counter_says()
    {
        // 40.5 million multiply-accumulates and 0.27 million parameters: He et al. 2016, table 6, and the usual count of one product per tap.
        ModelCost cost = ModelCost.Of(ArchitectureCatalog.Get("resnet20").Build());
        Assert.Equal(40_551_040, cost.Macs);
        Assert.Equal(269_722, cost.Parameters);
    }

    [Fact]
    public void A_budget_that_cannot_be_met_names_the_nearest()
    {
        ModelGraph graph = ArchitectureCatalog.Get("resnet20").Build(seed: 1);
        var pruner = new GroupNormPruner();
        var budget = new ChannelBudget(BudgetUnit.Macs, 0.01) { Floor = 0.5 };
        ChannelPlan plan = pruner.Plan(DependencyGraph.Build(graph), budget);
        Assert.False(plan.IsFeasible);
        Assert.InRange(plan.NearestFeasible, 0.2, 0.4);
        Assert.Equal(plan.NearestFeasible, plan.Achieved, 1e-9);
        Assert.All(plan.Groups, g => Assert.Equal(RefusalReason.FloorReached, g.Refusal!.Reason));
        var e = Assert.Throws<PruningException>(() => pruner.Prune(graph, budget));
        Assert.Equal("SL4030", e.Code);
        Assert.NotNull(e.Try);
        // And the nearest can be reached.
        Assert.True(pruner.Plan(DependencyGraph.Build(graph), budget with { Keep = plan.NearestFeasible + 1e-6 }).IsFeasible);
    }

    [Fact]
    public void Excluded_groups_keep_everything()
    {
        ModelGraph graph = ArchitectureCatalog.Get("resnet20").Build(seed: 1);
        ChannelPlan plan = new GroupNormPruner().Plan(DependencyGraph.Build(graph),
            new ChannelBudget(BudgetUnit.Parameters, 0.7) { Include = g => !g.Name.StartsWith("layer1", StringComparison.Ordinal) });
        GroupPlan kept = plan.Groups.First(g => g.Group.Name.StartsWith("layer1", StringComparison.Ordinal));
        Assert.Equal(0, kept.Removed);
        Assert.Equal(RefusalReason.ExcludedByUser, kept.Refusal!.Reason);
        Assert.True(plan.IsFeasible);
    }

    [Fact]
    public void Ties_leave_by_index()
    {
        var g = new GraphBuilder("ties");
        Value y = g.Conv(g.Conv(OperatorCouplingTests.Image(g), "a", 8, 1, initializer: Initializer.Ones), "b", 4, 1, initializer: Initializer.Ones);
        DependencyGraph d = DependencyGraph.Build(g.Output("y", y).Build());
        ChannelPlan plan = new GroupNormPruner().Plan(d, new ChannelBudget(BudgetUnit.Parameters, 0.6) { Rounding = WidthRounding.None });
        bool[] removed = [.. Enumerable.Range(0, 8).Select(u => plan.Removal.Contains(d.Groups[0], u))];
        Assert.Equal([.. removed.OrderByDescending(r => r)], removed);
        Assert.Contains(true, removed);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-0.5)]
    [InlineData(1.1)]
    [InlineData(double.NaN)]
    public void Impossible_shares_are_refused(double keep)
    {
        (DependencyGraph d, _) = Small();
        Assert.Throws<ArgumentOutOfRangeException>(() => new GroupNormPruner().Plan(d, new ChannelBudget(BudgetUnit.Macs, keep)));
    }

    private static (DependencyGraph, ChannelGroup) Small()
    {
        var g = new GraphBuilder("small");
        Value x = g.Input("x", ElementType.Float32, Dimension.Named("batch"), 3, 2, 2);
        Value a = g.Weight("a", TensorData.Wrap(Enumerable.Range(0, 9).Select(i => (float)(i / 3) + 1).ToArray(), 3, 3, 1, 1));
        Value bias = g.Weight("bias", TensorData.Vector(0f, 1f, 2f));
        Value b = g.Weight("b", TensorData.Wrap(Enumerable.Range(0, 12).Select(i => 2f * (i % 3)).ToArray(), 4, 3, 1, 1));
        DependencyGraph d = DependencyGraph.Build(g.Output("y", g.Conv(g.Conv(x, a, bias), b, Value.None)).Build());
        return (d, Assert.Single(d.Groups));
    }
}

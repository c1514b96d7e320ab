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

    [Fact]
    public void Widths_are_rounded_and_the_cost_is_shown()
    {
        ModelGraph graph = ArchitectureCatalog.Get("resnet20-wide").Build(seed: 1);
        DependencyGraph d = DependencyGraph.Build(graph);
        ChannelPlan rounded = new GroupNormPruner().Plan(d, new ChannelBudget(BudgetUnit.Macs, 0.5));
        Assert.All(rounded.Groups, g => Assert.Equal(0, g.Kept * g.Group.UnitWidth % new WidthRounding().MultipleFor(g.Group)));
        Assert.All(rounded.Groups.Where(g => g.Group.UnitCount >= 32), g => Assert.Equal(8, new WidthRounding().MultipleFor(g.Group)));
        Assert.True(rounded.IsFeasible);
        Assert.InRange(rounded.RoundingCost, 0, 0.2);
        Assert.Contains(rounded.Groups, g => g.RoundedUp > 0);
    }

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

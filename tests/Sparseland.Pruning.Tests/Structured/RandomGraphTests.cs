using Sparseland.Model.Graph;
using Sparseland.Model.Operators.Coupling;
using Sparseland.Pruning.Structured;

namespace Sparseland.Pruning.Tests.Structured;

/// <summary>Pruned == zeroed on random networks, and no cut leaves a layer empty (R7, R8).</summary>
public class RandomGraphTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Pruned_is_zeroed(int block)
    {
        int cut = 0;
        for (int seed = block * 60; seed < (block + 1) * 60; seed++)
        {
            ModelGraph graph = RandomGraphs.Make(seed);
            try
            {
                SurgeryResult result = PrunedEqualsZeroed.Check(graph, seed, fraction: 0.2 + (0.75 * (seed % 7) / 6), tolerance: 1e-3);
                foreach (Weight weight in result.Graph.Weights.Values) Assert.DoesNotContain(0, weight.Shape.ToArray());
                if (result.KeptPositions.Count > 0) cut++;
                // A smaller model can be pruned again.
                if (seed % 5 == 0) PrunedEqualsZeroed.Check(result.Graph, seed, tolerance: 1e-3);
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                Assert.Fail($"seed {seed}: {e}\n{string.Join("\n", graph.Nodes)}");
            }
            catch (Xunit.Sdk.XunitException e)
            {
                Assert.Fail($"seed {seed}: {e.Message}\n{string.Join("\n", graph.Nodes)}");
            }
        }
        Assert.True(cut > 50, $"only {cut} of 60 networks could be cut");
    }

    [Fact]
    public void The_same_model_gives_the_same_groups_and_plan()
    {
        for (int seed = 0; seed < 10; seed++)
        {
            string first = Describe(seed), second = Describe(seed);
            Assert.Equal(first, second);
        }

        static string Describe(int seed)
        {
            DependencyGraph dependencies = DependencyGraph.Build(RandomGraphs.Make(seed));
            ChannelPlan plan = new GroupNormPruner().Plan(dependencies, new ChannelBudget(BudgetUnit.Parameters, 0.7));
            return string.Join("\n", plan.Groups.Select(g => $"{g.Group} {g.Kept} {g.Threshold} " + string.Join(",", Enumerable.Range(0, g.Group.UnitCount).Where(u => plan.Removal.Contains(g.Group, u)))))
                + string.Join("\n", dependencies.Frozen);
        }
    }

    [Fact]
    public void An_operator_that_is_not_known_freezes_what_it_touches_and_is_listed()
    {
        ModelGraph graph = new("custom");
        graph.Inputs.Add(new GraphValue("x", new TensorType(ElementType.Float32, new TensorShape(1, 3, 6, 6))));
        foreach ((string name, int[] shape) in ((string, int[])[])[("a", [6, 3, 1, 1]), ("b", [5, 6, 1, 1]), ("c", [4, 5, 1, 1]), ("d", [3, 4, 1, 1])])
            graph.AddWeight(new Weight(name, Initializer.Normal(1).Create(new Random(1), shape)));
        graph.Nodes.Add(new Node("1", "Conv", ["x", "a"], ["va"]));
        graph.Nodes.Add(new Node("2", "Conv", ["va", "b"], ["vb"]));
        graph.Nodes.Add(new Node("3", "Mystery", ["vb"], ["vm"], "com.example"));
        graph.Nodes.Add(new Node("4", "Conv", ["vm", "c"], ["vc"]));
        graph.Nodes.Add(new Node("5", "Conv", ["vc", "d"], ["y"]));
        graph.Outputs.Add(new GraphValue("y", new TensorType(ElementType.Float32, null)));
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        Assert.Equal(["a"], dependencies.Groups.Select(g => g.Name));
        Assert.Equal("3", dependencies.UnknownOperators["Mystery"]);
        Assert.Equal(RefusalReason.UnknownOperator, dependencies.Frozen.Single(f => f.Weight == "b" && f.Axis == 0).Refusal.Reason);
        SurgeryResult result = Surgeon.Remove(new Removal(dependencies).Add(dependencies.Groups[0], [0, 1]));
        Assert.Equal([5, 4, 1, 1], result.Graph.Weights["b"].Shape.ToArray());
    }
}

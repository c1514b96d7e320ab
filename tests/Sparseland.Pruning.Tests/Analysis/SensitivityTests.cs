using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Structured;
using Sparseland.Training;
using Sparseland.Training.Data;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Tests.Analysis;

public class SensitivityTests
{
    private static readonly InputNormalization s_normalization = new([0.5f], [0.25f]);

    [Fact]
    public void Every_group_and_layer_is_cut_alone_and_what_cannot_be_cut_is_called_frozen()
    {
        ModelGraph graph = Make.Network(3);
        byte[] before = Bytes(graph);
        SensitivityResult result = GroupSensitivity.Measure(graph, Make.Pictures(80), s_normalization, new SensitivityOptions { Share = 0.5 });
        Assert.Equal(before, Bytes(graph));
        DependencyGraph dependencies = DependencyGraph.Build(graph);
        Assert.Equal(dependencies.Groups.Select(g => (g.Name, g.UnitCount, g.UnitCount / 2)), result.Rows.Where(r => r.Kind == "channels").Select(r => (r.Name, r.Units, r.Removed)));
        Assert.Equal(["conv1.weight", "conv2.weight", "conv3.weight", "classifier.weight"], result.Rows.Where(r => r.Kind == "weights").Select(r => r.Name));
        SensitivityRow[] frozen = [.. result.Rows.Where(r => r.IsFrozen)];
        Assert.Equal(dependencies.Refused.Count(), frozen.Length);
        Assert.Contains(frozen, r => r.Name == "classifier.weight axis 0" && r.Refusal!.Reason == Sparseland.Model.Operators.Coupling.RefusalReason.FeedsGraphOutput);
        Assert.All(frozen, r => Assert.True(double.IsNaN(result.LossRise(r)) && r.Kind == "frozen" && r.Removed == 0));
        // Each row is the model with that cut and no other.
        ChannelGroup group = dependencies.Groups[1];
        double[] scores = new GroupImportance().Score(graph, group);
        var removal = new Removal(dependencies).Add(group, Enumerable.Range(0, group.UnitCount).OrderBy(u => scores[u]).Take(group.UnitCount / 2));
        Evaluation alone = Evaluator.Evaluate(new TrainableModel(Surgeon.Remove(removal).Graph), Make.Pictures(80), new EvaluationOptions { Normalization = s_normalization });
        Assert.Equal(alone.Loss, result.Rows[1].After!.Loss, 6);
    }

    [Fact]
    public void A_share_is_of_what_is_left_and_wrong_shares_are_refused()
    {
        ModelGraph graph = Make.Network(3);
        ThreeRegimeStudy.Prune(graph, 0.4);
        SensitivityResult result = GroupSensitivity.Measure(graph, Make.Pictures(20), s_normalization, new SensitivityOptions { Share = 0.25, Channels = false });
        foreach (SensitivityRow row in result.Rows)
        {
            int kept = graph.Weights[row.Name].Mask?.KeptCount ?? graph.Weights[row.Name].Length;
            Assert.Equal((kept, (int)Math.Round(0.25 * kept)), (row.Units, row.Removed), Near);
        }
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => GroupSensitivity.Measure(graph, Make.Pictures(20), s_normalization, new SensitivityOptions { Share = 1 })).Code);

        static bool Near((int, int) a, (int, int) b) => a.Item1 == b.Item1 && Math.Abs(a.Item2 - b.Item2) <= 1;
    }

    private static byte[] Bytes(ModelGraph graph) => [.. graph.Weights.Values.SelectMany(w => w.Read().Bytes().ToArray())];
}

using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis.Catalog;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Analysis;

public class PlasticityTests
{
    private static AnalysisRequest Request(ModelGraph graph, params (string, string)[] arguments) => new(graph, PlasticityAnalysis.Info.Arguments(arguments.ToDictionary(a => a.Item1, a => a.Item2)))
    {
        Data = new DataSource("shapes", "procedural", Make.Pictures(), Make.Pictures(60, 9)),
        Normalization = new InputNormalization([0.5f], [0.25f]),
        BatchSize = 20,
        Seed = 1,
    };

    [Fact]
    public void Regrowing_keeps_every_layers_count_and_starts_at_zero()
    {
        ModelGraph model = Make.Network();
        AnalysisRequest r = Request(model);
        ModelGraph cut = PlasticityAnalysis.Prune(r, 0.8, false, SharedAnalysisParameters.Plan(r)), grown = PlasticityAnalysis.Prune(r, 0.8, true, SharedAnalysisParameters.Plan(r));
        long total = 0, kept = 0;
        foreach (Weight weight in cut.Weights.Values.Where(w => w.Mask is not null))
        {
            total += weight.Length;
            kept += weight.Mask!.KeptCount;
            Weight other = grown.Weights[weight.Name];
            // From a dense model everything may come back: at zero, so that the function is that of the pruned one.
            Assert.Equal(weight.Length, other.Mask?.KeptCount ?? other.Length);
            Assert.Equal(weight.Read().ToSingles(), other.Read().ToSingles());
        }
        Assert.Equal(Math.Round(total * 0.2), kept);
        Assert.All(model.Weights.Values, w => Assert.Null(w.Mask));
    }

    [Fact]
    public void Plasticity_is_the_difference_to_the_quality_before_the_cut()
    {
        AnalysisResult result = PlasticityAnalysis.Info.Run(Request(Make.Network(), ("levels", "0,0.9"), ("epochs", "1")));
        Assert.Equal(4, result.Tables[0].Rows.Count);
        foreach (IReadOnlyList<object?> row in result.Tables[0].Rows) Assert.Equal((double)row[3]! - result.Figures["before"], (double)row[4]!, 12);
        // Nothing removed: the cut changes nothing, and regrowing is the same run.
        Assert.Equal(result.Figures["before"], (double)result.Tables[0].Rows[0][2]!, 12);
        Assert.Equal(result.Tables[0].Rows[0][3], result.Tables[0].Rows[1][3]);
        Assert.Equal("SL4002", Assert.Throws<PruningException>(() => PlasticityAnalysis.Info.Run(Request(Make.Network(), ("levels", "2")))).Code);
    }
}

using Sparseland.Model;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Analysis.Catalog;
using Sparseland.Pruning.Catalog;
using Sparseland.Training.Data;

namespace Sparseland.Pruning.Tests.Analysis.Catalog;

public class AnalysisCatalogTests
{
    public static TheoryData<string> Ids => new(AnalysisCatalog.All.Select(a => a.Id));

    /// <summary>Parameters that make every analysis small enough for a test.</summary>
    private static readonly Dictionary<string, Dictionary<string, string>> s_small = new()
    {
        ["sensitivity"] = new() { ["limit"] = "40" },
        ["essential-sparsity"] = new() { ["limit"] = "40", ["step"] = "30%", ["controls"] = "random,uniform", ["patterns"] = "2:4", ["small"] = "0.05" },
        ["connectivity"] = new() { ["limit"] = "60", ["points"] = "3" },
        ["instability"] = new() { ["limit"] = "60", ["points"] = "3", ["epochs"] = "0.2" },
        ["three-regimes"] = new() { ["limit"] = "60", ["points"] = "3", ["epochs"] = "1", ["temperatures"] = "0.5,1", ["densities"] = "20%,80%" },
        ["oracle"] = new() { ["masks"] = "4", ["groups"] = "conv1", ["epochs"] = "0.3", ["repeats"] = "2" },
        ["robustness"] = new() { ["limit"] = "40", ["corruptions"] = "contrast,gaussian-noise", ["severities"] = "2" },
        ["reliability"] = new() { ["limit"] = "40" },
    };

    private static AnalysisRequest Request(AnalysisInfo info, ModelGraph? model = null) => new(model ?? Make.Network(1, width: 4), info.Arguments(s_small.GetValueOrDefault(info.Id)))
    {
        Name = "a",
        Others = [("b", Make.Network(2, width: 4))],
        Data = new DataSource("x", "x", Make.Pictures(80), Make.Pictures(60, 7)),
        Normalization = new InputNormalization([0.5f], [0.25f]),
        Seed = 3,
    };

    [Fact]
    public void Every_entry_is_complete_and_ids_are_unique()
    {
        Assert.Equal(AnalysisCatalog.All.Count, AnalysisCatalog.All.Select(a => a.Id).Distinct().Count());
        foreach (AnalysisInfo a in AnalysisCatalog.All)
        {
            Assert.Matches("^[a-z][a-z-]+$", a.Id);
            foreach (string text in (string[])[a.Title, a.Paper, a.Section, a.Description]) Assert.False(string.IsNullOrWhiteSpace(text), a.Id);
            Assert.Matches("20[0-9][0-9]", a.Paper);
            Assert.Equal(a.Parameters.Count, a.Parameters.Select(p => p.Name).Distinct().Count());
            // Defaults are values that the parameter itself accepts.
            Assert.Equal(a.Parameters.Count, a.Arguments().Values.Count);
            Assert.Equal(a, AnalysisCatalog.Get(a.Id.ToUpperInvariant()));
        }
        PruningException error = Assert.Throws<PruningException>(() => AnalysisCatalog.Get("oracel"));
        Assert.Equal("SL4024", error.Code);
        Assert.Contains("oracle", error.Try, StringComparison.Ordinal);
    }

    [Fact]
    public void Robustness_shows_class_directions_and_what_pruning_does_to_them()
    {
        AnalysisInfo info = AnalysisCatalog.Get("robustness");
        AnalysisRequest request = Request(info);
        AnalysisResult result = info.Analyse(request);
        AnalysisChart own = result.Charts.Single(c => c.Title == "Angles between class directions, a"), change = result.Charts.Single(c => c.Title == "Change of the angles between class directions, b against a");
        double[] a = ClassifierHead.Find(request.Model).ClassAngles(), b = ClassifierHead.Find(request.Others[0].Graph).ClassAngles();
        Assert.Equal(10, own.Series.Count);
        Assert.Equal(a, own.Series.SelectMany(s => s.Points.Select(p => p.Y)));
        Assert.Equal(b.Zip(a, (x, y) => x - y), change.Series.SelectMany(s => s.Points.Select(p => p.Y)));
        Assert.DoesNotContain(info.Analyse(request with { Others = [("b", request.Model)] }).Charts.Single(c => c.Title.StartsWith("Change", StringComparison.Ordinal)).Series.SelectMany(s => s.Points), p => p.Y != 0);
    }

    [Theory]
    [InlineData("sensitivity")]
    [InlineData("essential-sparsity")]
    public void Samples_that_are_no_numbers_are_an_error_before_anything_is_compared(string id)
    {
        float[] values = new float[20 * 144];
        values[300] = float.NaN;
        var samples = new ArrayDataset(values, [.. Enumerable.Range(0, 20).Select(i => i % 10)], [1, 12, 12], 10);
        AnalysisInfo info = AnalysisCatalog.Get(id);
        PruningException error = Assert.Throws<PruningException>(() => info.Analyse(Request(info) with { Data = new DataSource("x", "x", samples, samples) }));
        Assert.Equal("SL4013", error.Code);
        Assert.Contains("NaN", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Ids))]
    public void Every_analysis_runs_says_what_it_would_do_and_repeats_itself(string id)
    {
        AnalysisInfo info = AnalysisCatalog.Get(id);
        Assert.StartsWith("would ", info.Plan(Request(info)), StringComparison.Ordinal);
        ModelGraph model = Make.Network(1, width: 4);
        byte[] before = [.. model.Weights.Values.SelectMany(w => w.Read().Bytes().ToArray())];
        AnalysisResult once = info.Run(Request(info, model)), again = info.Run(Request(info));
        Assert.Equal(before, model.Weights.Values.SelectMany(w => w.Read().Bytes().ToArray()));
        Assert.NotEmpty(once.Headline);
        Assert.NotEmpty(once.Figures);
        Assert.NotEmpty(once.Tables);
        Assert.NotEmpty(once.Charts);
        Assert.Equal(once.Headline, again.Headline);
        Assert.Equal(once.Figures, again.Figures);
        foreach (AnalysisTable table in once.Tables)
        {
            Assert.NotEmpty(table.Rows);
            Assert.All(table.Rows, r => Assert.Equal(table.Columns.Count, r.Count));
        }
        foreach (AnalysisChart chart in once.Charts)
        {
            Assert.NotEmpty(chart.Series);
            Assert.Contains(chart.Series, s => s.Points.Any(p => double.IsFinite(p.Y)));
            if (chart.Kind is ChartKind.Bars or ChartKind.Heat) Assert.All(chart.Series, s => Assert.All(s.Points, p => Assert.InRange(p.X, 0, chart.Categories.Count - 1)));
        }
    }

    [Theory]
    [MemberData(nameof(Ids))]
    public void What_is_missing_is_said_before_anything_is_done(string id)
    {
        AnalysisInfo info = AnalysisCatalog.Get(id);
        AnalysisRequest whole = Request(info);
        info.Require(whole);
        void Lacks(AnalysisRequest request)
        {
            PruningException error = Assert.Throws<PruningException>(() => info.Run(request));
            Assert.Equal("SL4023", error.Code);
            Assert.NotNull(error.Try);
        }
        if (info.Needs.HasFlag(AnalysisNeeds.LabelledData)) Lacks(whole with { Data = null });
        if (info.Needs.HasFlag(AnalysisNeeds.OtherModel)) Lacks(whole with { Others = [] });
        if (info.Needs.HasFlag(AnalysisNeeds.TrainingData)) Lacks(whole with { Data = whole.Data! with { Train = null } });
        if (info.Needs.HasFlag(AnalysisNeeds.Pictures)) Lacks(whole with { Data = new DataSource("f", "f", null, new ArrayDataset(new float[8], [0, 1], [4], 2)) });
    }

    [Theory]
    [InlineData("pq-index", "p", "2", "SL4002")]
    [InlineData("essential-sparsity", "controls", "luck", "SL4002")]
    [InlineData("essential-sparsity", "patterns", "4:2", "SL4002")]
    [InlineData("three-regimes", "temperatures", "3,99", "SL4002")]
    [InlineData("three-regimes", "densities", "much", "SL4002")]
    [InlineData("oracle", "groups", "nothing*", "SL4001")]
    [InlineData("robustness", "severities", "1.5", "SL4002")]
    [InlineData("robustness", "severities", "6", "SL4002")]
    [InlineData("robustness", "corruptions", "rain", "SL3015")]
    [InlineData("reliability", "unknown", "shapes-rgb", "SL4002")]
    public void Wrong_values_are_refused_by_the_plan_already(string id, string parameter, string value, string code)
    {
        AnalysisInfo info = AnalysisCatalog.Get(id);
        AnalysisRequest request = Request(info) with { Arguments = info.Arguments(new Dictionary<string, string> { [parameter] = value }) };
        Assert.Equal(code, Assert.ThrowsAny<Sparseland.Model.SparselandException>(() => info.Plan(request)).Code);
    }

    [Fact]
    public void Unknown_parameters_are_errors_with_near_misses()
    {
        PruningException error = Assert.Throws<PruningException>(() => AnalysisCatalog.Get("oracle").Arguments(new Dictionary<string, string> { ["rates"] = "0.5" }));
        Assert.Equal("SL4010", error.Code);
        Assert.Contains("rate", error.Try, StringComparison.Ordinal);
    }
}

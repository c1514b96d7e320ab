using System.Text.Json.Nodes;
using Sparseland.Model.Formats;
using Sparseland.Model.Graph;
using Sparseland.Pruning.Analysis;
using Sparseland.Pruning.Analysis.Catalog;

namespace Sparseland.Cli.Tests.Verbs;

public sealed class AnalyzeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly string _model, _pruned;

    public AnalyzeTests()
    {
        _model = _folder["m.onnx"];
        _pruned = _folder["p.sparse.safetensors"];
        ModelGraph graph = ConventionTests.SmallModel();
        ModelFile.Save(graph, _model);
        ThreeRegimeStudy.Prune(graph, 0.3);
        ModelFile.Save(graph, _pruned);
    }

    public void Dispose() => _folder.Dispose();

    private static async Task<JsonNode> Json(params string[] arguments)
    {
        ProcessResult result = await CommandLine.RunAsync([.. arguments, "--json", "--no-progress"]);
        Assert.True(result.ExitCode == 0, result.Error + result.Output);
        return JsonNode.Parse(result.Output)!;
    }

    [Fact]
    public async Task An_analysis_leaves_a_run_with_result_and_report()
    {
        string run = _folder["run"];
        JsonNode json = await Json("analyze", _model, "--analysis", "sensitivity", "--data", "shapes", "--set", "limit=60", "share=0.25", "--run-dir", run);
        Assert.Equal("sensitivity", (string?)json["analysis"]);
        JsonNode[] rows = [.. json["tables"]![0]!["rows"]!.AsArray().Select(r => r!)];
        Assert.Contains(rows, r => (string?)r["kind"] == "frozen" && ((string?)r["note"])!.Contains("SL2103", StringComparison.Ordinal) && r["loss rise"] is null);
        Assert.Contains(rows, r => (string?)r["kind"] == "channels" && (double?)r["removed"] >= 1);
        Assert.Equal("0.25", (string?)JsonNode.Parse(File.ReadAllText(Path.Combine(run, "run.json")))!["parameters"]!["share"]);
        Assert.Equal(json["headline"]!.ToString(), JsonNode.Parse(File.ReadAllText(Path.Combine(run, "result.json")))!["headline"]!.ToString());
        string html = File.ReadAllText(Path.Combine(run, "report.html"));
        Assert.Contains("Rise of the loss", html, StringComparison.Ordinal);
        Assert.Contains("called frozen, not robust", html, StringComparison.Ordinal);
        // A used folder is not written over in silence.
        await CommandLine.FailsAsync(2, "SL4000", "analyze", _model, "--analysis", "pq-index", "--run-dir", run);
    }

    [Fact]
    public async Task Models_are_compared_by_short_names_and_maps_and_points_are_drawn()
    {
        JsonNode overlap = await Json("analyze", _model, "--analysis", "overlap", "--other", _pruned, "--run-dir", _folder["overlap"]);
        Assert.Equal("p", (string?)overlap["tables"]![0]!["rows"]![0]!["with"]);
        JsonNode robust = await Json("analyze", _model, "--analysis", "robustness", "--other", _pruned, "--data", "shapes", "--set", "limit=50", "corruptions=contrast,fog", "severities=3", "--run-dir", _folder["robust"]);
        Assert.NotNull(robust["figures"]!["clean p"]);
        string html = File.ReadAllText(_folder["robust/report.html"]);
        Assert.Contains("\"type\":\"scatter\"", html, StringComparison.Ordinal);
        Assert.Contains("\"symbol\":\"rect\"", html, StringComparison.Ordinal);
        Assert.Contains("<td>fog 3</td>", html, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "SL4023", "--analysis", "sensitivity")]
    [InlineData(2, "SL4023", "--analysis", "overlap")]
    [InlineData(2, "SL4023", "--analysis", "robustness", "--data", "no-labels-given-here-is-an-error")]
    [InlineData(2, "SL4024", "--analysis", "sensitivty")]
    [InlineData(2, "SL4010", "--analysis", "pq-index", "--set", "pp=1")]
    [InlineData(2, "SL4002", "--analysis", "pq-index", "--set", "p=3")]
    [InlineData(2, "SL4000", "--analysis", "pq-index", "--set", "p")]
    [InlineData(3, "SL3015", "--analysis", "robustness", "--data", "shapes", "--set", "corruptions=rain")]
    [InlineData(2, "SL4001", "--analysis", "oracle", "--data", "shapes", "--set", "groups=zzz")]
    public async Task What_cannot_be_done_is_said_before_a_folder_is_made(int exit, string code, params string[] arguments)
    {
        if (arguments.Contains("no-labels-given-here-is-an-error")) (exit, code) = (3, "SL3003");
        await CommandLine.FailsAsync(exit, code, ["analyze", _model, .. arguments, "--run-dir", _folder["none"]]);
        Assert.False(Directory.Exists(_folder["none"]));
    }

    [Fact]
    public async Task A_dry_run_says_what_would_be_trained_and_writes_nothing()
    {
        JsonNode json = await Json("analyze", "small-cnn", "--arch-options", "channels=4,hidden=8", "--analysis", "three-regimes", "--data", "shapes", "--dry-run", "--run-dir", _folder["none"]);
        Assert.Contains(json["would"]!.AsArray(), w => ((string?)w)!.Contains("24 pruned ones", StringComparison.Ordinal));
        Assert.False(Directory.Exists(_folder["none"]));
    }

    [Fact]
    public async Task A_stopped_study_goes_on_where_it_was_and_refuses_other_parameters()
    {
        string[] line = ["analyze", _model, "--analysis", "oracle", "--data", "shapes", "--set", "groups=conv1", "masks=3", "repeats=1", "epochs=0.1", "limit=200", "--run-dir", _folder["oracle"]];
        JsonNode once = await Json(line);
        string parts = _folder["oracle/checkpoints/parts/parts.txt"];
        string[] done = [.. File.ReadAllLines(parts).Where(l => l.Length > 0)];
        // Three masks, and the one by norm unless it is one of them.
        Assert.InRange(done.Length, 3, 4);
        // As if it had been killed after two masks.
        File.WriteAllLines(parts, done[..2]);
        JsonNode again = await Json([.. line, "--resume"]);
        Assert.Equal(once["figures"]!.ToJsonString(), again["figures"]!.ToJsonString());
        Assert.Equal(done, File.ReadAllLines(parts).Where(l => l.Length > 0));
        ProcessResult other = await CommandLine.FailsAsync(2, "SL4000", [.. line, "--resume", "--set", "masks=4"]);
        Assert.Contains("other parameters", other.Error, StringComparison.Ordinal);
        await CommandLine.FailsAsync(6, "SL5005", "analyze", _model, "--analysis", "oracle", "--data", "shapes", "--set", "epochs=50", "--time-limit", "1s", "--no-progress", "--run-dir", _folder["long"]);
        Assert.True(Directory.Exists(_folder["long"]));
    }

    [Fact]
    public async Task Lists_give_every_analysis_with_ranges_and_every_corruption()
    {
        JsonNode list = await Json("list", "analyses");
        Assert.Equal(AnalysisCatalog.All.Select(a => a.Id), list["analyses"]!.AsArray().Select(a => (string?)a!["id"]));
        JsonNode rate = list["analyses"]!.AsArray().Single(a => (string?)a!["id"] == "oracle")!["parameters"]!.AsArray().Single(p => (string?)p!["name"] == "rate")!;
        Assert.Equal((0.01, 0.99), ((double)rate["minimum"]!, (double)rate["maximum"]!));
        Assert.Contains((await Json("list", "corruptions"))["corruptions"]!.AsArray(), c => (string?)c!["id"] == "fog");
    }
}

using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Bench;
using Sparseland.Bench.Page;
using Sparseland.Bench.Turns;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Bench;

public class TurnsTests
{
    private static JsonObject Products(double first, double second, string peer = "openblas") => JsonNode.Parse($$"""
        { "figure": "spmm", "commit": "abc1234", "rows": [
          { "shape": "wide", "rows": 8, "density": 0.1, "variants": [{ "name": "sparse", "medianMs": {{first}} }, { "name": "{{peer}}", "medianMs": 4 }], "speedUp": { "median": 2 } },
          { "shape": "wide", "rows": 8, "density": 0.05, "variants": [{ "name": "sparse", "medianMs": {{second}} }, { "name": "{{peer}}", "medianMs": 4 }] } ] }
        """)!.AsObject();

    [Fact]
    public void RowsAreNamedByWhatTellsThemApart()
    {
        JsonObject document = Products(2, 1);
        IReadOnlyList<string> naming = TimedCase.Naming(document);
        Assert.Equal(["shape", "density"], naming);
        Assert.Equal(
            [new TimedCase("wide, density 0.1", "sparse", 2), new("wide, density 0.1", "openblas", 4), new("wide, density 0.05", "sparse", 1), new("wide, density 0.05", "openblas", 4)],
            TimedCase.Of(document, naming));
    }

    [Fact]
    public void RowsThatNothingTellsApartAreCountedAndATimeThatStandsInARowTwiceIsOne()
    {
        JsonObject document = JsonNode.Parse("""{ "rows": [ { "part": "x", "dense": { "name": "d", "medianMs": 1 }, "best": { "name": "d", "medianMs": 1 } }, { "part": "x", "dense": { "name": "d", "medianMs": 3 } } ] }""")!.AsObject();
        Assert.Equal([new TimedCase("x", "d", 1), new("x (2)", "d", 3)], TimedCase.Of(document, TimedCase.Naming(document)));
    }

    [Fact]
    public void SpeedUpsAreOfNeighboursAndOfTheLeastTimes()
    {
        // The machine became twice as slow after the first turn: ratios do not see it.
        IReadOnlyList<TurnsComparison> found = TurnsComparison.Of([(Products(2, 1), Products(1, 1)), (Products(4, 2), Products(2, 2)), (Products(4, 2), Products(2.5, 2))], out IReadOnlyList<string> left);
        Assert.Empty(left);
        Assert.Equal(4, found.Count);
        Assert.Equal(("wide, density 0.1", "sparse"), (found[0].Row, found[0].Variant));
        Assert.Equal([2, 2, 1.6], found[0].SpeedUp.Milliseconds);
        Assert.Equal(2, found[0].LeastSpeedUp);
        Assert.Equal(1, found[2].SpeedUp.Median);
        JsonObject row = found[0].ToJson();
        Assert.Equal((4, 2, 2, 3), ((double)row["beforeMs"]!, (double)row["afterMs"]!, ResultRow.Median(row["speedUp"]), (int)row["repetitions"]!));
    }

    [Fact]
    public void VariantsThatNotEveryRunHasAreLeftOutAndBuildsWithNothingInCommonAreRefused()
    {
        Assert.Equal(["sparse", "sparse"], TurnsComparison.Of([(Products(2, 1), Products(1, 1, "openblas, Zen kernels"))], out IReadOnlyList<string> left).Select(c => c.Variant));
        Assert.Equal(["wide, density 0.1, openblas", "wide, density 0.05, openblas", "wide, density 0.1, openblas, Zen kernels", "wide, density 0.05, openblas, Zen kernels"], left);
        JsonObject other = JsonNode.Parse("""{ "rows": [ { "shape": "deep", "variants": [{ "name": "sparse", "medianMs": 1 }] } ] }""")!.AsObject();
        Assert.Contains("wide, density 0.1, sparse", Assert.Throws<VerbException>(() => TurnsComparison.Of([(Products(2, 1), other)], out _)).Message, StringComparison.Ordinal);
        JsonObject none = JsonNode.Parse("""{ "rows": [ { "what": "multiply-add", "median": 1 } ] }""")!.AsObject();
        Assert.Contains("no times", Assert.Throws<VerbException>(() => TurnsComparison.Of([(none, none)], out _)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void BytesDoNotNameRowsAndABuildIsFoundInItsCheckout()
    {
        JsonObject document = JsonNode.Parse("""{ "rows": [ { "values": "f32", "bytes": 9, "density": 1, "time": { "name": "t", "medianMs": 1 } }, { "values": "f32", "bytes": 4, "density": 0.5, "time": { "name": "t", "medianMs": 3 } } ] }""")!.AsObject();
        Assert.Equal(["values", "density"], TimedCase.Naming(document));
        using var folder = new TemporaryFolder();
        string output = Path.Combine(folder.Path, "bench", "Sparseland.Bench", "bin", "Release", "net10.0"), program = Path.Combine(output, "sparseland-bench.dll");
        Assert.Contains(program, Assert.Throws<VerbException>(() => TurnsCommand.Build(folder.Path)).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(output);
        File.WriteAllText(program, "");
        Assert.Equal([program, program, program], [TurnsCommand.Build(folder.Path), TurnsCommand.Build(output), TurnsCommand.Build(program)]);
    }

    [Fact]
    public async Task BuildsAlternateAndTurnsThatAreWholeAreKept()
    {
        var order = new List<bool>();
        Func<int, bool, Task<JsonObject>> endingAt(int run, Exception end) => (_, other) =>
        {
            order.Add(other);
            return order.Count == run ? Task.FromException<JsonObject>(end) : Task.FromResult(other ? Products(2, 1) : Products(1, 1));
        };
        foreach (Exception end in (Exception[])[new OperationCanceledException(), VerbException.Usage("broken")])
        {
            order.Clear();
            (IReadOnlyList<(JsonObject Before, JsonObject After)> documents, Exception? ended) = await TurnsCommand.TakeAsync(3, endingAt(6, end));
            Assert.Same(end, ended);
            Assert.Equal([true, false, false, true, true, false], order);
            Assert.Equal(2, TurnsComparison.Of(documents, out _)[0].SpeedUp.Median);
            Assert.Equal(2, documents.Count);
            // Nothing is whole yet: it ends as what ended it.
            order.Clear();
            Assert.Same(end, await Assert.ThrowsAnyAsync<Exception>(() => TurnsCommand.TakeAsync(3, endingAt(2, end))));
        }
        order.Clear();
        Assert.Null((await TurnsCommand.TakeAsync(1, endingAt(9, new InvalidOperationException()))).Ended);
    }

    [Fact]
    public void FilesOfBuildsInTurnAreShownAndNotMeasuredAnew()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(Path.Combine(folder.Path, "cpu"));
        var document = new JsonObject
        {
            ["figure"] = "turns",
            ["commit"] = "bbbbbbb",
            ["before"] = "aaaaaaa",
            ["command"] = "turns --turns 2 -- spmm --densities 0.1",
            ["machine"] = JsonNode.Parse("""{ "processor": "CPU", "cores": 2, "simd": "Vector256", "instructions": [], "memoryBytes": 1, "runtime": ".NET", "system": "X", "threads": 1 }"""),
            ["rows"] = new JsonArray(TurnsComparison.Of([(Products(2, 1), Products(1, 1)), (Products(2, 1), Products(1, 1))], out _)[0].ToJson()),
        };
        File.WriteAllText(Path.Combine(folder.Path, "cpu", "turns-x.json"), document.ToJsonString());
        string page = PerformancePage.Make(folder.Path)[1].Text;
        Assert.Contains("| `spmm --densities 0.1` | wide, density 0.1 | sparse | aaaaaaa | bbbbbbb | 2.00 | 1.00 | 2.00 |  | 2.00 |", page, StringComparison.Ordinal);
        Assert.Empty(MeasureCommand.Known(MachineResults.All(folder.Path), "cpu"));
    }

    [Fact]
    public async Task TheCommandRunsBothBuildsAndSaysWhatIsMissing()
    {
        using var folder = new TemporaryFolder();
        string program = typeof(TurnsCommand).Assembly.Location, file = Path.Combine(folder.Path, "turns.json");
        ProcessResult missing = await BenchAsync(program, "turns", "--before", folder.Path, "--", "gemm");
        Assert.Equal(ExitCodes.Usage, missing.ExitCode);
        Assert.Contains("there is no build at", missing.Error, StringComparison.Ordinal);
        ProcessResult misplaced = await BenchAsync(program, "turns", "--before", program, "--threads", "1", "--", "gemm");
        Assert.Equal(ExitCodes.Usage, misplaced.ExitCode);
        Assert.Contains("--threads stands before --", misplaced.Error, StringComparison.Ordinal);
        ProcessResult wrong = await BenchAsync(program, "turns", "--before", program, "--turns", "1", "--", "gemm", "--layouts", "zz");
        Assert.NotEqual(ExitCodes.Done, wrong.ExitCode);
        Assert.Contains("zz", wrong.Error, StringComparison.Ordinal);
        ProcessResult done = await BenchAsync(program, "turns", "--before", program, "--turns", "1", "--out", file, "--", "gemm", "--sizes", "16", "--layouts", "nn", "--threads", "1", "--repetitions", "3", "--seconds", "0", "--budget", "1");
        Assert.True(done.ExitCode == ExitCodes.Done, done.Error);
        JsonObject document = JsonNode.Parse(await File.ReadAllTextAsync(file))!.AsObject();
        Assert.Equal(1, (int)document["machine"]!["threads"]!);
        Assert.Equal("turns --turns 1 -- gemm --sizes 16 --layouts nn --threads 1 --repetitions 3 --seconds 0 --budget 1", (string?)document["command"]);
        Assert.NotNull((string?)document["before"]);
        Assert.Contains(document["rows"]!.AsArray(), r => (string?)r!["variant"] == "plain" && (double)r["beforeMs"]! > 0 && (double)r["afterMs"]! > 0);
    }

    private static async Task<ProcessResult> BenchAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in (string[])[program, .. arguments]) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return new ProcessResult(process.ExitCode, await output, await error);
    }
}

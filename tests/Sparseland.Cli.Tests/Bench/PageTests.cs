using System.Diagnostics;
using System.Text.Json.Nodes;
using Sparseland.Bench;
using Sparseland.Bench.Figures;
using Sparseland.Bench.Page;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Tests.Bench;

public class PageTests
{
    [Fact]
    public void AnAimIsMetOnlyWhenEveryCaseReachesIt()
    {
        Assert.Equal("**missed** in 1 of 3: median 0.950, worst 0.850 (b), best 1.10", new Aim("x", 0.9, [("a", 1.1), ("b", 0.85), ("c", 0.95)]).Cell());
        Assert.Equal("met: 3.10 (a)", new Aim("x", 3, [("a", 3.1)]).Cell());
        Assert.Equal("**missed**: 2.99 (a)", new Aim("x", 3, [("a", 2.99)]).Cell());
        Assert.Equal("**missed** in 1 of 2: median 10.5, worst 11.0 (b), best 10.0", new Aim("x", 10.5, [("a", 10), ("b", 11)], AtMost: true).Cell());
        Assert.Equal("**open**: not measured", new Aim("x", 1, [("a", double.NaN)]).Cell());
    }

    [Fact]
    public void AVerdictSaysWhatIntervalsLeaveOpenAndWhatIsMissing()
    {
        Assert.Equal("met (lower bounds: 1 of 2 below): median 1.10, worst 0.950 (a), best 1.10; 1 without its peer; **open**: not measured with 2 threads",
            new Aim("x", 0.9, [("a", 0.95, 0.89), ("b", 1.1, 1.0), ("c", 1.1, double.NaN), ("d", double.NaN, double.NaN)]) { Missing = "not measured with 2 threads" }.Cell());
        Assert.Equal("met (upper bounds: 1 of 1 above): 4.00 (a)", new Aim("x", 5, [("a", 4.0, 6.0)], AtMost: true).Cell());
    }

    [Fact]
    public void RowsOfFewRepetitionsAreMarked()
    {
        var table = new MarkdownTable(["a", "b"], 1) { Caption = "Table." };
        table.Add(["one", "1"], JsonNode.Parse("""{ "variants": [{ "repetitions": 40 }, { "repetitions": 12 }] }"""));
        table.Add(["two", "2"], JsonNode.Parse("""{ "time": { "repetitions": 31 } }"""));
        Assert.Equal("Table. At least 12 repetitions; † fewer than 30: 1 of 2 rows.\n\n| a | b |\n| --- | ---: |\n| one † | 1 |\n| two | 2 |\n", table.ToString());
    }

    [Fact]
    public void LosingCasesStayInTheTables()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "zen9", "gemm.json", Gemm("CPU", "Zen 9", 50, 100));
        (string File, string Text)[] pages = [.. PerformancePage.Make(folder.Path)];
        Assert.Equal(["performance.md", "performance-zen9.md"], pages.Select(p => p.File));
        Assert.Contains("| products of 256 to 2048: at least 0.9x OpenBLAS | **missed** in 1 of 2: median 0.750, worst 0.500 (256 nn, 2 threads), best 1.00; **open**: not measured with 1 thread |", pages[0].Text, StringComparison.Ordinal);
        Assert.Contains("| 256 | nn | 2 | 50.0 | 55.0 | 100 | 0.500 | 0.550 |", pages[1].Text, StringComparison.Ordinal);
        Assert.Contains("[gemm.json](../bench/results/zen9/gemm.json)", pages[1].Text, StringComparison.Ordinal);
        Write(folder, "zen9", "other.json", "{ }");
        Assert.Contains("other.json", Assert.Throws<InvalidDataException>(() => PerformancePage.Make(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void EveryMachineHasAColumnOfItsOwn()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "zen8", "gemm.json", Gemm("CPU", null, 100, 110));
        Write(folder, "zen9", "gemm.json", Gemm("CPU", "Zen 9", 50, 100));
        Write(folder, "notes", "dense.md", "What limits it.");
        (string File, string Text)[] pages = [.. PerformancePage.Make(folder.Path)];
        Assert.Contains("| aim | [zen8](performance-zen8.md) | [zen9](performance-zen9.md) |", pages[0].Text, StringComparison.Ordinal);
        Assert.Contains("met: median 1.05, worst 1.00 (256 nn, 2 threads), best 1.10; **open**: not measured with 1 thread | **missed** in 1 of 2: median 0.750, worst 0.500", pages[0].Text, StringComparison.Ordinal);
        Assert.Contains("| ResNet-50, batch 1: at least 0.85x ONNX Runtime | **open**: not measured | **open**: not measured |", pages[0].Text, StringComparison.Ordinal);
        Assert.Contains("What limits it.", pages[0].Text, StringComparison.Ordinal);
        Assert.DoesNotContain("0.500", pages[1].Text, StringComparison.Ordinal);
    }

    [Fact]
    public void AFileOfAnotherMachineIsRefused()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "zen8", "gemm.json", Gemm("CPU", "Zen 9", 50, 100));
        Assert.Contains("belongs into zen9", Assert.Throws<InvalidDataException>(() => MachineResults.All(folder.Path)).Message, StringComparison.Ordinal);
        Write(folder, "zen8", "gemm.json", Gemm("CPU", null, 50, 100));
        Write(folder, "zen8", "gemm-2.json", Gemm("Another", null, 50, 100));
        Assert.Contains("another machine", Assert.Throws<InvalidDataException>(() => MachineResults.All(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("family", 25)]
    [InlineData("model", 17)]
    [InlineData("cores", 4)]
    public void AMachineThatIsNamedAlikeIsAnotherOne(string what, int value)
    {
        using var folder = new TemporaryFolder();
        JsonNode one = JsonNode.Parse(Gemm("CPU", "Zen 9", 50, 100))!;
        one["machine"]!["model"] = 2;
        JsonNode other = one.DeepClone();
        other["machine"]![what] = value;
        Write(folder, "zen9", "b.json", one.ToJsonString());
        // The first file is an older one, without family and model: by those it fits both.
        Write(folder, "zen9", "a.json", Gemm("CPU", null, 50, 100));
        string path = Path.Combine(folder.Path, "zen9");
        MachineResults.RefuseOthers(path, one["machine"]!, "name a folder");
        MachineResults.RefuseOthers(Path.Combine(folder.Path, "none"), other["machine"]!, "name a folder");
        VerbException refused = Assert.Throws<VerbException>(() => MachineResults.RefuseOthers(path, other["machine"]!, "name a folder"));
        Assert.Contains($"and not {value}", refused.Message, StringComparison.Ordinal);
        Assert.Equal("name a folder", refused.Try);
        Write(folder, "zen9", "c.json", other.ToJsonString());
        Assert.Contains($"{what} ", Assert.Throws<InvalidDataException>(() => MachineResults.All(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AProcessorThatDoesNotTellItsNumbersHasNone()
    {
        using var folder = new TemporaryFolder();
        JsonNode document = JsonNode.Parse(Gemm("CPU", null, 50, 100))!;
        document["machine"]!["family"] = 0;
        document["machine"]!["model"] = 0;
        document["machine"]!["cacheBytes"] = new JsonObject { ["l1"] = 0, ["l2"] = 0 };
        Write(folder, "cpu", "gemm.json", document.ToJsonString());
        Assert.Contains("- CPU, 2 cores, Vector256 (AVX2)", PerformancePage.Make(folder.Path)[1].Text, StringComparison.Ordinal);
        document["machine"]!["family"] = 25;
        document["machine"]!["cacheBytes"] = new JsonObject { ["l1"] = 32768, ["l2"] = 1048576 };
        Write(folder, "cpu", "gemm.json", document.ToJsonString());
        Assert.Contains("- CPU, family 25, caches 32 and 1024 KB, 2 cores", PerformancePage.Make(folder.Path)[1].Text, StringComparison.Ordinal);
    }

    [Fact]
    public void AMachinesFolderIsNamedAfterItsCores()
    {
        Assert.Equal("zen5", MachineResults.Name(JsonNode.Parse("""{ "processor": "AMD EPYC", "microarchitecture": "Zen 5" }""")!));
        Assert.Equal("neoversen1", MachineResults.Name(JsonNode.Parse("""{ "processor": "Neoverse-N1", "microarchitecture": null }""")!));
        Assert.Equal("unknown", MachineResults.Name(JsonNode.Parse("{ }")!));
        string name = MachineResults.ThisMachine;
        Assert.Equal(Path.Combine(Checkout.Results, name, "a.json"), FigureDocument.Place("a.json"));
        Assert.Equal(Path.Combine(".", "a.json"), FigureDocument.Place(Path.Combine(".", "a.json")));
    }

    [Fact]
    public void WhatAMachineHasNotMeasuredIsMeasuredAsOthersDid()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "zen8", "gemm.json", Gemm("CPU", null, 50, 100));
        Write(folder, "zen8", "spmm.json", Gemm("CPU", null, 60, 100));
        Write(folder, "zen9", "gemm.json", Gemm("CPU", "Zen 9", 70, 100));
        IReadOnlyList<(string File, JsonObject Document)> known = MeasureCommand.Known(MachineResults.All(folder.Path), "zen9");
        Assert.Equal(["gemm.json", "spmm.json"], known.Select(d => d.File));
        Assert.Equal("Zen 9", (string?)known[0].Document["machine"]!["microarchitecture"]);
    }

    [Theory]
    [InlineData(470, 470, "The cores of this machine were far from each other in 2 of 2 rows that record it (a cache line takes 470 ns there and back, the median)", "| 0 of 2 |")]
    [InlineData(470, 60, "near and equally fast cores were waited for in vain", "| 1 of 2 |")]
    public void CoresThatAlwaysWereFarDisturbNoRow(int first, int second, string said, string uneven)
    {
        using var folder = new TemporaryFolder();
        JsonNode document = JsonNode.Parse(Gemm("CPU", "Zen 9", 50, 100))!;
        document["rows"]![0]!["coreRoundTripNs"] = new JsonArray(first, first);
        document["rows"]![1]!["coreRoundTripNs"] = new JsonArray(second, second);
        Write(folder, "zen9", "gemm.json", document.ToJsonString());
        string page = PerformancePage.Make(folder.Path)[1].Text;
        Assert.Contains(said, page, StringComparison.Ordinal);
        Assert.Contains(uneven, page, StringComparison.Ordinal);
    }

    [Fact]
    public void CoresThatWereNearForAWhileDisturbARowEverywhere()
    {
        using var folder = new TemporaryFolder();
        JsonNode document = JsonNode.Parse(Gemm("CPU", "Zen 9", 50, 100))!;
        JsonArray rows = document["rows"]!.AsArray();
        for (int i = 0; i < 2; i++) rows.Add(rows[i]!.DeepClone());
        for (int i = 0; i < 4; i++) rows[i]!["coreRoundTripNs"] = new JsonArray(i == 0 ? 60 : 470, 470);
        Write(folder, "zen9", "gemm.json", document.ToJsonString());
        string page = PerformancePage.Make(folder.Path)[1].Text;
        Assert.Contains("in 3 of 4 rows that record it (a cache line takes 470 ns", page, StringComparison.Ordinal);
        Assert.Contains("| 1 of 4 |", page, StringComparison.Ordinal);
    }

    [Fact]
    public void EveryCommittedFigureSaysWhereItComesFrom()
    {
        IReadOnlyList<MachineResults> machines = MachineResults.All(Path.Combine(House.Repository.Root, "bench", "results"));
        Assert.NotEmpty(machines);
        foreach ((string file, JsonObject document) in machines.SelectMany(m => m.Results.Documents))
        {
            string[] missing = [.. new[] { "figure", "date", "commit", "command", "machine", "load", "rows" }.Where(k => !document.ContainsKey(k))];
            Assert.True(missing.Length == 0, $"{file} lacks {string.Join(", ", missing)}");
            string[] machine = [.. new[] { "processor", "cores", "threads", "simd", "instructions", "memoryBytes", "runtime" }.Where(k => document["machine"]![k] is null)];
            Assert.True(machine.Length == 0, $"{file}: the machine lacks {string.Join(", ", machine)}");
        }
    }

    [SkippableFact]
    public void EveryCommittedFigureNamesACommitThatIsThere()
    {
        (int exit, string shallow) = Git("rev-parse", "--is-shallow-repository");
        Skip.IfNot(exit == 0, "commits of figures were not looked up: there is no git, or the checkout is no repository");
        Skip.IfNot(shallow == "false", "commits of figures were not looked up: the clone is shallow");
        JsonObject[] documents = [.. MachineResults.All(Path.Combine(House.Repository.Root, "bench", "results")).SelectMany(m => m.Results.Documents).Select(d => d.Document)];
        string[] named = [.. documents.SelectMany(d => new[] { (string?)d["commit"], (string?)d["before"] }).OfType<string>().Distinct()];
        string[] lost = [.. named.Where(c => Provenance.Commit(c) != c || Git("cat-file", "-e", c + "^{commit}").Exit != 0)];
        // What can no longer be had is listed with its reason, and nothing else is.
        Assert.Equal(Provenance.Known.Keys.Order(StringComparer.Ordinal), lost.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void FilesWhoseCodeCannotBeHadAgainAreMarked()
    {
        using var folder = new TemporaryFolder();
        Write(folder, "zen9", "a.json", Gemm("CPU", "Zen 9", 50, 100));
        Assert.DoesNotContain("¶", PerformancePage.Make(folder.Path)[1].Text, StringComparison.Ordinal);
        Write(folder, "zen9", "b.json", Gemm("CPU", "Zen 9", 50, 100).Replace("\"abc\"", "\"abd-dirty\"", StringComparison.Ordinal));
        string page = PerformancePage.Make(folder.Path)[1].Text;
        Assert.Contains("| abc |", page, StringComparison.Ordinal);
        Assert.Contains("| abd-dirty ¶ |", page, StringComparison.Ordinal);
        Assert.Contains("abd-dirty: built with changes that were not committed.", page, StringComparison.Ordinal);
    }

    [Fact]
    public void TheLineOfAnExactLawIsFound()
    {
        (double slope, double intercept, double r2) = ScalingFigure.Fit([1, 2, 5, 9], [5, 7, 13, 21]);
        Assert.Equal(2, slope, 12);
        Assert.Equal(3, intercept, 12);
        Assert.Equal(1, r2, 12);
    }

    private static (int Exit, string Output) Git(params string[] arguments)
    {
        try
        {
            using Process git = Process.Start(new ProcessStartInfo("git", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = House.Repository.Root })!;
            string output = git.StandardOutput.ReadToEnd().Trim();
            git.WaitForExit();
            return (git.ExitCode, output);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return (-1, "");
        }
    }

    private static void Write(TemporaryFolder folder, string machine, string name, string text)
    {
        Directory.CreateDirectory(Path.Combine(folder.Path, machine));
        File.WriteAllText(Path.Combine(folder.Path, machine, name), text);
    }

    /// <summary>A figure with two products: the first as fast as is given, the second of 100 or 110 GFLOP/s beside 100.</summary>
    private static string Gemm(string processor, string? cores, double first, double peer) => $$"""
        { "figure": "gemm", "date": "2026-01-02T03:04:05Z", "commit": "abc", "load": 1.5,
          "machine": { "processor": "{{processor}}", "microarchitecture": {{(cores is null ? "null" : $"\"{cores}\"")}}, "family": {{(cores is null ? "null" : "26")}}, "cores": 2, "threads": 2, "simd": "Vector256", "instructions": ["AVX2"], "memoryBytes": 8000000000, "runtime": ".NET", "system": "Linux" },
          "rows": [
            { "m": 256, "n": 256, "k": 256, "layout": "nn", "where": "square", "gflops": { "plain": {{first}}, "packed": 55, "openblas": 100 }, "plainToOpenBlas": { "median": {{first / 100}} }, "packedToOpenBlas": { "median": 0.55 } },
            { "m": 512, "n": 512, "k": 512, "layout": "nn", "where": "square", "gflops": { "plain": {{peer}}, "packed": 110, "openblas": 100 }, "plainToOpenBlas": { "median": {{peer / 100}} }, "packedToOpenBlas": { "median": 1.1 } } ] }
        """;
}
